/** The color scale of a map: the very pixels it is painted with, and their numbers. */
import { make } from "./controls.js";
import { colorPixels } from "./views.js";
import { number } from "./words.js";

/**
 * @param {HTMLElement} host
 * @param {import("./types.js").Colors} colors
 * @param {string} words what the scale is shared by
 * @param {{own?: boolean, ends?: [string, string], paint?: (ramp: Float32Array) => Uint8ClampedArray<ArrayBuffer>}} [how]
 *   own: every tile has its own scale, so the ends have no number; ends: what the two ends mean; paint: other colors
 */
export function drawLegend(host, colors, words, { own = false, ends, paint = (ramp) => colorPixels(ramp, { ...colors, limit: 1 }) } = {}) {
  const { limit, signed } = colors;
  const canvas = make("canvas", "legend-bar");
  [canvas.width, canvas.height] = [256, 1];
  canvas.setAttribute("aria-hidden", "true");
  const ramp = Float32Array.from({ length: 256 }, (_, i) => (signed ? (i / 255) * 2 - 1 : i / 255));
  canvas.getContext("2d")?.putImageData(new ImageData(paint(ramp), 256, 1), 0, 0);
  const ticks = make("div", "legend-ticks");
  const texts = tickTexts(own ? null : limit, signed);
  if (ends) [texts[0], texts[2]] = [`${texts[0]} ${ends[0]}`, `${ends[1]} ${texts[2]}`];
  for (const text of texts) ticks.append(make("span", "", text));
  host.replaceChildren(make("span", "legend-words", words), canvas, ticks);
}

/**
 * @param {number | null} limit
 * @param {boolean} signed
 * @returns {string[]}
 */
function tickTexts(limit, signed) {
  if (limit === null) return signed ? ["\u2212 its largest", "0", "+ its largest"] : ["0", "its highest"];
  return signed ? [number(-limit), "0", number(limit)] : ["0", number(limit / 2), number(limit)];
}
