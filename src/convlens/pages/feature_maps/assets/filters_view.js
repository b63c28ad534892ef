/** All filters: every layer's maps as tiles, the chosen one enlarged beside them, and how they are shown. */
import { choiceRow } from "./controls.js";
import { BlockView } from "./grid.js";
import { floatsFrom } from "./maps.js";
import { Viewer } from "./viewer.js";
import { usefulViews } from "./views.js";
import { totalWords } from "./words.js";

export class FiltersView {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Context} context
   */
  constructor(host, context) {
    this.host = host;
    this.context = context;
    this.key = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.restTimer = undefined;
    this.part = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
    this.part("filter-totals").textContent = totalWords(context.page.blocks);
    this.blocks = context.page.blocks.map((block, i) => new BlockView(this.part(`block-${i}`), block, context.page, context.tables, {
      onPoint: (view, tile, cell) => this.preview(view, tile, cell),
      onLeave: () => this.refresh(),
      onOpen: (view, tile) => context.change({ block: view.block.name, filter: view.block.shown[tile], cell: null }),
    }));
    this.viewer = new Viewer(this.part("viewer"), context.page, {
      onBlend: (blend) => context.change({ blend }),
      onCell: (cell) => context.change({ cell }),
      onClose: () => this.close(),
      onStep: (delta) => this.stepTile(delta),
      onGo: (tab) => this.go(tab),
    });
    this.showChoices = this.makeControls();
    this.watch();
  }

  get state() {
    return this.context.state;
  }

  makeControls() {
    const { page } = this.context;
    const texts = {
      convolution: ["Convolution", "What the convolution gives: kernel times patch, summed, plus bias"],
      before: [`Before ${page.activation}`, `What goes into ${page.activation}, after any normalization`],
      after: [`After ${page.activation}`, `What ${page.activation} lets through`],
      pooled: ["Pooled", "What pooling keeps; layers without pooling show their response"],
    };
    const views = usefulViews(page.blocks);
    if (!views.includes(this.state.view)) this.state.view = views[0];
    const row = (/** @type {"view" | "scale" | "order" | "curve" | "tile"} */ key, /** @type {string} */ name, /** @type {[string, string, string?][]} */ choices) => {
      const show = choiceRow(this.part(`choose-${key}`), name, choices, (chosen) => {
        if (key === "view") this.blocks.forEach((block) => (block.override = -1));
        this.context.change({ [key]: chosen });
      });
      return () => show(this.state[key]);
    };
    const hasEffects = Object.keys(this.firstPayload()?.effects ?? {}).length > 0;
    const rows = [
      row("view", "Which maps", views.map((view) => [view, texts[view][0], texts[view][1]])),
      row("scale", "Color scale", [
        ["layer", "Layer", "All tiles of a layer share one scale: weak filters look weak"],
        ["filter", "Filter", "Every tile has its own scale: shapes of weak filters show"],
        ["photos", "All photos", "One scale per layer for all photos of this page"],
      ]),
      row("order", "Order of filters", [
        ["network", "Number", "As in the network"],
        ["strength", "Strength", "By the mean response on this photo"],
        .../** @type {[string, string, string][]} */ (hasEffects ? [["effect", "Effect", "By how much this photo’s answer changes when the filter is switched off"]] : []),
        ["selectivity", "Selectivity", "By how well the filter’s mean tells the classes apart on held-out photos"],
      ]),
      row("curve", "Color curve", [
        ["linear", "Linear", "Colors follow values evenly"],
        ["root", "Root", "Colors follow the square root: faint values show; the legend bends with them"],
      ]),
      row("tile", "Size of tiles", [["s", "S"], ["m", "M"], ["l", "L"]]),
    ];
    return () => rows.forEach((show) => show());
  }

  firstPayload() {
    return /** @type {import("./types.js").Payload | null} */ (this.context.resource("photo-0"));
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
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.state.tab === "filters" && this.state.block) this.close();
    });
    for (const block of this.blocks) block.part("details").addEventListener("toggle", () => block.drawTable());
    for (const jump of this.host.querySelectorAll("[data-jump]")) jump.addEventListener("click", () => this.jump(jump));
  }

  /** @param {Element} jump */
  jump(jump) {
    const block = this.part(`block-${jump.getAttribute("data-jump")}`);
    block.scrollIntoView({ block: "start" });
    /** @type {HTMLElement | null} */ (block.querySelector(".tile[tabindex='0']"))?.focus({ preventScroll: true });
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  show(photo) {
    const { photo: index, view, scale, order, curve } = this.state;
    const key = [index, view, scale, order, curve].join();
    this.showChoices();
    document.documentElement.dataset.tile = this.state.tile;
    if (key !== this.key) this.showMaps(photo);
    this.key = key;
    this.refresh();
    this.drawRest();
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  showMaps(photo) {
    this.viewer.setPhoto(photo.facts, photo.storedUrl, photo.pictureUrl);
    for (const view of this.blocks) {
      const effects = photo.payload.effects?.[view.block.name];
      view.show(photo.maps, this.state, effects ? floatsFrom(effects.probability) : null);
    }
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

  close() {
    this.context.change({ block: "", cell: null });
  }

  /** @param {number} delta */
  stepTile(delta) {
    const view = this.blocks.find((block) => block.block.name === this.state.block);
    if (!view) return;
    const order = /** @type {HTMLElement[]} */ ([...view.grid.children]);
    const at = order.findIndex((tile) => tile.getAttribute("aria-selected") === "true");
    const next = order[(at + delta + order.length) % order.length];
    this.context.change({ block: view.block.name, filter: view.block.shown[Number(next.dataset.tile)], cell: null });
  }

  /** @param {"filter" | "cell"} tab */
  go(tab) {
    const view = this.viewer.block;
    if (view) this.context.change({ tab, block: view.block.name, filter: view.block.shown[this.viewer.tile] });
  }
}
