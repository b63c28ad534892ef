/** From the stored sprites back to the values of every feature map. */
import { decodePng } from "./png.js";

const TILES_PER_ROW = 16;

/**
 * @param {string} text
 * @returns {Uint8Array}
 */
export function bytesFrom(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/**
 * @param {string} text little-endian float32
 * @returns {Float32Array}
 */
export function floatsFrom(text) {
  return new Float32Array(bytesFrom(text).buffer);
}

/**
 * Maps by the name of their step. Those that are not stored are worked out when they are asked for first: most readers
 * never look at all of them.
 * @extends {Map<string, import("./types.js").Maps>}
 */
export class LazyMaps extends Map {
  constructor() {
    super();
    /** @type {Map<string, () => import("./types.js").Maps>} */
    this.waiting = new Map();
  }

  /** @param {string} name @returns {import("./types.js").Maps | undefined} */
  get(name) {
    const make = this.waiting.get(name);
    if (make) {
      this.waiting.delete(name);
      this.set(name, make());
    }
    return super.get(name);
  }
}

/**
 * The maps of all steps of all blocks for one photo: read where they are stored, worked out where they follow.
 * @param {import("./types.js").Block[]} blocks
 * @param {import("./types.js").Payload} payload
 * @param {(block: import("./types.js").Block, maps: LazyMaps) => Float32Array[]} convolve works out a convolution
 * @returns {Promise<LazyMaps>}
 */
export async function readMaps(blocks, payload, convolve) {
  const maps = new LazyMaps();
  await Promise.all(blocks.map((block) => readBlock(block, payload, maps)));
  for (const block of blocks) for (const index of block.steps.keys()) deriveLater(block, index, maps, payload, convolve);
  return maps;
}

/**
 * @param {import("./types.js").Block} block
 * @param {import("./types.js").Payload} payload
 * @param {LazyMaps} maps
 */
async function readBlock(block, payload, maps) {
  for (const step of block.steps.filter(({ stored }) => stored)) {
    maps.set(step.name, mapsOf(step, await readTiles(payload.maps[step.name], step.shape, block.shown.length), payload));
  }
}

/**
 * @param {import("./types.js").Block} block
 * @param {number} index of a step
 * @param {LazyMaps} maps
 * @param {import("./types.js").Payload} payload
 * @param {(block: import("./types.js").Block, maps: LazyMaps) => Float32Array[]} convolve
 */
function deriveLater(block, index, maps, payload, convolve) {
  const [step, before] = [block.steps[index], block.steps[index - 1]];
  if (step.stored) return;
  maps.waiting.set(step.name, () => {
    const tiles = before ? derive(step, maps.get(before.name)?.tiles ?? [], before.shape) : convolve(block, maps);
    return mapsOf(step, tiles, payload);
  });
}

/**
 * @param {import("./types.js").Step} step
 * @param {Float32Array[]} tiles
 * @param {import("./types.js").Payload} payload
 * @returns {import("./types.js").Maps}
 */
function mapsOf({ name, shape: [height, width], rectified }, tiles, payload) {
  return { height, width, rectified, limits: payload.limits[name], tiles };
}

/**
 * @param {import("./types.js").StoredMaps} stored
 * @param {[number, number]} shape
 * @param {number} count
 * @returns {Promise<Float32Array[]>}
 */
async function readTiles(stored, [height, width], count) {
  const [offset, step] = [floatsFrom(stored.offset), floatsFrom(stored.step)];
  const sprite = await decodePng(bytesFrom(stored.png));
  const low = stored.low ? await decodePng(bytesFrom(stored.low)) : null;
  return Array.from({ length: count }, (_, k) => {
    const corner = Math.floor(k / TILES_PER_ROW) * height * sprite.width + (k % TILES_PER_ROW) * width;
    const values = new Float32Array(height * width);
    for (let i = 0; i < values.length; i += 1) {
      const at = corner + Math.floor(i / width) * sprite.width + (i % width);
      const fine = low ? (low.pixels[at] - 128) / 256 : 0;
      values[i] = offset[k] + step[k] * (sprite.pixels[at] + fine);
    }
    return values;
  });
}

/**
 * The values of a small signed map.
 * @param {import("./types.js").Grid} grid
 * @returns {Float32Array} row by row
 */
export function gridValues({ step, values }) {
  return Float32Array.from(new Int8Array(bytesFrom(values).buffer), (value) => value * step);
}

/**
 * @param {import("./types.js").Step} step
 * @param {Float32Array[]} tiles of the step before
 * @param {[number, number]} shape of the step before
 * @returns {Float32Array[]}
 */
export function derive(step, tiles, shape) {
  if (step.windows) {
    const windows = step.windows;
    return tiles.map((values) => pool(values, shape, step.shape, windows, step.label === "average-pooling"));
  }
  const [scale, offset] = [floatsFrom(step.scale ?? ""), floatsFrom(step.offset ?? "")];
  return tiles.map((values, k) => values.map((value) => value * scale[k] + offset[k]));
}

/**
 * Pool one map; cells of the padding do not count.
 * @param {Float32Array} values
 * @param {[number, number]} shape
 * @param {[number, number]} result
 * @param {[import("./types.js").Window, import("./types.js").Window]} windows
 * @param {boolean} average
 * @returns {Float32Array}
 */
export function pool(values, [height, width], [rows, columns], [down, across], average) {
  const pooled = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const top = row * down.stride - down.before;
      const left = column * across.stride - across.before;
      let [highest, sum, count] = [-Infinity, 0, 0];
      for (let y = Math.max(top, 0); y < Math.min(top + down.size, height); y += 1) {
        for (let x = Math.max(left, 0); x < Math.min(left + across.size, width); x += 1) {
          const value = values[y * width + x];
          if (value > highest) highest = value;
          sum += value;
          count += 1;
        }
      }
      pooled[row * columns + column] = average ? sum / count : highest;
    }
  }
  return pooled;
}
