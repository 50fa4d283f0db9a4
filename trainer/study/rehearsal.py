"""A study to try before a real one: painted pictures of known emotion, and simulated participants.

Simulated answers are marked as such, and the analysis says so above its tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from emoticrafter.files import naming
from trainer.core.rows import DataError, replacing
from trainer.evaluation.manifest import Image, write_manifest
from trainer.study.answers import FORMAT, VERSION, checksum
from trainer.study.key import STEPS, Key, Picture, Task

VALUES = (-3.0, -1.5, 0.0, 1.5, 3.0)
STRENGTHS = {"painted": 1.0, "painted-weak": 0.3}
"""Method -> the share of the asked emotion that its pictures show."""
CORNER = {"top": 2.7, "bottom": -2.7, "left": -2.7, "right": 2.7}


def paint_example(out: Path, prompts: int = 12, size: int = 192, seed: int = 0) -> Path:
    """Paints scenes over the plane with two methods, one of which shows too little emotion.

    Args:
        out: A folder that does not exist yet or is empty.
        prompts: How many scenes.
        size: Pixels per side.
        seed: Draws scenes and layouts.

    Returns:
        The manifest.

    Raises:
        DataError: The folder is not empty.
    """
    from PIL import Image as Picture

    from trainer.world.captions import neutral_caption
    from trainer.world.painter import paint
    from trainer.world.scene import all_scenes

    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty. Choose another --out.")
    scenes = all_scenes()
    images = []
    for scene_seed, number in enumerate(np.random.default_rng(seed).permutation(len(scenes))[:prompts]):
        scene = scenes[number]
        prompt = neutral_caption(scene, scene_seed)
        for (method, strength), valence, arousal in product(STRENGTHS.items(), VALUES, VALUES):
            name = f"{method}/{scene_seed:02d}-{valence:+g}-{arousal:+g}.png"
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            pixels = paint(scene, strength * valence, strength * arousal, scene_seed, size)
            with naming(out / name):
                Picture.fromarray(pixels).save(out / name)
            images.append(Image(Path(name), prompt, valence, arousal, scene_seed, method, name))
    write_manifest(out / "manifest.jsonl", images)
    return out / "manifest.jsonl"


# ---- simulated participants ------------------------------------------------------------------------


def rehearse(
    key: Key,
    out: Path,
    count: int,
    seed: int = 0,
    noise: float = 0.8,
    see: Callable[[Picture], np.ndarray] | None = None,
) -> list[Path]:
    """Writes the answers of simulated participants 1 to ``count``.

    They see the first method's emotion in full, and each further method's half as strongly as the one before, with
    normal noise, and rate accordingly.

    Args:
        key: The study.
        out: The folder of the answers.
        count: Participants.
        seed: Draws their noise.
        noise: Its standard deviation on both axes.
        see: The valence and arousal that they see in a picture; by default those asked for, faded as above.

    Raises:
        DataError: The study has fewer plans, or the folder cannot be written.
    """
    if not 1 <= count <= len(key.participants):
        raise DataError(f"--count must be from 1 to {len(key.participants)}, the study's plans; got {count}.")
    paths = []
    for number in range(1, count + 1):
        random = np.random.default_rng([seed, number])
        answers = []
        for index, task in enumerate(key.participants[number - 1]):
            answer, ms = _answer(task, key, random, noise, see), int(random.integers(3000, 20000))
            answers.append({"task": index, "answer": answer, "ms": ms, "moves": 1})
        path = Path(out) / f"answers-{number}-simulated.json"
        with replacing(path) as stream:
            json.dump(answers_content(key, number, f"simulated-{seed}-{number}", answers, True), stream)
        paths.append(path)
    return paths


def answers_content(
    key: Key, number: int, session: str, answers: Sequence[dict[str, Any]], simulated: bool = False
) -> dict[str, Any]:
    """A file of answers as the page writes it."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "study": key.study,
        "participant": number,
        "drawn": False,
        "session": session,
        "consented": "2025-01-01T10:00:00.000Z",
        "finished": "2025-01-01T10:15:00.000Z",
        "viewport": [360, 740],
        "touch": True,
        **({"simulated": True} if simulated else {}),
        "answers": list(answers),
    }
    return content | {"checksum": checksum(content)}


def _answer(task: Task, key: Key, random: np.random.Generator, noise: float, see) -> Any:
    if task.kind == "practice":
        return True
    if task.check is not None:
        corner = [CORNER[word] for word in reversed(str(task.check).split())] if task.kind == "estimate" else []
        return _on_scale(corner, task.scale) if corner else task.check
    pictures = [key.pictures[name] for name in task.images]
    strength = 0.5 ** key.methods.index(pictures[0].method)
    faded = [strength * np.array([picture.valence, picture.arousal]) for picture in pictures]
    shown = [see(picture) for picture in pictures] if see else faded
    seen = [one + random.normal(0, noise, 2) for one in shown]
    if task.kind == "order":
        axis = ("valence", "arousal").index(task.axis)
        return [task.images[place] for place in np.argsort([each[axis] for each in seen])]
    if task.kind == "estimate":
        return _on_scale(np.clip(seen[0], -3, 3), task.scale)
    return int(np.clip(round(1.5 + 2 * strength + random.normal(0, noise)), 1, 5))


def _on_scale(point: Sequence[float], scale: str | None) -> list[float]:
    """The answer nearest to a point that a scale can give."""
    step = STEPS.get(scale, 0.1)
    return [round(round(float(value) / step) * step, 2) + 0.0 for value in point]
