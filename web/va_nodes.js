// Puts the valence-arousal pad on the nodes that have both values. The two widgets stay the only state: the pad
// writes to them and reads them again, so saving, undo, prompts and a browser without this script know no pad.

import { app } from "../../scripts/app.js";
import { checkPads, followIntoApp, latestPicture, leaveApp } from "./app_mode.js";
import { rangeOf } from "./emotion_range.js";
import { Look, pointsRound } from "./look_around.js";
import { askForRun, withdrawRun } from "./run_when_let_go.js";
import { VAPad } from "./va_pad.js";
import { say } from "./words.js";

const VALUES_NODE = "EmotiCrafterValenceArousal";
const NODES = [
  "EmotiCrafterConditioning",
  "EmotiCrafterCLIP",
  "EmotiCrafterVAEncoder",
  "EmotiCrafterRegional",
  VALUES_NODE,
];
const AXES = ["valence", "arousal"];
const REROUTE = "Reroute";
const PAD = "va_pad";
const RUNS = "EmotiCrafter: run when let go"; // among the node's properties: saved, and no widget's place moves
const IN_GRAPH = "[data-node-id], .dom-widget"; // a pad that is in neither is in App mode; va_pad.css says so, too
const WIDTH = 270;
const HEIGHT = 276;
const READ_EVERY = 150; // milliseconds
const MAX_HOPS = 16; // from node to node along links: a saved graph may hold a circle

const looks = new WeakMap(); // a pad -> the pictures round its point, asked for last

app.registerExtension({
  name: "EmotiCrafter.VAPad",
  init() {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("./va_pad.css", import.meta.url);
    document.head.append(style);
  },
  afterConfigureGraph() {
    for (const node of app.graph.nodes) if (node.subgraph) updateHost(node); // App mode draws no node
    checkPads(PAD);
  },
  nodeCreated(node) {
    if (NODES.includes(node.comfyClass)) addPad(node);
    else if (node.subgraph) followPromotion(node);
  },
});

function addPad(node) {
  const pad = new VAPad(
    {
      onMove: (point) => write(pad.node, point),
      onPress: holdStep,
      onLetGo: () => pad.node.properties[RUNS] && askForRun(),
      onSwitch: (on) => setRuns(pad, on),
      onLook: () => look(pad),
      onStop: () => looks.get(pad).stop(),
      onChoose: (point) => asOneStep(() => pad.choose(point)),
    },
    say,
  );
  pad.node = node;
  const { onRemoved } = node;
  node.onRemoved = function () {
    onRemoved?.apply(this, arguments);
    if (pad.node === this && pad.fan.drawing) pad.closeFan(); // nobody could stop it any more
  };
  // A type of our own: one that the interface knows, such as "slider", would be replaced by its own widget.
  const widget = node.addDOMWidget(PAD, "emoticrafter_va_pad", pad.element, {
    hideOnZoom: false,
    hideInPanel: true,
    getMinHeight: () => HEIGHT,
    disabled: Boolean(node.subgraph), // not to be picked for App mode, which would not show it
    serialize: false, // not into prompts ...
  });
  widget.serialize = false; // ... and not into the saved widget values, which are positional
  widget.label = say("Valence and arousal"); // its title in App mode
  passToCanvas(pad.element);
  watch(pad.element, () => reread(pad));
  const [width, height] = node.size;
  node.setSize([Math.max(width, WIDTH), Math.max(height, node.computeSize()[1])]);
  if (node.subgraph) followIntoApp(node, pad.element, shownAxes(node));
}

/** Keep a subgraph's node in step with what it shows. */
function followPromotion(host) {
  const { arrange } = host; // called after its widgets changed, and whenever it is drawn
  host.arrange = function () {
    arrange.apply(this, arguments);
    queueMicrotask(() => updateHost(host)); // not amid the drawing
  };
}

/** Give a subgraph's node a pad of its own if it shows both values of a node inside; take it away if not. */
function updateHost(host) {
  const wanted = Boolean(shownAxes(host)) && hasPadInside(host.subgraph);
  const pad = widgetOf(host, PAD);
  if (wanted === Boolean(pad)) return;
  if (wanted) addPad(host);
  else {
    leaveApp(host);
    host.removeWidget(pad);
  }
  host.setDirtyCanvas(true, true);
}

function hasPadInside(subgraph) {
  return subgraph.nodes.some((node) =>
    node.subgraph ? hasPadInside(node.subgraph) : NODES.includes(node.comfyClass),
  );
}

// ---- the node's values ---------------------------------------------------------------------------------

function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/**
 * The names of a node's widgets for both axes; undefined if it does not show both. On a subgraph's node, interfaces
 * of 2025 put the inner node's id before them: "7: valence", "7: arousal".
 */
function shownAxes(node) {
  const names = node.widgets?.map((widget) => widget.name) ?? [];
  const prefixes = names.filter((name) => name.endsWith(AXES[0])).map((name) => name.slice(0, -AXES[0].length));
  const pairs = prefixes.map((prefix) => AXES.map((axis) => prefix + axis));
  return pairs.find((pair) => pair.every((name) => names.includes(name)));
}

/** A step for undo. */
function asOneStep(change) {
  app.canvas.emitBeforeChange();
  change();
  app.canvas.emitAfterChange();
}

/**
 * One step, until the pointer is let go. ComfyUI by itself notes a further one when a key goes up meanwhile, as Shift
 * does, and none when a finger is lifted.
 */
