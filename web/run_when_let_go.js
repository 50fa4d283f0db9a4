// Queues the graph when the point of a pad is let go. One run at a time may wait: while one does, letting go again
// asks for one more, which is queued, with the values of then, as soon as there is room.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const ROOM = 2; // in the server's queue: one that runs and one that waits
const LOOK_EVERY = 1000; // milliseconds, should the server's word of a change be lost
const HELD = ".emoticrafter-pad.dragging";

let asker = null; // the workflow that is to run once more
let work = null;
let wake = () => {};

api.addEventListener("status", () => wake());

/** Ask for one run of the workflow that is open. */
export function askForRun() {
  asker = openWorkflow();
  wake();
  work ??= queueWhatIsAsked().finally(() => (work = null));
}

/** Nobody wants the run any more that has been asked for and not queued. */
export function withdrawRun() {
  asker = null;
}

async function queueWhatIsAsked() {
  while (asker) {
    if (asker !== openWorkflow()) return withdrawRun(); // another one is open: running that is not what was meant
    if (document.querySelector(HELD) || (await queued()) >= ROOM) {
      await somethingChanges();
      continue;
    }
    if (!asker) return;
    withdrawRun();
    await app.queuePrompt(0, 1); // says itself what is wrong
  }
}

function openWorkflow() {
  return app.extensionManager.workflow.activeWorkflow;
}

/** How many runs are in the server's queue, the one that it works on included; 0 if it does not say. */
async function queued() {
  try {
    const answer = await api.fetchApi("/prompt");
    return (await answer.json()).exec_info.queue_remaining;
  } catch {
    return 0;
  }
}

function somethingChanges() {
  return new Promise((done) => {
    wake = done;
    setTimeout(done, LOOK_EVERY);
  });
}
