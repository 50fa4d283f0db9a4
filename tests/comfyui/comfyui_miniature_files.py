"""Loads miniatures as the node does, and prints as JSON what came of each.

Started by test_miniature_files.py with ComfyUI's Python, in ComfyUI's folder:
comfyui_miniature_files.py FOLDER [dynamic], whose folders hold a miniature each, "whole" among them
"""

import gc
import json
import os
import sys
from pathlib import Path

from pack import import_node_module

folder, dynamic = Path(sys.argv[1]), sys.argv[2:]
module = import_node_module("miniature_model", folder / "base", bool(dynamic))


def outcome(path: Path) -> str:
    try:
        module.load_miniature(path)
    except (FileNotFoundError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "loaded"


whole = folder / "whole"
told = {path.name: outcome(path) for path in sorted(folder.iterdir()) if path.name != "base"}
gc.collect()
told["kept when nobody holds it"] = len(module.networks._in_use)

first, second = module.load_miniature(whole), module.load_miniature(whole)
told["shared"] = [a is b for a, b in zip(first, second, strict=True)]
told["dtypes"] = sorted({str(weight.dtype) for weight in first.model.model.diffusion_model.parameters()})

version = module.files_version(whole)
os.utime(whole / "vae.safetensors", ns=(1, 1))
third = module.load_miniature(whole)
told["version changed"] = module.files_version(whole) != version
told["shared after the autoencoder changed"] = [a is b for a, b in zip(first, third, strict=True)]
print(json.dumps(told))
