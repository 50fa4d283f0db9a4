"""Runs ComfyUI's own classes on a checkpoint: its tokens, and what CLIPTextEncode gives, for every prompt.

Started by test_encoder_parity.py with ComfyUI's Python, in ComfyUI's folder:
comfyui_encode.py CHECKPOINT REQUEST.json ANSWER.safetensors
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))
checkpoint, request, answer = sys.argv[1:]
sys.argv[1:] = ["--cpu"]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.sd  # noqa: E402
import comfy.supported_models  # noqa: E402
import comfy.utils  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402

import nodes  # noqa: E402

asked = json.loads(Path(request).read_text(encoding="utf-8"))
model = comfy.supported_models.SDXL(comfy.supported_models.SDXL.unet_config)
clip = comfy.sd.CLIP(model.clip_target(), model_options=asked["sizes"])
weights = model.process_clip_state_dict(comfy.utils.load_torch_file(checkpoint))
missing, unexpected = clip.cond_stage_model.load_state_dict(weights, strict=False)
missing = [key for key in missing if "text_projection" not in key and "logit_scale" not in key]
if missing or unexpected:
    sys.exit(f"ComfyUI lacks {missing} and does not know {unexpected}")

found = {}
for index, prompt in enumerate(asked["encode"]):
    [[features, _]] = nodes.CLIPTextEncode().encode(clip, prompt)[0]
    found[f"features.{index}"] = features[0].contiguous()
for index, prompt in enumerate(asked["tokenize"]):
    tokens = clip.tokenize(prompt)
    rows = [[[token for token, _ in window] for window in tokens[which]] for which in "lg"]
    found[f"tokens.{index}"] = torch.tensor(rows)
safetensors.torch.save_file(found, answer)
