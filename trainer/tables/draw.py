"""Draws the pictures of a table's rows where they are missing, or says what that will take."""

from collections.abc import Sequence

from emoticrafter.research.baselines import METHODS as BASELINES
from trainer.painters.draw import Job, complete
from trainer.painters.plan import PLAIN as PLAIN_POINT
from trainer.painters.plan import grid, plan
from trainer.tables.rows import DEVIATION, INSTANT, LABELS, OURS, PICTURES, PLAIN, REWRITING
from trainer.tables.settings import TablesSettings
from trainer.tables.sources import Drawing, Miniature, Sdxl, once

Source = Miniature | Sdxl
POINTS = grid()


def job_of(source: Source, drawing: Drawing, settings: TablesSettings) -> Job:
    """
    Raises:
        DataError: The network, the generator or the rewritten prompts cannot be used.
    """
    painter = source.painter(drawing)
    points = PLAIN_POINT if drawing.row == PLAIN else POINTS
    words = source.words() if drawing.row == REWRITING else None
    prompts, seeds = source.prompts(settings.prompts), range(settings.seeds)
    tasks = plan(prompts, points, seeds, drawing.method, painter.as_json(), words)
    return Job(settings.images, painter, tasks, source.batch, settings.device)


def draw(source: Source, drawings: Sequence[Drawing], settings: TablesSettings) -> None:
    """Draws what is missing of every row.

    Raises:
        DataError: A network, model or folder cannot be used.
    """
    for number, drawing in enumerate(drawings, start=1):
        job = job_of(source, drawing, settings)
        complete(job, settings.processes, f"pictures {number} of {len(drawings)}")


# ---- what it takes ---------------------------------------------------------------------------------

MINUTES = {**dict.fromkeys(BASELINES, 5), INSTANT: 1, DEVIATION: 6, LABELS: 10, PICTURES: 11}
"""Of fits to the miniature on two cores, as they were measured on machines with other work."""
OTHER_MINUTES = 7  # of a network of the paper's form
PAINTING_MINUTES = 14
PICTURE_SECONDS = 0.3  # of the miniature, on one core
FLOP_A_SECOND = 1e14


def estimate(source: Source, drawings: Sequence[Drawing], settings: TablesSettings) -> str:
    """The missing networks and pictures, about how long they take and how large they are, in words."""
    lines, absent = [], once([drawing for drawing in drawings if not source.is_fitted(drawing)])
    if isinstance(source, Miniature) and not (source.run / "recipe.json").is_file():
        lines.append(f"{source.run} does not exist: it is made from the shipped weights, in seconds")
        absent = [drawing for drawing in absent if drawing.network != source.network(OURS, 0)]
    if absent and settings.fit and isinstance(source, Miniature):
        absent = source.missing(absent)
        minutes = sum(MINUTES.get(drawing.row, OTHER_MINUTES) for drawing in absent)
        painted = any(drawing.row in (LABELS, PICTURES, *BASELINES) for drawing in absent)
        if painted and not (source.run / "latents.npy").exists():
            minutes += PAINTING_MINUTES
        lines.append(f"fits: {len(absent)} are missing, about {_hours(minutes * 60)} on two cores")
        lines += [f"  {drawing.network}" for drawing in absent]
    elif absent:
        lines.append(f"fits: {len(absent)} are missing, and their rows are left out")
        gone = {drawing.network for drawing in absent}
        drawings = [drawing for drawing in drawings if drawing.network not in gone]
    return "\n".join([*lines, _pictures(source, drawings, settings)])


def _hours(seconds: float) -> str:
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def _pictures(source: Source, drawings: Sequence[Drawing], settings: TablesSettings) -> str:
    total, waiting, seconds, size = 0, 0, 0.0, 0.0
    for drawing in drawings:
        count, missing, each, large = _of_row(source, drawing, settings)
        total, waiting = total + count, waiting + missing
        seconds, size = seconds + missing * each, size + missing * large
    rate = "" if isinstance(source, Miniature) else ", at 100 TFLOP/s where none is drawn yet"
    return (
        f"pictures: {waiting:,} of {total:,} are missing, about {_hours(seconds / settings.processes)} and "
        f"{size / 1e9:.2f} GB{rate}"
    )


def _of_row(source: Source, drawing: Drawing, settings: TablesSettings) -> tuple[int, int, float, float]:
    """How many pictures a row has, how many are missing, and seconds and bytes of one."""
    if isinstance(source, Miniature) and not (source.has_generator and source.is_fitted(drawing)):
        points = 1 if drawing.row == PLAIN else len(POINTS)
        count = len(source.prompts(settings.prompts)) * settings.seeds * points
        return count, count, PICTURE_SECONDS, 1.6 * source.pixels
    job = job_of(source, drawing, settings)
    seconds, size = job.store.measured(job.method)
    flops = job.painter.flops
    likely = flops / FLOP_A_SECOND if flops else PICTURE_SECONDS
    return len(job.tasks), len(job.missing()), seconds or likely, size or 1.6 * job.painter.pixels
