/** How much a part of the photo counts, for filters and for the answer. */
import { make } from "./controls.js";
import { intervalChart } from "./chart.js";
import { DrawnBox } from "./drawn_box.js";
import { RatioList } from "./ratio_list.js";
import { areaOf, PhotoStage } from "./stage.js";
import { beforeAfter, brief, chanceWords, changeOf, percent, points, sureOf } from "./words.js";

export class RegionsView {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Context} context
   */
  constructor(host, context) {
    this.context = context;
    this.chosen = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.drawn = new DrawnBox(context);
    this.stage = new PhotoStage("The photo. Draw a box with the pointer; arrow keys move the box, with Shift they size it.", context.page.pictureSize, {
      onDraw: (box) => this.draw(box), onKey: (event) => this.drawn.onKey(event, (box) => this.draw(box)),
    });
    this.choices = make("div", "region-choices");
    this.words = make("p", "region-words");
    this.words.setAttribute("aria-live", "polite");
    this.effect = make("div");
    this.ratios = new RatioList(context);
    this.overall = make("div", "card wide");
    host.append(this.layOut(), this.overall);
    this.showOverall();
  }

  layOut() {
    const grid = make("div", "split");
    const [left, right] = [make("div", "split-stage"), make("div", "region-main")];
    left.append(this.stage.element, make("p", "quiet", "Choose a part, or draw a box on the photo."), this.choices, this.drawn.element);
    const card = make("div", "card");
    card.append(make("h3", "", "Does the answer hang on it?"), this.words, this.effect);
    const filters = make("div", "card wide");
    filters.append(make("h3", "", "Which filters gather here?"), this.ratios.element);
    right.append(card, filters);
    grid.append(left, right);
    return grid;
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  show(photo) {
    if (this.photo?.index !== photo.index) {
      this.photo = photo;
      this.stage.setPicture(photo.pictureUrl, photo.facts.name);
      const regions = photo.payload.regions ?? [];
      this.makeChoices(regions);
    }
    this.drawn.onResult = () => this.update();
    this.update();
  }

  /** @param {import("./types.js").PhotoRegion[]} regions */
  makeChoices(regions) {
    this.choices.hidden = !regions.length;
    this.buttons = regions.map(({ name }) => {
      const button = make("button", "pill", spoken(name));
      button.dataset.region = name;
      button.type = "button";
      button.addEventListener("click", () => {
        this.context.change({ box: null, part: name });
      });
      return button;
    });
    this.choices.replaceChildren(...this.buttons);
  }

  /** @param {import("./types.js").Box} box */
  draw(box) {
    this.context.change({ box });
  }

  update() {
    const photo = /** @type {import("./types.js").LoadedPhoto} */ (this.photo);
    const { box: drawn, part } = this.context.state;
    const regions = photo.payload.regions ?? [];
    this.chosen = regions.some(({ name }) => name === part) ? part : regions[0]?.name ?? "";
    const region = drawn ? null : regions.find(({ name }) => name === this.chosen) ?? null;
    const [height, width] = this.context.page.pictureSize;
    const box = drawn ?? region?.box ?? /** @type {import("./types.js").Box} */ ([width / 4, height / 4, (3 * width) / 4, (3 * height) / 4].map(Math.round));
    this.buttons?.forEach((button) => button.setAttribute("aria-pressed", String(!drawn && button.dataset.region === this.chosen)));
    this.stage.frame("region-box", areaOf(box), region ? spoken(region.name) : "your box");
    this.drawn.show(/** @type {import("./types.js").Box} */ (box.map(Math.round)));
    if (region) this.showRegion(photo, region);
    else this.showDrawn(photo, box);
    clearTimeout(this.timer);
    if (!region) this.timer = setTimeout(() => this.drawn.wish(photo, box), 350);
    this.ratios.show(photo, box, region ? this.context.page.regions?.find(({ name }) => name === region.name) ?? null : null);
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").PhotoRegion} region
   */
  showRegion(photo, region) {
    const { answer } = photo.facts;
    const { value: change, low, high } = changeOf({ ...region.null, value: region.effect });
    const beyond = region.effect > region.null.high || region.effect < region.null.low;
    const { num } = region.null;
    const verdict = beyond ? `none of ${num} random boxes of the same size does as much; by chance that happens ${chanceWords(num)}` : "no more than with random boxes of the same size";
    this.words.textContent = `Without the ${spoken(region.name)} (${percent(region.share)} of the photo): ${beforeAfter(answer, sureOf(this.context.page, photo), change ?? 0)}; ${verdict}.`;
    const limit = Math.max(...[change, low, high].map((end) => Math.abs(end ?? 0)), 0.01);
    this.effect.replaceChildren(intervalChart([
      { name: spoken(region.name), estimate: { value: change, low: null, high: null }, text: points(change ?? 0, true) },
      { name: `${num} random boxes`, estimate: changeOf({ ...region.null, low: null, high: null }), text: `${points(low ?? 0, true)} to ${points(high ?? 0, true)}`, kind: "null", band: [low ?? 0, high ?? 0] },
    ], { low: -limit, high: limit }), make("p", "note", this.signWords(answer)));
  }

  /** @param {string} answer */
  signWords(answer) {
    return `Left of the middle: \u201c${answer}\u201d becomes less probable when it is covered, so it spoke for it. Right: more probable.`;
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").Box} box
   */
  showDrawn(photo, box) {
    const { text, rows, limit } = this.drawn.words(photo, box);
    this.words.textContent = text;
    this.effect.replaceChildren(...(rows.length ? [intervalChart(rows, { low: -limit, high: limit }), make("p", "note", this.signWords(photo.facts.answer))] : []));
  }

  showOverall() {
    const { regions = [], numRegionPhotos = 0, numSample } = this.context.page;
    this.overall.append(make("h3", "", "Over all held-out photos"));
    if (!regions.length) {
      this.overall.append(make("p", "quiet", numSample
        ? "This data set names no parts. With boxes in a regions.csv, every part would be measured here over all held-out photos."
        : "Not measured: this page was made without held-out photos."));
      return;
    }
    const limit = Math.max(...regions.flatMap(({ difference, effect }) => [difference.high, difference.low, effect.value].map((v) => Math.abs(v ?? 0))), 0.01);
    const rows = regions.map(({ name, difference, found }) => {
      const change = changeOf(difference);
      return { name: spoken(name), estimate: change, kind: found ? "found" : "", text: `${brief(change, (v) => points(v, true))}${found ? "" : ", could be chance"}` };
    });
    this.overall.append(
      make("p", "quiet", `Change of the true class\u2019s probability when a part is covered, beyond that by random boxes of the same size; ${numRegionPhotos} photos, 95\u00a0% intervals after Bonferroni.`),
      intervalChart(rows, { low: -limit, high: limit }),
    );
  }
}

/** @param {string} name @returns {string} `left ear` for `left_ear` */
function spoken(name) {
  return name.replaceAll("_", " ");
}
