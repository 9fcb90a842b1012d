// The page: a picture or a product asks, the grid answers, and what people like or not refines it.

import { feedback, get, inWords, post, postForm } from "./api.js";
import { blanks, card, marks, picture, priceOf, showMark, titleOf } from "./cards.js";
import { CropEditor } from "./crop.js";
import { el, find, icon, painted, plural, say } from "./dom.js";
import { Filters } from "./filters.js";
import { nothing, partial, problem, seen } from "./notes.js";
import { pictureOf, prepared } from "./picture.js";
import * as taste from "./taste.js";

const PAGE = 24;
const VARIETY = 0.5;
const SURFACE = { search: "page", look: "page-look", because: "page-history" };
const BLANKS_AFTER_MS = 150;
const SEEN_AT_ONCE = 12;
const MOST_MARKS = 31; // with what is looked for, as many examples as a search takes

const state = {
  asking: null, // {kind: "picture", blob, url, name} or {kind: "product", hit}
  crop: "auto", // "auto", null = the whole picture, or a box
  marks: new Map(), // product_id → {hit, kind}
  refined: false,
  hits: [],
  asked: null, // the question that `hits` answer, as it was sent; null once it is another one
  next: "",
  notes: [], // what was said beside `hits`
  pending: null, // the search without an answer yet
  running: null,
};
const trail = []; // what was asked with, for the browser's Back
let filters = null;
let ready = null; // until it is known what can be filtered by
let editor = null;

// ---------------------------------------------------------------- asking

/** A new question: by a picture or a product. */
function ask(asking, { remember = true } = {}) {
  begin(asking, { remember });
  search(state.pending);
}

/** All is ready for `state.pending`, the search of a new question. */
function begin(asking, { remember = true } = {}) {
  Object.assign(state, { asking, crop: "auto", refined: false, hits: [], notes: [], pending: { arriving: true } });
  state.marks.clear();
  filters?.clear();
  toBestMatch();
  if (remember) {
    trail.push(asking);
    const address = asking.kind === "product" ? `/?product=${encodeURIComponent(asking.hit.product_id)}` : "/";
    window.history.pushState({ place: trail.length - 1 }, "", address);
  }
  document.body.dataset.view = "work";
  find("#start").hidden = true;
  find("#work").hidden = false;
  showQuery();
  showPicked();
  showBecause();
}

/** The question is another one: scores of what is shown say nothing about it. */
function toBestMatch() {
  Object.assign(state, { asked: null, next: "" });
  find("#sort").value = "";
}

function askAnew() {
  toBestMatch();
  search();
}

/** The question as the server wants it. */
function question() {
  const order = find("#sort").value;
  return order && state.asked && state.hits.length ? sorted(order) : bestMatch();
}

function bestMatch() {
  const query = {
    ...(state.refined ? { examples: examples() } : alone()),
    page_size: PAGE,
    facets: filters?.fields ?? [],
    filter: filters?.asked(),
    surface: SURFACE.search,
  };
  if (find("#variety").checked) query.diversity = VARIETY;
  if (filters?.predict.input.checked && state.asking.kind === "picture" && !state.refined) query.category_mode = "predict";
  if (filters?.lean.input.checked) query.history = taste.asked();
  return query;
}

/** What was asked once more, by price: of what looks alike already, the products seen and what is no less like them. */
function sorted(order) {
  return {
    ...state.asked,
    diversity: undefined,
    order_by: { field: filters.priceField, descending: order === "down" },
    min_score: state.asked.min_score ?? Math.min(...state.hits.map((hit) => hit.score)),
    page_size: Math.max(PAGE, state.hits.length),
  };
}

function alone() {
  if (state.asking.kind === "product") return { product_id: state.asking.hit.product_id };
  if (state.crop === "auto") return { crop_mode: "auto" };
  return state.crop ? { crop: state.crop } : {};
}

function examples() {
  const first = state.asking.kind === "product" ? alone() : { image: "image", ...alone() };
  const of = (kind) => [...state.marks.values()].filter((one) => one.kind === kind).map((one) => ({ product_id: one.hit.product_id }));
  return { positive: [first, ...of("like")], negative: of("dislike") };
}

const sent = (path, query, signal) =>
  state.asking.kind === "picture" ? postForm(path, query, { image: state.asking.blob }, signal) : post(path, query, signal);

