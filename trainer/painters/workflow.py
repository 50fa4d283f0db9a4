"""Workflows of ComfyUI's API format, with places for the prompt, the seed, valence and arousal.

{prompt} stands where the prompt belongs. Valence and arousal go into every EmotiCrafter node that has both as values,
the seed into every sampler.
"""

import json
from pathlib import Path

from emoticrafter.files import text_sha256
from trainer.core.rows import DataError, read_text
from trainer.painters.plan import Task

PLACE = "{prompt}"
SEEDS = ("seed", "noise_seed")


def read_workflow(path: Path, plain: bool) -> dict:
    """A workflow in the API format that has a place for everything.

    Raises:
        DataError: Another format, or no place for the prompt, the seed or the emotion.
    """
    try:
        workflow = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    if isinstance(workflow, dict) and "nodes" in workflow and "links" in workflow:
        raise DataError(
            f"{path} was saved with Workflow > Save, for the interface. Open it in ComfyUI, write {PLACE} where the "
            "prompt belongs, and save it with Workflow > Export (API)."
        )
    nodes = workflow.values() if isinstance(workflow, dict) else []
    if not nodes or not all(isinstance(node, dict) and isinstance(node.get("inputs"), dict) for node in nodes):
        raise DataError(f"{path} is not a ComfyUI workflow: expected what Workflow > Export (API) saves.")
    inputs = [node["inputs"] for node in nodes]
    if not any(isinstance(value, str) and PLACE in value for one in inputs for value in one.values()):
        raise DataError(f"{path} has no place for the prompt: write {PLACE} in the text of CLIP Text Encode.")
    if not any(isinstance(one.get(name), int) for one in inputs for name in SEEDS):
        raise DataError(f"{path} has no sampler with a seed of its own.")
    if not plain and not any(_is_emotional(one) for one in inputs):
        raise DataError(
            f"{path} has no EmotiCrafter node with valence and arousal as values (not as links). Add Emotional "
            "Conditioning, or give --plain for the prompts without emotion."
        )
    return workflow


def fingerprint(workflow: dict) -> str:
    return text_sha256(json.dumps(workflow, sort_keys=True))[:16]


def _is_emotional(inputs: dict) -> bool:
    return all(isinstance(inputs.get(axis), int | float) for axis in ("valence", "arousal"))


def filled(workflow: dict, task: Task, plain: bool) -> dict:
    """The workflow with a task in it; with `plain` the emotion's strength is 0, which changes nothing."""
    changed = {}
    for name, node in workflow.items():
        inputs = dict(node["inputs"])
        for key, value in inputs.items():
            if isinstance(value, str):
                inputs[key] = value.replace(PLACE, task.text)
            elif key in SEEDS and isinstance(value, int):
                inputs[key] = task.seed
        if _is_emotional(inputs):
            inputs |= {"valence": task.valence, "arousal": task.arousal}
        if plain and str(node.get("class_type", "")).startswith("EmotiCrafter") and "strength" in inputs:
            inputs["strength"] = 0.0
        changed[name] = {**node, "inputs": inputs}
    return changed
