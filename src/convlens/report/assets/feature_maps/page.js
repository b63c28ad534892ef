/** The page: reads its data, keeps its state, joins photos, blocks and viewer. */
import { choiceRow, press, rove } from "./controls.js";
import { BlockView } from "./grid.js";
import { readMaps } from "./maps.js";
import { parseState, readAddress, writeAddress } from "./state.js";
import { Viewer } from "./viewer.js";
import { colourTable, usefulViews } from "./views.js";

/** @param {string} id @returns {HTMLElement} */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @param {string} id @returns {any} */
const readJson = (id) => JSON.parse(byId(id).textContent ?? "null");
const PNG = "data:image/png;base64,";

class FeatureMapPage {
  constructor() {
    /** @type {import("./types.js").Page} */
    this.page = readJson("page-data");
    this.state = parseState(readAddress());
    this.state.photo = Math.min(this.state.photo, this.page.photos.length - 1);
    this.tables = { signed: colourTable(this.page.colours.signed), positive: colourTable(this.page.colours.positive) };
    /** @type {Map<number, Promise<{maps: Map<string, import("./types.js").Maps>, picture: string}>>} */
    this.cache = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.addressTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.restTimer = undefined;
    this.blocks = this.page.blocks.map((block, i) => new BlockView(byId(`block-${i}`), block, this.page, this.tables, {
      onPoint: (view, tile, cell) => this.preview(view, tile, cell),
      onLeave: () => this.refresh(),
      onOpen: (view, tile) => this.open(view, tile),
    }));
    this.viewer = new Viewer(byId("viewer"), this.page, {
      onBlend: (blend) => this.change({ blend }),
      onCell: (cell) => this.change({ cell }),
      onClose: () => this.close(),
      onStep: (delta) => this.stepTile(delta),
    });
    this.makeControls();
    this.makePhotos();
    this.watch();
  }

  makeControls() {
    const nonlinear = this.page.activation;
    const texts = {
      convolution: ["Convolution", "What the convolution gives: kernel times patch, summed, plus bias"],
      before: [`Before ${nonlinear}`, `What goes into ${nonlinear}, after any normalisation`],
      after: [`After ${nonlinear}`, `What ${nonlinear} lets through`],
      pooled: ["Pooled", "What pooling keeps; layers without pooling show their response"],
    };
    const views = usefulViews(this.page.blocks);
    if (!views.includes(this.state.view)) this.state.view = views[0];
    const show = {
      view: choiceRow(byId("choose-view"), "Which maps", views.map((v) => [v, texts[v][0], texts[v][1]]), (view) => {
        this.blocks.forEach((block) => (block.override = -1));
        this.change({ view });
      }),
      scale: choiceRow(byId("choose-scale"), "Colour scale", [
        ["layer", "Layer", "All tiles of a layer share one scale: weak filters look weak"],
        ["filter", "Filter", "Every tile has its own scale: shapes of weak filters show"],
        ["photos", "All photos", "One scale per layer for all photos of this page"],
      ], (scale) => this.change({ scale })),
      order: choiceRow(byId("choose-order"), "Order of filters", [
        ["network", "Number", "As in the network"],
        ["strength", "Strength", "By the mean response on this photo"],
        ["selectivity", "Selectivity", "By how well the filter's mean tells the classes apart on held-out photos"],
      ], (order) => this.change({ order })),
      curve: choiceRow(byId("choose-curve"), "Colour curve", [
        ["linear", "Linear", "Colours follow values evenly"],
        ["root", "Root", "Colours follow the square root: faint values show; the legend bends with them"],
      ], (curve) => this.change({ curve })),
      tile: choiceRow(byId("choose-tile"), "Size of tiles", [["s", "S"], ["m", "M"], ["l", "L"]], (tile) => this.change({ tile })),
    };
    this.showChoices = () => {
      show.view(this.state.view);
      show.scale(this.state.scale);
      show.order(this.state.order);
      show.curve(this.state.curve);
      show.tile(this.state.tile);
      document.documentElement.dataset.tile = this.state.tile;
    };
  }

