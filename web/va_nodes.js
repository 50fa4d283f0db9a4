// Puts the valence-arousal pad on the nodes that have both values. The two widgets stay the only state: the pad
// writes to them and reads them again, so saving, undo, prompts and a browser without this script know no pad.

import { app } from "../../scripts/app.js";
import { VAPad } from "./va_pad.js";
import { say } from "./words.js";

const VALUES_NODE = "EmotiCrafterValenceArousal";
const NODES = ["EmotiCrafterConditioning", "EmotiCrafterVAEncoder", "EmotiCrafterRegional", VALUES_NODE];
const AXES = ["valence", "arousal"];
const PAD = "va_pad";
const WIDTH = 270;
const HEIGHT = 276;
const READ_EVERY = 150; // milliseconds
const MAX_HOPS = 16; // from node to node along links: a saved graph may hold a circle

app.registerExtension({
  name: "EmotiCrafter.VAPad",
  init() {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("./va_pad.css", import.meta.url);
    document.head.append(style);
  },
  nodeCreated(node) {
    if (NODES.includes(node.comfyClass)) addPad(node);
    else if (node.subgraph) followPromotion(node);
  },
});

function addPad(node) {
  const pad = new VAPad((point) => write(pad.node, point), say);
  pad.node = node;
  // A type of our own: one that the interface knows, such as "slider", would be replaced by its own widget.
  const widget = node.addDOMWidget(PAD, "emoticrafter_va_pad", pad.element, {
    hideOnZoom: false,
    hideInPanel: true,
    getMinHeight: () => HEIGHT,
    serialize: false, // not into prompts ...
  });
  widget.serialize = false; // ... and not into the saved widget values, which are positional
  passToCanvas(pad.element);
  watch(pad.element, () => reread(pad));
  const [width, height] = node.size;
  node.setSize([Math.max(width, WIDTH), Math.max(height, node.computeSize()[1])]);
}

/** Give a subgraph's node a pad of its own for as long as it shows both values of a node inside. */
function followPromotion(host) {
  const update = () => {
    const inside = host.subgraph.nodes.some((node) => NODES.includes(node.comfyClass));
    const wanted = inside && AXES.every((axis) => widgetOf(host, axis));
    const pad = widgetOf(host, PAD);
    if (wanted && !pad) addPad(host);
    if (!wanted && pad) host.removeWidget(pad);
  };
  const later = () => queueMicrotask(update); // the event may come before the change that it tells of
  const deleted = new AbortController(); // the subgraph may have other nodes, and outlive this one
  for (const kind of ["widget-promoted", "widget-demoted"])
    host.subgraph.events.addEventListener(kind, later, { signal: deleted.signal });
  const { onRemoved } = host;
  host.onRemoved = function () {
    deleted.abort();
    onRemoved?.apply(this, arguments);
  };
  later();
}

// ---- the node's values ---------------------------------------------------------------------------------

function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

function write(node, point) {
  for (const axis of AXES) {
    const widget = widgetOf(node, axis);
    if (!widget || widget.value === point[axis]) continue;
    widget.value = point[axis];
    widget.callback?.(point[axis], app.canvas, node);
  }
  node.setDirtyCanvas(true, true);
}

/** Show what the widgets hold. They change in many ways that call nobody: undo, promotion, other scripts. */
function reread(pad) {
  follow(pad);
  const [valence, arousal] = AXES.map((axis) => read(pad.node, axis));
  const known = valence.value !== null && arousal.value !== null;
  pad.show(known ? { valence: valence.value, arousal: arousal.value } : null, valence.linked || arousal.linked);
  pad.zoom(app.canvas.ds.scale);
}

/** Undo puts new nodes in the place of all, while Nodes 2.0 goes on showing the elements that it has. */
function follow(pad) {
  const { node } = pad;
  if (node.graph?.getNodeById(node.id) === node) pad.graphId = node.graph.id;
  else {
    const graphs = [app.graph, ...app.graph.subgraphs.values()];
    const successor = graphs.find((graph) => graph.id === pad.graphId)?.getNodeById(node.id);
    if (successor?.type === node.type) pad.node = successor;
  }
}

/** An axis' value, null if it is not known here; `linked` if it is another node's. */
function read(node, axis, hops = 0) {
  const slot = node.inputs.findIndex((input) => input.name === axis);
  const linked = slot >= 0 && node.isInputConnected(slot);
  const value = linked ? linkedValue(node, slot, hops) : widgetOf(node, axis)?.value;
  return { value: Number.isFinite(value) ? value : null, linked };
}

/** The value behind a link, if the node there only holds it; what others compute is known when they run. */
function linkedValue(node, slot, hops) {
  const source = node.getInputNode(slot);
  if (source?.comfyClass !== VALUES_NODE || hops === MAX_HOPS) return null;
  return read(source, source.outputs[node.getInputLink(slot).origin_slot].name, hops + 1).value;
}

// ---- the page ------------------------------------------------------------------------------------------

const readers = new WeakMap(); // element -> what to call
const visible = new Set();
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

function readAll() {
  visible.forEach((element) => readers.get(element)());
}

/** Let the wheel and the middle button zoom and pan over the pad too, as over any other part of a node. */
function passToCanvas(element) {
  const pass = (handler) => (event) => {
    if (!globalThis.LiteGraph?.vueNodesMode) app.canvas[handler](event); // there they reach it by themselves
  };
  element.addEventListener("wheel", pass("processMouseWheel"), { passive: false });
  element.addEventListener("pointerdown", (event) => event.button === 1 && pass("processMouseDown")(event));
  element.addEventListener("pointermove", (event) => event.buttons & 4 && pass("processMouseMove")(event));
  element.addEventListener("pointerup", (event) => event.button === 1 && pass("processMouseUp")(event));
}
