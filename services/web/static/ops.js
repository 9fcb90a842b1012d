// How the index is, and what people asked. Read again every few seconds while somebody looks, each part on its own.

import { get, inWords } from "./api.js";
import { picture, titleOf } from "./cards.js";
import { count, el, find, plural, say } from "./dom.js";

const EVERY_MS = 5000;
const LETTERS_EVERY_MS = 30_000; // all of them are read, to be counted
const BEHIND_S = 60;
const LOW_RECALL = 0.98;

const recall = (value) => (value === null ? "–" : value.toFixed(3));
const cell = (text, kind = "") => el("td", { class: kind, text: String(text) });
const number = (value) => cell(count(value), "number");
const state = (text, warn) => el("span", { class: warn ? "state warn" : "state", text });
const clock = (time) => new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" }).format(new Date(time));

function ago(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86_400)} days ago`;
}

const tile = (name, value, warn = false) =>
  el("div", { class: warn ? "tile warn" : "tile" }, el("dt", { text: name }), el("dd", { text: value }));

const known = { status: null, lettersTotal: null }; // as last read

function showStatus(status) {
  known.status = status;
  const { coverage, partitions } = status;
  find("#index").textContent = `Index “${status.index}”, ${status.dim} dimensions, ${status.metric}, model ${status.model_id.slice(0, 12)}`;
  showTiles();
  find("#partitions").replaceChildren(...partitions.map(partitionRow), ...coverage.failures.map(failureRow));
  find("#shards").replaceChildren(...partitions.flatMap((one) => one.shards.map((shard) => shardRow(one, shard))));
  showCategories(status.categories);
}

function showTiles() {
  const { status, lettersTotal } = known;
  if (!status) return;
  const { coverage, partitions } = status;
  const sum = (of) => partitions.reduce((total, one) => total + of(one), 0);
  const behind = Math.max(0, ...partitions.map((one) => one.behind_s));
  const lowest = Math.min(1, ...partitions.map((one) => one.recall_at_10));
  find("#tiles").replaceChildren(
    tile("products", count(sum((one) => one.products_live))),
    tile("images", count(sum((one) => one.rows_live))),
    tile("partitions answering", `${coverage.partitions_answered} of ${coverage.partitions_total}`, coverage.failures.length > 0),
    tile("fresh as of", ago(behind), behind > BEHIND_S),
    tile("lowest recall@10", recall(lowest), lowest < LOW_RECALL),
    tile("not indexed", lettersTotal === null ? "–" : count(lettersTotal), lettersTotal > 0),
  );
}

function partitionRow(one) {
  const fresh = one.shards.filter((shard) => shard.kind === "fresh").length;
  const shards = `${plural(one.shards.length - fresh, "rolled", "rolled")}, ${plural(fresh, "fresh", "fresh")}`;
  const probed = one.probed_recall === null ? "–" : `${recall(one.probed_recall)} (${count(one.probed_queries)})`;
  return el(
    "tr",
    {},
    el("th", { scope: "row", text: String(one.partition) }),
    el("td", {}, one.paused ? state(`paused: ${one.paused}`, true) : state("serving")),
    number(one.products_live),
    number(one.rows_live),
    cell(shards),
    cell(ago(one.behind_s), "number"),
    cell(recall(one.recall_at_10), "number"),
    cell(probed, "number"),
    number(one.next_offset),
  );
}

const failureRow = (failure) =>
  el("tr", {}, el("th", { scope: "row", text: String(failure.partition) }), el("td", { colspan: 8 }, state(`not answering: ${failure.reason}`, true)));

function shardRow(partition, shard) {
  return el(
    "tr",
    {},
    el("th", { scope: "row", class: "code", text: `${partition.partition} / ${shard.shard_id.slice(0, 12) || "fresh"}` }),
    cell(shard.kind),
    el("td", {}, shard.target_reached ? shard.method : state(`${shard.method}, below the target`, true)),
    number(shard.rows_live),
    number(shard.rows - shard.rows_live),
    number(shard.tombstones),
    cell(recall(shard.recall_at_10), "number"),
    cell(recall(shard.recall_at_100), "number"),
  );
}

function showCategories(categories) {
  const most = categories[0]?.images ?? 1;
  find("#categories").replaceChildren(
    ...categories.slice(0, 20).flatMap((one) => [
      el("span", { text: one.category }),
      el("meter", { min: 0, max: most, value: one.images, "aria-label": `Images of ${one.category}` }),
      el("span", { class: "small", text: count(one.images) }),
    ]),
  );
}

function showLetters({ letters, total }) {
  known.lettersTotal = total;
  showTiles();
  find("#letters-sheet").hidden = total === 0;
  find("#letters-count").textContent = total === 0 ? "Nothing: everything that was published is indexed." : `The newest ${letters.length} of ${count(total)}.`;
  find("#letters").replaceChildren(
    ...letters.map((letter) =>
      el(
        "tr",
        {},
        cell(clock(letter.time)),
        cell(letter.product_id, "code"),
        cell(letter.reason),
        el("td", {}, state(letter.partly_indexed ? "indexed without some pictures" : "not indexed", !letter.partly_indexed)),
        cell(`${letter.stream} ${letter.partition}:${letter.offset}`, "number"),
      ),
    ),
  );
}

const METHODS = { Search: "Searched", Recommend: "Recommended", CompleteTheLook: "Look completed" };
const KINDS = { image: "by picture", product_id: "by product", vector: "by vector", examples: "by likes and dislikes", history: "by history" };

function showRecent({ queries }) {
  const rows = queries.map((query) => {
    const lacking = query.coverage.partitions_total - query.coverage.partitions_answered;
    return el(
      "li",
      { class: "asked-row" },
      el(
        "div",
        { class: "asked-facts" },
        el("strong", { text: `${METHODS[query.method] ?? query.method} ${KINDS[query.kind] ?? query.kind}` }),
        query.query_product_ids.length > 0 && el("span", { class: "code", text: query.query_product_ids.slice(0, 3).join(", ") }),
        query.surface && el("span", { class: "state", text: query.surface }),
        lacking > 0 && state(`${plural(lacking, "partition", "partitions")} missing`, true),
        el("span", { class: "small", text: `${query.handled_ms.toFixed(1)} ms` }),
        el("time", { class: "small", datetime: query.time, text: clock(query.time) }),
      ),
      el("div", { class: "thumbs" }, ...query.results.map(thumb)),
    );
  });
  find("#recent").replaceChildren(...(rows.length ? rows : [el("li", { class: "small", text: "Nothing yet." })]));
}

function thumb(hit) {
  const shown = picture(hit.thumbnail);
  shown.alt = titleOf(hit);
  shown.title = `${titleOf(hit)}, ${hit.score.toFixed(3)}`;
  return shown;
}

const parts = [
  { name: "The index", path: "/api/ops/status", everyMs: EVERY_MS, show: showStatus },
  { name: "What could not be indexed", path: "/api/ops/dlq", everyMs: LETTERS_EVERY_MS, show: showLetters },
  { name: "What people asked", path: "/api/ops/recent", everyMs: EVERY_MS, show: showRecent },
].map((part) => ({ ...part, dueMs: 0, reading: false, trouble: "" }));

async function read(part) {
  part.reading = true;
  part.dueMs = performance.now() + part.everyMs;
  try {
    part.show(await get(part.path));
    part.trouble = "";
  } catch (error) {
    part.trouble = inWords(error);
  }
  part.reading = false;
  tellTroubles();
}

/** Once for each trouble: which parts have it. What they showed before stays. */
function tellTroubles() {
  const troubles = [...new Set(parts.map((part) => part.trouble))].filter(Boolean);
  const named = (trouble) => parts.filter((part) => part.trouble === trouble).map((part) => part.name).join(", ");
  const told = troubles.map((trouble) => `${named(trouble)}: ${trouble}`);
  const before = [...find("#notes").children].map((note) => note.textContent);
  if (told.join() === before.join()) return;
  if (told.length) say(told.join(" "));
  find("#notes").replaceChildren(...told.map((text) => el("p", { class: "note problem", text })));
}

function look() {
  // A timer may fire a little early.
  const soonMs = performance.now() + EVERY_MS / 10;
  for (const part of parts) if (!part.reading && part.dueMs <= soonMs) read(part);
}

setInterval(() => find("#follow").checked && !document.hidden && look(), EVERY_MS);
look();
