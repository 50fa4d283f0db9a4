"""Saved workflows become the prompts that ComfyUI's interface would send."""

import pytest

from scripts.stand_ins import NETWORK_NAME, swap_loaders
from scripts.workflow import WorkflowError, set_inputs, to_prompt

OBJECT_INFO = {
    "Loader": {"input": {"required": {"name": [["a", "b"], {"image_upload": True}]}}},
    "Text": {"input": {"required": {"text": ["STRING", {"multiline": True}], "clip": ["CLIP"]}}},
    "Sampler": {
        "input": {
            "required": {
                "model": ["MODEL", {}],
                "seed": ["INT", {"control_after_generate": True}],
                "steps": ["INT", {"default": 20}],
                "name": ["COMBO", {"options": ["euler"]}],
            },
            "optional": {"strength": ["FLOAT", {"default": 1.0}], "forced": ["FLOAT", {"forceInput": True}]},
        },
        "input_order": {"required": ["model", "seed", "steps", "name"], "optional": ["strength", "forced"]},
    },
    "Save": {"input": {"required": {"images": ["IMAGE"], "prefix": ["STRING", {}]}}},
}


def node(number, kind, values=(), mode=0, outputs=(), **links):
    """A saved node; a link is given as (id, type), an input without one as (None, type)."""
    return {
        "id": number,
        "type": kind,
        "mode": mode,
        "inputs": [{"name": name, "type": type_, "link": link} for name, (link, type_) in links.items()],
        "outputs": [{"name": type_, "type": type_} for type_ in outputs],
        "widgets_values": list(values),
    }


def workflow(nodes, links=(), **more):
    return {"nodes": nodes, "links": [list(link) for link in links], **more}


def prompt_of(*arguments, **more):
    return to_prompt(workflow(*arguments, **more), OBJECT_INFO)


def test_widget_values_go_to_their_inputs_past_the_seeds_control_and_the_upload_button():
    prompt = prompt_of(
        [node(1, "Loader", ["a", "image"]), node(2, "Sampler", [7, "randomize", 4, "euler", 0.5], model=(1, "MODEL"))],
        [(1, 1, 0, 2, 0, "MODEL")],
    )
    assert prompt == {
        "1": {"class_type": "Loader", "inputs": {"name": "a"}},
        "2": {
            "class_type": "Sampler",
            "inputs": {"model": ["1", 0], "seed": 7, "steps": 4, "name": "euler", "strength": 0.5},
        },
    }


def test_values_saved_before_an_input_was_added_leave_it_to_the_server():
    prompt = prompt_of([node(1, "Sampler", [7, "fixed", 4, "euler"])])
    assert prompt["1"]["inputs"] == {"seed": 7, "steps": 4, "name": "euler"}


def test_values_by_name_are_read_by_name():
    saved = node(1, "Sampler") | {"widgets_values": {"steps": 9, "seed": 1, "unknown": 5}}
    assert prompt_of([saved])["1"]["inputs"] == {"seed": 1, "steps": 9}


def test_a_linked_widget_takes_the_link():
    prompt = prompt_of(
        [node(1, "Text", ["x"], outputs=["STRING"]), node(2, "Save", ["old"], prefix=(1, "STRING"))],
        [(1, 1, 0, 2, 0, "STRING")],
    )
    assert prompt["2"]["inputs"] == {"prefix": ["1", 0]}


def test_notes_are_left_out_and_reroutes_and_primitives_are_looked_through():
    prompt = prompt_of(
        [
            node(1, "Text", ["x"], outputs=["STRING"]),
            node(2, "Reroute", input=(1, "*"), outputs=["STRING"]),
            node(3, "Reroute", input=(2, "*"), outputs=["STRING"]),
            node(4, "Save", ["old"], images=(3, "IMAGE"), prefix=(4, "STRING")),
            node(5, "PrimitiveNode", ["from a primitive", "fixed"]),
            node(6, "MarkdownNote", ["read me"]),
        ],
        [*((1, 1, 0, 2, 0, "*"), (2, 2, 0, 3, 0, "*"), (3, 3, 0, 4, 0, "*")), (4, 5, 0, 4, 1, "STRING")],
    )
    assert prompt.keys() == {"1", "4"}
    assert prompt["4"]["inputs"] == {"images": ["1", 0], "prefix": "from a primitive"}


