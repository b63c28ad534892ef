/** The lecture's first example, live: a 6×6 picture, a 3×3 kernel, what comes out, ReLU and pooling. */
import { choiceRow, make } from "./controls.js";
import { cutPatch, poolWinner, sizeFormula } from "./convolve.js";
import { KERNELS, LECTURE_IMAGES, lectureImage, runLecture, windowSquare } from "./lecture.js";
import { Matrix } from "./matrix.js";
import { number, plural } from "./words.js";

/** @typedef {{stage: "result" | "pooled", cell: [number, number]}} Aim */

export class EdgeBench {
  /**
   * @param {HTMLElement} host
   * @param {{signed: Uint8Array}} tables
   */
  constructor(host, tables) {
    this.host = host;
    this.table = tables.signed;
    /** @type {import("./lecture.js").Setup} */
    this.setup = { image: "left", kernel: "vertical", padding: 0, stride: 1, relu: false, pool: "max" };
    this.image = lectureImage("left");
    this.run = runLecture(this.image, this.setup);
    /** @type {Aim} */
    this.aim = { stage: "result", cell: [1, 1] };
    this.matrices = this.makeMatrices();
    this.stage = make("div", "lecture");
    this.readout = make("p", "lecture-readout");
    this.readout.setAttribute("aria-live", "polite");
    this.formula = make("p", "formula");
    this.stages = this.layOut();
    host.append(this.makeControls(), this.stage, this.readout, this.formula);
    this.update();
  }

  makeMatrices() {
    const aimAt = (/** @type {"result" | "pooled"} */ stage) => ({
      onPoint: (/** @type {[number, number] | null} */ cell) => cell && this.point({ stage, cell }),
    });
    return {
      image: new Matrix("The picture; press a cell to turn it bright or dark", { onPress: (cell) => this.turn(cell) }),
      kernel: new Matrix("The kernel"),
      result: new Matrix("What the convolution gives; point at a cell", aimAt("result")),
      active: new Matrix("After ReLU"),
      pooled: new Matrix("After pooling; point at a cell", aimAt("pooled")),
    };
  }

  layOut() {
    const { image, kernel, result, active, pooled } = this.matrices;
    const figure = (/** @type {Matrix} */ matrix, /** @type {string} */ title) => {
      const box = make("figure", "sheet");
      const caption = make("figcaption", "", title);
      box.append(caption, matrix.element);
      return { box, caption };
    };
    const stages = {
      image: figure(image, "Picture"), kernel: figure(kernel, "Kernel"), result: figure(result, "Convolution"),
      active: figure(active, "ReLU"), pooled: figure(pooled, "Pooling"),
    };
    const sign = (/** @type {string} */ text) => make("span", "sign", text);
    const arrow = sign("→");
    this.stage.append(stages.image.box, sign("∗"), stages.kernel.box, sign("="), stages.result.box, arrow, stages.active.box, sign("→"), stages.pooled.box);
    return { ...stages, arrow };
  }

  makeControls() {
    const bar = make("div", "controls-row");
    const row = (/** @type {string} */ name, /** @type {[any, string, string?][]} */ choices, /** @type {keyof import("./lecture.js").Setup} */ key) => {
      const control = make("div", "control");
      const host = make("div", "choices");
      const show = choiceRow(host, name, choices.map(([value, text, hint]) => [String(value), text, hint]), (chosen) => {
        const value = choices.find((choice) => String(choice[0]) === chosen)?.[0];
        this.change({ [key]: value });
        show(chosen);
      });
      show(String(this.setup[key]));
      control.append(make("span", "control-name", name), host);
      bar.append(control);
    };
    row("Picture", Object.entries(LECTURE_IMAGES).map(([key, { name }]) => [key, name]), "image");
    row("Kernel", Object.entries(KERNELS).map(([key, { name, says }]) => [key, name, says]), "kernel");
    row("Padding", [[0, "0"], [1, "1"], [2, "2"]], "padding");
    row("Stride", [[1, "1"], [2, "2"], [3, "3"]], "stride");
    row("ReLU", [[false, "off"], [true, "on"]], "relu");
    row("Pooling", [["max", "largest"], ["average", "mean"]], "pool");
    return bar;
  }

  /** @param {Partial<import("./lecture.js").Setup>} part */
  change(part) {
    Object.assign(this.setup, part);
    if (part.image) this.image = lectureImage(part.image);
    this.update();
  }

  /** @param {[number, number]} cell of the picture, padding included */
  turn([row, column]) {
    const { padding } = this.setup;
    const place = (row - padding) * 6 + column - padding;
    const inside = row >= padding && row < 6 + padding && column >= padding && column < 6 + padding;
    if (!inside) return;
    this.image[place] = this.image[place] > 0 ? 0 : 10;
    this.update();
  }

  update() {
    this.run = runLecture(this.image, this.setup);
    this.showImage();
    this.showSheets();
    const { relu, padding } = this.setup;
    this.stages.active.box.hidden = this.stages.arrow.hidden = !relu;
    this.stages.image.caption.textContent = padding ? `Picture 6×6, padding ${padding}` : "Picture 6×6";
    this.formula.textContent = this.sizeWords();
    this.point(this.aim);
  }

