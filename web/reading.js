// Shows on Read Emotion what it read, and on Emotion Range what it measured. The text is one of the node's outputs;
// nothing of it is saved.

import { app } from "../../scripts/app.js";
import { say } from "./words.js";

const CLASS = "emoticrafter-reading";
const PREVIEW = "$$canvas-image-preview"; // ComfyUI's widget for pictures, which it adds when it draws the node
const LOOKS = 50; // for it, one in 100 milliseconds
const STYLE = `
  box-sizing: border-box;
  width: 100%;
  height: 100%;
  padding: 4px 6px;
  border: 0;
  border-radius: 6px;
  resize: none;
  color: var(--input-text, #ddd);
  background: var(--comfy-input-bg, #222);
  font: 12px / 1.4 Inter, system-ui, sans-serif;
  font-variant-numeric: tabular-nums;
`;

function textOf(comfyClass) {
  if (comfyClass === "EmotiCrafterReadEmotion")
    return { label: say("Readings"), hint: say("The readings, after a run"), width: 310, height: 84 };
  if (comfyClass === "EmotiCrafterRange")
    return { label: say("Range"), hint: say("The range, after a run"), width: 400, height: 152 };
}

app.registerExtension({
  name: "EmotiCrafter.Reading",
  nodeCreated(node) {
    const text = textOf(node.comfyClass);
    if (text) addText(node, text);
  },
});

function addText(node, { label, hint, width: narrowest, height: least }) {
  const element = document.createElement("textarea");
  Object.assign(element, { className: CLASS, readOnly: true, placeholder: hint });
  element.setAttribute("aria-label", label);
  element.style.cssText = STYLE;
  const widget = node.addDOMWidget("reading", "emoticrafter_reading", element, {
    getMinHeight: () => least,
    serialize: false, // not into prompts ...
  });
  widget.serialize = false; // ... and not into the saved widget values, which are positional
  const [width, height] = node.size;
  node.setSize([Math.max(width, narrowest), Math.max(height, node.computeSize()[1])]);
  const { onExecuted } = node;
  node.onExecuted = function (output) {
    onExecuted?.apply(this, arguments);
    // Undo puts a new node in the place of this one, while Nodes 2.0 goes on showing the element that it has.
    const shown = document.querySelectorAll(`[data-node-id="${this.id}"] .${CLASS}`);
    for (const each of [element, ...shown]) each.value = output.text?.join("\n") ?? "";
    if (output.images) makeRoom(this);
  };
}

/** ComfyUI lets a picture hang out of a node whose room the text takes. Nodes 2.0 has no such widget. */
function makeRoom(node, looks = LOOKS) {
  if (node.widgets.some((widget) => widget.name === PREVIEW)) {
    const [width, height] = node.size;
    node.setSize([width, Math.max(height, node.computeSize()[1])]);
    node.setDirtyCanvas(true, true);
  } else if (looks) setTimeout(() => makeRoom(node, looks - 1), 100);
}
