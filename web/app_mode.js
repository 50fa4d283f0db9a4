// What App mode needs beyond the pad of a node, which it lists by itself:
// - of a subgraph's node it lists only what the subgraph is given. So there the pad goes along with the two values, and
//   stands above that of valence;
// - on a phone it hides the picture behind a tab, so that the pad shows the latest one, small;
// - an app may list the pad of a node that the workflow has not.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { say } from "./words.js";

const ROW = '[data-testid="app-mode-widget-item"]';

/** What the workflow's author chose to show: its "inputs" or its "outputs". */
function chosen(kind) {
  const list = app.graph.extra?.linearData?.[kind];
  return Array.isArray(list) ? list : [];
}

// ---- the pad of a subgraph's node ------------------------------------------------------------------------

const hosts = new Map(); // a subgraph's node -> its pad and the names of its two values
const observer = new MutationObserver(placeAll);

/** Show the pad of a subgraph's node wherever App mode lists both of its values. */
export function followIntoApp(host, element, names) {
  hosts.set(host, { element, names });
  observer.observe(document.body, { childList: true, subtree: true });
  placeAll();
}

export function leaveApp(host) {
  hosts.delete(host);
  if (!hosts.size) observer.disconnect();
}

function placeAll() {
  for (const [host, { element, names }] of hosts) {
    if (host.graph?.getNodeById(host.id) === host) place(element, ...names.map((name) => rowOf(host, name)));
    else leaveApp(host);
  }
}

function place(element, row, other) {
  if (row && other && element.parentElement !== row) row.prepend(element);
}

function rowOf(host, name) {
  const id = host.inputs.find((input) => input.name === name)?.widgetId;
  return id && document.querySelector(`${ROW}[data-widget-key="${CSS.escape(id)}"]`);
}

// ---- the latest picture ----------------------------------------------------------------------------------

let latest = {}; // the workflow's id, and the picture's address

/** The address of the latest picture that came out of what the app shows; undefined before the first. */
export function latestPicture() {
  return latest.workflow === app.graph.id ? latest.address : undefined;
}

api.addEventListener("executed", ({ detail }) => {
  const file = detail.output?.images?.at(-1);
  if (!file?.filename || !chosen("outputs").some((id) => String(id) === String(detail.node))) return;
  latest = { workflow: app.graph.id, address: api.apiURL(`/view?${new URLSearchParams(file)}`) };
});

// ---- a pad that is not there -----------------------------------------------------------------------------

/** Say so if the app lists a pad named `name` of a node that is not in the workflow. */
export function checkPads(name) {
  const pads = chosen("inputs").filter((input) => input?.[1] === name);
  if (pads.every(([id]) => app.graph.getNodeById(nodeOf(id)))) return;
  app.extensionManager.toast.add({
    severity: "warn",
    summary: say("This app lists a pad that is not there"),
    detail: say("The workflow has no node for it any more. Choose the app's inputs again."),
  });
}

/** A node's id, of an input as ComfyUI has saved it: with the id alone, or as "graph:node:widget". */
function nodeOf(id) {
  return String(id).split(":").at(1) ?? id;
}
