// openapi.json as a page.

import { el, find } from "./dom.js";

const nameOf = (reference) => reference.split("/").at(-1);

/** A schema in a word or two: "string", "Hit[]", "number or null". */
function kindOf(schema) {
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(kindOf).join(" or ");
  if (schema.type === "array") return `${kindOf(schema.items ?? {})}[]`;
  if (schema.type === "object" && schema.additionalProperties) return `{name: ${kindOf(schema.additionalProperties)}}`;
  return schema.type ?? "any";
}

function fieldsOf(name, schemas, shown = new Set()) {
  const schema = schemas[name];
  if (!schema?.properties || shown.has(name)) return [];
  shown.add(name);
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties).map(([field, kind]) =>
    el("tr", {}, el("th", { scope: "row", class: "code", text: field }), el("td", { class: "code", text: required.has(field) ? kindOf(kind) : `${kindOf(kind).replace(" or null", "")}, optional` }), el("td", { text: kind.description ?? "" })),
  );
  const inner = [...JSON.stringify(schema).matchAll(/#\/components\/schemas\/(\w+)/g)].map((match) => match[1]);
  return [
    el("details", { open: shown.size === 1 }, el("summary", { class: "code", text: name }), schema.description && el("p", { class: "small", text: schema.description }), el("div", { class: "sheet", tabindex: 0, role: "group", "aria-label": `Fields of ${name}` }, el("table", {}, el("tbody", {}, ...rows)))),
    ...inner.flatMap((other) => fieldsOf(other, schemas, shown)),
  ];
}

function curl(method, path, body) {
  const address = `${location.origin}${path}`;
  if (!body) return `curl ${address}`;
  const json = JSON.stringify(body.content["application/json"].example);
  const plain = `curl ${address} -H 'content-type: application/json' -d '${json}'`;
  if (!body.content["multipart/form-data"]) return plain;
  return `${plain}\ncurl ${address} -F image=@shoe.jpg -F 'query={"crop_mode": "auto"};type=application/json'`;
}

function section(method, path, operation, schemas) {
  const asked = operation.requestBody?.content["application/json"].schema.$ref;
  const good = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  const answered = good[1].content?.["application/json"].schema.$ref;
  const refused = Object.entries(operation.responses).filter(([status]) => !status.startsWith("2"));
  const parameters = (operation.parameters ?? []).map((one) => `${one.name}: ${one.description}`);
  return el(
    "section",
    { class: "endpoint", id: operation.operationId },
    el("h2", {}, el("span", { class: "method", text: method.toUpperCase() }), path),
    el("p", { text: operation.summary }),
    ...parameters.map((words) => el("p", { class: "small", text: words })),
    el("pre", { tabindex: 0, text: curl(method, path, operation.requestBody) }),
    asked && el("h3", { text: "Takes" }),
    ...(asked ? fieldsOf(nameOf(asked), schemas) : []),
    el("h3", { text: `Answers (${good[0]})` }),
    ...(answered ? fieldsOf(nameOf(answered), schemas) : [el("p", { text: good[1].description })]),
    el("p", { class: "small", text: `May refuse: ${refused.map(([status, one]) => `${status} ${one.description}`).join(", ")}` }),
  );
}

const described = await (await fetch("/openapi.json")).json();
const sections = Object.entries(described.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => section(method, path, operation, described.components.schemas)),
);
find("#to-ops").hidden = !described.paths["/api/ops/status"];
find("#endpoints").replaceChildren(...sections);
