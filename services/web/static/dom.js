// Elements, made without ever reading text as HTML.

export const find = (selector) => document.querySelector(selector);

/** An element. `props`: attributes; `text`, `class` and `on` (events) are what they say. Strings become text. */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, heard] of Object.entries(value)) element.addEventListener(event, heard);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ICONS = {
  like: "M7 11v9H4v-9h3zm2 9V10.6l3.9-7.1c1.4.1 2.3 1.3 2 2.8L14.2 9H19c1.2 0 2.1 1.1 1.8 2.3l-1.7 7A2.2 2.2 0 0 1 17 20H9z",
  dislike: "M17 13V4h3v9h-3zm-2-9v9.4l-3.9 7.1c-1.4-.1-2.3-1.3-2-2.8l.7-2.7H5c-1.2 0-2.1-1.1-1.8-2.3l1.7-7A2.2 2.2 0 0 1 7 4h8z",
  close: "M6 6l12 12M18 6L6 18",
};

/** A drawing for a button that has a name of its own. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

let saying = 0;

/** Said by screen readers, once they have finished what they say now. */
export function say(words) {
  clearTimeout(saying);
  const said = find("#said");
  said.textContent = "";
  saying = setTimeout(() => (said.textContent = words), 60);
}

export const count = (number) => new Intl.NumberFormat("en").format(number);

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

/** Until what is on the page now has been painted. */
export const painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
