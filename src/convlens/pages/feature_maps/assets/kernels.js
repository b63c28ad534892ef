/** Kernels as numbers, and whole maps worked out with them where the page does not store them. */
import { bytesFrom, floatsFrom } from "./maps.js";
import { readInput } from "./trace.js";

/** @type {WeakMap<import("./types.js").Kernels, Map<string, Float32Array>>} */
const kernelCache = new WeakMap();

/**
 * The kernels of a block, filter by filter, channel by channel, row by row.
 * @param {import("./types.js").Kernels | null} kernels
 * @param {string} name of the block
 * @returns {Float32Array | null} null where the page does not carry them
 */
export function kernelWeights(kernels, name) {
  const given = kernels?.blocks[name];
  if (!kernels || !given) return null;
  const known = kernelCache.get(kernels) ?? new Map();
  kernelCache.set(kernels, known);
  if (!known.has(name)) known.set(name, readKernel(given));
  return known.get(name) ?? null;
}

/**
 * @param {{step: string, values: string}} kernel whole numbers, and one step per filter
 * @returns {Float32Array}
 */
export function readKernel({ step, values }) {
  const [steps, whole] = [floatsFrom(step), new Int16Array(bytesFrom(values).buffer)];
  const size = whole.length / steps.length;
  return Float32Array.from(whole, (value, i) => value * steps[Math.floor(i / size)]);
}

/**
 * The maps of a block's convolution, worked out from its input: every patch is gathered once, for all filters.
 * @param {import("./types.js").Block} block with arithmetic
 * @param {Float32Array} weights
 * @param {import("./trace.js").Layer} input
 * @returns {Float32Array[]}
 */
export function workOutMaps(block, weights, input) {
  const arithmetic = /** @type {import("./types.js").Arithmetic} */ (block.arithmetic);
  const { kernel, channelsPerFilter, firstChannel } = arithmetic;
  const [size, [rows, columns]] = [kernel[0] * kernel[1], block.steps[0].shape];
  const bias = arithmetic.bias ? floatsFrom(arithmetic.bias) : null;
  const maps = block.shown.map(() => new Float32Array(rows * columns));
  const patch = new Float64Array(input.channels.length * size);
  const filters = Float64Array.from(weights);
  const length = channelsPerFilter * size;
  for (let cell = 0; cell < rows * columns; cell += 1) {
    gatherPatch(patch, input, arithmetic, Math.floor(cell / columns), cell % columns);
    for (let k = 0; k < maps.length; k += 1) {
      maps[k][cell] = dotAt(patch, firstChannel[k] * size, filters, k * length, length) + (bias ? bias[k] : 0);
    }
  }
  return maps;
}

/**
 * What the window of a cell sees, channel by channel; zero in the padding.
 * @param {Float64Array} patch to fill
 * @param {import("./trace.js").Layer} input
 * @param {import("./types.js").Arithmetic} arithmetic
 * @param {number} row
 * @param {number} column
 */
function gatherPatch(patch, { shape: [height, width], channels }, { kernel: [down, across], windows: [rows, columns] }, row, column) {
  for (let place = 0; place < down * across; place += 1) {
    const y = row * rows.stride - rows.before + Math.floor(place / across) * (rows.dilation ?? 1);
    const x = column * columns.stride - columns.before + (place % across) * (columns.dilation ?? 1);
    const isInside = y >= 0 && y < height && x >= 0 && x < width;
    const at = y * width + x;
    for (let c = 0; c < channels.length; c += 1) patch[c * down * across + place] = isInside ? channels[c][at] : 0;
  }
}

/**
 * The product of two stretches, summed four ways at once, which is several times as fast as one by one.
 * @param {Float64Array} a
 * @param {number} from
 * @param {Float64Array} b
 * @param {number} start
 * @param {number} length
 * @returns {number}
 */
function dotAt(a, from, b, start, length) {
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  let i = 0;
  for (; i + 3 < length; i += 4) {
    first += a[from + i] * b[start + i];
    second += a[from + i + 1] * b[start + i + 1];
    third += a[from + i + 2] * b[start + i + 2];
    fourth += a[from + i + 3] * b[start + i + 3];
  }
  for (; i < length; i += 1) first += a[from + i] * b[start + i];
  return first + second + third + fourth;
}

/**
 * What works out the maps of a convolution when they are asked for first.
 * @param {() => import("./types.js").Kernels | null} kernels
 * @param {{width: number, height: number, pixels: Uint8Array}} picture
 * @returns {(block: import("./types.js").Block, maps: Map<string, import("./types.js").Maps>) => Float32Array[]}
 */
export function mapWorker(kernels, picture) {
  return (block, maps) => {
    const weights = kernelWeights(kernels(), block.name);
    const input = block.arithmetic ? readInput(block.arithmetic.input, maps, picture) : null;
    if (!weights || !input) throw new Error(`Expected the kernels and the input of ${block.name} on the page.`);
    return workOutMaps(block, weights, input);
  };
}
