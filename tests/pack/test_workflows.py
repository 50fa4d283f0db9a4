"""The shipped workflows: whole, tidy, and with what people need to know. tests/comfyui executes them."""

import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.pictures import drawn, has_miniature
from trainer.miniature.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "workflows").glob("*.json")}
BLUEPRINT = json.loads((ROOT / "subgraphs" / "Emotional Prompt.json").read_text("utf-8"))
MINIATURES = {name for name, workflow in WORKFLOWS.items() if has_miniature(workflow)}
WITH_FILES = WORKFLOWS.keys() - MINIATURES
NOTE = "MarkdownNote"
TITLE_HEIGHT = 30

# A saved workflow holds widget values by position, so this order of our nodes' widgets is a contract.
ORDER = {
    "EmotiCrafterLoader": ["network_name", "dtype"],
    "EmotiCrafterVAEncoder": ["valence", "arousal"],
    "EmotiCrafterInjection": ["strength"],
    "EmotiCrafterConditioning": [
        *("valence", "arousal", "strength", "valence_gain", "arousal_gain", "start_percent"),
        *("end_percent", "protected_words", "pooled", "composition"),
    ],
    "EmotiCrafterCLIP": [
        *("valence", "arousal", "strength", "valence_gain", "arousal_gain", "start_percent"),
        *("end_percent", "protected_words", "pooled", "composition"),
    ],
    "EmotiCrafterRegional": ["valence", "arousal", "strength", "feather"],
    "EmotiCrafterGrid": ["columns", "rows", "valence_min", "valence_max", "arousal_min", "arousal_max"],
    "EmotiCrafterPath": ["keyframes", "frames", "easing", "closed"],
    "EmotiCrafterGridImage": ["title", "cell_size", "columns"],
    "EmotiCrafterReadEmotion": ["reader"],
    "EmotiCrafterMap": ["size"],
    "EmotiCrafterMiniature": ["plan"],
    "EmotiCrafterFit": ["name", "method", "pairs", "size", "minutes", "seed"],
}
LOADERS = ("LoaderSimple", "LoraLoader", "ControlNetLoader", "UNETLoader", "CLIPLoader", "VAELoader")
RANGES = {
    **dict.fromkeys(("valence", "arousal"), (-3, 3)),
    **dict.fromkeys(("valence_min", "valence_max", "arousal_min", "arousal_max"), (-3, 3)),
    "strength": (0, 3),
}
SAMPLING = {"steps": 25, "cfg": 7.5, "scheduler": "normal", "sampler_name": "euler"}
MINIATURE_SAMPLING = {**SAMPLING, "steps": Recipe.sampler_steps, "cfg": Recipe.guidance, "scheduler": "simple"}
# As in ComfyUI's own templates: steps, cfg and sampler, the picture's size, and what else the model takes.
FAMILIES = {
    "fit_and_paint_z_image": (9, 1, "res_multistep", 1024, {"ModelSamplingAuraFlow": [3]}),
    "fit_and_paint_qwen_image": (20, 2.5, "euler", 1328, {"ModelSamplingAuraFlow": [3.1]}),
    "fit_and_paint_flux": (20, 1, "euler", 1024, {"FluxGuidance": [3.5]}),
}


def nodes(name: str, *kinds: str) -> list[dict]:
    return [node for node in WORKFLOWS[name]["nodes"] if not kinds or node["type"] in kinds]


def saved_widgets(node: dict) -> list[str]:
    return [slot["name"] for slot in node["inputs"] if "widget" in slot]


def widgets(node: dict) -> dict:
    """A node's widget values by name; the seed's control has a value of its own."""
    values = list(node["widgets_values"])
    if node["type"] in ("KSampler", "KSamplerAdvanced"):
        assert values.pop(1 if node["type"] == "KSampler" else 2) == "fixed"
    return dict(zip(saved_widgets(node), values, strict=True))


def test_every_link_is_noted_at_both_its_ends():
    for name, workflow in WORKFLOWS.items():
        by_id = {node["id"]: node for node in workflow["nodes"]}
        for link, source, source_slot, target, target_slot, kind in workflow["links"]:
            output, slot = by_id[source]["outputs"][source_slot], by_id[target]["inputs"][target_slot]
            assert link in output["links"] and slot["link"] == link, name
            assert output["type"] == slot["type"] == kind, name
        ends = [link for node in workflow["nodes"] for slot in node["outputs"] for link in slot["links"] or []]
        starts = [slot["link"] for node in workflow["nodes"] for slot in node["inputs"] if slot.get("link")]
        assert sorted(ends) == sorted(starts) == sorted(link[0] for link in workflow["links"]), name


def test_our_nodes_hold_their_widgets_in_the_frozen_order_and_values_in_range():
    for name in WORKFLOWS:
        ours = nodes(name, *ORDER)
        assert ours, name
        for node in ours:
            saved = saved_widgets(node)
            # Fewer, if it was saved before the later ones were added.
            assert saved == ORDER[node["type"]][: len(saved)], (name, node["type"])
            for widget, value in widgets(node).items():
                low, high = RANGES.get(widget, (None, None))
                assert low is None or low <= value <= high, (name, widget, value)


