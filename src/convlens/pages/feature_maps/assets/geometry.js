/** Where a cell of a map lies on the picture, and what it sees of it. Boxes are in picture pixels. */

/**
 * @typedef {{left: number, top: number, width: number, height: number}} Box
 */

/**
 * @param {import("./types.js").Field | null} field
 * @param {boolean} cut at the border
 * @returns {string} `9 × 9 pixels, cut at the border`
 */
export function seesWords(field, cut) {
  if (!field) return "the whole photo";
  const size = `${field.columns.size} × ${field.rows.size} pixels${cut ? ", cut at the border" : ""}`;
  return field.gated ? `${size}, and the whole photo through a gate` : size;
}

/**
 * The pixels a cell sees, cut at the borders of the picture.
 * @param {import("./types.js").Field | null} field null sees everything
 * @param {[number, number]} cell row and column
 * @param {[number, number]} picture height and width
 * @returns {Box & {cut: boolean}} cut: part of the field lies in the padding
 */
export function seenBox(field, [row, column], [height, width]) {
  if (!field) return { left: 0, top: 0, width, height, cut: false };
  const [top, bottom, cutRows] = clip(field.rows, row, height);
  const [left, right, cutColumns] = clip(field.columns, column, width);
  return { left, top, width: right - left, height: bottom - top, cut: cutRows || cutColumns };
}

/**
 * @param {import("./types.js").Span} span
 * @param {number} index
 * @param {number} length
 * @returns {[number, number, boolean]}
 */
function clip(span, index, length) {
  const start = span.start + index * span.stride;
  const end = start + span.size;
  return [Math.max(0, Math.min(start, length)), Math.max(0, Math.min(end, length)), start < 0 || end > length];
}

/**
 * Where a whole map lies: every cell is drawn around the middle of what it sees.
 * @param {import("./types.js").Field | null} field
 * @param {[number, number]} shape rows and columns of the map
 * @param {[number, number]} picture
 * @returns {Box}
 */
export function mapBox(field, [rows, columns], [height, width]) {
  if (!field) return { left: 0, top: 0, width, height };
  const along = (/** @type {import("./types.js").Span} */ span) => span.start + (span.size - span.stride) / 2;
  return {
    left: along(field.columns), top: along(field.rows),
    width: columns * field.columns.stride, height: rows * field.rows.stride,
  };
}

/**
 * The cell at a point of the picture, or null beside the map.
 * @param {Box} box of the map
 * @param {[number, number]} shape
 * @param {number} x
 * @param {number} y
 * @returns {[number, number] | null}
 */
export function cellAt(box, [rows, columns], x, y) {
  const row = Math.floor(((y - box.top) / box.height) * rows);
  const column = Math.floor(((x - box.left) / box.width) * columns);
  return row >= 0 && row < rows && column >= 0 && column < columns ? [row, column] : null;
}

/**
 * In words where a cell lies.
 * @param {number} row
 * @param {number} column
 * @param {[number, number]} shape
 * @returns {string}
 */
export function placeWords(row, column, [rows, columns]) {
  const third = (/** @type {number} */ i, /** @type {number} */ n) => Math.min(2, Math.floor((3 * (i + 0.5)) / n));
  const down = ["upper", "middle", "lower"][third(row, rows)];
  const across = ["left", "center", "right"][third(column, columns)];
  return down === "middle" && across === "center" ? "center" : `${down} ${across}`;
}
