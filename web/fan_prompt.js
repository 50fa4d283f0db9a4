// Makes a small prompt of a big one: from a point of the pad to the first picture that it leads to, once per point of a
// fan, drawn small. Prompts are in the API's format, {id: {class_type, inputs}}; a link is [id, output].

const LONGEST = 512; // pixels of the longer side
const STEPS = 8;
const GRAIN = 64; // pixels: every family of models takes multiples of it
const SAMPLING = ["LATENT", "SIGMAS"];

/** No picture follows the point. */
export class NoPicture extends Error {}

/**
 * The prompt of a fan. What the points do not change is in it once; the picture of the point at index i is shown by the
 * node `look i`.
 * @param {object} prompt of the whole graph; stays as it is
 * @param {Array<Map<string, object>>} points what each point sets: a node's id -> {input: value}, the same for all
 * @param {(kind: string) => string[]} outputsOf the types of a class's outputs
 * @throws {NoPicture}
 */
export function fanPrompt(prompt, points, outputsOf) {
  const moved = [...points[0].keys()];
  const [picture, output] = nextPicture(prompt, moved, outputsOf);
  const needed = reached([picture], (id) => sources(prompt, id));
  const changed = reached(moved, (id) => followers(prompt, id)).filter((id) => needed.includes(id));
  const small = Object.fromEntries(needed.map((id) => [id, smaller(prompt[id], outputsOf)]));
  const fan = Object.fromEntries(needed.filter((id) => !changed.includes(id)).map((id) => [id, small[id]]));
  points.forEach((values, index) => {
    // Not "7:3 look 0": a colon stands between a subgraph and what is in it, and the interface would search for that.
    const copy = (id) => (changed.includes(id) ? `${id.replaceAll(":", ".")} look ${index}` : id);
    for (const id of changed) fan[copy(id)] = relinked(small[id], values.get(id), copy);
    fan[`look ${index}`] = { class_type: "PreviewImage", inputs: { images: [copy(picture), output] } };
  });
  return fan;
}

function relinked({ class_type, inputs }, values = {}, copy) {
  const links = Object.entries(inputs).map(([name, value]) => [name, isLink(value) ? [copy(value[0]), value[1]] : value]);
  return { class_type, inputs: { ...Object.fromEntries(links), ...values } };
}

function isLink(value) {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === "string";
}

function sources(prompt, id) {
  return Object.values(prompt[id].inputs)
    .filter((value) => isLink(value) && value[0] in prompt)
    .map(([source]) => source);
}

function followers(prompt, id) {
  return Object.keys(prompt).filter((other) => sources(prompt, other).includes(id));
}

/** These nodes and all behind them, the nearer ones first. */
function reached(ids, next) {
  const found = new Set(ids);
  for (const id of found) for (const other of next(id)) found.add(other); // a Set's loop comes to what it adds
  return [...found];
}

/** The link to the first picture behind these nodes: what enlarges or saves it comes later, and is left out. */
function nextPicture(prompt, ids, outputsOf) {
  for (const id of reached(ids, (one) => followers(prompt, one))) {
    const output = outputsOf(prompt[id].class_type).indexOf("IMAGE");
    if (output >= 0) return [id, output];
  }
  throw new NoPicture();
}

/** A node with fewer steps and pixels, if it has some. */
function smaller({ class_type, inputs }, outputsOf) {
  const less = { ...inputs };
  if (outputsOf(class_type).some((type) => SAMPLING.includes(type))) {
    if (isNumber(less.width) && isNumber(less.height)) shrink(less);
    if (isNumber(less.steps)) shorten(less);
    for (const name of ["batch_size", "length"]) if (isNumber(less[name])) less[name] = 1; // length: a video's frames
  }
  return { class_type, inputs: less };
}

function isNumber(value) {
  return Number.isFinite(value);
}

function shrink(inputs) {
  const scale = LONGEST / Math.max(inputs.width, inputs.height);
  if (scale >= 1) return;
  for (const side of ["width", "height"])
    inputs[side] = Math.max(GRAIN, GRAIN * Math.round((inputs[side] * scale) / GRAIN));
}

/** Samplers that share the steps keep their shares. */
function shorten(inputs) {
  const scale = STEPS / inputs.steps;
  if (scale >= 1) return;
  for (const name of ["steps", "start_at_step", "end_at_step"])
    if (isNumber(inputs[name])) inputs[name] = Math.round(inputs[name] * scale);
}
