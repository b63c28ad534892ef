/** Signed evidence over a photo: Grad-CAM and occlusion, for and against, with what the numbers say. */
import { choiceRow, make } from "./controls.js";
import { cellAt, mapBox, placeWords } from "./geometry.js";
import { drawLegend } from "./legend.js";
import { gridValues } from "./maps.js";
import { PhotoStage } from "./stage.js";
import { highestMagnitude } from "./views.js";
import { number, points, shortName } from "./words.js";

/**
 * @typedef {{
 *   key: string, name: string, values: Float32Array, shape: [number, number], field: import("./types.js").Field | null,
 *   probability?: Float32Array
 * }} Evidence  one signed map; positive speaks for the target
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
 * Where a signed map speaks for the target, and where against, in a sentence.
 * @param {Evidence} evidence
 * @param {string} target
 * @param {string} other
 * @returns {string}
 */
export function evidenceWords({ values, shape }, target, other) {
  const [high, low] = [Math.max(...values), Math.min(...values)];
  const place = (/** @type {number} */ value) => {
    const at = values.indexOf(value);
    return placeWords(Math.floor(at / shape[1]), at % shape[1], shape);
  };
  if (high === 0 && low === 0) return "Zero everywhere: no place speaks for or against.";
  if (high <= 0) return `Nothing speaks for ${target}; the ${place(low)} speaks most for ${other}.`;
  if (low >= 0) return `The ${place(high)} speaks most for ${target}; nothing speaks for ${other}.`;
  return `The ${place(high)} speaks most for ${target}, the ${place(low)} for ${other}.`;
}

/**
 * @param {import("./types.js").Page} page
 * @param {string} target
 * @returns {string} the other of two classes, else “other classes”
 */
export function otherClass(page, target) {
  return page.classes.length === 2 ? page.classes[1 - page.classes.indexOf(target)] : "other classes";
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
    this.choices = make("div", "choices");
    this.legend = make("div", "legend");
    this.readout = make("p", "readout");
    this.readout.setAttribute("aria-live", "polite");
    this.element.append(make("h3", "", texts.title), make("p", "quiet", texts.about), this.stage.element, this.legend, this.readout, this.choices);
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

  get target() {
    return this.photo?.facts.target ?? this.photo?.facts.answer ?? "";
  }

  draw() {
    const { values, shape, field } = this.evidence;
    const { page, tables } = this.context;
    const colors = { limit: highestMagnitude(values), signed: true, table: tables.signed, curve: /** @type {const} */ ("linear") };
    this.stage.setPicture(/** @type {import("./types.js").LoadedPhoto} */ (this.photo).pictureUrl, this.texts.title);
    this.stage.setOverlay(values, shape, mapBox(field, shape, page.pictureSize), colors, 0.5);
    const other = otherClass(page, this.target);
    drawLegend(this.legend, colors, `${this.unitWords()}`, { ends: [`for ${other}`, `for ${this.target}`] });
    this.rest();
  }

  unitWords() {
    return this.evidence.probability ? "Log-odds lost when a box is covered" : "Share in the log-odds, cell by cell";
  }

  rest() {
    this.stage.frame("covered", null);
    if (this.all.length) this.readout.textContent = evidenceWords(this.evidence, this.target, otherClass(this.context.page, this.target));
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  point(x, y) {
    const { values, shape, field, probability } = this.evidence;
    const cell = cellAt(mapBox(field, shape, this.context.page.pictureSize), shape, x, y);
    if (!cell) return this.rest();
    const at = cell[0] * shape[1] + cell[1];
    if (!probability) {
      this.readout.textContent = `${number(values[at])} in log-odds: speaks ${values[at] > 0 ? `for ${this.target}` : `for ${otherClass(this.context.page, this.target)}`}.`;
      return undefined;
    }
    this.frameCovered(/** @type {import("./types.js").Field} */ (field), cell);
    const before = this.photo?.facts.probabilityTarget;
    const after = before === undefined ? "" : ` (from ${points(before)} to ${points(before - probability[at])})`;
    this.readout.textContent = `Covered, this box changes ${this.target} by ${points(-probability[at], true)}${after}; log-odds ${number(-values[at])}.`;
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
