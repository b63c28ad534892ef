import assert from "node:assert/strict";
import { test } from "node:test";

const home = new URL("../../src/convlens/pages/feature_maps/assets/", import.meta.url);
const { cellAt, mapBox, placeWords, seenBox, seesWords } = await import(new URL("geometry.js", home));
const { kernelWeights, readKernel, workOutMaps } = await import(new URL("kernels.js", home));
const { floatsFrom, gridValues, pool, readMaps } = await import(new URL("maps.js", home));
const { convolve, countParameters, droppedCells, outputSize, poolWinner, sameSlide, sizeFormula } = await import(new URL("convolve.js", home));
const { KERNELS, lectureImage, runLecture } = await import(new URL("lecture.js", home));
const { inkOn } = await import(new URL("matrix.js", home));
const { coveredPicture, Network, probabilities } = await import(new URL("network.js", home));
const { randomBoxes } = await import(new URL("covering.js", home));
const { boxRatio, cellsInside, nearestCovered, overlap, rankAt } = await import(new URL("ranking.js", home));
const { spanBox } = await import(new URL("stage.js", home));
const { convolveCell, readInput, traceCell } = await import(new URL("trace.js", home));
const { chainParts, checkWords, isWorkedOut, sizeLines, workedWords } = await import(new URL("trace_words.js", home));
const { formatState, freshState, parseState } = await import(new URL("state.js", home));
const { colorIndex, orderTiles, overlayPixels, scaleLimit, stepForView, summarize, usefulViews } = await import(
  new URL("views.js", home)
);
const { answerWords, brief, chanceWords, countWords, decimals, interval, number, percent, points, shortName, smallDecimals, tileWords, totalWords, viewWords } = await import(new URL("words.js", home));

