/** The size formula, drawn: one row of cells, its padding, where each window stands, and what no window reaches. */
import { choiceRow, make } from "./controls.js";
import { droppedCells, outputSize, sameSlide, sizeFormula } from "./convolve.js";
import { svg } from "./chart.js";
import { plural } from "./words.js";

const MAX_DRAWN = 40;
const LIMITS = /** @type {Record<"n" | "f" | "p" | "s", [string, number, number]>} */ ({
  n: ["n, cells in", 1, 4096], f: ["f, kernel", 1, 64], p: ["p, padding", 0, 32], s: ["s, stride", 1, 16],
});

export class SizeBench {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.given = { n: 11, f: 3, p: 0, s: 3 };
    this.isSame = false;
    this.drawing = make("div", "strip-drawing");
    this.formula = make("p", "formula");
    this.formula.setAttribute("aria-live", "polite");
    this.words = make("p", "lecture-readout");
    const bar = make("div", "controls-row");
    const kinds = make("div", "choices");
    const show = choiceRow(kinds, "Padding", [["number", "by hand"], ["same", "“same”"], ["valid", "“valid”"]], (kind) => {
      this.isSame = kind === "same";
      if (kind === "valid") this.given.p = 0;
      show(kind);
      this.update();
    });
    show("number");
    this.inputs = /** @type {("n" | "f" | "p" | "s")[]} */ (["n", "f", "p", "s"]).map((key) => this.makeInput(key));
    const control = make("div", "control");
    control.append(make("span", "control-name", "Padding"), kinds);
    bar.append(...this.inputs.map(({ label }) => label), control);
    host.append(bar, this.formula, this.drawing, this.words);
    this.update();
  }

  /** @param {"n" | "f" | "p" | "s"} key */
  makeInput(key) {
    const [name, low, high] = LIMITS[key];
    const [label, input] = [make("label", "number-field", name), make("input")];
    Object.assign(input, { type: "number", min: String(low), max: String(high), value: String(this.given[key]) });
    input.addEventListener("input", () => {
      const value = Math.round(Number(input.value));
      if (!Number.isFinite(value) || value < low || value > high) return;
      this.given[key] = value;
      this.update();
    });
    label.append(input);
    return { label, input, key };
  }

  get slide() {
    const { n, f, p, s } = this.given;
    return this.isSame ? sameSlide(n, f, s) : { size: f, stride: s, before: p, after: p };
  }

  update() {
    const { n } = this.given;
    const slide = this.slide;
    for (const { input, key } of this.inputs) {
      input.disabled = key === "p" && this.isSame;
      if (document.activeElement !== input) input.value = String(this.given[key]);
    }
    const count = outputSize(n, slide);
    this.formula.textContent = count > 0 ? `⌊(n + 2p − f) / s⌋ + 1 = ${sizeFormula(n, slide)}` : "The kernel is larger than the padded row: nothing comes out.";
    const dropped = droppedCells(n, slide);
    const lost = count > 0 && dropped ? `${plural(dropped, "column")} at the end ${dropped === 1 ? "is" : "are"} dropped, because another step of ${slide.stride} would leave the row.` : "Every cell is seen.";
    const pads = slide.before + slide.after ? ` Padding: ${slide.before} ahead, ${slide.after} behind.` : " No padding.";
    this.words.textContent = count > 0 ? `${lost}${pads} On both axes: ${n}×${n} becomes ${count}×${count}.` : "";
    this.drawing.replaceChildren(...this.draw(n, slide, count));
  }

  /**
   * @param {number} n
   * @param {import("./convolve.js").Slide} slide
   * @param {number} count
   * @returns {Element[]}
   */
  draw(n, slide, count) {
    const total = n + slide.before + slide.after;
    if (total > MAX_DRAWN || count < 1) return [];
    const side = 20;
    const covered = (count - 1) * slide.stride + slide.size;
    const height = side + 10 + Math.min(count, 12) * 9;
    const chart = svg("svg", { viewBox: `-1 -1 ${total * side + 2} ${height}`, class: "strip", role: "img", "aria-label": `${total} cells, ${count} windows`, style: `max-width:${total * side * 1.4}px` });
    for (let i = 0; i < total; i += 1) {
      const padded = i < slide.before || i >= slide.before + n;
      const kind = i >= covered ? "lost" : padded ? "pad" : "cell";
      chart.append(svg("rect", { x: i * side + 1, y: 0, width: side - 2, height: side - 2, rx: 3, class: `strip-${kind}` }));
      if (padded) chart.append(svg("text", { x: i * side + side / 2, y: 14, "text-anchor": "middle", class: "strip-text" }, "0"));
    }
    for (let i = 0; i < count; i += 1) {
      const y = side + 6 + (i % 12) * 9;
      chart.append(svg("rect", { x: i * slide.stride * side + 2, y, width: slide.size * side - 4, height: 5, rx: 2.5, class: "strip-window" }));
    }
    return [chart];
  }
}