function holdStep() {
  const held = new AbortController();
  const end = () => {
    held.abort();
    app.canvas.emitAfterChange();
  };
  app.canvas.emitBeforeChange();
  // In the capture phase, and with any pointer: a step that never ended would be the last one.
  for (const kind of ["pointerup", "pointercancel", "pointerdown"])
    window.addEventListener(kind, end, { capture: true, signal: held.signal });
}

function setRuns(pad, on) {
  asOneStep(() => {
    if (on) pad.node.properties[RUNS] = true;
    else delete pad.node.properties[RUNS];
  });
  if (!on) withdrawRun();
  pad.showRuns(on);
}

function look(pad) {
  reread(pad); // the widgets may have changed since the pad read them last
  const rows = pointsRound(pad.point);
  pad.fan.open(rows, pad.point, (point) => pad.spoken(point, pad.nameOf(point)));
  looks.set(pad, new Look(pad.node, shownAxes(pad.node), rows.flat(), pad.fan));
}

function write(node, point) {
  shownAxes(node)?.forEach((name, index) => {
    const widget = widgetOf(node, name);
    const value = point[AXES[index]];
    if (widget.value === value) return;
    widget.value = value;
    widget.callback?.(value, app.canvas, node);
  });
  node.setDirtyCanvas(true, true);
}

/** Show what the widgets hold. They change in many ways that call nobody: undo, promotion, other scripts. */
function reread(pad) {
  follow(pad);
  const [valence, arousal] = (shownAxes(pad.node) ?? AXES).map((name) => read(pad.node, name));
  const known = valence.value !== null && arousal.value !== null;
  pad.show(known ? { valence: valence.value, arousal: arousal.value } : null, valence.linked || arousal.linked);
  pad.showRuns(pad.node.properties[RUNS] === true);
  pad.showRange(rangeOf(pad.node));
  const inApp = isInApp(pad.element);
  pad.zoom(inApp ? 1 : app.canvas.ds.scale);
  if (inApp) pad.showPicture(latestPicture());
}

function isInApp(element) {
  return !element.closest(IN_GRAPH);
}

/** Undo puts new nodes in the place of all, while Nodes 2.0 goes on showing the elements that it has. */
function follow(pad) {
  const { node } = pad;
  if (node.graph?.getNodeById(node.id) === node) pad.graphId = node.graph.id;
  else {
    const successor = allGraphs().find((graph) => graph.id === pad.graphId)?.getNodeById(node.id);
    if (successor?.type === node.type) pad.node = successor;
  }
}

function allGraphs() {
  return [app.graph, ...app.graph.subgraphs.values()];
}

/** The value of the input or widget of that name, null if it is not known here; `linked` if it is another node's. */
function read(node, name, hops = 0) {
  const slot = node.inputs.findIndex((input) => input.name === name);
  const linked = slot >= 0 && node.isInputConnected(slot);
  const value = linked ? linkedValue(node, slot, hops + 1) : widgetOf(node, name)?.value;
  return { value: Number.isFinite(value) ? value : null, linked };
}

/** The value behind a link, if it only is held there; what others compute is known when they run. */
function linkedValue({ graph, inputs }, slot, hops) {
  const link = graph.getLink(inputs[slot].link); // getInputLink() gives others on a subgraph's node
  if (!link || hops > MAX_HOPS) return null;
  if (link.originIsIoNode) return hostValue(graph, graph.inputs[link.origin_slot].name, hops);
  const source = graph.getNodeById(link.origin_id);
  if (source?.type === REROUTE) return linkedValue(source, 0, hops + 1);
  if (source?.comfyClass !== VALUES_NODE) return null;
  return read(source, source.outputs[link.origin_slot].name, hops).value;
}

/** What a subgraph is given from outside; known if one node shows it, for another may give it something else. */
function hostValue(subgraph, name, hops) {
  const hosts = allGraphs().flatMap((graph) => graph.nodes.filter((node) => node.subgraph === subgraph));
  return hosts.length === 1 ? read(hosts[0], name, hops).value : null;
}

// ---- the page ------------------------------------------------------------------------------------------

const readers = new WeakMap(); // element -> what to call
const visible = new Set();
const failed = new WeakSet();
let timer = null;

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) visible[isIntersecting ? "add" : "delete"](target);
  if (visible.size && timer === null) timer = setInterval(readAll, READ_EVERY);
  if (!visible.size) timer = clearInterval(timer) ?? null;
});

/** Call `read` now and then while `element` is on the screen. */
function watch(element, read) {
  readers.set(element, read);
  observer.observe(element);
}

/** One that fails does not stop the others, and says so once. */
function readAll() {
  for (const element of visible) {
    try {
      readers.get(element)();
    } catch (error) {
      if (!failed.has(element)) console.error("EmotiCrafter: a pad cannot read its node", error);
      failed.add(element);
    }
  }
}

/** Let the wheel and the middle button zoom and pan over the pad too, as over any other part of a node. */
function passToCanvas(element) {
  const pass = (handler) => (event) => {
    const alone = globalThis.LiteGraph?.vueNodesMode || isInApp(element); // it has them already, or should not
    if (!alone) app.canvas[handler](event);
  };
  element.addEventListener("wheel", pass("processMouseWheel"), { passive: false });
  element.addEventListener("pointerdown", (event) => event.button === 1 && pass("processMouseDown")(event));
  element.addEventListener("pointermove", (event) => event.buttons & 4 && pass("processMouseMove")(event));
  element.addEventListener("pointerup", (event) => event.button === 1 && pass("processMouseUp")(event));
}
