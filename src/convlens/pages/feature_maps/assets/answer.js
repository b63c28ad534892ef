/** The answer: the photo, what the network says and how sure it is, and where in the photo the reasons lie. */
import { make } from "./controls.js";
import { camEvidence, EvidenceCard, occlusionEvidence } from "./evidence.js";
import { PhotoStage } from "./stage.js";
import { answerWords, percent, viewWords } from "./words.js";

const GROUP_TITLES = { user: "Your photo", error: "Misclassified", correct: "Classified correctly" };

export class AnswerView {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Context} context
   */
  constructor(host, context) {
    this.context = context;
    this.isStored = false;
    this.stage = new PhotoStage("The photo", context.page.pictureSize);
    this.words = make("div", "verdict-words");
    this.size = make("span", "size-words");
    this.switch = make("button", "pill", "Show it as stored");
    this.switch.type = "button";
    this.switch.addEventListener("click", () => {
      this.isStored = !this.isStored;
      this.showPicture();
    });
    this.cam = new EvidenceCard(context, {
      title: "Evidence", choice: "Layer",
      about: "Grad-CAM of the log-odds, both ways: each cell’s values times their weight in the answer.",
    });
    this.occlusion = new EvidenceCard(context, {
      title: "Occlusion", choice: "Size of the box",
      about: "Each box in turn gets the photo’s mean color, and the network answers anew.",
    });
    this.note = make("p", "notice");
    this.layOut(host);
  }

  /** @param {HTMLElement} host */
  layOut(host) {
    const hero = make("div", "hero");
    const figure = make("figure", "hero-photo");
    const row = make("figcaption", "viewer-row");
    row.append(this.size, this.switch);
    figure.append(this.stage.element, row);
    hero.append(this.words, figure);
    const evidence = make("div", "columns");
    evidence.append(this.cam.element, this.occlusion.element);
    host.append(hero, this.note, evidence);
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  show(photo) {
    this.photo = photo;
    this.words.replaceChildren(...this.verdict(photo.facts));
    this.showPicture();
    const [cams, boxes] = [camEvidence(this.context.page, photo.payload), occlusionEvidence(photo.payload)];
    this.cam.show(photo, cams, this.context.page.camStep);
    this.occlusion.show(photo, boxes);
    this.note.hidden = cams.length + boxes.length > 0;
    this.note.textContent = "No evidence maps were made for this photo.";
  }

  /** @param {import("./types.js").Photo} facts @returns {HTMLElement[]} */
  verdict(facts) {
    const { classes } = this.context.page;
    const sure = facts.probabilities[classes.indexOf(facts.answer)];
    const heading = make("p", "big");
    heading.append(make("strong", "", facts.answer), make("span", "", percent(sure)));
    const badge = make("p", "truth-line");
    if (facts.truth !== null) {
      const right = facts.truth === facts.answer;
      badge.append(make("span", right ? "badge" : "badge failed", right ? "correct" : `wrong: the label is ${facts.truth}`));
    }
    const name = make("p", "eyebrow", GROUP_TITLES[facts.group]);
    return [name, heading, badge, make("p", "lead", facts.sentence ?? answerWords(facts, classes)), this.odds(facts), this.fine(facts)];
  }

  /** @param {import("./types.js").Photo} facts */
  odds(facts) {
    const list = make("ul", "odds");
    const { classes } = this.context.page;
    const order = classes.map((_, i) => i).sort((a, b) => facts.probabilities[b] - facts.probabilities[a]).slice(0, 6);
    for (const i of order) {
      const row = make("li", classes[i] === facts.answer ? "odds-row said" : "odds-row");
      const bar = make("span", "odds-bar");
      bar.style.setProperty("--share", String(facts.probabilities[i]));
      bar.setAttribute("aria-hidden", "true");
      row.append(make("span", "odds-name", classes[i]), bar, make("span", "odds-value", percent(facts.probabilities[i])));
      list.append(row);
    }
    return list;
  }

  /** @param {import("./types.js").Photo} facts */
  fine(facts) {
    const { temperature, mirror, centerCrop } = this.context.page;
    const parts = [facts.name];
    if (temperature !== undefined && temperature !== 1) parts.push(`probabilities calibrated with temperature ${temperature.toFixed(2)}`);
    const views = viewWords(Boolean(mirror), Boolean(centerCrop));
    if (views) parts.push(`${views}: ${facts.views.map(percent).join(", ")}. Evidence is of this mean; all filters and their cells are of the photo as it is, the first of these`);
    return make("p", "note", parts.join(" · "));
  }

  showPicture() {
    const photo = /** @type {import("./types.js").LoadedPhoto} */ (this.photo);
    const size = this.isStored ? photo.facts.storedSize : photo.facts.pictureSize;
    this.switch.hidden = photo.facts.storedSize.join() === photo.facts.pictureSize.join();
    this.switch.setAttribute("aria-pressed", String(this.isStored));
    const words = `${this.isStored ? "As stored" : "As the network gets it"}: ${size[1]} × ${size[0]} pixels`;
    this.size.textContent = words;
    this.stage.setPicture(this.isStored ? photo.storedUrl : photo.pictureUrl, `${photo.facts.name}. ${words}`);
  }
}
