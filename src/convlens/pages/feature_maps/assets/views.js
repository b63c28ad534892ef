/** Which step of a block a view shows, in which order its filters stand, and which colors their values get. */

/**
 * The step that a view shows in a block, and whether the block has just what the view asks for.
 * @param {import("./types.js").Block} block
 * @param {import("./types.js").View} view
 * @returns {{index: number, exact: boolean}}
 */
export function stepForView(block, view) {
  const response = block.steps.findIndex((step) => step.name === block.response);
  const activation = block.steps.findIndex((step) => step.kind === "activation");
  if (view === "convolution") return { index: 0, exact: block.isConvolution };
  if (view === "pooled") {
    const pooling = block.steps.findIndex((step) => step.kind === "pooling");
    return { index: pooling < 0 ? response : pooling, exact: pooling >= 0 };
  }
  if (view === "after") return { index: response, exact: activation >= 0 };
  return { index: activation > 0 ? activation - 1 : response, exact: activation > 0 };
}

/**
 * The views that make a difference for these blocks.
 * @param {import("./types.js").Block[]} blocks
 * @returns {import("./types.js").View[]}
 */
export function usefulViews(blocks) {
  const early = blocks.some((block) => stepForView(block, "before").index > 0);
  const active = blocks.some((block) => stepForView(block, "after").exact);
  const pooled = blocks.some((block) => stepForView(block, "pooled").exact);
  const views = /** @type {import("./types.js").View[]} */ ([]);
  if (early || !active) views.push("convolution");
  if (active) views.push("before", "after");
  if (pooled) views.push("pooled");
  return views;
}

/**
 * The ends of the color scale for one tile: -limit or 0, to limit.
 * @param {import("./types.js").Scale} scale
 * @param {import("./types.js").Maps} maps
 * @param {number} tile
 * @param {[number, number]} everywhere range of the step over all photos
 * @returns {number}
 */
export function scaleLimit(scale, maps, tile, everywhere) {
  if (scale === "filter") return highestMagnitude(maps.tiles[tile]);
  const [low, high] = scale === "photos" ? everywhere : maps.limits;
  return Math.max(Math.abs(low), Math.abs(high));
}

/**
 * @param {Float32Array} values
 * @returns {number}
 */
export function highestMagnitude(values) {
  let highest = 0;
  for (const value of values) highest = Math.max(highest, Math.abs(value));
  return highest;
}

/**
 * Place in a table of 256 colors.
 * @param {number} value
 * @param {number} limit
 * @param {boolean} signed
 * @param {import("./types.js").Curve} [curve] root lifts faint values
 * @returns {number} 0..255
 */
export function colorIndex(value, limit, signed, curve = "linear") {
  const plain = limit > 0 ? value / limit : 0;
  const share = curve === "root" ? Math.sign(plain) * Math.sqrt(Math.abs(plain)) : plain;
  const place = signed ? (share + 1) / 2 : share;
  return Math.min(255, Math.max(0, Math.round(place * 255)));
}

/**
 * The colors of one map, RGBA.
 * @param {Float32Array} values
 * @param {import("./types.js").Colors} colors
 * @returns {Uint8ClampedArray<ArrayBuffer>}
 */
export function colorPixels(values, { limit, signed, table, curve }) {
  const pixels = new Uint8ClampedArray(values.length * 4);
  for (let i = 0; i < values.length; i += 1) {
    const entry = colorIndex(values[i], limit, signed, curve) * 3;
    pixels[i * 4] = table[entry];
    pixels[i * 4 + 1] = table[entry + 1];
    pixels[i * 4 + 2] = table[entry + 2];
    pixels[i * 4 + 3] = 255;
  }
  return pixels;
}

/**
 * The colors of a map laid over a photo. Halfway between photo and map, zero is clear and the strongest values are
 * opaque; towards the map everything becomes opaque, so that colors are those of the legend.
 * @param {Float32Array} values
 * @param {import("./types.js").Colors} colors
 * @param {number} blend 0 shows the photo alone, 1 the map alone
 * @returns {Uint8ClampedArray<ArrayBuffer>}
 */
export function overlayPixels(values, colors, blend) {
  const pixels = colorPixels(values, colors);
  const { limit } = colors;
  for (let i = 0; i < values.length; i += 1) {
    const share = limit > 0 ? Math.sqrt(Math.min(1, Math.abs(values[i]) / limit)) : 0;
    const alpha = blend <= 0.5 ? share * blend * 2 : share + (1 - share) * (blend * 2 - 1);
    pixels[i * 4 + 3] = Math.round(alpha * 255);
  }
  return pixels;
}

// Of evidence: warm speaks for the answer, cold against it, on every page; both are light enough to be seen on black fur.
const [WARM, COLD] = [[255, 122, 0], [74, 176, 255]];
const MOST_OPAQUE = 0.85;

/**
 * Signed evidence over a photo that keeps its own colors: the stronger, the less of the photo is left.
 * @param {Float32Array} values
 * @param {number} limit of the strongest
 * @returns {Uint8ClampedArray<ArrayBuffer>} RGBA
 */
export function evidencePixels(values, limit) {
  const pixels = new Uint8ClampedArray(values.length * 4);
  values.forEach((value, i) => {
    pixels.set(value < 0 ? COLD : WARM, i * 4);
    pixels[i * 4 + 3] = limit > 0 ? Math.round(255 * MOST_OPAQUE * Math.min(1, Math.abs(value) / limit)) : 0;
  });
  return pixels;
}

/**
 * @param {string} text 256 RGB triples in hexadecimal
 * @returns {Uint8Array}
 */
export function colorTable(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/**
 * What the numbers of one tile say.
 * @param {Float32Array} values
 * @param {number} width
 * @returns {{highest: number, lowest: number, mean: number, active: number, row: number, column: number}}
 */
export function summarize(values, width) {
  let [highest, lowest, sum, active, at] = [-Infinity, Infinity, 0, 0, 0];
  values.forEach((value, i) => {
    if (value > highest) [highest, at] = [value, i];
    if (value < lowest) lowest = value;
    if (value > 0) active += 1;
    sum += value;
  });
  const size = values.length;
  return {
    highest, lowest, mean: sum / size, active: active / size, row: Math.floor(at / width), column: at % width,
  };
}

/**
 * The order of the tiles of a block; ties and dead filters keep the network's order, the dead at the end.
 * @param {import("./types.js").Order} order
 * @param {import("./types.js").Block} block
 * @param {number[]} strengths mean response of every tile on this photo
 * @param {ArrayLike<number> | null} [effects] of every tile on this photo's answer
 * @returns {number[]} tile numbers
 */
export function orderTiles(order, block, strengths, effects = null) {
  const tiles = block.shown.map((_, k) => k);
  if (order === "network") return tiles;
  const selectivity = block.facts?.selectivity ?? strengths;
  const sizes = effects ? Array.from(effects, (effect) => Math.abs(effect) || 0) : strengths;
  const worth = { strength: strengths, effect: sizes, selectivity }[order];
  const dead = (/** @type {number} */ k) => (block.facts?.dead[k] ? 1 : 0);
  return tiles.sort((a, b) => dead(a) - dead(b) || worth[b] - worth[a] || a - b);
}

/**
 * Mean response of every tile on one photo.
 * @param {import("./types.js").Block} block
 * @param {Map<string, import("./types.js").Maps>} maps
 * @returns {number[]}
 */
export function strengthsOf(block, maps) {
  const response = maps.get(block.response);
  if (!response) return block.shown.map(() => 0);
  return response.tiles.map((values) => summarize(values, response.width).mean);
}
