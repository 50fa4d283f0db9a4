"""What Emotional Conditioning takes beside strength, in a real ComfyUI: each does its part, and nothing by default."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import torch

from emoticrafter import EmotionNetwork, NetworkConfig
from emoticrafter.conditioning import inject_emotion
from scripts.installation import comfyui_folder, comfyui_python
from scripts.server import PromptError
from scripts.stand_ins import swap_loaders
from scripts.workflow import set_inputs, to_prompt
from tests.comfyui.graphs import Graph, pictures, report
from tests.comfyui.test_conditioning_keys import chained

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "tests" / "reference"
NEUTRAL = {
    "valence_gain": 1.0,
    "arousal_gain": 1.0,
    "start_percent": 0.0,
    "end_percent": 1.0,
    "protected_words": "",
    "pooled": "keep",
    "composition": 0.0,
}
EVERY_KEY = {"kind": "every key", "number": 0}

# ---- start and end ---------------------------------------------------------------------------------

PLACES = [0.25, 1 / 3, 0.5, 0.95]
STEPS = [2, 3, 5, 20]
RANGES = [{}, {"start_percent": 0.25, "end_percent": 0.75}]


def entries(steps: tuple[float, float], **extra) -> list[dict]:
    """The ranges of what the library makes of an entry, and whether each is emotional."""
    torch.manual_seed(0)
    network = EmotionNetwork(NetworkConfig(feature_width=64, width=64, depth=1))
    plain = [torch.randn(1, 77, 64), {"pooled_output": torch.zeros(1, 8), **extra}]
    return [
        {"emotional": features is not plain[0], **{key: kept[key] for key in kept if key.endswith("percent")}}
        for features, kept in inject_emotion([plain], network, network.encode(1.0, 1.0), steps=steps)
    ]


@pytest.fixture(scope="module")
def applying(tmp_path_factory):
    """A function: conditionings -> the entries that apply, by scheduler and number of steps, conditioning, step."""

    def ask(conditionings: list[list[dict]]) -> list:
        path = tmp_path_factory.mktemp("steps") / "request.json"
        path.write_text(json.dumps({"conditionings": conditionings, "steps": STEPS}), encoding="utf-8")
        command = [comfyui_python(), Path(__file__).with_name("comfyui_steps.py"), path]
        answer = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True, timeout=300)
        assert answer.returncode == 0, answer.stderr[-3000:]
        return json.loads(answer.stdout.splitlines()[-1])

    return ask


def test_at_every_step_exactly_one_of_the_two_prompts_applies(applying):
    spans = [*((0.0, place) for place in PLACES), *((place, 1.0) for place in PLACES), (0.25, 0.5), (0.5, 0.5)]
    cut = [entries(span, **own) for own in RANGES for span in spans]
    whole = [[own] for own in RANGES for _ in spans]
    touching = [[{"end_percent": place}, {"start_percent": place}] for place in PLACES]
    doubles, orders = 0, set()
    for run in applying(cut + whole + touching):
        for parts, found, at_all in zip(cut, run, run[len(cut) : 2 * len(cut)], strict=False):
            assert [len(indices) for indices in found] == [len(indices) for indices in at_all]
            order = "".join("E" if parts[indices[0]]["emotional"] else "p" for indices in found if indices)
            assert re.fullmatch("p*E*p*", order), (parts, order)
            orders.add(re.sub("(.)\\1+", "\\1", order))
        doubles += sum(len(indices) == 2 for found in run[2 * len(cut) :] for indices in found)
    assert orders >= {"pE", "Ep", "pEp"}
    assert doubles > 0  # two ranges that merely touch do meet at steps of these schedules


def test_a_start_in_the_graph_samples_the_plain_prompt_first(server):
    graph = Graph()
    plain = graph.text()
    emotional = graph.emotional(plain)

    def part(conditioning: list, start: float, end: float) -> list:
        return graph.add("ConditioningSetTimestepRange", conditioning=conditioning, start=start, end=end)

    first, second = part(plain, 0.0, 0.499), part(emotional, 0.499, 1.0)
    by_hand = graph.add("ConditioningCombine", conditioning_1=first, conditioning_2=second)
    timed = graph.emotional(plain, start_percent=0.5)
    for name, positive in {"plain": plain, "emotional": emotional, "by hand": by_hand, "timed": timed}.items():
        graph.picture(positive, name, steps=4)
        graph.report(positive, f"{name} report")
    result = server.queue(graph)
    shown = pictures(result)
    assert shown["timed"] == shown["by hand"]
    assert len({shown[name][0] for name in ("plain", "emotional", "timed")}) == 3
    told = [[entry["sha256"] for entry in report(result, f"{name} report")] for name in ("by hand", "timed")]
    assert told[0] == told[1]


def test_all_that_a_prompt_carries_goes_with_each_part(server):
    graph = Graph()
    plain = chained(graph, graph.text())  # area, mask, ControlNet, hooks, and a range from 0 to 0.6
    graph.report(plain, "plain")
    timed = graph.emotional(plain, start_percent=0.3, end_percent=0.8)
    graph.report(timed, "timed")
    graph.picture(timed, "shown", steps=2)
    result = server.queue(graph)
    [before], after = report(result, "plain"), report(result, "timed")
    assert len(after) == 2
    for entry in after:
        own = {key: value for key, value in entry["extra"].items() if not key.endswith("_percent")}
        assert own == {key: value for key, value in before["extra"].items() if not key.endswith("_percent")}
    assert [entry["sha256"] == before["sha256"] for entry in after] == [True, False]
    assert [float(entry["extra"]["end_percent"]) for entry in after] == pytest.approx([0.3, 0.6], abs=1e-4)


# ---- neutral settings, and workflows from before there were any ------------------------------------


def test_neutral_settings_change_nothing(server):
    graph = Graph()
    text = graph.text()
    settings = {**NEUTRAL, "clip": graph.clip(), "pooled_prompt": graph.text("a storm")}
    for name, plain in {
        "text": text,
        "every key": graph.add("OddConditioning", **EVERY_KEY, conditioning=text),
    }.items():
        graph.report(graph.emotional(plain), f"{name} without")
        graph.report(graph.emotional(plain, **settings), f"{name} neutral")
    result = server.queue(graph)
    for name in ("text", "every key"):
        assert report(result, f"{name} neutral") == report(result, f"{name} without")


def test_at_strength_0_no_setting_asks_for_what_is_not_connected(server):
    graph = Graph()
    text = graph.text()
    off = graph.emotional(text, strength=0.0, protected_words="people", pooled="from pooled_prompt")
    graph.report(text, "plain")
    graph.report(off, "off")
    result = server.queue(graph)
    assert report(result, "off") == report(result, "plain")


def test_a_workflow_saved_before_these_settings_still_runs_and_gives_the_same(server):
    workflow = json.loads((REFERENCE / "workflow_of_0.1.0.json").read_text("utf-8"))
    prompt = swap_loaders(to_prompt(workflow, server.object_info()))
    prompt = set_inputs(prompt, "EmptyLatentImage", width=128, height=128)
    prompt = set_inputs(prompt, "KSampler", steps=1)
    [inputs] = [node["inputs"] for node in prompt.values() if node["class_type"] == "EmotiCrafterConditioning"]
    assert {key: value for key, value in inputs.items() if not isinstance(value, list)} == {
        "valence": -1.55,
        "arousal": 1.75,
        "strength": 1.25,
    }
    old = server.queue(prompt).images
    assert old == server.queue(set_inputs(prompt, "EmotiCrafterConditioning", **NEUTRAL)).images
    changed = set_inputs(prompt, "EmotiCrafterConditioning", **NEUTRAL | {"arousal_gain": 2.0})
    assert old != server.queue(changed).images


def test_the_settings_are_optional_and_advanced_and_come_last(server):
    info = server.object_info()["EmotiCrafterConditioning"]["input"]
    assert list(info["optional"]) == [*list(NEUTRAL)[:5], "clip", "pooled", "pooled_prompt", "composition"]
    for name, value in NEUTRAL.items():
        _, options = info["optional"][name]
        assert (options["default"], options["advanced"]) == (value, True)


# ---- gains, words and the pooled vector ------------------------------------------------------------


def test_words_are_protected_by_what_comfyuis_clip_says_of_them(tmp_path):
    command = [comfyui_python(), Path(__file__).with_name("comfyui_protection.py"), ROOT, tmp_path]
    run = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    answer = json.loads(run.stdout.splitlines()[-1])
    assert answer["tokens"] == [1, 2, 80]
    assert answer["start"] == 0  # the start token knows of no word
    assert answer["shape"] == [4, 2048]
    assert max(answer["protected"]) < 1e-5
    assert min(answer["other"]) > 0.1
    assert answer["none"] is None
    assert answer["encoded"] == ["people", "old man", ""]
    assert answer["same"]  # the same words once more are not encoded again
    assert (answer["kept"], answer["two"], answer["left"]) == (1, 2, 1)  # and forgotten with their CLIP


def test_each_setting_changes_the_features_or_the_pooled_vector(server):
    graph = Graph()
    text, storm = graph.text(), graph.text("a storm")
    settings = {
        "valence": {"valence_gain": 2.0},
        "arousal": {"arousal_gain": 0.0},
        "words": {"protected_words": "people, sea", "clip": graph.clip()},
        "zero": {"pooled": "zero"},
        "storm": {"pooled": "from pooled_prompt", "pooled_prompt": storm},
    }
    for name, values in {"as it is": {}, **settings}.items():
        graph.report(graph.emotional(text, **values), name)
    graph.report(storm, "the other prompt")
    graph.report(graph.emotional(text, arousal=0.0), "without arousal")
    result = server.queue(graph)
    told = {name: report(result, name)[0] for name in result.outputs}
    assert len({told[name]["sha256"] for name in ("as it is", "valence", "arousal", "words")}) == 4
    assert told["arousal"]["sum"] == pytest.approx(told["without arousal"]["sum"], rel=1e-3)
    for name in ("zero", "storm"):
        assert told[name]["sha256"] == told["as it is"]["sha256"]
    pooled = {name: told[name]["extra"]["pooled_output"] for name in told}
    assert pooled["valence"] == pooled["arousal"] == pooled["words"] == pooled["as it is"]
    assert pooled["storm"] == pooled["the other prompt"]
    assert len({pooled[name] for name in ("as it is", "zero", "storm")}) == 3


# Ours where the node is run, and that of newer ComfyUIs, which look at lists before.
NO_SUCH_POOLED = "expected 'keep', 'zero' or 'from pooled_prompt'|Value not in list: pooled: 'none' not in"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"protected_words": "people，a face"},
            "protected_words has 2 words or phrases: 'people', 'a face', but nothing is connected to clip: connect",
        ),
        ({"pooled": "from pooled_prompt"}, "connected to pooled_prompt: connect a CLIP Text Encode"),
        ({"start_percent": 0.7, "end_percent": 0.2}, "the start not after the end"),
        ({"composition": 1.0, "end_percent": 0.2}, "composition 1 begins the emotion at 1.00 of the denoising, after"),
        ({"composition": 1.5}, "Value 1.5 bigger than max of 1.0: composition"),
        ({"arousal_gain": 2.5}, "Value 2.5 bigger than max of 2.0: arousal_gain"),
        ({"pooled": "none"}, NO_SUCH_POOLED),
    ],
)
def test_a_setting_that_cannot_be_is_refused_on_the_node(server, values, message):
    graph = Graph()
    graph.report(graph.emotional(graph.text(), "emotional", **values), "report")
    with pytest.raises(PromptError) as caught:
        server.queue(graph)
    assert re.search(message, str(caught.value))
    assert "emotional" in (caught.value.node_id, *(caught.value.node_errors or {}))
