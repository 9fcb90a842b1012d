// The part of a picture that is searched with: dragged by mouse or finger, moved by arrow keys.

import { el, say } from "./dom.js";

const SMALLEST = 0.05;
const STEP = 0.02;
const LEAP = 0.1;
const IDLE_MS = 500;
const CORNERS = { nw: "Top left", ne: "Top right", sw: "Bottom left", se: "Bottom right" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const WHOLE = { left: 0, top: 0, right: 1, bottom: 1 };

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const percent = (share) => `${Math.round(share * 100)} %`;

/** `changed(box)`: a shopper has chosen `box` ({left, top, right, bottom}, fractions), null = the whole picture. */
export class CropEditor {
  constructor(url, changed) {
    this.changed = changed;
    this.box = { ...WHOLE };
    this.idle = 0;
    this.frame = el(
      "button",
      { type: "button", class: "crop-box", "aria-describedby": "crop-help" },
      el("span", { class: "crop-lines", "aria-hidden": "true" }),
    );
    this.corners = Object.fromEntries(
      Object.keys(CORNERS).map((corner) => [corner, el("button", { type: "button", class: `corner ${corner}`, "aria-describedby": "crop-help" })]),
    );
    this.image = el("img", { src: url, alt: "Your picture", draggable: "false" });
    const shade = el("div", { class: "crop-shade" }, this.frame);
    this.stage = el("div", { class: "crop-stage" }, this.image, shade, ...Object.values(this.corners));
    this.element = el(
      "div",
      { class: "crop" },
      this.stage,
      el("p", { class: "unseen", id: "crop-help", text: "Arrow keys move it, with Shift by more." }),
    );
    this.grabs(this.frame, "move");
    for (const [corner, handle] of Object.entries(this.corners)) this.grabs(handle, corner);
    this.draw();
  }

  /** Shows `box`, null = the whole picture. */
  show(box) {
    this.box = { ...(box ?? WHOLE) };
    this.draw();
  }

  grabs(handle, part) {
    handle.addEventListener("pointerdown", (event) => this.grab(event, handle, part));
    handle.addEventListener("keydown", (event) => this.press(event, part));
  }

  grab(event, handle, part) {
    if (event.button > 0) return;
    event.preventDefault();
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    const area = this.stage.getBoundingClientRect();
    const from = { x: event.clientX, y: event.clientY, box: { ...this.box } };
    let moved = false;
    const move = (now) => {
      moved = true;
      this.change(part, from.box, (now.clientX - from.x) / area.width, (now.clientY - from.y) / area.height);
    };
    const end = () => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", end);
      handle.removeEventListener("pointercancel", end);
      if (moved) this.tell();
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", end);
    handle.addEventListener("pointercancel", end);
  }

  press(event, part) {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    const by = event.shiftKey ? LEAP : STEP;
    this.change(part, this.box, arrow[0] * by, arrow[1] * by);
    clearTimeout(this.idle);
    this.idle = setTimeout(() => this.tell(), IDLE_MS);
  }

  change(part, box, dx, dy) {
    const next = { ...box };
    if (part === "move") {
      const x = clamp(dx, -box.left, 1 - box.right);
      const y = clamp(dy, -box.top, 1 - box.bottom);
      Object.assign(next, { left: box.left + x, right: box.right + x, top: box.top + y, bottom: box.bottom + y });
    } else {
      if (part.includes("w")) next.left = clamp(box.left + dx, 0, box.right - SMALLEST);
      if (part.includes("e")) next.right = clamp(box.right + dx, box.left + SMALLEST, 1);
      if (part.includes("n")) next.top = clamp(box.top + dy, 0, box.bottom - SMALLEST);
      if (part.includes("s")) next.bottom = clamp(box.bottom + dy, box.top + SMALLEST, 1);
    }
    this.box = next;
    this.draw();
  }

  draw() {
    const { left, top, right, bottom } = this.box;
    const style = this.stage.style;
    style.setProperty("--left", `${left * 100}%`);
    style.setProperty("--top", `${top * 100}%`);
    style.setProperty("--right", `${right * 100}%`);
    style.setProperty("--bottom", `${bottom * 100}%`);
    const place = `${percent(left)} to ${percent(right)} across, ${percent(top)} to ${percent(bottom)} down`;
    this.frame.setAttribute("aria-label", `Part of the picture that is searched with: ${place}`);
    for (const [corner, handle] of Object.entries(this.corners)) {
      const x = percent(corner.includes("w") ? left : right);
      const y = percent(corner.includes("n") ? top : bottom);
      handle.setAttribute("aria-label", `${CORNERS[corner]} corner of the part: ${x} across, ${y} down`);
    }
  }

  tell() {
    const whole = Object.keys(WHOLE).every((side) => Math.abs(this.box[side] - WHOLE[side]) < 0.005);
    say(this.frame.getAttribute("aria-label"));
    this.changed(whole ? null : { ...this.box });
  }
}
