"""The shipped workflows: whole, tidy, of known nodes only, and explained. tests/comfyui executes them."""

import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoticrafter.path import path_points, read_keyframes
from scripts.pictures import (
    INSET,
    MOODS,
    SIZE,
    at_mood,
    drawn,
    four_moods,
    has_miniature,
    montage,
    painted,
    points_of,
    shows_one_mood,
)
from trainer.miniature.recipe import Recipe
from trainer.world.captions import SETTING_WORDS, SUBJECT_WORDS, TIME_WORDS

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "workflows").glob("*.json")}
BLUEPRINT = json.loads((ROOT / "subgraphs" / "Emotional Prompt.json").read_text("utf-8"))
TITLE_HEIGHT = 30

# Node types, their widgets in order, and their other inputs. A saved workflow holds widget values by position, so for
# our nodes this order is a contract; stock nodes are as in ComfyUI 0.3.75.
OURS = {
    "EmotiCrafterLoader": (["network_name", "dtype"], []),
    "EmotiCrafterVAEncoder": (["valence", "arousal"], ["network"]),
    "EmotiCrafterInjection": (["strength"], ["conditioning", "emotion"]),
    "EmotiCrafterConditioning": (
        [
            *("valence", "arousal", "strength", "valence_gain", "arousal_gain", "start_percent"),
            *("end_percent", "protected_words", "pooled"),
        ],
        ["conditioning", "network", "clip", "pooled_prompt"],
    ),
    "EmotiCrafterRegional": (
        ["valence", "arousal", "strength", "feather"],
        ["conditioning", "network", "mask"],
    ),
    "EmotiCrafterGrid": (
        ["columns", "rows", "valence_min", "valence_max", "arousal_min", "arousal_max"],
        ["network", "latent"],
    ),
    "EmotiCrafterPath": (["keyframes", "frames", "easing", "closed"], ["network", "latent"]),
    "EmotiCrafterGridImage": (["title", "cell_size", "columns"], ["images", "points"]),
    "EmotiCrafterReadEmotion": (["reader"], ["images", "clip_vision"]),
    "EmotiCrafterMap": (["size"], ["asked", "read"]),
    "EmotiCrafterMiniature": ([], []),
}
SAMPLER_INPUTS = ["model", "positive", "negative", "latent_image"]
STOCK = {
    "CheckpointLoaderSimple": (["ckpt_name"], []),
    "LoraLoader": (["lora_name", "strength_model", "strength_clip"], ["model", "clip"]),
    "ControlNetLoader": (["control_net_name"], []),
    "ControlNetApplyAdvanced": (
        ["strength", "start_percent", "end_percent"],
        ["positive", "negative", "control_net", "image", "vae"],
    ),
    "CLIPTextEncode": (["text"], ["clip"]),
    "EmptyLatentImage": (["width", "height", "batch_size"], []),
    "LoadImage": (["image", "upload"], []),
    "Canny": (["low_threshold", "high_threshold"], ["image"]),
    "PreviewImage": ([], ["images"]),
    "KSampler": (["seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"], SAMPLER_INPUTS),
    "KSamplerAdvanced": (
        [
            *("add_noise", "noise_seed", "steps", "cfg", "sampler_name", "scheduler"),
            *("start_at_step", "end_at_step", "return_with_leftover_noise"),
        ],
        SAMPLER_INPUTS,
    ),
    "VAEDecode": ([], ["samples", "vae"]),
    "VAEEncode": ([], ["pixels", "vae"]),
    "ImageScaleBy": (["upscale_method", "scale_by"], ["image"]),
    "SetLatentNoiseMask": ([], ["samples", "mask"]),
    "SolidMask": (["value", "width", "height"], []),
    "MaskComposite": (["x", "y", "operation"], ["destination", "source"]),
    "InvertMask": ([], ["mask"]),
    "SaveImage": (["filename_prefix"], ["images"]),
    "SaveAnimatedWEBP": (["filename_prefix", "fps", "lossless", "quality", "method"], ["images"]),
}
NOTE = "MarkdownNote"
RANGES = {"valence": (-3, 3), "arousal": (-3, 3), "strength": (0, 3)}
PLANE = {"valence_min", "valence_max", "arousal_min", "arousal_max"}

