"use strict";

// Three ways to answer, each a form on the scale from 1 to 9: its HTML, what it needs once it is shown, and what its
// fields say.

const AXES = {
  valence: { question: "How pleasant does it make you feel?", low: "Unpleasant", high: "Pleasant" },
  arousal: { question: "How stirred does it make you feel?", low: "Calm", high: "Stirred" },
};
const POINTS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const MIDDLE = 5;

function ninePoints(name) {
  const { question, low, high } = AXES[name];
  const point = (value) =>
    `<label><input type="radio" name="${name}" value="${value}" required><span>${value}</span></label>`;
  return `<fieldset class="points"><legend>${question}</legend>
    <b>${low}</b>${POINTS.map(point).join("")}<b>${high}</b></fieldset>`;
}

function slider(name) {
  const { low, high } = AXES[name];
  return `<p class="slider"><b>${low}</b>
    <input type="range" name="${name}" min="1" max="9" step="0.01" value="${MIDDLE}" aria-label="${low} to ${high}">
    <b>${high}</b></p>`;
}

function cell(valence, arousal) {
  const label = `pleasantness ${valence}, arousal ${arousal}`;
  return `<td><label><input type="radio" name="point" value="${valence},${arousal}" aria-label="${label}" required>
    <span></span></label></td>`;
}

/** A slider's thumb stands in the middle until it is touched: an untouched one is no answer. */
function waitUntilTouched() {
  const waiting = new Set(document.querySelectorAll("input[type=range]"));
  const next = document.querySelector("input[type=submit]");
  next.disabled = true;
  for (const input of waiting) {
    for (const kind of ["pointerdown", "keydown", "input"]) {
      input.addEventListener(kind, (event) => {
        if (event.key === "Tab") return;
        waiting.delete(input);
        next.disabled = waiting.size > 0;
      });
    }
  }
}

const ANSWERS = {
  "nine-point": {
    html: ninePoints("valence") + ninePoints("arousal"),
    shown: () => {},
    read: ({ valence, arousal }) => [Number(valence), Number(arousal)],
  },
  // Both sliders in view, thumbs in the middle, no ticks and no numbers (Betella and Verschure, 2016).
  "affective-slider": {
    html: `<p>How do you feel? Move both.</p>${slider("arousal")}${slider("valence")}`,
    shown: waitUntilTouched,
    read: ({ valence, arousal }) => [Number(valence), Number(arousal)],
  },
  // 9 x 9 squares with the four corners' words (Russell, Weiss and Mendelsohn, 1989).
  "affect-grid": {
    html: `<p>How do you feel? Mark a square.</p><table class="grid">
      <tr><th>Stress</th><th colspan="7">Stirred</th><th>Excitement</th></tr>
      ${[...POINTS].reverse().map((a) => `<tr>${POINTS.map((v) => cell(v, a)).join("")}</tr>`).join("")}
      <tr><th>Depression</th><th colspan="7">Calm</th><th>Relaxation</th></tr></table>
      <p class="ends"><b>Unpleasant</b><b>Pleasant</b></p>`,
    shown: () => {},
    read: ({ point }) => point.split(",").map(Number),
  },
};
