"""Emotion Preset in a real server: points by name, and people's own names."""

import json

import pytest

from scripts.server import PromptError
from tests.comfyui.graphs import Graph, report

HAPPY, SAD = "happy (Russell)", "sad (Russell)"
MISTAKE = '! emotions.json, line 3: "far off" is [9, 0]: expected numbers from -3 to 3'


def graph_of(emotion: str, intensity: float = 1.0, blend_with: str = "none", blend: float = 0.5) -> Graph:
    graph = Graph()
    values = {"emotion": emotion, "intensity": intensity, "blend_with": blend_with, "blend": blend}
    node, _ = graph.add("EmotiCrafterPreset", "preset", **values)
    for slot, name in enumerate(("valence", "arousal", "points")):
        graph.add("ProbeValue", name, value=[node, slot])
    return graph


def point(result) -> tuple[float, float]:
    [valence], [arousal] = report(result, "valence"), report(result, "arousal")
    assert report(result, "points") == [[[valence], [arousal], 0]]
    return valence, arousal


@pytest.fixture
def own_file(server):
    path = server.models / "emoticrafter" / "emotions.json"
    yield path
    path.unlink(missing_ok=True)


def shown(server, name: str) -> dict:
    info = server.get("/object_info/EmotiCrafterPreset")["EmotiCrafterPreset"]
    return info["input"]["required"][name][1]


def options(server, name: str) -> list[str]:
    return shown(server, name)["options"]


def test_a_named_point_is_scaled_and_blended(server):
    assert point(server.queue(graph_of(HAPPY))) == (2.48, 1.58)
    assert point(server.queue(graph_of(HAPPY, intensity=0.5))) == (1.24, 0.79)
    assert point(server.queue(graph_of(HAPPY, intensity=0.5, blend_with=SAD, blend=1.0))) == (-0.97, -0.4)


def test_a_linked_preset_is_the_point_itself(server):
    graph = Graph()
    text = graph.text()
    graph.report(graph.emotional(text, valence=2.48, arousal=1.58), "own values")
    values = {"emotion": HAPPY, "intensity": 1.0, "blend_with": "none", "blend": 0.5}
    preset, _ = graph.add("EmotiCrafterPreset", **values)
    graph.report(graph.emotional(text, valence=[preset, 0], arousal=[preset, 1]), "preset")
    result = server.queue(graph)
    assert report(result, "preset") == report(result, "own values")


def test_own_emotions_are_listed_with_what_is_wrong_among_them(server, own_file):
    built_in = options(server, "emotion")
    assert {HAPPY, "joy (Plutchik, FindingEmo)", "fear (Mikels, FindingEmo)"} <= set(built_in)
    own_file.write_text('{\n"homesick": [-1.2, -0.4],\n"far off": [9, 0]\n}')
    assert options(server, "emotion") == [MISTAKE, "homesick (emotions.json)", *built_in]
    assert shown(server, "emotion")["tooltip"].endswith(f"\n{MISTAKE}")
    assert options(server, "blend_with") == ["none", *options(server, "emotion")]
    assert point(server.queue(graph_of("homesick (emotions.json)"))) == (-1.2, -0.4)
    own_file.write_text("{")
    assert options(server, "emotion")[0].startswith("! emotions.json, line 1: ")
    assert options(server, "emotion")[1:] == built_in
    assert point(server.queue(graph_of(HAPPY))) == (2.48, 1.58)


def test_an_edit_counts_at_the_next_run(server, own_file):
    graph = graph_of("homesick (emotions.json)")
    own_file.write_text(json.dumps({"homesick": [-1.2, -0.4]}))
    assert point(server.queue(graph)) == (-1.2, -0.4)
    assert server.queue(graph).executed == []
    own_file.write_text(json.dumps({"homesick": [-1.25, -0.45]}))
    assert point(server.queue(graph)) == (-1.25, -0.45)


def test_an_emotion_that_is_not_there_is_refused_before_anything_runs(server, own_file):
    with pytest.raises(PromptError, match=r"There is no emotion 'homesick .emotions.json.' any more") as caught:
        server.queue(graph_of("homesick (emotions.json)"))
    assert list(caught.value.node_errors) == ["preset"]
    assert "models/emoticrafter has no emotions.json" in str(caught.value)
    own_file.write_text('{\n"homesick": [-1.2, -0.4],\n"far off": [9, 0]\n}')
    with pytest.raises(PromptError, match=r'emotions.json has mistakes: line 3: "far off" is'):
        server.queue(graph_of("far off (emotions.json)"))
    assert point(server.queue(graph_of(HAPPY))) == (2.48, 1.58)


def test_the_input_that_is_wrong_is_blamed_alone_and_once(server, own_file):
    own_file.write_text('{\n"homesick": [-1.2, -0.4],\n"far off": [9, 0]\n}')
    with pytest.raises(PromptError) as caught:
        server.queue(graph_of(MISTAKE))
    [error] = caught.value.node_errors["preset"]["errors"]
    assert error["extra_info"]["input_name"] == "emotion"
    assert "Correct the file, press R, and choose an emotion" in error["details"]
    # Told when the node runs: what is told before, ComfyUI puts down to every input that was looked at.
    for wrong, message in ((MISTAKE, "Correct the file, press R"), ("gone (emotions.json)", "There is no emotion")):
        # Newer ComfyUIs refuse themselves what is not in the list.
        with pytest.raises(PromptError, match=f"{message}|Value not in list: blend_with: ") as caught:
            server.queue(graph_of(HAPPY, blend_with=wrong))
        assert "preset" in (caught.value.node_id, *caught.value.node_errors)
        assert wrong.removeprefix("! ") in str(caught.value)


@pytest.mark.parametrize(("emotion", "said"), [(5, "5"), (None, "None"), ({"name": "happy"}, "a dict of 1")])
def test_what_is_no_name_is_refused(server, emotion, said):
    told = f"There is no emotion {said} any more|emotion is {said}: expected one of its list"
    with pytest.raises(PromptError, match=told):
        server.queue(graph_of(emotion))
