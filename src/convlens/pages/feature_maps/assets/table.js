/** The numbers behind the tiles of a block, as a table. */
import { make } from "./controls.js";
import { summarize } from "./views.js";
import { number, percent } from "./words.js";

const HEADS = ["Filter", "Highest here", "Lowest here", "Mean here", "Cells above 0", "Photos it fires on", "Stronger for", "AUC"];

/**
 * @param {import("./types.js").Block} block
 * @param {import("./types.js").Maps} maps
 * @returns {HTMLTableElement}
 */
export function numbersTable(block, maps) {
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const text of HEADS) {
    const cell = make("th", "", text);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  maps.tiles.forEach((values, k) => {
    const row = body.insertRow();
    for (const text of rowTexts(block, k, summarize(values, maps.width))) row.append(make("td", "", text));
  });
  return table;
}

/**
 * @param {import("./types.js").Block} block
 * @param {number} k
 * @param {ReturnType<typeof summarize>} here
 * @returns {string[]}
 */
function rowTexts(block, k, here) {
  const facts = block.facts;
  const known = facts
    ? [percent(facts.firing_rate[k]), facts.dead[k] ? "dead" : facts.prefers[k], facts.auc_mean[k].toFixed(2)]
    : ["", "", ""];
  const own = [number(here.highest), number(here.lowest), number(here.mean), percent(here.active)];
  return [String(block.shown[k]), ...own, ...known];
}
