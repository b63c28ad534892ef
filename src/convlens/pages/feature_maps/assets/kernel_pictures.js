/** The kernel of one filter: one small signed picture a channel; of a first layer also its three colors together. */
import { make } from "./controls.js";
import { kernelSlices } from "./trace.js";
import { colorPixels } from "./views.js";
import { plural } from "./words.js";

const MAX_SLICES = 256;

/**
 * @param {import("./types.js").Arithmetic} arithmetic
 * @param {Float32Array} weights of the whole block
 * @param {number} k
 * @param {Uint8Array} table signed colors
 * @returns {HTMLElement}
 */
export function kernelPictures(arithmetic, weights, k, table) {
  const slices = kernelSlices(arithmetic, weights, k);
  const limit = Math.max(...slices.map((slice) => slice.reduce((most, value) => Math.max(most, Math.abs(value)), 0)), 1e-9);
  const box = make("div", "kernels");
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", `Kernel of ${plural(slices.length, "slice")}, purple below zero, orange above`);
  if (slices.length <= 4) box.classList.add("few");
  if (isColor(arithmetic)) box.append(colorKernel(arithmetic, slices));
  for (const slice of slices.slice(0, MAX_SLICES)) box.append(sliceCanvas(slice, arithmetic.kernel, limit, table));
  return box;
}

/** @param {import("./types.js").Arithmetic} arithmetic */
export function isColor({ input }) {
  return input.kind === "picture" && input.order.length === 3;
}

/**
 * @param {Float32Array} slice
 * @param {[number, number]} shape
 * @param {number} limit
 * @param {Uint8Array} table
 */
export function sliceCanvas(slice, [rows, columns], limit, table) {
  const canvas = make("canvas", "kernel");
  [canvas.width, canvas.height] = [columns, rows];
  const pixels = colorPixels(slice, { limit, signed: true, table, curve: "linear" });
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, columns, rows), 0, 0);
  return canvas;
}

/**
 * A first layer's kernel as a picture: gray is zero, each color channel its own weight.
 * @param {import("./types.js").Arithmetic} arithmetic
 * @param {Float32Array[]} slices
 */
export function colorKernel({ kernel: [rows, columns], input }, slices) {
  const canvas = make("canvas", "kernel colors");
  [canvas.width, canvas.height] = [columns, rows];
  const limit = Math.max(...slices.map((slice) => slice.reduce((most, value) => Math.max(most, Math.abs(value)), 0)), 1e-9);
  const pixels = new Uint8ClampedArray(rows * columns * 4).fill(255);
  slices.forEach((slice, c) => {
    const to = input.kind === "picture" ? input.order[c] : c;
    slice.forEach((value, i) => (pixels[i * 4 + to] = 128 + 127 * (value / limit)));
  });
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, columns, rows), 0, 0);
  return canvas;
}
