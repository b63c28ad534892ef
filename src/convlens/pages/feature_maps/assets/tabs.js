/** The tabs: one view at a time, reached by pointer, arrow keys, Home and End. */

export class Tabs {
  /**
   * @param {HTMLElement} list with one button a tab, `data-tab` and `aria-controls` set
   * @param {(tab: import("./types.js").Tab) => void} onChoose
   */
  constructor(list, onChoose) {
    this.list = list;
    this.shown = "";
    this.buttons = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("[role=tab]")]);
    for (const button of this.buttons) {
      button.addEventListener("click", () => onChoose(/** @type {import("./types.js").Tab} */ (button.dataset.tab)));
    }
    list.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const at = this.buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const last = this.buttons.length - 1;
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
    if (next === undefined || at < 0) return;
    event.preventDefault();
    const button = this.buttons[(next + last + 1) % (last + 1)];
    button.focus();
    button.click();
  }

  /** @param {string} tab */
  show(tab) {
    if (tab === this.shown) return; // called with every move of the pointer, and what follows asks for the layout
    this.shown = tab;
    for (const button of this.buttons) {
      const on = button.dataset.tab === tab;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
      const panel = document.getElementById(button.getAttribute("aria-controls") ?? "");
      if (panel) panel.hidden = !on;
    }
  }
}
