"""The report of a run: one HTML file with its figures, settings and provenance inside."""

import base64
import html
import json
from functools import partial
from pathlib import Path

import torch

from emoticrafter.files import write_atomically
from emoticrafter.fit.density import fit_density
from emoticrafter.fit.loss import effective_size, pair_weights
from emoticrafter.weights import read_metadata
from trainer.core.command_line import TrainingError
from trainer.core.figures import save
from trainer.core.rows import DataError
from trainer.data.pairs import PairTable, load_table
from trainer.runs import figures
from trainer.runs.logs import read_metrics, stand_in_warning

CSS = """
:root { color-scheme: light dark; --ink: light-dark(#1d2433, #e6e9f0); --faint: light-dark(#e3e6ed, #2b3344);
  --paper: light-dark(#ffffff, #151a24); --back: light-dark(#f4f5f8, #0d1118); --quiet: light-dark(#5b6579, #9aa5ba); }
* { box-sizing: border-box; }
body { margin: 0; padding: 3rem 1.25rem 5rem; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 60rem; margin: auto; }
h1 { font-size: 2rem; margin: 0; letter-spacing: -0.02em; }
h2 { font-size: 1.2rem; margin: 0 0 0.35rem; }
p { margin: 0 0 1rem; color: var(--quiet); max-width: 46rem; }
section, dl { background: var(--paper); border: 1px solid var(--faint); border-radius: 12px; padding: 1.4rem 1.5rem;
  margin: 1.25rem 0; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1rem 1.5rem; }
dt { color: var(--quiet); font-size: 0.85rem; }
dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.warning { color: light-dark(#b3261e, #ff9a8f); font-weight: 700; font-size: 1.15rem; margin: 0.5rem 0; }
img { display: block; width: 100%; height: auto; }
table { width: 100%; border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.35rem 0.75rem 0.35rem 0; border-top: 1px solid var(--faint);
  vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 500; color: var(--quiet); width: 15rem; }
thead th { border: 0; width: auto; }
"""


def read_run(run: Path) -> dict:
    """What a run's folder holds: run.json's dict, its metrics, the sensitivity maps and the network's provenance.

    Raises:
        TrainingError: The folder is no run, a run that has not begun, or one of its files is damaged.
    """
    if not (run / "run.json").is_file():
        raise TrainingError(
            f"{run} holds no run (there is no run.json): give the folder that trainer.train wrote."
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


NUMBER = int | float
NEEDED = {
    "settings data": str,
    "settings bandwidth": str,
    "settings density_power": NUMBER,
    "settings weight_clip": NUMBER,
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
"""What run.json has to say for a report."""
MAPS = {"grid": list, "valence": list, "arousal": list}


def _read_json(path: Path, needed: dict) -> dict:
    """Reads a dict that has a value of the right type under each of the needed paths."""
    again = (
        "delete it to see the rest"
        if needed is MAPS
        else "python -m trainer.train with --resume writes it anew"
    )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainingError(f"{path} is damaged ({error}): {again}.") from error
    for keys, kind in needed.items():
        value = found
        for key in keys.split():
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, kind):
            raise TrainingError(f"{path} is damaged ({keys.replace(' ', '.')} is missing or odd): {again}.")
    return found


def draw(run: Path, found: dict, table: PairTable) -> list[tuple[str, str, str]]:
    """Draws the figures into the run's report folder.

    Returns:
        (file name without ending, heading, what it shows), in order.
    """
    settings, folder = found["settings"], run / "report"
    train = table.indexes("train")
    density = fit_density(table.valence[train], table.arousal[train], settings["bandwidth"])
    at_pairs = torch.from_numpy(density(table.valence[train], table.arousal[train]))
    everywhere = torch.ones(len(train), dtype=torch.bool)
    weights = pair_weights(at_pairs, everywhere, settings["density_power"], settings["weight_clip"])
    drawings = {
        "data": partial(figures.data, table),
        "density": partial(
            figures.density, density, table.valence[train], table.arousal[train], weights.numpy()
        ),
        "weights": partial(figures.weights, weights.numpy(), effective_size(weights)),
        "losses": partial(figures.losses, found["train"], found["validation"]),
    }
    if found["maps"]:
        drawings["sensitivity"] = partial(figures.sensitivity, found["maps"])
        drawings["directions"] = partial(figures.directions, found["validation"])
    for name, drawing in drawings.items():
        save(drawing, folder, name)
    return [(name, *TEXTS[name]) for name in drawings]


TEXTS = {
    "data": ("Data", "Where the pairs lie in the plane; the area of a dot is the number of pairs there."),
    "density": (
        "Density",
        "The kernel density of the training pairs, and the weights that rare emotions get for it in the loss.",
    ),
    "weights": (
        "Weights",
        "How the weights spread. If a few pairs take most of the weight, the number of equally weighted pairs that "
        "they are worth is small, and --weight-clip helps.",
    ),
    "losses": (
        "Losses",
        "The weighted loss while training, with dropout, and on the validation pairs, without.",
    ),
    "sensitivity": (
        "Sensitivity",
        "How far the features move when valence or arousal grows by one, at each point of the plane. Dark places are "
        "where the emotion can be turned without much effect.",
    ),
    "directions": (
        "Direction",
        "Monotone: the share of steps along an axis that go forward in the data's own direction (half is chance). "
        "Consistency: the cosine between the movements of two prompts. Alignment: that with the data's direction.",
    ),
}


# --- HTML ------------------------------------------------------------------------------------------------------------


def page(run: Path, found: dict, drawn: list[tuple[str, str, str]]) -> str:
    """The whole report; every figure is inside it."""
    name = html.escape(run.resolve().name)
    sections = "".join(_figure(run / "report", *one) for one in drawn)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name} – emotion network</title><style>{CSS}</style></head><body><main>"
        f"<h1>{name}</h1>{_warning(found)}{_summary(found)}{sections}{_tables(found)}</main></body></html>\n"
    )


