/** What covering a box does to the answer, and what random boxes of its size do: measured live, newest wish first. */
import { coveredPicture, Network } from "./network.js";

const NUM_RANDOM = 19;
const NUM_PLACES = 200;

/**
 * A measurer for boxes, or null where the page cannot run the network.
 * @param {import("./types.js").Context} context
 */
export function makeMeasurer(context) {
  const kernels = /** @type {import("./types.js").Kernels | null} */ (context.page.program ? context.resource("kernels") : null);
  if (!kernels) return null;
  const network = new Network(context.page, kernels);
  let newest = 0;
  /**
   * @param {import("./types.js").LoadedPhoto} photo
   * @param {import("./types.js").Box} box
   * @param {(measured: import("./drawn_box.js").Measured) => void} tell
   */
  return async (photo, box, tell) => {
    newest += 1;
    const mine = newest;
    const isStale = () => mine !== newest;
    const target = context.page.classes.indexOf(photo.facts.answer);
    const answer = async (/** @type {import("./types.js").Box} */ covered) =>
      (await network.answer(coveredPicture(photo.picture, covered), isStale))?.[target] ?? null;
    const before = photo.facts.probabilities[target];
    const after = await answer(box);
    if (after === null) return;
    /** @type {number[]} */
    const nulls = [];
    tell({ change: after - before, nulls, wanted: NUM_RANDOM });
    for (const random of randomBoxes(box, context.page.pictureSize, NUM_RANDOM)) {
      const value = await answer(random);
      if (value === null) return;
      nulls.push(value - before);
      tell({ change: after - before, nulls, wanted: NUM_RANDOM });
    }
  };
}

/**
 * Boxes of the same size, always the same ones (a low-discrepancy sequence; Roberts 2018); beside the box itself where
 * there is room, as what lies in it would come in again.
 * @param {import("./types.js").Box} box
 * @param {[number, number]} pictureSize
 * @param {number} count
 * @returns {import("./types.js").Box[]}
 */
export function randomBoxes(box, [height, width], count) {
  const [wide, high] = [box[2] - box[0], box[3] - box[1]];
  /** @type {import("./types.js").Box[]} */
  const places = Array.from({ length: NUM_PLACES }, (_, i) => {
    const left = Math.floor(((0.5 + (i + 1) * 0.7548776662) % 1) * (width - wide + 1));
    const top = Math.floor(((0.5 + (i + 1) * 0.5698402910) % 1) * (height - high + 1));
    return [left, top, left + wide, top + high];
  });
  const apart = places.filter((place) => place[0] >= box[2] || place[2] <= box[0] || place[1] >= box[3] || place[3] <= box[1]);
  return (apart.length < count ? places : apart).slice(0, count);
}
