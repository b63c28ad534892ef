/** One layer over the epochs: how like its end it is, and the maps of a few filters. */
import { make } from "./controls.js";
import { EpochChart } from "./epoch_chart.js";
import { drawLegend } from "./legend.js";
import { filterOverTime, layerOverTime, layerRows, timeLimit, timeMaps } from "./over_time_data.js";
import { colorPixels, highestMagnitude } from "./views.js";
import { decimals, percent } from "./words.js";

const TIME_HEADS = ["Epoch", "Formed", "Correlation, lower quartile", "Median", "Upper quartile", "Dead", "Photos they fire on"];

export class TimeLayerCard {
  /**
   * @param {import("./over_time_data.js").TimeLayer} layer
   * @param {import("./over_time_data.js").Timeline} timeline
   * @param {import("./types.js").Tables} tables
   */
  constructor(layer, timeline, tables) {
    this.layer = layer;
    this.timeline = timeline;
    this.colors = { limit: timeLimit(layer), signed: !layer.rectified, table: layer.rectified ? tables.positive : tables.signed, curve: /** @type {const} */ ("root") };
    this.place = -1;
    this.each = false;
    this.legend = make("div", "legend");
    this.words = make("p", "quiet");
    this.chart = new EpochChart({
      label: `Correlation of the filters of ${layer.name} with their end: the numbers are in the table below`,
      epochs: timeline.epochs, low: this.lowest(), yName: "Correlation with the end: median, and half of the filters",
      lines: [{ name: "median", kind: "saliency", values: layer.median }], band: layer,
    });
    this.filters = layer.shown.map((_, k) => this.filter(k));
    this.missing = make("p", "notice", "There was no room for this photo’s maps over time; the curves hold for all photos.");
    this.missing.hidden = true;
    this.element = this.layOut();
  }

  lowest() {
    const lowest = Math.min(0, ...this.layer.low.map((value) => value ?? 0));
    return Math.floor(lowest * 4) / 4;
  }

  layOut() {
    const { layer } = this;
    const card = make("section", "card wide time-layer");
    const head = make("div", "block-head");
    const title = make("div");
    title.append(make("h3", "", layer.name), this.words);
    head.append(title, this.legend);
    const body = make("div", "time-body");
    this.row = make("div", "time-filters");
    this.row.append(...this.filters.map(({ figure }) => figure));
    body.append(this.chart.element, this.row);
    card.append(head, body, this.missing, this.table());
    return card;
  }

  /** @param {number} k */
  filter(k) {
    const { layer, timeline } = this;
    const [rows, columns] = layer.shape;
    const [figure, caption] = [make("figure", "time-filter"), make("figcaption")];
    const big = make("canvas", "time-tile");
    const strip = make("canvas", "time-strip");
    [big.height, big.width] = [rows, columns];
    [strip.height, strip.width] = [rows, timeline.epochs.length * (columns + 1) - 1];
    big.setAttribute("aria-hidden", "true");
    strip.setAttribute("role", "img");
    const mark = make("span", "time-mark");
    const film = make("div", "time-film");
    film.append(strip, mark);
    const facts = [make("small"), make("small")];
    caption.append(make("b", "", `Filter ${layer.shown[k]}`), ...facts, make("small", "", filterOverTime(layer, k, timeline)));
    figure.append(big, film, caption);
    return { figure, big, strip, mark, facts };
  }

  table() {
    const details = make("details", "behind");
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const text of TIME_HEADS) {
      const cell = make("th", "", text);
      cell.scope = "col";
      head.append(cell);
    }
    const body = table.createTBody();
    for (const cells of layerRows(this.layer, this.timeline)) {
      const row = body.insertRow();
      for (const text of cells) row.append(make("td", "", text));
    }
    const scroll = make("div", "scroll plain");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "group");
    scroll.setAttribute("aria-label", `Numbers of ${this.layer.name} over the epochs`);
    scroll.append(table);
    details.append(make("summary", "", `The numbers of ${this.layer.name}`), scroll);
    return details;
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  showPhoto(photo) {
    const { timeline, layer } = this;
    this.maps = timeMaps(timeline, photo.index, layer);
    this.missing.hidden = this.maps !== null;
    if (this.row) this.row.hidden = this.maps === null;
    this.place = -1;
    this.paintStrips();
    this.filters.forEach(({ strip }, k) => {
      const texts = timeline.epochs.map((epoch, place) => `${decimals(layer.correlation[k][place])} after epoch ${epoch}`);
      strip.setAttribute("aria-label", `Filter ${layer.shown[k]} of ${layer.name} on ${photo.facts.name}, epoch by epoch; correlation with its end ${texts.join(", ")}`);
    });
  }

  paintStrips() {
    this.maps?.forEach((tiles, place) => this.filters.forEach(({ strip }, k) => this.paint(strip, tiles[k], place, place * (this.layer.shape[1] + 1))));
  }

  /** @param {boolean} each whether every epoch has a scale of its own */
  scaleBy(each) {
    this.each = each;
    this.paintStrips();
    const { place } = this;
    this.place = -1;
    this.show(place);
  }

  /** @param {number} place */
  colorsAt(place) {
    const limit = this.each && this.maps ? Math.max(...this.maps[place].map(highestMagnitude)) : timeLimit(this.layer);
    return { ...this.colors, limit };
  }

  /** @param {number} place */
  showLegend(place) {
    const { size, shape, label } = this.layer;
    const means = shape[0] < size[0] ? `, shown as ${shape.join("×")} means` : "";
    drawLegend(this.legend, this.colorsAt(place), `${label}, ${size.join("×")} cells${means}`);
  }

  /** @param {number} place */
  show(place) {
    if (place === this.place) return;
    this.showLegend(place);
    this.place = place;
    const { layer, timeline } = this;
    this.words.textContent = layerOverTime(layer, place, timeline.kept);
    this.chart.show(place);
    this.filters.forEach(({ big, mark, facts }, k) => {
      const values = this.maps?.[place][k];
      if (values) this.paint(big, values, place, 0);
      mark.style.left = `${(place / timeline.epochs.length) * 100}%`;
      mark.style.width = `${100 / timeline.epochs.length}%`;
      facts[0].textContent = `like its end ${decimals(layer.correlation[k][place])}`;
      facts[1].textContent = `fires on ${percent(layer.rates[k][place])}`;
    });
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Float32Array} values
   * @param {number} place
   * @param {number} left
   */
  paint(canvas, values, place, left) {
    const [rows, columns] = this.layer.shape;
    canvas.getContext("2d")?.putImageData(new ImageData(colorPixels(values, this.colorsAt(place)), columns, rows), left, 0);
  }
}