def test_a_bypassed_node_hands_on_the_input_of_the_outputs_type():
    prompt = prompt_of(
        [
            node(1, "Loader", ["a"], outputs=["MODEL", "CLIP"]),
            node(2, "Lora", mode=4, model=(1, "MODEL"), clip=(2, "CLIP"), outputs=["MODEL", "CLIP"]),
            node(3, "Text", ["x"], clip=(3, "CLIP"), outputs=["CONDITIONING"]),
            node(4, "Emotion", mode=4, network=(None, "NETWORK"), c=(4, "COND"), outputs=["COND"]),
            node(5, "Save", ["p"], images=(5, "COND")),
        ],
        [
            *((1, 1, 0, 2, 0, "MODEL"), (2, 1, 1, 2, 1, "CLIP"), (3, 2, 1, 3, 0, "CLIP")),
            *((4, 3, 0, 4, 1, "COND"), (5, 4, 0, 5, 0, "COND")),
        ],
    )
    assert prompt["3"]["inputs"]["clip"] == ["1", 1]
    assert prompt["5"]["inputs"]["images"] == ["3", 0]


def test_a_muted_node_is_left_out_with_what_it_fed():
    prompt = prompt_of(
        [node(1, "Loader", ["a"], mode=2), node(2, "Save", ["p"], images=(1, "IMAGE"))], [(1, 1, 0, 2, 0, "IMAGE")]
    )
    assert prompt == {"2": {"class_type": "Save", "inputs": {"prefix": "p"}}}


def test_a_subgraph_is_unfolded():
    inside = {
        "id": "uuid",
        "nodes": [node(1, "Text", ["inner"], clip=(10, "CLIP"), outputs=["COND"])],
        "links": [
            {"id": 10, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0},
            {"id": 11, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
    }
    prompt = prompt_of(
        [
            node(3, "Save", ["p"], images=(2, "COND")),
            node(2, "uuid", clip=(1, "CLIP"), outputs=["COND"]),
            node(1, "Loader", ["a"], outputs=["CLIP"]),
        ],
        [(1, 1, 0, 2, 0, "CLIP"), (2, 2, 0, 3, 0, "COND")],
        definitions={"subgraphs": [inside]},
    )
    assert prompt["2:1"] == {"class_type": "Text", "inputs": {"text": "inner", "clip": ["1", 0]}}
    assert prompt["3"]["inputs"]["images"] == ["2:1", 0]
    assert prompt.keys() == {"1", "2:1", "3"}


def test_what_is_no_saved_workflow_is_refused_with_what_to_do():
    with pytest.raises(WorkflowError, match=r"no 'nodes' and 'links'.*Workflow > Save"):
        to_prompt({"1": {"class_type": "Save", "inputs": {}}}, OBJECT_INFO)


def test_an_unknown_node_is_named():
    with pytest.raises(WorkflowError, match="Node 4: the server has no node of the type Missing"):
        prompt_of([node(4, "Missing")])


def test_values_that_fit_no_input_are_refused():
    with pytest.raises(WorkflowError, match=r"Node 1 \(Save\) has widget values that belong to no input: \[3\]"):
        prompt_of([node(1, "Save", ["p", 3])])


def test_loaders_are_swapped_and_their_links_stay():
    prompt = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "big.safetensors"}},
        "2": {"class_type": "LoraLoader", "inputs": {"model": ["1", 0], "lora_name": "big", "strength_clip": 1}},
        "3": {"class_type": "EmotiCrafterLoader", "inputs": {"network_name": "big", "dtype": "float16"}},
        "4": {"class_type": "Save", "inputs": {"prefix": "p"}},
    }
    swapped = swap_loaders(prompt)
    assert swapped["1"] == {"class_type": "TinySDXLCheckpoint", "inputs": {}}
    assert swapped["2"]["inputs"] == {"model": ["1", 0], "lora_name": "tiny_sdxl_lora.safetensors", "strength_clip": 1}
    assert swapped["3"]["inputs"] == {"network_name": NETWORK_NAME, "dtype": "float16"}
    assert swapped["4"] == prompt["4"]
    assert prompt["2"]["inputs"]["lora_name"] == "big"


def test_the_parts_of_a_model_are_swapped_for_those_of_its_family():
    prompt = {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors"}},
        "2": {"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "clip_l.safetensors"}},
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
    }
    swapped = swap_loaders(prompt)
    assert [node["class_type"] for node in swapped.values()] == ["SmallModel", "SmallCLIP", "SmallVAE"]
    assert all(node["inputs"] == {"family": "Flux.1"} for node in swapped.values())
    assert swap_loaders({"3": prompt["3"]}) == {"3": prompt["3"]}, "a VAE alone says no family"


def test_inputs_are_set_on_every_node_of_a_class_in_a_copy():
    prompt = {
        "1": {"class_type": "Sampler", "inputs": {"steps": 20, "seed": 1}},
        "2": {"class_type": "Sampler", "inputs": {"steps": 30}},
    }
    assert [one["inputs"] for one in set_inputs(prompt, "Sampler", steps=4).values()] == [
        {"steps": 4, "seed": 1},
        {"steps": 4},
    ]
    assert prompt["1"]["inputs"]["steps"] == 20
    with pytest.raises(WorkflowError, match="no Missing node"):
        set_inputs(prompt, "Missing", steps=4)
