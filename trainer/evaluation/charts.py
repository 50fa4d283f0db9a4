"""What a report shows instead of saying: dots with their intervals, calibration curves, and grids of pictures.

Everything is HTML and SVG without a script, in the colours that trainer/report.py names, and as wide as its place.
"""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow

from trainer.core.pictures import PictureError, decode
from trainer.evaluation.manifest import Image
from trainer.evaluation.results import ALWAYS_0, Results
from trainer.evaluation.statistics import Calibration, Estimate

CELL = 144  # pixels of a picture in the grids: sharp on a dense screen
PANELS = {
    "V-Error": ("lower is better", 0.0, None),
    "A-Error": ("lower is better", 0.0, None),
    "V tau": ("1 is best, 0 is chance", 0.0, 1.0),
    "A tau": ("1 is best, 0 is chance", 0.0, 1.0),
    "V slope": ("1 is best, 0 is no change", 0.0, 1.0),
    "A slope": ("1 is best, 0 is no change", 0.0, 1.0),
    "content": ("higher is better", 0.0, 1.0),
    "CLIPScore": ("higher is better", None, None),
    "CLIP-IQA": ("higher is better", 0.0, 1.0),
    "LPIPS-Continuous": ("lower is smoother", 0.0, None),
}
"""What is good, and numbers that the scale of a panel reaches at least."""

CSS = """
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1.5rem 2.5rem; }
.panel h3 small { color: var(--quiet); font-weight: 400; margin-left: 0.5rem; }
.dots { display: grid; grid-template-columns: fit-content(9rem) 1fr 3.2rem; gap: 0 0.75rem; font-size: 0.85rem;
  align-items: center; font-variant-numeric: tabular-nums; }
.dots > span { overflow-wrap: anywhere; line-height: 1.25; }
.dots > b { font-weight: 500; text-align: right; }
.track { position: relative; height: 1.6rem; border: solid var(--faint); border-width: 0 1px; }
.track i { position: absolute; }
.track .mark { top: 0; bottom: 0; border-left: 1px dashed var(--quiet); opacity: 0.7; }
.track .line { top: 50%; height: 4px; margin-top: -2px; border-radius: 2px; background: var(--accent); opacity: 0.4; }
.track .dot { top: 50%; width: 10px; height: 10px; margin: -5px; border-radius: 50%; background: var(--accent); }
.beside { color: var(--quiet); }
.beside .line, .beside .dot { background: var(--quiet); }
.ends { display: flex; justify-content: space-between; color: var(--quiet); font-size: 0.75rem; }
.row { display: flex; flex-wrap: wrap; gap: 1.5rem 2rem; align-items: flex-start; }
figure { margin: 0; min-width: 0; max-width: 100%; }
figcaption { color: var(--quiet); font-size: 0.85rem; margin: 0.3rem 0; }
.set figcaption { margin-left: 2.4rem; }
.grid { display: grid; gap: 2px; align-items: center; width: calc(var(--n) * 5.4rem + 2.2rem); max-width: 100%;
  grid-template-columns: 2.2rem repeat(var(--n), minmax(0, 1fr)); }
.grid img, .grid .none { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 3px; }
.grid .none { background: var(--faint); }
.grid small { color: var(--quiet); text-align: center; font-size: 0.72rem; font-variant-numeric: tabular-nums; }
.curves figure { width: 15rem; }
.curve { width: 100%; height: auto; display: block; }
.curve text { fill: var(--quiet); font-size: 10px; }
"""


# ---- dots with intervals ---------------------------------------------------------------------------


def overview(results: Results, plain: str) -> str:
    """A panel for each figure: every method's mean with its interval, beside "always 0" where it has that figure."""
    rows = {name: results.estimates[name] for name in (*results.methods, ALWAYS_0)}
    found = ""
    for figure, (good, *reached) in PANELS.items():
        mine = {name: row[figure] for name, row in rows.items() if figure in row}
        mine = {name: value for name, value in mine.items() if np.isfinite(value.mean)}
        if mine.keys() & results.methods.keys():
            found += _panel(figure, good, mine, reached, {plain, ALWAYS_0})
    return f'<div class="panels">{found}</div>'


def _panel(figure: str, good: str, rows: dict[str, Estimate], reached: list, beside: set[str]) -> str:
    ends = [end for value in rows.values() for end in (value.low, value.mean, value.high) if np.isfinite(end)]
    ends += [end for end in reached if end is not None]
    low, high = min(ends), max(ends)
    high = high if high > low else low + 1

    def at(value: float) -> str:
        return f"{100 * (value - low) / (high - low):.2f}%"

    mark = f'<i class="mark" style="left: {at(rows[ALWAYS_0].mean)}"></i>' if ALWAYS_0 in rows else ""
    lines = ""
    for name, value in rows.items():
        kind = ' class="beside"' if name in beside else ""
        line = ""
        if np.isfinite(value.low):
            line = f'<i class="line" style="left: {at(value.low)}; right: calc(100% - {at(value.high)})"></i>'
        dot = f'<i class="dot" style="left: {at(value.mean)}"></i>'
        lines += (
            f'<span{kind}>{html.escape(name)}</span><div class="track{" beside" * bool(kind)}">{mark}{line}{dot}</div>'
            f"<b{kind}>{value.mean:.3f}</b>"
        )
    ends_line = (
        f'<span></span><div class="ends"><span>{low:.3g}</span><span>{high:.3g}</span></div><span></span>'
    )
    return f'<div class="panel"><h3>{figure}<small>{good}</small></h3><div class="dots">{lines}{ends_line}</div></div>'


