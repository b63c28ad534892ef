/** The lecture's pictures and kernels, and the chain they run through; numbers only, nothing is drawn here. */
import { convolve, droppedCells, poolWinner, sameSlide } from "./convolve.js";

/** @typedef {{image: string, kernel: string, padding: number, stride: number, relu: boolean, pool: "max" | "average"}} Setup */
/** @typedef {{values: Float32Array, shape: [number, number]}} Sheet */

const SIDE = 6;
const BRIGHT = 10;

/** The 6×6 pictures: 10 is bright, 0 is dark. */
export const LECTURE_IMAGES = /** @type {Record<string, {name: string, bright: (row: number, column: number) => boolean}>} */ ({
  left: { name: "Bright left", bright: (_, column) => column < 3 },
  right: { name: "Bright right", bright: (_, column) => column >= 3 },
  top: { name: "Bright top", bright: (row) => row < 3 },
  corner: { name: "Bright corner", bright: (row, column) => row < 3 && column < 3 },
  line: { name: "A line", bright: (_, column) => column === 2 },
});

/** 3×3 kernels, row by row. */
export const KERNELS = /** @type {Record<string, {name: string, values: number[], says: string}>} */ ({
  vertical: { name: "Vertical edge", values: [1, 0, -1, 1, 0, -1, 1, 0, -1], says: "bright on the left, dark on the right" },
  horizontal: { name: "Turned", values: [1, 1, 1, 0, 0, 0, -1, -1, -1], says: "bright above, dark below" },
  sobel: { name: "Sobel", values: [1, 0, -1, 2, 0, -2, 1, 0, -1], says: "vertical edges, the middle row counting twice" },
  outline: { name: "Outline", values: [-1, -1, -1, -1, 8, -1, -1, -1, -1], says: "a pixel that differs from those around it" },
  blur: { name: "Blur", values: Array(9).fill(1 / 9), says: "the mean of nine pixels" },
  sharpen: { name: "Sharpen", values: [0, -1, 0, -1, 5, -1, 0, -1, 0], says: "a pixel against its four neighbors" },
});

/** @param {string} name @returns {Float32Array} */
export function lectureImage(name) {
  const { bright } = LECTURE_IMAGES[name];
  return Float32Array.from({ length: SIDE * SIDE }, (_, i) => (bright(Math.floor(i / SIDE), i % SIDE) ? BRIGHT : 0));
}

/**
 * Run a picture through convolution, ReLU and 2×2 pooling.
 * @param {Float32Array} image 6×6
 * @param {Setup} setup
 */
export function runLecture(image, setup) {
  const slide = { size: 3, stride: setup.stride, before: setup.padding, after: setup.padding };
  const result = convolve(image, [SIDE, SIDE], KERNELS[setup.kernel].values, [slide, slide]);
  const active = { shape: result.shape, values: setup.relu ? result.values.map((v) => Math.max(v, 0)) : result.values };
  const pooling = result.shape[0] >= 2 ? { ...sameSlide(result.shape[0], 2, 2), before: 0, after: 0 } : null;
  return {
    slide, result, active, dropped: droppedCells(SIDE, slide),
    pooling, pooled: pooling ? poolSheet(active, pooling, setup.pool) : null,
  };
}

/**
 * @param {Sheet} sheet
 * @param {import("./convolve.js").Slide} slide
 * @param {"max" | "average"} kind
 * @returns {Sheet}
 */
export function poolSheet({ values, shape }, slide, kind) {
  const side = Math.floor((shape[0] - slide.size) / slide.stride) + 1;
  const pooled = Float32Array.from({ length: side * side }, (_, i) => {
    const cell = /** @type {[number, number]} */ ([Math.floor(i / side), i % side]);
    if (kind === "max") return poolWinner(values, shape, cell, [slide, slide]).value;
    return meanOf(windowSquare(cell, slide).map(([row, column]) => values[row * shape[1] + column]));
  });
  return { values: pooled, shape: [side, side] };
}

/**
 * The cells a window covers, padding included.
 * @param {[number, number]} cell
 * @param {{size: number, stride: number, before: number}} slide
 * @returns {[number, number][]}
 */
export function windowSquare([row, column], { size, stride, before }) {
  return Array.from({ length: size * size }, (_, i) => [
    row * stride - before + Math.floor(i / size), column * stride - before + (i % size),
  ]);
}

/** @param {number[]} values @returns {number} */
export function meanOf(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
