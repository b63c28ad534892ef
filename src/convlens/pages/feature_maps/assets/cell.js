/** One cell: what it sees, patch times kernel for every channel, and every step up to its value. */
import { choiceRow, make } from "./controls.js";
import { seenBox, seesWords } from "./geometry.js";
import { drawLegend } from "./legend.js";
import { kernelWeights } from "./kernels.js";
import { MapCanvas } from "./map_canvas.js";
import { FilterPicker, pickFilter } from "./picker.js";
import { ProductList } from "./products.js";
import { PhotoStage } from "./stage.js";
import { readInput, traceCell } from "./trace.js";
import { chainParts, checkWords, isWorkedOut, sizeLines, storingError, workedWords } from "./trace_words.js";
import { scaleLimit } from "./views.js";
import { number } from "./words.js";

export class CellView {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Context} context
   */
  constructor(host, context) {
    this.context = context;
    this.stepIndex = -1;
    this.key = "";
    this.stepBlock = "";
    this.k = -1;
    /** @type {import("./trace.js").Layer | null} */
    this.input = null;
    /** @type {Float32Array} */
    this.weights = new Float32Array();
    this.picker = new FilterPicker(context, "to work out");
    this.steps = make("div", "choices");
    this.stage = new PhotoStage("The photo, with what the cell sees framed", context.page.pictureSize);
    this.map = new MapCanvas((cell) => context.change({ ...this.named(), cell }));
    this.stageWords = make("figcaption");
    this.mapWords = make("figcaption");
    this.legend = make("div", "legend");
    this.chain = make("ol", "chain");
    this.check = make("p", "check");
    this.check.setAttribute("aria-live", "polite");
    this.products = new ProductList(context.tables);
    this.sizes = make("ul", "plain-list");
    this.notice = make("p", "notice");
    this.layOut(host);
  }

  /** @param {HTMLElement} host */
  layOut(host) {
    const bar = make("div", "controls-row");
    const control = make("div", "control");
    control.append(make("span", "control-name", "Value after"), this.steps);
    bar.append(this.picker.element, control);
    const figures = make("div", "cell-figures");
    const [photo, map] = [make("figure"), make("figure")];
    photo.append(this.stage.element, this.stageWords);
    map.append(this.map.element, this.mapWords, this.legend);
    figures.append(photo, map);
    this.sum = make("div", "cell-sum card");
    this.sum.append(make("h3", "", "From the patch to the value"), this.chain, this.check);
    this.parts = make("div", "card wide");
    this.parts.append(make("h3", "", "Patch times kernel, channel by channel"), this.products.element);
    this.where = make("div", "card wide");
    this.where.append(make("h3", "", "Padding, stride and size"), this.sizes);
    const top = make("div", "cell-top");
    top.append(figures, this.sum);
    host.append(bar, this.notice, top, this.parts, this.where);
  }

  /** The filter shown, for the address. */
  named() {
    const { block, k } = /** @type {import("./picker.js").Pick} */ (this.pick);
    return { block: block.name, filter: block.shown[k] };
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  show(photo) {
    const { page, state } = this.context;
    const old = this.key;
    this.photo = photo;
    this.pick = pickFilter(page, state, photo.maps);
    this.key = `${photo.index} ${this.pick.block.name}`;
    if (this.key !== old) this.open(photo);
    if (this.key !== old || this.pick.k !== this.k) this.paintMap(photo);
    this.k = this.pick.k;
    this.update(photo);
  }

  /** Another photo or layer: its steps, its input, its kernel. @param {import("./types.js").LoadedPhoto} photo */
  open(photo) {
    const { block } = /** @type {import("./picker.js").Pick} */ (this.pick);
    const response = block.steps.findIndex((step) => step.name === block.response);
    const { state } = this.context;
    if (!this.stepBlock && state.step >= 0 && state.step < block.steps.length) this.stepIndex = state.step; // of the address
    else if (this.stepBlock !== block.name) [this.stepIndex, state.step] = [response, -1];
    this.stepBlock = block.name;
    const show = choiceRow(this.steps, "Value after", block.steps.map((step, i) => [String(i), step.label]), (chosen) => {
      this.stepIndex = Number(chosen);
      show(chosen);
      this.context.change({ ...this.named(), cell: null, step: this.stepIndex });
      this.paintMap(photo);
    });
    show(String(this.stepIndex));
    this.stage.setPicture(photo.pictureUrl, `${photo.facts.name}, with what the cell sees framed`);
    const weights = kernelWeights(this.context.resource("kernels"), block.name);
    this.weights = weights && block.arithmetic ? weights : new Float32Array();
    this.input = this.weights.length && block.arithmetic ? readInput(block.arithmetic.input, photo.maps, photo.picture) : null;
    this.products.reset();
  }

  get step() {
    return /** @type {import("./picker.js").Pick} */ (this.pick).block.steps[this.stepIndex];
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  paintMap(photo) {
    const { k } = /** @type {import("./picker.js").Pick} */ (this.pick);
    const maps = /** @type {import("./types.js").Maps} */ (photo.maps.get(this.step.name));
    const limit = scaleLimit("layer", maps, k, this.context.page.limits[this.step.name]);
    const signed = !this.step.rectified;
    const { tables } = this.context;
    const colors = { limit, signed, table: signed ? tables.signed : tables.positive, curve: /** @type {const} */ ("root") };
    this.map.paint(maps.tiles[k], this.step.shape, colors);
    drawLegend(this.legend, colors, "One scale for this layer, root colors");
  }

  /** The cell of the address, else the strongest. @param {import("./types.js").Maps} maps @returns {[number, number]} */
  cellOf(maps) {
    const { cell } = this.context.state;
    if (cell && cell[0] < maps.height && cell[1] < maps.width) return cell;
    const { k } = /** @type {import("./picker.js").Pick} */ (this.pick);
    const values = maps.tiles[k];
    let best = 0;
    for (let i = 1; i < values.length; i += 1) if (values[i] > values[best]) best = i;
    return [Math.floor(best / maps.width), best % maps.width];
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  update(photo) {
    const { block, k } = /** @type {import("./picker.js").Pick} */ (this.pick);
    const maps = /** @type {import("./types.js").Maps} */ (photo.maps.get(this.step.name));
    const cell = this.cellOf(maps);
    const value = maps.tiles[k][cell[0] * maps.width + cell[1]];
    this.picker.show(/** @type {import("./picker.js").Pick} */ (this.pick));
    this.frame(cell);
    this.mapWords.textContent = `${this.step.label}, ${this.step.shape.join("×")}. Row ${cell[0]}, column ${cell[1]}: ${number(value)}`;
    this.map.element.setAttribute("aria-label", `Map of ${block.name} ${block.shown[k]}, ${this.mapWords.textContent}. Arrow keys move from cell to cell.`);
    this.notice.hidden = Boolean(this.input);
    this.notice.textContent = this.whyNot(block);
    for (const part of [this.sum, this.parts, this.where]) if (part) part.hidden = !this.input;
    if (this.input) this.work(block, k, cell, value, maps);
  }

  /** @param {import("./types.js").Block} block */
  whyNot(block) {
    const why = block.why || (block.isConvolution ? "the page does not carry its kernels" : "it is no convolution");
    return `The arithmetic of ${block.name} is not shown: ${why.replace(/\.$/, "")}.`;
  }

  /** @param {[number, number]} cell */
  frame(cell) {
    const { page } = this.context;
    const seen = seenBox(this.step.field, cell, page.pictureSize);
    this.stage.frame("field-box", seen);
    this.map.cell = cell;
    this.map.mark([{ cells: [cell], kind: "cell-box" }]);
    this.stageWords.textContent = `This cell sees ${seesWords(this.step.field, seen.cut)}.`;
  }

  /**
   * @param {import("./types.js").Block} block
   * @param {number} k
   * @param {[number, number]} cell
   * @param {number} stored
   * @param {import("./types.js").Maps} maps
   */
  work(block, k, cell, stored, maps) {
    const input = /** @type {import("./trace.js").Layer} */ (this.input);
    const trace = traceCell(block, this.weights, input, k, this.stepIndex, cell);
    this.chain.replaceChildren(...chainParts(trace, block).map(({ value, name, detail, kind }) => {
      const item = make("li", kind);
      item.append(make("span", "chain-name", name), make("strong", "", value), make("span", "chain-detail", detail));
      return item;
    }));
    this.check.textContent = isWorkedOut(block, this.stepIndex)
      ? workedWords(trace, block)
      : checkWords(trace, stored, storingError(block, this.step, maps.tiles[k]));
    this.products.show(trace.convolved, /** @type {import("./types.js").Arithmetic} */ (block.arithmetic));
    this.sizes.replaceChildren(...sizeLines(trace, block, input.shape).map((line) => make("li", "", line)));
  }
}
