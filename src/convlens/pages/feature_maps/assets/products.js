/** Patch times kernel for every input channel: the three that count most in numbers, all of them as small pictures. */
import { make } from "./controls.js";
import { Matrix } from "./matrix.js";
import { fine } from "./trace_words.js";
import { colorIndex, colorPixels } from "./views.js";
import { decimals, plural } from "./words.js";

const NUM_WRITTEN = 3;
const PAUSE = 60; // milliseconds that the pointer must rest before hundreds of small pictures follow it
const TURN = 50; // milliseconds between two sets of numbers: nobody reads faster, and frames stay short

export class ProductList {
  /** @param {import("./types.js").Tables} tables */
  constructor(tables) {
    this.table = tables.signed;
    this.element = make("div", "products");
    this.written = make("div", "products-written");
    this.words = make("p", "quiet");
    this.all = make("div", "products-all");
    this.all.setAttribute("role", "img");
    this.element.append(this.written, this.words, this.all);
    this.rows = Array.from({ length: NUM_WRITTEN }, () => this.makeRow());
    /** @type {{canvases: [HTMLCanvasElement, HTMLCanvasElement], text: HTMLElement, box: HTMLElement}[]} */
    this.tiles = [];
    /** @type {Float32Array | null} */
    this.painted = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.turn = undefined;
    this.shownAt = -TURN;
  }

  makeRow() {
    const [patch, kernel] = [new Matrix("Patch"), new Matrix("Kernel")];
    const [name, sum] = [make("p", "product-name"), make("strong", "product-sum")];
    const box = make("div", "product");
    const line = make("div", "product-line");
    line.append(patch.element, make("span", "sign", "·"), kernel.element, make("span", "sign", "="), sum);
    box.append(name, line);
    return { box, name, patch, kernel, sum };
  }

  /** Another layer: its channels are drawn anew. */
  reset() {
    clearTimeout(this.timer);
    clearTimeout(this.turn);
    this.shownAt = -TURN;
    this.painted = null;
    this.tiles = [];
    this.all.replaceChildren();
  }

  /**
   * @param {import("./trace.js").Convolved} convolved
   * @param {import("./types.js").Arithmetic} arithmetic
   */
  show(convolved, arithmetic) {
    clearTimeout(this.turn);
    const wait = this.shownAt + TURN - performance.now();
    if (wait > 0) this.turn = setTimeout(() => this.draw(convolved, arithmetic), wait);
    else this.draw(convolved, arithmetic);
  }

  /**
   * @param {import("./trace.js").Convolved} convolved
   * @param {import("./types.js").Arithmetic} arithmetic
   */
  draw({ products, sum }, arithmetic) {
    this.shownAt = performance.now();
    const limits = { patch: limitOf(products.map(({ patch }) => patch)), kernel: limitOf(products.map(({ kernel }) => kernel)) };
    const order = [...products].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum) || a.channel - b.channel);
    const picture = arithmetic.input.kind === "picture" ? ["red", "green", "blue"] : null;
    const colors = arithmetic.input.kind === "picture" ? arithmetic.input.order.map((from) => picture?.[from] ?? "") : [];
    const name = (/** @type {number} */ channel) => colors[channel] || `channel ${channel}`;
    const first = picture ? products.slice(0, NUM_WRITTEN) : order.slice(0, NUM_WRITTEN);
    this.written.replaceChildren(...first.map((product, i) => this.write(this.rows[i], product, name(product.channel), arithmetic.kernel, limits)));
    const most = products.length > NUM_WRITTEN ? `The three that count most stand above; all ${plural(products.length, "channel")} below, in order. ` : "";
    this.words.textContent = `${most}Together: ${fine(sum)}.`;
    this.all.hidden = products.length <= NUM_WRITTEN;
    clearTimeout(this.timer);
    if (!this.all.hidden) this.timer = setTimeout(() => this.drawAll(products, arithmetic.kernel, limits), this.tiles.length ? PAUSE : 0);
  }

  /**
   * @param {ReturnType<ProductList["makeRow"]>} row
   * @param {import("./trace.js").Product} product
   * @param {string} name
   * @param {[number, number]} shape
   * @param {{patch: number, kernel: number}} limits
   */
  write(row, { patch, kernel, sum }, name, shape, limits) {
    row.name.textContent = name[0].toUpperCase() + name.slice(1);
    row.patch.element.setAttribute("aria-label", `Patch of ${name}`);
    row.kernel.element.setAttribute("aria-label", `Kernel for ${name}`);
    row.patch.show(patch, shape, this.face(limits.patch));
    row.kernel.show(kernel, shape, this.face(limits.kernel));
    row.sum.textContent = fine(sum);
    return row.box;
  }

  /** @param {number} limit @returns {import("./matrix.js").Face} */
  face(limit) {
    return {
      text: (value) => (value === 0 ? "0" : decimals(value)),
      color: (value) => {
        const at = colorIndex(value, limit, true) * 3;
        return [this.table[at], this.table[at + 1], this.table[at + 2]];
      },
    };
  }

  /**
   * @param {import("./trace.js").Product[]} products
   * @param {[number, number]} shape
   * @param {{patch: number, kernel: number}} limits
   */
  drawAll(products, shape, limits) {
    if (this.tiles.length !== products.length) this.makeTiles(products);
    const most = Math.max(...products.map(({ sum }) => Math.abs(sum)), 1e-12);
    const isNew = this.painted?.buffer !== products[0].kernel.buffer || this.painted.byteOffset !== products[0].kernel.byteOffset;
    this.painted = products[0].kernel;
    products.forEach(({ patch, kernel, sum }, i) => {
      const { canvases, text, box } = this.tiles[i];
      this.paint(canvases[0], patch, shape, limits.patch);
      if (isNew) this.paint(canvases[1], kernel, shape, limits.kernel);
      text.textContent = decimals(sum);
      box.style.setProperty("--share", String(Math.abs(sum) / most));
      box.classList.toggle("against", sum < 0);
    });
    const [plus, minus] = [products.filter(({ sum }) => sum > 0).length, products.filter(({ sum }) => sum < 0).length];
    this.all.setAttribute("aria-label", `All ${products.length} channels: ${plus} add, ${minus} take away.`);
  }

  /** @param {import("./trace.js").Product[]} products */
  makeTiles(products) {
    this.tiles = products.map(({ channel }) => {
      const canvases = /** @type {[HTMLCanvasElement, HTMLCanvasElement]} */ ([make("canvas"), make("canvas")]);
      const [text, box] = [make("span", "product-value"), make("div", "product-tile")];
      box.append(make("span", "product-channel", String(channel)), ...canvases, text);
      return { canvases, text, box };
    });
    this.all.replaceChildren(...this.tiles.map(({ box }) => box));
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Float32Array} values
   * @param {[number, number]} shape
   * @param {number} limit
   */
  paint(canvas, values, [rows, columns], limit) {
    if (canvas.width !== columns || canvas.height !== rows) [canvas.width, canvas.height] = [columns, rows];
    const pixels = colorPixels(values, { limit, signed: true, table: this.table, curve: "root" });
    canvas.getContext("2d")?.putImageData(new ImageData(pixels, columns, rows), 0, 0);
  }
}

/** @param {Float32Array[]} parts @returns {number} */
function limitOf(parts) {
  let limit = 1e-9;
  for (const values of parts) for (const value of values) limit = Math.max(limit, Math.abs(value));
  return limit;
}
