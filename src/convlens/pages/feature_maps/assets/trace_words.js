/** The arithmetic of one cell in words and numbers. */
import { sizeFormula } from "./convolve.js";
import { number, plural } from "./words.js";

/**
 * @param {number} value
 * @returns {string} four significant digits and a true minus sign
 */
export function fine(value) {
  const text = Math.abs(value) >= 0.001 || value === 0 ? String(Number(Math.abs(value).toPrecision(4))) : Math.abs(value).toExponential(2);
  return value < 0 ? `\u2212${text}` : text;
}

/**
 * @param {import("./trace.js").Trace} trace
 * @param {import("./types.js").Block} block
 * @returns {{name: string, value: string, detail: string, kind: string}[]} the links of the chain, in order
 */
export function chainParts({ convolved, links }, block) {
  const count = plural(convolved.products.length, "channel");
  const size = block.arithmetic?.kernel.join("×") ?? "";
  const parts = [{ name: "Patch × kernel", value: fine(convolved.sum), detail: `${count} of ${size}, summed`, kind: "sum" }];
  if (block.arithmetic?.bias) {
    parts.push({ name: "Bias", value: `${convolved.bias < 0 ? "" : "+\u2009"}${fine(convolved.bias)}`, detail: `gives ${fine(convolved.value)}`, kind: "bias" });
  }
  return [...parts, ...links.map(linkPart)];
}

/** @param {import("./trace.js").Link} link */
function linkPart({ step, value, before, factor, addend, window }) {
  const name = step.label[0].toUpperCase() + step.label.slice(1);
  if (window) return { name, value: fine(value), detail: poolWords(window), kind: "pool" };
  if (factor !== undefined && addend !== undefined) {
    const sign = addend < 0 ? "−" : "+";
    return { name, value: fine(value), detail: `× ${fine(factor)} ${sign} ${fine(Math.abs(addend))}`, kind: "affine" };
  }
  const cut = before !== null && before < 0;
  return { name, value: fine(value), detail: cut ? "below zero: cut to 0" : "above zero: let through", kind: "relu" };
}

/** @param {{cells: [number, number][], values: number[], winner: [number, number] | null}} window */
function poolWords({ cells, values, winner }) {
  if (!winner) return `mean of ${values.map(fine).join(", ")}`;
  const list = cells.map((cell, i) => (cell[0] === winner[0] && cell[1] === winner[1] ? `[${fine(values[i])}]` : fine(values[i])));
  return `largest of ${list.join(", ")}`;
}

/**
 * Whether what was worked out is what the network gave.
 * @param {import("./trace.js").Trace} trace
 * @param {number} stored value of the map
 * @param {number} tolerance what storing the maps in steps may cost
 * @returns {string}
 */
export function checkWords({ convolved, links, stopped }, stored, tolerance) {
  if (stopped) return `The chain ends here: ${stopped}. The network’s value is ${fine(stored)}.`;
  const value = links.length ? links[links.length - 1].value : convolved.value;
  const difference = Math.abs(value - stored);
  const verdict = difference <= tolerance * 1.01 + 1e-6 ? "The same" : "They differ";
  return `${fine(value)} worked out here, ${fine(stored)} from the network. ${verdict}: ${number(difference)} apart, and storing the maps in steps may cost up to ${number(tolerance)}.`;
}

/**
 * Whether the page stores neither a step nor anything before it, so that its values are worked out as the chain is.
 * @param {import("./types.js").Block} block
 * @param {number} index of the step
 * @returns {boolean}
 */
export function isWorkedOut({ steps }, index) {
  return steps.slice(0, index + 1).every(({ stored }) => !stored);
}

/**
 * What is known of a value that has no stored one to be compared with.
 * @param {import("./trace.js").Trace} trace
 * @param {import("./types.js").Block} block
 * @returns {string}
 */
export function workedWords({ convolved, links }, { arithmetic }) {
  const value = links.length ? links[links.length - 1].value : convolved.value;
  const error = number(arithmetic?.mapError ?? 0);
  return `${fine(value)} worked out here, like this whole map. When the page was made, all its convolution values were compared with the network’s own: at most ${error} apart.`;
}

/**
 * @param {import("./trace.js").Trace} trace
 * @param {import("./types.js").Block} block
 * @param {[number, number]} shape of the input
 * @returns {string[]}
 */
export function sizeLines({ convolved, links }, block, shape) {
  const arithmetic = /** @type {import("./types.js").Arithmetic} */ (block.arithmetic);
  const out = block.steps[0].shape;
  const axis = (/** @type {0 | 1} */ i, /** @type {string} */ name) => {
    const window = arithmetic.windows[i];
    const after = Math.max(0, (out[i] - 1) * window.stride + window.size - shape[i] - window.before);
    const formula = sizeFormula(shape[i], { ...window, after });
    return `${name}: ⌊(n + 2p − f) / s⌋ + 1 = ${formula}. The window of ${name.toLowerCase().slice(0, -1)} ${convolved.cell[i]} starts at ${convolved.cell[i]} · ${window.stride} − ${window.before} = ${convolved.origin[i]}.`;
  };
  const size = arithmetic.kernel[0] * arithmetic.kernel[1];
  const padding = convolved.numPadded
    ? `${convolved.numPadded} of the ${size} cells of this window lie in the padding and count as zero.`
    : "No cell of this window lies in the padding.";
  const pool = links.find((link) => link.window)?.window?.winner;
  const winner = pool ? [`Pooling took the cell at row ${pool[0]}, column ${pool[1]}; the patch above is its patch.`] : [];
  return [axis(0, "Rows"), axis(1, "Columns"), padding, ...winner];
}

/**
 * How far a value worked out from the stored maps may be from the stored value: maps with their low byte are good to one
 * part in 65,000 of a tile's range, others to one in 255.
 * @param {import("./types.js").Block} block
 * @param {import("./types.js").Step} step
 * @param {Float32Array} values of the tile
 * @returns {number}
 */
export function storingError({ arithmetic, response }, step, values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const isFine = step.name === (arithmetic?.upTo ?? response);
  return isFine ? (arithmetic?.error ?? 0) + (2 * (high - low)) / 65025 : (high - low) / 255;
}
