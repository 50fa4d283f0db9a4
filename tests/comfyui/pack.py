"""Makes the pack's modules importable in a program that runs in ComfyUI's folder with ComfyUI's Python.

    from pack import import_node_module      # this folder is first on the program's path
    miniature_model = import_node_module("miniature_model", base_directory)

The base directory gets models/emoticrafter, which the pack makes when it is loaded.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

DYNAMIC_VRAM = Path(__file__).parent / "probe_dynamic_vram"
"""A custom node without nodes: switches DynamicVRAM on as far as a processor can have it."""
ROOT = Path(__file__).resolve().parents[2]


def import_node_module(name: str, base_directory: Path, dynamic_vram: bool = False):
    """Starts ComfyUI's settings for the CPU, then imports nodes/<name>.py of the pack."""
    sys.path.insert(0, str(Path.cwd()))
    sys.argv[1:] = ["--cpu", "--base-directory", str(base_directory)]
    options = importlib.import_module("comfy.options")
    options.enable_args_parsing()
    importlib.import_module("utils")  # first: what nodes imports puts a folder with another utils on the path
    importlib.import_module("nodes")  # ComfyUI's own, before the pack's
    if dynamic_vram:
        _import_folder("probe_dynamic_vram", DYNAMIC_VRAM)
    _import_folder("emoticrafter_pack", ROOT)
    return importlib.import_module(f"emoticrafter_pack.nodes.{name}")


def _import_folder(name: str, folder: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


def in_turn(first: list, then: list, start: float) -> list:
    """A conditioning that ends where another one begins: a little before `start`, so that no step belongs to both."""
    start -= 1e-6
    before, after = {"start_percent": 0.0, "end_percent": start}, {"start_percent": start, "end_percent": 1.0}
    parts = ((first, before), (then, after))
    return [[features, {**extra, **spell}] for part, spell in parts for features, extra in part]