/** `query`: one that was sent already. With `more`, the next page of what was asked, whatever has been marked since. */
async function search({ more = false, arriving = false, query = null } = {}) {
  state.running?.abort();
  const running = (state.running = new AbortController());
  const pending = (state.pending = { more, arriving, query });
  const results = find("#results");
  showLooks(false);
  find("#notes .problem")?.remove();
  results.setAttribute("aria-busy", "true");
  const slow = setTimeout(() => !more && !state.hits.length && results.replaceChildren(...blanks(12)), BLANKS_AFTER_MS);
  if (arriving) results.replaceChildren();
  try {
    await ready;
    pending.query ??= more ? { ...state.asked, page_token: state.next } : question();
    const answer = await sent("/api/search", pending.query, running.signal);
    performance.mark("vitrine:answer");
    clearTimeout(slow);
    state.pending = null;
    show(answer, pending.query, more);
    if (arriving) find("#found-title").focus();
    painted().then(() => performance.measure("vitrine:grid", "vitrine:answer"));
  } catch (error) {
    clearTimeout(slow);
    if (error.name === "AbortError") return;
    if (more) state.pending = null;
    else {
      Object.assign(state, { hits: [], asked: null, next: "", notes: [] });
      results.replaceChildren();
      find("#more").hidden = true;
      find("#count").textContent = "";
    }
    notes([...state.notes, problem(inWords(error), () => search(pending))]);
    say(inWords(error));
    if (arriving) find("#found-title").focus();
  }
  results.setAttribute("aria-busy", "false");
}

// ---------------------------------------------------------------- showing an answer

/** `query`: what was asked for it. */
function show(answer, query, more) {
  const lazyFrom = more ? 0 : SEEN_AT_ONCE;
  state.hits = more ? [...state.hits, ...answer.results] : answer.results;
  state.next = answer.next_page_token;
  if (!more) state.asked = query;
  find("#sort").value = sortOf(state.asked);
  const cards = answer.results.map((hit, place) => resultCard(hit, { queryId: answer.query_id, rank: place + 1 }, place >= lazyFrom));
  if (more) find("#results").append(...cards);
  else find("#results").replaceChildren(...cards);
  if (more) cards[0]?.querySelector("button").focus();
  find("#more").hidden = !state.next;
  filters?.show(answer.facets);
  filters?.tell(answer.predicted_category);
  if (answer.region && state.crop === "auto") editor?.show(answer.region.crop);
  const told = [...partial(answer.coverage), ...seen(answer.region), ...(state.hits.length ? [] : [nothing(query.filter !== undefined)])];
  // A page that is complete does not make those before it so.
  if (!more || told.length) state.notes = told;
  summarise();
  say(find("#count").textContent);
}

/** What is said beside `state.hits`. */
function summarise() {
  const order = sortOf(state.asked) ? "sorted by price" : "the closest first";
  find("#count").textContent = state.hits.length ? `${plural(state.hits.length, "product", "products")}, ${order}` : "Nothing found";
  notes(state.notes);
}

/** As #sort says it. */
function sortOf({ order_by }) {
  if (!order_by) return "";
  return order_by.descending ? "down" : "up";
}

/** `answer`: {queryId, rank} of the answer that it is in. */
function resultCard(hit, answer, lazy) {
  const shown = { surface: SURFACE.search, ...answer };
  const marked = state.marks.get(hit.product_id)?.kind ?? "";
  return card(hit, { open: (one) => openDetail(one, shown), mark: (one, kind) => mark(one, kind, shown), marked, lazy });
}

const notes = (all) => find("#notes").replaceChildren(...all);

// ---------------------------------------------------------------- what asks

