/** The lecture's bench: live examples, one below the other, with a row of links between them. */
import { make } from "./controls.js";
import { EdgeBench } from "./bench_edge.js";
import { ParameterBench } from "./bench_parameters.js";
import { PhotoBench } from "./bench_photo.js";
import { SizeBench } from "./bench_size.js";

export class BenchView {
  /**
   * @param {HTMLElement} host
   * @param {import("./types.js").Context} context
   */
  constructor(host, context) {
    this.host = host;
    this.jumps = make("nav", "jumps");
    this.jumps.setAttribute("aria-label", "Examples");
    host.append(this.jumps);
    const edge = this.section("A kernel finds an edge", "A 6×6 picture, bright on one half, and a 3×3 kernel. Point at a cell of the result to see where it comes from; press a cell of the picture to turn it bright or dark.");
    new EdgeBench(edge, context.tables);
    new SizeBench(this.section("How large is what comes out?", "One row of cells: the bars below are where the window stands, one for each cell that comes out."));
    new ParameterBench(this.section("What a dense layer would cost", "One layer on a color picture, without padding. A convolution uses its few weights everywhere; a dense layer has its own for every pair of pixel and output."));
    this.photo = new PhotoBench(this.section("Your photo under the same kernels", "The kernels of the lecture on the chosen photo, beside the ones the network found by itself."), context);
  }

  /**
   * @param {string} title
   * @param {string} about
   */
  section(title, about) {
    const card = make("section", "card wide");
    card.append(make("h3", "", title), make("p", "quiet", about));
    const jump = make("button", "pill", title);
    jump.type = "button";
    jump.addEventListener("click", () => {
      const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
      card.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
    });
    this.jumps.append(jump);
    this.host.append(card);
    return card;
  }

  /** @param {import("./types.js").LoadedPhoto} photo */
  show(photo) {
    this.photo.show(photo);
  }
}
