// Products, as people see them.

import { el, icon } from "./dom.js";

const NAMES = ["title", "name"];
const PARTS = ["colour", "color", "pattern", "article_type"];

export function titleOf(product) {
  const said = (name) => (typeof product.attributes[name] === "string" ? product.attributes[name].trim() : "");
  const own = NAMES.map(said).find(Boolean);
  return own || PARTS.map(said).filter(Boolean).join(" ") || product.category || product.product_id;
}

/** "29.00", in the shop's own currency where it names one. */
export function priceOf(product) {
  const price = product.live.price ?? product.attributes.price;
  if (typeof price !== "number") return "";
  const currency = product.live.currency ?? product.attributes.currency;
  try {
    if (typeof currency === "string") return new Intl.NumberFormat("en", { style: "currency", currency }).format(price);
  } catch {
    // Not a currency that this browser knows.
  }
  return new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(price);
}

export const picture = (thumbnail, lazy = true) =>
  el("img", {
    src: thumbnail,
    alt: "",
    width: 256,
    height: 256,
    decoding: "async",
    loading: lazy ? "lazy" : "eager",
    on: { error: (event) => event.target.classList.add("missing") },
  });

/**
 * One product. `open(hit)`; with `mark`: buttons that like and dislike it, `marked` says what it is now ("like",
 * "dislike" or ""). `score`: whether it is shown.
 */
export function card(hit, { open, mark, marked = "", score = true, lazy = true, level = 2 }) {
  const title = titleOf(hit);
  const price = priceOf(hit);
  return el(
    "li",
    { class: "card", "data-product": hit.product_id },
    el("div", { class: "card-picture" }, picture(hit.thumbnail, lazy)),
    el(
      "div",
      { class: "card-text" },
      el(`h${level}`, { class: "card-title" }, el("button", { type: "button", text: title, on: { click: () => open(hit) } })),
      el("p", { class: "card-meta" }, el("span", { text: hit.category }), price && el("span", { class: "price", text: price })),
    ),
    (score || mark) &&
      el(
        "div",
        { class: "card-bar" },
        score && el("span", { class: "score", title: "How close it is: 1 is the same", text: hit.score.toFixed(2) }),
        mark && marks(hit, title, marked, mark),
      ),
  );
}

/** Like and dislike, either pressed or not. */
export function marks(hit, title, marked, mark) {
  const button = (kind, verb) =>
    el(
      "button",
      {
        type: "button",
        class: `mark mark-${kind}`,
        "data-mark": kind,
        "aria-pressed": String(marked === kind),
        "aria-label": `${verb} ${title}`,
        title: verb,
        on: { click: () => mark(hit, kind) },
      },
      icon(kind),
    );
  return el("div", { class: "marks" }, button("like", "Like"), button("dislike", "Dislike"));
}

/** Shows in all cards of a product what it is now. */
export function showMark(productId, marked) {
  for (const shown of document.querySelectorAll(`[data-product="${CSS.escape(productId)}"]`)) {
    for (const button of shown.querySelectorAll("[data-mark]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mark === marked));
    }
  }
}

/** Places for `number` products that are on their way. */
export const blanks = (number) =>
  Array.from({ length: number }, () =>
    el("li", { class: "card blank", "aria-hidden": "true" }, el("div", { class: "card-picture" }), el("div", { class: "card-text" })),
  );