# ---- calibration -----------------------------------------------------------------------------------


def curves(results: Results) -> str:
    """A method's readings at each level asked for, both axes beside each other."""
    found = ""
    for name, both in results.calibrations.items():
        pair = "".join(
            f"<figure>{_curve(curve, axis)}<figcaption>{axis}: mean distance from the diagonal {curve.error:.3f}"
            "</figcaption></figure>"
            for axis, curve in zip(("valence", "arousal"), both, strict=True)
        )
        found += f'<div><h3>{html.escape(name)}</h3><div class="row">{pair}</div></div>'
    return f'<div class="row curves">{found}</div>'


def _curve(found: Calibration, axis: str) -> str:
    def at(value: float) -> float:
        return 34 + (np.clip(value, -3, 3) + 3) * 30

    def up(value: float) -> float:
        return 224 - at(value)

    shapes = [
        '<rect x="34" y="10" width="180" height="180" fill="none" stroke="var(--faint)"/>',
        f'<line x1="{at(-3)}" y1="{up(-3)}" x2="{at(3)}" y2="{up(3)}" stroke="var(--quiet)" stroke-dasharray="3 3"/>',
    ]
    for level, mean, deviation in zip(found.asked, found.mean, found.deviation, strict=True):
        x = at(level)
        shapes.append(
            f'<line x1="{x:.1f}" y1="{up(mean - deviation):.1f}" x2="{x:.1f}" y2="{up(mean + deviation):.1f}" '
            'stroke="var(--accent)" opacity="0.4" stroke-width="4" stroke-linecap="round"/>'
            f'<circle cx="{x:.1f}" cy="{up(mean):.1f}" r="4.5" fill="var(--accent)"/>'
        )
    marks = "".join(
        f'<text x="{at(v):.0f}" y="203" text-anchor="middle">{_signed(v)}</text>'
        f'<text x="29" y="{up(v) + 3:.0f}" text-anchor="end">{_signed(v)}</text>'
        for v in (-3, 0, 3)
    )
    words = (
        f'<text x="124" y="217" text-anchor="middle">{axis} asked</text>'
        '<text x="12" y="100" text-anchor="middle" transform="rotate(-90 12 100)">read</text>'
    )
    said = "; ".join(f"{a:g} was read as {m:.2f}" for a, m in zip(found.asked, found.mean, strict=True))
    return (
        f'<svg class="curve" viewBox="0 0 224 222" role="img" aria-label="{axis} asked and read: {said}">'
        f"{''.join(shapes)}{marks}{words}</svg>"
    )


def _signed(value: float) -> str:
    """A number as it is set in text: with its sign, and none for 0."""
    return f"{value:+g}".replace("-", "−") if value else "0"


# ---- pictures --------------------------------------------------------------------------------------


def grids(images: Sequence[Image], prompts: Sequence[str]) -> str:
    """The pictures of some prompts, all methods beside each other; the first seed of each."""
    found = ""
    for prompt in prompts:
        figures = ""
        for method in dict.fromkeys(image.method for image in images):
            mine = [image for image in images if image.prompt == prompt and image.method == method]
            if mine:
                seed = min(image.seed for image in mine)
                grid = _grid([image for image in mine if image.seed == seed])
                figures += f"<figure><figcaption>{html.escape(method)}</figcaption>{grid}</figure>"
        found += f'<h3>{html.escape(prompt)}</h3><div class="row set">{figures}</div>'
    return found


def _grid(images: list[Image]) -> str:
    valences = sorted({image.valence for image in images})
    arousals = sorted({image.arousal for image in images}, reverse=True)
    places = {(image.valence, image.arousal): image for image in images}
    cells = ""
    for arousal in arousals:
        cells += f"<small>{_signed(arousal)}</small>"
        cells += "".join(_cell(places.get((valence, arousal))) for valence in valences)
    cells += "<small></small>" + "".join(f"<small>{_signed(valence)}</small>" for valence in valences)
    return f'<div class="grid" style="--n: {len(valences)}">{cells}</div>'


def _cell(image: Image | None) -> str:
    try:
        small = Pillow.fromarray(decode(image.path)) if image else None
    except PictureError:
        small = None
    if small is None:
        return '<span class="none"></span>'
    small.thumbnail((CELL, CELL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    said = f"valence {_signed(image.valence)}, arousal {_signed(image.arousal)}"
    return f'<img src="data:image/jpeg;base64,{data}" alt="{said}" title="{said}">'
