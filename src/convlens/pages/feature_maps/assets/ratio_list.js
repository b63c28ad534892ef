/** Filters by how much of their activation lies in a box, against the box's share of the area. */
import { choiceRow, make } from "./controls.js";
import { randomBoxes } from "./covering.js";
import { floatsFrom } from "./maps.js";
import { boxRatio, cellsInside } from "./ranking.js";
import { filterRow, ThumbBox } from "./thumbs.js";
import { number, plural, shortName } from "./words.js";

const RATIO_ROWS = 4;
const NUM_RATIO_BOXES = 39; // one value beyond all of them comes by chance at most once in twenty, either way

export class RatioList {
  /** @param {import("./types.js").Context} context */
  constructor(context) {
    this.context = context;
    this.element = make("div", "ratios");
    this.thumbs = new ThumbBox(context.tables);
    this.isOverall = false;
    this.madeFor = "";
    /** @type {import("./types.js").Region | null} */
    this.region = null;
    this.words = make("p", "quiet");
    this.choices = make("div", "choices");
    this.layers = make("div", "place-layers");
    this.element.append(this.words, this.choices, this.layers);
    this.blocks = context.page.blocks.filter((block) => block.isConvolution);
    this.parts = this.blocks.map((block) => this.makeLayer(block));
  }

  /** @param {import("./types.js").Block} block */
  makeLayer(block) {
    const box = make("section", "place-layer");
    const [head, list, words] = [make("div", "place-head"), make("div", "filter-rows"), make("p", "quiet")];
    const title = make("h4", "", shortName(block));
    title.title = block.name;
    head.append(title, words);
    box.append(head, list);
    this.layers.append(box);
    return { words, list, key: "" };
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").Box} box
   * @param {import("./types.js").Region | null} region over the data set, if it is a named one
   */
  show(photo, box, region) {
    this.region = region;
    this.again = () => this.show(photo, box, region);
    this.choices.hidden = !region;
    if (region && region.name !== this.madeFor) this.makeChoices(region);
    const what = "Share of a filter’s activation inside the box over the box’s share of the photo: 1× is what chance gives, 3× is three times as much. Beside it what random boxes of the same size have on this photo.";
    const over = region && this.isOverall;
    this.words.textContent = over ? `${what.replace(/ Beside.*/, "")} Mean over ${region.numPhotos} held-out photos with its 95\u00a0% interval, ranked by its lower end.` : what;
    this.blocks.forEach((block, i) => (over ? this.fillOverall(photo, region, block, this.parts[i]) : this.fill(photo, box, block, this.parts[i])));
  }

  /** @param {import("./types.js").Region} region */
  makeChoices(region) {
    this.madeFor = region.name;
    const show = choiceRow(this.choices, "Over which photos", [["photo", "This photo"], ["all", `All ${region.numPhotos} photos`]], (chosen) => {
      this.isOverall = chosen === "all";
      show(chosen);
      this.again?.();
    });
    show(this.isOverall ? "all" : "photo");
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").Box} box
   * @param {import("./types.js").Block} block
   * @param {{words: HTMLElement, list: HTMLElement, key: string}} part
   */
  fill(photo, box, block, part) {
    const step = /** @type {import("./types.js").Step} */ (block.steps.find(({ name }) => name === block.response));
    const maps = /** @type {import("./types.js").Maps} */ (photo.maps.get(block.response));
    const inside = cellsInside(step, box, this.context.page.pictureSize);
    const num = inside.filter(Boolean).length;
    const key = `${photo.index} ${inside.indexOf(true)} ${inside.lastIndexOf(true)}`; // the corners tell the box
    if (key === part.key) return;
    part.key = key;
    part.words.textContent = num ? plural(num, "cell") : "no cell inside";
    const elsewhere = randomBoxes(box, this.context.page.pictureSize, NUM_RATIO_BOXES).map((other) => cellsInside(step, other, this.context.page.pictureSize));
    const text = (/** @type {number} */ k) => bandWords(elsewhere.map((cells) => boxRatio(maps.tiles[k], cells)));
    const ranked = maps.tiles.map((values, k) => ({ k, ratio: boxRatio(values, inside), text: () => text(k) }));
    this.list(photo, block, part, ranked, (entry) => entry.ratio);
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").Region} region
   * @param {import("./types.js").Block} block
   * @param {{words: HTMLElement, list: HTMLElement, key: string}} part
   */
  fillOverall(photo, region, block, part) {
    const found = region.ratios[block.name];
    part.key = "";
    part.words.textContent = found ? "" : "not measured";
    if (!found) return part.list.replaceChildren();
    const [value, low, high] = [floatsFrom(found.value), floatsFrom(found.low), floatsFrom(found.high)];
    const ranked = [...value].map((ratio, k) => ({ k, ratio, text: () => `${times(ratio)}× (${times(low[k])} to ${times(high[k])})` }));
    return this.list(photo, block, part, ranked, ({ k }) => low[k]);
  }

  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").Block} block
   * @param {{list: HTMLElement}} part
   * @param {{k: number, ratio: number, text: () => string}[]} entries
   * @param {(entry: {k: number, ratio: number}) => number} worth
   */
  list(photo, block, { list }, entries, worth) {
    const ranked = entries.filter(({ ratio }) => ratio > 0).sort((a, b) => worth(b) - worth(a) || a.k - b.k).slice(0, RATIO_ROWS);
    const top = Math.max(...ranked.map(({ ratio }) => ratio), 3);
    list.replaceChildren(...ranked.map(({ k, ratio, text }) => {
      const row = filterRow({
        filter: block.shown[k], block: block.name, thumb: this.thumbs.take(photo, block, k),
        value: `${times(ratio)}×`, share: ratio / top, more: "as much activation as area.",
        onOpen: () => this.context.change({ tab: "filter", block: block.name, filter: block.shown[k], cell: null }),
      });
      row.append(make("span", "row-interval", text()));
      return row;
    }));
  }
}

/**
 * @param {number[]} ratios of random boxes; NaN where no cell lies inside
 * @returns {string}
 */
function bandWords(ratios) {
  const known = ratios.filter(Number.isFinite);
  return known.length ? `${known.length} random boxes: ${times(Math.min(...known))}× to ${times(Math.max(...known))}×` : "";
}

/** @param {number} ratio @returns {string} two significant digits */
function times(ratio) {
  return number(Number(ratio.toPrecision(2)));
}
