/** One map, large, with a cell to point at. */
import { make } from "./controls.js";
import { colorPixels } from "./views.js";

export class MapCanvas {
  /** @param {(cell: [number, number]) => void} onCell */
  constructor(onCell) {
    this.onCell = onCell;
    this.shape = /** @type {[number, number]} */ ([1, 1]);
    this.cell = /** @type {[number, number]} */ ([0, 0]);
    this.element = make("div", "map-canvas live");
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "application");
    this.canvas = make("canvas", "map-pixels");
    this.canvas.setAttribute("aria-hidden", "true");
    this.element.append(this.canvas);
    /** @type {HTMLElement[]} */
    this.frames = [];
    this.element.addEventListener("pointermove", (event) => this.onPointer(event));
    this.element.addEventListener("pointerdown", (event) => this.onPointer(event));
    this.element.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** @param {PointerEvent} event */
  onPointer(event) {
    const box = this.element.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.shape[0]);
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.shape[1]);
    if (row >= 0 && row < this.shape[0] && column >= 0 && column < this.shape[1]) this.onCell([row, column]);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const clamp = (/** @type {number} */ i, /** @type {number} */ n) => Math.min(n - 1, Math.max(0, i));
    this.onCell([clamp(this.cell[0] + move[0], this.shape[0]), clamp(this.cell[1] + move[1], this.shape[1])]);
  }

  /**
   * @param {Float32Array} values
   * @param {[number, number]} shape
   * @param {import("./types.js").Colors} colors
   */
  paint(values, shape, colors) {
    this.shape = shape;
    this.element.style.aspectRatio = `${shape[1]} / ${shape[0]}`;
    [this.canvas.width, this.canvas.height] = [shape[1], shape[0]];
    this.canvas.getContext("2d")?.putImageData(new ImageData(colorPixels(values, colors), shape[1], shape[0]), 0, 0);
  }

  /**
   * Frame cells: the pointed one, and a window around it.
   * @param {{cells: [number, number][], kind: string}[]} marks
   */
  mark(marks) {
    const wanted = marks.filter(({ cells }) => cells.length);
    while (this.frames.length < wanted.length) {
      const frame = make("div", "frame");
      frame.setAttribute("aria-hidden", "true");
      this.frames.push(frame);
      this.element.append(frame);
    }
    this.frames.forEach((frame, i) => {
      frame.hidden = i >= wanted.length;
      if (wanted[i]) this.place(frame, wanted[i]);
    });
  }

  /**
   * @param {HTMLElement} frame
   * @param {{cells: [number, number][], kind: string}} mark
   */
  place(frame, { cells, kind }) {
    const [rows, columns] = [cells.map(([row]) => row), cells.map(([, column]) => column)];
    const [top, left] = [Math.min(...rows), Math.min(...columns)];
    frame.className = `frame ${kind}`;
    frame.style.left = `${(left / this.shape[1]) * 100}%`;
    frame.style.top = `${(top / this.shape[0]) * 100}%`;
    frame.style.width = `${((Math.max(...columns) - left + 1) / this.shape[1]) * 100}%`;
    frame.style.height = `${((Math.max(...rows) - top + 1) / this.shape[0]) * 100}%`;
  }
}
