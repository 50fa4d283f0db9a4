// What a participant has answered: kept in the browser where that is allowed, handed over as a file.

const PLAN = JSON.parse(document.getElementById("plan").textContent);
const KEPT = `emoticrafter-study/${PLAN.study}/`;

/** localStorage, or null where the browser forbids it. */
function findStorage() {
  try {
    window.localStorage.setItem(`${KEPT}try`, "1");
    window.localStorage.removeItem(`${KEPT}try`);
    return window.localStorage;
  } catch {
    return null;
  }
}

const storage = findStorage();

function beginSession(participant, drawn) {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return {
    study: PLAN.study,
    participant,
    drawn, // whether the page drew the number
    session: [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
    consented: new Date().toISOString(),
    finished: null,
    at: 0, // the task that is shown
    introduced: "", // the part whose instructions were read
    draft: null, // of the task that is shown
    answers: {}, // task -> { answer, ms, moves }
  };
}

/** Keep a session; false where the browser does not let us. */
function keepSession(session) {
  try {
    storage.setItem(KEPT + session.participant, JSON.stringify(session));
    return true;
  } catch {
    return false;
  }
}

/** The session of a participant, or null where there is none that can be read. */
function keptSession(participant) {
  try {
    const session = JSON.parse(storage.getItem(KEPT + participant));
    const tasks = PLAN.participants[participant - 1];
    const whole = session.study === PLAN.study && session.participant === participant && session.answers.constructor === Object;
    return whole && session.at >= 0 && session.at <= tasks.length ? session : null;
  } catch {
    return null;
  }
}

const NUMBERS = PLAN.participants.map((_, index) => index + 1);

/** The sessions of all who have begun on this device. */
const keptSessions = () => NUMBERS.map(keptSession).filter(Boolean);

function forgetSession(participant) {
  try {
    storage.removeItem(KEPT + participant);
  } catch {
    // nothing was kept
  }
}

// ---- the file ------------------------------------------------------------------------------------

/** FNV-1a, 32 bits, of a text of ASCII: tells a damaged file from a whole one. */
function checksum(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, "0");
}

/** The answers as the researcher gets them. */
function answersFile(session) {
  const { study, participant, drawn, session: id, consented, finished, answers } = session;
  const content = {
    format: "emoticrafter-study-answers",
    version: 1,
    study,
    participant,
    drawn,
    session: id,
    consented,
    finished,
    viewport: [window.innerWidth, window.innerHeight],
    touch: navigator.maxTouchPoints > 0,
    answers: Object.entries(answers).map(([task, given]) => ({ task: Number(task), ...given })),
  };
  return JSON.stringify({ ...content, checksum: checksum(JSON.stringify(content)) });
}

function answersName(session) {
  return `answers-${session.participant}-${session.session.slice(0, 6)}.json`;
}

function download(session) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([answersFile(session)], { type: "application/json" }));
  link.download = answersName(session);
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
