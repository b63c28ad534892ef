/** The arithmetic of one channel: sizes, padding, stride, convolution and pooling, cell by cell. */

/**
 * A window along one axis: `size` cells, moved by `stride`, with `before` and `after` cells of padding.
 * @typedef {{size: number, stride: number, before: number, after: number}} Slide
 */

/**
 * Cells that come out of an axis of `length` cells: floor((n + 2p - f) / s) + 1, and 0 where the window does not fit.
 * @param {number} length
 * @param {Slide} slide
 * @returns {number}
 */
export function outputSize(length, { size, stride, before, after }) {
  return Math.max(0, Math.floor((length + before + after - size) / stride) + 1);
}

/**
 * The formula with its numbers.
 * @param {number} length
 * @param {Slide} slide
 * @returns {string} `⌊(6 + 2·0 − 3) / 1⌋ + 1 = 4`
 */
export function sizeFormula(length, slide) {
  const { size, stride, before, after } = slide;
  const padding = before === after ? `2·${before}` : `(${before} + ${after})`;
  return `⌊(${length} + ${padding} − ${size}) / ${stride}⌋ + 1 = ${outputSize(length, slide)}`;
}

/**
 * The padding that “same” gives: as much as ceil(n / s) cells need; an odd amount puts the extra cell behind.
 * @param {number} length
 * @param {number} size
 * @param {number} stride
 * @returns {Slide}
 */
export function sameSlide(length, size, stride) {
  const total = Math.max((Math.ceil(length / stride) - 1) * stride + size - length, 0);
  return { size, stride, before: Math.floor(total / 2), after: total - Math.floor(total / 2) };
}

/**
 * Cells at the end of an axis, padding included, that no window reaches.
 * @param {number} length
 * @param {Slide} slide
 * @returns {number}
 */
export function droppedCells(length, slide) {
  const covered = (outputSize(length, slide) - 1) * slide.stride + slide.size;
  return outputSize(length, slide) > 0 ? length + slide.before + slide.after - covered : length;
}

/**
 * What a kernel makes of one channel, as networks compute it: the kernel is not turned over first.
 * @param {ArrayLike<number>} values row by row
 * @param {[number, number]} shape
 * @param {ArrayLike<number>} kernel row by row
 * @param {[Slide, Slide]} slides along rows and columns; padding counts as zero
 * @returns {{values: Float32Array, shape: [number, number]}}
 */
export function convolve(values, [height, width], kernel, [down, across]) {
  const shape = /** @type {[number, number]} */ ([outputSize(height, down), outputSize(width, across)]);
  const result = new Float32Array(shape[0] * shape[1]);
  for (let row = 0; row < shape[0]; row += 1) {
    for (let column = 0; column < shape[1]; column += 1) {
      const patch = cutPatch(values, [height, width], [row, column], [down, across]);
      result[row * shape[1] + column] = dot(patch, kernel);
    }
  }
  return { values: result, shape };
}

/**
 * What one window sees; cells of the padding are `outside`.
 * @param {ArrayLike<number>} values
 * @param {[number, number]} shape
 * @param {[number, number]} cell of the result
 * @param {[Pick<Slide, "size" | "stride" | "before">, Pick<Slide, "size" | "stride" | "before">]} slides
 * @param {number} [outside]
 * @returns {Float32Array} row by row
 */
export function cutPatch(values, [height, width], [row, column], [down, across], outside = 0) {
  const patch = new Float32Array(down.size * across.size).fill(outside);
  const [top, left] = [row * down.stride - down.before, column * across.stride - across.before];
  for (let i = 0; i < down.size; i += 1) {
    for (let j = 0; j < across.size; j += 1) {
      const [y, x] = [top + i, left + j];
      if (y >= 0 && y < height && x >= 0 && x < width) patch[i * across.size + j] = values[y * width + x];
    }
  }
  return patch;
}

/**
 * @param {ArrayLike<number>} patch
 * @param {ArrayLike<number>} kernel
 * @returns {number}
 */
export function dot(patch, kernel) {
  let sum = 0;
  for (let i = 0; i < kernel.length; i += 1) sum += patch[i] * kernel[i];
  return sum;
}

/**
 * The cell that wins a max-pooling window: the first of the largest.
 * @param {ArrayLike<number>} values
 * @param {[number, number]} shape
 * @param {[number, number]} cell of the pooled map
 * @param {[Pick<Slide, "size" | "stride" | "before">, Pick<Slide, "size" | "stride" | "before">]} slides
 * @returns {{cell: [number, number], value: number}}
 */
export function poolWinner(values, shape, [row, column], [down, across]) {
  const patch = cutPatch(values, shape, [row, column], [down, across], -Infinity);
  let best = 0;
  patch.forEach((value, i) => {
    if (value > patch[best]) best = i;
  });
  const [i, j] = [Math.floor(best / across.size), best % across.size];
  return { cell: [row * down.stride - down.before + i, column * across.stride - across.before + j], value: patch[best] };
}

/**
 * Parameters of a convolution and of dense layers on a square color picture.
 * @param {number} side pixels
 * @param {{kernel: number, filters: number, units: number}} how `units`: outputs of a small dense layer
 * @returns {{inputs: number, outputs: number, convolution: number, dense: number, units: number}} dense: a layer with
 *   as many outputs as the convolution; units: one with only `units`
 */
export function countParameters(side, { kernel, filters, units }) {
  const inputs = side * side * 3;
  const outputs = Math.max(0, side - kernel + 1) ** 2 * filters;
  const convolution = (kernel * kernel * 3 + 1) * filters;
  return { inputs, outputs, convolution, dense: (inputs + 1) * outputs, units: (inputs + 1) * units };
}
