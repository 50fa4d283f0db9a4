"""What a node can see will not come out as meant: told in the log, once each."""

import logging
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from ..emoticrafter.conditioning import Steering, doubts
from ..emoticrafter.encoders import CLIP_WINDOW, SECOND_TEXTS
from ..emoticrafter.names import folder_problem

ONE_RANGE, FIRST_ALONE = "sets one range for all of them", "reads the first of them alone"
MISREADERS = {
    "ConditioningSetTimestepRange": ("conditioning", ONE_RANGE),
    "ConditioningConcat": ("conditioning_from", FIRST_ALONE),
    "ConditioningAverage": ("conditioning_from", FIRST_ALONE),
}
"""ComfyUI's nodes that take entries which follow each other for something else: the input, and what the node does."""

log = logging.getLogger("emoticrafter")


@lru_cache(maxsize=256)
def tell(text: str) -> None:
    log.warning("[EmotiCrafter] %s", text)


# ---- where the pack is ---------------------------------------------------------------------------------


def warn_of_folder(folder: Path) -> None:
    """Tells of a folder for the pack whose files ComfyUI cannot show."""
    if problem := folder_problem(folder):
        tell(problem)


# ---- text that no emotion gets to --------------------------------------------------------------------


def warn_of_unreached(conditioning: list) -> None:
    """Tells of an emotion that reaches nothing, and of prompts in the hooks of an entry, which it does not reach."""
    if all(features is None for features, _ in conditioning):
        tell("No entry of the conditioning has text: the emotion reaches nothing.")
    for index, (_, extra) in enumerate(conditioning):
        hooks = getattr(extra.get("hooks"), "hooks", None) or ()
        for name in sorted({type(hook).__name__ for hook in hooks if _holds_text(vars(hook))}):
            tell(
                f"Entry {index} of the conditioning has a hook, {name}, that holds prompts of its own for parts of the "
                "picture: they stay without the emotion. Give them the emotion before the node that makes the hook, or "
                "give each part an entry and a mask of its own (prompt-control: AND with MASK in place of COUPLE)."
            )


def warn_of_encoder(conditioning: list, network: Steering) -> None:
    """Tells of a prompt that an entry carries twice, and of one that may be another encoder's.

    Raises:
        ValueError: An entry that the network cannot steer, as `inject_emotion` says.
    """
    for index, (features, extra) in enumerate(conditioning):
        for key in SECOND_TEXTS.keys() & extra.keys() if features is not None else ():
            tell(
                f"Entry {index} of the conditioning carries its prompt a second time ({key}, which "
                f"{SECOND_TEXTS[key]} reads as well): that part stays without the emotion, the rest takes it."
            )
    for doubt in doubts(conditioning, network):
        tell(doubt)


def _holds_text(value: object, depth: int = 3) -> bool:
    if isinstance(value, Tensor):
        return value.ndim == 3 and value.shape[1] > 0 and value.shape[1] % CLIP_WINDOW == 0
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return depth > 0 and any(_holds_text(part, depth - 1) for part in parts)


# ---- entries that follow each other ------------------------------------------------------------------


def warn_of_misreaders(prompt: dict | None, node_id: str | None, maker: str = "Emotional Conditioning") -> None:
    """Tells of later nodes that misread the entries that a start or an end makes.

    Args:
        prompt: The graph in the API's format.
        node_id: The node that makes the entries.
        maker: Its name on screen.
    """
    for name, does in dict.fromkeys(_misreaders(prompt or {}, node_id)):
        tell(
            f"{maker} with composition, start_percent or end_percent gives entries that follow each other, and {name} "
            f"after it {does}. Put {name} before Emotional Conditioning."
        )


def _misreaders(prompt: dict, node_id: str | None) -> Iterator[tuple[str, str]]:
    reached, rest = set(), [node_id]
    while rest:
        source = rest.pop()
        reached.add(source)
        for name, node in prompt.items():
            inputs = [key for key, value in node["inputs"].items() if _is_link_from(source, value)]
            if not inputs:
                continue
            reader, does = MISREADERS.get(node["class_type"], (None, ""))
            if reader in inputs:
                yield node["class_type"], does
            if name not in reached:
                rest.append(name)


def _is_link_from(node_id: str | None, value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] == node_id
