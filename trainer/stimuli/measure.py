"""From a manifest to its table of norms."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from emoticrafter.files import text_sha256
from trainer.core.pictures import PictureError, decode_ahead, hash_files, name_inside
from trainer.evaluation.manifest import Image
from trainer.evaluation.scoring import Measures, score_manifests
from trainer.stimuli.norms import norm_cells, on_nine
from trainer.stimuli.numbers import look_of, nearest, numbers_of
from trainer.stimuli.provenance import Provenance
from trainer.stimuli.ratings import Norm

AT_ONCE = 16
FLAT = 4.0
"""Grey levels: a picture with less contrast is nearly one colour."""
ALIKE = 2.0
"""Of 255: pictures that differ less look the same."""
FALLEN = 0.8
"""Of the scene's median CLIPScore: a picture below has lost its content."""
UNPLEASANT, STIRRING = -1.5, 0.75
"""In [-3, 3]: 3 and 6 of 1 to 9."""
MOSTLY = 0.5

Cells = dict[str, Any]
Norms = Mapping[str, tuple[Norm, Norm]]
"""Id -> valence and arousal in [-3, 3]."""


def picture_name(image: Image, sha256: str) -> str:
    """The name in exports: blind, the same in each of them, another one for another picture, and text to Excel."""
    return "p" + text_sha256(f"{image.id} {sha256}")[:10]


def readers_of(measures: Measures) -> Measures:
    """Measures without their distance: every picture is measured on its own."""
    return replace(measures, distance=None)


def several(readers: Sequence[Measures]) -> Measures:
    """The readings of several readers side by side."""
    each = [
        replace(measure, columns=(f"valence {number}", f"arousal {number}"))
        for number, one in enumerate(readers, start=1)
        for measure in one.each
    ]
    return Measures(each)


def measure_set(
    manifest: Path,
    images: Sequence[Image],
    measures: Measures | None,
    raters: Norms,
    provenance: Provenance,
    own: Mapping[str, Mapping[str, str]],
) -> list[Cells]:
    """The lines of the table.

    Args:
        manifest: Its path; readings are kept beside it.
        images: Of the manifest.
        measures: Of the readers, or None.
        raters: From people.
        provenance: Of the pictures.
        own: Id -> what people filled in before.
    """
    rows, looks = _seen(manifest, images)
    scored = _scores(manifest, images, measures) if measures else {}
    _add_nearest(rows, looks)
    size = Counter((row["width"], row["height"]) for row in rows if "width" in row).most_common(1)
    medians = _medians(images, scored)
    for image, row in zip(images, rows, strict=True):
        read = scored.get(image.id, {})
        norms = {"raters": raters.get(image.id, (Norm(), Norm())), "readers": _read_norms(read)}
        for who, axes in norms.items():
            for axis, norm in zip(("valence", "arousal"), axes, strict=True):
                row |= norm_cells(who, axis, norm)
        row |= {"content": _given(read, "content"), "clip_score": _given(read, "CLIPScore")}
        row |= asdict(provenance)
        row["look_at"] = "; ".join(_flags(row, size[0][0] if size else None, medians.get(image.prompt)))
        row["content_warning"] = _suggested(image, norms.values())
        row |= own.get(image.id, {})
    return rows


# ---- seeing every picture --------------------------------------------------------------------------


def _seen(manifest: Path, images: Sequence[Image]) -> tuple[list[Cells], dict[int, np.ndarray]]:
    """What is asked of and counted in every picture, and small copies of those that can be read, by row."""
    scenes = {prompt: number for number, prompt in enumerate(dict.fromkeys(i.prompt for i in images), start=1)}
    rows, looks = [], {}
    chunks = [images[start : start + AT_ONCE] for start in range(0, len(images), AT_ONCE)]
    with tqdm(total=len(images), unit="picture", mininterval=1) as bar:
        paths = ([image.path for image in chunk] for chunk in chunks)
        for chunk, pictures in zip(chunks, decode_ahead(paths), strict=True):
            hashes = hash_files([image.path for image in chunk])
            for image, pixels, sha256 in zip(chunk, pictures, hashes, strict=True):
                row = _asked(manifest, image, scenes[image.prompt], str(sha256))
                if isinstance(pixels, PictureError):
                    row["error"] = "cannot be read as a picture"
                else:
                    row |= numbers_of(pixels) | {"bytes": image.path.stat().st_size}
                    looks[len(rows)] = look_of(pixels)
                rows.append(row)
            bar.update(len(chunk))
    return rows, looks


