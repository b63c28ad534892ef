/** Small pictures of maps. */
import { make } from "./controls.js";
import { colorPixels, highestMagnitude } from "./views.js";

/**
 * The response of one filter as a small canvas, on its own scale.
 * @param {import("./types.js").Maps} maps
 * @param {number} k
 * @param {import("./types.js").Tables} tables
 * @param {HTMLCanvasElement} [canvas] to paint anew
 * @returns {HTMLCanvasElement}
 */
export function mapThumb(maps, k, tables, canvas = make("canvas", "thumb")) {
  const signed = !maps.rectified;
  const table = signed ? tables.signed : tables.positive;
  const colors = { limit: highestMagnitude(maps.tiles[k]), signed, table, curve: /** @type {const} */ ("root") };
  [canvas.width, canvas.height] = [maps.width, maps.height];
  canvas.getContext("2d")?.putImageData(new ImageData(colorPixels(maps.tiles[k], colors), maps.width, maps.height), 0, 0);
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}

/**
 * A row that names a filter, shows its map, a bar and a number, and opens its card.
 * @param {{filter: number, block: string, value: string, more?: string, share: number, thumb: HTMLElement, onOpen: () => void}} what
 *   more: said to those who do not see the bar
 * @returns {HTMLButtonElement}
 */
export function filterRow({ filter, block, value, more = "", share, thumb, onOpen }) {
  const row = make("button", "filter-row");
  row.type = "button";
  const bar = make("span", "row-bar");
  bar.style.setProperty("--share", String(Math.min(1, Math.max(0, share))));
  const name = make("span", "row-name");
  name.append(make("span", "unseen", "Filter "), String(filter), make("span", "unseen", ` of ${block}: `));
  row.append(thumb, name, bar, make("span", "row-value", value), make("span", "unseen", `${more} Open its card.`));
  row.addEventListener("click", onOpen);
  return row;
}

/** Thumbs of one photo, each painted once; a thumb stands in one list at a time. */
export class ThumbBox {
  /** @param {import("./types.js").Tables} tables */
  constructor(tables) {
    this.tables = tables;
    this.photo = -1;
    /** @type {Map<string, HTMLCanvasElement>} */
    this.thumbs = new Map();
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").Block} block
   * @param {number} k
   * @returns {HTMLCanvasElement}
   */
  take(photo, block, k) {
    if (this.photo !== photo.index) this.thumbs.clear();
    this.photo = photo.index;
    const key = `${block.name} ${k}`;
    const known = this.thumbs.get(key);
    if (known) return known;
    const made = mapThumb(/** @type {import("./types.js").Maps} */ (photo.maps.get(block.response)), k, this.tables);
    this.thumbs.set(key, made);
    return made;
  }
}