def _warning(found: dict) -> str:
    text = stand_in_warning(found["data"])
    return f'<p class="warning">{html.escape(text)}</p>' if text else ""


def _summary(found: dict) -> str:
    last = found["train"][-1]
    best = min(found["validation"], key=lambda line: line["loss"], default=None)
    values = {
        "steps": f"{last['step']:,} of {found['steps']:,}",
        "pairs": f"{found['data']['pairs']['train']:,} + {found['data']['pairs']['validation']:,}",
        "parameters": f"{found['network']['parameters'] / 1e6:.1f} million",
        "samples per second": f"{last['samples_per_second']:,.0f}",
        "best validation loss": f"{best['loss']:.4g}" if best else "none yet",
        "at step": f"{best['step']:,}" if best else "",
    }
    items = "".join(
        f"<div><dt>{key}</dt><dd>{html.escape(value)}</dd></div>" for key, value in values.items()
    )
    return f"<dl>{items}</dl>"


def _figure(folder: Path, name: str, heading: str, text: str) -> str:
    light, dark = (
        "data:image/png;base64," + base64.b64encode((folder / f"{name}{ending}.png").read_bytes()).decode()
        for ending in ("", "-dark")
    )
    picture = (
        f'<picture><source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        f'<img src="{light}" alt="{html.escape(heading)}: {html.escape(text)}"></picture>'
    )
    return f"<section><h2>{heading}</h2><p>{html.escape(text)}</p>{picture}</section>"


def _tables(found: dict) -> str:
    kept = {key: found[key] for key in ("device", "precision", "processes", "torch")} | {
        "data": found["data"]
    }
    tables = {
        "Validation": _validation_table(found["validation"]),
        "Settings": _table(_flat(found["settings"])),
    }
    tables["Network"] = _table(_flat(found["network"]))
    tables["Provenance"] = _table(_flat(kept))
    return "".join(f"<section><h2>{name}</h2>{table}</section>" for name, table in tables.items() if table)


def _validation_table(validations: list[dict]) -> str:
    if not validations:
        return ""
    best = min(validations, key=lambda line: line["loss"])
    rows = {
        key.replace("_", " "): (f"{best[key]:.4g}", f"{validations[-1][key]:.4g}")
        for key in best
        if key != "kind"
    }
    return _table(rows, ("", "best", "last"))


def _flat(values: dict, before: str = "") -> dict[str, tuple[str]]:
    rows = {}
    for key, value in values.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(value, dict):
            rows |= _flat(value, f"{name}: ")
        else:
            rows[name] = (f"{value:.6g}" if isinstance(value, float) else str(value),)
    return rows


def _table(rows: dict[str, tuple[str, ...]], head: tuple[str, ...] = ()) -> str:
    top = f"<thead><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr></thead>" if head else ""
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
        for name, cells in rows.items()
    )
    return f"<table>{top}<tbody>{body}</tbody></table>"


def write_report(run: Path, data: Path | None = None) -> Path:
    """Draws a run's figures and writes its report.html.

    Args:
        run: The run's folder.
        data: The data folder, if it is not where the run found it.

    Raises:
        TrainingError: The folder holds no run, or the data is gone or other data.
    """
    found = read_run(run)
    folder = data or Path(found["settings"]["data"])
    try:
        table = load_table(folder)
    except (DataError, OSError) as error:
        raise TrainingError(f"{error}\nIf the run's data was moved, say where it is with --data.") from error
    if table.fingerprint() != found["data"]["fingerprint"]:
        raise TrainingError(
            f"{folder} holds other data than the run was trained on: say where that is with --data."
        )
    text = page(run, found, draw(run, found, table))
    path = run / "report.html"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path
