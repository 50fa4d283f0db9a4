// The valence-arousal pad: a square field to point at. It knows nothing of ComfyUI: it shows a point that it
// is given (`show`), tells of one that a person chose (`onMove`) and of its being let go (`onLetGo`).

import { distance, EMOTIONS, LIMIT, nearestEmotion, OCTANTS, ROUND, turn } from "./emotions.js";
import { Fan } from "./va_fan.js";

const STEP = 0.05;
const COARSE = 0.5;
const TRAIL_LENGTH = 6;
const REST_CALLS = 2;
const PAUSE = 600; // milliseconds without a key, after which the keyboard has let the point go
const NEAR = 0.5; // within this distance an emotion is named in the readout
const FAR = 0.45; // of the canvas' zoom: below, the words are too small to read, and go
const FARTHEST = 0.3; // the numbers, too
const SMALL = 1e-6;
const SVG = "http://www.w3.org/2000/svg";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** The nearest value on the grid of 0.05 in [-3, 3]. */
export function onGrid(value) {
  const clamped = Math.min(LIMIT, Math.max(-LIMIT, value));
  return Math.round(clamped / STEP) / Math.round(1 / STEP) + 0; // + 0: no minus zero
}

/** A value as it is read: +1.50, 0.00, −2.05. */
export function signed(value) {
  const digits = Math.abs(value).toFixed(2);
  return value === 0 ? digits : (value > 0 ? "+" : "−") + digits;
}

/** The named emotion that a point stands on, undefined if it stands on none. */
export function emotionAt(point) {
  const emotion = nearestEmotion(point);
  const there = onGrid(emotion.valence) === point.valence && onGrid(emotion.arousal) === point.arousal;
  return there ? emotion : undefined;
}

/** Whether a point lies in the polygon of others, its border included; in the plane's middle all ranges begin. */
export function isWithin(point, ends) {
  const [x, y] = [point.valence, point.arousal];
  if (x === 0 && y === 0) return true;
  return ends.some((a, index) => {
    const b = ends[(index + 1) % ends.length];
    const area = a.valence * b.arousal - a.arousal * b.valence;
    if (area < SMALL) return false;
    const [s, t] = [(x * b.arousal - y * b.valence) / area, (a.valence * y - a.arousal * x) / area];
    return s >= -SMALL && t >= -SMALL && s + t <= 1 + SMALL; // of the triangle that both make with the middle
  });
}

function same(a, b) {
  return a.valence === b.valence && a.arousal === b.arousal;
}

function create(parent, tag, className) {
  const element = parent.appendChild(document.createElement(tag));
  element.className = className;
  return element;
}

function place(element, { valence, arousal }) {
  element.style.left = `${(50 * (valence + LIMIT)) / LIMIT}%`;
  element.style.top = `${(50 * (LIMIT - arousal)) / LIMIT}%`;
}

