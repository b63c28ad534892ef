/** From one value of one map back to the numbers it is made of; the arithmetic the cell view shows. Nothing is drawn. */
import { floatsFrom } from "./maps.js";
import { windowCells } from "./windows.js";

/**
 * @typedef {[number, number]} Cell
 * @typedef {{shape: [number, number], channels: Float32Array[]}} Layer  what a convolution reads, all channels
 * @typedef {{channel: number, patch: Float32Array, kernel: Float32Array, sum: number}} Product
 * @typedef {{
 *   cell: Cell, origin: Cell, products: Product[], sum: number, bias: number, value: number, numPadded: number
 * }} Convolved  one cell of a convolution; origin: the window's first cell of the input, negative in the padding
 * @typedef {{
 *   step: import("./types.js").Step, cell: Cell, value: number, before: number | null, factor?: number, addend?: number,
 *   window?: {cells: Cell[], values: number[], winner: Cell | null}
 * }} Link  one step after the convolution
 * @typedef {{convolved: Convolved, links: Link[], stopped: string}} Trace  stopped: why the chain ends early, or ""
 */

/**
 * The input of a block's convolution, with every channel.
 * @param {import("./types.js").Input} input
 * @param {Map<string, import("./types.js").Maps>} maps
 * @param {{width: number, height: number, pixels: Uint8Array}} picture RGB
 * @returns {Layer | null} null if a map is not on the page
 */
export function readInput(input, maps, { width, height, pixels }) {
  if (input.kind === "picture") {
    const channels = input.order.map((from, c) =>
      Float32Array.from({ length: width * height }, (_, i) => input.scale[c] * pixels[i * 3 + from] + input.offset[c]));
    return { shape: [height, width], channels };
  }
  const found = input.names.map((name) => maps.get(name));
  if (found.some((map) => !map)) return null;
  const parts = /** @type {import("./types.js").Maps[]} */ (found);
  const channels = parts[0].tiles.map((tile, c) => tile.map((value, i) => parts.slice(1).reduce((sum, map) => sum + map.tiles[c][i], value)));
  return { shape: [parts[0].height, parts[0].width], channels };
}

/**
 * The kernel of one filter, one 2-D slice a channel it reads.
 * @param {import("./types.js").Arithmetic} arithmetic
 * @param {Float32Array} weights of the whole block
 * @param {number} k
 * @returns {Float32Array[]}
 */
export function kernelSlices({ kernel, channelsPerFilter }, weights, k) {
  const size = kernel[0] * kernel[1];
  const start = k * channelsPerFilter * size;
  return Array.from({ length: channelsPerFilter }, (_, c) => weights.subarray(start + c * size, start + (c + 1) * size));
}

/**
 * One cell of a convolution: patch times kernel for every channel, summed, plus bias.
 * @param {import("./types.js").Arithmetic} arithmetic
 * @param {Float32Array} weights of the whole block
 * @param {Layer} input
 * @param {number} k place of the filter in `shown`
 * @param {Cell} cell
 * @returns {Convolved}
 */
export function convolveCell(arithmetic, weights, input, k, cell) {
  const [down, across] = arithmetic.windows;
  const origin = /** @type {Cell} */ ([cell[0] * down.stride - down.before, cell[1] * across.stride - across.before]);
  const places = patchPlaces(arithmetic, input.shape, origin);
  const first = arithmetic.firstChannel[k];
  const products = kernelSlices(arithmetic, weights, k).map((kernel, c) => {
    const values = input.channels[first + c];
    const patch = Float32Array.from(places, (place) => (place < 0 ? 0 : values[place]));
    return { channel: first + c, patch, kernel, sum: patch.reduce((sum, value, i) => sum + value * kernel[i], 0) };
  });
  const sum = products.reduce((total, product) => total + product.sum, 0);
  const bias = arithmetic.bias ? floatsFrom(arithmetic.bias)[k] : 0;
  return { cell, origin, products, sum, bias, value: sum + bias, numPadded: places.filter((place) => place < 0).length };
}