function showQuery() {
  const { asking } = state;
  filters?.offer({ byPicture: asking.kind === "picture", withHistory: taste.history().length > 0 });
  if (asking.kind === "product") {
    editor = null;
    const price = priceOf(asking.hit);
    find("#query").replaceChildren(
      el("div", { class: "asked" }, picture(asking.hit.thumbnail, false), el("div", {}, el("p", { class: "asked-title", text: titleOf(asking.hit) }), el("p", { class: "small", text: [asking.hit.category, price].filter(Boolean).join(" · ") }))),
    );
    return;
  }
  editor = new CropEditor(asking.url, (box) => {
    state.crop = box;
    askAnew();
  });
  const choose = (crop) => () => {
    state.crop = crop;
    if (crop === null) editor.show(null);
    askAnew();
  };
  find("#query").replaceChildren(
    editor.element,
    el("p", { class: "small", text: "Drag the box to what matters." }),
    el("div", { class: "row" }, el("button", { type: "button", class: "quiet", id: "crop-auto", text: "Find the product", on: { click: choose("auto") } }), el("button", { type: "button", class: "quiet", id: "crop-whole", text: "Whole picture", on: { click: choose(null) } })),
  );
}

async function take(file) {
  if (!file) return;
  find("#detail").close();
  ask({ kind: "picture", ...(await prepared(file)) });
}

// ---------------------------------------------------------------- likes and dislikes

/** `shown`: {surface, queryId, rank}, where it was seen. */
function mark(hit, kind, shown) {
  const was = state.marks.get(hit.product_id)?.kind;
  if (was === kind) return unmark(hit);
  if (!was && state.marks.size === MOST_MARKS) return say(`At most ${MOST_MARKS} can be liked or disliked`);
  state.marks.set(hit.product_id, { hit, kind });
  showMark(hit.product_id, kind);
  showPicked();
  if (kind === "dislike") feedback(shown, hit.product_id, "DISMISS");
}

function unmark(hit) {
  state.marks.delete(hit.product_id);
  showMark(hit.product_id, "");
  showPicked();
}

function showPicked() {
  const all = [...state.marks.values()];
  find("#refine").hidden = !find("#looks").hidden || (all.length === 0 && !state.refined);
  find("#refine-go").disabled = all.length === 0;
  find("#picked").replaceChildren(
    ...all.map(({ hit, kind }) => {
      const title = titleOf(hit);
      const remove = () => {
        unmark(hit);
        find("#refine").hidden ? find("#found-title").focus() : find("#refine-clear").focus();
      };
      return el(
        "button",
        { type: "button", class: `pick pick-${kind}`, "aria-label": `Take back: ${kind} ${title}`, title: "Take back", on: { click: remove } },
        picture(hit.thumbnail, false),
        icon(kind),
      );
    }),
  );
}

function refine() {
  state.refined = state.marks.size > 0;
  askAnew();
}

function clearMarks() {
  for (const id of state.marks.keys()) showMark(id, "");
  state.marks.clear();
  const again = state.refined;
  state.refined = false;
  showPicked();
  find("#found-title").focus();
  if (again) askAnew();
}

// ---------------------------------------------------------------- one product

/** `shown`: {surface, queryId, rank}, where it was seen. */
function openDetail(hit, shown) {
  feedback(shown, hit.product_id, "CLICK");
  taste.remember(hit, titleOf(hit));
  const dialog = find("#detail");
  const title = titleOf(hit);
  const close = () => dialog.close();
  const alike = () => {
    dialog.close();
    ask({ kind: "product", hit });
  };
  const look = () => {
    dialog.close();
    if (find("#work").hidden) begin({ kind: "product", hit });
    completeTheLook({ product_id: hit.product_id }, title);
  };
  const pictures = el("div", { class: "detail-pictures" }, picture(hit.thumbnail, false));
  const live = shown.surface === SURFACE.search && !find("#work").hidden;
  dialog.replaceChildren(
    el("button", { type: "button", class: "close", "aria-label": "Close", on: { click: close } }, icon("close")),
    el(
      "div",
      { class: "detail", "data-product": hit.product_id },
      pictures,
      el(
        "div",
        { class: "detail-text" },
        el("h2", { id: "detail-title", text: title }),
        priceOf(hit) && el("p", { class: "price", text: priceOf(hit) }),
        facts(hit),
        el("div", { class: "row" }, el("button", { type: "button", class: "primary", id: "alike", text: "More like this", on: { click: alike } }), el("button", { type: "button", id: "detail-look", text: "Complete the look", on: { click: look } })),
        live && marks(hit, title, state.marks.get(hit.product_id)?.kind ?? "", (one, kind) => mark(one, kind, shown)),
      ),
    ),
  );
  dialog.showModal();
  showBecause();
  get(productPath(hit.product_id))
    .then((product) => showPictures(pictures, product.images))
    .catch(() => undefined);
}

