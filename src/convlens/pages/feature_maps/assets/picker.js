/** Which filter is meant: the one the address names, else the one that responds most; and a control to choose it. */
import { make } from "./controls.js";
import { strengthsOf } from "./views.js";
import { shortName } from "./words.js";

/** @typedef {{block: import("./types.js").Block, index: number, k: number}} Pick */

/**
 * @param {import("./types.js").Page} page
 * @param {import("./types.js").State} state
 * @param {Map<string, import("./types.js").Maps>} maps
 * @returns {Pick}
 */
export function pickFilter(page, state, maps) {
  const named = page.blocks.findIndex((block) => block.name === state.block);
  const index = Math.max(named, 0);
  const block = page.blocks[index];
  const k = named < 0 ? -1 : block.shown.indexOf(state.filter);
  if (k >= 0) return { block, index, k };
  const strengths = strengthsOf(block, maps);
  return { block, index, k: strengths.indexOf(Math.max(...strengths)) };
}

export class FilterPicker {
  /**
   * @param {import("./types.js").Context} context
   * @param {string} purpose what is chosen, for labels
   */
  constructor(context, purpose) {
    this.context = context;
    this.layer = make("select");
    this.filter = make("select");
    this.layer.setAttribute("aria-label", `Layer ${purpose}`);
    this.filter.setAttribute("aria-label", `Filter ${purpose}`);
    this.layer.append(...context.page.blocks.map((block) => new Option(shortName(block), block.name)));
    this.layer.addEventListener("change", () => this.choose(this.layer.value, null));
    this.filter.addEventListener("change", () => this.choose(this.layer.value, Number(this.filter.value)));
    this.element = make("div", "picker");
    this.element.append(this.layer, this.filter, this.turner("‹", "Previous filter", -1), this.turner("›", "Next filter", 1));
  }

  /**
   * @param {string} text
   * @param {string} label
   * @param {number} delta
   */
  turner(text, label, delta) {
    const button = make("button", "turner", text);
    button.type = "button";
    button.setAttribute("aria-label", label);
    button.addEventListener("click", () => {
      const count = this.filter.options.length;
      const next = (this.filter.selectedIndex + delta + count) % count;
      this.choose(this.layer.value, Number(this.filter.options[next].value));
    });
    return button;
  }

  /**
   * @param {string} name of the layer
   * @param {number | null} filter null takes the first
   */
  choose(name, filter) {
    const block = this.context.page.blocks.find((candidate) => candidate.name === name);
    if (block) this.context.change({ block: name, filter: filter ?? block.shown[0], cell: null });
  }

  /** @param {Pick} pick */
  show({ block, k }) {
    if (this.layer.value !== block.name || this.filter.options.length !== block.shown.length || !this.filter.dataset.block) {
      const unit = block.isConvolution ? "filter" : "channel";
      this.filter.replaceChildren(...block.shown.map((filter, i) => {
        const dead = block.facts?.dead[i] ? ", dead" : "";
        return new Option(`${unit} ${filter}${dead}`, String(filter));
      }));
      this.filter.dataset.block = block.name;
    }
    this.layer.value = block.name;
    this.filter.value = String(block.shown[k]);
  }
}
