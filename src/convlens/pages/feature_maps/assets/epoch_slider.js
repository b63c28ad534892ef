/** The slider over the epochs, with a button that lets them pass by. */
import { make } from "./controls.js";

const EPOCH_PAUSE = 900;

export class EpochSlider {
  /**
   * @param {number[]} epochs
   * @param {(place: number) => string} words what to call a place
   * @param {(place: number) => void} onMove
   */
  constructor(epochs, words, onMove) {
    this.last = epochs.length - 1;
    this.words = words;
    this.onMove = onMove;
    this.range = make("input", "time-range");
    Object.assign(this.range, { type: "range", min: "0", max: String(this.last), step: "1", id: "epoch" });
    this.range.setAttribute("aria-label", "Epoch");
    this.range.addEventListener("input", () => {
      this.stop();
      onMove(Number(this.range.value));
    });
    this.button = make("button", "pill", "Play");
    this.button.type = "button";
    this.button.addEventListener("click", () => (this.timer ? this.stop() : this.play()));
    this.now = make("output", "time-now");
    this.now.setAttribute("for", "epoch");
    this.element = make("div", "time-slider");
    const marks = make("div", "time-marks");
    marks.setAttribute("aria-hidden", "true");
    for (const epoch of epochs) marks.append(make("span", "", String(epoch)));
    const rail = make("div", "time-rail");
    rail.append(this.range, marks);
    this.element.append(this.now, rail, this.button);
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.timer = undefined;
  }

  play() {
    const from = Number(this.range.value);
    this.button.textContent = "Pause";
    if (from >= this.last) this.onMove(0);
    this.timer = setInterval(() => this.step(), EPOCH_PAUSE);
  }

  /** One epoch on, as long as anybody can see it. */
  step() {
    const next = Number(this.range.value) + 1;
    if (next > this.last || !this.element.isConnected || !this.element.checkVisibility()) return this.stop();
    this.onMove(next);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = undefined;
    this.button.textContent = "Play";
  }

  /** @param {number} place */
  show(place) {
    const words = this.words(place);
    this.range.value = String(place);
    this.range.setAttribute("aria-valuetext", words);
    this.now.textContent = words[0].toUpperCase() + words.slice(1);
  }
}