TRY_IT = "try_it_miniature"
EXPLAINED_IN_THREE = {
    "pad_to_picture_miniature",
    "emotion_grid_miniature",
    "emotion_strip_miniature",
    "emotion_path_animation_miniature",
    "two_moods_miniature",
    "emotion_with_img2img_miniature",
    "emotion_with_inpainting_miniature",
    "emotion_with_refiner",
    "asked_against_achieved_miniature",
}
SAMPLING = {"steps": 25, "cfg": 7.5, "scheduler": "normal"}
MINIATURE_SAMPLING = {"steps": Recipe.sampler_steps, "cfg": Recipe.guidance, "scheduler": "simple"}

MINIATURES = sorted(name for name, workflow in WORKFLOWS.items() if has_miniature(workflow))
each_workflow = pytest.mark.parametrize("name", sorted(WORKFLOWS))
each_miniature = pytest.mark.parametrize("name", MINIATURES)
each_that_loads_files = pytest.mark.parametrize("name", sorted(WORKFLOWS.keys() - {*MINIATURES}))


def nodes(name: str, kind: str | None = None) -> list[dict]:
    return [node for node in WORKFLOWS[name]["nodes"] if kind in (None, node["type"])]


def widgets(node: dict) -> dict:
    """A node's widget values by name; the seed's control and the upload button have a value of their own."""
    values = list(node["widgets_values"])
    if node["type"] in ("KSampler", "KSamplerAdvanced"):
        assert values.pop(1 if node["type"] == "KSampler" else 2) == "fixed"
    names = [slot["name"] for slot in node["inputs"] if "widget" in slot]
    return dict(zip(names, values, strict=True))


def notes(name: str) -> str:
    return "\n".join(node["widgets_values"][0] for node in nodes(name, NOTE))


def test_the_workflows_are_there():
    assert WORKFLOWS.keys() == EXPLAINED_IN_THREE | {
        TRY_IT,
        "emotional_text_to_image",
        "va_encoder_and_injection",
        "emotion_with_controlnet",
        "emotion_with_lora",
    }


def test_those_that_run_offline_say_so_in_their_name():
    assert [name for name in sorted(WORKFLOWS) if name.endswith("_miniature")] == MINIATURES


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
def test_it_holds_known_nodes_with_their_widgets_in_the_frozen_order(name):
    for node in nodes(name):
        if node["type"] == NOTE:
            continue
        order, others = {**STOCK, **OURS}[node["type"]]
        saved = [slot["name"] for slot in node["inputs"] if "widget" in slot]
        assert saved == order[: len(saved)], "fewer, if it was saved before the later ones were added"
        assert {slot["name"] for slot in node["inputs"]} <= {*order, *others}
        assert node["properties"]["Node name for S&R"] == node["type"]
        assert node["properties"]["cnr_id"] == ("emoticrafter" if node["type"] in OURS else "comfy-core")
        assert node["mode"] == 0, "neither muted nor bypassed"


@each_workflow
def test_values_are_where_the_inputs_expect_them(name):
    assert any(node["type"] in OURS for node in nodes(name))
    for node in nodes(name):
        for widget, value in widgets(node).items() if node["type"] in OURS else ():
            if widget in RANGES:
                low, high = RANGES[widget]
                assert low <= value <= high, (widget, value)
            elif widget in PLANE:
                assert -3 <= value <= 3
            else:
                assert isinstance(value, bool | int | float | str)
    samplers = [*nodes(name, "KSampler"), *nodes(name, "KSamplerAdvanced")]
    expected = MINIATURE_SAMPLING if name in MINIATURES else SAMPLING
    for sampler in samplers:
        assert widgets(sampler) | expected | {"sampler_name": "euler"} == widgets(sampler)
        assert 0 < widgets(sampler).get("denoise", 1) <= 1
    assert samplers
    [latent] = nodes(name, "EmptyLatentImage")
    size = Recipe.picture_size if name in MINIATURES else 1024
    assert widgets(latent) == {"width": size, "height": size, "batch_size": 1}


@each_workflow
def test_only_inputs_that_may_stay_open_are_open(name):
    for node in nodes(name):
        for slot in node["inputs"]:
            assert "widget" in slot or slot.get("link") or slot.get("shape") == 7, (
                node["type"],
                slot["name"],
            )


def test_base_and_refiner_share_the_steps():
    base, refiner = map(widgets, nodes("emotion_with_refiner", "KSamplerAdvanced"))
    assert base["end_at_step"] == refiner["start_at_step"] < base["steps"]
    assert (base["add_noise"], base["return_with_leftover_noise"]) == ("enable", "enable")
    assert (refiner["add_noise"], refiner["return_with_leftover_noise"]) == ("disable", "disable")
    texts = {
        node.get("title"): widgets(node)["text"] for node in nodes("emotion_with_refiner", "CLIPTextEncode")
    }
    assert texts["Prompt"] == texts["Prompt for the refiner"]


