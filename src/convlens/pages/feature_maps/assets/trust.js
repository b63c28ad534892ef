/** Can these pictures be believed? What deleting and randomizing say about the maps. */
import { make } from "./controls.js";
import { intervalChart, lineChart } from "./chart.js";
import { brief, decimals, interval, percent, smallDecimals } from "./words.js";

const CURVE_KINDS = /** @type {["saliency" | "random" | "edges", string][]} */ ([["saliency", "this map"], ["random", "chance"], ["edges", "edges"]]);

export class TrustView {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Context} context
   */
  constructor(host, context) {
    const trust = context.page.trust;
    if (!trust) {
      host.append(make("p", "notice", "No trust checks were made: they need held-out photos, which this page was made without."));
      return;
    }
    this.trust = trust;
    this.blocks = context.page.blocks;
    const parts = [this.curves(), this.randomization(), this.equivariance()].filter((part) => part !== null);
    host.append(this.verdict(), ...parts);
  }

  show() {}

  verdict() {
    const { curvesPass, randomization, numPhotos } = this.checks;
    const list = make("ul", "verdicts");
    const add = (/** @type {boolean | undefined} */ pass, /** @type {string} */ text) => {
      if (pass === undefined) return;
      const item = make("li");
      item.append(make("span", pass ? "badge" : "badge failed", pass ? "passed" : "failed"), make("span", "", text));
      list.append(item);
    };
    add(curvesPass, "The map finds the pixels the answer hangs on, better than chance.");
    add(randomization?.pass, "The map depends on what the network has learned.");
    const box = make("div");
    box.append(list, make("p", "note", `Measured on ${numPhotos} held-out photos; intervals are 95\u00a0%, over photos.`));
    return box;
  }

  get checks() {
    return /** @type {import("./types.js").Trust} */ (this.trust);
  }

  /** @param {string} layer @returns {string} */
  short(layer) {
    return this.blocks?.find(({ name }) => name === layer)?.short || layer;
  }

  /**
   * @param {string} title
   * @param {string} about
   * @param {...Node} parts
   */
  card(title, about, ...parts) {
    const card = make("section", "card wide");
    card.append(make("h3", "", title), make("p", "quiet", about), ...parts);
    return card;
  }

  curves() {
    const { curves, curvesDifference } = this.checks;
    if (!curves) return null;
    const chart = (/** @type {"deletion" | "insertion"} */ kind, /** @type {string} */ xName) => {
      const series = CURVE_KINDS.map(([key, name]) => ({ name: `${name}, area ${decimals(curves[kind][key].area.value ?? NaN)}`, kind: key, values: curves[kind][key].probability }));
      const label = `${kind}: area under the curve ${CURVE_KINDS.map(([key, name]) => `${name} ${interval(curves[kind][key].area, decimals)}`).join(", ")}`;
      return lineChart({ label, x: curves.shares, xName, yName: "Probability of the answer", series });
    };
    const pair = make("div", "columns");
    const box = (/** @type {string} */ title, /** @type {HTMLElement} */ inner, /** @type {string} */ words) => {
      const part = make("div");
      part.append(make("h4", "", title), inner, make("p", "note", words));
      pair.append(part);
    };
    const words = (/** @type {"deletion" | "insertion"} */ kind) => (curvesDifference ? `Area minus that of chance: ${interval(curvesDifference[kind], smallDecimals)}.` : "");
    box("Deletion: should fall fast", chart("deletion", "pixels deleted"), words("deletion"));
    box("Insertion: should rise fast", chart("insertion", "pixels inserted"), words("insertion"));
    return this.card("Take away what the map points at", "Pixels go in the order of the map, of chance, and of edge strength. Deleted pixels get the photo’s mean color; insertion starts from a blurred photo.", pair);
  }

  randomization() {
    const test = this.checks.randomization;
    if (!test) return null;
    const rows = test.steps.map(({ layer, correlation }) => ({ name: this.short(layer), estimate: correlation, text: brief(correlation, decimals) }));
    return this.card("Unlearn the network, layer by layer",
      `Weights are shuffled from the answer down to each layer. A map that shows what was learned must change: rank correlation with the original map, at the end ${interval(test.final, decimals)}, must stay below ${test.threshold}. ${test.pass ? "It does." : "It does not: this map also shows what any network would show."}`,
      intervalChart(rows, { low: -1, high: 1, marks: [0, test.threshold] }));
  }

  equivariance() {
    const list = this.checks.equivariance;
    if (!list?.length) return null;
    const rows = list.map(({ block, pixels, error }) => ({ name: `${this.short(block)}, ${pixels} px`, estimate: error, text: brief(error, percent) }));
    return this.card("Do the maps move along?", "The photo is moved by one cell of each layer; its maps should move by that cell. The difference as a share of the maps; 0\u00a0% is perfect.",
      intervalChart(rows, { low: 0, high: Math.max(1, ...list.map(({ error }) => error.high ?? error.value ?? 0)), marks: [0] }));
  }
}
