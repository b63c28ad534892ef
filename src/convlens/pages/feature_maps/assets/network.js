/**
 * The whole network, run in the page: for a box that the reader covers. Plain loops over typed arrays, given back to the
 * browser between operations, so that the page stays alive.
 */
import { kernelWeights } from "./kernels.js";
import { floatsFrom } from "./maps.js";

/** @typedef {{rows: number, columns: number, channels: number, values: Float32Array}} Volume  channels side by side */

const BREATH = 8; // milliseconds of work before the browser gets its turn: half a frame

export class Network {
  /**
   * @param {import("./types.js").Page} page with a program
   * @param {import("./types.js").Kernels} kernels
   */
  constructor(page, kernels) {
    this.page = page;
    this.kernels = kernels;
    this.program = /** @type {import("./types.js").Program} */ (page.program);
    /** @type {Map<string, Float32Array>} */
    this.weights = new Map();
  }

  /**
   * Probability of every class for a picture, calibrated: of the mean of the logits over its views, as it is announced.
   * @param {Volume} picture 0..255
   * @param {() => boolean} isStale whether to give up
   * @returns {Promise<number[] | null>}
   */
  async answer(picture, isStale) {
    const views = viewsOf(picture, Boolean(this.page.mirror), this.page.centerCrop ?? null);
    const mean = new Float32Array(this.program.units);
    for (const view of views) {
      const logits = await this.logits(view, isStale);
      if (!logits) return null;
      logits.forEach((logit, i) => (mean[i] += logit / views.length));
    }
    return probabilities(mean, this.program.units, this.page.temperature ?? 1);
  }

  /**
   * @param {Volume} picture
   * @param {() => boolean} isStale
   * @returns {Promise<Float32Array | null>}
   */
  async logits(picture, isStale) {
    /** @type {Volume[]} */
    const done = [];
    let since = performance.now();
    for (const operation of this.program.operations) {
      const inputs = operation.inputs.map((index) => (index < 0 ? picture : done[index]));
      for (const part of this.perform(operation, inputs)) {
        if (part) done.push(part);
        if (performance.now() - since < BREATH) continue;
        await new Promise((resolve) => setTimeout(resolve, 0));
        if (isStale()) return null;
        since = performance.now();
      }
    }
    return done[this.program.logOdds].values;
  }

  /**
   * One operation; yields null while at work, and its result at the end.
   * @param {import("./types.js").Operation} operation
   * @param {Volume[]} inputs
   * @returns {Generator<Volume | null>}
   */
  *perform(operation, inputs) {
    const [input] = inputs;
    if (operation.kind === "convolution") yield* this.convolution(operation.name, input);
    else if (operation.kind === "maximum" || operation.kind === "average") yield poolVolume(input, operation);
    else if (operation.kind === "affine") yield affine(input, floatsFrom(operation.scale ?? ""), floatsFrom(operation.offset ?? ""));
    else if (operation.kind === "relu") yield { ...input, values: input.values.map((value) => (value > 0 ? value : 0)) };
    else if (operation.kind === "sum") yield addUp(inputs);
    else if (operation.kind === "globalAverage") yield globalAverage(input);
    else if (operation.kind === "flatten") yield { rows: 1, columns: 1, channels: input.values.length, values: input.values };
    else if (operation.kind === "dense") yield this.dense(operation.name, input);
    else throw new Error(`Expected an operation of FORMAT.md. Received: ${operation.kind}.`);
  }

  /**
   * The kernel of a block as [row][column][input channel][filter], zero where a filter does not read a channel.
   * @param {import("./types.js").Block} block
   * @returns {Float32Array}
   */
  kernelOf(block) {
    const known = this.weights.get(block.name);
    if (known) return known;
    const arithmetic = /** @type {import("./types.js").Arithmetic} */ (block.arithmetic);
    const { kernel: [rows, columns], channelsPerFilter: depth, numChannels, firstChannel } = arithmetic;
    const given = kernelWeights(this.kernels, block.name) ?? new Float32Array();
    const [size, filters] = [rows * columns, block.shown.length];
    const turned = new Float32Array(size * numChannels * filters);
    for (let i = 0; i < given.length; i += 1) {
      const k = Math.floor(i / (size * depth));
      const channel = firstChannel[k] + (Math.floor(i / size) % depth);
      turned[((i % size) * numChannels + channel) * filters + k] = given[i];
    }
    this.weights.set(block.name, turned);
    return turned;
  }

