// The field on which a feeling is pointed at: pleasantness to the right, arousal upwards, both from -3 to 3. The words
// are those of the Affect Grid (Russell, Weiss and Mendelsohn, 1989). The two sliders do the same without pointing.

const LIMIT = 3;
const STEPS = 10; // for each unit

function onGrid(value) {
  return Math.round(Math.max(-LIMIT, Math.min(LIMIT, value)) * STEPS) / STEPS + 0; // + 0: no minus zero
}

class Pad {
  /**
   * @param {[number, number] | null} value valence and arousal, as they were left
   * @param {(value: [number, number]) => void} onChange
   */
  constructor(value, onChange) {
    this.onChange = onChange;
    this.value = value;
    this.pointer = null;
    this.point = make("i", { className: "point" });
    const words = ["stress", "excitement", "depression", "relaxation"];
    const ends = ["stirring", "unpleasant", "pleasant", "calm"];
    this.field = make(
      "div",
      { className: "field", "aria-hidden": "true" }, // the sliders say it
      ...ends.map((word) => make("b", { className: word }, word)),
      ...words.map((word) => make("span", { className: word }, word)),
      this.point,
    );
    this.sliders = [
      this.slider("Unpleasant to pleasant", "Unpleasant", "Pleasant"),
      this.slider("Calm to stirring", "Calm", "Stirring"),
    ];
    this.element = make("div", { className: "pad" }, this.field, ...this.sliders.map((slider) => slider.row));
    this.listen();
    this.draw();
  }

  slider(label, low, high) {
    const attributes = { type: "range", min: -LIMIT, max: LIMIT, step: 1 / STEPS, value: 0, "aria-label": label };
    const input = make("input", attributes);
    const row = make("p", { className: "slider" }, make("span", {}, low), input, make("span", {}, high));
    input.addEventListener("input", () => this.set(this.sliders.map((each) => Number(each.input.value))));
    return { row, input, low, high };
  }

  listen() {
    this.field.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.pointer !== null) return;
      this.pointer = event.pointerId;
      this.field.setPointerCapture(event.pointerId);
      this.follow(event);
    });
    this.field.addEventListener("pointermove", (event) => event.pointerId === this.pointer && this.follow(event));
    for (const kind of ["pointerup", "pointercancel"])
      this.field.addEventListener(kind, (event) => event.pointerId === this.pointer && (this.pointer = null));
  }

  follow(event) {
    const box = this.field.getBoundingClientRect();
    const right = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
    this.set([LIMIT * (2 * right - 1), LIMIT * (1 - 2 * down)]);
  }

  set(value) {
    this.value = value.map(onGrid);
    this.draw();
    this.onChange(this.value);
  }

  draw() {
    this.point.hidden = this.value === null;
    const [valence, arousal] = this.value ?? [0, 0];
    this.point.style.left = `${(50 * (valence + LIMIT)) / LIMIT}%`;
    this.point.style.top = `${(50 * (LIMIT - arousal)) / LIMIT}%`;
    [valence, arousal].forEach((number, axis) => {
      const { input, low, high } = this.sliders[axis];
      input.value = number;
      const side = (number < 0 ? low : high).toLowerCase();
      const says = this.value === null ? "not set" : number ? `${Math.abs(number)} of 3, ${side}` : "in the middle";
      input.setAttribute("aria-valuetext", says);
    });
  }
}
