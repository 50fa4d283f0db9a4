"""What is to be drawn: prompts by points of the plane by seeds, shared out over processes."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from emoticrafter.quoting import quoted
from emoticrafter.typed import read_numbers
from trainer.core.processes import Processes
from trainer.core.rows import (
    DataError,
    Problems,
    match_columns,
    named_cells,
    number_value,
    parse_each,
    read_rows,
    text_value,
)
from trainer.core.settings import told

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
LEVELS = (-3.0, -1.5, 0.0, 1.5, 3.0)
PROMPTS = Path(__file__).with_name("prompts.txt")
"""The protocol's 132."""

Point = tuple[float, float]
"""Valence and arousal."""
PLAIN: tuple[Point, ...] = ((0.0, 0.0),)
"""Where prompts without emotion stand: they get one picture for each seed."""


def grid(levels: Sequence[float] = LEVELS) -> tuple[Point, ...]:
    """Every pair of levels; valence changes first."""
    return tuple((valence, arousal) for arousal in levels for valence in levels)


@told
def read_levels(text: str) -> tuple[float, ...]:
    """Levels of an axis from text such as "-3,0,3", rising, each once.

    Raises:
        ValueError: They leave [-3, 3], or two differ by less than the pictures' names show.
    """
    levels = tuple(sorted({level + 0.0 for level in read_numbers(text)}))
    if not all(-3 <= level <= 3 for level in levels):
        raise ValueError(f"expected numbers from -3 to 3, got {quoted(text)}")
    named = {round(level, 2) for level in levels}  # as in the pictures' names
    if len(named) < len(levels):
        raise ValueError(f"expected numbers that differ by 0.01 or more, got {quoted(text)}")
    return levels


def is_method_name(name: str) -> bool:
    """Whether a method can have this name, which is also a folder's: letters, digits, - and _."""
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name))


@dataclass(frozen=True)
class Task:
    """One picture to be drawn.

    Attributes:
        number: The prompt's, from 0.
        prompt: Without emotion.
        valence, arousal: In [-3, 3].
        seed: Of the first noise; all points of a prompt have the same.
        method: What draws it.
        made: Changes with anything that the picture depends on: the prompt, the point, the seed, the settings.
        rewritten: The words that are drawn in the prompt's place, if any.
    """

    number: int
    prompt: str
    valence: float
    arousal: float
    seed: int
    method: str
    made: str = ""
    rewritten: str = ""

    @property
    def text(self) -> str:
        """What the model is given to draw."""
        return self.rewritten or self.prompt

    @property
    def path(self) -> str:
        """Below the folder, such as "ours/0007-0/v+1.50a-3.00.png"."""
        # + 0.0 makes a negative zero, of -0.001 or -0.0, a positive one.
        valence, arousal = (round(value, 2) + 0.0 for value in (self.valence, self.arousal))
        return f"{self.method}/{self.number:04}-{self.seed}/v{valence:+.2f}a{arousal:+.2f}.png"


Words = Mapping[tuple[str, float, float], str]
"""Prompts in other words, by prompt, valence and arousal."""


def read_rewritten(path: Path) -> Words:
    """Reads what `python -m trainer.baselines rewrite` wrote: prompt, valence, arousal, rewritten in each line.

    Raises:
        DataError: Every line that cannot be used, and why.
    """
    number = partial(number_value, low=-3, high=3)
    readers = {"prompt": text_value, "valence": number, "arousal": number, "rewritten": text_value}
    rows, problems = read_rows(path), Problems(path)
    columns = match_columns(path, rows, readers, {name: name for name in readers})
    found = [parse_each(row, problems, readers, named_cells(row, columns)) for row in rows]
    problems.refuse("Every line needs prompt, valence, arousal and rewritten.")
    return words_of(found)


def words_of(rows: Iterable[Mapping]) -> Words:
    """Words of rows with prompt, valence, arousal and rewritten."""
    return {(row["prompt"], row["valence"], row["arousal"]): row["rewritten"] for row in rows}


def plan(
    prompts: Sequence[str],
    points: Sequence[Point],
    seeds: Sequence[int],
    method: str,
    settings: dict,
    words: Words | None = None,
) -> list[Task]:
    """All pictures of a method, a prompt's points together.

    Args:
        prompts: Without emotion.
        points: Of the plane, for every prompt.
        seeds: For every prompt and point.
        method: Its name.
        settings: Everything else that the pictures depend on; JSON.
        words: Drawn in the prompts' place.

    Raises:
        DataError: A prompt has no other words for a point.
    """
    if words is not None:
        _need_words(words, [(prompt, *point) for prompt in prompts for point in points])
    tasks = [
        Task(number, prompt, *point, seed, method, rewritten=words[(prompt, *point)] if words else "")
        for number, prompt in enumerate(prompts)
        for seed in seeds
        for point in points
    ]
    return [replace(task, made=_made(task, settings)) for task in tasks]


def _made(task: Task, settings: dict) -> str:
    """Follows from all that the task's picture depends on."""
    text = json.dumps([asdict(task), settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _need_words(words: Words, wanted: Sequence[tuple[str, float, float]]) -> None:
    if lacking := [point for point in wanted if point not in words]:
        prompt, valence, arousal = lacking[0]
        raise DataError(
            f"The rewritten prompts lack {len(lacking):,} of {len(wanted):,} points, such as {prompt!r} at "
            f"{valence:g}, {arousal:g}: have the same prompts rewritten, at the same levels of both axes."
        )


def share(tasks: Sequence[Task], processes: Processes) -> list[Task]:
    """One process's tasks: whole prompts, so that each prompt is encoded once."""
    return [task for task in tasks if task.number % processes.count == processes.rank]


def estimate(waiting: int, pixels: int, seconds: float | None, each: float | None, flops: float | None) -> str:
    """Disk space and time that drawing will take, in words.

    Args:
        waiting: Pictures.
        pixels: Of one.
        seconds: What one took so far, if any was drawn.
        each: Bytes of one so far, if any was drawn.
        flops: Operations for one, if known.
    """
    disk = waiting * (each or 1.6 * pixels) / 1e9
    lines = [f"disk: about {disk:.2f} GB" + ("" if each else " (1.6 bytes a pixel)")]
    if seconds is not None:
        lines.append(
            f"time: about {_duration(waiting * seconds)} on one such device ({seconds:.2f} s a picture so far)"
        )
    elif flops:
        lines.append(
            f"time: {waiting * flops / 1e15:,.0f} PFLOP; a device that does 100 TFLOP/s needs about "
            f"{_duration(waiting * flops / 1e14)}. Draw a few with --limit 1 first: then it is measured."
        )
    else:
        lines.append("time: unknown until a few are drawn, with --limit 1")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
