"""Turn a workflow as people save and share it into a prompt that a server runs, as ComfyUI's interface does.

    prompt = to_prompt(json.loads(path.read_text("utf-8")), server.object_info())

A saved workflow holds nodes, links and widget values by position; a prompt holds class_type and inputs by name.
Muted and bypassed nodes, notes, reroutes, primitives and subgraphs exist only in the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

MUTED, BYPASSED = 2, 4
NEVER_RUN = {"Note", "MarkdownNote", "Reroute", "PrimitiveNode"}
NUMBERS_AND_TEXT = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
SEEDS = {"seed", "noise_seed"}
SEED_CONTROLS = {"fixed", "increment", "decrement", "randomize"}
SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = -10, -20
"""The ids that a subgraph's own links use for its frame."""


class WorkflowError(ValueError):
    """The workflow cannot be turned into a prompt; the message names the node."""


class Link(NamedTuple):
    source: int
    source_slot: int
    target: int
    target_slot: int


@dataclass
class Graph:
    """One level of a workflow: the top, or the inside of one subgraph node."""

    nodes: dict[int, dict]
    links: dict[int, Link]
    prefix: str = ""
    """Of the ids in the prompt: "12:" inside node 12."""
    outer: Graph | None = None
    outer_node: dict = field(default_factory=dict)


def to_prompt(workflow: dict, object_info: dict) -> dict:
    """The prompt of a saved workflow.

    Args:
        workflow: the content of the .json file.
        object_info: the server's nodes, as /object_info gives them.

    Returns:
        class_type and inputs by node id; a link is [node id, output slot].

    Raises:
        WorkflowError: it is not a saved workflow, the server does not know a node, or widget values do not fit.
    """
    if "nodes" not in workflow or "links" not in workflow:
        raise WorkflowError(
            "This is not a saved workflow: it has no 'nodes' and 'links'. Save it with Workflow > Save in ComfyUI "
            "(Export (API) gives a prompt, which needs no conversion)."
        )
    subgraphs = {one["id"]: one for one in workflow.get("definitions", {}).get("subgraphs", [])}
    prompt: dict = {}
    _add(_graph(workflow, subgraphs), object_info, prompt)
    return _without_dangling_links(prompt)


# ---- reading the file ------------------------------------------------------------------------------


def _graph(content: dict, subgraphs: dict, **place) -> Graph:
    links = dict(_link(link) for link in content["links"] if link)
    graph = Graph({node["id"]: dict(node) for node in content["nodes"]}, links, **place)
    for node in graph.nodes.values():
        if node["type"] in subgraphs:
            prefix = f"{graph.prefix}{node['id']}:"
            node["inside"] = _graph(subgraphs[node["type"]], subgraphs, prefix=prefix, outer=graph, outer_node=node)
    return graph


def _link(link: list | dict) -> tuple[int, Link]:
    """The top level saves links as lists, subgraphs save them as objects."""
    if isinstance(link, dict):
        ends = (link[name] for name in ("origin_id", "origin_slot", "target_id", "target_slot"))
        return link["id"], Link(*ends)
    return link[0], Link(*link[1:5])


def _add(graph: Graph, object_info: dict, prompt: dict) -> None:
    for node in graph.nodes.values():
        kind, node_id = node["type"], f"{graph.prefix}{node['id']}"
        if node.get("mode", 0) in (MUTED, BYPASSED) or kind in NEVER_RUN:
            continue
        if "inside" in node:
            _add(node["inside"], object_info, prompt)
            continue
        if kind not in object_info:
            raise WorkflowError(f"Node {node_id}: the server has no node of the type {kind}.")
        inputs = _widget_values(node, object_info[kind]) | _linked_inputs(graph, node)
        prompt[node_id] = {"class_type": kind, "inputs": inputs}


def _without_dangling_links(prompt: dict) -> dict:
    """Drop inputs that come from a node which is not there: what a muted node fed."""
    for node in prompt.values():
        node["inputs"] = {
            name: value for name, value in node["inputs"].items() if not (_is_link(value) and value[0] not in prompt)
        }
    return prompt


