"""The report of a run: one HTML file with its figures, settings and provenance inside."""

import json
from contextlib import closing
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import torch

from emoticrafter.files import regular, write_text
from emoticrafter.fit.density import fit_density
from emoticrafter.fit.loss import effective_size, pair_weights
from emoticrafter.weights import load_network, read_metadata
from emoticrafter.weights.card import model_card
from trainer.core import markdown
from trainer.core.command_line import TrainingError
from trainer.core.device import find_device
from trainer.core.figures import save
from trainer.core.html import render
from trainer.core.pictures import data_url
from trainer.core.rows import DataError
from trainer.data.pairs import PairTable, load_table
from trainer.runs import figures
from trainer.runs.loader import Loader, read_data
from trainer.runs.logs import read_metrics, stand_in_warning, write_json
from trainer.runs.nulls import ASKED, NULLS, REGIONS, Nulls, measure_nulls
from trainer.runs.settings import Settings


def read_run(run: Path) -> dict:
    """Reads a run's folder.

    Returns:
        run.json's dict with "train" and "validation" (lines of metrics.jsonl), "maps" (sensitivity.json) and
        "provenance" (of the network), these two None as long as they are missing.

    Raises:
        TrainingError: The folder does not hold a run, the run has no metrics yet, or a file is damaged.
    """
    if not (run / "run.json").is_file():
        raise TrainingError(
            f"{run} does not hold a run (there is no run.json): give the folder that trainer.train wrote."
        )
    lines = read_metrics(run / "metrics.jsonl")
    found = _read_json(run / "run.json", NEEDED)
    for kind in ("train", "validation"):
        found[kind] = [line for line in lines if line.get("kind") == kind and "loss" in line]
    if not found["train"]:
        raise TrainingError(f"{run} has no metrics yet: wait for the first lines of its metrics.jsonl.")
    maps, network = run / "sensitivity.json", run / "network.safetensors"
    found["maps"] = _read_json(maps, MAPS) if maps.is_file() else None
    try:
        found["provenance"] = read_metadata(network)["training"] if network.is_file() else None
    except ValueError as error:
        raise TrainingError(f"{network} is damaged: {error}") from error
    return found


LEAK_COLUMNS = ("along valence", "along arousal")
NUMBER = int | float
NEEDED = {
    "settings data": str,
    "settings bandwidth": str,
    "settings density_power": NUMBER,
    "settings weight_clip": NUMBER,
    "settings scale": NUMBER,
    "settings preserve_rank": int,
    "settings seed": int,
    "data fingerprint": str,
    "data pairs train": int,
    "data pairs validation": int,
    "data encoder name": str,
    "network parameters": int,
    "steps": int,
    "device": str,
    "precision": str,
    "processes": int,
    "torch": str,
}
"""Paths in run.json that a report needs, and their types."""
MAPS = {"grid": list, "valence": list, "arousal": list}


