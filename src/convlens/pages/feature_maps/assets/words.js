/** Numbers and facts in words, for labels, captions and screen readers. */
import { placeWords } from "./geometry.js";

/**
 * The name of a layer without the models that all layers lie in.
 * @param {{name: string, short?: string}} block
 * @returns {string}
 */
export function shortName({ name, short }) {
  return short || name;
}

/**
 * Three significant digits, with a true minus sign.
 * @param {number} value
 * @returns {string}
 */
export function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1000 ? Math.round(size).toLocaleString("en") : size < 0.001 ? size.toExponential(1) : digits(size);
  return value < 0 ? `\u2212${text}` : text;
}

/**
 * @param {number} size
 * @returns {string}
 */
function digits(size) {
  return String(Number(size.toPrecision(3)));
}

/**
 * @param {number} share 0..1
 * @returns {string}
 */
export function percent(share) {
  const value = share * 100;
  if (value > 0 && value < 1) return "<\u00a01\u00a0%";
  if (value > 99 && value < 100) return ">\u00a099\u00a0%";
  return `${Math.round(value)}\u00a0%`.replace("-", "\u2212");
}

/**
 * A share, or a change of one, in percentage points to one digit.
 * @param {number} share
 * @param {boolean} [signed] with a plus or a minus sign, for changes
 * @returns {string}
 */
export function points(share, signed = false) {
  const value = (Math.abs(share) * 100).toFixed(1);
  const sign = share < 0 && Number(value) > 0 ? "\u2212" : signed && Number(value) > 0 ? "+" : "";
  return `${sign}${value}\u00a0${signed ? "points" : "%"}`;
}

/**
 * What covering or switching off does to a probability: before → after.
 * @param {string} name of the class
 * @param {number} before
 * @param {number} change below zero it falls
 * @returns {string} `“cats” 89.3 % → 66.0 %`
 */
export function beforeAfter(name, before, change) {
  return `\u201c${name}\u201d ${points(before)} \u2192 ${points(Math.min(1, Math.max(0, before + change)))}`;
}

/**
 * The change that an effect, before less after, amounts to.
 * @param {import("./types.js").Estimate} effect
 * @returns {import("./types.js").Estimate}
 */
export function changeOf({ value, low, high }) {
  const turn = (/** @type {number | null} */ number) => (number === null ? null : -number || 0);
  return { value: turn(value), low: turn(high), high: turn(low) };
}

/**
 * How often one more random box would lie beyond all of some, on either side.
 * @param {number} count
 * @returns {string} `once in 10 times`
 */
export function chanceWords(count) {
  return `once in ${Math.max(1, Math.floor((count + 1) / 2))} times`;
}

/**
 * An estimate and its interval, where the words around say that intervals are 95 %.
 * @param {import("./types.js").Estimate} estimate
 * @param {(value: number) => string} format
 * @returns {string}
 */
export function brief({ value, low, high }, format) {
  if (value === null) return "not measured";
  return low === null || high === null ? format(value) : `${format(value)} (${format(low)} to ${format(high)})`;
}

/**
 * Two decimals and a true minus sign.
 * @param {number} value
 * @returns {string}
 */
export function decimals(value) {
  const text = Math.abs(value).toFixed(2);
  return value < 0 && Number(text) > 0 ? `\u2212${text}` : text;
}

/**
 * Two decimals, or the three that count of what two would show as 0.00.
 * @param {number} value
 * @returns {string}
 */
export function smallDecimals(value) {
  return Math.abs(value) < 0.005 ? number(value) : decimals(value);
}

/**
 * An estimate with its interval.
 * @param {import("./types.js").Estimate} estimate
 * @param {(value: number) => string} format
 * @returns {string}
 */
