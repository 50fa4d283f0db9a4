"""Asks Fit Emotion Network which pairs it offers, and about a workflow that names the miniature's, and prints JSON.

Started by test_fit.py with ComfyUI's Python, in ComfyUI's folder: comfyui_fit_pairs.py FOLDER
"""

import json
import sys
from pathlib import Path

from pack import import_node_module

folder = Path(sys.argv[1])
module = import_node_module("fit_emotion_network", folder)


def told() -> list:
    """What is offered, and True or what is said of the miniature's pairs."""
    return [module._sources(), module.FitEmotionNetwork.validate_inputs(pairs="miniature")]


whole = told()
module.MINIATURE = folder / "miniature"
print(json.dumps({"whole": whole, "without": told()}))
