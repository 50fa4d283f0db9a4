"""A small study's pictures, and what people answer to it."""

import json
from pathlib import Path

from PIL import Image as Picture

from trainer.evaluation.manifest import Image, write_manifest
from trainer.study.answers import checksum
from trainer.study.key import Key, Task
from trainer.study.make import StudySettings
from trainer.study.plan import Amounts
from trainer.study.rehearsal import answers_content

LINE = (-3.0, -1.5, 0.0, 1.5, 3.0)
SQUARE = [(v, a) for v in LINE for a in LINE]
AMOUNTS = Amounts(order=1, estimate=2, consistency=1, smoothness=1)
SETTINGS = StudySettings(participants=6, amounts=AMOUNTS, image_size=64)
METHODS = ("ours", "rival")


def images(methods=METHODS, contents=8, points=SQUARE) -> list[Image]:
    return [
        Image(Path(f"{name}.png"), f"Prompt {number}.", v, a, number, method, name)
        for method in methods
        for number in range(contents)
        for v, a in points
        for name in [f"{method}-{number}-{v:+g}-{a:+g}"]
    ]


def save(found: list[Image], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(found):
        Picture.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(folder / image.path)
    write_manifest(folder / "manifest.jsonl", found)
    return folder / "manifest.jsonl"


def answer(task: Task, key: Key, wrong: bool = False):
    """What somebody answers who sees exactly what was asked for (or the contrary)."""
    if task.kind == "practice":
        return True
    if task.check is not None and task.kind == "estimate":
        place = {"top": 3, "bottom": -3, "left": -3, "right": 3}
        return [place[word] for word in task.check.split()[::-1]]
    if task.check is not None:
        return task.check
    pictures = [key.pictures[name] for name in task.images]
    if task.kind == "order":
        return sorted(task.images, key=lambda n: getattr(key.pictures[n], task.axis), reverse=wrong)
    if task.kind == "estimate":
        return [pictures[0].valence, pictures[0].arousal]
    return 1 if wrong else 5


def content(key: Key, number: int, session: str | None = None, ms: int = 5000) -> dict:
    answers = [
        {"task": index, "answer": answer(task, key), "ms": ms + number + index, "moves": 1}
        for index, task in enumerate(key.participants[number - 1])
    ]
    return answers_content(key, number, session or f"session-{number}", answers)


def sealed(values: dict) -> dict:
    """With the checksum that fits."""
    values = {name: value for name, value in values.items() if name != "checksum"}
    return values | {"checksum": checksum(values)}


def put(folder: Path, **files: dict | str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, values in files.items():
        data = values if isinstance(values, bytes) else json.dumps(values).encode()
        (folder / f"{name}.json").write_bytes(data)
    return folder


def kept(answers) -> list[str]:
    return [person.file for person in answers.people]
