"""The shipped workflows: whole, tidy, of known nodes only, and explained. tests/comfyui executes them."""

import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.pictures import thumbnail
from trainer.miniature.captions import SETTING_WORDS, SUBJECT_WORDS, TIME_WORDS
from trainer.miniature.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "workflows").glob("*.json")}
TITLE_HEIGHT = 30

# Node types and their inputs in order. A saved workflow holds widget values by position, so for our nodes this
# order is a contract; stock nodes are as in ComfyUI 0.3.75.
OURS = {
    "EmotiCrafterLoader": ["network_name", "dtype"],
    "EmotiCrafterVAEncoder": ["network", "valence", "arousal"],
    "EmotiCrafterInjection": ["conditioning", "emotion", "strength"],
    "EmotiCrafterConditioning": ["conditioning", "network", "valence", "arousal", "strength"],
    "EmotiCrafterValenceArousal": ["valence", "arousal"],
    "EmotiCrafterRegional": ["conditioning", "network", "mask", "valence", "arousal", "strength", "feather"],
    "EmotiCrafterRewrite": ["text", "valence", "arousal", "base_url", "model", "seed", "timeout"],
    "EmotiCrafterPreset": ["emotion", "intensity", "blend_with", "blend"],
    "EmotiCrafterGrid": [
        *("columns", "rows", "valence_min", "valence_max", "arousal_min", "arousal_max"),
        *("network", "latent"),
    ],
    "EmotiCrafterPath": ["keyframes", "frames", "easing", "closed", "network", "latent"],
    "EmotiCrafterGridImage": ["images", "points", "title", "cell_size", "columns"],
    "EmotiCrafterReadEmotion": ["images", "reader", "clip_vision"],
    "EmotiCrafterMap": ["size", "asked", "read"],
    "EmotiCrafterMiniature": [],
    "EmotiCrafterBaseline": ["model", "baseline_name", "valence", "arousal", "strength", "text", "clip"],
}
STOCK = {
    "CheckpointLoaderSimple": ["ckpt_name"],
    "LoraLoader": ["model", "clip", "lora_name", "strength_model", "strength_clip"],
    "ControlNetLoader": ["control_net_name"],
    "ControlNetApplyAdvanced": [
        *("positive", "negative", "control_net", "image", "vae"),
        *("strength", "start_percent", "end_percent"),
    ],
    "CLIPTextEncode": ["clip", "text"],
    "EmptyLatentImage": ["width", "height", "batch_size"],
    "LoadImage": ["image", "upload"],
    "Canny": ["image", "low_threshold", "high_threshold"],
    "PreviewImage": ["images"],
    "KSampler": [
        *("model", "positive", "negative", "latent_image"),
        *("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    ],
    "VAEDecode": ["samples", "vae"],
    "SaveImage": ["images", "filename_prefix"],
}
NOTE = "MarkdownNote"
RANGES = {"valence": (-3, 3), "arousal": (-3, 3), "strength": (0, 3)}

MINIATURE = "try_it_miniature"
SAMPLING = {"size": 1024, "steps": 25, "cfg": 7.5, "scheduler": "normal"}
MINIATURE_SAMPLING = {
    "size": Recipe.picture_size,
    "steps": Recipe.sampler_steps,
    "cfg": Recipe.guidance,
    "scheduler": "simple",
}

each_workflow = pytest.mark.parametrize("name", sorted(WORKFLOWS))
each_that_loads_files = pytest.mark.parametrize("name", sorted(WORKFLOWS.keys() - {MINIATURE}))


def nodes(name: str, kind: str | None = None) -> list[dict]:
    return [node for node in WORKFLOWS[name]["nodes"] if kind in (None, node["type"])]


def widgets(node: dict) -> dict:
    """A node's widget values by name; the seed's control and the upload button have a value of their own."""
    values = list(node["widgets_values"])
    if node["type"] == "KSampler":
        assert values.pop(1) == "fixed"
    names = [slot["name"] for slot in node["inputs"] if "widget" in slot]
    return dict(zip(names, values, strict=True))


def notes(name: str) -> str:
    return "\n".join(node["widgets_values"][0] for node in nodes(name, NOTE))


def test_the_four_workflows_are_there():
    assert WORKFLOWS.keys() >= {
        "emotional_text_to_image",
        "va_encoder_and_injection",
        "emotion_with_controlnet",
        "emotion_with_lora",
    }


@each_workflow
def test_it_is_in_the_format_that_the_interface_saves(name):
    workflow = WORKFLOWS[name]
    assert workflow["version"] == 0.4
    assert workflow["last_node_id"] == max(node["id"] for node in workflow["nodes"])
    assert workflow["last_link_id"] == max(link[0] for link in workflow["links"])
    assert len({node["id"] for node in workflow["nodes"]}) == len(workflow["nodes"])
    assert len({each["id"] for each in WORKFLOWS.values()}) == len(WORKFLOWS)


@each_workflow
def test_every_link_is_noted_at_both_its_ends(name):
    workflow = WORKFLOWS[name]
    by_id = {node["id"]: node for node in workflow["nodes"]}
    for link, source, source_slot, target, target_slot, kind in workflow["links"]:
        output, slot = by_id[source]["outputs"][source_slot], by_id[target]["inputs"][target_slot]
        assert link in output["links"]
        assert slot["link"] == link
        assert output["type"] == slot["type"] == kind
    ends = [link for node in workflow["nodes"] for slot in node["outputs"] for link in slot["links"] or []]
    starts = [slot["link"] for node in workflow["nodes"] for slot in node["inputs"] if slot.get("link")]
    assert sorted(ends) == sorted(starts) == sorted(link[0] for link in workflow["links"])


@each_workflow
def test_it_holds_known_nodes_with_their_inputs_in_the_frozen_order(name):
    for node in nodes(name):
        if node["type"] == NOTE:
            continue
        assert [slot["name"] for slot in node["inputs"]] == {**STOCK, **OURS}[node["type"]]
        assert node["properties"]["Node name for S&R"] == node["type"]
        assert node["properties"]["cnr_id"] == ("emoticrafter" if node["type"] in OURS else "comfy-core")
        assert node["mode"] == 0, "neither muted nor bypassed"


@each_workflow
def test_values_are_where_the_inputs_expect_them(name):
    assert any(node["type"] in OURS for node in nodes(name))
    for node in nodes(name):
        if node["type"] in OURS:
            for widget, value in widgets(node).items():
                low, high = RANGES.get(widget, (None, None))
                assert isinstance(value, str) if low is None else low <= value <= high, (widget, value)
    [sampler], [latent] = nodes(name, "KSampler"), nodes(name, "EmptyLatentImage")
    expected = dict(MINIATURE_SAMPLING if name == MINIATURE else SAMPLING)
    size = expected.pop("size")
    expected |= {"sampler_name": "euler", "denoise": 1}
    assert widgets(sampler) | expected == widgets(sampler)
    assert widgets(latent) == {"width": size, "height": size, "batch_size": 1}


@each_workflow
def test_only_inputs_that_may_stay_open_are_open(name):
    for node in nodes(name):
        open_inputs = {
            slot["name"] for slot in node["inputs"] if "widget" not in slot and not slot.get("link")
        }
        assert open_inputs <= ({"vae"} if node["type"] == "ControlNetApplyAdvanced" else set())


# ---- what a person sees ----------------------------------------------------------------------------


@each_that_loads_files
def test_the_notes_say_where_every_file_goes_and_how_to_get_the_network(name):
    text = notes(name)
    for node in nodes(name):
        for model in node["properties"].get("models", []):
            assert model["name"] in node["widgets_values"], "the interface offers only files that are chosen"
            assert f"  {model['directory']}/\n    {model['name']}\n" in text
            assert f"]({model['url']})" in text
            assert model["url"].startswith("https://huggingface.co/")
            assert model["url"].endswith(f"/{model['name']}")
    [loader] = nodes(name, "EmotiCrafterLoader")
    network = widgets(loader)["network_name"]
    assert f"  emoticrafter/\n    {network}\n" in text
    assert "python -m emoticrafter.weights download" in text
    assert re.search(rf"weights convert \S+\.pth \S+/emoticrafter/{re.escape(network)}\n", text)


@each_that_loads_files
def test_every_file_that_a_graph_loads_is_known_by_its_address(name):
    loaders = [
        n for n in nodes(name) if n["type"].endswith(("LoaderSimple", "LoraLoader", "ControlNetLoader"))
    ]
    assert loaders
    assert all(node["properties"]["models"] for node in loaders)


def test_the_miniatures_notes_say_what_it_is_and_every_word_that_it_knows():
    text = notes(MINIATURE)
    assert "It is not SDXL" in text
    assert "the folder `miniature` of the project's git repository" in text
    for words in (SUBJECT_WORDS, SETTING_WORDS, TIME_WORDS):
        for name, wordings in words.items():
            assert any(wording in text for wording in wordings), name
    prompt = nodes(MINIATURE, "CLIPTextEncode")[0]["widgets_values"][0]
    assert any(prompt.startswith(wording) for wordings in SUBJECT_WORDS.values() for wording in wordings)


@each_workflow
def test_nothing_overlaps_and_every_node_is_in_a_group(name):
    boxes = {node["id"]: _box(node) for node in nodes(name)}
    for (a, first), (b, second) in itertools.combinations(boxes.items(), 2):
        assert not _overlap(first, second), f"{a} and {b}"
    groups = [
        (x, y, x + width, y + height)
        for x, y, width, height in (group["bounding"] for group in WORKFLOWS[name]["groups"])
    ]
    assert len(groups) == 4
    for node in nodes(name):
        if node["type"] != NOTE:
            assert any(_inside(boxes[node["id"]], group) for group in groups), node["type"]
    assert [group["title"][0] for group in WORKFLOWS[name]["groups"]] == ["1", "2", "3", "4"]
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)


def _box(node: dict) -> tuple[float, float, float, float]:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE_HEIGHT, x + width, y + height


def _overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(inner, outer) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


@each_workflow
def test_the_thumbnail_is_small_and_shows_this_workflow(name):
    data = (ROOT / "workflows" / f"{name}.jpg").read_bytes()
    assert len(data) < 100_000
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
    drawn = np.asarray(thumbnail(WORKFLOWS[name]), dtype=float)
    assert shown.shape == drawn.shape
    assert np.abs(shown - drawn).mean() < 3, "run python scripts/pictures.py"


def test_thumbnails_of_two_workflows_differ():
    drawn = [np.asarray(thumbnail(workflow), dtype=float) for workflow in WORKFLOWS.values()]
    assert all(np.abs(a - b).mean() > 0.5 for a, b in itertools.combinations(drawn, 2))
