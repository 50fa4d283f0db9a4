"""The subgraph blueprint: the server offers it, the interface makes a node of it, and that node makes a picture."""

import json
from pathlib import Path

from scripts.server import PACK_NAME
from scripts.workflow import to_prompt
from tests.comfyui.graphs import Graph, pictures

NAME = "Emotional Prompt"
BLUEPRINT = json.loads((Path(__file__).parents[3] / "subgraphs" / f"{NAME}.json").read_text("utf-8"))
# What choosing it in the node library does.
INSERT = """(key) => {
    const { $pinia } = document.querySelector("#vue-app").__vue_app__.config.globalProperties;
    const { nodes, definitions } = $pinia._s.get("subgraph").getBlueprint(`SubgraphBlueprint.${key}`);
    const items = { nodes, subgraphs: definitions.subgraphs };
    return [...app.canvas._deserializeItems(items, { position: [300, 160] }).nodes.values()][0].id;
}"""
# It throws until the blueprint is there.
LOADED = """(key) => {
    const { $pinia } = document.querySelector("#vue-app").__vue_app__.config.globalProperties;
    try {
        return !!$pinia._s.get("subgraph").getBlueprint(`SubgraphBlueprint.${key}`);
    } catch {
        return false;
    }
}"""


def our_key(server) -> str:
    """Its key among those of the server, which may have blueprints of its own."""
    [key] = [key for key, entry in server.get("/global_subgraphs").items() if entry["name"] == NAME]
    return key


def test_the_server_offers_it(server):
    key = our_key(server)
    assert server.get("/global_subgraphs")[key]["info"]["node_pack"].endswith(PACK_NAME)
    assert json.loads(server.get(f"/global_subgraphs/{key}")["data"]) == BLUEPRINT


def test_its_inside_makes_pictures_that_follow_the_emotion(server):
    graph = Graph()
    for node_id, node in to_prompt(BLUEPRINT, server.object_info()).items():
        graph[node_id] = node
    text, emotion = graph
    graph[text]["inputs"]["clip"] = graph.clip()
    graph[emotion]["inputs"]["network"] = graph.network()
    graph["joyful"] = {**graph[emotion], "inputs": {**graph[emotion]["inputs"], "valence": 2.5}}
    graph.picture([emotion, 0], "neutral picture")
    graph.picture(["joyful", 0], "joyful picture")
    shown = pictures(server.queue(graph))
    assert shown["neutral picture"] != shown["joyful picture"]


def test_the_interface_makes_a_node_of_it_whose_values_reach_the_prompt(ui, shown_by):
    key = our_key(shown_by)
    ui.until(LOADED, key)
    host = ui.run(INSERT, key)
    widgets = ui.run("() => app.graph.nodes[0].widgets.map((widget) => widget.name)")
    assert {"text", "valence", "arousal", "strength"} <= set(widgets)
    ui.pad(host).drag((0, 0), (1.5, -2.25))
    assert ui.prompt()["EmotiCrafterConditioning"]["valence"] == 1.5
    assert ui.prompt()["EmotiCrafterConditioning"]["arousal"] == -2.25
    ui.screenshot("blueprint")