def _read_json(path: Path, needed: dict) -> dict:
    """Reads a dict, and checks that each needed path has a value of its type."""
    writes = "python -m trainer.train with --resume writes it anew"
    again = "delete it to see the rest" if needed is MAPS else writes
    try:
        found = json.loads(regular(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{path} is damaged ({error}): {again}.") from error
    for keys, kind in needed.items():
        value = found
        for key in keys.split():
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, kind):
            raise TrainingError(f"{path} is damaged ({keys.replace(' ', '.')} is missing or of another type): {again}.")
    return found


def draw(run: Path, found: dict, table: PairTable) -> list[str]:
    """Draws the figures into the run's report folder; gives their file names without ending, in order."""
    settings, folder = found["settings"], run / "report"
    train = table.indexes("train")
    at = table.valence[train], table.arousal[train]
    density = fit_density(*at, settings["bandwidth"])
    everywhere = torch.ones(len(train), dtype=torch.bool)
    powers = settings["density_power"], settings["weight_clip"]
    weights = pair_weights(torch.from_numpy(density(*at)), everywhere, *powers)
    drawings = {
        "data": partial(figures.data, table),
        "density": partial(figures.density, density, *at, weights.numpy()),
        "weights": partial(figures.weights, weights.numpy(), effective_size(weights)),
        "losses": partial(figures.losses, found["train"], found["validation"]),
    }
    if found["maps"]:
        drawings["sensitivity"] = partial(figures.sensitivity, found["maps"])
        drawings["directions"] = partial(figures.directions, found["validation"])
    for name, drawing in drawings.items():
        save(drawing, folder, name)
    return list(drawings)


# ---- the nulls -------------------------------------------------------------------------------------


def compare_with_nulls(run: Path, found: dict, data: Path, device: str) -> tuple[str, Nulls | None]:
    """Measures the run's network against its nulls.

    Returns:
        The report's first line, empty if every null is beaten; and the nulls, None where nothing can be measured yet.
    """
    if not found["provenance"]:
        return "", None
    known = {field.name for field in fields(Settings)} & found["settings"].keys()
    settings = Settings(**{name: found["settings"][name] for name in known} | {"data": data, "out": run})
    try:
        on = find_device(device)
        read = read_data(replace(settings, check_features=False), on)
        network = load_network(run / "network.safetensors").to(on)
        with closing(Loader(read, on, pool=False)) as loader:
            nulls = measure_nulls(network.eval(), read, loader, settings.scale, settings.seed)
    except TrainingError as error:
        return f"Not compared with its nulls, for which the features are needed: {error}", None
    return nulls.verdict, nulls


def _nulls_tables(nulls: Nulls) -> dict[str, dict[str, tuple[str, ...]]]:
    """Errors by region, and the leak, as the page's tables show them."""
    regions = [region for region in REGIONS if len(nulls.rows(region))]
    counts = {"pairs": tuple(f"{len(nulls.rows(region)):,}" for region in regions)}
    errors = {name: tuple(_cell(nulls, name, region) for region in regions) for name in (ASKED, *NULLS)}
    leak = {
        f"{who}: per unit of {axis}": tuple(f"{value:+.2f}" for value in row)
        for who, rows in nulls.leak.items()
        for axis, row in zip(("valence", "arousal"), rows, strict=True)
    }
    return {"errors": {"": tuple(regions)} | counts | errors, "leak": leak}


def _cell(nulls: Nulls, name: str, region: str) -> str:
    beaten = {True: "", None: " ?", False: " !"}[True if name == ASKED else nulls.beats(name, region)]
    return f"{nulls.mean(name, region):.4g}{beaten}"


# ---- the page ---------------------------------------------------------------------------------------


def page(run: Path, found: dict, drawn: list[str], verdict: str, nulls: Nulls | None) -> str:
    """The whole report as HTML; every figure is inside it."""
    kept = {key: found[key] for key in ("device", "precision", "processes", "torch", "data")}
    return render(
        Path(__file__).with_name("report.html"),
        name=run.resolve().name,
        warnings=list(filter(None, [verdict, stand_in_warning(found["data"])])),
        nulls=_nulls_tables(nulls) if nulls else {},
        split=nulls.split if nulls else "",
        leak_columns=LEAK_COLUMNS,
        summary=_summary(found),
        figures={name: _light_and_dark(run / "report", name) for name in drawn},
        validation=_best_and_last(found["validation"]),
        tables={"Settings": _flat(found["settings"]), "Network": _flat(found["network"]), "Provenance": _flat(kept)},
    )


def _summary(found: dict) -> dict[str, str]:
    last, pairs = found["train"][-1], found["data"]["pairs"]
    best = min(found["validation"], key=lambda line: line["loss"], default=None)
    return {
        "steps": f"{last['step']:,} of {found['steps']:,}",
        "pairs": f"{pairs['train']:,} + {pairs['validation']:,}",
        "parameters": f"{found['network']['parameters'] / 1e6:.1f} million",
        "samples per second": f"{last['samples_per_second']:,.0f}",
        "best validation loss": f"{best['loss']:.4g}" if best else "none yet",
        "at step": f"{best['step']:,}" if best else "",
    }


def _light_and_dark(folder: Path, name: str) -> list[str]:
    return [data_url((folder / f"{name}{ending}.png").read_bytes(), "png") for ending in ("", "-dark")]


def _best_and_last(validations: list[dict]) -> dict[str, tuple[str, str]]:
    if not validations:
        return {}
    best, last = min(validations, key=lambda line: line["loss"]), validations[-1]
    return {key.replace("_", " "): (f"{best[key]:.4g}", f"{last[key]:.4g}") for key in best if key != "kind"}


def _flat(values: dict, before: str = "") -> dict[str, tuple[str]]:
    """Nested values as rows of a table: {"a": {"b": 1}} to {"a: b": ("1",)}."""
    rows = {}
    for key, value in values.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(value, dict):
            rows |= _flat(value, f"{name}: ")
        else:
            rows[name] = (f"{value:.6g}" if isinstance(value, float) else str(value),)
    return rows


def write_report(run: Path, data: Path | None = None, device: str = "auto") -> tuple[Path, str]:
    """Draws a run's figures, compares its network with its nulls, and writes report.html, nulls.json and README.md.

    Args:
        run: The run's folder.
        data: The data folder, if it is not where the run found it.
        device: To measure the network on.

    Returns:
        The report, and its first line: what the network fails to beat, empty if nothing.

    Raises:
        TrainingError: The folder does not hold a run, or the data is missing or has changed.
    """
    found = read_run(run)
    folder = data or Path(found["settings"]["data"])
    try:
        table = load_table(folder)
    except (DataError, OSError) as error:
        raise TrainingError(f"{error}\nIf the run's data was moved, give its new place with --data.") from error
    if table.fingerprint() != found["data"]["fingerprint"]:
        raise TrainingError(
            f"{folder} holds other data than the run was trained on: give the right folder with --data."
        )
    path, drawn = run / "report.html", draw(run, found, table)
    verdict, nulls = compare_with_nulls(run, found, folder, device)
    if nulls:
        write_json(run / "report" / "nulls.json", nulls.as_json())
    write_text(path, page(run, found, drawn, verdict, nulls))
    if found["provenance"]:
        _write_card(run, verdict, nulls)
    return path, verdict


def _write_card(run: Path, verdict: str, nulls: Nulls | None) -> None:
    """Writes the network's model card beside it, with what was measured here."""
    measured = ["## Against its nulls", verdict or "Beats its nulls."]
    for rows in _nulls_tables(nulls).values() if nulls else ():
        lines = [[name, *cells] for name, cells in rows.items()]
        head = lines.pop(0) if "" in rows else ["", *LEAK_COLUMNS]
        measured.append(markdown.table(head, lines))
    network = run / "network.safetensors"
    told, encoder = read_metadata(network), load_network(network).encoder
    text = model_card(told["config"], encoder.family if encoder else "", told["training"], "\n\n".join(measured))
    write_text(run / "README.md", text)
