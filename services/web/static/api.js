// The JSON endpoints of this server.

export class Refused extends Error {
  constructor(status, error, retryAfterS) {
    super(error.message);
    Object.assign(this, { status, code: error.code, field: error.field, retryAfterS });
  }
}

export const get = (path, signal) => answered(fetch(path, { signal }));

export const post = (path, query, signal) =>
  answered(
    fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(query), signal }),
  );

/** With pictures: blobs by the names of their parts. */
export function postForm(path, query, pictures, signal) {
  const form = new FormData();
  form.append("query", JSON.stringify(query));
  for (const [name, picture] of Object.entries(pictures)) form.append(name, picture, name);
  return answered(fetch(path, { method: "POST", body: form, signal }));
}

/**
 * What a shopper did. It must not disturb them: if it is lost, it is lost. `rank`: from 1, within the answer that
 * `queryId` names.
 */
export function feedback({ surface, queryId, rank }, productId, kind) {
  const body = JSON.stringify({ query_id: queryId, product_id: productId, kind, surface, rank });
  const headers = { "content-type": "application/json" };
  fetch("/api/feedback", { method: "POST", headers, body, keepalive: true }).catch(() => undefined);
}

/** What went wrong, for people. */
export function inWords(error) {
  if (!(error instanceof Refused)) return "The shop cannot be reached. Is the connection there?";
  if (error.status === 413) return `This picture is too large: it ${error.message}.`;
  if (error.status === 429) return "Many are searching just now. Try again in a moment.";
  if (error.status >= 500) return "The search is not answering just now. Try again in a moment.";
  if (error.field === "image") return `This cannot be searched with: the file ${error.message}.`;
  if (error.status === 404) return `It is not in the shop any more: ${error.message}.`;
  return `This was refused: ${error.field ? `${error.field} ` : ""}${error.message}.`;
}

async function answered(asked) {
  const response = await asked;
  if (response.ok) return response.json();
  const told = await response.json().catch(() => ({}));
  const unknown = { code: "", field: "", message: `the server answered ${response.status}` };
  throw new Refused(response.status, told.error ?? unknown, Number(response.headers.get("retry-after")) || 0);
}
