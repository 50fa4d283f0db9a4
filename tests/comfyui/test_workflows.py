"""The shipped workflows, executed: in a real server, with small models in the place of the big ones."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from scripts.pictures import has_miniature, thumbnail
from scripts.server import PromptError
from scripts.stand_ins import swap_loaders
from scripts.workflow import set_inputs, to_prompt
from tests.comfyui.graphs import write_pairs

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "workflows").glob("*.json")}
NAMES = sorted(WORKFLOWS)
MINIATURES = [name for name in NAMES if has_miniature(WORKFLOWS[name])]
"""Those that run with the shipped miniature; the others load files, and run with stand-ins here."""
WITH_FILES = [name for name in NAMES if name not in MINIATURES]
SIZE = 128
ENLARGED = 3 * SIZE
"""Where a picture is looked at alone: the interface shows none larger than it is."""
STEPS = 4
VALUES = ("EmotiCrafterConditioning", "EmotiCrafterVAEncoder")
"""The nodes that hold valence and arousal; each workflow that loads files has one of them, but for the plot."""
PLOT = "plot_over_valence"
DETAIL = ("ImageCrop", "ImageScale", "SolidMask", "FeatherMask", "ImageCompositeMasked")
"""The nodes of a detail, which name places and sizes in pixels."""
SAVING = ("SaveImage", "SaveAnimatedWEBP")
LATENTS = ("EmptyLatentImage", "EmptySD3LatentImage")
FIT, PAIRS = "EmotiCrafterFit", "workflows.csv"


def load_prompt(server, name: str) -> dict:
    """A shipped workflow as a prompt, as it is."""
    return to_prompt(WORKFLOWS[name], server.object_info())


@pytest.fixture(params=[name for name in WITH_FILES if name != PLOT])
def prompt(request, server):
    """A shipped workflow with small models, made small and quick."""
    return quick(small_prompt(server, request.param), steps=1)


def small_prompt(server, name: str) -> dict:
    small = swap_loaders(load_prompt(server, name))
    if any(node["class_type"] == FIT for node in small.values()):
        write_pairs(server.models / "emoticrafter" / "pairs" / PAIRS)
        small = set_inputs(small, FIT, pairs=PAIRS)
    [latent] = [node for node in small.values() if node["class_type"] in LATENTS]
    shrink = latent["inputs"]["width"] // SIZE
    for node in small.values():
        if node["class_type"] in DETAIL:
            pixels = {key: value // shrink for key, value in node["inputs"].items() if type(value) is int and value > 1}
            node["inputs"] = node["inputs"] | pixels
    return set_inputs(small, latent["class_type"], width=SIZE, height=SIZE)


def quick(prompt: dict, steps: int) -> dict:
    """With fewer steps; two samplers that share them keep their shares."""
    prompt = {key: {**node, "inputs": dict(node["inputs"])} for key, node in prompt.items()}
    for node in prompt.values():
        if node["class_type"] == "KSampler":
            node["inputs"]["steps"] = steps
        elif node["class_type"] == "KSamplerAdvanced":
            for name in ("steps", "start_at_step", "end_at_step"):
                node["inputs"][name] //= 5
    return prompt


def set_values(prompt: dict, **values) -> dict:
    [kind] = {node["class_type"] for node in prompt.values()} & set(VALUES)
    return set_inputs(prompt, kind, **values)


def pictures(server, prompt: dict, kinds=SAVING) -> list[bytes]:
    """The files that Save Image, or what is in `kinds`, wrote; previews come as well and are left aside."""
    result = server.queue(prompt)
    files = [
        file for key, node in prompt.items() if node["class_type"] in kinds for file in result.outputs[key]["images"]
    ]
    if kinds == SAVING:
        assert {(file["type"], file["subfolder"]) for file in files} == {("output", "EmotiCrafter")}
    place = "/view?filename={filename}&subfolder={subfolder}&type={type}"
    return [server.get(place.format(**file)) for file in files]


def picture(server, prompt: dict) -> bytes:
    [saved] = pictures(server, prompt)
    return saved


def pixels(file: bytes) -> np.ndarray:
    """[frames, height, width, 3]"""
    frames = ImageSequence.Iterator(Image.open(io.BytesIO(file)))
    return np.stack([np.asarray(frame.convert("RGB"), dtype=float) for frame in frames])


# ---- with stand-ins --------------------------------------------------------------------------------


def test_a_workflow_gives_a_picture_that_follows_both_values(server, prompt):
    shipped = picture(server, prompt)
    assert shipped.startswith(b"\x89PNG")
    pleasant = picture(server, set_values(prompt, valence=0.5))
    intense = picture(server, set_values(prompt, arousal=0.5))
    assert len({shipped, pleasant, intense}) == 3


def test_strength_0_is_the_plain_workflow(server, prompt):
    [kind] = {node["class_type"] for node in prompt.values()} & {"EmotiCrafterConditioning", "EmotiCrafterInjection"}
    [node_id] = [key for key, node in prompt.items() if node["class_type"] == kind]
    plain = json.loads(json.dumps(prompt))
    source = plain.pop(node_id)["inputs"]["conditioning"]
    for node in plain.values():
        node["inputs"] = {key: source if value == [node_id, 0] else value for key, value in node["inputs"].items()}
    emotional = picture(server, prompt)
    assert picture(server, set_inputs(prompt, kind, strength=0.0)) == picture(server, plain) != emotional


@pytest.mark.parametrize(
    ("name", "loader", "value"),
    [
        ("emotion_with_lora", "LoraLoader", {"strength_model": 0.0, "strength_clip": 0.0}),
        ("emotion_with_controlnet", "ControlNetApplyAdvanced", {"strength": 0.0}),
    ],
)
def test_lora_and_controlnet_take_part(server, name, loader, value):
    small = quick(small_prompt(server, name), steps=1)
    assert picture(server, small) != picture(server, set_inputs(small, loader, **value))


def test_the_refiner_takes_part(server):
    small = quick(small_prompt(server, "emotion_with_refiner"), steps=1)
    [refiner] = [
        key
        for key, node in small.items()
        if node["class_type"] == "KSamplerAdvanced" and node["inputs"]["start_at_step"]
    ]
    without = json.loads(json.dumps(small))
    latent = without[refiner]["inputs"]["latent_image"]
    for node in without.values():
        if node["class_type"] == "VAEDecode":
            node["inputs"]["samples"] = latent
    assert picture(server, small) != picture(server, without)


@pytest.mark.parametrize("name", WITH_FILES)
def test_without_the_files_the_server_names_each_that_is_missing(server, name):
    """What someone sees who has not put the files in their places yet."""
    prompt = load_prompt(server, name)
    with pytest.raises(PromptError) as refusal:
        server.queue(prompt)
    for node in prompt.values():
        for file in node["inputs"].values():
            if isinstance(file, str) and file.endswith(".safetensors"):
                assert file in str(refusal.value)
    if not any(node["class_type"] == FIT for node in prompt.values()):
        assert "models/emoticrafter" in str(refusal.value).replace("\\", "/")


def test_a_detail_of_an_own_checkpoint_has_its_own_mood(server):
    prompt = quick(small_prompt(server, "detailer_with_its_own_mood"), steps=STEPS)
    check_detail(server, prompt)
    # the stand-in's VAE gives latents beside which noise and text are nothing: from empty ones its own point shows
    [latent] = [key for key, node in prompt.items() if node["class_type"] == "EmptyLatentImage"]
    drawn = set_inputs(prompt, "SetLatentNoiseMask", samples=[latent, 0])
    assert picture(server, drawn) != picture(server, set_inputs(drawn, "EmotiCrafterCLIP", valence=-2.5, arousal=-1.5))


def check_detail(server, prompt: dict) -> np.ndarray:
    """What is cut out changes, and nothing else. Returns its pixels."""
    before, after = (pixels(pictures(server, prompt, (kind,))[0])[0] for kind in ("PreviewImage", "SaveImage"))
    change, inside = np.abs(after - before), np.zeros(after.shape[:2], dtype=bool)
    inside[detail_of(prompt)] = True
    assert change[~inside].max() == 0
    assert change[inside].mean() > 2
    return after[inside]


def detail_of(prompt: dict) -> tuple[slice, slice]:
    """Rows and columns of what is cut out."""
    [crop] = [node["inputs"] for node in prompt.values() if node["class_type"] == "ImageCrop"]
    return slice(crop["y"], crop["y"] + crop["height"]), slice(crop["x"], crop["x"] + crop["width"])


def test_the_plot_of_an_own_checkpoint_has_a_row_for_each_strength(server):
    small = quick(set_inputs(small_prompt(server, PLOT), "EmotiCrafterGridImage", cell_size=SIZE), steps=1)
    rows = plot_rows(picture(server, small))
    assert all((one != other).any() for one, other in itertools.combinations(rows, 2))
    plain = plot_rows(picture(server, set_inputs(small, "EmotiCrafterInjection", strength=0.0)))
    assert all((row == plain[0]).all() for row in plain) and (plain[0] != rows[0]).any()


def plot_rows(file: bytes) -> list[np.ndarray]:
    """Of each of the plot's three rows: a strip through its seven pictures, below the title."""
    [plot] = pixels(file)
    assert 7 * SIZE < plot.shape[1] < 8 * SIZE
    return [row[SIZE // 2 : SIZE] for row in np.split(plot, 3)]


# ---- with the shipped miniature ---------------------------------------------------------------------


@pytest.mark.parametrize("name", MINIATURES)
def test_a_miniature_workflow_makes_a_picture_from_what_the_project_brings(server, name):
    [frames] = [pixels(file) for file in pictures(server, quick(load_prompt(server, name), steps=1))]
    assert frames.std() > 5, "not one colour"


@pytest.mark.parametrize(
    "name",
    [*("try_it_miniature", "pad_to_picture_miniature"), *("fit_and_paint_miniature", "fit_and_paint_lumina_miniature")],
)
def test_dragging_the_point_changes_the_picture_and_runs_only_what_follows(server, name):
    small = quick(load_prompt(server, name), steps=STEPS)
    before = picture(server, small)
    moved = set_inputs(small, "EmotiCrafterConditioning", valence=-2.5, arousal=-1.0)
    ran = {moved[key]["class_type"] for key in server.queue(moved).executed}
    assert ran - {"ImageScaleBy"} == {"EmotiCrafterConditioning", "KSampler", "VAEDecode", "SaveImage"}
    assert np.abs(pixels(picture(server, moved)) - pixels(before)).mean() > 2


def test_the_grid_has_a_picture_for_each_of_its_25_points(server):
    [grid] = pixels(picture(server, quick(load_prompt(server, "emotion_grid_miniature"), steps=1)))
    assert min(grid.shape[:2]) > 5 * SIZE
    assert max(grid.shape[:2]) < 6.5 * SIZE


def test_the_strip_has_31_pictures(server):
    [strip] = pixels(picture(server, quick(load_prompt(server, "emotion_strip_miniature"), steps=1)))
    assert 8 * SIZE < strip.shape[1] < 10 * SIZE, "eight in a row"
    assert 4 * SIZE < strip.shape[0] < 7 * SIZE, "four rows"


def test_the_animation_is_a_loop_of_24_frames_that_move_evenly(server):
    prompt = quick(load_prompt(server, "emotion_path_animation_miniature"), steps=STEPS)
    frames = pixels(picture(server, prompt))
    assert frames.shape == (24, ENLARGED, ENLARGED, 3)
    changes = np.abs(frames - np.roll(frames, 1, axis=0)).mean((1, 2, 3))  # the first from the last one
    assert changes.min() > 0
    assert changes[0] < 3 * np.median(changes), "the end flows into the beginning"


def test_each_half_has_its_own_mood(server):
    prompt = quick(load_prompt(server, "two_moods_miniature"), steps=STEPS)
    left, right = (key for key, node in prompt.items() if node["class_type"] == "EmotiCrafterRegional")
    shown = pixels(picture(server, prompt))
    for node_id, here in ((left, slice(0, ENLARGED // 2)), (right, slice(ENLARGED // 2, ENLARGED))):
        node = {**prompt[node_id], "inputs": {**prompt[node_id]["inputs"], "valence": 0.0, "arousal": 0.0}}
        change = np.abs(pixels(picture(server, {**prompt, node_id: node})) - shown)
        assert change[:, :, here].mean() > 1.5 * np.delete(change, np.r_[here], axis=2).mean()


def test_img2img_keeps_the_picture_and_changes_its_mood(server):
    prompt = quick(load_prompt(server, "emotion_with_img2img_miniature"), steps=STEPS)
    before, after = (pixels(pictures(server, prompt, (kind,))[0]) for kind in ("PreviewImage", "SaveImage"))
    # Without the emotion: one that turns day to night moves every pixel further than another lighthouse would.
    plain = set_inputs(prompt, "EmotiCrafterConditioning", strength=0.0)
    from_noise = set_inputs(plain, "KSampler", denoise=1.0)
    kept, drawn_anew = (pixels(picture(server, graph)) for graph in (plain, from_noise))
    assert np.abs(kept - before).mean() < 0.85 * np.abs(drawn_anew - before).mean()
    assert np.abs(after - before).mean() > 2
    assert np.abs(kept - after).mean() > 1


def test_inpainting_leaves_the_other_half_as_it_was(server):
    prompt = quick(load_prompt(server, "emotion_with_inpainting_miniature"), steps=STEPS)
    before, after = (pixels(pictures(server, prompt, (kind,))[0]) for kind in ("PreviewImage", "SaveImage"))
    change = np.abs(after - before)
    painted, kept = change[:, : ENLARGED // 2].mean(), change[:, ENLARGED * 5 // 8 :].mean()
    assert kept < 5, "once more through the VAE, and nothing else"
    assert painted > 2 * kept


def test_a_detail_has_its_own_mood_and_the_rest_stays(server):
    prompt = quick(load_prompt(server, "detailer_with_its_own_mood_miniature"), steps=STEPS)
    shown = check_detail(server, prompt)
    moved = check_detail(server, set_inputs(prompt, "EmotiCrafterCLIP", valence=2.5, arousal=-1.5))
    assert np.abs(moved - shown).mean() > 2, "its own point decides"


def test_a_detail_shows_no_border(server):
    """Towards the border of what was put back, the picture hardly changes, though its middle does."""
    prompt = load_prompt(server, "detailer_with_its_own_mood_miniature")
    before, after = (pixels(pictures(server, prompt, (kind,))[0])[0] for kind in ("PreviewImage", "SaveImage"))
    change = np.abs(after - before)[detail_of(prompt)]
    width = len(change) // 8
    sides = (change[:, :width], change[:, -width:], change[-width:])  # above is the picture's own border
    middle = change[2 * width : -2 * width, 2 * width : -2 * width]
    assert 10 * max(side.mean() for side in sides) < middle.mean() and middle.mean() > 10


def test_the_plot_shows_more_change_the_stronger_the_emotion(server):
    prompt = quick(load_prompt(server, "plot_over_valence_miniature"), steps=STEPS)
    ends = [slice(SIZE // 2, SIZE), slice(-SIZE, -SIZE // 2)]  # inside of the first picture, and of the last
    rows = plot_rows(picture(server, prompt))
    change = [np.abs(row[:, ends[1]] - row[:, ends[0]]).mean() for row in rows]
    assert 2 < change[0] < change[1] < change[2]


def test_what_was_asked_for_is_read_again_and_drawn(server):
    prompt = quick(load_prompt(server, "asked_against_achieved_miniature"), steps=1)
    [reading] = [key for key, node in prompt.items() if node["class_type"] == "EmotiCrafterReadEmotion"]
    [text] = server.queue(prompt).outputs[reading]["text"]
    assert text.startswith("25 pictures, mean valence ")
    assert pixels(picture(server, prompt)).shape[2] == 768


def test_a_thumbnail_is_what_its_workflow_paints(server):
    workflow = WORKFLOWS["pad_to_picture_miniature"]
    expected = thumbnail(server, workflow)
    with Image.open(ROOT / "workflows" / "pad_to_picture_miniature.jpg") as shown:
        assert shown.size == expected.size
        difference = np.abs(np.asarray(shown, dtype=float) - np.asarray(expected, dtype=float))
    assert difference.mean() < 5, "run python scripts/pictures.py"


# ---- in the interface ------------------------------------------------------------------------------


def test_the_template_browser_is_offered_every_workflow_and_thumbnail(server):
    [(pack, names)] = [
        (pack, names) for pack, names in server.get("/workflow_templates").items() if "emotional_text_to_image" in names
    ]
    assert sorted(names) == NAMES
    for name in names:
        workflow = server.get(f"/api/workflow_templates/{pack}/{name}.json")
        assert workflow["version"] == 0.4
        assert server.get(f"/api/workflow_templates/{pack}/{name}.jpg").startswith(b"\xff\xd8")


def test_help_pages_name_every_input_and_output(server):
    ours = {key: info for key, info in server.object_info().items() if key.startswith("EmotiCrafter")}
    assert len(ours) >= 4
    for node_id, info in ours.items():
        [pack] = {info["python_module"].split(".")[-1]}
        page = server.get(f"/extensions/{pack}/docs/{node_id}.md").decode()
        inputs = [name for kind, group in info["input_order"].items() if kind != "hidden" for name in group]
        for name in [*inputs, *info["output_name"]]:
            assert f"**{name}**" in page, f"{node_id}: {name}"
        assert all(heading in page for heading in ("## Inputs", "## Outputs", "## Example", "## Tips"))
