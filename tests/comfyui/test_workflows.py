"""The shipped workflows, executed: in a real server, with small models in the place of the big ones."""

import json
from pathlib import Path

import pytest

from scripts.server import PromptError
from scripts.stand_ins import swap_loaders
from scripts.workflow import set_inputs, to_prompt

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
WITH_FILES = [name for name in NAMES if name != "try_it_miniature"]
"""Those that load files, and run with stand-ins here; the miniature brings its own (test_miniature_node.py)."""
SIZE = 128
VALUES = ("EmotiCrafterConditioning", "EmotiCrafterVAEncoder")
"""The nodes that hold valence and arousal; each workflow has one of them."""


def load_prompt(server, name: str) -> dict:
    """A shipped workflow as a prompt, as it is."""
    workflow = json.loads((ROOT / "workflows" / f"{name}.json").read_text("utf-8"))
    return to_prompt(workflow, server.object_info())


@pytest.fixture(params=WITH_FILES)
def prompt(request, server):
    """A shipped workflow with small models, made small and quick."""
    small = swap_loaders(load_prompt(server, request.param))
    small = set_inputs(small, "EmptyLatentImage", width=SIZE, height=SIZE)
    return set_inputs(small, "KSampler", steps=1)


def set_values(prompt: dict, **values) -> dict:
    [kind] = {node["class_type"] for node in prompt.values()} & set(VALUES)
    return set_inputs(prompt, kind, **values)


def picture(server, prompt: dict) -> bytes:
    """The file that Save Image wrote; previews come as well and are left aside."""
    result = server.queue(prompt)
    [node_id] = [key for key, node in prompt.items() if node["class_type"] == "SaveImage"]
    [saved] = result.outputs[node_id]["images"]
    assert saved["type"] == "output"
    assert saved["subfolder"] == "EmotiCrafter"
    return server.get(f"/view?filename={saved['filename']}&subfolder={saved['subfolder']}&type=output")


def test_a_workflow_gives_a_picture_that_follows_both_values(server, prompt):
    shipped = picture(server, prompt)
    assert shipped.startswith(b"\x89PNG")
    pleasant = picture(server, set_values(prompt, valence=0.5))
    intense = picture(server, set_values(prompt, arousal=0.5))
    assert len({shipped, pleasant, intense}) == 3


def test_strength_0_is_the_plain_workflow(server, prompt):
    [kind] = {node["class_type"] for node in prompt.values()} & {
        "EmotiCrafterConditioning",
        "EmotiCrafterInjection",
    }
    [node_id] = [key for key, node in prompt.items() if node["class_type"] == kind]
    plain = json.loads(json.dumps(prompt))
    source = plain.pop(node_id)["inputs"]["conditioning"]
    for node in plain.values():
        node["inputs"] = {
            key: source if value == [node_id, 0] else value for key, value in node["inputs"].items()
        }
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
    small = set_inputs(swap_loaders(load_prompt(server, name)), "EmptyLatentImage", width=SIZE, height=SIZE)
    small = set_inputs(small, "KSampler", steps=1)
    assert picture(server, small) != picture(server, set_inputs(small, loader, **value))


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
    assert "models/emoticrafter" in str(refusal.value).replace("\\", "/")


def test_the_template_browser_is_offered_every_workflow_and_thumbnail(server):
    [(pack, names)] = [
        (pack, names)
        for pack, names in server.get("/workflow_templates").items()
        if "emotional_text_to_image" in names
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
        inputs = [name for group in info["input_order"].values() for name in group]
        for name in [*inputs, *info["output_name"]]:
            assert f"**{name}**" in page, f"{node_id}: {name}"
        assert all(heading in page for heading in ("## Inputs", "## Outputs", "## Example", "## Tips"))
