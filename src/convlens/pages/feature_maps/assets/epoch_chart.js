/** Curves over the epochs that were kept, evenly spread, with the epoch that is looked at marked. */
import { svg } from "./chart.js";
import { make } from "./controls.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [360, 190, 34, 10, 10, 34];

/**
 * @typedef {{name: string, kind: string, values: (number | null)[]}} EpochLine
 * @typedef {{low: (number | null)[], high: (number | null)[]}} EpochBand
 */

export class EpochChart {
  /**
   * @param {{label: string, epochs: number[], low?: number, yName: string, lines: EpochLine[], band?: EpochBand}} what
   *   values of low (0 unless given) to 1
   */
  constructor({ label, epochs, low = 0, yName, lines, band }) {
    this.count = epochs.length;
    this.low = low;
    this.chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "chart" });
    this.drawGrid(epochs);
    if (band) this.drawBand(band);
    for (const { kind, values } of lines) this.drawLine(kind, values);
    this.cursor = svg("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "time-cursor" });
    this.chart.append(this.cursor);
    const keys = make("div", "chart-keys");
    for (const { name, kind } of lines) keys.append(make("span", `chart-key ${kind}`, name));
    this.element = make("div", "chart-box");
    this.element.append(make("p", "chart-name", yName), this.chart, ...(lines.length > 1 ? [keys] : []));
  }

  /** @param {number} place */
  x(place) {
    return LEFT + (this.count > 1 ? place / (this.count - 1) : 0.5) * (WIDTH - LEFT - RIGHT);
  }

  /** @param {number} value */
  y(value) {
    return TOP + (1 - (value - this.low) / (1 - this.low)) * (HEIGHT - TOP - BOTTOM);
  }

  /** @param {number[]} epochs */
  drawGrid(epochs) {
    for (const tick of [...(this.low < 0 ? [this.low] : []), 0, 0.5, 1]) {
      const text = String(tick).replace("-", "\u2212");
      this.chart.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: this.y(tick), y2: this.y(tick), class: "chart-grid" }));
      this.chart.append(svg("text", { x: LEFT - 6, y: this.y(tick) + 4, "text-anchor": "end" }, text));
    }
    epochs.forEach((epoch, place) => this.chart.append(svg("text", { x: this.x(place), y: HEIGHT - BOTTOM + 16, "text-anchor": place === epochs.length - 1 ? "end" : "middle" }, String(epoch))));
    this.chart.append(svg("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, "epoch"));
  }

  /** @param {EpochBand} band */
  drawBand({ low, high }) {
    const upper = high.map((value, i) => (value === null ? "" : `${this.x(i).toFixed(1)},${this.y(value).toFixed(1)}`));
    const lower = low.map((value, i) => (value === null ? "" : `${this.x(i).toFixed(1)},${this.y(value).toFixed(1)}`)).reverse();
    this.chart.append(svg("polygon", { points: [...upper, ...lower].join(" ").trim(), class: "time-band" }));
  }

  /**
   * @param {string} kind
   * @param {(number | null)[]} values
   */
  drawLine(kind, values) {
    const points = values.flatMap((value, i) => (value === null ? [] : [[this.x(i), this.y(value)]]));
    const path = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    this.chart.append(svg("path", { d: path, class: `chart-line ${kind}` }));
    for (const [x, y] of points) this.chart.append(svg("circle", { cx: x, cy: y, r: 2.5, class: `time-dot ${kind}` }));
  }

  /** @param {number} place */
  show(place) {
    const x = this.x(place).toFixed(1);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
  }
}
