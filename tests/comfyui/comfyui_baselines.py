"""Samples with every baseline's node on an exported miniature, in ComfyUI's own classes, and writes the latents.

Started by test_baseline_parity.py with ComfyUI's Python, in ComfyUI's folder:
comfyui_baselines.py FOLDER ANSWER.safetensors
"""

import json
import sys
from pathlib import Path

from pack import import_node_module

folder, answer = (Path(name) for name in sys.argv[1:])
miniature = import_node_module("miniature_model", folder / "base")
node = import_node_module("emotion_baseline", folder / "base").EmotionBaseline

import comfy.sample  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402

import nodes  # noqa: E402

model, clip = (
    make(*miniature.read_file(folder / f"{name}.safetensors"))
    for name, make in (("unet", miniature.make_model), ("text_encoders", miniature.make_clip))
)
asked = json.loads((folder / "asked.json").read_text())
noise = safetensors.torch.load_file(folder / "noise.safetensors")["noise"]
[[_, _]] = negative = nodes.CLIPTextEncode().encode(clip, "")[0]


def sampled(patcher, positive) -> torch.Tensor:
    return comfy.sample.sample(
        patcher,
        noise,
        asked["steps"],
        asked["guidance"],
        "euler",
        "simple",
        positive,
        negative,
        torch.zeros_like(noise),
        denoise=1.0,
        seed=0,
    )


found = {"plain": sampled(model, nodes.CLIPTextEncode().encode(clip, asked["prompt"])[0])}
for name in asked["files"]:
    for strength in asked["strengths"]:
        at = {"valence": asked["valence"], "arousal": asked["arousal"], "strength": strength}
        result = node.execute(model=model, baseline_name=name, text=asked["prompt"], clip=clip, **at)
        found[f"{name} {strength}"] = sampled(*result.args)

# Two of them on one model: the second keeps the first one's say in every layer.
for name in asked["twice"]:
    at = {"valence": asked["valence"], "arousal": asked["arousal"], "strength": 0.5}
    once = node.execute(model=model, baseline_name=name, text=asked["prompt"], clip=clip, **at).args
    twice = node.execute(model=once[0], baseline_name=name, text=asked["prompt"], clip=clip, **at).args
    found[f"{name} twice"] = sampled(*twice)

told = {}
long = " ".join(["stone"] * 74)
at = {"valence": asked["valence"], "arousal": asked["arousal"]}
for strength in (0.0, 0.5, 1.0):
    words = node.execute(model=model, baseline_name=asked["words"], text=long, clip=clip, strength=strength, **at).args[
        1
    ]
    told[f"long {strength}"] = list(words[0][0].shape)
for case, give in {
    "other model": lambda: node.execute(
        model=model, baseline_name=asked["foreign"], text="", clip=clip, strength=1.0, **at
    ),
    "no clip": lambda: node.execute(model=model, baseline_name=asked["words"], text="", clip=None, strength=1.0, **at),
    "no file": lambda: node.execute(
        model=model, baseline_name="none.safetensors", text="", clip=clip, strength=1.0, **at
    ),
    "outside": lambda: node.execute(
        model=model, baseline_name=asked["words"], text="", clip=clip, strength=1.0, valence=4.0, arousal=0.0
    ),
}.items():
    try:
        give()
    except (FileNotFoundError, ValueError) as error:
        told[case] = f"{type(error).__name__}: {error}"
safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in found.items()}, answer)
print(json.dumps(told))
