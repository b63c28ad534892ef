/** The enlarged picture: photo, map over it, the cell pointed at and what that cell sees. */
import { cellAt, mapBox, placeWords, seenBox, seesWords } from "./geometry.js";
import { drawLegend } from "./legend.js";
import { overlayPixels, summarize } from "./views.js";
import { answerWords, classWords, number, percent } from "./words.js";

export class Viewer {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Page} page
   * @param {{onBlend: (value: number) => void, onCell: (cell: [number, number] | null) => void, onClose: () => void,
   *   onStep: (delta: number) => void, onGo: (tab: "filter" | "cell") => void}} actions
   */
  constructor(host, page, actions) {
    this.host = host;
    this.page = page;
    this.actions = actions;
    this.storedUrl = "";
    this.pictureUrl = "";
    /** @type {import("./types.js").Photo} */
    this.photo = page.photos[0];
    /** @type {import("./grid.js").BlockView | null} */
    this.block = null;
    this.tile = 0;
    /** @type {[number, number] | null} */
    this.cell = null;
    this.stored = false;
    this.picture = /** @type {HTMLImageElement} */ (this.part(".picture"));
    this.overlay = /** @type {HTMLCanvasElement} */ (this.part(".overlay"));
    this.stage = this.part(".stage");
    this.blend = /** @type {HTMLInputElement} */ (this.part("#blend"));
    this.listen();
  }

  /** @param {string} selector @returns {HTMLElement} */
  part(selector) {
    return /** @type {HTMLElement} */ (this.host.querySelector(selector));
  }

  listen() {
    this.blend.addEventListener("input", () => this.actions.onBlend(Number(this.blend.value)));
    this.stage.addEventListener("pointermove", (event) => this.actions.onCell(this.cellUnder(event)));
    this.stage.addEventListener("pointerdown", (event) => this.actions.onCell(this.cellUnder(event)));
    this.stage.addEventListener("keydown", (event) => this.onKey(event));
    this.part(".close").addEventListener("click", () => this.actions.onClose());
    this.part(".previous").addEventListener("click", () => this.actions.onStep(-1));
    this.part(".next").addEventListener("click", () => this.actions.onStep(1));
    this.part(".to-card").addEventListener("click", () => this.actions.onGo("filter"));
    this.part(".to-cell").addEventListener("click", () => this.actions.onGo("cell"));
    const size = this.part(".size-switch");
    size.addEventListener("click", () => {
      this.stored = !this.stored;
      size.setAttribute("aria-pressed", String(this.stored));
      this.showPicture();
    });
  }

  /**
   * @param {PointerEvent} event
   * @returns {[number, number] | null}
   */
  cellUnder(event) {
    if (!this.block) return null;
    const box = this.stage.getBoundingClientRect();
    const [height, width] = this.page.pictureSize;
    const x = ((event.clientX - box.left) / box.width) * width;
    const y = ((event.clientY - box.top) / box.height) * height;
    return cellAt(mapBox(this.block.step.field, this.block.step.shape, [height, width]), this.block.step.shape, x, y);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move || !this.block) return;
    event.preventDefault();
    const [rows, columns] = this.block.step.shape;
    const [row, column] = this.cell ?? [Math.floor(rows / 2), Math.floor(columns / 2)];
    const clamp = (/** @type {number} */ i, /** @type {number} */ n) => Math.min(n - 1, Math.max(0, i));
    this.actions.onCell([clamp(row + move[0], rows), clamp(column + move[1], columns)]);
  }

  /**
   * @param {import("./types.js").Photo} photo
   * @param {string} storedUrl
   * @param {string} pictureUrl
   */
  setPhoto(photo, storedUrl, pictureUrl) {
    this.photo = photo;
    this.storedUrl = storedUrl;
    this.pictureUrl = pictureUrl;
    this.part(".photo-name").textContent = photo.name;
    this.part(".answer").textContent = answerWords(photo, this.page.classes);
    this.showPicture();
  }

  showPicture() {
    this.part(".size-switch").hidden = this.photo.storedSize.join() === this.photo.pictureSize.join();
    const size = this.stored ? this.photo.storedSize : this.photo.pictureSize;
    this.picture.src = this.stored ? this.storedUrl : this.pictureUrl;
    this.picture.alt = `${this.photo.name} as ${this.stored ? "stored" : "the network works on it"}, ${size[1]} by ${size[0]} pixels`;
    this.part(".size-words").textContent = `${this.stored ? "As stored" : "As the network works on it"}: ${size[1]} × ${size[0]} pixels`;
  }

  /**
   * @param {import("./grid.js").BlockView | null} block null shows the photo alone
   * @param {number} tile
   * @param {[number, number] | null} cell
   * @param {{blend: number, open: boolean}} how
   */
  show(block, tile, cell, { blend, open }) {
    this.block = block;
    this.tile = tile;
    this.cell = cell;
    this.host.classList.toggle("has-map", Boolean(block));
    this.host.classList.toggle("open", open);
    this.blend.value = String(blend);
    this.picture.style.setProperty("--gray", block ? String(Math.min(1, blend / 50)) : "0");
    this.overlay.hidden = !block;
    if (block?.maps) this.drawMap(block, tile, blend / 100);
    this.drawBoxes();
    this.drawWords();
  }

  /**
   * @param {import("./grid.js").BlockView} block
   * @param {number} tile
   * @param {number} blend
   */
  drawMap(block, tile, blend) {
    const { tiles, width, height } = block.shownMaps;
    const colors = block.colors(tile);
    [this.overlay.width, this.overlay.height] = [width, height];
    const pixels = overlayPixels(tiles[tile], colors, blend);
    this.overlay.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
    this.place(this.overlay, mapBox(block.step.field, block.step.shape, this.page.pictureSize));
    drawLegend(this.part(".legend"), colors, `${block.block.name} · ${block.step.label}`);
  }

  /**
   * @param {HTMLElement} element
   * @param {import("./geometry.js").Box} box
   */
  place(element, box) {
    const [height, width] = this.page.pictureSize;
    element.style.left = `${(box.left / width) * 100}%`;
    element.style.top = `${(box.top / height) * 100}%`;
    element.style.width = `${(box.width / width) * 100}%`;
    element.style.height = `${(box.height / height) * 100}%`;
  }

  drawBoxes() {
    const [field, dot] = [this.part(".field-box"), this.part(".cell-box")];
    field.hidden = dot.hidden = !this.block || !this.cell;
    if (!this.block || !this.cell) return;
    const { step } = this.block;
    this.place(field, seenBox(step.field, this.cell, this.page.pictureSize));
    const map = mapBox(step.field, step.shape, this.page.pictureSize);
    const [cellHeight, cellWidth] = [map.height / step.shape[0], map.width / step.shape[1]];
    this.place(dot, {
      left: map.left + this.cell[1] * cellWidth, top: map.top + this.cell[0] * cellHeight,
      width: cellWidth, height: cellHeight,
    });
  }

  drawWords() {
    const title = this.part(".map-title");
    const readout = this.part(".readout");
    const facts = this.part(".map-facts");
    if (!this.block?.maps) {
      title.textContent = "No filter chosen";
      readout.textContent = "Point at a tile, or choose one, to see it over the photo.";
      facts.textContent = "";
      return;
    }
    const { block, step, shownMaps } = this.block;
    title.textContent = `${block.name} \u00b7 ${block.isConvolution ? "filter" : "channel"} ${block.shown[this.tile]}`;
    readout.textContent = this.cell ? this.cellWords(this.cell) : this.tileSummary();
    facts.textContent = this.factWords();
    const here = summarize(shownMaps.tiles[this.tile], step.shape[1]);
    this.stage.setAttribute("aria-label", `${title.textContent}, ${step.label}, over the photo. Highest ${number(here.highest)} at the ${placeWords(here.row, here.column, step.shape)}. Arrow keys move from cell to cell.`);
  }

  /** @returns {string} */
  tileSummary() {
    const block = /** @type {import("./grid.js").BlockView} */ (this.block);
    const here = summarize(block.shownMaps.tiles[this.tile], block.step.shape[1]);
    return `${number(here.lowest)} to ${number(here.highest)} on this photo, mean ${number(here.mean)}, above zero on ${percent(here.active)} of cells.`;
  }

  /** @param {[number, number]} cell @returns {string} */
  cellWords([row, column]) {
    const block = /** @type {import("./grid.js").BlockView} */ (this.block);
    const value = block.shownMaps.tiles[this.tile][row * block.step.shape[1] + column];
    const { field } = block.step;
    const { cut } = seenBox(field, [row, column], this.page.pictureSize);
    return `Row ${row}, column ${column}: ${number(value)}; sees ${seesWords(field, cut)}.`;
  }

  /** @returns {string} */
  factWords() {
    const { block } = /** @type {import("./grid.js").BlockView} */ (this.block);
    const facts = block.facts;
    if (!facts) return "";
    if (facts.dead[this.tile]) return `Dead: never above zero on ${this.page.numSample} held-out photos.`;
    const fires = `Fires on ${percent(facts.firing_rate[this.tile])} of ${this.page.numSample} held-out photos`;
    return `${fires}${classWords(block, this.tile)} (0.5 is chance).`;
  }
}
