"""Builds the miniature's exported files as the node does, with ComfyUI's own classes, and writes what they compute.

Started by test_miniature_parity.py with ComfyUI's Python, in ComfyUI's folder:
comfyui_miniature.py FOLDER REQUEST.safetensors ANSWER.safetensors [dynamic]
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

patcher, clip, vae = (
    make(*miniature.read_file(Path(folder, f"{name}.safetensors")))
    for name, make in (
        ("unet", miniature.make_model),
        ("text_encoders", miniature.make_clip),
        ("vae", miniature.make_vae),
    )
)
model = patcher.model

with safetensors.safe_open(request, "pt") as file:
    asked = json.loads(file.metadata()["prompts"])
    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

found = {}
conditionings = [nodes.CLIPTextEncode().encode(clip, prompt)[0] for prompt in asked]
for index, [[features, extra]] in enumerate(conditionings):
    found[f"features.{index}"] = features[0]
    found[f"pooled.{index}"] = extra["pooled_output"][0]

noise = tensors["noise"]
with torch.no_grad():
    added = model.encode_adm(
        pooled_output=torch.stack([found[f"pooled.{i}"] for i in range(len(asked))]),
        width=8 * noise.shape[-1],
        height=8 * noise.shape[-1],
    )
    context = torch.stack([found[f"features.{i}"] for i in range(len(asked))])
    latents = noise.expand(len(asked), -1, -1, -1)
    timesteps = tensors["timesteps"]
    found["unet"] = model.diffusion_model(latents, timesteps, context=context, y=added)

options = json.loads(Path(folder, "sampling.json").read_text())


def picture(positive: list) -> torch.Tensor:
    sampled = comfy.sample.sample(
        patcher,
        noise,
        options["steps"],
        options["guidance"],
        "euler",
        "simple",
        positive,
        conditionings[0],
        torch.zeros_like(noise),
        denoise=1.0,
        seed=0,
    )
    return vae.decode(sampled).float()  # [B, H, W, 3]


found["sampled"] = picture(conditionings[1])
found["started"] = picture(in_turn(conditionings[2], conditionings[1], options["start"]))
found["encoded"] = vae.encode(tensors["picture"]).float() * 0.13025
safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in found.items()}, answer)
