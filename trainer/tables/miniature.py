"""The miniature's own table: what emotion networks do to its pictures, on held-out prompts over the plane.

Each prompt is drawn at the 25 points of the plane and with several seeds; all points of a prompt and seed start from
the same noise. Rows: emotion networks or baselines; the first of them with shuffled and with negated labels; the
painter's own emotional captions (which the networks imitate); the truth, which are the painter's own pictures through
the autoencoder; plain prompts (one picture for all points), and always 0. Pictures and readings are kept in the run's
measured/ folder, so an interrupted command goes on; images.csv there has a line for each picture.

All pictures of a row are pooled in a figure, so tau and slope also hold what differs between prompts; the paper's
tables compute them prompt by prompt.
"""

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emoticrafter.research.baselines import is_baseline
from emoticrafter.weights import read_metadata
from trainer.core import markdown
from trainer.core.device import Machine, find_device
from trainer.evaluation.manifest import read_manifest
from trainer.evaluation.readings import write_readings
from trainer.evaluation.results import NEGATED, SHUFFLED, SHUFFLES, readers_agree
from trainer.evaluation.scoring import READ, READ_AGAIN, Measures, Scores, grouped, subset
from trainer.evaluation.statistics import agreement
from trainer.miniature.held_out import emotional_captions, held_out_prompts
from trainer.miniature.recipe import read_recipe
from trainer.miniature.scores import miniature_measures
from trainer.painters.draw import Job, complete
from trainer.painters.plan import PLAIN, Point, Words, grid, plan, words_of
from trainer.painters.settings import MiniatureSettings, PainterSettings, TruthSettings
from trainer.tables.figures import score_all

POINTS = grid()
AXES = ("valence", "arousal")
COLUMNS = {
    "V tau": "valence tau-c",
    "A tau": "arousal tau-c",
    "V tau-b": "valence tau-b",
    "A tau-b": "arousal tau-b",
    "V slope": "valence slope",
    "A slope": "arousal slope",
    "V-Error": "valence error",
    "A-Error": "arousal error",
    "V-Error 2": "valence error 2",
    "A-Error 2": "arousal error 2",
    "subject": "subject right",
    "V jump": "valence jump",
    "A jump": "arousal jump",
    "V dist.": "valence distance",
    "A dist.": "arousal distance",
}


@dataclass(frozen=True)
class MeasureSettings:
    """What is drawn and measured of a run.

    Attributes:
        run: The run's folder, with all stages done.
        prompts: Held-out prompts, the first so many of the 42.
        seeds: Pictures of every prompt and point.
        device: Where to draw and read.
        precision: "auto", "float32" or "bfloat16".
    """

    run: Path
    prompts: int = 42
    seeds: int = 2
    device: str = "auto"
    precision: str = "auto"

    @property
    def folder(self) -> Path:
        return self.run / "measured"

    def how(self) -> str:
        """How pictures are drawn, for people."""
        recipe, machine = read_recipe(self.run), Machine.find(self.device, self.precision)
        return (
            f"{recipe.sampler_steps} steps of euler, scheduler simple, guidance {recipe.guidance:g}. On a "
            f"{'GPU' if machine.device.type == 'cuda' else 'CPU'} in "
            f"{'bfloat16' if machine.bfloat16 else 'float32'}."
        )

    def job(
        self,
        method: str,
        points: Sequence[Point],
        network: Path | None = None,
        words: Words | None = None,
        strength: float = 1.0,
        start: float = 0.0,
    ) -> Job:
        """Pictures of all prompts and seeds at these points; see `plan` and `MiniatureSettings`."""
        return self._job(MiniatureSettings(self.run, network, strength, start, self.precision), method, points, words)

    def truth(self) -> Job:
        """The painter's own pictures."""
        return self._job(TruthSettings(self.run, self.precision), "truth", POINTS)

    def _job(self, painter: PainterSettings, method: str, points: Sequence[Point], words: Words | None = None) -> Job:
        prompts, seeds = held_out_prompts(self.prompts), range(self.seeds)
        tasks = plan(prompts, points, seeds, method, painter.as_json(), words)
        return Job(self.folder, painter, tasks, batch=25, device=self.device)


def measure(settings: MeasureSettings, networks: dict[str, Path], strength: float = 1.0) -> str:
    """Draws and reads what is missing.

    Args:
        settings: What is drawn.
        networks: Emotion networks or baselines by the names of their rows, see `find_networks`.
        strength: Of their emotions.

    Returns:
        The table with how it was made, as Markdown.

    Raises:
        DataError: A network or a part of the run cannot be used.
    """
    # In front of a network's name, so that its pictures are apart from those of captions and plain prompts.
    behind = "" if strength == 1 else f"-{strength:g}"
    methods = {name: "network-" + re.sub(r"[^A-Za-z0-9_-]", "_", name + behind) for name in networks}
    jobs = {name: settings.job(methods[name], POINTS, path, strength=strength) for name, path in networks.items()}
    captions = words_of(emotional_captions(POINTS))
    jobs["emotional captions"] = settings.job("captions", POINTS, words=captions)
    jobs["truth"] = settings.truth()
    jobs["plain prompts"] = settings.job("plain", PLAIN)
    measures = miniature_measures(settings.run, find_device(settings.device))
    scores = draw_and_score(settings, list(jobs.values()), measures)
    write_readings(settings.folder / "images.csv", scores)
    rows = {name: figures(of_method(scores, job.method)) for name, job in jobs.items()}
    first = next(iter(networks))
    rows = {first: rows.pop(first), **nulls(first, of_method(scores, methods[first])), **rows}
    rows["always 0"] = follow(np.array(POINTS), np.zeros((len(POINTS), 2)))
    seeds = f"{settings.seeds} seed{'s' if settings.seeds > 1 else ''}"
    stronger = "" if strength == 1 else f"strength {strength:g}; "
    head = f"{settings.prompts} held-out prompts, 25 points, {seeds}; {stronger}{settings.how()}"
    return "\n\n".join([head, table(rows), *readers_agree(scores)])


