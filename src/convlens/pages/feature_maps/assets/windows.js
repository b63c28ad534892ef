/** Cells under a window. */

/**
 * The cells a pooling window covers, without those of the padding.
 * @param {[number, number]} cell
 * @param {[import("./types.js").Window, import("./types.js").Window]} windows
 * @param {[number, number]} shape of what is pooled
 * @returns {[number, number][]}
 */
export function windowCells([row, column], [down, across], [height, width]) {
  const cells = /** @type {[number, number][]} */ ([]);
  const [top, left] = [row * down.stride - down.before, column * across.stride - across.before];
  for (let y = Math.max(top, 0); y < Math.min(top + down.size, height); y += 1) {
    for (let x = Math.max(left, 0); x < Math.min(left + across.size, width); x += 1) cells.push([y, x]);
  }
  return cells;
}