  /**
   * @param {string} name
   * @param {Volume} input
   * @returns {Generator<Volume | null>}
   */
  *convolution(name, input) {
    const block = /** @type {import("./types.js").Block} */ (this.page.blocks.find((candidate) => candidate.name === name));
    const arithmetic = /** @type {import("./types.js").Arithmetic} */ (block.arithmetic);
    const [rows, columns] = block.steps[0].shape;
    const channels = block.shown.length;
    const result = { rows, columns, channels, values: new Float32Array(rows * columns * channels) };
    const kernel = this.kernelOf(block);
    const bias = arithmetic.bias ? floatsFrom(arithmetic.bias) : null;
    for (let row = 0; row < rows; row += 1) {
      convolveRow(input, result, kernel, arithmetic, bias, row);
      if (row % 4 === 3) yield null;
    }
    yield result;
  }

  /**
   * @param {string} name
   * @param {Volume} input
   * @returns {Volume}
   */
  dense(name, input) {
    const { weights, bias } = this.kernels.dense[name];
    const known = this.weights.get(`dense ${name}`) ?? floatsFrom(weights);
    this.weights.set(`dense ${name}`, known);
    const units = known.length / input.values.length;
    const values = bias ? floatsFrom(bias) : new Float32Array(units);
    input.values.forEach((value, i) => {
      for (let unit = 0; unit < units; unit += 1) values[unit] += value * known[i * units + unit];
    });
    return { rows: 1, columns: 1, channels: units, values };
  }
}

/**
 * One row of cells. Inputs are taken one by one and given to all filters, so that zeros, which ReLU leaves many of, cost
 * nothing.
 * @param {Volume} input
 * @param {Volume} result
 * @param {Float32Array} kernel
 * @param {import("./types.js").Arithmetic} arithmetic
 * @param {Float32Array | null} bias
 * @param {number} row
 */
function convolveRow(input, result, kernel, { windows: [down, across], kernel: [height, width] }, bias, row) {
  const { values, channels } = input;
  const filters = result.channels;
  const sums = new Float64Array(filters);
  for (let column = 0; column < result.columns; column += 1) {
    if (bias) sums.set(bias);
    else sums.fill(0);
    for (let place = 0; place < height * width; place += 1) {
      const y = row * down.stride - down.before + Math.floor(place / width) * (down.dilation ?? 1);
      const x = column * across.stride - across.before + (place % width) * (across.dilation ?? 1);
      if (y < 0 || y >= input.rows || x < 0 || x >= input.columns) continue;
      const from = (y * input.columns + x) * channels;
      for (let c = 0; c < channels; c += 1) {
        const value = values[from + c];
        if (value !== 0) addScaled(sums, kernel, (place * channels + c) * filters, value);
      }
    }
    result.values.set(sums, (row * result.columns + column) * filters);
  }
}

/**
 * @param {Float64Array} sums
 * @param {Float32Array} weights
 * @param {number} start
 * @param {number} factor
 */
function addScaled(sums, weights, start, factor) {
  for (let k = 0; k < sums.length; k += 1) sums[k] += factor * weights[start + k];
}

/**
 * @param {Volume} input
 * @param {import("./types.js").Operation} operation
 * @returns {Volume}
 */
function poolVolume(input, { kind, windows, shape }) {
  const [down, across] = /** @type {[import("./types.js").Window, import("./types.js").Window]} */ (windows);
  const [rows, columns] = /** @type {[number, number]} */ (shape);
  const { channels } = input;
  const values = new Float32Array(rows * columns * channels);
  for (let i = 0; i < rows * columns; i += 1) {
    const [top, left] = [Math.floor(i / columns) * down.stride - down.before, (i % columns) * across.stride - across.before];
    for (let c = 0; c < channels; c += 1) {
      let [highest, sum, count] = [-Infinity, 0, 0];
      for (let y = Math.max(0, top); y < Math.min(top + down.size, input.rows); y += 1) {
        for (let x = Math.max(0, left); x < Math.min(left + across.size, input.columns); x += 1) {
          const value = input.values[(y * input.columns + x) * channels + c];
          if (value > highest) highest = value;
          sum += value;
          count += 1;
        }
      }
      values[i * channels + c] = kind === "average" ? sum / count : highest;
    }
  }
  return { rows, columns, channels, values };
}

