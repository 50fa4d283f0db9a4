"""From settings to tables: what is missing is fitted and drawn; each table is measured, printed and written."""

import json

from emoticrafter.files import write_atomically
from trainer.core.command_line import say, say_error
from trainer.core.device import find_device
from trainer.core.markdown import put_between_marks
from trainer.core.rows import DataError, replacing
from trainer.evaluation.measures import CLIP_SCORES, add_scores, read_by
from trainer.evaluation.readers import load_va_reader
from trainer.evaluation.readings import write_readings
from trainer.evaluation.scoring import Measures
from trainer.miniature.scores import miniature_measures
from trainer.tables import curve, people, side_by_side, text
from trainer.tables.draw import Source, draw, estimate
from trainer.tables.figures import find, score
from trainer.tables.fits import check_base, fit, restored
from trainer.tables.rows import OURS, TABLES
from trainer.tables.settings import TablesSettings, table_names
from trainer.tables.sources import Drawing, Miniature, Sdxl, given_networks, scales_of

OF_PEOPLE = "table 3 of people"
"""Their study says whose pictures they saw: it belongs to neither the miniature's table nor SDXL's."""


def make_tables(settings: TablesSettings) -> int:
    """Makes the tables; one that cannot be made is told, and the others are made.

    Returns:
        The command's status: 1 if a table could not be made.

    Raises:
        DataError: The settings, a network, a model or a folder cannot be used.
    """
    settings.check()
    names, source = table_names(settings.what), source_of(settings)
    if names == ["table 3"] and settings.answers:
        _people(settings)
        return 0
    names, failed = _possible(settings, names)
    if not names:
        return failed
    drawings = list(dict.fromkeys(drawing for name in names for drawing in _drawings(name, source)))
    if settings.dry_run:
        say(estimate(source, drawings, settings))
        return failed
    drawings = _fitted(settings, source, drawings)
    _need_ours(names, {drawing.row for drawing in drawings})
    draw(source, drawings, settings)
    return _measure(settings, names, source, drawings) or failed


def source_of(settings: TablesSettings) -> Source:
    if settings.sdxl:
        return Sdxl(settings.sdxl, given_networks(settings.network), settings.rewritten)
    return Miniature(settings.run, settings.baselines, settings.networks)


def measures_of(settings: TablesSettings) -> Measures:
    device, clip, lpips = find_device(settings.device), "none", "none"
    if settings.sdxl:
        reader = load_va_reader(settings.reader, settings.backbone, device)
        measures, clip, lpips = read_by(reader), CLIP_SCORES, "alex"
    else:
        measures = miniature_measures(settings.run, device)
    return add_scores(measures, settings.clip or clip, settings.lpips or lpips, settings.lpips_weights, device)


def _possible(settings: TablesSettings, names: list[str]) -> tuple[list[str], int]:
    """The tables that so many prompts allow, and the command's status."""
    if "table 3" not in names or settings.answers:
        return names, 0
    why = people.too_few(settings.prompts, settings.seeds)
    if not why:
        return names, 0
    say_error(why)
    return [name for name in names if name != "table 3"], 1


def _drawings(name: str, source: Source) -> list[Drawing]:
    """The drawings of a table; people judge the pictures of one network."""
    every = [drawing for row in TABLES[name].rows for drawing in source.drawings(row)]
    return [drawing for drawing in every if drawing.seed == 0] if name == "table 3" else every


def _fitted(settings: TablesSettings, source: Source, drawings: list[Drawing]) -> list[Drawing]:
    """The drawings whose network exists, after the missing ones are fitted."""
    if isinstance(source, Miniature):
        restored(source.run, settings.shipped)
        check_base(source, drawings)
    missing = [drawing for drawing in drawings if not source.is_fitted(drawing)]
    if missing and settings.fit:
        fit(source, missing, settings.device)
    elif missing:
        say("left out, because they are not fitted: " + ", ".join(drawing.method for drawing in missing))
    return [drawing for drawing in drawings if source.is_fitted(drawing)]


