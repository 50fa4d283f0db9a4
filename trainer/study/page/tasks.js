// What a participant sees of each kind of task: the question, the pictures, and something to answer with.

/** An element with properties, attributes (role and aria-...) and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties))
    /^(role$|aria-)/.test(name) ? element.setAttribute(name, value) : (element[name] = value);
  element.append(...children);
  return element;
}

const sourceOf = (name) => PLAN.sources[name] ?? `images/${name}`;

const GREYS = ["#999", "#333", "#ddd", "#666", "#000"];
const grey = (colour) =>
  `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path fill="${colour}" d="M0 0h9v9H0z"/></svg>`)}`;

const ENDS = {
  valence: ["Most unpleasant", "Most pleasant"],
  arousal: ["Calmest", "Most stirring"],
  practice: ["Darkest", "Brightest"],
};

const QUESTIONS = {
  practice: () => "Practice: darkest square first, brightest last.",
  order: ({ axis }) =>
    axis === "valence"
      ? "Sort by feeling: most unpleasant first, most pleasant last."
      : "Sort by feeling: calmest first, most stirring last.",
  estimate: ({ check, scale = "pad" }) =>
    check ? `No picture this time: to show that you read along, ${CHECKS[scale](check)}.`
      : `Which feeling does this picture show? ${ESTIMATES[scale].question}`,
  consistency: ({ check }) =>
    check ? `No picture this time: to show that you read along, choose ${check}.`
      : "How well do the pictures change as the arrows say?",
  smoothness: () => "How smoothly do these pictures change from one to the next?",
};

const CHECKS = {
  pad: (corner) => `put the point into the corner at the ${corner}`,
  "affective-slider": (corner) => {
    const [height, side] = corner.split(" ");
    return `move the upper slider to its ${side} end and the lower one to its ${height === "top" ? "right" : "left"} end`;
  },
  "affect-grid": (corner) => `choose the square in the corner at the ${corner}`,
};

/** What is particular to each of the things that a feeling is estimated with. */
const ESTIMATES = {
  pad: {
    view: (...given) => new Pad(...given),
    question: "Put the point there.",
    missing: "Please put the point into the field first.",
    instructions: [
      "You will see one picture at a time, and a field. Tap or click the place in the field that fits the feeling that the " +
        "picture shows. You can move the point, also with the two sliders.",
      "Left is unpleasant, right is pleasant. Up is stirring (excited, tense, alarmed), down is calm (sleepy, still, at rest). " +
        "The middle is neutral. The further out, the stronger.",
      "The words in the corners help you to find your way. There is no right or wrong.",
    ],
  },
  "affective-slider": {
    view: (...given) => new Sliders(...given),
    question: "Move both sliders.",
    missing: "A slider has not been moved. If its middle is what you mean, press Next again.",
    instructions: [
      "You will see one picture at a time, and two sliders. Move both to the places that fit the feeling that the picture shows.",
      "The upper slider goes from unpleasant on the left to pleasant on the right. The lower one goes from calm (sleepy, still, at " +
        "rest) on the left to stirring (excited, tense, alarmed) on the right.",
      "The middle is neutral. The further out, the stronger. There is no right or wrong.",
    ],
  },
  "affect-grid": {
    view: (...given) => new AffectGrid(...given),
    question: "Choose one square.",
    missing: "Please choose a square first.",
    instructions: [
      "You will see one picture at a time, and a grid of squares. Tap or click the square that fits the feeling that the picture " +
        "shows. Choose another one to change it; the arrow keys move it, too.",
      "Left is unpleasant, right is pleasant. Up is stirring (excited, tense, alarmed), down is calm (sleepy, still, at rest). " +
        "The square in the middle is neutral. The further out, the stronger.",
      "The words around the grid help you to find your way. There is no right or wrong.",
    ],
  },
};

const RATINGS = {
  consistency: ["not at all", "completely"],
  smoothness: ["in sudden jumps", "very smoothly"],
};

