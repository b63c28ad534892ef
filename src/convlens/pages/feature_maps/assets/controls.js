/** Choices as rows of buttons: one is pressed, arrow keys move between them. */

/**
 * @template {string} T
 * @param {HTMLElement} host element that takes the buttons
 * @param {string} label
 * @param {[T, string, string?][]} choices value, text, explanation
 * @param {(value: T) => void} onChoose
 * @returns {(value: T) => void} shows another value as chosen
 */
export function choiceRow(host, label, choices, onChoose) {
  host.setAttribute("role", "radiogroup");
  host.setAttribute("aria-label", label);
  const buttons = choices.map(([value, text, hint]) => {
    const button = make("button", "choice", text);
    button.type = "button";
    button.setAttribute("role", "radio");
    button.dataset.value = value;
    if (hint) button.title = hint;
    button.addEventListener("click", () => onChoose(value));
    return button;
  });
  host.replaceChildren(...buttons);
  rove(host, buttons);
  return (chosen) => buttons.forEach((button) => press(button, button.dataset.value === chosen));
}

/**
 * @param {HTMLElement} button
 * @param {boolean} on
 */
export function press(button, on) {
  button.setAttribute("aria-checked", String(on));
  button.tabIndex = on ? 0 : -1;
}

/**
 * Let arrow keys move through a row of radio buttons and choose what they reach.
 * @param {HTMLElement} host
 * @param {HTMLElement[]} buttons
 */
export function rove(host, buttons) {
  host.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const at = buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (!step || at < 0) return;
    event.preventDefault();
    const next = buttons[(at + step + buttons.length) % buttons.length];
    next.focus();
    next.click();
  });
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}
