/** The places on training photos that a filter fires at most, cut out of the gallery. */
import { make } from "./controls.js";
import { seenBox } from "./geometry.js";
import { number } from "./words.js";

/** @type {Map<string, Promise<HTMLImageElement>>} */
const decoded = new Map();

/**
 * @param {string} jpeg base64
 * @returns {Promise<HTMLImageElement>}
 */
function decode(jpeg) {
  const known = decoded.get(jpeg);
  if (known) return known;
  const image = new Image();
  image.src = `data:image/jpeg;base64,${jpeg}`;
  const loading = image.decode().then(() => image);
  decoded.set(jpeg, loading);
  return loading;
}

/**
 * @param {import("./types.js").Patch[]} patches
 * @param {import("./types.js").Gallery} gallery
 * @param {import("./types.js").Field | null} field
 * @param {[number, number]} pictureSize
 * @returns {HTMLElement}
 */
export function drawPatches(patches, gallery, field, pictureSize) {
  const list = make("ul", "patches");
  for (const [index, row, column, value] of patches) {
    const [name, label] = [gallery.names[index], gallery.labels[index]];
    const item = make("li", "patch");
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Part of ${name}, ${label}, value ${number(value)}`);
    const caption = make("span", "patch-words", label);
    caption.append(make("small", "", number(value)));
    item.title = name;
    item.append(canvas, caption);
    list.append(item);
    void decode(gallery.pictures[index]).then((image) => cut(canvas, image, seenBox(field, [row, column], pictureSize), gallery.scale));
  }
  return list;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {HTMLImageElement} image
 * @param {import("./geometry.js").Box} box in picture pixels
 * @param {number} scale gallery pixels a picture pixel
 */
function cut(canvas, image, { left, top, width, height }, scale) {
  [canvas.width, canvas.height] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  canvas.getContext("2d")?.drawImage(image, left * scale, top * scale, width * scale, height * scale, 0, 0, canvas.width, canvas.height);
}
