/** A matrix of numbers: every cell shows its value and its color; a pointed one can be read with arrow keys too. */
import { make } from "./controls.js";

/**
 * @typedef {{
 *   text: (value: number) => string, color: (value: number) => [number, number, number],
 *   name?: (row: number, column: number) => string, kind?: (row: number, column: number) => string
 * }} Face  how cells look; `kind` adds a class name, `name` says more than the value
 */

export class Matrix {
  /**
   * @param {string} label
   * @param {{onPoint?: (cell: [number, number] | null) => void, onPress?: (cell: [number, number]) => void}} [actions]
   */
  constructor(label, actions = {}) {
    this.actions = actions;
    this.label = label;
    this.shape = /** @type {[number, number]} */ ([0, 0]);
    /** @type {[number, number]} */
    this.focus = [0, 0];
    /** @type {Map<number, string>} */
    this.looks = new Map();
    this.element = make("table", "matrix");
    this.body = this.element.createTBody();
    this.isLive = Boolean(actions.onPoint || actions.onPress);
    this.element.setAttribute("aria-label", label);
    if (this.isLive) this.listen();
  }

  listen() {
    this.element.setAttribute("role", "grid");
    this.element.classList.add("live");
    this.element.addEventListener("pointerover", (event) => this.point(this.cellOf(event)));
    this.element.addEventListener("pointerleave", () => this.actions.onPoint?.(null));
    this.element.addEventListener("focusin", (event) => this.point(this.cellOf(event)));
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.element.addEventListener("click", (event) => {
      const cell = this.cellOf(event);
      if (cell) this.actions.onPress?.(cell);
    });
  }

  /** @param {[number, number] | null} cell */
  point(cell) {
    if (cell) this.actions.onPoint?.(cell);
  }

  /** @param {Event} event @returns {[number, number] | null} */
  cellOf(event) {
    const cell = /** @type {HTMLElement} */ (event.target).closest("td");
    return cell ? [Number(cell.dataset.row), Number(cell.dataset.column)] : null;
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const cell = this.cellOf(event);
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.actions.onPress?.(cell);
      return;
    }
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    this.focusCell(cell[0] + move[0], cell[1] + move[1]);
  }

  /**
   * @param {number} row
   * @param {number} column
   */
  focusCell(row, column) {
    const next = this.at(row, column);
    if (!next) return;
    const last = this.at(...this.focus);
    if (last) last.tabIndex = -1;
    this.focus = [row, column];
    next.tabIndex = 0;
    next.focus();
  }

  /**
   * @param {number} row
   * @param {number} column
   * @returns {HTMLTableCellElement | undefined}
   */
  at(row, column) {
    return this.body.rows[row]?.cells[column];
  }

  /**
   * @param {ArrayLike<number>} values row by row
   * @param {[number, number]} shape
   * @param {Face} face
   */
  show(values, shape, face) {
    if (shape[0] !== this.shape[0] || shape[1] !== this.shape[1]) this.rebuild(shape);
    for (let row = 0; row < shape[0]; row += 1) {
      for (let column = 0; column < shape[1]; column += 1) this.paint(row, column, values[row * shape[1] + column], face);
    }
  }

  /** @param {[number, number]} shape */
  rebuild(shape) {
    this.shape = shape;
    this.looks.clear();
    const [row, column] = this.focus;
    this.focus = [Math.min(row, Math.max(shape[0] - 1, 0)), Math.min(column, Math.max(shape[1] - 1, 0))];
    this.element.style.setProperty("--columns", String(shape[1]));
    this.body.replaceChildren(...Array.from({ length: shape[0] }, (_, row) => this.makeRow(row, shape[1])));
  }

  /**
   * @param {number} row
   * @param {number} count
   */
  makeRow(row, count) {
    const line = make("tr");
    for (let column = 0; column < count; column += 1) {
      const cell = line.insertCell();
      [cell.dataset.row, cell.dataset.column] = [String(row), String(column)];
      if (this.isLive) cell.tabIndex = row === this.focus[0] && column === this.focus[1] ? 0 : -1;
    }
    return line;
  }

  /**
   * @param {number} row
   * @param {number} column
   * @param {number} value
   * @param {Face} face
   */
  paint(row, column, value, face) {
    const [red, green, blue] = face.color(value);
    const kind = face.kind?.(row, column) ?? "";
    const look = [kind, face.text(value), red, green, blue, face.name?.(row, column)].join();
    const cell = /** @type {HTMLTableCellElement} */ (this.at(row, column));
    if (cell.className !== kind) cell.className = kind; // takes marks away, too
    if (this.looks.get(row * this.shape[1] + column) === look) return; // most cells stay when the pointer moves on
    this.looks.set(row * this.shape[1] + column, look);
    cell.textContent = face.text(value);
    cell.style.background = kind.includes("padded") ? "" : `rgb(${red} ${green} ${blue})`;
    cell.style.color = kind.includes("padded") ? "" : inkOn([red, green, blue]);
    if (this.isLive && face.name) cell.setAttribute("aria-label", face.name(row, column));
  }

  /**
   * Frame some cells.
   * @param {[number, number][]} cells
   * @param {string} className
   */
  mark(cells, className) {
    for (const marked of [...this.element.querySelectorAll(`.${className}`)]) marked.classList.remove(className);
    for (const [row, column] of cells) this.at(row, column)?.classList.add(className);
  }
}

/**
 * Black or white, whichever reads better on a color (relative luminance of WCAG 2).
 * @param {[number, number, number]} color 0..255
 * @returns {string}
 */
export function inkOn(color) {
  const [r, g, b] = color.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}
