/** A box drawn by the reader: its numbers, its keys, and what covering it does to the answer. */
import { make } from "./controls.js";
import { makeMeasurer } from "./covering.js";
import { gridValues } from "./maps.js";
import { nearestCovered } from "./ranking.js";
import { beforeAfter, chanceWords, percent, points, sureOf } from "./words.js";

const NAMES = /** @type {const} */ (["Left", "Top", "Right", "Bottom"]);
const LEAST_OVERLAP = 0.8; // of a measured box that may stand for a drawn one
const BOX_KEYS = /** @type {Record<string, [number, number]>} */ ({
  ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0],
});

/** @typedef {{change: number, nulls: number[], wanted: number}} Measured  live: change by the box, by random ones so far */

export class DrawnBox {
  /** @param {import("./types.js").Context} context */
  constructor(context) {
    this.context = context;
    this.box = /** @type {import("./types.js").Box} */ ([0, 0, 1, 1]);
    /** @type {() => void} */
    this.onResult = () => {};
    /** @type {Measured | null} */
    this.measured = null;
    this.measurer = makeMeasurer(context);
    this.measuredFor = "";
    this.element = make("div", "box-numbers");
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", "The box in pixels");
    this.inputs = NAMES.map((name, i) => this.makeInput(name, i));
  }

  /**
   * @param {string} name
   * @param {number} i
   */
  makeInput(name, i) {
    const label = make("label", "", name);
    const input = make("input");
    input.type = "number";
    input.min = "0";
    input.max = String(this.context.page.pictureSize[i % 2 ? 0 : 1]);
    input.addEventListener("change", () => {
      const box = /** @type {import("./types.js").Box} */ ([...this.box]);
      box[i] = Number(input.value);
      if (box.every(Number.isFinite)) this.context.change({ box: this.inside(box) });
    });
    label.append(input);
    this.element.append(label);
    return input;
  }

  /** @param {import("./types.js").Box} box @returns {import("./types.js").Box} whole pixels, within the picture, never empty */
  inside([left, top, right, bottom]) {
    const [height, width] = this.context.page.pictureSize;
    const [x, y] = [clampTo(left, 0, width - 1), clampTo(top, 0, height - 1)];
    return [x, y, clampTo(right, x + 1, width), clampTo(bottom, y + 1, height)];
  }

  /**
   * @param {KeyboardEvent} event
   * @param {(box: import("./types.js").Box) => void} onBox
   * @returns {boolean}
   */
  onKey(event, onBox) {
    const move = BOX_KEYS[event.key];
    if (!move) return false;
    const [left, top, right, bottom] = this.box;
    const [height, width] = this.context.page.pictureSize;
    const step = Math.max(1, Math.round(width / 36));
    const [dx, dy] = [move[0] * step, move[1] * step];
    if (event.shiftKey) onBox(this.inside([left, top, right + dx, bottom + dy]));
    else {
      const x = clampTo(left + dx, 0, width - (right - left));
      const y = clampTo(top + dy, 0, height - (bottom - top));
      onBox([x, y, x + right - left, y + bottom - top]);
    }
    return true;
  }

  /** @param {import("./types.js").Box} box */
  show(box) {
    this.box = box;
    this.inputs.forEach((input, i) => {
      if (document.activeElement !== input) input.value = String(box[i]);
    });
  }

  /**
   * Measure a box that rests on the page, once.
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").Box} box
   */
  wish(photo, box) {
    if (this.measurer && this.measuredFor !== `${photo.index} ${box}`) this.measure(photo, box);
  }

  /**
   * Cover the box and let the network answer, where the page can run it.
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").Box} box
   */
  measure(photo, box) {
    this.measured = null;
    const asked = `${photo.index} ${box}`;
    this.measuredFor = asked;
    void this.measurer?.(photo, box, (measured) => {
      if (this.measuredFor !== asked) return;
      this.measured = measured;
      this.onResult();
    });
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").Box} box
   * @returns {{text: string, rows: Parameters<typeof import("./chart.js").intervalChart>[0], limit: number}}
   */
  words(photo, box) {
    const [height, width] = this.context.page.pictureSize;
    const share = percent(((box[2] - box[0]) * (box[3] - box[1])) / (height * width));
    const start = `Your box covers ${share} of the photo.`;
    if (this.measuredFor !== `${photo.index} ${box}`) this.measured = null;
    if (this.measured) return this.liveWords(photo, start, this.measured);
    if (this.measurer) return { text: `${start} The network answers without it \u2026`, rows: [], limit: 1 };
    const nearest = nearestCovered(photo.payload.occlusion ?? [], box, [height, width]);
    const instead = "Boxes in a regions.csv beside a photo are measured by \u201cconvlens explain\u201d.";
    if (!nearest || nearest.overlap < LEAST_OVERLAP) {
      const why = this.context.page.programWhy || "This page does not hold the whole network.";
      const most = nearest ? ` The box most like it that was measured has ${percent(nearest.overlap)} in common with it, too little to stand for it.` : "";
      return { text: `${start} What the network answers without it is not known here. ${why}${most} ${instead}`, rows: [], limit: 1 };
    }
    const changes = gridValues(nearest.occlusion.probability).map((effect) => -effect);
    const [change, low, high] = [changes[nearest.index], Math.min(...changes), Math.max(...changes)];
    const { answer } = photo.facts;
    const words = `${start} A measured box has ${percent(nearest.overlap)} in common with it; without that one: ${beforeAfter(answer, sureOf(this.context.page, photo), change)}.`;
    return { text: words, limit: Math.max(Math.abs(low), Math.abs(high), 0.01), rows: [
      { name: "That box", estimate: { value: change, low: null, high: null }, text: points(change, true) },
      { name: `All ${changes.length} boxes`, estimate: { value: null, low: null, high: null }, text: `${points(low, true)} to ${points(high, true)}`, kind: "null", band: [low, high] },
    ] };
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {string} start
   * @param {Measured} measured
   */
  liveWords(photo, start, { change, nulls, wanted }) {
    const [low, high] = [Math.min(...nulls), Math.max(...nulls)];
    const range = `${points(low, true)} to ${points(high, true)}`;
    const beyond = change > high || change < low;
    const chance = nulls.length < wanted ? `Random boxes: ${nulls.length} of ${wanted} so far.`
      : `${beyond ? `None of ${wanted} random boxes of the same size does as much; by chance that happens ${chanceWords(wanted)}` : `No more than ${wanted} random boxes of the same size`} (${range}).`;
    const rows = [{ name: "Your box", estimate: { value: change, low: null, high: null }, text: points(change, true) }];
    const band = nulls.length ? [{ name: `${nulls.length} random boxes`, estimate: { value: null, low: null, high: null }, text: range, kind: "null", band: /** @type {[number, number]} */ ([low, high]) }] : [];
    const limit = Math.max(Math.abs(change), ...nulls.map(Math.abs), 0.01);
    const words = `${start} Without it: ${beforeAfter(photo.facts.answer, sureOf(this.context.page, photo), change)}. ${chance}`;
    return { text: words, rows: [...rows, ...band], limit };
  }
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
function clampTo(value, low, high) {
  return Math.round(Math.min(high, Math.max(low, value)));
}
