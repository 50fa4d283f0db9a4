// The way through a study: consent, the parts with their instructions, the tasks, and the end.

const screen_ = document.getElementById("screen");
const noticeBox = document.getElementById("notice");
let session = null;
let tasks = [];
let asked = false; // whether an untouched order was pointed out
let keeping = storage !== null; // whether the browser keeps the answers
let saved = false; // whether the file was downloaded or copied
let watch = 0; // when the task came into view
let spent = 0; // milliseconds on the task before that

function notice(text) {
  noticeBox.hidden = !text;
  noticeBox.textContent = text;
}

/** Show a screen: its heading takes the focus, so that it is read out. */
function show(heading, ...content) {
  notice("");
  notKept.hidden = keeping; // only here: below a finger, nothing may move
  const title = make("h1", { tabIndex: -1 }, heading);
  screen_.replaceChildren(title, ...content);
  window.scrollTo(0, 0);
  title.focus({ preventScroll: true });
  for (const image of screen_.querySelectorAll("img")) image.addEventListener("error", pictureMissing);
}

function pictureMissing() {
  notice(`A picture could not be loaded. Is the folder "images" beside this page? If reloading does not help, tell ${PLAN.contact}.`);
}

function button(text, onClick, className = "") {
  const element = make("button", { type: "button", className }, text);
  element.addEventListener("click", onClick);
  return element;
}

const paragraphs = (texts) => texts.map((text) => make("p", {}, text));

function keep() {
  keeping = keepSession(session);
}

const notKept = make(
  "p",
  { className: "warning", hidden: true },
  "This browser does not keep your answers. Do not reload or close this page before you have saved them at the end.",
);
screen_.before(notKept);

// ---- the start -----------------------------------------------------------------------------------

function numberInLink() {
  const given = new URLSearchParams(location.search).get("p");
  return given === null ? null : /^\d{1,4}$/.test(given) ? Number(given) : NaN;
}

const isNumber = (number) => NUMBERS.includes(number);

function start() {
  document.getElementById("progress").hidden = true;
  const linked = numberInLink();
  if (linked !== null && !isNumber(linked))
    return show("This link is not right", ...paragraphs([
      `The participant number in it is not one of 1 to ${PLAN.participants.length}. Please ask ${PLAN.contact} for the right link.`,
    ]));
  const kept = linked ? [keptSession(linked)].filter(Boolean) : keptSessions();
  if (kept.length > 1) return whoIsIt(kept);
  kept.length ? welcomeBack(kept[0]) : consent(linked);
}

const somebodyElse = () => button("I am somebody else", () => consent(null));

/** Without a number in the link, all who have begun on this device come by the same page. */
function whoIsIt(kept) {
  const choices = kept.map((each) => button(`Participant ${each.participant}: ${answered(each)}`, () => welcomeBack(each)));
  show(
    "Who are you?",
    ...paragraphs(["Several people have begun on this device."]),
    make("p", { className: "actions" }, ...choices, somebodyElse()),
  );
}

function answered(kept) {
  const all = PLAN.participants[kept.participant - 1].length;
  return `${Object.keys(kept.answers).length} of ${all} questions`;
}

function welcomeBack(kept) {
  show(
    "Welcome back",
    ...paragraphs([
      `You are participant ${kept.participant}.`,
      kept.finished
        ? "You have answered everything. Your answers are still on this device."
        : `You have answered ${answered(kept)}. You can go on where you stopped.`,
    ]),
    make(
      "p",
      { className: "actions" },
      button(kept.finished ? "To the end page" : "Go on", () => resume(kept), "main"),
      ...(numberInLink() === null ? [somebodyElse()] : []),
    ),
    button("Delete these answers and start anew", () => forget(kept), "quiet"),
  );
}

function resume(kept) {
  session = kept;
  tasks = PLAN.participants[session.participant - 1];
  next();
}

function forget(kept) {
  if (!confirm("Delete the answers on this device? This cannot be undone.")) return;
  forgetSession(kept.participant);
  session = null;
  start();
}

function consent(linked) {
  const number = make("input", { type: "text", inputMode: "numeric", pattern: "[0-9]*", autocomplete: "off", id: "number", size: 5 });
  const agree = make("input", { type: "checkbox", required: true, id: "agree" });
  const whose = linked
    ? [make("p", {}, `You are participant ${linked}.`)]
    : [make("p", {}, make("label", { htmlFor: "number" }, "Your participant number, if you were given one: "), number)];
  const form = make(
    "form",
    {},
    ...whose,
    make("p", { className: "agree" }, agree, make("label", { htmlFor: "agree" }, "I have read this. I am 18 years or older, and I take part of my own free will.")),
    make("button", { className: "main" }, "Start"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    begin(linked ?? number.value.trim());
  });
  show(PLAN.title, ...paragraphs(PLAN.consent), form);
}

/** A number that nobody has begun with on this device; undefined if all have. */
function drawNumber() {
  const free = NUMBERS.filter((number) => !keptSession(number));
  return free[crypto.getRandomValues(new Uint32Array(1))[0] % free.length];
}

function begin(given) {
  const drawn = given === "";
  const participant = drawn ? drawNumber() : Number(given);
  if (participant === undefined)
    return notice(`All numbers of this study have answers on this device. Please ask ${PLAN.contact} what to do.`);
  if (!isNumber(participant))
    return notice(`A participant number is one of 1 to ${NUMBERS.length}. Leave the field empty if you have none.`);
  const kept = keptSession(participant);
  if (kept) return welcomeBack(kept);
  session = beginSession(participant, drawn);
  tasks = PLAN.participants[participant - 1];
  next();
}

