"""Builds the miniature's exported files with ComfyUI's own classes and writes what they compute.

Started by test_miniature_parity.py with ComfyUI's Python, in ComfyUI's folder:
comfyui_miniature.py FOLDER REQUEST.safetensors ANSWER.safetensors
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))
folder, request, answer = sys.argv[1:]
sys.argv[1:] = ["--cpu"]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models  # noqa: E402
import comfy.utils  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402

import nodes  # noqa: E402


def part(name: str) -> tuple[dict, dict]:
    path = Path(folder, f"{name}.safetensors")
    with safetensors.safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
    return comfy.utils.load_torch_file(str(path)), config


weights, sizes = part("unet")
config = comfy.supported_models.SDXL({**sizes, "dtype": torch.float32})
model = config.get_model({"v_pred": weights.pop("v_pred")})
model.diffusion_model.load_state_dict(weights)
device = comfy.model_management.get_torch_device()
patcher = comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=device)

weights, sizes = part("text_encoders")
clip = comfy.sd.CLIP(config.clip_target(), model_options=sizes)
missing, unexpected = clip.cond_stage_model.load_state_dict(weights, strict=False)
missing = [
    key for key in missing if "logit_scale" not in key and key != "clip_l.transformer.text_projection.weight"
]
if missing or unexpected:
    sys.exit(f"ComfyUI's CLIP lacks {missing} and does not know {unexpected}")

weights, _ = part("vae")
vae = comfy.sd.VAE(sd=weights)

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
sampled = comfy.sample.sample(
    patcher,
    noise,
    options["steps"],
    options["guidance"],
    "euler",
    "simple",
    conditionings[1],
    conditionings[0],
    torch.zeros_like(noise),
    denoise=1.0,
    seed=0,
)
found["sampled"] = vae.decode(sampled).float()  # [B, H, W, 3]
found["encoded"] = vae.encode(tensors["picture"]).float() * 0.13025
safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in found.items()}, answer)
