/** One block on the page: its path of steps, its legend, and a tile for every filter. */
import { make } from "./controls.js";
import { drawLegend } from "./legend.js";
import { numbersTable } from "./table.js";
import { colorPixels, orderTiles, scaleLimit, stepForView, strengthsOf, summarize } from "./views.js";
import { blockWords, countWords, tileWords } from "./words.js";

const SHARED_BY = { layer: "One scale for this layer", filter: "Each tile by itself", photos: "One scale for all photos" };

export class BlockView {
  /**
   * @param {HTMLElement} section
   * @param {import("./types.js").Block} block
   * @param {import("./types.js").Page} page
   * @param {{signed: Uint8Array, positive: Uint8Array}} tables
   * @param {{onPoint: (view: BlockView, tile: number, cell: [number, number] | null) => void,
   *   onLeave: () => void, onOpen: (view: BlockView, tile: number) => void}} actions
   */
  constructor(section, block, page, tables, actions) {
    this.section = section;
    this.block = block;
    this.page = page;
    this.tables = tables;
    this.actions = actions;
    this.stepIndex = 0;
    this.override = -1;
    this.selected = -1;
    this.visible = false;
    this.stale = true;
    /** @type {Map<string, import("./types.js").Maps> | null} */
    this.maps = null;
    /** @type {Float32Array | null} */
    this.effects = null;
    /** @type {import("./types.js").State | null} */
    this.state = null;
    this.grid = this.part(".grid");
    this.tiles = block.shown.map((filter, k) => this.makeTile(filter, k));
    this.grid.append(...this.tiles);
    this.part(".counts").textContent = countWords(block);
    this.makePath();
    this.listen();
  }

  /** @param {string} selector @returns {HTMLElement} */
  part(selector) {
    return /** @type {HTMLElement} */ (this.section.querySelector(selector));
  }

  get step() {
    return this.block.steps[this.stepIndex];
  }

  /** @returns {import("./types.js").Maps} */
  get shownMaps() {
    return /** @type {import("./types.js").Maps} */ (this.maps?.get(this.step.name));
  }

  /** @param {number} tile @returns {import("./types.js").Colors} */
  colors(tile) {
    const signed = !this.step.rectified;
    const limit = scaleLimit(this.state?.scale ?? "layer", this.shownMaps, tile, this.page.limits[this.step.name]);
    const curve = this.state?.curve ?? "linear";
    return { limit, signed, curve, table: signed ? this.tables.signed : this.tables.positive };
  }

  /**
   * @param {number} filter
   * @param {number} k
   */
  makeTile(filter, k) {
    const tile = make("div", "tile");
    tile.setAttribute("role", "option");
    tile.setAttribute("aria-selected", "false");
    tile.tabIndex = k === 0 ? 0 : -1;
    tile.dataset.tile = String(k);
    const dead = this.block.facts?.dead[k];
    if (dead) tile.classList.add("dead");
    tile.append(make("canvas"), make("span", "bar-line"), make("span", "name", dead ? `${filter} dead` : String(filter)));
    return tile;
  }

  makePath() {
    const buttons = this.block.steps.map((step, index) => {
      const button = make("button", "step");
      button.type = "button";
      button.append(make("span", "step-label", step.label), make("span", "step-shape", step.shape.join("×")));
      button.addEventListener("click", () => this.chooseStep(index));
      return button;
    });
    this.part(".path").replaceChildren(...buttons);
  }

  /** @param {number} index */
  chooseStep(index) {
    this.override = index;
    if (this.maps && this.state) this.show(this.maps, this.state, this.effects);
  }

  listen() {
    const tileOf = (/** @type {Event} */ event) => {
      const tile = /** @type {HTMLElement} */ (event.target).closest(".tile");
      return tile instanceof HTMLElement ? Number(tile.dataset.tile) : -1;
    };
    this.grid.addEventListener("click", (event) => {
      if (tileOf(event) >= 0) this.actions.onOpen(this, tileOf(event));
    });
    this.grid.addEventListener("pointermove", (event) => {
      if (tileOf(event) >= 0 && event.pointerType !== "touch") {
        this.actions.onPoint(this, tileOf(event), this.cellUnder(event, tileOf(event)));
      }
    });
    this.grid.addEventListener("pointerleave", () => this.actions.onLeave());
    this.grid.addEventListener("focusin", (event) => {
      if (tileOf(event) >= 0) this.actions.onPoint(this, tileOf(event), null);
    });
    this.grid.addEventListener("focusout", () => this.actions.onLeave());
    this.grid.addEventListener("keydown", (event) => this.onKey(event, tileOf(event)));
  }

