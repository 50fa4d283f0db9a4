// Puts the valence-arousal pad on the nodes that have both values. The two widgets stay the only state: the pad
// writes to them and reads them again, so saving, undo, prompts and a browser without this script know no pad.

import { app } from "../../scripts/app.js";
import { VAPad } from "./va_pad.js";

const VALUES_NODE = "EmotiCrafterValenceArousal";
const NODES = ["EmotiCrafterConditioning", "EmotiCrafterVAEncoder", VALUES_NODE];
const AXES = ["valence", "arousal"];
const PAD = "va_pad";
const WIDTH = 270;
const HEIGHT = 276;
const READ_EVERY = 150; // milliseconds

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
  const pad = new VAPad((point) => write(node, point));
  // A type of our own: one that the interface knows, such as "slider", would be replaced by its own widget.
  const widget = node.addDOMWidget(PAD, "emoticrafter_va_pad", pad.element, {
    hideOnZoom: false,
    hideInPanel: true,
    getMinHeight: () => HEIGHT,
    serialize: false, // not into prompts ...
  });
  widget.serialize = false; // ... and not into the saved widget values, which are positional
  passToCanvas(pad.element);
  const stop = whileVisible(pad.element, () => reread(node, pad));
  const onRemove = widget.onRemove;
  widget.onRemove = function () {
    stop();
    onRemove?.call(this);
  };
  node.setSize([Math.max(node.size[0], WIDTH), node.computeSize()[1]]);
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
  for (const kind of ["widget-promoted", "widget-demoted"]) host.subgraph.events.addEventListener(kind, later);
  later();
}

// ---- the node's values ---------------------------------------------------------------------------------

function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

function write(node, point) {
  for (const axis of AXES) {
    const widget = widgetOf(node, axis);
    if (widget.value === point[axis]) continue;
    widget.value = point[axis];
    widget.callback?.(point[axis], app.canvas, node);
  }
  node.setDirtyCanvas(true, true);
}

/** Show what the widgets hold. They change in many ways that call nobody: undo, promotion, other scripts. */
function reread(node, pad) {
  const [valence, arousal] = AXES.map((axis) => read(node, axis));
  const point = valence.value === null || arousal.value === null ? null : { valence: valence.value, arousal: arousal.value };
  pad.show(point, valence.linked || arousal.linked);
  pad.zoom(app.canvas.ds.scale);
}

/** An axis' value, null if it comes from a node that computes it; `linked` if it is not this node's own. */
function read(node, axis) {
  const slot = node.inputs.findIndex((input) => input.name === axis);
  if (slot < 0 || !node.isInputConnected(slot)) return { value: Number(widgetOf(node, axis).value), linked: false };
  const source = node.getInputNode(slot);
  if (source?.comfyClass !== VALUES_NODE) return { value: null, linked: true };
  const output = source.outputs[node.getInputLink(slot).origin_slot].name;
  return { value: read(source, output).value, linked: true };
}

// ---- the page ------------------------------------------------------------------------------------------

const readers = new Map(); // visible element -> what to call
const watched = new WeakMap(); // any element -> what to call
let timer = null;

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) readers.set(target, watched.get(target));
    else readers.delete(target);
  }
  schedule();
});

function schedule() {
  if (readers.size && timer === null) timer = setInterval(() => readers.forEach((read) => read()), READ_EVERY);
  if (!readers.size && timer !== null) timer = clearInterval(timer) ?? null;
}

/** Call `read` now and then while `element` is on the screen; gives the function that ends it. */
function whileVisible(element, read) {
  watched.set(element, read);
  observer.observe(element);
  return () => {
    observer.unobserve(element);
    readers.delete(element);
    schedule();
  };
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
