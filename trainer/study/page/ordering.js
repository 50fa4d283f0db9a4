// Pictures to be put in order: by dragging (mouse, pen, finger), with arrow keys, or with the buttons beside them.

const THRESHOLD = 8; // pixels that a pointer moves before it drags; less is a tap
const EDGE = 70; // pixels from the window's edge within which a drag scrolls
const SLACK = 12; // pixels that a picture may be dragged beyond the first and the last place
const BACKWARD = ["ArrowLeft", "ArrowUp"];
const FORWARD = ["ArrowRight", "ArrowDown"];

/** How far a picture may go along an axis: hardly beyond the outer places, or the page would grow with it. */
function within(places, axis, from, shift) {
  const all = places.map((place) => place[axis] - places[from][axis]);
  return Math.max(Math.min(...all) - SLACK, Math.min(Math.max(...all) + SLACK, shift));
}

class Ordering {
  /**
   * @param {{name: string, source: string}[]} pictures in the order they are shown at first
   * @param {string[]} order names, as they were left
   * @param {[string, string]} ends what the first and the last place mean
   * @param {(order: string[]) => void} onChange
   */
  constructor(pictures, order, ends, onChange) {
    this.order = order;
    this.onChange = onChange;
    this.drag = null;
    this.list = make("ol", { className: "pictures" });
    this.status = make("p", { className: "unseen", role: "status" });
    this.items = new Map(pictures.map((picture, index) => [picture.name, this.item(picture, "ABCDE"[index])]));
    const [low, high] = ends.map((text) => make("p", { className: "end" }, text));
    this.element = make("div", { className: "ordering" }, low, this.list, high, this.status);
    this.draw();
  }

  item({ name, source }, letter) {
    const image = make("img", { src: source, alt: "", draggable: false });
    const picture = make("button", { type: "button", className: "picture" }, image);
    const place = make("span", { className: "place", "aria-hidden": "true" });
    const earlier = make("button", { type: "button", className: "step earlier" });
    const later = make("button", { type: "button", className: "step later" });
    const item = make("li", {}, place, picture, make("span", { className: "steps" }, earlier, later));
    Object.assign(item, { letter, picture, place, earlier, later, source });
    picture.addEventListener("pointerdown", (event) => this.press(event, name));
    picture.addEventListener("pointermove", (event) => this.move(event));
    picture.addEventListener("pointerup", (event) => this.release(event, true));
    picture.addEventListener("pointercancel", (event) => this.release(event, false));
    picture.addEventListener("contextmenu", (event) => event.preventDefault()); // of a long press
    // A drag ends in a click, too; those of the keyboard have no detail.
    picture.addEventListener("click", (event) => (this.dragged && event.detail > 0) || showLarge(source));
    picture.addEventListener("keydown", (event) => this.key(event, name));
    earlier.addEventListener("click", () => this.put(name, this.order.indexOf(name) - 1, earlier));
    later.addEventListener("click", () => this.put(name, this.order.indexOf(name) + 1, later));
    return item;
  }

  draw() {
    const last = this.order.length - 1;
    this.order.forEach((name, index) => {
      const item = this.items.get(name);
      item.style.transform = "";
      item.place.textContent = index + 1;
      item.earlier.disabled = index === 0;
      item.later.disabled = index === last;
      item.earlier.setAttribute("aria-label", `Move picture ${item.letter} one place earlier`);
      item.later.setAttribute("aria-label", `Move picture ${item.letter} one place later`);
      const says = `Picture ${item.letter}, place ${index + 1} of ${last + 1}. Arrow keys move it, Enter shows it large.`;
      item.picture.setAttribute("aria-label", says);
    });
    const wanted = this.order.map((name) => this.items.get(name));
    if (wanted.some((item, index) => item !== this.list.children[index])) this.list.append(...wanted);
  }

  /** Move a picture to a place; the focus stays where it was. */
  put(name, index, focused) {
    const to = Math.max(0, Math.min(this.order.length - 1, index));
    if (to === this.order.indexOf(name)) return;
    const rest = this.order.filter((other) => other !== name);
    this.order = [...rest.slice(0, to), name, ...rest.slice(to)];
    this.draw();
    const item = this.items.get(name);
    (focused.disabled ? item.picture : focused).focus({ preventScroll: true });
    this.status.textContent = `Picture ${item.letter} is now at place ${to + 1} of ${this.order.length}.`;
    this.onChange(this.order);
  }

  key(event, name) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.order.indexOf(name);
    const steps = { Home: 0, End: this.order.length - 1 };
    for (const key of BACKWARD) steps[key] = at - 1;
    for (const key of FORWARD) steps[key] = at + 1;
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.put(name, steps[event.key], this.items.get(name).picture);
    this.items.get(name).scrollIntoView({ block: "nearest" });
  }

  // ---- dragging --------------------------------------------------------------------------------

  press(event, name) {
    if (event.button !== 0 || this.drag) return;
    this.dragged = false;
    event.currentTarget.setPointerCapture(event.pointerId);
    const places = this.order.map((each) => {
      const box = this.items.get(each).getBoundingClientRect();
      return { x: box.left + box.width / 2, y: box.top + box.height / 2 + window.scrollY };
    });
    const from = this.order.indexOf(name);
    const start = { x: event.clientX, y: event.clientY + window.scrollY };
    this.drag = { pointer: event.pointerId, name, places, from, to: from, start, now: event };
  }

  move(event) {
    const { drag } = this;
    if (event.pointerId !== drag?.pointer) return;
    drag.now = event;
    if (!this.dragged) {
      const far = Math.hypot(event.clientX - drag.start.x, event.clientY + window.scrollY - drag.start.y);
      if (far < THRESHOLD) return;
      this.dragged = true;
      this.items.get(drag.name).classList.add("dragging");
      requestAnimationFrame(() => this.scroll(drag));
    }
    this.follow(drag);
  }

  /** The picture goes with the pointer, the others make room. */
  follow(drag) {
    const { places, from, now } = drag;
    const x = within(places, "x", from, now.clientX - drag.start.x);
    const y = within(places, "y", from, now.clientY + window.scrollY - drag.start.y);
    const far = (place) => Math.hypot(place.x - places[from].x - x, place.y - places[from].y - y);
    drag.to = places.reduce((best, place, index) => (far(place) < far(places[best]) ? index : best), 0);
    this.order.forEach((name, index) => {
      const passed = (index > from && index <= drag.to ? -1 : 0) + (index < from && index >= drag.to ? 1 : 0);
      const shift = { x: places[index + passed].x - places[index].x, y: places[index + passed].y - places[index].y };
      const by = index === from ? { x, y } : shift;
      this.items.get(name).style.transform = `translate(${by.x}px, ${by.y}px)`;
    });
  }

  scroll(drag) {
    if (this.drag !== drag) return;
    const y = drag.now.clientY;
    const speed = y < EDGE ? -8 : y > window.innerHeight - EDGE ? 8 : 0;
    const before = window.scrollY;
    if (speed) window.scrollBy({ top: speed, behavior: "instant" });
    if (window.scrollY !== before) this.follow(drag);
    requestAnimationFrame(() => this.scroll(drag));
  }

  release(event, meant) {
    const { drag } = this;
    if (event.pointerId !== drag?.pointer) return;
    this.drag = null;
    const item = this.items.get(drag.name);
    item.classList.remove("dragging");
    for (const other of this.items.values()) other.style.transform = "";
    if (meant && this.dragged) this.put(drag.name, drag.to, item.picture);
  }
}