  showImage() {
    const { padding } = this.setup;
    const side = 6 + 2 * padding;
    const whole = { size: side, stride: 1, before: padding };
    const padded = cutPatch(this.image, [6, 6], [0, 0], [whole, whole]);
    const outside = (/** @type {number} */ i) => i < padding || i >= 6 + padding;
    const lost = (/** @type {number} */ i) => i >= side - this.run.dropped;
    this.matrices.image.show(padded, [side, side], {
      text: number,
      color: (value) => /** @type {[number, number, number]} */ (Array(3).fill(40 + 21 * value)),
      name: (row, column) => `${number(padded[row * side + column])}, row ${row}, column ${column}${outside(row) || outside(column) ? ", padding" : ""}`,
      kind: (row, column) => `${outside(row) || outside(column) ? "padded" : ""} ${lost(row) || lost(column) ? "dropped" : ""}`.trim(),
    });
  }

  showSheets() {
    const { result, active, pooled } = this.run;
    const limit = Math.max(...result.values.map(Math.abs), 1);
    this.matrices.kernel.show(KERNELS[this.setup.kernel].values, [3, 3], this.signed(this.kernelLimit()));
    this.matrices.result.show(result.values, result.shape, this.signed(limit));
    this.matrices.active.show(active.values, active.shape, this.signed(limit));
    if (pooled) this.matrices.pooled.show(pooled.values, pooled.shape, this.signed(limit));
    this.stages.pooled.box.hidden = !pooled;
    this.stages.result.caption.textContent = `Convolution ${result.shape.join("×")}`;
    this.stages.pooled.caption.textContent = `${this.setup.pool === "max" ? "Largest" : "Mean"} of each 2×2`;
  }

  kernelLimit() {
    return Math.max(...KERNELS[this.setup.kernel].values.map(Math.abs));
  }

  /** @param {number} limit @returns {import("./matrix.js").Face} */
  signed(limit) {
    return {
      text: (value) => (Math.abs(value) < 1 && value !== 0 ? number(Number(value.toFixed(2))) : number(Number(value.toFixed(1)))),
      color: (value) => {
        const at = Math.round(((Math.max(-1, Math.min(1, value / limit)) + 1) / 2) * 255) * 3;
        return [this.table[at], this.table[at + 1], this.table[at + 2]];
      },
    };
  }

  sizeWords() {
    const { slide, dropped, result } = this.run;
    const formula = `Size: ⌊(n + 2p − f) / s⌋ + 1 = ${sizeFormula(6, slide)}.`;
    const lost = dropped ? ` ${plural(dropped, "row and column", "rows and columns")} at the end ${dropped === 1 ? "is" : "are"} never seen (hatched).` : "";
    return `${formula}${lost} ${result.shape[0] < 6 ? "The border is lost; padding would keep it." : "Padding keeps the size."}`;
  }

  /** @param {Aim} aim */
  point(aim) {
    const shape = aim.stage === "pooled" ? this.run.pooled?.shape : this.run.result.shape;
    if (!shape || aim.cell[0] >= shape[0] || aim.cell[1] >= shape[1]) aim = { stage: "result", cell: [0, 0] };
    this.aim = aim;
    const cell = this.resultCell();
    this.mark(cell);
    this.readout.textContent = this.words(cell);
  }

  /** The cell of the convolution that the pointed cell comes from. @returns {[number, number]} */
  resultCell() {
    const { pooling, active } = this.run;
    if (this.aim.stage === "result" || !pooling) return this.aim.cell;
    return poolWinner(active.values, active.shape, this.aim.cell, [pooling, pooling]).cell;
  }

  /** @param {[number, number]} cell of the convolution */
  mark(cell) {
    const { image, result, active, pooled } = this.matrices;
    const { pooling } = this.run;
    const pools = this.aim.stage === "pooled" && pooling;
    image.mark(windowSquare(cell, { ...this.run.slide, before: 0 }), "seen");
    for (const matrix of [result, active]) {
      matrix.mark([cell], "aimed");
      matrix.mark(pools ? windowSquare(this.aim.cell, pooling) : [], "seen");
    }
    pooled.mark(pools ? [this.aim.cell] : [], "aimed");
  }

  /** @param {[number, number]} cell @returns {string} */
  words(cell) {
    const { slide, result, pooled } = this.run;
    const patch = cutPatch(this.image, [6, 6], cell, [slide, slide]);
    const kernel = KERNELS[this.setup.kernel];
    const value = result.values[cell[0] * result.shape[1] + cell[1]];
    const show = this.signed(1).text;
    const terms = kernel.values.flatMap((weight, i) => (weight ? [`${show(patch[i])}·${weight < 0 ? `(${show(weight)})` : show(weight)}`] : []));
    const sum = `Row ${cell[0]}, column ${cell[1]}: ${terms.join(" + ")} = ${show(value)}.`;
    const cut = this.setup.relu && value < 0 ? " ReLU makes it 0." : "";
    if (this.aim.stage !== "pooled" || !pooled) return `${sum}${cut} This kernel looks for ${kernel.says}.`;
    const at = pooled.values[this.aim.cell[0] * pooled.shape[1] + this.aim.cell[1]];
    return this.setup.pool === "max" ? `${show(at)} is the largest of four; it came from ${sum}${cut}` : `${show(at)} is the mean of four cells.`;
  }
}
