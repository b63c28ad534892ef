/** A photo to point at: maps over it, frames on it, a pointer, arrow keys, and boxes drawn with either. */
import { make } from "./controls.js";

/**
 * @typedef {import("./geometry.js").Box} Area
 * @typedef {{onPoint?: (x: number, y: number) => void, onLeave?: () => void, onDraw?: (box: import("./types.js").Box, done: boolean) => void,
 *   onKey?: (event: KeyboardEvent) => boolean}} StageActions  onKey says whether it took the key
 */

const POINT_KEYS = /** @type {Record<string, [number, number]>} */ ({
  ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0],
});

export class PhotoStage {
  /**
   * @param {string} label what it is for, to a reader who does not see it
   * @param {[number, number]} size height and width of the picture
   * @param {StageActions} [actions]
   */
  constructor(label, size, actions = {}) {
    this.size = size;
    this.actions = actions;
    /** @type {[number, number]} */
    this.point = [size[1] / 2, size[0] / 2];
    /** @type {[number, number] | null} */
    this.start = null;
    this.element = make("div", "stage");
    this.element.style.aspectRatio = `${size[1]} / ${size[0]}`;
    this.picture = make("img", "picture");
    this.picture.draggable = false;
    this.picture.alt = "";
    this.overlay = make("canvas", "overlay");
    this.overlay.hidden = true;
    this.overlay.setAttribute("aria-hidden", "true");
    this.element.append(this.picture, this.overlay);
    /** @type {Map<string, HTMLElement>} */
    this.frames = new Map();
    if (actions.onPoint || actions.onDraw) this.listen(label);
    else this.describe(label);
  }

  /** @param {string} label */
  describe(label) {
    this.element.setAttribute("role", this.isLive ? "application" : "img");
    this.element.setAttribute("aria-label", label);
  }

  get isLive() {
    return Boolean(this.actions.onPoint || this.actions.onDraw);
  }

  /** @param {string} label */
  listen(label) {
    this.describe(label);
    this.element.tabIndex = 0;
    this.element.classList.add("live");
    this.element.addEventListener("pointerdown", (event) => this.onDown(event));
    this.element.addEventListener("pointermove", (event) => this.onMove(event));
    this.element.addEventListener("pointerup", (event) => this.onUp(event));
    this.element.addEventListener("pointerleave", () => this.actions.onLeave?.());
    this.element.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** @param {PointerEvent} event @returns {[number, number]} x and y in picture pixels */
  where(event) {
    const box = this.element.getBoundingClientRect();
    const clamp = (/** @type {number} */ share) => Math.min(1, Math.max(0, share));
    return [
      clamp((event.clientX - box.left) / box.width) * this.size[1], clamp((event.clientY - box.top) / box.height) * this.size[0],
    ];
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    this.point = this.where(event);
    this.actions.onPoint?.(...this.point);
    if (!this.actions.onDraw) return;
    this.start = this.point;
    this.element.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    if (this.start) this.actions.onDraw?.(spanBox(this.start, this.where(event)), false);
    else if (this.actions.onPoint && event.pointerType !== "touch") this.actions.onPoint(...this.where(event));
    else if (this.actions.onPoint && event.buttons) this.actions.onPoint(...this.where(event));
  }

  /** @param {PointerEvent} event */
  onUp(event) {
    if (!this.start) return;
    const box = spanBox(this.start, this.where(event));
    this.start = null;
    if (box[2] - box[0] >= 2 && box[3] - box[1] >= 2) this.actions.onDraw?.(box, true);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (this.actions.onKey?.(event)) {
      event.preventDefault();
      return;
    }
    const move = POINT_KEYS[event.key];
    if (!move || !this.actions.onPoint) return;
    event.preventDefault();
    const far = event.shiftKey ? 1 : this.size[1] / 24;
    const [x, y] = [this.inside(this.point[0] + move[0] * far, 1), this.inside(this.point[1] + move[1] * far, 0)];
    this.point = [x, y];
    this.actions.onPoint(x, y);
  }

  /**
   * @param {number} value
   * @param {0 | 1} axis
   */
  inside(value, axis) {
    return Math.min(this.size[axis] - 0.5, Math.max(0.5, value));
  }

  /**
   * @param {string} url
   * @param {string} alt
   */
  setPicture(url, alt) {
    this.picture.src = url;
    if (!this.isLive) this.element.setAttribute("aria-label", alt);
  }

  /**
   * Lay a picture over the photo.
   * @param {Uint8ClampedArray<ArrayBuffer>} pixels RGBA
   * @param {[number, number]} shape its rows and columns
   * @param {Area} area where it lies
   */
  setOverlay(pixels, shape, area) {
    this.overlay.hidden = false;
    [this.overlay.width, this.overlay.height] = [shape[1], shape[0]];
    this.overlay.getContext("2d")?.putImageData(new ImageData(pixels, shape[1], shape[0]), 0, 0);
    this.place(this.overlay, area);
  }

  /**
   * Frame a part of the photo.
   * @param {string} kind class name of the frame; one of each kind
   * @param {Area | null} area null takes it away
   * @param {string} [text]
   */
  frame(kind, area, text = "") {
    let frame = this.frames.get(kind);
    if (!frame) {
      frame = make("div", `frame ${kind}`);
      frame.setAttribute("aria-hidden", "true");
      this.frames.set(kind, frame);
      this.element.append(frame);
    }
    frame.hidden = !area;
    frame.replaceChildren(...(text ? [make("span", "", text)] : []));
    if (area) this.place(frame, area);
  }

  /**
   * @param {HTMLElement} element
   * @param {Area} area
   */
  place(element, area) {
    const [height, width] = this.size;
    element.style.left = `${(area.left / width) * 100}%`;
    element.style.top = `${(area.top / height) * 100}%`;
    element.style.width = `${(area.width / width) * 100}%`;
    element.style.height = `${(area.height / height) * 100}%`;
  }
}

/**
 * The box between two points, in whole pixels.
 * @param {[number, number]} from
 * @param {[number, number]} to
 * @returns {import("./types.js").Box}
 */
export function spanBox(from, to) {
  return [
    Math.floor(Math.min(from[0], to[0])), Math.floor(Math.min(from[1], to[1])),
    Math.ceil(Math.max(from[0], to[0])), Math.ceil(Math.max(from[1], to[1])),
  ];
}

/**
 * @param {import("./types.js").Box} box
 * @returns {Area}
 */
export function areaOf([left, top, right, bottom]) {
  return { left, top, width: right - left, height: bottom - top };
}