const field = { rows: { size: 9, stride: 4, start: -2 }, columns: { size: 9, stride: 4, start: -2 } };
const step = (name, kind, more = {}) => ({ name, kind, label: name, shape: [2, 2], rectified: false, ...more });
const block = {
  name: "conv_2", isConvolution: true, numFilters: 4, numDead: 1, numRare: 1, response: "relu_2", shown: [0, 1, 3],
  steps: [step("conv_2", "convolution"), step("pool_2", "pooling"), step("norm_2", "normalization"),
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

test("colors: zero is the middle when signed, the start otherwise; a silent tile is zero", () => {
  assert.deepEqual([-2, 0, 2].map((v) => colorIndex(v, 2, true)), [0, 128, 255]);
  assert.deepEqual([0, 1, 2, 3].map((v) => colorIndex(v, 2, false)), [0, 128, 255, 255]);
  assert.equal(colorIndex(0, 0, false), 0);
  assert.deepEqual([0, 0.25, 1].map((v) => colorIndex(v, 1, false, "root")), [0, 128, 255]);
  assert.equal(colorIndex(-0.25, 1, true, "root"), 64);
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
  assert.deepEqual(orderTiles("effect", block, [0, 5, 1], Float32Array.from([0.1, 9, -0.3])), [2, 0, 1]);
});

test("the address keeps the state, and forgives nonsense", () => {
  const state = { ...freshState(), tab: "cell", photo: 2, view: "before", block: "a/conv_3", filter: 17, cell: [4, 5], point: [7, 9], box: [1, 2, 30, 40], part: "left_ear", step: 2 };
  assert.deepEqual(parseState(formatState(state)), state);
  assert.equal(formatState(freshState()), "");
  assert.deepEqual(parseState("#view=jet&tab=x&step=-3&photo=-1&cell=x&box=1,2,3&point=-1,2"), freshState());
});

test("words come from the numbers", () => {
  assert.equal(countWords(block), "3 of 4 filters shown (the strongest by their mean), 1 dead, 1 fires on fewer than 1\u00a0% of photos");
  assert.equal(number(-0.12345), "\u22120.123");
  assert.equal(number(12345.6), "12,346");
  assert.equal(number(0.00001234), "1.2e-5");
  assert.equal(percent(0.004), "<\u00a01\u00a0%");
  assert.equal(placeWords(1, 1, [3, 3]), "center");
  const facts = summarize(Float32Array.from([0, 0, 0, 2]), 2);
  assert.equal(tileWords(block, block.steps[3], 2, facts),
    "Filter 3 of conv_2, ReLU: highest 2 at the lower right, above zero on 25\u00a0% of cells; stronger for dogs, AUC 0.90.");
  assert.match(tileWords(block, block.steps[3], 1, facts), /dead/);
  const photo = { answer: "dogs", truth: "cats", probabilities: [0.2, 0.8] };
  assert.equal(answerWords(photo, ["cats", "dogs"]), "The network says dogs, 80\u00a0%, but the label is cats.");
});

const base64 = (values) => Buffer.from(Float32Array.from(values).buffer).toString("base64");

test("the lecture's edge: 6×6, a vertical kernel, 4×4 with a bright middle", () => {
  const slide = { size: 3, stride: 1, before: 0, after: 0 };
  const { values, shape } = convolve(lectureImage("left"), [6, 6], KERNELS.vertical.values, [slide, slide]);
  assert.deepEqual(shape, [4, 4]);
  assert.deepEqual([...values], Array(4).fill([0, 30, 30, 0]).flat());
  const turned = convolve(lectureImage("left"), [6, 6], KERNELS.horizontal.values, [slide, slide]);
  assert.deepEqual([...turned.values], Array(16).fill(0));
});

test("the lecture's chain: dark to bright is cut by ReLU, pooling halves, padding keeps the size", () => {
  const setup = { image: "right", kernel: "vertical", padding: 0, stride: 1, relu: true, pool: "max" };
  const run = runLecture(lectureImage("right"), setup);
  assert.deepEqual([run.result.values[1], run.active.values[1], run.pooled.shape], [-30, 0, [2, 2]]);
  const padded = runLecture(lectureImage("left"), { ...setup, padding: 1 });
  assert.deepEqual(padded.result.shape, [6, 6]);
  assert.deepEqual([padded.result.values[0], padded.result.values[5]], [-20, 0]);
  const mean = runLecture(lectureImage("left"), { ...setup, relu: false, pool: "average" });
  assert.deepEqual([...mean.pooled.values], [15, 15, 15, 15]);
  assert.equal(runLecture(lectureImage("left"), { ...setup, stride: 2 }).dropped, 1);
});

test("sizes follow the formula, padding “same” is TensorFlow's, and dropped cells are counted", () => {
  const slide = { size: 3, stride: 3, before: 0, after: 0 };
  assert.deepEqual([outputSize(11, slide), droppedCells(11, slide)], [3, 2]);
  assert.equal(sizeFormula(11, slide), "⌊(11 + 2·0 − 3) / 3⌋ + 1 = 3");
  assert.deepEqual(sameSlide(144, 3, 2), { size: 3, stride: 2, before: 0, after: 1 });
  assert.equal(sizeFormula(144, sameSlide(144, 3, 2)), "⌊(144 + (0 + 1) − 3) / 2⌋ + 1 = 72");
  assert.equal(outputSize(2, slide), 0);
  assert.equal(droppedCells(2, slide), 2);
});

test("parameters of a convolution against dense layers", () => {
  assert.deepEqual(countParameters(32, { kernel: 3, filters: 16, units: 512 }),
    { inputs: 3072, outputs: 14400, convolution: 448, dense: 3073 * 14400, units: 3073 * 512 });
});

test("the winner of a pool is the first of the largest, and never padding", () => {
  const slide = { size: 2, stride: 2, before: 1 };
  assert.deepEqual(poolWinner([-5, -1, -1, -9], [2, 2], [0, 0], [slide, slide]), { cell: [0, 0], value: -5 });
  const plain = { ...slide, before: 0 };
  assert.deepEqual(poolWinner([-5, -1, -1, -9], [2, 2], [0, 0], [plain, plain]), { cell: [0, 1], value: -1 });
});

const window3 = { size: 3, stride: 1, before: 1, dilation: 1 };
const window2 = { size: 2, stride: 2, before: 0 };
const worked = {
  name: "conv", isConvolution: true, shown: [0, 1], response: "relu",
  steps: [
    { name: "conv", kind: "convolution", label: "convolution", shape: [4, 4], windows: null, scale: null, field: null },
    { name: "pool", kind: "pooling", label: "max-pooling", shape: [2, 2], windows: [window2, window2], scale: null, field: null },
    { name: "norm", kind: "normalization", label: "normalization", shape: [2, 2], windows: null, scale: base64([1, 2]), offset: base64([0, -1]), field: null },
    { name: "relu", kind: "activation", label: "ReLU", shape: [2, 2], windows: null, scale: null, rectified: true, field: null },
  ],
  arithmetic: {
    kind: "convolution", windows: [window3, window3], kernel: [3, 3], numChannels: 2, channelsPerFilter: 2,
    firstChannel: [0, 0], bias: base64([0, 0.5]), input: { kind: "steps", names: ["a", "b"] }, error: 0,
  },
};
const ramp = Float32Array.from({ length: 16 }, (_, i) => i);
const ones = new Float32Array(16).fill(1);
const given = new Map([["a", { height: 4, width: 4, tiles: [ramp, ones] }], ["b", { height: 4, width: 4, tiles: [ones, ones] }]]);
const center = [0, 0, 0, 0, 1, 0, 0, 0, 0];
const weights = Float32Array.from([...center, ...center, ...center, ...Array(9).fill(1)]);

const wholeKernel = (values) => ({
  step: base64([1]), values: Buffer.from(Int16Array.from(values).buffer).toString("base64"),
});

test("kernels are whole numbers times one step a filter, read once", () => {
  const given = { step: base64([0.5, 2]), values: wholeKernel([1, -2, 3, 4]).values };
  assert.deepEqual([...readKernel(given)], [0.5, -1, 6, 8]);
  const kernels = { blocks: { c: given }, dense: {} };
  assert.equal(kernelWeights(kernels, "c"), kernelWeights(kernels, "c"));
  assert.deepEqual([kernelWeights(kernels, "d"), kernelWeights(null, "c")], [null, null]);
});

test("whole maps are worked out as single cells are: padding, stride, dilation, groups, bias", () => {
  const input = { shape: [5, 7], channels: [0, 1, 2, 3].map((c) => Float32Array.from({ length: 35 }, (_, i) => Math.sin(i + 3 * c))) };
  const wide = { size: 3, stride: 2, before: 1, dilation: 2 };
  const high = { size: 2, stride: 1, before: 0, dilation: 1 };
  const arithmetic = { windows: [high, wide], kernel: [2, 2], channelsPerFilter: 2, firstChannel: [0, 2, 2], bias: base64([1, 0, -1]) };
  const grouped = { name: "g", shown: [0, 1, 2], steps: [{ shape: [4, 4] }], arithmetic };
  const values = Float32Array.from({ length: 24 }, (_, i) => Math.cos(i));
  const maps = workOutMaps(grouped, values, input);
  for (const [k, map] of maps.entries()) {
    for (const [at, value] of map.entries()) {
      const cell = convolveCell(arithmetic, values, input, k, [Math.floor(at / 4), at % 4]);
      assert.ok(Math.abs(cell.value - value) < 1e-6, `filter ${k}, cell ${at}`);
    }
  }
});

test("maps that are not stored are worked out once, when they are asked for", async () => {
  const block = { name: "conv", shown: [0], steps: [
    { name: "conv", stored: false, shape: [1, 2], windows: null, scale: null, rectified: false },
    { name: "norm", stored: false, shape: [1, 2], windows: null, scale: base64([2]), offset: base64([1]), rectified: false },
  ] };
  let asked = 0;
  const maps = await readMaps([block], { maps: {}, limits: {} }, () => {
    asked += 1;
    return [Float32Array.from([1, 2])];
  });
  assert.equal(asked, 0);
  assert.deepEqual([...maps.get("norm").tiles[0]], [3, 5]);
  assert.deepEqual([...maps.get("conv").tiles[0]], [1, 2]);
  assert.equal(asked, 1);
});

test("a map that is worked out is not said to be compared with a stored one", () => {
  const block = { ...worked, steps: worked.steps.map((each, i) => ({ ...each, stored: i === 3 })), arithmetic: { ...worked.arithmetic, mapError: 0.002 } };
  assert.deepEqual([0, 1, 2, 3].map((i) => isWorkedOut(block, i)), [true, true, true, false]);
  const trace = traceCell(block, weights, readInput(worked.arithmetic.input, given, {}), 0, 2, [0, 0]);
  assert.match(workedWords(trace, block), /^8 worked out here, like this whole map\. .* at most 0\.002 apart\.$/);
});

test("one value is traced to its patch: sum over channels, bias, pooling, normalization, ReLU", () => {
  const input = readInput(worked.arithmetic.input, given, { width: 0, height: 0, pixels: [] });
  assert.deepEqual(input.channels.map((values) => [values[0], values[15]]), [[1, 16], [2, 2]]);
  const trace = traceCell(worked, weights, input, 1, 3, [0, 1]);
  // The center of channel 0 plus nine (at the border six) cells of 2; the window's best is row 1, column 2.
  assert.deepEqual(trace.convolved.cell, [1, 2]);
  assert.deepEqual([trace.convolved.sum, trace.convolved.bias, trace.convolved.numPadded], [7 + 18, 0.5, 0]);
  assert.deepEqual(trace.links.map(({ step: { name }, value }) => [name, value]), [["pool", 25.5], ["norm", 50], ["relu", 50]]);
  assert.deepEqual(trace.links[0].window.cells, [[0, 2], [0, 3], [1, 2], [1, 3]]);
  assert.deepEqual(chainParts(trace, worked).map(({ value }) => value), ["25", "+\u20090.5", "25.5", "50", "50"]);
  assert.match(checkWords(trace, 50.01, 0.02), /The same: 0.01/);
  assert.match(checkWords(trace, 51, 0.02), /They differ: 1/);
});

test("cells in the padding count as zero, and are told", () => {
  const input = readInput(worked.arithmetic.input, given, { width: 0, height: 0, pixels: [] });
  const corner = traceCell(worked, weights, input, 1, 0, [0, 0]);
  assert.deepEqual([corner.convolved.sum, corner.convolved.numPadded, corner.links], [1 + 4 * 2, 5, []]);
  assert.match(sizeLines(corner, worked, [4, 4]).join(" "), /⌊\(4 \+ 2·1 − 3\) \/ 1⌋ \+ 1 = 4.*5 of the 9 cells/);
});

test("a first layer reads the picture, channel by channel", () => {
  const picture = { width: 1, height: 2, pixels: Uint8Array.from([10, 20, 30, 40, 50, 60]) };
  const input = readInput({ kind: "picture", scale: [1, 2, 1], offset: [0, 0, -1], order: [2, 1, 0] }, new Map(), picture);
  assert.deepEqual(input.channels.map((values) => [...values]), [[30, 60], [40, 100], [9, 39]]);
});

test("a step that the page does not know ends the chain, with its name", () => {
  const other = { ...worked, steps: [worked.steps[0], { ...worked.steps[3], label: "gelu" }] };
  const trace = traceCell(other, weights, readInput(worked.arithmetic.input, given, { width: 0, height: 0, pixels: [] }), 0, 1, [0, 0]);
  assert.match(checkWords(trace, 1, 0), /ends here: gelu is not worked out here. The network’s value is 1/);
});

test("filters at a place are ranked, silent ones left out", () => {
  const unit = { size: 1, stride: 2, start: 0 };
  const here = { name: "c", response: "r", shown: [4, 5, 6], facts: { maximum: [10, 2, 1] }, steps: [{ name: "r", shape: [2, 2], field: { rows: unit, columns: unit } }] };
  const maps = new Map([["r", { width: 2, height: 2, tiles: [[5, 0, 0, 0], [2, 0, 0, 0], [0, 1, 1, 1]].map((v) => Float32Array.from(v)) }]]);
  assert.deepEqual(rankAt(here, maps, [0.2, 0.2], [4, 4], "value").ranked.map(({ k }) => k), [0, 1]);
  assert.deepEqual(rankAt(here, maps, [0.2, 0.2], [4, 4], "share").ranked, [{ k: 1, value: 2, share: 1 }, { k: 0, value: 5, share: 0.5 }]);
  assert.deepEqual(cellsInside(here.steps[0], [0, 0, 2, 4], [4, 4]), [true, false, true, false]);
});

test("share of activation over share of area", () => {
  const inside = [true, false, false, false];
  assert.equal(boxRatio(Float32Array.from([1, 1, 1, 1]), inside), 1);
  assert.equal(boxRatio(Float32Array.from([2, 0, -7, 2]), inside), 2);
  assert.ok(Number.isNaN(boxRatio(Float32Array.from([0, 0, 0, 0]), inside)));
});

test("the covered box most like a drawn one", () => {
  assert.equal(overlap([0, 0, 2, 2], [1, 0, 3, 2]), 2 / 6);
  const occlusion = { size: [2, 2], stride: [2, 2], grid: { shape: [2, 2] } };
  const found = nearestCovered([occlusion], [2, 0, 4, 2], [4, 4]);
  assert.deepEqual([found.box, found.overlap, found.index], [[2, 0, 4, 2], 1, 1]);
  assert.deepEqual(spanBox([3.2, 5.1], [1.9, 7]), [1, 5, 4, 7]);
});

test("the network runs: convolution, pooling, sums, dense, softmax", async () => {
  const identity = { ...worked, name: "c", shown: [0], steps: [{ ...worked.steps[0], shape: [2, 2] }],
    arithmetic: { ...worked.arithmetic, numChannels: 3, channelsPerFilter: 3, firstChannel: [0], bias: base64([1]) } };
  const operations = [
    { kind: "affine", inputs: [-1], name: "a", scale: base64([0.5, 0.5, 0.5]), offset: base64([0, 0, 0]) },
    { kind: "convolution", inputs: [0], name: "c", shape: [2, 2] },
    { kind: "relu", inputs: [1], name: "r" }, { kind: "sum", inputs: [1, 2], name: "s" },
    { kind: "maximum", inputs: [3], name: "m", shape: [1, 1], windows: [window2, window2] },
    { kind: "flatten", inputs: [4], name: "f" }, { kind: "dense", inputs: [5], name: "d" },
  ];
  const page = { blocks: [identity], program: { operations, logOdds: 6, units: 2 }, temperature: 2 };
  const kernels = { blocks: { c: wholeKernel([...center, ...center, ...center]) }, dense: { d: { weights: base64([1, 0]), bias: base64([0, 3]) } } };
  const picture = { width: 2, height: 2, pixels: Uint8Array.from({ length: 12 }, (_, i) => i % 4) };
  const answer = await new Network(page, kernels).answer(coveredPicture(picture, null), () => false);
  // Half of the pixel's sum plus one, twice; the largest pixel sums to 6: logits 8 and 3.
  assert.deepEqual(answer.map((p) => Number(p.toFixed(6))), [8, 3].map((v) => Number((Math.exp(v / 2) / (Math.exp(4) + Math.exp(1.5))).toFixed(6))));
  assert.deepEqual(probabilities([0], 1, 1), [0.5, 0.5]);
});

test("a covered box gets the mean color, and random boxes keep its size and stay inside", () => {
  const covered = coveredPicture({ width: 2, height: 1, pixels: Uint8Array.from([0, 10, 20, 100, 30, 20]) }, [1, 0, 2, 1]);
  assert.deepEqual([...covered.values], [0, 10, 20, 50, 20, 20]);
  for (const [left, top, right, bottom] of randomBoxes([3, 3, 13, 9], [40, 50], 20)) {
    assert.deepEqual([right - left, bottom - top, left >= 0, top >= 0, right <= 50, bottom <= 40], [10, 6, true, true, true, true]);
  }
});

test("random boxes keep away from the box where there is room, and their number says what chance does", () => {
  for (const other of randomBoxes([10, 10, 30, 20], [100, 100], 39)) {
    assert.ok(other[0] >= 30 || other[2] <= 10 || other[1] >= 20 || other[3] <= 10);
  }
  assert.equal(randomBoxes([0, 0, 90, 90], [100, 100], 39).length, 39);
  assert.deepEqual([3, 19, 39].map(chanceWords), ["once in 2 times", "once in 10 times", "once in 20 times"]);
});

test("what an answer is the mean over", () => {
  assert.equal(viewWords(false, false), "");
  assert.equal(viewWords(true, false), "mean over the photo and its mirror image");
  assert.equal(viewWords(true, true), "mean over the photo and its middle, enlarged, and their mirror images");
});

test("what a cell sees in words", () => {
  assert.equal(seesWords(null, false), "the whole photo");
  assert.equal(seesWords(field, true), "9 × 9 pixels, cut at the border");
  assert.equal(seesWords({ ...field, gated: true }, false), "9 × 9 pixels, and the whole photo through a gate");
});

test("small grids, colors of text, words of estimates", () => {
  const grid = { shape: [1, 3], step: 0.5, values: Buffer.from(Int8Array.from([-2, 0, 127]).buffer).toString("base64") };
  assert.deepEqual([...gridValues(grid)], [-1, 0, 63.5]);
  assert.deepEqual([...floatsFrom(base64([1.5, -2]))], [1.5, -2]);
  assert.deepEqual([inkOn([255, 255, 255]), inkOn([40, 0, 80])], ["#000", "#fff"]);
  assert.equal(points(-0.1234, true), "\u221212.3\u00a0points");
  assert.equal(points(0.4), "40.0\u00a0%");
  assert.equal(decimals(-0.001), "0.00");
  assert.deepEqual([-0.0014, 0.0049, 0.005, 0, -0.31].map(smallDecimals), ["\u22120.0014", "0.0049", "0.01", "0", "\u22120.31"]);
  assert.deepEqual([{ name: "backbone/conv", short: "conv" }, { name: "conv" }].map(shortName), ["conv", "conv"]);
  assert.equal(brief({ value: 0.5, low: 0.4, high: 0.6 }, decimals), "0.50 (0.40 to 0.60)");
  assert.equal(interval({ value: 0.5, low: null, high: null }, decimals), "0.50");
  assert.equal(totalWords([block]), "3 of 4 filters in 1 layer shown, 1 dead, 1 fires on fewer than 1\u00a0% of photos.");
});
