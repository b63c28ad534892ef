/** From a place of the photo to the filters that fire there, layer by layer. */
import { choiceRow, make } from "./controls.js";
import { camEvidence } from "./evidence.js";
import { mapBox, placeWords, seenBox } from "./geometry.js";
import { highestOf, rankAt } from "./ranking.js";
import { PhotoStage } from "./stage.js";
import { filterRow, ThumbBox } from "./thumbs.js";
import { number, percent, plural, shortName } from "./words.js";

const FILL_TIME = 6; // milliseconds of a frame for lists of filters
const FILL_PAUSE = 30;
const PLACE_ROWS = 5;

export class PlaceView {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Context} context
   */
  constructor(host, context) {
    this.context = context;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.by = /** @type {"share" | "value"} */ ("share");
    const [height, width] = context.page.pictureSize;
    this.middle = /** @type {[number, number]} */ ([Math.round(width / 2), Math.round(height / 2)]);
    this.stage = new PhotoStage("The photo. Point at a place, or move with the arrow keys; with Shift, pixel by pixel.", context.page.pictureSize, {
      onPoint: (x, y) => context.change({ point: [Math.floor(x), Math.floor(y)] }),
    });
    this.thumbs = new ThumbBox(context.tables);
    /** @type {number[][]} */
    this.highest = [];
    this.readout = make("p", "readout");
    this.readout.setAttribute("aria-live", "polite");
    this.layers = make("div", "place-layers");
    this.blocks = context.page.blocks.filter((block) => block.isConvolution);
    this.parts = this.blocks.map((block) => this.makeLayer(block));
    host.append(this.layOut());
  }

  layOut() {
    const grid = make("div", "split");
    const left = make("div", "split-stage");
    const control = make("div", "control");
    const choices = make("div", "choices");
    const show = choiceRow(choices, "Rank by", [
      ["share", "Unusual", "Value over the filter’s highest value on held-out photos"],
      ["value", "Value", "The plain value; compares filters of one layer"],
    ], (by) => {
      this.by = /** @type {"share" | "value"} */ (by);
      show(by);
      this.rank();
    });
    show(this.by);
    control.append(make("span", "control-name", "Rank by"), choices);
    this.unit = make("p", "note");
    left.append(this.stage.element, this.readout, control, this.unit);
    grid.append(left, this.layers);
    return grid;
  }

  /** @param {import("./types.js").Block} block */
  makeLayer(block) {
    const box = make("section", "place-layer");
    const [head, list] = [make("div", "place-head"), make("div", "filter-rows")];
    const [title, words] = [make("h3", "", shortName(block)), make("p", "quiet")];
    title.title = block.name;
    head.append(title, words);
    box.append(head, list);
    box.addEventListener("pointerenter", () => this.frame(block));
    box.addEventListener("focusin", () => this.frame(block));
    this.layers.append(box);
    return { words, list, key: "" };
  }

  /** What the numbers of the lists are. */
  get unitWords() {
    if (this.by === "value") return "The filter’s value here; bars end at the strongest of the layer.";
    const { numSample } = this.context.page;
    return `The filter’s value here, as a share of its highest on ${numSample ? `${plural(numSample, "held-out photo")} and this one` : "this photo"}.`;
  }

  /** The place of the address, else the one that speaks most for the answer. @returns {[number, number]} */
  get point() {
    return this.context.state.point ?? this.strongest ?? this.middle;
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  show(photo) {
    if (this.photo?.index !== photo.index) this.open(photo);
    this.rank();
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  open(photo) {
    this.photo = photo;
    this.stage.setPicture(photo.pictureUrl, photo.facts.name);
    this.strongest = this.findStrongest(photo);
    this.highest = this.blocks.map((block) => highestOf(block, photo.maps));
  }

  /** @param {import("./types.js").LoadedPhoto} photo @returns {[number, number] | null} */
  findStrongest(photo) {
    const cam = camEvidence(this.context.page, photo.payload).find(({ key }) => key === this.context.page.camStep);
    if (!cam) return null;
    const best = cam.values.indexOf(Math.max(...cam.values));
    const area = mapBox(cam.field, cam.shape, this.context.page.pictureSize);
    const along = (/** @type {number} */ start, /** @type {number} */ size, /** @type {number} */ i, /** @type {number} */ n, /** @type {number} */ most) =>
      Math.min(most - 1, Math.max(0, Math.floor(start + ((i + 0.5) * size) / n)));
    const [height, width] = this.context.page.pictureSize;
    return [
      along(area.left, area.width, best % cam.shape[1], cam.shape[1], width),
      along(area.top, area.height, Math.floor(best / cam.shape[1]), cam.shape[0], height),
    ];
  }

  rank() {
    const photo = this.photo;
    if (!photo) return;
    const [x, y] = this.point;
    const [height, width] = this.context.page.pictureSize;
    this.stage.point = [x + 0.5, y + 0.5];
    this.stage.frame("cross", { left: x + 0.5, top: y + 0.5, width: 0, height: 0 });
    let firing = 0;
    let total = 0;
    const lists = this.blocks.map((block, i) => {
      const { cell, ranked } = rankAt(block, photo.maps, [x + 0.5, y + 0.5], this.context.page.pictureSize, this.by, this.highest[i]);
      firing += ranked.length;
      total += block.shown.length;
      return () => this.fill(block, this.parts[i], ranked, cell);
    });
    this.fillAll(lists);
    if (this.unit) this.unit.textContent = this.unitWords;
    this.readout.textContent = `Row ${y}, column ${x}, ${placeWords(y, x, [height, width])}: ${firing.toLocaleString("en")} of ${plural(total, "filter")} fire here.`;
  }

  /**
   * Fill lists for as long as a frame leaves time, the others when the pointer rests: networks have dozens of layers.
   * @param {(() => void)[]} lists
   */
  fillAll(lists) {
    clearTimeout(this.timer);
    const until = performance.now() + FILL_TIME;
    const waiting = lists.findIndex((fill) => {
      if (performance.now() > until) return true;
      fill();
      return false;
    });
    if (waiting >= 0) this.timer = setTimeout(() => this.fillAll(lists.slice(waiting)), FILL_PAUSE);
  }

  /**
   * @param {import("./types.js").Block} block
   * @param {{words: HTMLElement, list: HTMLElement, key: string}} part
   * @param {import("./ranking.js").Ranked[]} ranked
   * @param {[number, number] | null} cell
   */
  fill(block, part, ranked, cell) {
    const photo = /** @type {import("./types.js").LoadedPhoto} */ (this.photo);
    const { words, list } = part;
    const key = `${photo.index} ${this.by} ${cell}`;
    if (key === part.key) return; // the pointer is still in the same cell of this layer
    part.key = key;
    words.textContent = cell ? `${ranked.length} of ${block.shown.length} fire` : "No cell has its middle here";
    const top = ranked[0]?.[this.by] ?? 1;
    list.replaceChildren(...ranked.slice(0, PLACE_ROWS).map(({ k, value, share }) => filterRow({
      filter: block.shown[k], block: block.name, thumb: this.thumbs.take(photo, block, k),
      value: this.by === "share" ? percent(share) : number(value), share: this.by === "share" ? share : value / top,
      more: this.by === "share" ? `of its highest, ${number(value)}.` : `${percent(share)} of its highest.`,
      onOpen: () => this.context.change({ tab: "filter", block: block.name, filter: block.shown[k], cell }),
    })));
  }

  /** Frame what the cell of one layer sees. @param {import("./types.js").Block} block */
  frame(block) {
    const { cell } = rankAt(block, this.photo?.maps ?? new Map(), [this.point[0] + 0.5, this.point[1] + 0.5], this.context.page.pictureSize, this.by);
    const step = block.steps.find(({ name }) => name === block.response);
    this.stage.frame("field-box light", cell && step ? seenBox(step.field, cell, this.context.page.pictureSize) : null);
  }
}
