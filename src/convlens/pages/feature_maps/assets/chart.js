/** Small charts as SVG: curves with names at their ends, bars of a histogram, estimates with their intervals. */
import { make } from "./controls.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {string} [text]
 * @returns {SVGElement}
 */
export function svg(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text) element.textContent = text;
  return element;
}

/**
 * Curves over shares of 0 to 1, in a frame of 0 to 1.
 * @param {{label: string, x: number[], xName: string, yName: string,
 *   series: {name: string, kind: string, values: number[]}[]}} what
 * @returns {HTMLElement}
 */
export function lineChart({ label, x, xName, yName, series }) {
  const [width, height, left, bottom] = [360, 220, 40, 34];
  const px = (/** @type {number} */ value) => left + value * (width - left - 8);
  const py = (/** @type {number} */ value) => 10 + (1 - value) * (height - bottom - 10);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" });
  for (const tick of [0, 0.5, 1]) {
    chart.append(svg("line", { x1: left, x2: width - 8, y1: py(tick), y2: py(tick), class: "chart-grid" }));
    chart.append(svg("text", { x: left - 6, y: py(tick) + 4, "text-anchor": "end" }, String(tick)));
    chart.append(svg("text", { x: px(tick), y: height - bottom + 17, "text-anchor": tick === 1 ? "end" : tick ? "middle" : "start" }, `${tick * 100} %`));
  }
  chart.append(svg("text", { x: (left + width) / 2, y: height - 3, "text-anchor": "middle" }, xName));
  chart.append(svg("title", {}, yName));
  for (const { kind, values } of series) {
    const path = values.map((value, i) => `${i ? "L" : "M"}${px(x[i]).toFixed(1)} ${py(value).toFixed(1)}`).join("");
    chart.append(svg("path", { d: path, class: `chart-line ${kind}` }));
  }
  const box = make("div", "chart-box");
  const keys = make("div", "chart-keys");
  for (const { name, kind } of series) keys.append(make("span", `chart-key ${kind}`, name));
  box.append(make("p", "chart-name", yName), chart, keys);
  return box;
}

/**
 * @param {{label: string, heights: ArrayLike<number>, low: string, high: string, zero: number | null}} what heights: 0 to 1;
 *   zero: where zero lies, as a share of the width
 * @returns {HTMLElement}
 */
export function histogramChart({ label, heights, low, high, zero }) {
  const [width, height] = [360, 96];
  const bar = width / heights.length;
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart stretched", preserveAspectRatio: "none" });
  Array.from(heights).forEach((share, i) => {
    const tall = share * (height - 4);
    chart.append(svg("rect", { x: i * bar + 0.5, y: height - tall, width: bar - 1, height: tall, class: "chart-bar" }));
  });
  if (zero !== null) chart.append(svg("line", { x1: zero * width, x2: zero * width, y1: 0, y2: height, class: "chart-zero" }));
  const box = make("div", "chart-box");
  const ends = make("div", "legend-ticks");
  ends.append(make("span", "", low), make("span", "", high));
  box.append(chart, ends);
  return box;
}

/**
 * Estimates with intervals on one axis.
 * @param {{name: string, estimate: import("./types.js").Estimate, text: string, kind?: string, band?: [number, number]}[]} rows
 *   band: a gray range behind the estimate
 * @param {{low: number, high: number, marks?: number[]}} axis
 * @returns {HTMLElement}
 */
export function intervalChart(rows, { low, high, marks = [0] }) {
  const place = (/** @type {number} */ value) => `${(Math.min(1, Math.max(0, (value - low) / (high - low))) * 100).toFixed(2)}%`;
  const list = make("ul", "intervals");
  for (const { name, estimate, text, kind = "", band } of rows) {
    const item = make("li", `interval-row ${kind}`);
    const track = make("span", "interval-track");
    track.setAttribute("aria-hidden", "true");
    for (const mark of marks) track.append(spot("i", "interval-mark", place(mark)));
    if (band) track.append(stretch("interval-band", place(band[0]), place(band[1])));
    if (estimate.low !== null && estimate.high !== null) track.append(stretch("interval-bar", place(estimate.low), place(estimate.high)));
    if (estimate.value !== null) track.append(spot("b", "interval-dot", place(estimate.value)));
    item.append(make("span", "interval-name", name), track, make("span", "interval-text", text));
    list.append(item);
  }
  return list;
}

/**
 * @param {"i" | "b"} tag
 * @param {string} className
 * @param {string} left
 */
function spot(tag, className, left) {
  const element = make(tag, className);
  element.style.left = left;
  return element;
}

/**
 * @param {string} className
 * @param {string} from
 * @param {string} to
 */
function stretch(className, from, to) {
  const element = make("span", className);
  element.style.left = from;
  element.style.right = `calc(100% - ${to})`;
  return element;
}