/**
 * @param {Volume} input
 * @param {Float32Array} scale
 * @param {Float32Array} offset
 * @returns {Volume}
 */
function affine(input, scale, offset) {
  const { channels } = input;
  return { ...input, values: input.values.map((value, i) => value * scale[i % channels] + offset[i % channels]) };
}

/** @param {Volume[]} inputs @returns {Volume} */
function addUp(inputs) {
  const [first, ...rest] = inputs;
  return { ...first, values: first.values.map((value, i) => rest.reduce((sum, other) => sum + other.values[i], value)) };
}

/** @param {Volume} input @returns {Volume} */
function globalAverage({ rows, columns, channels, values }) {
  const means = new Float32Array(channels);
  values.forEach((value, i) => (means[i % channels] += value / (rows * columns)));
  return { rows: 1, columns: 1, channels, values: means };
}

/**
 * @param {Float32Array} logits
 * @param {number} units
 * @param {number} temperature
 * @returns {number[]}
 */
export function probabilities(logits, units, temperature) {
  if (units === 1) {
    const positive = 1 / (1 + Math.exp(-logits[0] / temperature));
    return [1 - positive, positive];
  }
  const top = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp((logit - top) / temperature));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/**
 * The picture as numbers, with a box in its mean color.
 * @param {{width: number, height: number, pixels: Uint8Array}} picture RGB
 * @param {import("./types.js").Box | null} box
 * @returns {Volume}
 */
export function coveredPicture({ width, height, pixels }, box) {
  const values = Float32Array.from(pixels);
  const mean = [0, 1, 2].map((c) => Math.round(pixels.reduce((sum, value, i) => (i % 3 === c ? sum + value : sum), 0) / (width * height)));
  if (box) {
    for (let y = box[1]; y < box[3]; y += 1) for (let x = box[0]; x < box[2]; x += 1) for (let c = 0; c < 3; c += 1) values[(y * width + x) * 3 + c] = mean[c];
  }
  return { rows: height, columns: width, channels: 3, values };
}

/**
 * The views of a picture that its answer is the mean over, the picture itself first.
 * @param {Volume} picture
 * @param {boolean} mirror
 * @param {number | null} centerCrop share of each side, enlarged
 * @returns {Volume[]}
 */
export function viewsOf(picture, mirror, centerCrop) {
  const views = centerCrop === null ? [picture] : [picture, enlargeCenter(picture, centerCrop)];
  return mirror ? [...views, ...views.map(mirrored)] : views;
}

/** @param {Volume} picture @returns {Volume} */
function mirrored({ rows, columns, channels, values }) {
  const turned = (/** @type {number} */ i) => Math.floor(i / columns) * columns + columns - 1 - (i % columns);
  return { rows, columns, channels, values: values.map((_, at) => values[turned(Math.floor(at / channels)) * channels + (at % channels)]) };
}

/**
 * Bilinear, between the middles of pixels, to whole numbers: as the network is shown it elsewhere.
 * @param {Volume} picture
 * @param {number} share
 * @returns {Volume}
 */
function enlargeCenter({ rows, columns, channels, values }, share) {
  const along = (/** @type {number} */ length) => {
    const size = Math.max(1, roundEven(length * share));
    const start = Math.floor((length - size) / 2);
    return Array.from({ length }, (_, i) => {
      const at = ((i + 0.5) * size) / length - 0.5;
      const low = Math.floor(at);
      return { low: start + Math.max(0, low), high: start + Math.min(size - 1, low + 1), part: at - low };
    });
  };
  const [down, across] = [along(rows), along(columns)];
  const result = values.map((_, at) => {
    const [y, x, c] = [down[Math.floor(at / (columns * channels))], across[Math.floor(at / channels) % columns], at % channels];
    const row = (/** @type {number} */ r) => values[(r * columns + x.low) * channels + c] * (1 - x.part) + values[(r * columns + x.high) * channels + c] * x.part;
    return roundEven(row(y.low) * (1 - y.part) + row(y.high) * y.part);
  });
  return { rows, columns, channels, values: result };
}

/** @param {number} value @returns {number} halves go to the even one, as in Python */
function roundEven(value) {
  const whole = Math.round(value);
  return whole % 2 && whole - value === 0.5 ? whole - 1 : whole;
}
