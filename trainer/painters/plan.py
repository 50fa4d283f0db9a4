"""What is to be drawn: prompts by points of the plane by seeds, shared out over processes."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trainer.core.rows import DataError, Problems, number_value, parse_each, read_rows, read_utf8, text_value

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
LEVELS = (-3.0, -1.5, 0.0, 1.5, 3.0)
PROMPTS = Path(__file__).with_name("prompts.txt")


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


def read_prompts(path: Path, limit: int | None = None) -> list[str]:
    """One prompt a line, blank lines left out.

    Raises:
        DataError: no prompts, or one comes twice.
    """
    prompts = [line.strip() for line in read_utf8(path).splitlines() if line.strip()]
    if not prompts:
        raise DataError(f"{path} holds no prompts: expected one a line.")
    if twice := [prompt for n, prompt in enumerate(prompts) if prompt in prompts[:n]]:
        raise DataError(f"{path} holds {twice[0]!r} more than once.")
    return prompts[:limit]


Words = Mapping[tuple[str, float, float], str]
"""Prompts in other words, by prompt, valence and arousal."""


def read_rewritten(path: Path) -> Words:
    """Reads what `python -m trainer.baselines rewrite` wrote: prompt, valence, arousal, rewritten in each line.

    Raises:
        DataError: every line that cannot be used, and why.
    """
    problems, found = Problems(path), {}
    for row in read_rows(path, suffix=".jsonl"):
        cell = row.values
        fields = {
            "prompt": lambda cell=cell: text_value(cell.get("prompt")),
            "valence": lambda cell=cell: number_value(cell.get("valence"), -3, 3),
            "arousal": lambda cell=cell: number_value(cell.get("arousal"), -3, 3),
            "rewritten": lambda cell=cell: text_value(cell.get("rewritten")),
        }
        if values := parse_each(row, problems, fields):
            found[values["prompt"], values["valence"], values["arousal"]] = values["rewritten"]
    problems.refuse("Every line needs prompt, valence, arousal and rewritten.")
    return found


def plan(
    prompts: Sequence[str],
    levels: Sequence[float],
    seeds: Sequence[int],
    method: str,
    plain: bool,
    settings: dict,
    words: Words | None = None,
) -> list[Task]:
    """All pictures of a method, a prompt's points together.

    Args:
        prompts: Without emotion.
        levels: Of valence and of arousal; every pair is drawn.
        seeds: For each prompt.
        method: Its name, also of a folder.
        plain: Draw the prompts without emotion: one picture for each prompt and seed, at 0, 0.
        settings: Everything else that the pictures depend on; JSON.
        words: What is drawn in the prompts' place.

    Raises:
        DataError: a prompt has no other words for a point.
    """
    points = [(0.0, 0.0)] if plain else [(v, a) for a in levels for v in levels]
    if words is not None:
        _need_words(words, [(prompt, v, a) for prompt in prompts for v, a in points])
    tasks = []
    for number, prompt in enumerate(prompts):
        for seed in seeds:
            for valence, arousal in points:
                said = words[prompt, valence, arousal] if words else ""
                task = Task(number, prompt, valence, arousal, seed, method, rewritten=said)
                text = json.dumps([asdict(task), settings], sort_keys=True)
                tasks.append(Task(**{**asdict(task), "made": hashlib.sha256(text.encode()).hexdigest()[:16]}))
    return tasks


def _need_words(words: Words, wanted: Sequence[tuple[str, float, float]]) -> None:
    if lacking := [point for point in wanted if point not in words]:
        prompt, valence, arousal = lacking[0]
        raise DataError(
            f"The rewritten prompts lack {len(lacking):,} of {len(wanted):,} points, such as {prompt!r} at "
            f"{valence:g}, {arousal:g}: have the same prompts rewritten, at the same levels of both axes."
        )


@dataclass(frozen=True)
class Process:
    """Which of how many processes this is, as torchrun and accelerate say it in the environment."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @classmethod
    def of_environment(cls) -> "Process":
        said = os.environ.get
        return cls(int(said("RANK", 0)), int(said("WORLD_SIZE", 1)), int(said("LOCAL_RANK", 0)))

    def share(self, tasks: Sequence[Task]) -> list[Task]:
        """This process's tasks: whole prompts, so that a prompt is encoded once."""
        return [task for task in tasks if task.number % self.count == self.rank]


def estimate(
    waiting: int, pixels: int, seconds: float | None, each: float | None, flops: float | None
) -> str:
    """What drawing will take, in words.

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
        lines.append("time: not known before a few are drawn, with --limit 1")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
