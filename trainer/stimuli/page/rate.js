"use strict";

// Shows the pictures of stimuli.js in a new order for everybody, asks for valence and arousal, and saves a CSV with the
// columns rater, picture, valence, arousal and rt (milliseconds). index.html?p=7 is participant 7.

const COLUMNS = ["rater", "picture", "valence", "arousal", "rt"];

function make(tag, attributes, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

function html(...elements) {
  return make("div", {}, ...elements).innerHTML;
}

function warn(event) {
  event.preventDefault();
}

function save() {
  ratings().localSave("csv", `ratings-${rater}.csv`);
}

function ratings() {
  return jsPsych.data.get().filter({ task: "rate" }).filterColumns(COLUMNS);
}

function end() {
  removeEventListener("beforeunload", warn);
  const heading = make("h1", {}, "Thank you");
  const told = make("p", {}, `Your answers are in the file ratings-${rater}.csv, in the folder of your downloads.`);
  const again = make("button", { className: "jspsych-btn" }, "Save the file again");
  again.addEventListener("click", save);
  jsPsych.getDisplayElement().replaceChildren(make("main", {}, heading, told, again));
  save();
}

const jsPsych = initJsPsych({ show_progress_bar: true, on_finish: end });
const rater = (jsPsych.data.getURLVariable("p") || jsPsych.randomization.randomID(8)).replace(/[^\w-]/g, "_");
const answer = ANSWERS[STUDY.answer];
const shown = jsPsych.randomization.shuffle(STUDY.pictures).slice(0, STUDY.each ?? undefined);
jsPsych.data.addProperties({ rater });

const warnings = STUDY.warnings.length ? [`Some pictures may upset you: ${STUDY.warnings.join(", ")}.`] : [];
const welcome = {
  type: jsPsychSurveyHtmlForm,
  html: html(
    make("h1", {}, STUDY.title),
    ...[...STUDY.instructions, ...warnings, `There are ${shown.length} pictures.`].map((text) => make("p", {}, text)),
  ),
  button_label: "Start",
  on_finish: () => addEventListener("beforeunload", warn),
};
const preload = {
  type: jsPsychPreload,
  images: shown.map(({ file }) => file),
  error_message: "<p>Some pictures cannot be loaded. Please tell the person who sent you this page.</p>",
};
const rate = {
  timeline: [
    {
      type: jsPsychSurveyHtmlForm,
      preamble: () => html(make("img", { src: jsPsych.evaluateTimelineVariable("file"), alt: "The picture to rate" })),
      html: answer.html,
      button_label: "Next",
      data: () => ({ task: "rate", picture: jsPsych.evaluateTimelineVariable("picture") }),
      on_load: answer.shown,
      on_finish: (data) => {
        [data.valence, data.arousal] = answer.read(data.response);
      },
    },
  ],
  timeline_variables: shown,
};

jsPsych.run([welcome, preload, rate]);