  /**
   * @param {PointerEvent} event
   * @param {number} tile
   * @returns {[number, number] | null}
   */
  cellUnder(event, tile) {
    const box = /** @type {HTMLElement} */ (this.tiles[tile].firstChild).getBoundingClientRect();
    const [rows, columns] = this.step.shape;
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    return row >= 0 && row < rows && column >= 0 && column < columns ? [row, column] : null;
  }

  /**
   * @param {KeyboardEvent} event
   * @param {number} tile
   */
  onKey(event, tile) {
    if (tile < 0) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.actions.onOpen(this, tile);
      return;
    }
    const order = /** @type {HTMLElement[]} */ ([...this.grid.children]);
    const at = order.indexOf(this.tiles[tile]);
    const next = order[this.nextPlace(event.key, at, order)];
    if (!next) return;
    event.preventDefault();
    this.focusTile(Number(next.dataset.tile));
  }

  /**
   * @param {string} key
   * @param {number} at
   * @param {HTMLElement[]} order
   * @returns {number}
   */
  nextPlace(key, at, order) {
    const top = order[0].offsetTop;
    const perRow = order.findIndex((tile) => tile.offsetTop > top);
    const columns = perRow < 0 ? order.length : perRow;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key];
    if (step) return at + step;
    return { Home: 0, End: order.length - 1 }[key] ?? -1;
  }

  /** @param {number} tile */
  focusTile(tile) {
    this.tiles.forEach((element, k) => (element.tabIndex = k === tile ? 0 : -1));
    this.tiles[tile].focus();
  }

  /** @param {number} tile -1 for none */
  select(tile) {
    if (tile === this.selected) return;
    this.tiles[this.selected]?.setAttribute("aria-selected", "false");
    this.tiles[tile]?.setAttribute("aria-selected", "true");
    this.selected = tile;
  }

  /**
   * @param {Map<string, import("./types.js").Maps>} maps
   * @param {import("./types.js").State} state
   * @param {Float32Array | null} effects of every tile on this photo's answer, when switched off
   */
  show(maps, state, effects = null) {
    this.effects = effects;
    this.maps = maps;
    this.state = state;
    const wanted = stepForView(this.block, state.view);
    this.stepIndex = this.override >= 0 ? this.override : wanted.index;
    this.stale = true;
    [...this.part(".path").children].forEach((button, index) => {
      button.setAttribute("aria-pressed", String(index === this.stepIndex));
    });
    if (this.visible) this.draw();
  }

  /** Paint what is due; called when the block comes into view, and before printing. */
  draw() {
    if (!this.stale || !this.maps || !this.state) return;
    this.stale = false;
    const strengths = strengthsOf(this.block, this.maps);
    const order = orderTiles(this.state.order, this.block, strengths, this.effects);
    const highest = Math.max(...this.shownMaps.limits.map(Math.abs));
    this.tiles.forEach((_, k) => this.drawTile(k, highest));
    const inOrder = order.map((k) => this.tiles[k]);
    if (inOrder.some((tile, i) => this.grid.children[i] !== tile)) this.grid.replaceChildren(...inOrder);
    this.describe(strengths);
  }

  /**
   * @param {number} k
   * @param {number} highest of the layer
   */
  drawTile(k, highest) {
    const { tiles, width, height } = this.shownMaps;
    const [canvas, bar] = /** @type {[HTMLCanvasElement, HTMLElement]} */ (/** @type {unknown} */ (this.tiles[k].children));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const pixels = colorPixels(tiles[k], this.colors(k));
    canvas.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
    canvas.classList.toggle("dense", width > 64);
    const facts = summarize(tiles[k], width);
    const size = Math.max(Math.abs(facts.highest), Math.abs(facts.lowest));
    bar.style.setProperty("--share", String(highest > 0 ? size / highest : 0));
    this.tiles[k].classList.toggle("silent", size === 0);
    this.tiles[k].setAttribute("aria-label", tileWords(this.block, this.step, k, facts));
  }

  /** @param {number[]} strengths */
  describe(strengths) {
    const response = /** @type {import("./types.js").Maps} */ (this.maps?.get(this.block.response));
    const responding = response.tiles.filter((values) => values.some((value) => value > 0)).length;
    this.part(".caption").textContent = blockWords(this.block, strengths, responding);
    this.grid.setAttribute("aria-label", `${this.block.name}, ${this.step.label}: ${countWords(this.block)}`);
    const scale = this.state?.scale ?? "layer";
    const bent = this.state?.curve === "root" ? ", root colors" : "";
    drawLegend(this.part(".legend"), this.colors(0), SHARED_BY[scale] + bent, { own: scale === "filter" });
    if (this.part("details").hasAttribute("open")) this.drawTable();
  }

  /** The numbers behind the tiles, as a table. */
  drawTable() {
    if (this.maps) this.part(".numbers").replaceChildren(numbersTable(this.block, this.shownMaps));
  }
}