def _is_link(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


# ---- widgets ---------------------------------------------------------------------------------------


def _widget_values(node: dict, info: dict) -> dict:
    """A node's own values by input name."""
    values = node.get("widgets_values") or []
    if isinstance(values, dict):
        return {name: values[name] for name in _widgets(info) if name in values}
    values, named = list(values), {}
    for name, options in _widgets(info).items():
        if not values:  # saved before this input was added: the server takes its default
            break
        named[name] = values.pop(0)
        if _has_control(name, options) and values and values[0] in SEED_CONTROLS:
            values.pop(0)
        if options.get("image_upload") and values:
            values.pop(0)  # the upload button
    if values:
        raise WorkflowError(
            f"Node {node['id']} ({node['type']}) has widget values that belong to no input: {values}. "
            "It was saved with another version of the node."
        )
    return named


def _widgets(info: dict) -> dict[str, dict]:
    """Inputs that have a widget, in order, each with its options."""
    widgets = {}
    for group in ("required", "optional"):
        described = info["input"].get(group, {})
        for name in info.get("input_order", {}).get(group, described):
            kind, options = (*described[name], {})[:2]
            is_widget = isinstance(kind, list) or kind in NUMBERS_AND_TEXT
            if is_widget and not options.get("forceInput"):
                widgets[name] = options
    return widgets


def _has_control(name: str, options: dict) -> bool:
    """Whether a second widget follows that says what becomes of the value after a run."""
    return options.get("control_after_generate", name in SEEDS)


# ---- links -----------------------------------------------------------------------------------------


def _linked_inputs(graph: Graph, node: dict) -> dict:
    linked = {}
    for slot in node.get("inputs", []):
        if slot.get("link") is not None:
            source = _source(graph, slot["link"])
            if source is not None:
                linked[slot["name"]] = source
    return linked


def _source(graph: Graph, link_id: int):
    """What a link brings: [node id, slot] of a node that runs, a primitive's value, or None for nothing."""
    link = graph.links[link_id]
    if link.source == SUBGRAPH_INPUT:
        return _through(graph.outer, graph.outer_node, link.source_slot)
    node = graph.nodes[link.source]
    if node["type"] == "PrimitiveNode":
        return node["widgets_values"][0]
    if node.get("mode", 0) == MUTED:
        return None
    if node["type"] == "Reroute":
        return _through(graph, node, 0)
    if node.get("mode", 0) == BYPASSED:
        return _bypass(graph, node, link.source_slot)
    if "inside" in node:
        return _subgraph_output(node["inside"], link.source_slot)
    return [f"{graph.prefix}{link.source}", link.source_slot]


def _through(graph: Graph, node: dict, slot: int):
    link = node["inputs"][slot].get("link") if slot < len(node.get("inputs", [])) else None
    return None if link is None else _source(graph, link)


def _bypass(graph: Graph, node: dict, slot: int):
    """A bypassed node hands on the input of the output's type: the one at the same place if it fits."""
    kind = node["outputs"][slot]["type"]
    inputs = node.get("inputs", [])
    order = sorted(range(len(inputs)), key=lambda index: index != slot)
    fitting = [index for index in order if inputs[index]["type"] == kind]
    return _through(graph, node, fitting[0]) if fitting else None


def _subgraph_output(inside: Graph, slot: int):
    for link_id, link in inside.links.items():
        if link.target == SUBGRAPH_OUTPUT and link.target_slot == slot:
            return _source(inside, link_id)
    return None


# ---- changing a prompt -----------------------------------------------------------------------------


def set_inputs(prompt: dict, class_type: str, **inputs) -> dict:
    """A copy of `prompt` in which every node of `class_type` has these inputs. Raises WorkflowError if none is."""
    changed = {
        node_id: {**node, "inputs": {**node["inputs"], **inputs}}
        for node_id, node in prompt.items()
        if node["class_type"] == class_type
    }
    if not changed:
        raise WorkflowError(f"The prompt has no {class_type} node.")
    return {**prompt, **changed}
