"""The named emotions that the nodes offer: the user's own from models/emoticrafter/emotions.json, then the built-in."""

from pathlib import Path

import folder_paths

from ..emoticrafter.emotions import EMOTIONS, OWN_SOURCE, NamedEmotion, OwnEmotions, read_own_emotions
from ..emoticrafter.quoting import quoted, shown
from ..emoticrafter.va import Point
from . import networks

LONGEST_PROBLEM = 300
PROBLEM = f"! {OWN_SOURCE}, "  # starts an entry of the list that reports a mistake


def own_emotions() -> OwnEmotions:
    """The contents of emotions.json in models/emoticrafter, or in another folder of extra_model_paths.yaml."""
    path = folder_paths.get_full_path(networks.FOLDER, OWN_SOURCE)
    if path:
        return read_own_emotions(Path(path))
    return OwnEmotions(
        problems=tuple(f"the file is named {quoted(name)}: rename it to {OWN_SOURCE}" for name in _misnamed())
    )


def _misnamed() -> list[str]:
    """Files that were meant: in other case, or with an ending that Windows hides."""
    folders = map(Path, folder_paths.get_folder_paths(networks.FOLDER))
    names = [path.name for folder in folders if folder.is_dir() for path in folder.iterdir()]
    return [name for name in names if name.casefold() in (OWN_SOURCE, f"{OWN_SOURCE}.txt", f"{OWN_SOURCE}.json")][:1]


def own_version() -> str:
    """Tells one version of the file from the next."""
    return networks.file_version(OWN_SOURCE)


def known_emotions() -> list[NamedEmotion]:
    """The user's own, then the built-in ones."""
    return [*own_emotions().emotions, *EMOTIONS]


def own_problems() -> list[str]:
    """What is wrong in the user's file, as the list shows it."""
    return [PROBLEM + problem for problem in own_emotions().problems]


def named_point(label: str) -> Point:
    for emotion in known_emotions():
        if emotion.label == label:
            return emotion.point
    if isinstance(label, str) and label.startswith(PROBLEM):  # a caller of the server may send anything
        problem = shown(label.removeprefix("! "), LONGEST_PROBLEM)
        raise ValueError(f"{problem}. Correct the file, press R, and choose an emotion.")
    raise ValueError(f"There is no emotion {quoted(label)} any more. {_own_state()} Choose one of the list.")


def _own_state() -> str:
    problems = own_emotions().problems
    if problems:
        return f"{OWN_SOURCE} has mistakes: {'; '.join(problems)}."
    found = folder_paths.get_full_path(networks.FOLDER, OWN_SOURCE)
    return f"Own ones are in {found}." if found else f"models/{networks.FOLDER} has no {OWN_SOURCE}."
