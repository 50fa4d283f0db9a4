"""Saves small text encoders as files that ComfyUI's own loader takes, a file for each part.

Started by test_prepare_comfyui.py with ComfyUI's Python, in ComfyUI's folder:
comfyui_save_encoders.py PROJECT FOLDER FAMILY...

FOLDER gets <family>.<part>.safetensors, and sizes.json, for small_sizes/sitecustomize.py.
"""

import json
import sys
from pathlib import Path

project, folder, *families = sys.argv[1:]
sys.path.insert(0, project)
from scripts.small_encoders import ENCODERS, small_clip, start_comfyui  # noqa: E402

start_comfyui()
from safetensors.torch import save_file  # noqa: E402

sizes = {}
for name in families:
    _, _, options, data = ENCODERS[name]()
    try:
        clip = small_clip(name)
    except FileNotFoundError:  # some copies of ComfyUI lack a tokenizer's files
        continue
    sizes[name] = options
    parts = {}
    for key, tensor in clip.cond_stage_model.state_dict().items():
        part, _, rest = key.partition(".transformer.")
        if rest and not rest.startswith("visual."):  # gigabytes, for pictures in a prompt
            parts.setdefault(part, {})[rest] = tensor.clone().contiguous()
    for part, tensors in parts.items():
        vocabulary = data if part not in ("clip_l", "clip_g") else {}
        save_file(tensors | vocabulary, Path(folder, f"{name}.{part}.safetensors"))
Path(folder, "sizes.json").write_text(json.dumps(sizes), encoding="utf-8")
