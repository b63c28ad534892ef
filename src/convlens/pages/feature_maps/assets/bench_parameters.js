/** Parameters of a convolution against dense layers, at three sizes of picture. */
import { make } from "./controls.js";
import { countParameters } from "./convolve.js";

const SIDES = [32, 150, 1000];
const FIELDS = /** @type {["kernel" | "filters" | "units", string, number][]} */ ([["kernel", "Kernel", 15], ["filters", "Filters", 512], ["units", "Dense units", 4096]]);

export class ParameterBench {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.how = { kernel: 3, filters: 16, units: 512 };
    this.table = make("div", "parameter-rows");
    this.words = make("p", "lecture-readout");
    this.words.setAttribute("aria-live", "polite");
    const bar = make("div", "controls-row");
    for (const [key, name, high] of FIELDS) bar.append(this.makeInput(key, name, high));
    host.append(bar, this.table, this.words);
    this.update();
  }

  /**
   * @param {"kernel" | "filters" | "units"} key
   * @param {string} name
   * @param {number} high
   */
  makeInput(key, name, high) {
    const [label, input] = [make("label", "number-field", name), make("input")];
    Object.assign(input, { type: "number", min: "1", max: String(high), value: String(this.how[key]) });
    input.addEventListener("input", () => {
      const value = Math.round(Number(input.value));
      if (!Number.isFinite(value) || value < 1 || value > high) return;
      this.how[key] = value;
      this.update();
    });
    label.append(input);
    return label;
  }

  update() {
    const rows = SIDES.map((side) => ({ side, ...countParameters(side, this.how) }));
    const most = Math.log10(Math.max(...rows.map(({ dense, units }) => Math.max(dense, units))));
    this.table.replaceChildren(...rows.map((row) => this.row(row, most)));
    const [small, , large] = rows;
    this.words.textContent = `The convolution has ${big(small.convolution)} parameters whatever the picture’s size. Dense layers grow with it: ${big(small.units)} at 32 pixels, ${big(large.units)} at 1,000 for ${big(this.how.units)} units; one with as many outputs as the convolution would take ${bytes(large.dense)} at 1,000 pixels. Bars are logarithmic.`;
  }

  /**
   * @param {{side: number, convolution: number, dense: number, units: number}} row
   * @param {number} most
   */
  row({ side, convolution, dense, units }, most) {
    const box = make("section", "parameter-row");
    box.append(make("h4", "", `${side.toLocaleString("en")} × ${side.toLocaleString("en")} × 3`));
    const bar = (/** @type {string} */ name, /** @type {number} */ value, /** @type {string} */ kind) => {
      const line = make("div", `parameter-bar ${kind}`);
      const track = make("span", "row-bar");
      track.style.setProperty("--share", String(Math.max(0, Math.log10(Math.max(value, 1)) / most)));
      line.append(make("span", "parameter-name", name), track, make("span", "row-value", big(value)));
      box.append(line);
    };
    bar("Convolution", convolution, "own");
    bar(`Dense, ${big(this.how.units)} units`, units, "");
    bar("Dense, same outputs", dense, "");
    return box;
  }
}

/** @param {number} value @returns {string} `448`, `1.57 million` */
export function big(value) {
  const names = /** @type {[number, string][]} */ ([[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]]);
  const found = names.find(([size]) => value >= size);
  return found ? `${Number((value / found[0]).toPrecision(3)).toLocaleString("en")} ${found[1]}` : Math.round(value).toLocaleString("en");
}

/** @param {number} count float32 numbers @returns {string} */
function bytes(count) {
  const size = count * 4;
  const names = /** @type {[number, string][]} */ ([[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]);
  const [unit, name] = names.find(([limit]) => size >= limit) ?? [1, "bytes"];
  return `${Number((size / unit).toPrecision(3)).toLocaleString("en")} ${name} of memory`;
}