def test_samplers_are_set_as_the_models_want_them():
    for name in WORKFLOWS.keys() - FAMILIES.keys():
        expected = MINIATURE_SAMPLING if name in MINIATURES else SAMPLING
        for sampler in nodes(name, "KSampler", "KSamplerAdvanced"):
            assert widgets(sampler) == widgets(sampler) | expected, name
        [latent] = nodes(name, "EmptyLatentImage")
        size = Recipe.picture_size if name in MINIATURES else 1024
        assert widgets(latent) == {"width": size, "height": size, "batch_size": 1}, name


def test_families_are_sampled_as_in_comfyuis_own_templates():
    for name, (steps, cfg, sampler, size, others) in FAMILIES.items():
        [values] = map(widgets, nodes(name, "KSampler"))
        expected = {"steps": steps, "cfg": cfg, "sampler_name": sampler, "scheduler": "simple", "denoise": 1}
        assert values == values | expected, name
        [latent] = map(widgets, nodes(name, "EmptySD3LatentImage"))
        assert latent == {"width": size, "height": size, "batch_size": 1}, name
        assert {kind: nodes(name, kind)[0]["widgets_values"] for kind in others} == others, name


def test_base_and_refiner_share_the_steps():
    base, refiner = map(widgets, nodes("emotion_with_refiner", "KSamplerAdvanced"))
    assert base["end_at_step"] == refiner["start_at_step"] < base["steps"]
    assert (base["add_noise"], base["return_with_leftover_noise"]) == ("enable", "enable")
    assert (refiner["add_noise"], refiner["return_with_leftover_noise"]) == ("disable", "disable")


def test_the_blueprint_is_one_node_with_what_it_shows():
    [host] = BLUEPRINT["nodes"]
    [inside] = BLUEPRINT["definitions"]["subgraphs"]
    assert host["type"] == inside["id"]
    shown = ["clip", "network", "text", "valence", "arousal", "strength"]
    assert [slot["name"] for slot in host["inputs"]] == [slot["name"] for slot in inside["inputs"]] == shown
    assert [slot["type"] for slot in host["outputs"]] == ["CONDITIONING"]
    # Older interfaces read `extra`, newer ones the subgraph itself.
    assert inside["description"] == BLUEPRINT["extra"]["BlueprintDescription"]
    assert inside["category"] == "EmotiCrafter"
    encode, emotion = inside["nodes"]
    assert (encode["type"], emotion["type"]) == ("CLIPTextEncode", "EmotiCrafterConditioning")
    assert saved_widgets(emotion) == ORDER["EmotiCrafterConditioning"]


# ---- what a person sees ----------------------------------------------------------------------------


def test_notes_say_where_every_file_goes_and_how_to_get_the_network():
    for name in WITH_FILES:
        text = "\n".join(node["widgets_values"][0] for node in nodes(name, NOTE))
        for node in nodes(name):
            if node["type"].endswith(LOADERS):
                assert node["properties"]["models"], name
            for model in node["properties"].get("models", []):
                assert model["name"] in node["widgets_values"], "the interface offers only files that are chosen"
                place = rf"  {model['directory']}/\n(    \S+\n)*    {re.escape(model['name'])}\n"
                assert re.search(place, text), name
                assert f"]({model['url']})" in text and model["url"].endswith(f"/{model['name']}"), name
        if fits := nodes(name, "EmotiCrafterFit"):
            assert f"`models/emoticrafter/{widgets(fits[0])['name']}.safetensors`" in text, name
            continue
        network = widgets(nodes(name, "EmotiCrafterLoader")[0])["network_name"]
        assert f"  emoticrafter/\n    {network}\n" in text, name
        assert "python -m emoticrafter.weights download" in text, name
        assert re.search(rf"weights convert \S+\.pth \S+/emoticrafter/{re.escape(network)}\n", text), name


def test_nothing_overlaps_and_every_node_is_in_a_group():
    for name, workflow in WORKFLOWS.items():
        boxes = {node["id"]: _box(node) for node in workflow["nodes"]}
        for (a, first), (b, second) in itertools.combinations(boxes.items(), 2):
            assert not _overlap(first, second), (name, a, b)
        groups = [_corners(*group["bounding"]) for group in workflow["groups"]]
        for node in workflow["nodes"]:
            box = boxes[node["id"]]
            assert node["type"] == NOTE or any(_inside(box, group) for group in groups), (name, node["type"])


def _corners(x, y, width, height) -> tuple[float, float, float, float]:
    return x, y, x + width, y + height


def _box(node: dict) -> tuple[float, float, float, float]:
    left, top, right, bottom = _corners(*node["pos"], *node["size"])
    return left, top - TITLE_HEIGHT, right, bottom


def _overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(inner, outer) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def test_thumbnails_are_small_and_show_their_workflow():
    for name in WORKFLOWS:
        data = (ROOT / "workflows" / f"{name}.jpg").read_bytes()
        assert len(data) < 150_000, name
        if name in WITH_FILES:  # the others are painted, by a server
            shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
            expected = np.asarray(drawn(WORKFLOWS[name]), dtype=float)
            assert shown.shape == expected.shape, name
            assert np.abs(shown - expected).mean() < 3, f"{name}: run python scripts/pictures.py"
