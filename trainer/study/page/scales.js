// Two scales of the literature in the pad's place. Both give valence and arousal as the pad does, from -3 to 3.

/** One of our own faces, drawn in a square of 64 x 64. */
function face(...parts) {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" fill="none" stroke="#1b1d21" stroke-width="3.5" ' +
    `stroke-linecap="round"><circle cx="32" cy="32" r="29" fill="#fff"/>${parts.join("")}</svg>`;
  return make("img", { className: "face", alt: "", draggable: false, src: `data:image/svg+xml,${encodeURIComponent(svg)}` });
}

const curve = (path) => `<path d="${path}"/>`;
const eyes = (radius, fill) => [22, 42].map((x) => `<circle cx="${x}" cy="26" r="${radius}" fill="${fill}"/>`).join("");
const PUPILS = eyes(2, "#1b1d21");

const FACES = {
  unpleasant: () => face(PUPILS, curve("M18 49q14-15 28 0")),
  pleasant: () => face(PUPILS, curve("M16 38q16 20 32 0")),
  calm: () => face(curve("M16 27q6 5 12 0M36 27q6 5 12 0"), curve("M27 46h10")),
  stirring: () => face(eyes(7.5, "none"), PUPILS, curve("M16 12q5-4 10-1M48 12q-5-4-10-1"), curve("M32 41a6 7 0 1 0 .1 0z")),
};

const SLIDER_STEP = 0.06; // a hundredth of the way
const CELLS = 9;
const CELL_STEP = (2 * LIMIT) / (CELLS - 1);

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], " ": [0, 0] };

const ENDS_OF_SCALES = [
  { label: "Unpleasant to pleasant", low: "unpleasant", high: "pleasant" },
  { label: "Calm to stirring", low: "calm", high: "stirring" },
];

/**
 * The Affective Slider (Betella and Verschure, PLoS ONE 11(2), 2016): a slider for pleasure and one for arousal, both in
 * view, their thumbs in the middle, faces at their ends and wedges for the intensity instead of words and numbers.
 */
class Sliders {
  /**
   * @param {[number | null, number | null] | null} value as it was left; null: not moved yet
   * @param {(value: [number | null, number | null]) => void} onChange
   */
  constructor(value, onChange) {
    this.value = value ?? [null, null];
    const rows = ENDS_OF_SCALES.map((axis, index) => this.row(axis, index, onChange));
    this.element = make("div", { className: "affective" }, ...rows);
  }

  row({ label, low, high }, index, onChange) {
    const range = { type: "range", min: -LIMIT, max: LIMIT, step: SLIDER_STEP, value: this.value[index] ?? 0 };
    const input = make("input", { ...range, "aria-label": label });
    const tell = () => input.setAttribute("aria-valuetext", this.words(index, low, high));
    input.addEventListener("input", () => {
      this.value = this.value.map((before, axis) => (axis === index ? Number(input.value) : before));
      tell();
      onChange(this.value);
    });
    tell();
    const wedges = make("i", { className: "wedges", "aria-hidden": "true" });
    return make("div", { className: "scale" }, FACES[low](), make("div", {}, input, wedges), FACES[high]());
  }

  words(axis, low, high) {
    const value = this.value[axis];
    if (value === null) return "not moved, in the middle";
    return value ? `${Math.round((100 * Math.abs(value)) / LIMIT)} percent ${value < 0 ? low : high}` : "in the middle";
  }
}

/**
 * The Affect Grid (Russell, Weiss and Mendelsohn, Journal of Personality and Social Psychology 57(3), 1989): one of 9 x 9
 * squares, pleasure to the right and arousal upwards.
 */
class AffectGrid {
  /**
   * @param {[number, number] | null} value valence and arousal
   * @param {(value: [number, number]) => void} onChange
   */
  constructor(value, onChange) {
    this.onChange = onChange;
    this.cells = Array.from({ length: CELLS * CELLS }, (_, index) => this.cell(index));
    this.grid = make("div", { className: "cells", role: "radiogroup", "aria-label": "Square of the grid" }, ...this.cells);
    const words = ["stress", "stirring", "excitement", "unpleasant", "pleasant", "depression", "calm", "relaxation"];
    const around = words.map((word) => make("span", { className: `at-${word}`, "aria-hidden": "true" }, word));
    this.element = make("div", { className: "affect-grid" }, this.grid, ...around);
    this.grid.addEventListener("click", (event) => this.choose(this.cells.indexOf(event.target)));
    this.grid.addEventListener("keydown", (event) => this.key(event));
    this.chosen = value ? this.indexOf(value) : -1;
    this.draw();
  }

  cell(index) {
    const [column, row] = [index % CELLS, CELLS - 1 - Math.floor(index / CELLS)];
    const label = `pleasant ${column + 1} of ${CELLS}, stirring ${row + 1} of ${CELLS}`;
    return make("i", { role: "radio", "aria-label": label, title: "" });
  }

  indexOf([valence, arousal]) {
    const [column, down] = [valence + LIMIT, LIMIT - arousal].map((way) => Math.round(way / CELL_STEP));
    return down * CELLS + column;
  }

  choose(index) {
    if (index < 0) return; // between the squares
    this.chosen = index;
    this.draw();
    this.cells[index].focus();
    const [column, down] = [index % CELLS, Math.floor(index / CELLS)];
    this.onChange([column * CELL_STEP - LIMIT, LIMIT - down * CELL_STEP]);
  }

  key(event) {
    const at = this.chosen < 0 ? this.middle : this.chosen;
    const [right, down] = KEYS[event.key] ?? [];
    if (right === undefined) return;
    event.preventDefault(); // the page would scroll
    const within = (place) => Math.max(0, Math.min(CELLS - 1, place));
    this.choose(within(Math.floor(at / CELLS) + down) * CELLS + within((at % CELLS) + right));
  }

  get middle() {
    return (CELLS * CELLS - 1) / 2;
  }

  draw() {
    const reached = this.chosen < 0 ? this.middle : this.chosen; // by the tab key
    this.cells.forEach((cell, index) => {
      cell.tabIndex = index === reached ? 0 : -1;
      cell.setAttribute("aria-checked", index === this.chosen);
    });
  }
}
