/** Over time: the network after earlier epochs, on the chosen photo. */
import { choiceRow, make } from "./controls.js";
import { EpochChart } from "./epoch_chart.js";
import { EpochSlider } from "./epoch_slider.js";
import { answerOverTime, epochWords, placeOf, timeKernels } from "./over_time_data.js";
import { TimeLayerCard } from "./over_time_layer.js";
import { percent, plural } from "./words.js";

const TIME_KINDS = ["saliency", "edges", "random"];

export class OverTimeView {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Context} context
   */
  constructor(host, context) {
    this.context = context;
    this.answer = make("p", "lead");
    this.answerChart = make("div");
    this.image = make("img", "time-photo");
    const timeline = /** @type {import("./over_time_data.js").Timeline | null} */ (context.resource("over-time"));
    if (!timeline) {
      host.append(make("p", "notice", "No snapshots were kept of this training: train.snapshots in params.yaml says how many."));
      return;
    }
    this.timeline = timeline;
    this.answer.setAttribute("aria-live", "polite");
    const { epochs } = timeline;
    this.slider = new EpochSlider(epochs, (place) => epochWords(timeline, place), (place) => context.change({ epoch: epochs[place] }));
    this.layers = timeline.layers.map((layer) => new TimeLayerCard(layer, timeline, context.tables));
    this.photo = -1;
    this.slider.element.append(this.scaleChoice());
    host.append(this.slider.element, this.layAnswer(), ...this.layKernels(timeline), ...this.layers.map(({ element }) => element), this.notes(timeline));
  }

  /** One scale for all epochs shows what grows; one for each shows what is there when values are small. */
  scaleChoice() {
    const [box, row] = [make("div", "control time-scale"), make("div", "choices")];
    const shown = choiceRow(row, "Scale by", [["all", "all epochs"], ["each", "each epoch"]], (scale) => {
      shown(scale);
      for (const layer of this.layers ?? []) layer.scaleBy(scale === "each");
    });
    shown("all");
    box.append(make("span", "control-name", "Scale by"), row);
    return box;
  }

  layAnswer() {
    const card = make("section", "card wide");
    const columns = make("div", "time-answer");
    const words = make("div");
    words.append(make("h3", "", "The answer"), this.answer);
    columns.append(this.image, words, this.answerChart);
    card.append(columns);
    return card;
  }

  /** @param {import("./over_time_data.js").Timeline} timeline */
  layKernels({ kernels }) {
    if (!kernels) return [];
    const card = make("section", "card wide");
    this.kernels = Array.from({ length: kernels.numFilters }, () => {
      const canvas = make("canvas", "time-kernel");
      [canvas.height, canvas.width] = kernels.shape;
      return canvas;
    });
    this.kernelRow = make("div", "time-kernels");
    this.kernelRow.setAttribute("role", "img");
    this.kernelRow.append(...this.kernels);
    card.append(make("h3", "", "The first kernels"), make("p", "quiet", "Each color channel is its own weight: gray is zero. One scale for all epochs, so kernels that grow stand out more."), this.kernelRow);
    return [card];
  }

  /** @param {import("./over_time_data.js").Timeline} timeline */
  notes({ numSample, numLayers, layers, maps, answers }) {
    const list = make("ul", "notes wide");
    const add = (/** @type {string} */ text) => list.append(make("li", "", text));
    add(`A filter’s correlation with its end is that of its responses, over ${plural(numSample, "held-out photo")} and 49 places on each. It has formed by the epoch from which on this stays at 0.9 or more.`);
    add("Each layer has one color scale for all epochs and photos unless you scale by each epoch; root colors. Large maps are shown as means over squares of cells.");
    add("Answers are calibrated with the temperature of the network that was kept. Kernels of snapshots are stored with eleven binary digits.");
    if (layers.length < numLayers) add(`${layers.length} of ${numLayers} layers are shown, evenly taken; reports/feature_maps/over_time.csv has all.`);
    if (maps.length < answers.length) add(`Maps over time are kept for the first ${maps.length} photos; answers for all.`);
    return list;
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  show(photo) {
    const timeline = this.timeline;
    if (!timeline || !this.slider) return;
    const place = placeOf(timeline, this.context.state.epoch);
    if (photo.index !== this.photo) this.showPhoto(photo, timeline);
    this.slider.show(place);
    const text = answerOverTime(timeline, this.context.page.classes, photo.index, place);
    if (this.answer.textContent !== text) this.answer.textContent = text;
    this.chart?.show(place);
    this.showKernels(timeline, place);
    for (const layer of this.layers ?? []) layer.show(place);
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./over_time_data.js").Timeline} timeline
   */
  showPhoto(photo, timeline) {
    this.photo = photo.index;
    Object.assign(this.image, { src: photo.storedUrl, alt: photo.facts.name });
    const { classes } = this.context.page;
    const answers = timeline.answers[photo.index];
    const end = classes[answers[timeline.kept].indexOf(Math.max(...answers[timeline.kept]))];
    const wanted = [...new Set([end, photo.facts.truth ?? end])];
    const lines = wanted.map((name, i) => ({ name, kind: TIME_KINDS[i], values: answers.map((chances) => chances[classes.indexOf(name)]) }));
    const label = lines.map(({ name, values }) => `Probability of ${name}: ${values.map((value, i) => `${percent(value)} after epoch ${timeline.epochs[i]}`).join(", ")}.`).join(" ");
    this.chart = new EpochChart({ label, epochs: timeline.epochs, yName: lines.length > 1 ? "Probability" : `Probability of ${end}`, lines });
    this.answerChart.replaceChildren(this.chart.element);
    for (const layer of this.layers ?? []) layer.showPhoto(photo);
  }

  /**
   * @param {import("./over_time_data.js").Timeline} timeline
   * @param {number} place
   */
  showKernels({ kernels, epochs }, place) {
    if (!kernels || !this.kernels || !this.kernelRow) return;
    const [rows, columns] = kernels.shape;
    timeKernels(kernels, place).forEach((pixels, k) => this.kernels?.[k].getContext("2d")?.putImageData(new ImageData(pixels, columns, rows), 0, 0));
    this.kernelRow.setAttribute("aria-label", `The ${kernels.numFilters} kernels of the first convolution after epoch ${epochs[place]}, in color`);
  }
}