def _asked(manifest: Path, image: Image, scene: int, sha256: str) -> Cells:
    return {
        "picture": picture_name(image, sha256),
        "file": name_inside(manifest.parent, image.path).as_posix(),
        "id": image.id,
        "scene": scene,
        "prompt": image.prompt,
        "seed": image.seed,
        "method": image.method,
        "asked_valence": on_nine(image.valence),
        "asked_arousal": on_nine(image.arousal),
        "sha256": sha256,
    }


def _add_nearest(rows: Sequence[Cells], looks: Mapping[int, np.ndarray]) -> None:
    places = list(looks)
    found, far = nearest(list(looks.values()))
    for place, other, distance in zip(places, found, far, strict=True):
        if other >= 0:
            rows[place] |= {"nearest": rows[places[other]]["id"], "nearest_distance": float(distance)}


# ---- what readers say ------------------------------------------------------------------------------


def _scores(manifest: Path, images: Sequence[Image], measures: Measures) -> dict[str, dict[str, float]]:
    """Id -> the readers' numbers."""
    scores = score_manifests([manifest], [images], readers_of(measures))
    return {
        image.id: {name: float(values[row]) for name, values in scores.columns.items()}
        for row, image in enumerate(scores.images)
    }


def _given(read: Mapping[str, float], name: str) -> float | None:
    value = read.get(name, np.nan)
    return None if np.isnan(value) else value


def _read_norms(read: Mapping[str, float]) -> tuple[Norm, Norm]:
    """Norms over the readers: columns "valence", "valence 2" ..., a value each."""
    valence, arousal = (
        [value for name, value in read.items() if name.split()[0] == axis and not np.isnan(value)]
        for axis in ("valence", "arousal")
    )
    return Norm.of(valence), Norm.of(arousal)


def _medians(images: Sequence[Image], scored: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Prompt -> the median CLIPScore of its pictures."""
    found: dict[str, list[float]] = {}
    for image in images:
        if (score := _given(scored.get(image.id, {}), "CLIPScore")) is not None:
            found.setdefault(image.prompt, []).append(score)
    return {prompt: float(np.median(scores)) for prompt, scores in found.items()}


# ---- what a person should look at ------------------------------------------------------------------


def _flags(row: Cells, size: tuple[int, int] | None, clip_median: float | None) -> list[str]:
    """Why a person should look at a picture, in words; takes the row's "error" out."""
    if error := row.pop("error", None):
        return [error]
    found = []
    if row["contrast"] < FLAT:
        found.append("nearly one colour")
    if (row["width"], row["height"]) != size:
        found.append(f"{row['width']} x {row['height']} pixels, most have {size[0]} x {size[1]}")
    if row["content"] == 0:
        found.append("the subject is not recognised")
    if row["clip_score"] is not None and row["clip_score"] < FALLEN * clip_median:
        found.append(f"CLIPScore {row['clip_score']:.1f}, the scene's median is {clip_median:.1f}")
    if row.get("nearest_distance", np.inf) < ALIKE:
        found.append(f"looks like {row['nearest']}")
    return found


def _suggested(image: Image, norms) -> str:
    """A content warning to begin with, from whatever says most: what was asked, rated or read."""
    points = [(image.valence, image.arousal), *((v.mean, a.mean) for v, a in norms)]
    known = [(v, a) for v, a in points if v is not None and a is not None]
    upsets = any(valence <= UNPLEASANT and arousal >= STIRRING for valence, arousal in known)
    return "unpleasant and stirring" if upsets else ""


def summary(rows: Sequence[Cells]) -> list[str]:
    """What the table holds, and which scenes a person should look at, in lines."""
    rated = [row for row in rows if row["raters_valence_n"] or row["raters_arousal_n"]]
    read = [row for row in rows if row["readers_valence_n"]]
    flagged = [row for row in rows if row["look_at"]]
    scenes = Counter(row["scene"] for row in rows)
    lines = [
        f"{len(rows):,} pictures of {len(scenes):,} scenes: {len(rated):,} rated by people, {len(read):,} read by "
        f"programs, {len(flagged):,} to look at, {sum(bool(row['content_warning']) for row in rows):,} with a warning"
    ]
    for scene, count in Counter(row["scene"] for row in flagged).items():
        if count > MOSTLY * scenes[scene]:
            first = next(row for row in flagged if row["scene"] == scene)
            lines.append(
                f"scene {scene} ({json.dumps(first['prompt'][:60], ensure_ascii=False)}): {count} of {scenes[scene]} "
                f"pictures are flagged, the first because: {first['look_at']}"
            )
    return lines