def test_the_strip_goes_in_steps_of_a_fifth():
    [path] = map(widgets, nodes("emotion_strip_miniature", "EmotiCrafterPath"))
    points = path_points(
        read_keyframes(path["keyframes"], path["frames"], []), path["frames"], path["easing"]
    )
    assert [point[0] for point in points] == pytest.approx([-3 + 0.2 * step for step in range(31)])
    assert {point[1] for point in points} == {0}


# ---- what a person sees ----------------------------------------------------------------------------


@each_that_loads_files
def test_the_notes_say_where_every_file_goes_and_how_to_get_the_network(name):
    text = notes(name)
    for node in nodes(name):
        for model in node["properties"].get("models", []):
            assert model["name"] in node["widgets_values"], "the interface offers only files that are chosen"
            place = rf"  {model['directory']}/\n(    \S+\n)*    {re.escape(model['name'])}\n"
            assert re.search(place, text)
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
    text = notes(TRY_IT)
    assert "the folder `miniature` of the project's git repository" in text
    for words in (SUBJECT_WORDS, SETTING_WORDS, TIME_WORDS):
        for name, wordings in words.items():
            assert any(wording in text for wording in wordings), name


@each_miniature
def test_a_miniatures_prompt_is_of_words_that_it_knows(name):
    assert "It is not SDXL" in notes(name)
    [prompt] = {widgets(node)["text"] for node in nodes(name, "CLIPTextEncode")} - {""}
    for words in (SUBJECT_WORDS, SETTING_WORDS, TIME_WORDS):
        assert any(wording in prompt for wordings in words.values() for wording in wordings)


@pytest.mark.parametrize("name", sorted(EXPLAINED_IN_THREE))
def test_one_note_explains_it_in_three_sentences(name):
    counts = [
        len(re.findall(r"[.!?](?=\s|$)", node["widgets_values"][0].strip())) for node in nodes(name, NOTE)
    ]
    assert 3 in counts


@each_workflow
def test_nothing_overlaps_and_every_node_is_in_a_group(name):
    boxes = {node["id"]: _box(node) for node in nodes(name)}
    for (a, first), (b, second) in itertools.combinations(boxes.items(), 2):
        assert not _overlap(first, second), f"{a} and {b}"
    groups = [
        (x, y, x + width, y + height)
        for x, y, width, height in (group["bounding"] for group in WORKFLOWS[name]["groups"])
    ]
    for node in nodes(name):
        if node["type"] != NOTE:
            assert any(_inside(boxes[node["id"]], group) for group in groups), node["type"]
    for number, group in enumerate(WORKFLOWS[name]["groups"], 1):
        assert group["title"].startswith(f"{number}  ")
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)


def _box(node: dict) -> tuple[float, float, float, float]:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE_HEIGHT, x + width, y + height


def _overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(inner, outer) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def thumbnail(name: str) -> np.ndarray:
    data = (ROOT / "workflows" / f"{name}.jpg").read_bytes()
    assert len(data) < 150_000
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


@each_that_loads_files
def test_the_thumbnail_shows_this_workflow(name):
    expected = np.asarray(drawn(WORKFLOWS[name]), dtype=float)
    assert thumbnail(name).shape == expected.shape
    assert np.abs(thumbnail(name) - expected).mean() < 3, "run python scripts/pictures.py"


@each_miniature
def test_a_thumbnail_that_was_painted_is_a_picture(name):
    picture = thumbnail(name)
    assert picture.shape[1] == SIZE
    assert picture.std() > 10


def test_thumbnails_of_two_workflows_differ():
    shown = [
        np.asarray(Image.fromarray(thumbnail(name).astype(np.uint8)).resize((64, 64))) for name in WORKFLOWS
    ]
    assert all(np.abs(a.astype(float) - b).mean() > 0.5 for a, b in itertools.combinations(shown, 2))


# ---- pictures side by side -------------------------------------------------------------------------


