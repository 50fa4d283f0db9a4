// Draws what is to come: a small picture for the point of a pad and for those round it. They are one prompt in the
// queue, made from a copy of the graph's, so that the graph stays as it is.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { LIMIT } from "./emotions.js";
import { fanPrompt, NoPicture } from "./fan_prompt.js";
import { say } from "./words.js";

const REACH = 1; // from the point to the next one
const LONGEST = 240; // characters of somebody else's error

/** The points round one, in rows, and itself: at most 3 x 3, fewer at the edge of the plane. */
export function pointsRound(point) {
  const round = (value) => [-REACH, 0, REACH].map((step) => clamped(value + step));
  const valences = [...new Set(round(point.valence))];
  const arousals = [...new Set(round(point.arousal))].reverse();
  const one = (valence, arousal) =>
    valence === point.valence && arousal === point.arousal ? point : { valence, arousal };
  return arousals.map((arousal) => valences.map((valence) => one(valence, arousal)));
}

function clamped(value) {
  return Math.min(LIMIT, Math.max(-LIMIT, Number(value.toFixed(2))));
}

/** One fan's pictures, from asking for them until they are there or not wanted any more. */
export class Look {
  /**
   * @param {object} node the pad's
   * @param {[string, string]} names of its inputs or widgets of valence and arousal
   * @param {Array<object>} points {valence, arousal}
   * @param {Fan} fan open, with a place for each
   */
  constructor(node, names, points, fan) {
    this.fan = fan;
    this.listening = new AbortController();
    this.started = false;
    this.queued = this.queue(node, names, points);
    this.listen();
  }

  /** The prompt's id; undefined if there is none. */
  async queue(node, names, points) {
    try {
      const { output, workflow } = await app.graphToPrompt();
      const settings = points.map((point) => settingsOf(output, node, names, point));
      if (!settings[0].size) return void this.end(say("This node is muted or bypassed."));
      const answer = await api.queuePrompt(0, { output: fanPrompt(output, settings, outputsOf), workflow });
      if (!this.started) this.tell(say("Waiting in the queue"));
      return answer.prompt_id;
    } catch (error) {
      if (error instanceof NoPicture) this.end(say("No picture follows this node."));
      else this.fail(reasonOf(error));
    }
  }

  listen() {
    this.hear("execution_start", () => {
      this.started = true;
      this.tell("");
    });
    this.hear("executed", ({ node, output }) => this.show(node, output));
    this.hear("execution_success", () => this.end());
    this.hear("execution_interrupted", () => this.end(say("Stopped")));
    this.hear("execution_error", ({ node_type, exception_message }) => this.fail(`${node_type}: ${exception_message}`));
    const { signal } = this.listening;
    const lost = () => {
      this.end(say("The connection to the server was lost."));
      this.stop(); // nothing tells of it any more
    };
    api.addEventListener("reconnecting", lost, { signal });
    api.addEventListener("status", () => this.checkQueue(), { signal });
  }

  /** Somebody may have taken it out of the queue before it began, of which nothing else tells. */
  async checkQueue() {
    const id = await this.queued;
    if (!id || this.started) return;
    const { queue_running, queue_pending } = await (await api.fetchApi("/queue")).json();
    const waits = [...queue_running, ...queue_pending].some((item) => item[1] === id);
    if (!waits && !this.started) this.end(say("Stopped"));
  }

  /** Call `heard` with what the server says about this prompt. */
  hear(kind, heard) {
    const { signal } = this.listening;
    const told = async ({ detail }) => {
      const id = await this.queued; // the server may speak of it before it has answered
      if (id && detail.prompt_id === id && !signal.aborted) heard(detail);
    };
    api.addEventListener(kind, told, { signal });
  }

  show(node, output) {
    const index = /^look (\d+)$/.exec(node)?.[1];
    const [file] = output?.images ?? [];
    if (index && file) this.fan.showPicture(Number(index), api.apiURL(`/view?${new URLSearchParams(file)}`));
  }

  tell(words) {
    if (!this.listening.signal.aborted) this.fan.tell(words);
  }

  end(words) {
    if (this.listening.signal.aborted) return;
    this.listening.abort();
    this.fan.end(words);
  }

  fail(reason) {
    this.end(say("The pictures could not be drawn: {}").replace("{}", () => reason.slice(0, LONGEST)));
  }

  /** Nobody wants the rest any more: take it out of the queue, or interrupt it. Other prompts go on. */
  async stop() {
    this.listening.abort();
    const id = await this.queued;
    if (!id) return;
    try {
      await post("/queue", { delete: [id] });
      if (await isRunning(id)) await post("/interrupt", { prompt_id: id });
    } catch (error) {
      console.warn("EmotiCrafter: the server does not answer, so the pictures round the point may go on", error);
    }
  }
}

function post(route, body) {
  const headers = { "Content-Type": "application/json" };
  return api.fetchApi(route, { method: "POST", headers, body: JSON.stringify(body) });
}

/** Asked first, because servers before 0.3.56 interrupt whatever runs. */
async function isRunning(id) {
  const answer = await api.fetchApi("/queue");
  return (await answer.json()).queue_running.some((item) => item[1] === id);
}

function reasonOf(error) {
  const { response } = error;
  const [node] = Object.values(response?.node_errors ?? {});
  const { message, details } = node?.errors?.[0] ?? response?.error ?? error;
  return [node?.class_type, message, details].filter(Boolean).join(": ");
}

function outputsOf(kind) {
  return LiteGraph.registered_node_types[kind]?.nodeData?.output ?? [];
}

// ---- where a point goes in a prompt ----------------------------------------------------------------------

/** What a point sets in the prompt: a node's id -> {input: value}. Empty if the node is not in it. */
function settingsOf(prompt, node, names, point) {
  const settings = new Map();
  [point.valence, point.arousal].forEach((value, axis) => {
    for (const [id, name] of idsOf(node).flatMap((host) => receivers(node, names[axis], host)))
      if (id in prompt) settings.set(id, { ...settings.get(id), [name]: value });
  });
  return settings;
}

/** The node's ids in prompts: those of the subgraphs round it, and its own. A subgraph's copies share their inside. */
function idsOf(node, graph = app.graph, outside = "") {
  if (graph === node.graph) return [`${outside}${node.id}`];
  const hosts = graph.nodes.filter((host) => host.subgraph);
  return hosts.flatMap((host) => idsOf(node, host.subgraph, `${outside}${host.id}:`));
}

/** The inputs that take a node's value, [id, name]: its own, or those inside of a subgraph's node. */
function receivers(node, name, id) {
  if (!node.subgraph) return [[id, name]];
  const inside = (inner, its) => receivers(node.subgraph.getNodeById(inner), its, `${id}:${inner}`);
  const [, inner, its] = /^(\d+): (.+)$/.exec(name) ?? []; // as interfaces of 2025 name what they show
  if (inner) return inside(inner, its);
  const links = node.subgraph.inputs.find((input) => input.name === name)?.linkIds ?? [];
  return links.flatMap((each) => {
    const { target_id, target_slot } = node.subgraph.getLink(each);
    return inside(target_id, node.subgraph.getNodeById(target_id).inputs[target_slot].name);
  });
}
