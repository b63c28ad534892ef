/** Signed evidence over a photo: Grad-CAM and occlusion, for and against the answer, with what the numbers say. */
import { choiceRow, make } from "./controls.js";
import { cellAt, mapBox } from "./geometry.js";
import { drawLegend } from "./legend.js";
import { gridValues } from "./maps.js";
import { PhotoStage } from "./stage.js";
import { evidencePixels, highestMagnitude } from "./views.js";
import { beforeAfter, number, shortName, sureOf } from "./words.js";

/**
 * @typedef {{
 *   key: string, name: string, values: Float32Array, shape: [number, number], field: import("./types.js").Field | null,
 *   probability?: Float32Array
 * }} Evidence  one signed map; positive speaks for the answer
 */

/**
 * The Grad-CAMs of a photo, in the order of the network.
 * @param {import("./types.js").Page} page
 * @param {import("./types.js").Payload} payload
 * @returns {Evidence[]}
 */
export function camEvidence(page, payload) {
  return (page.camSteps ?? []).flatMap(({ name, field }) => {
    const grid = payload.cams?.[name];
    const block = page.blocks.find(({ response }) => response === name);
    return grid ? [{ key: name, name: block ? shortName(block) : name, values: gridValues(grid), shape: grid.shape, field }] : [];
  });
}

/**
 * @param {import("./types.js").Payload} payload
 * @returns {Evidence[]}
 */
export function occlusionEvidence(payload) {
  return (payload.occlusion ?? []).map(({ size, stride, grid, probability }) => ({
    key: size.join("×"), name: `${size[1]}×${size[0]}`, values: gridValues(grid), shape: grid.shape,
    probability: gridValues(probability),
    field: { rows: { size: size[0], stride: stride[0], start: 0 }, columns: { size: size[1], stride: stride[1], start: 0 } },
  }));
}

/**
 * What the two marks on a signed map say.
 * @param {Float32Array} values
 * @param {string} answer
 * @returns {string}
 */
export function evidenceWords(values, answer) {
  const [high, low] = [Math.max(...values), Math.min(...values)];
  if (high === 0 && low === 0) return "Zero everywhere: no place speaks for or against.";
  if (high <= 0) return `Nothing speaks for \u201c${answer}\u201d; \u2212 marks what speaks most against it.`;
  const most = `+ marks what speaks most for \u201c${answer}\u201d`;
  return low >= 0 ? `${most}; nothing speaks against it.` : `${most}, \u2212 what speaks most against it.`;
}

export class EvidenceCard {
  /**
   * @param {import("./types.js").Context} context
   * @param {{title: string, about: string, choice: string}} texts choice: what the row of buttons chooses
   */
  constructor(context, texts) {
    this.context = context;
    this.texts = texts;
    this.chosen = "";
    /** @type {Evidence[]} */
    this.all = [];
    this.element = make("article", "card evidence");
    this.stage = new PhotoStage(`${texts.title} over the photo. Arrow keys move the pointer.`, context.page.pictureSize, {
      onPoint: (x, y) => this.point(x, y), onLeave: () => this.rest(),
    });
    this.stage.element.addEventListener("blur", () => this.rest());
    this.isSmooth = true;
    this.choices = make("div", "choices");
    this.looks = make("div", "choices");
    const showLook = choiceRow(this.looks, "Look", [["smooth", "Smooth"], ["cells", "Cells"]], (look) => {
      this.isSmooth = look === "smooth";
      showLook(look);
      this.draw();
    });
    showLook("smooth");
    this.legend = make("div", "legend");
    this.readout = make("p", "readout");
    this.readout.setAttribute("aria-live", "polite");
    this.element.append(make("h3", "", texts.title), make("p", "quiet", texts.about), this.stage.element, this.legend, this.readout, this.choices, this.looks);
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {Evidence[]} all
   * @param {string | null} [first] the one to show first
   */
  show(photo, all, first = null) {
    this.all = all;
    this.photo = photo;
    this.element.hidden = all.length === 0;
    if (!all.length) return;
    if (!all.some(({ key }) => key === this.chosen)) this.chosen = all.find(({ key }) => key === first)?.key ?? all[0].key;
    this.choices.hidden = all.length < 2;
    const showChoice = choiceRow(this.choices, this.texts.choice, all.map(({ key, name }) => [key, name]), (key) => {
      this.chosen = key;
      showChoice(key);
      this.draw();
    });
    showChoice(this.chosen);
    this.draw();
  }

  get evidence() {
    return /** @type {Evidence} */ (this.all.find(({ key }) => key === this.chosen));
  }

  get answer() {
    return this.photo?.facts.answer ?? "";
  }

  draw() {
    const { values, shape } = this.evidence;
    const limit = highestMagnitude(values);
    const paint = (/** @type {Float32Array} */ ramp) => evidencePixels(ramp, 1);
    this.stage.setPicture(/** @type {import("./types.js").LoadedPhoto} */ (this.photo).pictureUrl, this.texts.title);
    this.stage.setOverlay(evidencePixels(values, limit), shape, this.area);
    this.stage.overlay.classList.toggle("smooth", this.isSmooth);
    drawLegend(this.legend, { limit, signed: true, table: this.context.tables.signed, curve: "linear" }, this.unitWords(),
      { ends: [`against \u201c${this.answer}\u201d`, `for \u201c${this.answer}\u201d`], paint });
    this.rest();
  }

  /** Where the map lies on the photo. */
  get area() {
    const { shape, field } = this.evidence;
    return mapBox(field, shape, this.context.page.pictureSize);
  }

  unitWords() {
    return this.evidence.probability ? "Log-odds lost when a box is covered" : "Share in the log-odds, cell by cell";
  }

  rest() {
    this.stage.frame("covered", null);
    if (!this.all.length) return;
    const { values, shape: [rows, columns] } = this.evidence;
    const { left, top, width, height } = this.area;
    const mark = (/** @type {string} */ kind, /** @type {number} */ value, /** @type {string} */ sign) => {
      const at = values.indexOf(value);
      const middle = { left: left + ((at % columns) + 0.5) * (width / columns), top: top + (Math.floor(at / columns) + 0.5) * (height / rows), width: 0, height: 0 };
      this.stage.frame(kind, value * (sign === "+" ? 1 : -1) > 0 ? middle : null, sign);
    };
    mark("most for", Math.max(...values), "+");
    mark("most against", Math.min(...values), "\u2212");
    this.readout.textContent = evidenceWords(values, this.answer);
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  point(x, y) {
    const { values, shape, field, probability } = this.evidence;
    const cell = cellAt(this.area, shape, x, y);
    if (!cell) return this.rest();
    const at = cell[0] * shape[1] + cell[1];
    if (!probability) {
      this.readout.textContent = `${number(values[at])} in log-odds: speaks ${values[at] > 0 ? "for" : "against"} \u201c${this.answer}\u201d.`;
      return undefined;
    }
    this.frameCovered(/** @type {import("./types.js").Field} */ (field), cell);
    const before = this.photo ? sureOf(this.context.page, this.photo) : 0;
    this.readout.textContent = `Without this box: ${beforeAfter(this.answer, before, -probability[at])}; log-odds ${number(-values[at])}.`;
    return undefined;
  }

  /**
   * @param {import("./types.js").Field} field
   * @param {[number, number]} cell
   */
  frameCovered({ rows, columns }, [row, column]) {
    const [height, width] = this.context.page.pictureSize;
    const [top, left] = [row * rows.stride, column * columns.stride];
    this.stage.frame("covered", {
      left, top, width: Math.min(columns.size, width - left), height: Math.min(rows.size, height - top),
    });
  }
}
