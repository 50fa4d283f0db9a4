"""The second miniature in a real server, with the shipped weights: emotion on a causal encoder that does not pad."""

import numpy as np
import pytest

from emoticrafter.composition import start_that_keeps
from scripts.server import PromptError
from tests.comfyui.graphs import pictures, report
from tests.comfyui.test_miniature_node import TEXT, MiniatureGraph, difference, pixels, shown


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


def test_composition_begins_the_emotion_where_it_was_measured_for_its_kind(server):
    graph = FlowGraph()
    text = graph.text(TEXT)
    graph.report(graph.emotional(text, "half", composition=0.5), "report")
    graph.draw(text, "plain")
    for composition in (0.0, 0.5, 1.0):
        graph.draw(graph.emotional(text, f"kept {composition}", composition=composition), f"at {composition}")
    result = server.queue(graph)
    first, then = report(result, "report")
    assert float(first["extra"]["end_percent"]) == float(then["extra"]["start_percent"])
    assert float(then["extra"]["start_percent"]) == pytest.approx(start_that_keeps(0.5, "Lumina 2"), abs=1e-4)
    found = {name: pixels(files[0]) for name, files in pictures(result).items() if files}
    away = {name: difference(found["plain"], picture) for name, picture in found.items()}
    assert away["at 0.0"] > away["at 0.5"] > 0 == away["at 1.0"]


def test_the_networks_of_both_miniatures_are_told_apart(server):
    graph = FlowGraph()
    [first, _] = graph.add("EmotiCrafterMiniature", "first")
    graph.report(graph.emotional(graph.text(TEXT), network=[first, 3]), "report")
    with pytest.raises(PromptError, match="multiple of 77"):
        server.queue(graph)