/**
 * Where a window's cells stand in a channel; -1 in the padding.
 * @param {import("./types.js").Arithmetic} arithmetic
 * @param {[number, number]} shape
 * @param {Cell} origin
 * @returns {number[]}
 */
function patchPlaces({ kernel, windows: [down, across] }, [height, width], [top, left]) {
  return Array.from({ length: kernel[0] * kernel[1] }, (_, i) => {
    const y = top + Math.floor(i / kernel[1]) * (down.dilation ?? 1);
    const x = left + (i % kernel[1]) * (across.dilation ?? 1);
    return y >= 0 && y < height && x >= 0 && x < width ? y * width + x : -1;
  });
}

/**
 * Work out one cell of one step of a block, from the block's input on.
 * @param {import("./types.js").Block} block with arithmetic
 * @param {Float32Array} weights
 * @param {Layer} input
 * @param {number} k
 * @param {number} last index of the step
 * @param {Cell} cell
 * @returns {Trace}
 */
export function traceCell(block, weights, input, k, last, cell) {
  const arithmetic = /** @type {import("./types.js").Arithmetic} */ (block.arithmetic);
  const stop = block.steps.findIndex((step, i) => i > 0 && i <= last && !isKnown(step));
  const end = stop < 0 ? last : stop - 1;
  const conv = (/** @type {Cell} */ at) => convolveCell(arithmetic, weights, input, k, at);
  /** @type {(index: number, at: Cell) => {value: number, links: Link[], root: Cell}} */
  const work = (index, at) => {
    if (index === 0) return { value: conv(at).value, links: [], root: at };
    return follow(block.steps, index, at, k, work);
  };
  const { links, root } = work(end, cell);
  const stopped = stop < 0 ? "" : `${block.steps[stop].label} is not worked out here`;
  return { convolved: conv(root), links, stopped };
}

/** @param {import("./types.js").Step} step */
function isKnown(step) {
  return Boolean(step.windows || step.scale) || (step.kind === "activation" && step.label === "ReLU");
}

/**
 * @param {import("./types.js").Step[]} steps
 * @param {number} index
 * @param {Cell} cell
 * @param {number} k
 * @param {(index: number, at: Cell) => {value: number, links: Link[], root: Cell}} work
 */
function follow(steps, index, cell, k, work) {
  const step = steps[index];
  if (step.windows) return followPool(steps, index, cell, work);
  const under = work(index - 1, cell);
  if (step.kind === "activation") {
    const value = Math.max(0, under.value);
    return { value, links: [...under.links, { step, cell, value, before: under.value }], root: under.root };
  }
  const [factor, addend] = [floatsFrom(step.scale ?? "")[k], floatsFrom(step.offset ?? "")[k]];
  const value = factor * under.value + addend;
  return { value, links: [...under.links, { step, cell, value, before: under.value, factor, addend }], root: under.root };
}

/**
 * @param {import("./types.js").Step[]} steps
 * @param {number} index
 * @param {Cell} cell
 * @param {(index: number, at: Cell) => {value: number, links: Link[], root: Cell}} work
 */
function followPool(steps, index, cell, work) {
  const step = steps[index];
  const windows = /** @type {[import("./types.js").Window, import("./types.js").Window]} */ (step.windows);
  const cells = windowCells(cell, windows, steps[index - 1].shape);
  const parts = cells.map((at) => work(index - 1, at));
  const values = parts.map(({ value }) => value);
  const best = values.indexOf(Math.max(...values));
  const average = step.label === "average-pooling";
  const value = average ? values.reduce((sum, v) => sum + v, 0) / values.length : values[best];
  const link = { step, cell, value, before: null, window: { cells, values, winner: average ? null : cells[best] } };
  return { value, links: [...parts[best].links, link], root: parts[best].root };
}
