/** The script element `over-time`: what it holds, read back, and put into words. */
import { bytesFrom } from "./maps.js";
import { decimals, percent, plural } from "./words.js";

/**
 * @typedef {{
 *   name: string, label: string, rectified: boolean, numFilters: number, dead: number[], firing: number[],
 *   low: (number | null)[], median: (number | null)[], high: (number | null)[], formed: number[], shown: number[],
 *   correlation: number[][], rates: number[][], formedAt: number[], size: [number, number], shape: [number, number],
 *   step: number
 * }} TimeLayer  one entry per epoch in all lists, or per filter shown
 * @typedef {{numFilters: number, shape: [number, number], step: number, values: string}} TimeKernels
 * @typedef {{
 *   epochs: number[], kept: number, numSample: number, numLayers: number, answers: number[][][], layers: TimeLayer[],
 *   maps: Record<string, string>[], kernels: TimeKernels | null
 * }} Timeline  `answers` by photo, epoch and class; `maps` by photo, of as many as there was room for
 */

/**
 * The place of an epoch among those there are: the last one not after it; 0 stands for the network that was kept.
 * @param {Timeline} timeline
 * @param {number} epoch
 * @returns {number}
 */
export function placeOf({ epochs, kept }, epoch) {
  if (!epoch) return kept;
  return Math.max(0, epochs.filter((known) => known <= epoch).length - 1);
}

/**
 * "after epoch 8", and what is special about it.
 * @param {Timeline} timeline
 * @param {number} place
 * @returns {string}
 */
export function epochWords({ epochs, kept }, place) {
  return `after epoch ${epochs[place]}${place === kept ? ", the network that was kept" : ""}`;
}

/**
 * The maps of one layer on one photo.
 * @param {Timeline} timeline
 * @param {number} photo
 * @param {TimeLayer} layer
 * @returns {Float32Array[][] | null} by epoch and filter shown; null where this photo has none
 */
export function timeMaps(timeline, photo, { name, shape: [rows, columns], shown, step }) {
  const text = timeline.maps[photo]?.[name];
  if (text === undefined) return null;
  const levels = new Int8Array(bytesFrom(text).buffer);
  const size = rows * columns;
  return timeline.epochs.map((_, place) => shown.map((__, k) => {
    const from = (place * shown.length + k) * size;
    return Float32Array.from(levels.subarray(from, from + size), (level) => level * step);
  }));
}

/**
 * The colors of the first kernels after an epoch, RGBA; gray is zero, and one scale holds for all epochs.
 * @param {TimeKernels} kernels
 * @param {number} place
 * @returns {Uint8ClampedArray<ArrayBuffer>[]} one picture a filter
 */
export function timeKernels({ numFilters, shape: [rows, columns], values }, place) {
  const levels = new Int8Array(bytesFrom(values).buffer);
  const size = rows * columns;
  return Array.from({ length: numFilters }, (_, k) => {
    const from = (place * numFilters + k) * 3 * size;
    const pixels = new Uint8ClampedArray(size * 4).fill(255);
    for (let i = 0; i < size; i += 1) {
      for (let c = 0; c < 3; c += 1) pixels[i * 4 + c] = 128 + levels[from + c * size + i];
    }
    return pixels;
  });
}

/**
 * The largest magnitude a layer's maps can have.
 * @param {TimeLayer} layer
 * @returns {number}
 */
export function timeLimit({ step }) {
  return 127 * step;
}

/**
 * What the network says after an epoch, and since when it says what it says in the end.
 * @param {Timeline} timeline
 * @param {string[]} classes
 * @param {number} photo
 * @param {number} place
 * @returns {string}
 */
export function answerOverTime({ answers, epochs, kept }, classes, photo, place) {
  const said = answers[photo].map((chances) => chances.indexOf(Math.max(...chances)));
  const now = `After epoch ${epochs[place]} it says ${classes[said[place]]}, ${percent(answers[photo][place][said[place]])}.`;
  let since = kept;
  while (since > 0 && said[since - 1] === said[kept]) since -= 1;
  const changes = said.slice(0, kept).filter((answer, i) => answer !== said[i + 1]).length;
  if (!changes) return `${now} It says ${classes[said[kept]]} after every epoch looked at.`;
  return `${now} From epoch ${epochs[since]} on it says ${classes[said[kept]]}; before, its answer changed ${["once", "twice"][changes - 1] ?? `${changes} times`}.`;
}

/**
 * How far a layer has come.
 * @param {TimeLayer} layer
 * @param {number} place
 * @param {number} kept
 * @returns {string}
 */
export function layerOverTime(layer, place, kept) {
  const alive = layer.numFilters - layer.dead[kept];
  const [low, middle, high] = [layer.low[place], layer.median[place], layer.high[place]];
  const dead = `${layer.dead[place]} dead, filters fire on ${percent(layer.firing[place])} of photos on average`;
  if (middle === null || low === null || high === null) return `${plural(layer.numFilters, "filter")}, ${dead}; none fires in the end.`;
  const like = place === kept ? "this is the end" : `correlation with the end ${decimals(middle)} (half of the filters between ${decimals(low)} and ${decimals(high)})`;
  return `${layer.formed[place]} of ${plural(alive, "filter")} ${layer.formed[place] === 1 ? "has" : "have"} formed; ${like}; ${dead}.`;
}

/**
 * When one filter became what it is.
 * @param {TimeLayer} layer
 * @param {number} k
 * @param {Timeline} timeline
 * @returns {string}
 */
export function filterOverTime(layer, k, { epochs, kept }) {
  const at = layer.formedAt[k];
  return at > kept ? "never fires in the end" : `formed by epoch ${epochs[at]}`;
}

/**
 * The rows of the table of a layer.
 * @param {TimeLayer} layer
 * @param {Timeline} timeline
 * @returns {string[][]}
 */
export function layerRows(layer, { epochs }) {
  const number = (/** @type {number | null} */ value) => (value === null ? "" : decimals(value));
  return epochs.map((epoch, i) => [
    String(epoch), String(layer.formed[i]), number(layer.low[i]), number(layer.median[i]), number(layer.high[i]),
    String(layer.dead[i]), percent(layer.firing[i]),
  ]);
}
