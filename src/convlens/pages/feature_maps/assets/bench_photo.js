/** The photo under a classic kernel, beside what the network's own first layer makes of it. */
import { choiceRow, make } from "./controls.js";
import { convolve, sameSlide } from "./convolve.js";
import { colorKernel, isColor, sliceCanvas } from "./kernel_pictures.js";
import { KERNELS } from "./lecture.js";
import { drawLegend } from "./legend.js";
import { kernelWeights } from "./kernels.js";
import { kernelSlices } from "./trace.js";
import { colorPixels, highestMagnitude } from "./views.js";

export class PhotoBench {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Context} context
   */
  constructor(host, context) {
    this.context = context;
    this.kernel = "vertical";
    this.relu = false;
    this.filter = 0;
    this.block = context.page.blocks.find((block) => block.isConvolution) ?? null;
    this.classic = make("canvas", "bench-map");
    this.own = make("canvas", "bench-map");
    for (const canvas of [this.classic, this.own]) canvas.setAttribute("role", "img");
    this.legends = [make("div", "legend"), make("div", "legend")];
    this.kernels = make("div", "own-kernels");
    host.append(this.makeControls(), this.layOut());
  }

  makeControls() {
    const bar = make("div", "controls-row");
    const control = (/** @type {string} */ name, /** @type {[string, string, string?][]} */ choices, /** @type {string} */ chosen, /** @type {(key: string) => void} */ choose) => {
      const [box, row] = [make("div", "control"), make("div", "choices")];
      const show = choiceRow(row, name, choices, (key) => {
        choose(key);
        show(key);
        this.draw();
      });
      show(chosen);
      box.append(make("span", "control-name", name), row);
      bar.append(box);
    };
    control("Kernel", Object.entries(KERNELS).map(([key, { name, says }]) => [key, name, says]), this.kernel, (key) => (this.kernel = key));
    control("ReLU", [["off", "off"], ["on", "on"]], "off", (key) => (this.relu = key === "on"));
    return bar;
  }

  layOut() {
    const grid = make("div", "columns");
    const figure = (/** @type {string} */ title, /** @type {Node[]} */ ...parts) => {
      const [box, caption] = [make("figure"), make("figcaption")];
      caption.append(make("h4", "", title));
      box.append(caption, ...parts);
      grid.append(box);
    };
    figure("The photo in gray under this kernel", this.classic, this.legends[0]);
    figure(this.block ? `The network’s own: ${this.block.name}` : "The network has no convolution", this.own, this.legends[1], this.kernels);
    return grid;
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  show(photo) {
    this.photo = photo;
    if (!this.kernels.childElementCount && this.block) this.makeKernels(this.block);
    this.draw();
  }

  /** @param {import("./types.js").Block} block */
  makeKernels(block) {
    const weights = kernelWeights(this.context.resource("kernels"), block.name);
    const buttons = block.shown.map((filter, k) => {
      const button = make("button", "own-kernel");
      button.type = "button";
      button.setAttribute("aria-label", `Filter ${filter} of ${block.name}`);
      if (weights && block.arithmetic) button.append(this.picture(block.arithmetic, weights, k));
      else button.textContent = String(filter);
      button.addEventListener("click", () => {
        this.filter = k;
        this.draw();
      });
      return button;
    });
    this.kernels.replaceChildren(...buttons);
  }

  /**
   * @param {import("./types.js").Arithmetic} arithmetic
   * @param {Float32Array} weights
   * @param {number} k
   */
  picture(arithmetic, weights, k) {
    const slices = kernelSlices(arithmetic, weights, k);
    if (isColor(arithmetic)) return colorKernel(arithmetic, slices);
    return sliceCanvas(slices[0], arithmetic.kernel, highestMagnitude(slices[0]), this.context.tables.signed);
  }

  draw() {
    const photo = this.photo;
    if (!photo) return;
    const { width, height, pixels } = photo.picture;
    const gray = Float32Array.from({ length: width * height }, (_, i) => 0.299 * pixels[3 * i] + 0.587 * pixels[3 * i + 1] + 0.114 * pixels[3 * i + 2]);
    const slides = /** @type {[import("./convolve.js").Slide, import("./convolve.js").Slide]} */ ([sameSlide(height, 3, 1), sameSlide(width, 3, 1)]);
    const result = convolve(gray, [height, width], KERNELS[this.kernel].values, slides).values;
    this.paint(0, this.classic, this.relu ? result.map((value) => Math.max(0, value)) : result, [height, width]);
    this.classic.setAttribute("aria-label", `${photo.facts.name} under the kernel ${KERNELS[this.kernel].name}`);
    this.drawOwn(photo);
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  drawOwn(photo) {
    if (!this.block) return;
    const step = this.block.steps[0];
    const maps = photo.maps.get(step.name);
    if (!maps) return;
    const values = this.relu ? maps.tiles[this.filter].map((value) => Math.max(0, value)) : maps.tiles[this.filter];
    this.paint(1, this.own, values, step.shape);
    this.own.setAttribute("aria-label", `${photo.facts.name} under filter ${this.block.shown[this.filter]} of ${this.block.name}`);
    [...this.kernels.children].forEach((button, k) => button.setAttribute("aria-pressed", String(k === this.filter)));
  }

  /**
   * @param {0 | 1} place
   * @param {HTMLCanvasElement} canvas
   * @param {Float32Array} values
   * @param {[number, number]} shape
   */
  paint(place, canvas, values, [rows, columns]) {
    const { tables } = this.context;
    const signed = values.some((value) => value < 0);
    const colors = { limit: highestMagnitude(values), signed, table: signed ? tables.signed : tables.positive, curve: /** @type {const} */ ("root") };
    [canvas.width, canvas.height] = [columns, rows];
    canvas.getContext("2d")?.putImageData(new ImageData(colorPixels(values, colors), columns, rows), 0, 0);
    drawLegend(this.legends[place], colors, `${columns} × ${rows}, root colors`);
  }
}