function svg(parent, tag, attributes) {
  const element = parent.appendChild(document.createElementNS(SVG, tag));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export class VAPad {
  /**
   * @param {object} told what is told of; a point is {valence, arousal}
   * @param {(point) => void} told.onMove every point a person chooses
   * @param {() => void} told.onPress the pointer takes the point, to hold it until it goes up
   * @param {() => void} told.onLetGo the point has been moved, and let go: by the pointer, or by a pause of the keys
   * @param {(on: boolean) => void} told.onSwitch the person wants a run when the point is let go, or does not
   * @param {() => void} told.onLook the person wants to see what is round the point, in the pad's `fan`
   * @param {() => void} told.onStop not any more
   * @param {(point) => void} told.onChoose the person chose one of the pictures there
   * @param {(english: string) => string} say gives words in the person's language
   */
  constructor(told, say = (english) => english) {
    Object.assign(this, told, { say });
    this.point = { valence: 0, arousal: 0 };
    this.trail = []; // where the point rested, the latest last
    this.calls = 0; // of show() since the point moved
    this.known = true;
    this.locked = false;
    this.pointer = null; // the pointer that drags
    this.start = null; // where the point was when it was taken; null while nobody holds it
    this.runs = false; // when let go
    this.range = null; // the ends of what was measured
    this.build();
    this.listen();
    this.draw();
  }

  build() {
    this.element = document.createElement("div");
    this.element.className = "emoticrafter-pad";
    this.field = create(this.element, "div", "field");
    this.plane = create(this.field, "div", "plane");
    this.lines = svg(this.plane, "svg", { viewBox: "-3 -3 6 6", "aria-hidden": "true" });
    svg(this.lines, "path", { d: "M-3 0H3M0-2.5V2.5", class: "axes" });
    svg(this.lines, "circle", { r: 3, class: "circle" });
    this.shade = svg(this.lines, "path", { class: "beyond", "fill-rule": "evenodd" });
    this.path = svg(this.lines, "path", { class: "trail" });
    for (const { name, angle } of OCTANTS) {
      const word = create(this.plane, "span", `word at-${angle}`);
      word.textContent = this.say(name);
    }
    for (const emotion of EMOTIONS) place(create(this.plane, "i", "emotion"), emotion);
    this.rests = Array.from({ length: TRAIL_LENGTH }, () => create(this.plane, "i", "rest"));
    this.dot = create(this.plane, "i", "point");
    this.label = create(this.plane, "span", "label");
    const readout = create(this.element, "div", "readout");
    this.picture = create(readout, "img", "picture");
    this.picture.alt = this.say("The latest picture");
    this.name = create(readout, "span", "name");
    this.look = create(readout, "button", "look");
    this.run = create(readout, "button", "run");
    this.numbers = create(readout, "span", "numbers");
    create(this.run, "span", "words").textContent = this.say("Run when let go");
    create(this.look, "span", "words");
    this.fan = new Fan(this.element, { onChoose: this.onChoose, onChange: () => this.draw() });
    this.describe();
    if (!globalThis.PointerEvent) this.apologize();
  }

  describe() {
    const attributes = {
      role: "slider",
      tabindex: "0",
      "aria-label": this.say("Valence and arousal"),
      "aria-roledescription": this.say("two-dimensional slider"),
      "aria-description": this.say(
        "Arrow keys move, with Shift in larger steps; Home goes to 0, 0; Page Up and Page Down cycle through the named emotions. With the mouse, Shift snaps to named emotions and a double click goes to 0, 0.",
      ),
      "aria-valuemin": -LIMIT,
      "aria-valuemax": LIMIT,
    };
    for (const [name, value] of Object.entries(attributes)) this.field.setAttribute(name, value);
    const title = this.say("Run the graph once whenever the point is let go");
    Object.assign(this.run, { type: "button", title });
    this.run.setAttribute("role", "switch");
    this.run.setAttribute("aria-label", this.say("Run when let go"));
    this.look.type = "button";
    this.fan.element.setAttribute("aria-label", this.say("Pictures round the point"));
  }

  /** Where no pointer is told of, nothing can be dragged. */
  apologize() {
    create(this.field, "p", "apology").textContent = this.say(
      "This browser cannot drag here: it has no pointer events. Use the arrow keys, or type the two numbers.",
    );
  }

  // ---- what comes from outside -----------------------------------------------------------------

  /**
   * Show a point (null: not known), and whether it is locked. To be called now and then: a point that is the
   * same at REST_CALLS calls has rested, unless it is still held. Cheap when nothing changed.
   */
  show(point, locked) {
    const known = point !== null;
    const next = point ?? this.point;
    if (locked !== this.locked || known !== this.known || !same(next, this.point)) {
      Object.assign(this, { point: next, known, locked, calls: 0 });
      if (locked) {
        this.closeFan();
        this.drop();
        this.start = null;
      }
      this.draw();
    } else if (this.pointer === null && ++this.calls === REST_CALLS) this.rest();
  }

  /** Where the point is now belongs to its trail. */
  rest() {
    if (!this.known || (this.trail.length && same(this.trail.at(-1), this.point))) return;
    this.trail = [...this.trail, this.point].slice(-TRAIL_LENGTH);
    this.drawTrail();
  }

  /** Whether letting the point go runs the graph. */
  showRuns(on) {
    if (on === this.runs) return;
    this.runs = on;
    this.draw();
  }

  /** Shade what lies beyond a measured range, given by its ends; nothing without one. */
  showRange(ends) {
    if (ends === this.range) return;
    this.range = ends;
    const border = ends?.map(({ valence, arousal }, index) => `${index ? "L" : "M"}${valence} ${-arousal}`).join("");
    this.shade.setAttribute("d", ends ? `M-3.4 -3.4H3.4V3.4H-3.4Z${border}Z` : "");
    this.draw();
  }

  /** Show a picture beside the words, where there is room for one; none without an address. */
  showPicture(address = "") {
    if (address !== this.picture.getAttribute("src")) this.picture.setAttribute("src", address);
  }

  /** Fit words and strokes to the zoom that the pad is shown at. */
  zoom(scale) {
    if (scale === this.scale) return;
    this.scale = scale;
    const far = scale < FAR;
    this.element.classList.toggle("far", far);
    this.element.classList.toggle("farthest", scale < FARTHEST);
    this.element.style.setProperty("--magnify", Math.min(far ? 2.4 : 1.5, Math.max(1, 0.9 / scale)));
  }

  // ---- what a person does ------------------------------------------------------------------------

  move(point) {
    const next = { valence: onGrid(point.valence), arousal: onGrid(point.arousal) };
    if (this.locked || same(next, this.point)) return;
    Object.assign(this, { point: next, calls: 0 });
    this.draw();
    this.onMove(next);
  }

  /** From here on the point is held. */
  take() {
    this.start ??= this.point;
    clearTimeout(this.pause);
  }

  letGo() {
    const { start } = this;
    this.start = null;
    if (start && !same(start, this.point)) this.onLetGo();
  }

  listen() {
    const { field, run, look } = this;
    field.addEventListener("pointerdown", (event) => this.press(event));
    field.addEventListener("pointermove", (event) => this.drag(event));
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"])
      field.addEventListener(kind, (event) => this.release(event));
    // Or a browser takes a swift swipe for a fling of the page, and the next tap for what stops it, not for a click.
    field.addEventListener("touchmove", (event) => event.cancelable && event.preventDefault(), { passive: false });
    for (const button of [run, look])
      button.addEventListener("pointerdown", (event) => event.button === 0 && event.stopPropagation());
    run.addEventListener("click", () => this.onSwitch(!this.runs));
    look.addEventListener("click", () => (this.fan.isOpen ? this.closeFan() : this.onLook()));
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.fan.isOpen) return;
      event.stopPropagation(); // it would close more than this
      this.closeFan();
      look.focus();
    });
    // Not on "dblclick": that comes after the mouseup with which ComfyUI notes a step for undo.
    field.addEventListener("mousedown", (event) => event.button === 0 && event.detail === 2 && this.reset());
    field.addEventListener("dblclick", (event) => event.stopPropagation());
    field.addEventListener("keydown", (event) => this.key(event));
    // ComfyUI notes a step for undo at the "change" of whatever had a key; a frame later, it listens for it.
    const changed = () => field.dispatchEvent(new Event("change"));
    field.addEventListener("keyup", (event) => this.target(event) && requestAnimationFrame(changed));
    for (const kind of ["keyup", "blur"]) field.addEventListener(kind, () => this.pauseKeys());
  }

  press(event) {
    if (event.button !== 0) return; // the others pan and open menus, as everywhere on the canvas
    event.stopPropagation();
    if (this.locked) return;
    this.pointer = event.pointerId;
    this.field.setPointerCapture(event.pointerId);
    this.element.classList.add("dragging");
    this.onPress();
    this.take();
    this.rest();
    this.follow(event);
  }

  drag(event) {
    if (event.pointerId !== this.pointer) return;
    event.stopPropagation();
    this.follow(event);
  }

  release(event) {
    if (event.pointerId !== this.pointer) return;
    event.stopPropagation();
    this.drop();
    if (event.type === "pointerup") this.letGo();
    else this.start = null; // taken away, not let go
  }

  drop() {
    this.pointer = null;
    this.element.classList.remove("dragging", "snapping");
  }

  reset() {
    this.drop();
    this.move({ valence: 0, arousal: 0 });
    this.letGo();
  }

  follow(event) {
    const box = this.plane.getBoundingClientRect(); // on the screen: whatever the zoom, ratios hold
    const point = {
      valence: LIMIT * ((2 * (event.clientX - box.left)) / box.width - 1),
      arousal: LIMIT * (1 - (2 * (event.clientY - box.top)) / box.height),
    };
    this.element.classList.toggle("snapping", event.shiftKey);
    this.move(event.shiftKey ? nearestEmotion(point) : point);
  }

  key(event) {
    const next = event.ctrlKey || event.metaKey || event.altKey ? null : this.target(event);
    if (!next) return;
    event.preventDefault(); // the page would scroll
    event.stopPropagation();
    this.take();
    this.move(next);
  }

  pauseKeys() {
    if (this.start === null || this.pointer !== null) return;
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.letGo(), PAUSE);
  }

  /** Where a key leads. */
  target({ key, shiftKey }) {
    const { valence, arousal } = this.point;
    if (key === "Home") return { valence: 0, arousal: 0 };
    if (key === "PageUp") return this.neighbour(1);
    if (key === "PageDown") return this.neighbour(-1);
    if (!(key in ARROWS)) return null;
    const [x, y] = ARROWS[key];
    const step = shiftKey ? COARSE : STEP;
    return { valence: valence + x * step, arousal: arousal + y * step };
  }

  /** The named emotion that follows the point counter-clockwise (1) or clockwise (-1). */
  neighbour(direction) {
    const order = direction > 0 ? ROUND : [...ROUND].reverse();
    const at = order.indexOf(emotionAt(this.point));
    if (at >= 0) return order[(at + 1) % order.length];
    const here = turn(this.point);
    return order.find((emotion) => direction * (turn(emotion) - here) > 0) ?? order[0];
  }

  /** The point of a picture round it. */
  choose(point) {
    this.closeFan();
    this.take();
    this.move(point);
    this.letGo();
    this.field.focus();
  }

  closeFan() {
    if (this.fan.drawing) this.onStop();
    this.fan.close();
  }

  // ---- words -------------------------------------------------------------------------------------

  /** How a point is called: "happy" on its place, "near happy" round it, "neutral" in the middle, else nothing. */
  nameOf(point) {
    const emotion = nearestEmotion(point);
    if (emotionAt(point)) return this.say(emotion.name);
    if (Math.hypot(point.valence, point.arousal) <= NEAR) return this.say("neutral");
    return distance(emotion, point) <= NEAR ? this.say("near {}").replace("{}", this.say(emotion.name)) : "";
  }

  spoken({ valence, arousal }, name) {
    const values = `${this.say("valence")} ${valence.toFixed(2)}, ${this.say("arousal")} ${arousal.toFixed(2)}`;
    return values + (name && `, ${name}`);
  }

  // ---- drawing -----------------------------------------------------------------------------------

  draw() {
    const { valence, arousal } = this.point;
    const emotion = emotionAt(this.point);
    const name = this.nameOf(this.point);
    place(this.dot, this.point);
    place(this.label, this.point);
    this.label.textContent = emotion ? name : "";
    this.label.classList.toggle("below", arousal > 2.3);
    const beyond = this.known && this.range && !isWithin(this.point, this.range);
    const words = [this.locked && this.say("linked"), this.known && name, beyond && this.say("beyond the range")];
    this.name.textContent = words.filter(Boolean).join(", ");
    this.numbers.textContent = this.known ? `${signed(valence)}, ${signed(arousal)}` : "";
    this.element.classList.toggle("locked", this.locked);
    this.element.classList.toggle("unknown", !this.known);
    this.run.setAttribute("aria-checked", this.runs);
    this.run.disabled = this.locked;
    this.drawLook();
    this.field.setAttribute("aria-readonly", this.locked);
    this.field.setAttribute("aria-valuenow", valence);
    const named = [name, beyond && this.say("beyond the range")].filter(Boolean).join(", ");
    const spoken = this.known ? this.spoken(this.point, named) : this.say("from a linked node");
    this.field.setAttribute("aria-valuetext", spoken);
    this.drawTrail();
  }

  drawLook() {
    const { drawing, isOpen } = this.fan;
    const way = drawing ? this.say("Cancel") : this.say("Close");
    const words = isOpen ? way : this.say("Look around");
    const title = isOpen ? way : this.say("Draw small pictures for the point and those round it");
    this.look.lastChild.textContent = words;
    this.look.setAttribute("aria-label", words);
    Object.assign(this.look, { title, disabled: this.locked });
    this.element.classList.toggle("looking", isOpen);
  }

  drawTrail() {
    const before = this.trail.filter((rest) => !same(rest, this.point));
    this.rests.forEach((element, age) => {
      const rest = before[before.length - 1 - age];
      element.hidden = !rest;
      if (rest) place(element, rest);
    });
    const points = before.length ? [...before, this.point] : [];
    this.path.setAttribute("d", points.map((p, i) => `${i ? "L" : "M"}${p.valence} ${-p.arousal}`).join(""));
  }
}
