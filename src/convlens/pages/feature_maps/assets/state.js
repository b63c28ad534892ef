/** The page's state in the address, where the browser allows it (a sandboxed preview may not). */

/** @type {import("./types.js").Tab[]} */
export const TABS = ["answer", "filters", "filter", "cell", "place", "regions", "time", "bench", "trust", "layers"];
const CHOICES = /** @type {Record<string, string[]>} */ ({
  tab: TABS,
  view: ["convolution", "before", "after", "pooled"],
  scale: ["layer", "filter", "photos"],
  order: ["network", "strength", "effect", "selectivity"],
  curve: ["linear", "root"],
  tile: ["s", "m", "l"],
});

/** @returns {import("./types.js").State} */
export function freshState() {
  return {
    tab: "answer", photo: 0, view: "after", scale: "layer", order: "network", curve: "root", tile: "m", block: "",
    filter: 0, cell: null, blend: 50, epoch: 0, point: null, box: null,
    part: "", step: -1,
  };
}

/**
 * @param {string} hash `#tab=filters&photo=2&view=after&block=conv_3&filter=17&cell=4,5`
 * @returns {import("./types.js").State} unknown or broken parts keep their defaults
 */
export function parseState(hash) {
  const state = freshState();
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  for (const [name, choices] of Object.entries(CHOICES)) {
    const value = given.get(name);
    if (value && choices.includes(value)) Object.assign(state, { [name]: value });
  }
  for (const name of /** @type {const} */ (["photo", "filter", "blend", "epoch", "step"])) {
    const value = given.get(name);
    if (value && /^\d+$/.test(value)) state[name] = Number(value);
  }
  state.block = given.get("block") ?? "";
  state.part = given.get("part") ?? "";
  state.cell = /** @type {[number, number] | null} */ (numbersFrom(given.get("cell"), 2));
  state.point = /** @type {[number, number] | null} */ (numbersFrom(given.get("point"), 2));
  state.box = /** @type {import("./types.js").Box | null} */ (numbersFrom(given.get("box"), 4));
  return state;
}

/**
 * @param {string | null} text whole numbers with commas between
 * @param {number} count
 * @returns {number[] | null}
 */
function numbersFrom(text, count) {
  const numbers = (text ?? "").split(",");
  return numbers.length === count && numbers.every((part) => /^\d{1,5}$/.test(part)) ? numbers.map(Number) : null;
}

/**
 * @param {import("./types.js").State} state
 * @returns {string} only what differs from a fresh page
 */
export function formatState(state) {
  const fresh = freshState();
  const parts = new URLSearchParams();
  for (const name of /** @type {const} */ (["tab", "photo", "view", "scale", "order", "curve", "tile", "blend", "epoch", "part", "step"])) {
    if (state[name] !== fresh[name]) parts.set(name, String(state[name]));
  }
  if (state.block) {
    parts.set("block", state.block);
    parts.set("filter", String(state.filter));
    if (state.cell) parts.set("cell", state.cell.join(","));
  }
  if (state.point) parts.set("point", state.point.map(Math.round).join(","));
  if (state.box) parts.set("box", state.box.map(Math.round).join(","));
  return parts.toString() ? `#${parts}` : "";
}

/** @returns {string} */
export function readAddress() {
  try {
    return window.location.hash;
  } catch {
    return "";
  }
}

/** @param {import("./types.js").State} state */
export function writeAddress(state) {
  try {
    window.history.replaceState(null, "", formatState(state) || window.location.pathname);
  } catch {
    // A sandboxed preview keeps its address; the page works without.
  }
}