export function interval({ value, low, high }, format) {
  if (value === null) return "not measured";
  return low === null || high === null ? format(value) : `${format(value)} (95\u00a0% interval ${format(low)} to ${format(high)})`;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 * @returns {string}
 */
export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/**
 * "112 of 112 filters shown, 3 dead, 5 fire on fewer than 1 % of photos".
 * @param {import("./types.js").Block} block
 * @returns {string}
 */
export function countWords(block) {
  const shown = `${block.shown.length} of ${plural(block.numFilters, block.isConvolution ? "filter" : "channel")} shown`;
  const hidden = block.shown.length < block.numFilters;
  if (!block.facts) return `${shown}${hidden ? " (the strongest on the photos of this page)" : ""}`;
  const chosen = hidden ? " (the strongest by their mean)" : "";
  const fires = block.numRare === 1 ? "fires" : "fire";
  return `${shown}${chosen}, ${block.numDead} dead, ${block.numRare} ${fires} on fewer than 1\u00a0% of photos`;
}

/**
 * The same over all convolutions.
 * @param {import("./types.js").Block[]} blocks
 * @returns {string}
 */
export function totalWords(blocks) {
  const all = blocks.filter((block) => block.isConvolution);
  const sum = (/** @type {(block: import("./types.js").Block) => number} */ count) => all.reduce((total, block) => total + count(block), 0);
  const [shown, filters] = [sum((block) => block.shown.length), sum((block) => block.numFilters)];
  const where = `${shown.toLocaleString("en")} of ${plural(filters, "filter")} in ${plural(all.length, "layer")} shown`;
  if (!all.some((block) => block.facts)) return `${where}.`;
  const rare = sum((block) => block.numRare);
  return `${where}, ${sum((block) => block.numDead)} dead, ${rare} ${rare === 1 ? "fires" : "fire"} on fewer than 1\u00a0% of photos.`;
}

/**
 * The text alternative of one tile.
 * @param {import("./types.js").Block} block
 * @param {import("./types.js").Step} step
 * @param {number} tile
 * @param {ReturnType<typeof import("./views.js").summarize>} facts
 * @returns {string}
 */
export function tileWords(block, step, tile, facts) {
  const name = `${block.isConvolution ? "Filter" : "Channel"} ${block.shown[tile]} of ${block.name}, ${step.label}`;
  if (block.facts?.dead[tile]) return `${name}: dead, never above zero on the sample.`;
  if (facts.highest === facts.lowest) return `${name}: ${number(facts.highest)} everywhere on this photo.`;
  const place = placeWords(facts.row, facts.column, step.shape);
  const range = step.rectified ? "" : `, lowest ${number(facts.lowest)}`;
  const active = `above zero on ${percent(facts.active)} of cells`;
  return `${name}: highest ${number(facts.highest)} at the ${place}${range}, ${active}${classWords(block, tile)}.`;
}

/**
 * @param {import("./types.js").Block} block
 * @param {number} tile
 * @returns {string}
 */
export function classWords(block, tile) {
  const facts = block.facts;
  if (!facts || !facts.prefers[tile]) return "";
  const auc = facts.auc_mean[tile];
  return auc < 0.55 ? `; hardly tells the classes apart, AUC ${auc.toFixed(2)}` : `; stronger for ${facts.prefers[tile]}, AUC ${auc.toFixed(2)}`;
}

/**
 * What a block does on this photo, in one sentence.
 * @param {import("./types.js").Block} block
 * @param {number[]} strengths
 * @param {number} numResponding tiles with any value above zero
 * @returns {string}
 */
export function blockWords(block, strengths, numResponding) {
  const order = strengths.map((_, k) => k).sort((a, b) => strengths[b] - strengths[a] || a - b);
  const top = order.slice(0, 3).filter((k) => strengths[k] > 0).map((k) => block.shown[k]);
  const unit = block.isConvolution ? "filter" : "channel";
  const strongest = top.length ? ` Strongest on average: ${top.join(", ")}.` : "";
  return `On this photo ${numResponding} of ${plural(block.shown.length, unit)} respond.${strongest}`;
}

/**
 * @param {import("./types.js").Photo} photo
 * @param {string[]} classes
 * @returns {string}
 */
export function answerWords(photo, classes) {
  const sure = percent(photo.probabilities[classes.indexOf(photo.answer)]);
  if (photo.truth === null) return `The network says ${photo.answer}, ${sure}.`;
  const verdict = photo.truth === photo.answer ? "correct" : `but the label is ${photo.truth}`;
  return `The network says ${photo.answer}, ${sure}, ${verdict}.`;
}

/**
 * @param {import("./types.js").Page} page
 * @param {import("./types.js").LoadedPhoto} photo
 * @returns {number} the probability of its answer
 */
export function sureOf(page, { facts }) {
  return facts.probabilities[page.classes.indexOf(facts.answer)];
}

/**
 * What the probability shown is the mean over; empty for the photo alone.
 * @param {boolean} mirror
 * @param {boolean} crop
 * @returns {string}
 */
export function viewWords(mirror, crop) {
  if (crop) return `mean over the photo and its middle, enlarged${mirror ? ", and their mirror images" : ""}`;
  return mirror ? "mean over the photo and its mirror image" : "";
}