const INSTRUCTIONS = {
  order: ({ axis }) => [
    axis === "valence" ? "Put pictures in order: how pleasant" : "Put pictures in order: how stirring",
    "You will see five pictures at a time. Put them in order by dragging them, with the arrow buttons beside them, or with " +
      "the arrow keys. Tap a picture to see it large.",
    axis === "valence"
      ? "In this part, go by how pleasant the feeling is that the picture shows: from very unpleasant (such as misery, " +
        "fear or disgust) to very pleasant (such as joy or comfort). It does not matter how strong or how calm it is."
      : "In this part, go by how stirring the feeling is that the picture shows: from calm (sleepy, still, at rest) to " +
        "stirring (excited, tense, alarmed or thrilled). It does not matter whether it is pleasant.",
    "There is no right or wrong: it is your impression that counts.",
  ],
  estimate: ({ scale = "pad" }) => ["Say how a picture feels", ...ESTIMATES[scale].instructions],
  consistency: () => [
    "Pictures in a square",
    "You will see 25 pictures in a square. From left to right their feeling should become more pleasant, and from bottom to " +
      "top more stirring (excited, tense, alarmed). Rate how well the pictures follow that: 5 if the feeling changes as it " +
      "should everywhere, 1 if it does not. Tap a picture to see it large.",
  ],
  smoothness: () => [
    "Pictures in a row",
    "You will see five pictures in a row. Rate how smoothly they change from one to the next: 5 if the change is gradual and " +
      "even, 1 if it comes in sudden jumps.",
  ],
};

// ---- pictures ------------------------------------------------------------------------------------

function showLarge(source) {
  const dialog = document.getElementById("large");
  dialog.querySelector("img").src = source;
  dialog.showModal();
}

function picture(name, label) {
  const source = sourceOf(name);
  const button = make("button", { type: "button", className: "picture", "aria-label": `${label}. Enter shows it large.` });
  button.append(make("img", { src: source, alt: "", draggable: false }));
  button.addEventListener("click", () => showLarge(source));
  return button;
}

// ---- things to answer with -----------------------------------------------------------------------

function rating([low, high], value, question, onChange) {
  const choices = [1, 2, 3, 4, 5].map((number) => {
    const says = number === 1 ? `1, ${low}` : number === 5 ? `5, ${high}` : String(number);
    const input = make("input", { type: "radio", name: "rating", value: number, checked: value === number, "aria-label": says });
    input.addEventListener("change", () => onChange(number));
    return make("label", {}, input, make("span", { "aria-hidden": "true" }, String(number)));
  });
  const ends = make("p", { className: "ends", "aria-hidden": "true" }, make("span", {}, `1 = ${low}`), make("span", {}, `5 = ${high}`));
  const legend = make("legend", { className: "unseen" }, question);
  return make("fieldset", { className: "rating" }, legend, make("div", { className: "choices" }, ...choices), ends);
}

const VIEWS = {
  practice(task, value, onChange) {
    const pictures = GREYS.map((colour) => ({ name: colour, source: grey(colour) }));
    return [new Ordering(pictures, value ?? GREYS, ENDS.practice, onChange).element];
  },
  order(task, value, onChange) {
    const pictures = task.images.map((name) => ({ name, source: sourceOf(name) }));
    return [new Ordering(pictures, value ?? task.images, ENDS[task.axis], onChange).element];
  },
  estimate(task, value, onChange) {
    const shown = task.images.map((name) => picture(name, "The picture"));
    const { element } = ESTIMATES[task.scale ?? "pad"].view(value, onChange);
    return [make("div", { className: "beside" }, ...shown, element)];
  },
  consistency(task, value, onChange) {
    const side = Math.sqrt(task.images.length);
    const place = (index) => `Picture in row ${Math.floor(index / side) + 1}, column ${(index % side) + 1}`;
    const shown = task.images.map((name, index) => make("li", {}, picture(name, place(index))));
    const arrows = ["↑ more stirring", "more pleasant →"].map((text) => make("p", { className: "end" }, text));
    const square = shown.length ? [arrows[0], make("ol", { className: "square" }, ...shown), arrows[1]] : [];
    return [...square, rating(RATINGS.consistency, value, QUESTIONS.consistency(task), onChange)];
  },
  smoothness(task, value, onChange) {
    const row = task.images.map((name, index) => make("li", {}, picture(name, `Picture ${index + 1} of ${task.images.length}`)));
    return [
      make("ol", { className: "row" }, ...row),
      rating(RATINGS.smoothness, value, QUESTIONS.smoothness(task), onChange),
    ];
  },
};

// ---- is it answered? -----------------------------------------------------------------------------

const MISSING = {
  practice: () => "Please move the squares first.",
  order: () => "You have not moved a picture. If this is the order you mean, press Next again.",
  estimate: ({ scale = "pad" }) => ESTIMATES[scale].missing,
  consistency: () => "Please choose a number from 1 to 5 first.",
  smoothness: () => "Please choose a number from 1 to 5 first.",
};

/** What stands there untouched, and can be meant: the order that is shown, or a slider's middle. */
function untouched(task) {
  if (task.kind === "order") return task.images;
  return task.scale === "affective-slider" ? [0, 0] : null;
}

const isWhole = (value) => value !== null && !(Array.isArray(value) && value.includes(null));

const BRIGHTER = [...GREYS].sort();

function practised(order) {
  return order.every((colour, index) => colour === BRIGHTER[index]);
}
