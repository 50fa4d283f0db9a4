"""Builds the second miniature's exported files as the node does, and writes what ComfyUI's classes compute.

Started by test_flow_parity.py with ComfyUI's Python, in ComfyUI's folder:
comfyui_flow.py FOLDER REQUEST.safetensors ANSWER.safetensors [dynamic]
"""

import json
import sys
from pathlib import Path

from pack import import_node_module, in_turn

folder, request, answer, *dynamic = sys.argv[1:]
miniature = import_node_module("miniature_model", Path(folder) / "base", bool(dynamic))

import comfy.sample  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402

import nodes  # noqa: E402

patcher = miniature.make_flow_model(*miniature.read_file(Path(folder, "transformer.safetensors")))
clip = miniature.make_flow_clip(*miniature.read_file(Path(folder, "text_encoder.safetensors")))

with safetensors.safe_open(request, "pt") as file:
    asked = json.loads(file.metadata()["asked"])
    noise = file.get_tensor("noise")

conditionings = [nodes.CLIPTextEncode().encode(clip, prompt)[0] for prompt in asked["prompts"]]
found = {}
for index, [[features, extra]] in enumerate(conditionings):
    assert extra["pooled_output"] is None
    found |= {f"features.{index}": features, f"mask.{index}": extra["attention_mask"]}


def sampled(positive: list) -> torch.Tensor:
    latents = comfy.sample.sample(
        patcher,
        noise,
        asked["steps"],
        asked["guidance"],
        "euler",
        "simple",
        positive,
        conditionings[0],
        torch.zeros_like(noise),
        denoise=1.0,
        seed=0,
    )
    return latents * 0.13025  # of deviation 1, as the autoencoder takes them


found["sampled"] = sampled(conditionings[1])
found["started"] = sampled(in_turn(conditionings[2], conditionings[1], asked["start"]))
safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in found.items()}, answer)
