"""Workflows of ComfyUI's API format, with places for the prompt, the seed, valence and arousal.

{prompt} stands where the prompt belongs. Valence and arousal go into every EmotiCrafter node that has both as values,
the seed into every sampler, and the network's name into every Load Emotion Network. So any family's workflow will do.
"""

import json
from pathlib import Path

from emoticrafter.files import text_sha256
from trainer.core.rows import DataError, read_text
from trainer.painters.plan import Task

PLACE = "{prompt}"
SEEDS = ("seed", "noise_seed")
LOADER = "EmotiCrafterLoader"


def read_workflow(path: Path, plain: bool, network: str | None = None) -> dict:
    """A workflow in the API format that has a place for everything.

    Args:
        path: A file.
        plain: Whether it may lack a place for the emotion.
        network: For Load Emotion Network, as that node lists it; None: the workflow's own.

    Raises:
        DataError: Another format, or no place for the prompt, the seed, the emotion or the network.
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
    if not any(_seeds_of(node) for node in nodes):
        raise DataError(f"{path} has no sampler with a seed of its own.")
    if not plain and not any(_is_emotional(one) for one in inputs):
        raise DataError(
            f"{path} has no EmotiCrafter node with valence and arousal as values (not as links). Add Emotional "
            "Conditioning, or give --plain for the prompts without emotion."
        )
    return workflow if network is None else _with_network(workflow, network, path)


def _with_network(workflow: dict, network: str, path: Path) -> dict:
    loaders = {name: node for name, node in workflow.items() if node.get("class_type") == LOADER}
    if not loaders:
        raise DataError(f"{path} has no Load Emotion Network that --network could name: add one, or leave it out.")
    named = {name: {**node, "inputs": {**node["inputs"], "network_name": network}} for name, node in loaders.items()}
    return workflow | named


def _is_ours(node: dict) -> bool:
    return str(node.get("class_type", "")).startswith("EmotiCrafter")


def _seeds_of(node: dict) -> list[str]:
    """The inputs that get the picture's seed: a sampler's, not that of a fit, which would be fitted anew."""
    return [] if _is_ours(node) else [name for name in SEEDS if isinstance(node["inputs"].get(name), int)]


def fingerprint(workflow: dict) -> str:
    return text_sha256(json.dumps(workflow, sort_keys=True))[:16]


def _is_emotional(inputs: dict) -> bool:
    return all(isinstance(inputs.get(axis), int | float) for axis in ("valence", "arousal"))


def filled(workflow: dict, task: Task, plain: bool) -> dict:
    """The workflow with a task in it; with `plain` the emotion's strength is 0, which changes nothing."""
    changed = {}
    for name, node in workflow.items():
        texts = {key: value for key, value in node["inputs"].items() if isinstance(value, str)}
        inputs = node["inputs"] | {key: value.replace(PLACE, task.text) for key, value in texts.items()}
        inputs |= dict.fromkeys(_seeds_of(node), task.seed)
        if _is_emotional(inputs):
            inputs |= {"valence": task.valence, "arousal": task.arousal}
        if plain and _is_ours(node) and "strength" in inputs:
            inputs["strength"] = 0.0
        changed[name] = {**node, "inputs": inputs}
    return changed
