// What people are told when not all is well.

import { el, plural } from "./dom.js";

const NO_PRODUCT = 0.5;

/** An answer that lacks a part of the catalogue says so. */
export function partial(coverage) {
  const lacking = coverage.partitions_total - coverage.partitions_answered;
  if (!lacking) return [];
  const share = `${lacking} of ${plural(coverage.partitions_total, "part", "parts")}`;
  return [note(`This answer is not complete: ${share} of the catalogue did not answer. Something closer may be missing.`)];
}

export function seen(region) {
  if (!region) return [];
  if ((region.no_product_score ?? 0) >= NO_PRODUCT) {
    return [note("The picture does not seem to show a product. These are the closest by overall look.")];
  }
  return region.crop ? [] : [note("Nothing stands out in the picture, so the whole of it was searched with. Drag a box to choose a part.")];
}

/** Nothing came back; `narrowed`: something was chosen besides. */
export const nothing = (narrowed) =>
  note(narrowed ? "Nothing in the shop looks like it and meets what you chose." : "Nothing in the shop looks like it.");

export const note = (words) => el("p", { class: "note", text: words });

export const problem = (words, again) =>
  el("div", { class: "note problem" }, el("p", { text: words }), el("button", { type: "button", text: "Try again", on: { click: again } }));
