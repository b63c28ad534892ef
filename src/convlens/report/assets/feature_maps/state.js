/** The page's state in the address, where the browser allows it (a sandboxed preview may not). */

const CHOICES = {
  view: ["convolution", "before", "after", "pooled"],
  scale: ["layer", "filter", "photos"],
  order: ["network", "strength", "selectivity"],
  curve: ["linear", "root"],
  tile: ["s", "m", "l"],
};

/** @returns {import("./types.js").State} */
export function freshState() {
  return {
    photo: 0, view: "after", scale: "layer", order: "network", curve: "root", tile: "m", block: "",
    filter: 0, cell: null, blend: 50,
  };
}

/**
 * @param {string} hash `#photo=2&view=after&block=conv_3&filter=17&cell=4,5`
 * @returns {import("./types.js").State} unknown or broken parts keep their defaults
 */
export function parseState(hash) {
  const state = freshState();
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  for (const [name, choices] of Object.entries(CHOICES)) {
    const value = given.get(name);
    if (value && choices.includes(value)) Object.assign(state, { [name]: value });
  }
  for (const name of /** @type {const} */ (["photo", "filter", "blend"])) {
    const value = given.get(name);
    if (value && /^\d+$/.test(value)) state[name] = Number(value);
  }
  state.block = given.get("block") ?? "";
  const cell = /^(\d+),(\d+)$/.exec(given.get("cell") ?? "");
  state.cell = cell ? [Number(cell[1]), Number(cell[2])] : null;
  return state;
}

/**
 * @param {import("./types.js").State} state
 * @returns {string} only what differs from a fresh page
 */
export function formatState(state) {
  const fresh = freshState();
  const parts = new URLSearchParams();
  for (const name of /** @type {const} */ (["photo", "view", "scale", "order", "curve", "tile", "blend"])) {
    if (state[name] !== fresh[name]) parts.set(name, String(state[name]));
  }
  if (state.block) {
    parts.set("block", state.block);
    parts.set("filter", String(state.filter));
    if (state.cell) parts.set("cell", state.cell.join(","));
  }
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
    const hash = formatState(state);
    window.history.replaceState(null, "", hash || window.location.pathname);
  } catch {
    // A sandboxed preview keeps its address; the page works without.
  }
}
