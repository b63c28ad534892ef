import assert from "node:assert/strict";
import { test } from "node:test";

const home = new URL("../../src/convlens/report/assets/feature_maps/", import.meta.url);
const { cellAt, mapBox, placeWords, seenBox } = await import(new URL("geometry.js", home));
const { pool } = await import(new URL("maps.js", home));
const { formatState, freshState, parseState } = await import(new URL("state.js", home));
const { colourIndex, orderTiles, overlayPixels, scaleLimit, stepForView, summarise, usefulViews } = await import(
  new URL("views.js", home)
);
const { answerWords, countWords, number, percent, tileWords } = await import(new URL("words.js", home));

const field = { rows: { size: 9, stride: 4, start: -2 }, columns: { size: 9, stride: 4, start: -2 } };
const step = (name, kind, more = {}) => ({ name, kind, label: name, shape: [2, 2], rectified: false, ...more });
const block = {
  name: "conv_2", isConvolution: true, numFilters: 4, numDead: 1, numRare: 1, response: "relu_2", shown: [0, 1, 3],
  steps: [step("conv_2", "convolution"), step("pool_2", "pooling"), step("norm_2", "normalisation"),
    step("relu_2", "activation", { rectified: true, label: "ReLU" })],
  facts: { dead: [false, true, false], prefers: ["cats", "", "dogs"], auc_mean: [0.6, 0.5, 0.9], selectivity: [0.2, 0, 0.8] },
};

test("a field is cut at the border of the picture", () => {
  assert.deepEqual(seenBox(field, [0, 3], [128, 128]), { left: 10, top: 0, width: 9, height: 7, cut: true });
  assert.deepEqual(seenBox(null, [0, 0], [20, 30]), { left: 0, top: 0, width: 30, height: 20, cut: false });
});

test("a map lies around the middles of its fields", () => {
  const box = mapBox(field, [32, 32], [128, 128]);
  assert.deepEqual(box, { left: 0.5, top: 0.5, width: 128, height: 128 });
  assert.deepEqual(cellAt(box, [32, 32], 0.6, 127.9), [31, 0]);
  assert.equal(cellAt(box, [32, 32], 0.2, 5), null);
});

test("max-pooling and average-pooling leave padding out", () => {
  const values = Float32Array.from([-1, -2, -3, -4, -5, -6, -7, -8, -9]);
  const window = { size: 2, stride: 2, before: 0 };
  assert.deepEqual([...pool(values, [3, 3], [2, 2], [window, window], false)], [-1, -3, -7, -9]);
  assert.deepEqual([...pool(values, [3, 3], [2, 2], [window, window], true)], [-3, -4.5, -7.5, -9]);
});

test("views find their step", () => {
  assert.deepEqual(stepForView(block, "convolution"), { index: 0, exact: true });
  assert.deepEqual(stepForView(block, "before"), { index: 2, exact: true });
  assert.deepEqual(stepForView(block, "after"), { index: 3, exact: true });
  assert.deepEqual(stepForView(block, "pooled"), { index: 1, exact: true });
  assert.deepEqual(usefulViews([block]), ["convolution", "before", "after", "pooled"]);
  const plain = { ...block, response: "conv_2", steps: [block.steps[0]] };
  assert.deepEqual(usefulViews([plain]), ["convolution"]);
});

test("scales: one for the layer, for the filter, for all photos", () => {
  const maps = { limits: [-3, 2], tiles: [Float32Array.from([0.5, -1])] };
  assert.equal(scaleLimit("layer", maps, 0, [-9, 1]), 3);
  assert.equal(scaleLimit("filter", maps, 0, [-9, 1]), 1);
  assert.equal(scaleLimit("photos", maps, 0, [-9, 1]), 9);
});

test("colours: zero is the middle when signed, the start otherwise; a silent tile is zero", () => {
  assert.deepEqual([-2, 0, 2].map((v) => colourIndex(v, 2, true)), [0, 128, 255]);
  assert.deepEqual([0, 1, 2, 3].map((v) => colourIndex(v, 2, false)), [0, 128, 255, 255]);
  assert.equal(colourIndex(0, 0, false), 0);
  assert.deepEqual([0, 0.25, 1].map((v) => colourIndex(v, 1, false, "root")), [0, 128, 255]);
  assert.equal(colourIndex(-0.25, 1, true, "root"), 64);
});

test("over a photo zero is clear and the strongest opaque; at the map's end all is opaque", () => {
  const table = new Uint8Array(768);
  const alphas = (blend) => [...overlayPixels(Float32Array.from([0, 4]), { limit: 4, signed: false, table, curve: "linear" }, blend)].filter((_, i) => i % 4 === 3);
  assert.deepEqual(alphas(0), [0, 0]);
  assert.deepEqual(alphas(0.5), [0, 255]);
  assert.deepEqual(alphas(1), [255, 255]);
});

test("order: dead filters last, ties as in the network", () => {
  assert.deepEqual(orderTiles("network", block, [0, 5, 1]), [0, 1, 2]);
  assert.deepEqual(orderTiles("strength", block, [0, 5, 1]), [2, 0, 1]);
  assert.deepEqual(orderTiles("selectivity", block, [0, 5, 1]), [2, 0, 1]);
});

test("the address keeps the state, and forgives nonsense", () => {
  const state = { ...freshState(), photo: 2, view: "before", block: "a/conv_3", filter: 17, cell: [4, 5] };
  assert.deepEqual(parseState(formatState(state)), state);
  assert.equal(formatState(freshState()), "");
  assert.deepEqual(parseState("#view=jet&photo=-1&cell=x"), freshState());
});

test("words come from the numbers", () => {
  assert.equal(countWords(block), "3 of 4 filters shown (the strongest by their mean), 1 dead, 1 fires on fewer than 1\u00a0% of photos");
  assert.equal(number(-0.12345), "\u22120.123");
  assert.equal(number(12345.6), "12,346");
  assert.equal(number(0.00001234), "1.2e-5");
  assert.equal(percent(0.004), "<\u00a01\u00a0%");
  assert.equal(placeWords(1, 1, [3, 3]), "centre");
  const facts = summarise(Float32Array.from([0, 0, 0, 2]), 2);
  assert.equal(tileWords(block, block.steps[3], 2, facts),
    "Filter 3 of conv_2, ReLU: highest 2 at the lower right, above zero on 25\u00a0% of cells; stronger for dogs, AUC 0.90.");
  assert.match(tileWords(block, block.steps[3], 1, facts), /dead/);
  const photo = { answer: "dogs", truth: "cats", probabilities: [0.2, 0.8] };
  assert.equal(answerWords(photo, ["cats", "dogs"]), "The network says dogs, 80\u00a0%, but it is cats.");
});