def find_networks(run: Path, files: Sequence[Path] = ()) -> dict[str, Path]:
    """Network files by the names of their rows: the given ones, or a run's with the default settings.

    Raises:
        FileNotFoundError: There is none, or a given one does not exist.
        ValueError: A given one is neither an emotion network nor a baseline.
    """
    for path in files:
        if not is_baseline(path):
            read_metadata(path)
    found = files or sorted(run.glob("emotion/default-*/network.safetensors"))
    if not found:
        raise FileNotFoundError(f"{run}/emotion has no default network: train it first, or give --networks.")
    return {path.parent.name if path.name == "network.safetensors" else path.stem: path for path in found}


def draw_and_score(settings: MeasureSettings, jobs: Sequence[Job], measures: Measures) -> Scores:
    """Draws and measures the pictures of several jobs; those that were drawn and measured before are kept."""
    for number, job in enumerate(jobs, start=1):
        complete(job, title=f"pictures {number} of {len(jobs)}")
    planned = {task.path for job in jobs for task in job.tasks}
    manifest = settings.folder / "manifest.jsonl"
    images = [image for image in read_manifest(manifest) if image.id in planned]
    return score_all(manifest, images, measures)


def of_method(scores: Scores, method: str) -> Scores:
    return subset(scores, [row for row, image in enumerate(scores.images) if image.method == method])


# ---- figures ---------------------------------------------------------------------------------------


def figures(scores: Scores) -> dict[str, float]:
    """The figures of one row, with pictures at all points or one for each prompt and seed, which then stands at all."""
    asked, got = _asked_and_read(scores)
    found = follow(asked, got)
    if READ_AGAIN[0] in scores.columns:
        second = follow(*_asked_and_read(scores, READ_AGAIN))
        found |= {f"{axis} error 2": second[f"{axis} error"] for axis in AXES}
    found["subject right"] = float(np.nanmean(scores.columns["content"]))
    for number, axis in enumerate(AXES):
        along = scores.axis == number
        if along.any():
            first, second = scores.pairs[along].T
            found[f"{axis} jump"] = float(np.abs(got[first, number] - got[second, number]).max())
            found[f"{axis} distance"] = float(scores.distances[along].mean())
    return found


def _asked_and_read(scores: Scores, columns: Sequence[str] = READ) -> tuple[np.ndarray, np.ndarray]:
    """[N, 2] each; a picture that stands for all points is there at each of them."""
    asked = np.array([(image.valence, image.arousal) for image in scores.images])
    got = np.stack([scores.columns[name] for name in columns], axis=1)
    if len(np.unique(asked, axis=0)) > 1:
        return asked, got
    return np.tile(POINTS, (len(got), 1)), np.repeat(got, len(POINTS), axis=0)


def nulls(name: str, scores: Scores) -> dict[str, dict[str, float]]:
    """Rows of the same pictures with other labels: shuffled within each prompt and seed, and negated."""
    asked, got = _asked_and_read(scores)
    random, groups = np.random.default_rng(0), [np.array(rows) for rows in grouped(scores.images)]
    shuffles = []
    for _ in range(SHUFFLES):
        other = asked.copy()
        for rows in groups:
            other[rows] = asked[random.permutation(rows)]
        shuffles.append(follow(other, got))
    shuffled = {key: float(np.mean([one[key] for one in shuffles])) for key in shuffles[0]}
    return {f"{name}{SHUFFLED}": shuffled, f"{name}{NEGATED}": follow(-asked, got)}


def follow(asked: np.ndarray, got: np.ndarray) -> dict[str, float]:
    """Tau-c, tau-b, slope and error of both axes, over all pictures together; two [N, 2]."""
    return {
        f"{axis} {name}": value
        for number, axis in enumerate(AXES)
        for name, value in agreement(asked[:, number], got[:, number]).items()
    }


# ---- the table -------------------------------------------------------------------------------------


def table(rows: dict[str, dict[str, float]]) -> str:
    """Rows by name as Markdown; `name-0`, `name-1` … are one row of means with their standard deviation.

    A dash stands where a row has no such figure; what no row has is no column.
    """
    groups: dict[str, list[dict[str, float]]] = {}
    for name, found in rows.items():
        stem, _, last = name.rpartition("-")
        groups.setdefault(stem if stem and last.isdigit() else name, []).append(found)
    columns = {title: key for title, key in COLUMNS.items() if any(key in found for found in rows.values())}
    lines = []
    for name, found in groups.items():
        seeds = f" ({len(found)} seeds)" if len(found) > 1 else ""
        cells = [_cell(key, [one.get(key, math.nan) for one in found]) for key in columns.values()]
        lines.append([f"{name}{seeds}", *cells])
    return markdown.table(["", *columns], lines)


def _cell(key: str, values: Sequence[float]) -> str:
    if any(math.isnan(value) for value in values):
        return "–"
    factor, places, unit = (100, 1, " %") if key == "subject right" else (1, 2, "")
    spread = f" ± {factor * statistics.stdev(values):.{places}f}" if len(values) > 1 else ""
    return f"{factor * statistics.mean(values):.{places}f}{spread}{unit}"