def solid(colour: str, size: tuple[int, int] = (40, 40)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_pictures_of_a_row_get_one_height_and_fill_the_width():
    sheet = montage([solid("red", (40, 40)), solid("blue", (60, 30))])
    assert sheet.size == (SIZE, round(SIZE / 3))
    assert sheet.getpixel((SIZE // 3 - 5, 5)) == (255, 0, 0)
    assert sheet.getpixel((SIZE // 3 + 5, sheet.height - 5)) == (0, 0, 255)


def test_of_many_frames_nine_are_shown_from_the_first_on():
    frames = [solid(f"rgb({10 * number}, 0, 0)") for number in range(24)]
    sheet = montage(frames)
    places = [
        (SIZE * (2 * column + 1) // 6, SIZE * (2 * row + 1) // 6) for row in range(3) for column in range(3)
    ]
    assert [sheet.getpixel(place)[0] for place in places] == [10 * (24 * n // 9) for n in range(9)]


def test_the_points_of_the_pads_are_in_the_corner():
    sheet = painted([solid("green")], [(-3.0, 3.0)])
    left, top = (round(SIZE - 12 - INSET + INSET * (0.5 - 1 / 2.2)),) * 2
    assert sheet.getpixel((left, top)) == (255, 255, 255)
    assert sheet.getpixel((SIZE - INSET - 20, SIZE - 20)) == (0, 128, 0)
    assert painted([solid("green")], []).getpixel((left, top)) == (0, 128, 0)


def test_of_two_pictures_the_pad_leaves_both_their_middles_free():
    sheet = painted([solid("green")] * 2, [(0.0, 0.0)])
    middle = sheet.height - 12 - INSET // 2
    assert sheet.getpixel((SIZE // 2, middle)) == (255, 255, 255)
    assert sheet.getpixel((SIZE // 4, middle)) == sheet.getpixel((SIZE * 3 // 4, middle)) == (0, 128, 0)


def test_four_moods_lie_as_on_the_plane_around_it():
    colours = ("red", "yellow", "blue", "lime")
    sheet = four_moods([solid(colour) for colour in colours])
    for (valence, arousal), colour in zip(MOODS, colours, strict=True):
        place = (
            SIZE * (valence > 0) + (10 if valence < 0 else -10),
            SIZE * (arousal < 0) + (10 if arousal > 0 else -10),
        )
        assert sheet.getpixel(place) == solid(colour).getpixel((0, 0))
    assert sheet.getpixel(((SIZE - INSET) // 2 + 1, SIZE // 2)) == (255, 255, 255), "the pad's border"


def test_a_workflow_of_one_pad_and_one_picture_is_shown_at_other_moods_and_no_other_is():
    assert {name for name in MINIATURES if shows_one_mood(WORKFLOWS[name])} == {
        TRY_IT,
        "pad_to_picture_miniature",
    }
    moved = at_mood(WORKFLOWS[TRY_IT], (-2.4, 1.6))
    assert points_of(moved) == [(-2.4, 1.6)] != points_of(WORKFLOWS[TRY_IT])
    [before], [after] = (
        [node for node in each["nodes"] if node["type"] == "EmotiCrafterConditioning"]
        for each in (WORKFLOWS[TRY_IT], moved)
    )
    assert after["widgets_values"][2:] == before["widgets_values"][2:]


# ---- the blueprint ---------------------------------------------------------------------------------


def test_the_blueprint_is_one_node_with_what_it_shows():
    [host] = BLUEPRINT["nodes"]
    [inside] = BLUEPRINT["definitions"]["subgraphs"]
    assert host["type"] == inside["id"]
    shown = ["clip", "network", "text", "valence", "arousal", "strength"]
    assert [slot["name"] for slot in host["inputs"]] == [slot["name"] for slot in inside["inputs"]] == shown
    assert [slot["type"] for slot in host["outputs"]] == ["CONDITIONING"]
    assert [node["type"] for node in inside["nodes"]] == ["CLIPTextEncode", "EmotiCrafterConditioning"]
    for node in inside["nodes"]:
        order, _ = {**STOCK, **OURS}[node["type"]]
        assert [slot["name"] for slot in node["inputs"] if "widget" in slot] == order


def test_the_blueprints_links_are_noted_at_both_their_ends():
    [inside] = BLUEPRINT["definitions"]["subgraphs"]
    by_id = {node["id"]: node for node in inside["nodes"]}
    for link in inside["links"]:
        source, target = by_id.get(link["origin_id"]), by_id.get(link["target_id"])
        sources = source["outputs"] if source else inside["inputs"]
        targets = target["inputs"] if target else inside["outputs"]
        start, end = sources[link["origin_slot"]], targets[link["target_slot"]]
        assert link["id"] in start.get("links", start.get("linkIds"))
        assert link["id"] in (end["linkIds"] if "linkIds" in end else [end["link"]])
        assert start["type"] == end["type"] == link["type"]