// ---- parts ---------------------------------------------------------------------------------------

/** The part that a task belongs to; practice belongs to the ordering behind it. */
function partOf(index) {
  const { kind, axis } = tasks[index].kind === "practice" ? tasks[index + 1] : tasks[index];
  return kind === "order" ? `${kind} ${axis}` : kind;
}

function progress() {
  const parts = [...new Set(tasks.map((_, index) => partOf(index)))];
  const at = Math.min(session.at, tasks.length - 1);
  document.getElementById("progress").hidden = false;
  document.getElementById("where").textContent =
    `Part ${parts.indexOf(partOf(at)) + 1} of ${parts.length}, question ${at + 1} of ${tasks.length}`;
  const bar = document.getElementById("bar");
  bar.max = tasks.length;
  bar.value = session.at;
}

/** Show whatever comes now, and keep that it does. */
function next() {
  asked = false;
  keep();
  progress();
  if (session.at >= tasks.length) return end();
  const part = partOf(session.at);
  session.introduced === part ? ask() : introduce(part);
}

function introduce(part) {
  const task = tasks[session.at].kind === "practice" ? tasks[session.at + 1] : tasks[session.at];
  const [heading, ...texts] = INSTRUCTIONS[task.kind](task);
  const go = () => {
    session.introduced = part;
    next();
  };
  show(heading, ...paragraphs(texts), button("Start this part", go, "main"));
}

// ---- tasks ---------------------------------------------------------------------------------------

function ask() {
  const { at } = session;
  const task = tasks[at];
  const given = session.answers[at];
  session.draft = session.draft?.task === at ? session.draft : { task: at, value: given?.answer ?? null, moves: given?.moves ?? 0 };
  const change = (value) => {
    session.draft = { task: at, value, moves: session.draft.moves + 1 };
    notice("");
    keep();
  };
  const back = button("Back", goBack);
  back.hidden = at === 0 || partOf(at - 1) !== partOf(at) || tasks[at - 1].kind === "practice";
  const skip = button("Skip", () => record(null), "quiet");
  skip.hidden = task.kind === "practice";
  const bar = make("nav", { "aria-label": "Questions" }, back, skip, button("Next", () => answer(task), "main"));
  show(QUESTIONS[task.kind](task), ...VIEWS[task.kind](task, session.draft.value, change), bar);
  spent = 0;
  watch = performance.now();
  for (const name of tasks[at + 1]?.images ?? []) new Image().src = sourceOf(name); // ready when it is shown
}

function answer(task) {
  const { value } = session.draft;
  if (task.kind === "practice" && value !== null)
    return practised(value) ? record(true) : notice("Not quite yet: the darkest square comes first, the brightest one last.");
  if (isWhole(value)) return record(value);
  const instead = untouched(task);
  if (!instead || !asked) {
    asked = true;
    return notice(MISSING[task.kind](task));
  }
  record(instead.map((middle, index) => value?.[index] ?? middle));
}

function record(value) {
  const ms = Math.round(spent + performance.now() - watch) + (session.answers[session.at]?.ms ?? 0);
  session.answers[session.at] = { answer: value, ms, moves: session.draft.moves };
  session.draft = null;
  session.at += 1;
  if (session.at >= tasks.length) session.finished ??= new Date().toISOString();
  next();
}

function goBack() {
  session.at -= 1;
  session.draft = null;
  next();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) spent += performance.now() - watch;
  else watch = performance.now();
});

// ---- the end -------------------------------------------------------------------------------------

function end() {
  document.getElementById("where").textContent = "All questions answered";
  const text = make("textarea", { readOnly: true, rows: 6, value: answersFile(session), "aria-label": "Your answers as text" });
  const status = make("p", { role: "status", className: "status" });
  const save = () => {
    download(session);
    saved = true;
    status.textContent = `Saved as ${answersName(session)}. Send this file to ${PLAN.contact}. Then you can close the page.`;
  };
  const copy = async () => {
    saved = await copyText(text);
    status.textContent = saved
      ? `Copied. Paste it into a message to ${PLAN.contact}. Then you can close the page.`
      : "This browser does not let the page copy. Open the text below, select all of it and copy it yourself.";
  };
  show(
    "Thank you! One last step",
    ...paragraphs([`Your answers are on this device only. Save them as a file, or copy them, and send them to ${PLAN.contact}.`]),
    make("p", { className: "actions" }, button("Save the file", save, "main"), button("Copy the answers", copy)),
    status,
    make("details", {}, make("summary", {}, "Show the answers as text"), text),
    button("Delete my answers from this device", () => forget(session), "quiet"),
  );
}

async function copyText(area) {
  try {
    await navigator.clipboard.writeText(area.value);
    return true;
  } catch {
    area.closest("details").open = true;
    area.select();
    return document.execCommand("copy"); // pages opened from a file have nothing else
  }
}

// ---- the page ------------------------------------------------------------------------------------

const large = document.getElementById("large");
large.addEventListener("click", () => large.close());

window.addEventListener("beforeunload", (event) => {
  if (session && !saved && !keeping) event.preventDefault();
});

// The same study in two tabs: the one behind follows.
window.addEventListener("storage", (event) => {
  if (session && event.key === KEPT + session.participant) location.reload();
});

start();
