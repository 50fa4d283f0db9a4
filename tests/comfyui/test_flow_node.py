"""The second miniature in a real server, with the shipped weights: emotion on a causal encoder that does not pad."""

import numpy as np
import pytest

from scripts.server import PromptError
from tests.comfyui.test_miniature_node import TEXT, MiniatureGraph, difference, shown


class FlowGraph(MiniatureGraph):
    """Graphs of the second miniature."""

    def checkpoint(self) -> tuple[list, list, list]:
        [node, _] = self.add("EmotiCrafterMiniature", "miniature", plan="Lumina 2")
        return [node, 0], [node, 1], [node, 2]


def test_its_prompts_are_not_padded_and_carry_a_mask_and_no_pooled_vector(server):
    graph = FlowGraph()
    graph.report(graph.text("a cat"), "short")
    graph.report(graph.text(TEXT), "long")
    outputs = server.queue(graph).outputs
    [short], [long] = (outputs[name]["report"] for name in ("short", "long"))
    assert short["shape"] == [1, 3, 128] and long["shape"][1] > 5
    assert short["extra"]["attention_mask"].startswith("[1, 3]")
    assert short["extra"]["pooled_output"] == "None"


def test_its_pictures_follow_both_values(server):
    graph = FlowGraph()
    text = graph.text(TEXT)
    graph.draw(text, "plain")
    graph.draw(graph.emotional(text, "still", strength=0.0), "at 0")
    graph.draw(graph.emotional(text, "happy", valence=3.0, arousal=0.0), "at +3")
    graph.draw(graph.emotional(text, "sad", valence=-3.0, arousal=0.0), "at -3")
    graph.draw(graph.emotional(text, "calm", valence=0.0, arousal=-3.0), "low")
    found = shown(server, graph)
    assert found["plain"].std() > 10
    assert difference(found["plain"], found["at 0"]) == 0
    assert min(difference(found["plain"], found[name]) for name in ("at +3", "at -3", "low")) > 2
    assert np.mean(found["at +3"]) > np.mean(found["at -3"]), "happy pictures are brighter"


def test_the_networks_of_both_miniatures_are_told_apart(server):
    graph = FlowGraph()
    [first, _] = graph.add("EmotiCrafterMiniature", "first")
    graph.report(graph.emotional(graph.text(TEXT), network=[first, 3]), "report")
    with pytest.raises(PromptError, match="multiple of 77"):
        server.queue(graph)
