/** Which filters fire at a place of the photo, and which gather in a box; numbers only. */
import { cellAt, mapBox } from "./geometry.js";

/** @typedef {{k: number, value: number, share: number}} Ranked  share: of the filter's own highest over the sample */

/**
 * The filters of a block at a point of the photo, strongest first; silent ones are left out.
 * @param {import("./types.js").Block} block
 * @param {Map<string, import("./types.js").Maps>} maps
 * @param {[number, number]} point x, y in picture pixels
 * @param {[number, number]} pictureSize
 * @param {"value" | "share"} by raw value, or its share of the filter's highest value
 * @param {number[]} [highest] of every filter, by `highestOf`
 * @returns {{cell: [number, number] | null, ranked: Ranked[]}}
 */
export function rankAt(block, maps, [x, y], pictureSize, by, highest = highestOf(block, maps)) {
  const step = block.steps.find(({ name }) => name === block.response);
  const response = maps.get(block.response);
  const cell = step ? cellAt(mapBox(step.field, step.shape, pictureSize), step.shape, x, y) : null;
  if (!cell || !response) return { cell: null, ranked: [] };
  const at = cell[0] * response.width + cell[1];
  const ranked = response.tiles.map((values, k) => {
    return { k, value: values[at], share: highest[k] > 0 ? values[at] / highest[k] : 0 };
  });
  return { cell, ranked: ranked.filter(({ value }) => value > 0).sort((a, b) => b[by] - a[by] || a.k - b.k) };
}

/**
 * The highest value of every filter, on held-out photos and on this one.
 * @param {import("./types.js").Block} block
 * @param {Map<string, import("./types.js").Maps>} maps
 * @returns {number[]}
 */
export function highestOf(block, maps) {
  return (maps.get(block.response)?.tiles ?? []).map((values, k) => {
    let highest = block.facts?.maximum[k] ?? 0;
    for (const value of values) if (value > highest) highest = value;
    return highest;
  });
}

/**
 * Share of a map's activation inside a box over the box's share of the area.
 * @param {Float32Array} values only those above zero count
 * @param {boolean[]} inside one per cell
 * @returns {number} 1: as much as the area; NaN where nothing fires or no cell is inside
 */
export function boxRatio(values, inside) {
  let [sum, within, count] = [0, 0, 0];
  values.forEach((value, i) => {
    const positive = Math.max(0, value);
    sum += positive;
    if (inside[i]) {
      within += positive;
      count += 1;
    }
  });
  return sum > 0 && count > 0 ? (within / sum) / (count / values.length) : NaN;
}

/**
 * Which cells of a map have their middle in a box.
 * @param {import("./types.js").Step} step
 * @param {import("./types.js").Box} box
 * @param {[number, number]} pictureSize
 * @returns {boolean[]}
 */
export function cellsInside({ field, shape: [rows, columns] }, [left, top, right, bottom], pictureSize) {
  const area = mapBox(field, [rows, columns], pictureSize);
  return Array.from({ length: rows * columns }, (_, i) => {
    const y = area.top + (Math.floor(i / columns) + 0.5) * (area.height / rows);
    const x = area.left + ((i % columns) + 0.5) * (area.width / columns);
    return x >= left && x < right && y >= top && y < bottom;
  });
}

/**
 * Intersection of two boxes over their union.
 * @param {import("./types.js").Box} a
 * @param {import("./types.js").Box} b
 * @returns {number}
 */
export function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const common = Math.max(0, width) * Math.max(0, height);
  const size = (/** @type {import("./types.js").Box} */ box) => (box[2] - box[0]) * (box[3] - box[1]);
  return common > 0 ? common / (size(a) + size(b) - common) : 0;
}

/**
 * The covered box of an occlusion map that is most like a drawn one.
 * @param {import("./types.js").Occlusion[]} all
 * @param {import("./types.js").Box} box
 * @param {[number, number]} pictureSize
 * @returns {{box: import("./types.js").Box, overlap: number, occlusion: import("./types.js").Occlusion, index: number} | null}
 */
export function nearestCovered(all, box, [height, width]) {
  let best = null;
  for (const occlusion of all) {
    const [rows, columns] = occlusion.grid.shape;
    for (let index = 0; index < rows * columns; index += 1) {
      const top = Math.floor(index / columns) * occlusion.stride[0];
      const left = (index % columns) * occlusion.stride[1];
      const covered = /** @type {import("./types.js").Box} */ ([
        left, top, Math.min(left + occlusion.size[1], width), Math.min(top + occlusion.size[0], height),
      ]);
      const share = overlap(covered, box);
      if (share > (best?.overlap ?? 0)) best = { box: covered, overlap: share, occlusion, index };
    }
  }
  return best;
}