def _need_ours(names: list[str], rows: set[str]) -> None:
    """Raises DataError, before anything is drawn, if a table lacks what its rows are compared with."""
    for name in names:
        wanted = list(dict.fromkeys((TABLES[name].reference, OURS)))
        if rows.isdisjoint(wanted):
            raise DataError(
                f"{name.capitalize()} lacks a network of {' or '.join(wanted)}, which its other rows are compared with."
            )


def _measure(settings: TablesSettings, names: list[str], source: Source, drawings: list[Drawing]) -> int:
    measures, failed = measures_of(settings), 0
    for name in names:
        own = [drawing for drawing in _drawings(name, source) if drawing in drawings]
        try:
            make = _user_study if name == "table 3" else _table
            make(settings, name, own, measures)
        except DataError as error:
            say_error(f"{name}: {error}")
            failed = 1
    return failed


# ---- one table -------------------------------------------------------------------------------------


def _table(settings: TablesSettings, name: str, drawings: list[Drawing], measures: Measures) -> None:
    table = TABLES[name]
    scores = score(settings.manifest, drawings, measures)
    found = find(table, scores, drawings, measures)
    write_readings(settings.out / f"{name.replace(' ', '-')}-images.csv", scores)
    networks = {row: [str(d.network) for d in drawings if d.row == row and d.network] for row in table.rows}
    body = text.shown(found, settings.command)
    if name == "figure 10":
        curve.draw_curve(found, scales_of(drawings), settings.out)
        figure = _shown(settings, f"{curve.NAME}.png", "Slope, error and content over the scale factor")
        body = f"{figure}\n\n{body}"
    if name == "table 1":
        prompt = side_by_side.draw_side_by_side(settings.manifest, drawings, settings.out)
        title = f"“{prompt}” along valence and along arousal, by each method"
        body = f"{body}\n\n{_shown(settings, side_by_side.NAME + side_by_side.SUFFIX, title)}"
    _write(settings, name, table.title, body, text.as_json(found, networks))


def _shown(settings: TablesSettings, name: str, title: str) -> str:
    """Copies a drawn figure beside the document, and returns the document's line for it."""
    if settings.document:
        drawn = (settings.out / name).read_bytes()
        beside = settings.document.parent / "images" / name
        write_atomically(beside, lambda temporary: temporary.write_bytes(drawn))
    return f"![{title}](images/{name})"


def _user_study(settings: TablesSettings, name: str, drawings: list[Drawing], measures: Measures) -> None:
    if settings.answers:
        _people(settings)
        return
    scores = score(settings.manifest, drawings, measures)
    found = people.simulated(settings.out, scores, drawings)
    _write(settings, name, TABLES[name].title, people.shown(found, settings.command), found)


def _people(settings: TablesSettings) -> None:
    found = people.of_people(settings.answers, settings.key)
    title = f"{TABLES['table 3'].title} {found['study']}"
    _write(settings, OF_PEOPLE, title, people.shown(found, settings.command), found)


def _write(settings: TablesSettings, name: str, title: str, body: str, found: dict) -> None:
    """Prints a table and writes it as Markdown, as JSON, and into the document."""
    sdxl = settings.sdxl if name != OF_PEOPLE else None
    where = "" if name == OF_PEOPLE else f" on SDXL ({sdxl})" if sdxl else " on the miniature"
    heading = f"{name.capitalize()}{where}: {title}"
    say(f"\n{heading}\n\n{body}")
    stem = settings.out / name.replace(" ", "-")
    with replacing(stem.with_suffix(".md")) as stream:
        stream.write(f"# {heading}\n\n{body}\n")
    with replacing(stem.with_suffix(".json")) as stream:
        json.dump(found, stream, ensure_ascii=False, indent=1, allow_nan=False)
    if settings.document:
        put_between_marks(settings.document, body, f"{name} on SDXL" if sdxl else name, "# The tables")