  makePhotos() {
    this.photoButtons = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".photo-choice")]);
    this.photoButtons.forEach((button, photo) => button.addEventListener("click", () => this.change({ photo })));
    rove(byId("photos"), this.photoButtons);
  }

  watch() {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const view = this.blocks.find((block) => block.section === entry.target);
        if (!view) continue;
        view.visible = entry.isIntersecting;
        if (view.visible) view.draw();
      }
    }, { rootMargin: "300px" });
    this.blocks.forEach((block) => seen.observe(block.section));
    window.addEventListener("beforeprint", () => this.blocks.forEach((block) => block.draw()));
    window.addEventListener("hashchange", () => {
      if (document.getElementById(readAddress().slice(1))) return; // a link to a part of the page
      Object.assign(this.state, parseState(readAddress()));
      void this.update();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.state.block) this.close();
    });
    for (const block of this.blocks) block.part("details").addEventListener("toggle", () => block.drawTable());
  }

  /** @param {number} index */
  load(index) {
    const known = this.cache.get(index);
    if (known) return known;
    const payload = /** @type {import("./types.js").Payload} */ (readJson(`photo-${index}`));
    const loading = readMaps(this.page.blocks, payload).then((maps) => ({ maps, picture: PNG + payload.picture }));
    this.cache.set(index, loading);
    if (this.cache.size > 4) this.cache.delete(/** @type {number} */ (this.cache.keys().next().value));
    return loading;
  }

  /** @param {Partial<import("./types.js").State>} part */
  change(part) {
    Object.assign(this.state, part);
    clearTimeout(this.addressTimer);
    // Browsers complain about an address that changes with every move of the pointer.
    this.addressTimer = setTimeout(() => writeAddress(this.state), 250);
    if ("cell" in part || "blend" in part) this.refresh();
    else void this.update();
  }

  async update() {
    const index = this.state.photo;
    const { maps, picture } = await this.load(index);
    if (index !== this.state.photo) return;
    this.showChoices?.();
    this.photoButtons?.forEach((button, i) => press(button, i === index));
    const stored = /** @type {HTMLImageElement} */ (this.photoButtons?.[index].querySelector("img")).src;
    this.viewer.setPhoto(this.page.photos[index], stored, picture);
    this.blocks.forEach((block) => block.show(maps, this.state));
    this.refresh();
    document.documentElement.dataset.ready = "true";
    this.drawRest();
  }

  /** Draw the blocks out of view too, one at a time, so that scrolling meets no empty tiles. */
  drawRest() {
    clearTimeout(this.restTimer);
    const waiting = this.blocks.find((block) => block.stale);
    waiting?.draw();
    if (waiting) this.restTimer = setTimeout(() => this.drawRest(), 20);
    else document.documentElement.dataset.drawn = "true";
  }

  /** The viewer as the state says: the opened tile, or the photo alone. */
  refresh() {
    const view = this.blocks.find((block) => block.block.name === this.state.block) ?? null;
    const tile = view ? view.block.shown.indexOf(this.state.filter) : -1;
    this.blocks.forEach((block) => block.select(block === view ? tile : -1));
    const found = view && tile >= 0 ? view : null;
    const cell = found && this.state.cell && this.isInside(found, this.state.cell) ? this.state.cell : null;
    this.viewer.show(found, Math.max(tile, 0), cell, { blend: this.state.blend, open: Boolean(found) });
  }

  /**
   * @param {BlockView} view
   * @param {[number, number]} cell
   */
  isInside(view, [row, column]) {
    return row < view.step.shape[0] && column < view.step.shape[1];
  }

  /**
   * @param {BlockView} view
   * @param {number} tile
   * @param {[number, number] | null} cell
   */
  preview(view, tile, cell) {
    if (view.maps) this.viewer.show(view, tile, cell, { blend: this.state.blend, open: Boolean(this.state.block) });
  }

  /**
   * @param {BlockView} view
   * @param {number} tile
   */
  open(view, tile) {
    this.change({ block: view.block.name, filter: view.block.shown[tile], cell: null });
  }

  close() {
    this.change({ block: "", cell: null });
  }

  /** @param {number} delta */
  stepTile(delta) {
    const view = this.blocks.find((block) => block.block.name === this.state.block);
    if (!view) return;
    const order = /** @type {HTMLElement[]} */ ([...view.grid.children]);
    const at = order.findIndex((tile) => tile.getAttribute("aria-selected") === "true");
    const next = order[(at + delta + order.length) % order.length];
    this.open(view, Number(next.dataset.tile));
  }
}

void new FeatureMapPage().update();
