/** The card of one filter: its kernel, what it answers to, and what the answer owes to it. */
import { make } from "./controls.js";
import { histogramChart, intervalChart } from "./chart.js";
import { kernelPictures } from "./kernel_pictures.js";
import { kernelWeights } from "./kernels.js";
import { bytesFrom, floatsFrom } from "./maps.js";
import { drawPatches } from "./patches.js";
import { FilterPicker, pickFilter } from "./picker.js";
import { mapThumb } from "./thumbs.js";
import { summarize } from "./views.js";
import { beforeAfter, brief, changeOf, decimals, number, percent, plural, points } from "./words.js";

export class CardView {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Context} context
   */
  constructor(host, context) {
    this.context = context;
    this.key = "";
    this.picker = new FilterPicker(context, "to show");
    this.body = make("div", "filter-card");
    const bar = make("div", "controls-row");
    bar.append(this.picker.element);
    host.append(bar, this.body);
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  show(photo) {
    const pick = pickFilter(this.context.page, this.context.state, photo.maps);
    const key = `${photo.index} ${pick.index} ${pick.k}`;
    if (key === this.key) return;
    this.key = key;
    this.picker.show(pick);
    const left = make("div", "card-side");
    left.append(this.mapCard(photo, pick), this.kernelCard(pick));
    const right = make("div", "card-main");
    right.append(this.patchCard(pick), this.factCard(photo, pick), this.histogramCard(pick));
    this.body.replaceChildren(left, right);
  }

  /**
   * @param {string} title
   * @param {string} about
   * @param {...Node} parts
   */
  section(title, about, ...parts) {
    const card = make("section", "card");
    card.append(make("h3", "", title));
    if (about) card.append(make("p", "quiet", about));
    card.append(...parts);
    return card;
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./picker.js").Pick} pick
   */
  mapCard(photo, { block, k }) {
    const maps = /** @type {import("./types.js").Maps} */ (photo.maps.get(block.response));
    const facts = summarize(maps.tiles[k], maps.width);
    const figure = make("div", "card-map");
    const canvas = mapThumb(maps, k, this.context.tables);
    canvas.className = "card-map-pixels";
    figure.append(canvas);
    const actions = make("div", "card-actions");
    const [cell, grid] = [make("button", "pill", "Work out a cell"), make("button", "pill", "Among its layer")];
    for (const [button, tab] of /** @type {[HTMLButtonElement, import("./types.js").Tab][]} */ ([[cell, "cell"], [grid, "filters"]])) {
      button.type = "button";
      button.addEventListener("click", () => this.context.change({ tab, block: block.name, filter: block.shown[k], cell: null }));
      actions.append(button);
    }
    const words = facts.highest > 0 ? `Up to ${number(facts.highest)}, above zero on ${percent(facts.active)} of cells; on its own scale.` : "Silent: nowhere above zero on this photo.";
    return this.section("On this photo", words, figure, actions);
  }

  /** @param {import("./picker.js").Pick} pick */
  kernelCard({ block, k }) {
    const arithmetic = block.arithmetic;
    const weights = kernelWeights(this.context.resource("kernels"), block.name);
    if (!arithmetic || !weights) return this.section("Kernel", `Not on the page${block.why ? `: ${block.why}` : "."}`);
    const about = `${arithmetic.kernel.join("×")} weights for each of ${arithmetic.channelsPerFilter} channels${arithmetic.bias ? `, bias ${number(floatsFrom(arithmetic.bias)[k])}` : ", no bias"}.`;
    return this.section("Kernel", about, kernelPictures(arithmetic, weights, k, this.context.tables.signed));
  }

  /** @param {import("./picker.js").Pick} pick */
  patchCard({ block, k }) {
    const { facts } = block;
    const gallery = /** @type {import("./types.js").Gallery | null} */ (this.context.resource("gallery"));
    const patches = facts?.patches?.[k] ?? [];
    if (!gallery || !patches.length) {
      const why = facts?.dead[k] ? "It is dead: no photo makes it fire." : "No training photos were looked at.";
      return this.section("What it fires at", why);
    }
    const step = /** @type {import("./types.js").Step} */ (block.steps.find(({ name }) => name === block.response));
    const from = facts?.numPatchPhotos ? `, from ${facts.numPatchPhotos.toLocaleString("en")} photos` : "";
    return this.section("What it fires at", `The strongest places on training photos, one per photo${from}, each cut to what the cell sees.`,
      drawPatches(patches, gallery, step.field, this.context.page.pictureSize));
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./picker.js").Pick} pick
   */
  factCard(photo, { block, k }) {
    const { facts } = block;
    const { numSample } = this.context.page;
    if (!facts) return this.section("In numbers", "No held-out photos were measured.");
    if (facts.dead[k]) return this.section("In numbers", `Dead: never above zero on ${numSample} held-out photos.`);
    const auc = { value: facts.auc_mean[k], low: facts.auc_low?.[k] ?? null, high: facts.auc_high?.[k] ?? null };
    const name = facts.prefers[k] ? `Stronger for ${facts.prefers[k]}, AUC` : "AUC";
    const chance = intervalChart([{ name, estimate: auc, text: brief(auc, decimals) }], { low: 0, high: 1, marks: [0.5] });
    const list = make("dl", "facts-row");
    const fact = (/** @type {string} */ name, /** @type {string} */ value) => {
      const box = make("div");
      box.append(make("dt", "", name), make("dd", "", value));
      list.append(box);
    };
    fact("Fires on", `${percent(facts.firing_rate[k])} of photos`);
    fact("Cells above zero", percent(facts.active_share[k]));
    fact("Highest value", number(facts.maximum[k]));
    const effect = photo.payload.effects?.[block.name];
    const change = effect ? -floatsFrom(effect.probability)[k] : NaN;
    if (Number.isFinite(change)) fact("Switched off, on this photo as it is", beforeAfter(photo.facts.answer, photo.facts.views[0], change));
    const num = facts.numProfilePhotos ?? numSample;
    const profiled = num < numSample ? ` (edges and brightness: ${num} of them)` : "";
    return this.section("In numbers", `Over ${plural(numSample, "held-out photo")}${profiled}, with 95\u00a0% intervals. An AUC of 0.5 is chance.`, list,
      chance, intervalChart(correlationRows(facts, k), { low: -1, high: 1 }), ...this.ablationPart(facts, k));
  }

  /**
   * @param {import("./types.js").Facts} facts
   * @param {number} k
   */
  ablationPart(facts, k) {
    if (!facts.ablation) return [];
    const all = facts.ablation.probability.map(({ value }) => Math.abs(value ?? 0));
    const limit = Math.max(...all, 0.001);
    const estimate = changeOf(facts.ablation.probability[k]);
    const { classes } = this.context.page;
    const name = classes.length === 2 ? `\u201c${classes[1]}\u201d` : "The answer";
    const words = make("p", "quiet", `Switched off: mean change of the probability over ${plural(facts.ablation.numPhotos, "held-out photo")}; the axis ends at the largest of this layer.`);
    return [words, intervalChart([{ name, estimate, text: brief(estimate, (v) => points(v, true)) }], { low: -limit, high: limit })];
  }

  /** @param {import("./picker.js").Pick} pick */
  histogramCard({ block, k }) {
    const histogram = block.facts?.histogram;
    if (!histogram || block.facts?.dead[k]) return make("span");
    const bars = bytesFrom(histogram.bars).subarray(k * histogram.numBins, (k + 1) * histogram.numBins);
    const [low, high] = [histogram.low[k], histogram.high[k]];
    const zero = low < 0 && high > 0 ? -low / (high - low) : null;
    const silent = block.facts && low >= 0 ? ` ${percent(1 - block.facts.active_share[k])} of cells are zero and not drawn.` : "";
    const label = `Histogram of activations from ${number(low)} to ${number(high)}`;
    return this.section("Its values", `How often each value occurs on ${plural(block.facts?.numProfilePhotos ?? this.context.page.numSample, "held-out photo")}, heights by the square root.${silent}`,
      histogramChart({ label, heights: Array.from(bars, (bar) => bar / 255), low: number(low), high: number(high), zero }));
  }
}

/**
 * @param {import("./types.js").Facts} facts
 * @param {number} k
 */
function correlationRows(facts, k) {
  const rows = [["Follows edges, r", facts.edges?.[k]], ["Follows brightness, r", facts.brightness?.[k]]];
  return /** @type {[string, import("./types.js").Estimate | undefined][]} */ (rows).flatMap(([name, estimate]) =>
    estimate && estimate.value !== null ? [{ name, estimate, text: brief(estimate, decimals) }] : []);
}