/** All pictures of a product, side by side; several can be scrolled by keyboard, too. */
function showPictures(place, images) {
  place.replaceChildren(...images.map((image) => picture(image.thumbnail, false)));
  if (images.length < 2) return;
  for (const [name, value] of Object.entries({ tabindex: 0, role: "group", "aria-label": `${images.length} pictures` })) place.setAttribute(name, value);
}

function facts(hit) {
  const hidden = new Set(["title", "name", "price", "currency"]);
  const known = Object.entries({ category: hit.category, ...hit.attributes, ...hit.live }).filter(([name, value]) => !hidden.has(name) && value !== "");
  const words = (value) => (Array.isArray(value) ? value.join(", ") : String(value));
  return el("dl", {}, ...known.slice(0, 8).flatMap(([name, value]) => [el("dt", { text: name.replaceAll("_", " ") }), el("dd", { text: words(value) })]));
}

// ---------------------------------------------------------------- complete the look

const AFFINITY = { learned: "what goes together, learnt from outfits", style: "colour and style", vector: "overall likeness" };

async function completeTheLook(query, title) {
  state.running?.abort();
  const running = (state.running = new AbortController());
  const looks = find("#looks");
  showLooks(true, title);
  looks.setAttribute("aria-busy", "true");
  looks.replaceChildren();
  notes([]);
  try {
    const body = { ...query, per_category: 4, surface: SURFACE.look };
    const answer = await (query.product_id ? post("/api/look", body, running.signal) : sent("/api/look", body, running.signal));
    let rank = 0; // over all categories, as they are shown
    const lookCard = (hit) => {
      const shown = { surface: SURFACE.look, queryId: answer.query_id, rank: ++rank };
      return card(hit, { open: () => openDetail(hit, shown), level: 3 });
    };
    looks.replaceChildren(
      ...answer.categories.map((part) => el("section", { class: "strip" }, el("h2", { text: part.category }), el("ul", { class: "grid" }, ...part.results.map(lookCard)))),
    );
    find("#count").textContent = answer.categories.length ? `Chosen by ${AFFINITY[answer.affinity] ?? answer.affinity}` : "Nothing goes with it";
    notes(partial(answer.coverage));
    say(`${plural(answer.categories.length, "category", "categories")}. ${find("#count").textContent}`);
  } catch (error) {
    if (error.name === "AbortError") return;
    notes([problem(inWords(error), () => completeTheLook(query, title))]);
    say(inWords(error));
  }
  looks.setAttribute("aria-busy", "false");
  find("#found-title").focus();
}

const productPath = (productId) => `/api/products/${productId.split("/").map(encodeURIComponent).join("/")}`;

const asHit = (product) => ({ ...product, image_id: product.images[0]?.image_id ?? "", thumbnail: product.images[0]?.thumbnail ?? "", score: 1 });

function showLooks(shown, title = "") {
  find("#looks").hidden = !shown;
  find("#results").hidden = shown;
  find("#more").hidden = shown || !state.next;
  find("#back").hidden = !shown;
  find("#refine").hidden = shown || (state.marks.size === 0 && !state.refined);
  for (const part of document.querySelectorAll("#tools > :not(#back)")) part.hidden = shown;
  offerSort(!shown);
  find("#found-title").textContent = shown ? `Goes with ${title}` : "Look-alikes";
}

/** Only where products have a price, as far as that is known yet. */
function offerSort(wanted) {
  find("#sort").parentElement.hidden = !wanted || !filters?.priceField;
}

function backToResults() {
  state.running?.abort();
  showLooks(false);
  find("#found-title").focus();
  if (state.asked) summarise();
  // The look may have come before there was an answer.
  if (state.pending) search(state.pending);
}

// ---------------------------------------------------------------- what was looked at

async function showBecause() {
  const history = taste.history();
  find("#because").hidden = history.length === 0;
  if (!history.length) return;
  const query = { history: taste.asked(), page_size: 12, diversity: 0.3, surface: SURFACE.because };
  try {
    const answer = await post("/api/recommend", query);
    find("#because-rows").replaceChildren(...answer.interests.map((interest, number) => becauseRow(interest, number, answer, history)).filter(Boolean));
  } catch {
    find("#because").hidden = true; // The page does without.
  }
}

