"""Protects words with ComfyUI's own CLIP classes and the pack's node code, and prints as JSON what came of it.

Started by test_emotional_settings.py with ComfyUI's Python, in ComfyUI's folder: comfyui_protection.py PACK BASE
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))
pack, base = sys.argv[1:]
sys.argv[1:] = ["--cpu", "--base-directory", base]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import utils.extra_config  # noqa: E402, F401 - as main.py does, before another `utils` comes onto the path

import nodes  # noqa: E402, F401

sys.path.append(pack)
from scripts.tiny_sdxl.models import make_checkpoint  # noqa: E402

spec = importlib.util.spec_from_file_location("pack", Path(pack) / "__init__.py", submodule_search_locations=[pack])
sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["pack"])
emotion = importlib.import_module("pack.nodes.protected_words")

_, clip, _ = make_checkpoint()
encoded, encode = [], clip.encode
clip.encode = lambda text: encoded.append(text) or encode(text)


def left_of(word: str, count: int, basis) -> list[float]:
    """The share of a word's change that is outside the protected directions: its own tokens, and those after."""
    change = (encode(word) - encode(""))[0]
    parts = [change[1 : 1 + count].mean(0), change[1 + count :].mean(0)]
    return [float((part - part @ basis.T @ basis).norm() / part.norm()) for part in parts]


basis = emotion.protected_directions(clip, "people， old man、; people\n")
again = emotion.protected_directions(clip, "people,old man")
answer = {
    "shape": list(basis.shape),
    "same": again is basis,
    "encoded": encoded[:],
    "tokens": [emotion._token_count(clip, word) for word in ("people", "old man", "stone " * 80)],
    "start": float((encode("people") - encode(""))[0, 0].abs().max()),
    "protected": left_of("people", 1, basis) + left_of("old man", 2, basis),
    "other": left_of("rain", 1, basis),
    "none": emotion.protected_directions(None, " , "),
    "kept": len(emotion._directions),
}
other = clip.clone()
emotion.protected_directions(other, "house")
answer["two"] = len(emotion._directions)
del other
answer["left"] = len(emotion._directions)
print(json.dumps(answer))
