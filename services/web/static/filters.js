// What the results must be, besides looking alike.

import { count, el } from "./dom.js";

const SHOWN = 8;
const WORDS = { category: "Category", article_type: "Kind", color: "Colour" };

const nameOf = (field) => {
  const bare = field.replace(/^(attributes|live)\./, "");
  return WORDS[bare] ?? bare.charAt(0).toUpperCase() + bare.slice(1).replaceAll("_", " ");
};

/** `changed()`: a shopper has chosen something else. */
export class Filters {
  constructor(catalogue, changed) {
    this.changed = changed;
    this.priceField = catalogue.price_field;
    this.fields = ["category", ...catalogue.choice_fields];
    this.chosen = Object.fromEntries(this.fields.map((field) => [field, new Set()]));
    this.counts = Object.fromEntries(this.fields.map((field) => [field, []]));
    this.opened = new Set();
    this.predict = this.box("predict", "Only what the picture shows");
    this.predicted = el("p", { class: "small", id: "predicted" });
    this.lean = this.box("lean", "Lean towards what I opened");
    this.prices = ["from", "to"].map((end) =>
      el("input", {
        type: "number", min: "0", step: "any", inputmode: "decimal", id: `price-${end}`,
        on: { change: () => this.changed() },
      }),
    );
    this.groups = Object.fromEntries(this.fields.map((field) => [field, el("div", { class: "choices" })]));
    this.element = el(
      "form",
      { class: "filter-form", on: { submit: (event) => event.preventDefault() } },
      el("div", { class: "group", id: "switches" }, this.predict.label, this.predicted, this.lean.label),
      ...this.fields.map((field) => el("fieldset", { class: "group" }, el("legend", { text: nameOf(field) }), this.groups[field])),
      this.priceField && this.priceGroup(),
      el("button", { type: "button", class: "quiet", id: "filters-clear", text: "Clear all", on: { click: () => this.clear(true) } }),
    );
  }

  /** As requests want it; undefined if nothing is chosen. */
  asked() {
    const conditions = this.fields
      .filter((field) => this.chosen[field].size)
      .map((field) => ({ field, any_string: [...this.chosen[field]] }));
    const [from, to] = this.prices.map((input) => (input.value === "" ? null : Number(input.value)));
    if (this.priceField && (from !== null || to !== null)) {
      const range = { ...(from !== null && { gte: from }), ...(to !== null && { lte: to }) };
      conditions.push({ field: this.priceField, range });
    }
    return conditions.length ? { all_of: conditions } : undefined;
  }

  /** What there is to choose from, counted over the best of an answer. */
  show(facets) {
    for (const facet of facets) {
      // An answer that was narrowed by a field knows only the values chosen: the counts before stay.
      if (!(facet.field in this.counts) || this.chosen[facet.field].size) continue;
      this.counts[facet.field] = facet.counts;
    }
    const focused = document.activeElement?.dataset?.choice;
    for (const field of this.fields) this.draw(field);
    if (focused) this.element.querySelector(`[data-choice="${CSS.escape(focused)}"]`)?.focus();
  }

  /** Which switches make sense now. */
  offer({ byPicture, withHistory }) {
    this.predict.label.hidden = this.predicted.hidden = !byPicture;
    this.lean.label.hidden = !withHistory;
  }

  /** `predicted`: of an answer, or null. */
  tell(predicted) {
    if (!predicted || !predicted.category) return (this.predicted.textContent = "");
    const sure = `${Math.round(predicted.confidence * 100)} % sure`;
    const applied = predicted.applied ? "" : ": not sure enough, so everything was searched";
    this.predicted.textContent = `${predicted.category}, ${sure}${applied}`;
  }

  clear(tell = false) {
    for (const chosen of Object.values(this.chosen)) chosen.clear();
    for (const input of this.prices) input.value = "";
    this.predict.input.checked = this.lean.input.checked = false;
    this.tell(null);
    for (const field of this.fields) this.draw(field);
    if (tell) this.changed();
  }

  draw(field) {
    const chosen = this.chosen[field];
    const counts = this.counts[field];
    const known = new Set(counts.map((one) => one.value));
    const all = [...[...chosen].filter((value) => !known.has(value)).map((value) => ({ value })), ...counts];
    const shown = this.opened.has(field) ? all : all.filter((one, place) => place < SHOWN || chosen.has(one.value));
    const left = all.length - shown.length;
    this.groups[field].replaceChildren(
      ...shown.map((one) => this.choice(field, one)),
      ...(left ? [this.opener(field, left)] : []),
    );
    this.groups[field].parentElement.hidden = all.length === 0;
  }

  choice(field, { value, products }) {
    const toggle = (event) => {
      if (event.target.checked) this.chosen[field].add(value);
      else this.chosen[field].delete(value);
      this.changed();
    };
    return el(
      "label",
      { class: "chip" },
      el("input", {
        type: "checkbox", "data-choice": `${field}=${value}`, checked: this.chosen[field].has(value),
        on: { change: toggle },
      }),
      el("span", { text: value }),
      products !== undefined && el("span", { class: "chip-count", text: count(products) }),
    );
  }

  opener(field, left) {
    const open = () => {
      this.opened.add(field);
      this.draw(field);
      this.groups[field].querySelectorAll("input")[SHOWN]?.focus();
    };
    return el("button", { type: "button", class: "quiet", text: `${left} more`, "aria-label": `${left} more of ${nameOf(field)}`, on: { click: open } });
  }

  priceGroup() {
    const [from, to] = this.prices;
    return el(
      "fieldset",
      { class: "group" },
      el("legend", { text: "Price" }),
      el("div", { class: "row prices" }, el("label", { class: "field" }, "from ", from), el("label", { class: "field" }, "to ", to)),
    );
  }

  box(id, text) {
    const input = el("input", { type: "checkbox", id, on: { change: () => this.changed() } });
    return { input, label: el("label", { class: "check" }, input, ` ${text}`) };
  }
}