function becauseRow(interest, number, answer, history) {
  const hits = answer.results.map((one, place) => ({ ...one, place })).filter((one) => one.interest === number);
  if (!hits.length) return null;
  const because = history.find((item) => item.product_id === interest.product_id);
  const open = (one) => openDetail(one.hit, { surface: SURFACE.because, queryId: answer.query_id, rank: one.place + 1 });
  return el(
    "section",
    { class: "strip" },
    el("h3", { class: "because-why" }, because?.thumbnail && picture(because.thumbnail), `Because you looked at ${because?.title ?? "something like it"}`),
    el("ul", { class: "grid" }, ...hits.map((one) => card(one.hit, { open: () => open(one), score: false, level: 4 }))),
  );
}

function forget() {
  taste.forget();
  find("#because").hidden = true;
  find("#main").querySelector("h1:not([hidden])")?.focus();
  say("Forgotten");
}

// ---------------------------------------------------------------- the beginning

async function showSamples(seed) {
  try {
    const { results } = await get(`/api/samples?seed=${seed}`);
    const begin = (hit) => ask({ kind: "product", hit });
    find("#samples").replaceChildren(...results.map((hit) => card(hit, { open: begin, score: false, level: 3 })));
    find("#samples-part").hidden = results.length === 0;
  } catch (error) {
    find("#samples").replaceChildren(el("li", { class: "wide" }, problem(inWords(error), () => showSamples(seed))));
  }
}

function goTo(event) {
  const asking = trail[event.state?.place ?? -1];
  if (asking) return ask(asking, { remember: false });
  state.running?.abort();
  document.body.dataset.view = "start";
  find("#start").hidden = false;
  find("#work").hidden = true;
}

async function fromAddress() {
  const productId = new URLSearchParams(location.search).get("product");
  if (!productId) return;
  const found = await get(productPath(productId)).catch(() => null);
  if (found) ask({ kind: "product", hit: asHit(found) });
}

function listen() {
  for (const button of document.querySelectorAll("[data-pick]")) button.addEventListener("click", () => find(`#${button.dataset.pick}`).click());
  for (const input of [find("#file"), find("#photo")]) {
    input.addEventListener("change", () => {
      const [file] = input.files;
      input.value = "";
      take(file);
    });
  }
  document.addEventListener("paste", (event) => take(pictureOf(event.clipboardData)));
  let inside = 0;
  const dropping = (by) => (find("#dropping").hidden = (inside = Math.max(0, inside + by)) === 0);
  document.addEventListener("dragenter", (event) => event.dataTransfer?.types.includes("Files") && dropping(1));
  document.addEventListener("dragleave", () => dropping(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    dropping(-inside);
    take(pictureOf(event.dataTransfer));
  });
  window.addEventListener("popstate", goTo);
  find("#shuffle").addEventListener("click", () => showSamples(Math.floor(Math.random() * 1_000_000)));
  find("#sort").addEventListener("change", () => search());
  find("#variety").addEventListener("change", askAnew);
  find("#more").addEventListener("click", () => search({ more: true }));
  find("#look").addEventListener("click", () => {
    const { asking } = state;
    completeTheLook(alone(), asking.kind === "product" ? titleOf(asking.hit) : "your picture");
  });
  find("#back").addEventListener("click", backToResults);
  find("#refine-go").addEventListener("click", refine);
  find("#refine-clear").addEventListener("click", clearMarks);
  find("#forget").addEventListener("click", forget);
  const wide = matchMedia("(min-width: 56rem)");
  const unfold = () => (find("#filters-part").open = wide.matches);
  wide.addEventListener("change", unfold);
  unfold();
}

async function prepareFilters() {
  try {
    const catalogue = await get("/api/catalogue");
    find("#to-ops").hidden = !catalogue.ops;
    filters = new Filters(catalogue, askAnew);
    find("#filters").replaceChildren(filters.element);
    offerSort(find("#looks").hidden); // somebody may have begun to search meanwhile
    if (state.asking) showQuery();
  } catch {
    find("#filters-part").hidden = true; // Searching works without.
  }
}

listen();
ready = prepareFilters();
showSamples(0);
showBecause();
fromAddress();
