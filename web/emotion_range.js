// What Emotion Range has measured, for the pads that ask for the same emotion: of nodes in the same graph with the same
// prompt, network and strength, and of a Valence-Arousal node in front of them. Nothing of it is saved: the next run
// tells it again, from ComfyUI's cache.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const NODE = "EmotiCrafterRange";
const REROUTE = "Reroute";
const MAX_HOPS = 16; // along links: a saved graph may hold a circle
const PROMPTS = ["positive", "conditioning"]; // what the node calls its prompt, and what the others do

const measured = new Map(); // the workflow's id and the node's, as a run tells it -> points

api.addEventListener("executed", ({ detail }) => {
  const points = detail.output?.range;
  if (!Array.isArray(points)) return;
  const ends = points.map(([valence, arousal]) => ({ valence, arousal }));
  measured.set(key(detail.display_node ?? detail.node), ends);
});

function key(id) {
  return `${app.graph.id} ${id}`;
}

/** The ends of the range that holds for a node's point, counter-clockwise from pleasure; null if none is known. */
export function rangeOf(node) {
  if (!measured.size || !node.graph) return null; // of a node that was removed, the pad may be shown for a moment
  const ranges = node.graph.nodes.filter((one) => one.comfyClass === NODE && one.mode === 0 && pointsOf(one));
  if (!ranges.length) return null;
  const wanted = [node, ...readersOf(node)].map(asks).filter(Boolean);
  const found = ranges.find((one) => wanted.includes(asks(one)));
  return found ? pointsOf(found) : null;
}

function pointsOf(node) {
  return paths(node).map((path) => measured.get(key(path))).find(Boolean);
}

/** A node's id as a run tells it, with those of the subgraphs round it: "7:3"; several if a subgraph is used again. */
function paths(node) {
  if (node.graph === app.graph) return [String(node.id)];
  const graphs = [app.graph, ...app.graph.subgraphs.values()];
  const hosts = graphs.flatMap((graph) => graph.nodes.filter((one) => one.subgraph === node.graph));
  return hosts.flatMap((host) => paths(host).map((path) => `${path}:${node.id}`));
}

/** The nodes that a node's two outputs lead to. */
function readersOf(node) {
  const links = (node.outputs ?? []).flatMap((output) => output.links ?? []);
  return links.map((id) => node.graph.getNodeById(node.graph.getLink(id)?.target_id)).filter(Boolean);
}

/** Equal for two nodes that ask for the same emotion of the same prompt; undefined for one that asks for none. */
function asks(node) {
  const prompt = PROMPTS.map((name) => source(node, name)).find(Boolean);
  const network = source(node, "network");
  if (!prompt || !network) return undefined;
  const strength = source(node, "strength") ?? node.widgets?.find((widget) => widget.name === "strength")?.value;
  return [prompt, network, strength].join(" ");
}

/** Where the link into an input comes from; undefined without one. */
function source(node, name) {
  let slot = node.inputs.findIndex((input) => input.name === name);
  for (let hops = 0; slot >= 0 && hops < MAX_HOPS; hops++) {
    const link = node.graph.getLink(node.inputs[slot].link);
    if (!link) return undefined;
    const origin = link.originIsIoNode ? null : node.graph.getNodeById(link.origin_id);
    if (origin?.type !== REROUTE) return `${link.origin_id}:${link.origin_slot}`;
    [node, slot] = [origin, 0];
  }
  return undefined;
}
