// What was opened in this tab. It stays in this tab.

const KEY = "vitrine.history";
const LONGEST = 50;

/** Newest first: {product_id, time, title, thumbnail}. */
export function history() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((item) => typeof item?.product_id === "string") : [];
  } catch {
    return [];
  }
}

export function remember(hit, title) {
  const others = history().filter((item) => item.product_id !== hit.product_id);
  const now = { product_id: hit.product_id, time: new Date().toISOString(), title, thumbnail: hit.thumbnail };
  keep([now, ...others].slice(0, LONGEST));
}

export const forget = () => keep([]);

/** As requests want it. */
export const asked = () => history().map(({ product_id, time }) => ({ product_id, time }));

function keep(items) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(items));
  } catch {
    // Without storage there is no history, and everything else works.
  }
}
