/** The page: reads its data, keeps its state, and shows one view at a time. */
import { AnswerView } from "./answer.js";
import { BenchView } from "./bench.js";
import { CardView } from "./card.js";
import { CellView } from "./cell.js";
import { press, rove } from "./controls.js";
import { FiltersView } from "./filters_view.js";
import { mapWorker } from "./kernels.js";
import { bytesFrom, readMaps } from "./maps.js";
import { PlaceView } from "./place.js";
import { decodePng } from "./png.js";
import { RegionsView } from "./regions.js";
import { OverTimeView } from "./over_time.js";
import { parseState, readAddress, writeAddress } from "./state.js";
import { Tabs } from "./tabs.js";
import { TrustView } from "./trust.js";
import { colorTable } from "./views.js";

const PNG = "data:image/png;base64,";
const VIEWS = /** @type {Record<string, new (host: HTMLElement, context: import("./types.js").Context) => import("./types.js").TabView>} */ ({
  answer: AnswerView, filters: FiltersView, filter: CardView, cell: CellView, place: PlaceView, regions: RegionsView,
  time: OverTimeView, bench: BenchView, trust: TrustView,
});
const NEEDS_FILTERS = ["filters", "filter", "cell", "place", "regions"];

class FeatureMapPage {
  constructor() {
    /** @type {Map<string, unknown>} */
    this.resources = new Map();
    /** @type {Map<string, import("./types.js").TabView>} */
    this.views = new Map();
    /** @type {Map<string, Promise<import("./types.js").LoadedPhoto>>} */
    this.cache = new Map();
    this.page = /** @type {import("./types.js").Page} */ (this.resource("page-data"));
    this.state = this.validState(parseState(readAddress()));
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.addressTimer = undefined;
    this.isWaiting = false;
    /** @type {import("./types.js").Context} */
    this.context = {
      page: this.page, state: this.state,
      tables: { signed: colorTable(this.page.colors.signed), positive: colorTable(this.page.colors.positive) },
      change: (part) => this.change(part),
      resource: (id) => /** @type {any} */ (this.resource(id)),
    };
    this.tabs = new Tabs(/** @type {HTMLElement} */ (document.getElementById("tabs")), (tab) => this.turnTo(tab));
    this.photoButtons = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".photo-choice")]);
    this.makePhotos();
    window.addEventListener("hashchange", () => {
      Object.assign(this.state, this.validState(parseState(readAddress())));
      this.wake();
    });
  }

  /** @param {string} id @returns {unknown} the JSON of a script element, read once; null if there is none */
  resource(id) {
    if (!this.resources.has(id)) {
      const text = document.getElementById(id)?.textContent;
      this.resources.set(id, text ? JSON.parse(text) : null);
    }
    return this.resources.get(id);
  }

  /** @param {import("./types.js").State} state */
  validState(state) {
    state.photo = Math.min(state.photo, this.page.photos.length - 1);
    if (!this.page.blocks.length && NEEDS_FILTERS.includes(state.tab)) state.tab = "answer";
    if (!document.getElementById(`view-${state.tab}`)) state.tab = "answer";
    const [height, width] = this.page.pictureSize;
    if (state.point && (state.point[0] >= width || state.point[1] >= height)) state.point = null;
    const box = state.box;
    if (box && (box[0] >= box[2] || box[1] >= box[3] || box[2] > width || box[3] > height)) state.box = null;
    return state;
  }

  makePhotos() {
    this.photoButtons.forEach((button, photo) => button.addEventListener("click", () => this.change({ photo })));
    const host = document.getElementById("photos");
    if (host) rove(host, this.photoButtons);
  }

  /** @param {import("./types.js").Tab} tab */
  turnTo(tab) {
    if (tab === this.state.tab) return;
    this.change({ tab });
  }

  /** @param {Partial<import("./types.js").State>} part */
  change(part) {
    const turned = part.tab !== undefined && part.tab !== this.state.tab;
    Object.assign(this.state, part);
    clearTimeout(this.addressTimer);
    // Browsers complain about an address that changes with every move of the pointer.
    this.addressTimer = setTimeout(() => writeAddress(this.state), 250);
    if (turned) this.toTop();
    this.wake();
  }

  /** A new view begins at its top, but the bar stays where it is. */
  toTop() {
    const bar = /** @type {HTMLElement} */ (document.querySelector(".bar"));
    if (bar.getBoundingClientRect().top <= 0) window.scrollTo({ top: 0, behavior: "instant" });
  }

  /** Draw once a frame, however often the state changes. */
  wake() {
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => {
      this.isWaiting = false;
      void this.update();
    });
  }

  async update() {
    const { tab, photo: index } = this.state;
    this.tabs.show(tab);
    document.documentElement.dataset.tab = tab;
    this.photoButtons.forEach((button, i) => press(button, i === index));
    const photo = await this.load(index, tab !== "answer");
    if (index !== this.state.photo || tab !== this.state.tab) return;
    this.viewOf(tab)?.show(photo);
    document.documentElement.dataset.ready = tab;
    if (tab === "answer") setTimeout(() => void this.load(index, true), 60);
  }

  /** @param {string} tab @returns {import("./types.js").TabView | undefined} made when it is opened first */
  viewOf(tab) {
    const View = VIEWS[tab];
    const host = document.getElementById(`view-${tab}`)?.querySelector(".view-body");
    if (!this.views.has(tab) && View && host instanceof HTMLElement) this.views.set(tab, new View(host, this.context));
    return this.views.get(tab);
  }

  /**
   * @param {number} index
   * @param {boolean} withMaps the answer is shown before the maps are read
   * @returns {Promise<import("./types.js").LoadedPhoto>}
   */
  load(index, withMaps) {
    const key = `${index} ${withMaps}`;
    const known = this.cache.get(key);
    if (known) return known;
    const loading = this.read(index, withMaps);
    this.cache.set(key, loading);
    if (this.cache.size > 6) this.cache.delete(/** @type {string} */ (this.cache.keys().next().value));
    return loading;
  }

  /**
   * @param {number} index
   * @param {boolean} withMaps
   */
  async read(index, withMaps) {
    const payload = /** @type {import("./types.js").Payload} */ (this.resource(`photo-${index}`));
    const storedUrl = /** @type {HTMLImageElement} */ (this.photoButtons[index].querySelector("img")).src;
    const pictureUrl = payload.picture ? PNG + payload.picture : storedUrl;
    const picture = await decodePng(bytesFrom(pictureUrl.slice(PNG.length)));
    const kernels = () => /** @type {import("./types.js").Kernels | null} */ (this.resource("kernels"));
    const maps = withMaps ? await readMaps(this.page.blocks, payload, mapWorker(kernels, picture)) : new Map();
    return { index, facts: this.page.photos[index], payload, pictureUrl, storedUrl, maps, picture };
  }
}

void new FeatureMapPage().update();
