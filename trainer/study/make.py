"""Builds the page of a study: one HTML file with its script, style and plan inside, and numbered pictures."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer.core.html import render
from trainer.core.pictures import PictureError, data_url, decode, jpeg
from trainer.core.rows import DataError, listed
from trainer.core.settings import option
from trainer.evaluation.manifest import Image, read_manifest
from trainer.study.key import SCALES, Key, Picture, Task, without_none
from trainer.study.plan import Amounts, make_plan, minutes, shuffled, take_stock

SCRIPTS = ("answers.js", "ordering.js", "pad.js", "scales.js", "tasks.js", "study.js")
PAGE = Path(__file__).with_name("page")
LARGEST_PAGE = 40_000_000  # bytes of one HTML file: beyond it, phones give up


@dataclass(frozen=True)
class StudySettings:
    """A study's settings; `consent` is the text itself, its paragraphs separated by blank lines."""

    participants: int = option("plans to make (%(default)s)", 24)
    seed: int = option("draws pictures, orders and names (%(default)s)", 0)
    amounts: Amounts = field(default_factory=Amounts)
    title: str = option("heading of the page (%(default)s)", "Pictures and feelings")
    contact: str = option(
        "whom participants ask and send the file to (%(default)s)", "the person who sent you this page"
    )
    consent: str | None = None
    image_size: int = option("longer side in pixels (%(default)s)", 640)
    answer: str = option("what pictures are estimated with (%(default)s)", "pad", choices=SCALES)
    single_file: bool = option("put the pictures into the HTML file", False)


def make_study(manifest: Path, out: Path, settings: StudySettings) -> Key:
    """Writes ``out/page/`` (for the participants) and ``out/key.json`` (not for them) into a new folder.

    Raises:
        DataError: The manifest, the images or the settings cannot be used; nothing is written then.
    """
    out = Path(out)
    if out.exists():
        raise DataError(f"{out} exists already, and a study must not change once it is out. Choose another --out.")
    if not settings.title.strip():
        raise DataError("--title is empty: expected a heading for the page.")
    if settings.answer not in SCALES:
        raise DataError(f"--answer must be one of {', '.join(SCALES)}, got {settings.answer!r}.")
    if not 64 <= settings.image_size <= 4096:
        raise DataError(f"--image-size must be from 64 to 4096 pixels, got {settings.image_size}.")
    images = read_manifest(manifest)
    plan = make_plan(take_stock(images), settings.amounts, settings.participants, settings.seed)
    key = _hide(images, [[_scaled(task, settings.answer) for task in tasks] for tasks in plan], settings.seed)
    paths = {image.id: image.path for image in images}
    pictures = _pictures({name: paths[picture.id] for name, picture in key.pictures.items()}, settings.image_size)
    page = _page(key, settings, pictures if settings.single_file else None)
    _write(out, key, page, {} if settings.single_file else pictures)
    return key


def _scaled(task: Task, scale: str) -> Task:
    return replace(task, scale=scale) if task.kind == "estimate" and scale != "pad" else task


def _hide(images: list[Image], plan: list[list[Task]], seed: int) -> Key:
    """Numbers the pictures that are used, so that the number reveals nothing."""
    used = {id for tasks in plan for task in tasks for id in task.images}
    known = {image.id: image for image in images if image.id in used}
    order = shuffled(sorted(known), np.random.default_rng([seed, 3]))
    names = {id: f"{number:04d}.jpg" for number, id in enumerate(order, start=1)}
    pictures = {}
    for id, name in names.items():
        values = asdict(known[id])
        del values["path"]
        pictures[name] = Picture(**values)
    hidden = [[replace(task, images=tuple(names[id] for id in task.images)) for task in tasks] for tasks in plan]
    return Key(seed, pictures, hidden)


# ---- pictures --------------------------------------------------------------------------------------


def _pictures(paths: dict[str, Path], longest: int) -> dict[str, bytes]:
    """Name -> JPEG. Raises DataError with every file that cannot be read."""
    found, problems = {}, []
    for name, path in paths.items():
        try:
            # Without its metadata, in which ComfyUI writes prompt and workflow.
            found[name] = jpeg(decode(path), longest, quality=92, subsampling=0)
        except PictureError as error:
            problems.append(str(error))
    if problems:
        raise DataError(f"{len(problems)} of {len(paths)} images cannot be read\n{listed(problems)}")
    return found


# ---- the page --------------------------------------------------------------------------------------


def _page(key: Key, settings: StudySettings, inlined: dict[str, bytes] | None) -> str:
    sources = {name: data_url(data) for name, data in (inlined or {}).items()}
    style = (PAGE / "page.css").read_text("utf-8")
    script = "\n".join(['"use strict";', *((PAGE / name).read_text("utf-8") for name in SCRIPTS)])
    # A page that can load nothing from anywhere: only its own script, its own style and its own pictures.
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src 'self' data: file:; "
        "base-uri 'none'; form-action 'none'"
    )
    # Safe in a script element, whatever a prompt holds.
    plan = json.dumps(_plan(key, settings, sources), ensure_ascii=False, separators=(",", ":"))
    plan = plan.replace("<", "\\u003c")
    page = render(PAGE / "page.html", title=settings.title, policy=policy, style=style, script=script, plan=plan)
    if inlined and len(page) > LARGEST_PAGE:
        raise DataError(
            f"The file has {len(page) / 1e6:.0f} MB, more than phones open ({LARGEST_PAGE / 1e6:.0f} MB). Leave out "
            "--single-file, or make --image-size smaller."
        )
    return page


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _plan(key: Key, settings: StudySettings, sources: dict[str, str]) -> dict[str, Any]:
    """All that the page knows: no method, no valence, no arousal, no prompt."""
    consent = settings.consent or (PAGE / "consent.txt").read_text("utf-8")
    for name, value in (("minutes", str(minutes(key.participants))), ("contact", settings.contact)):
        consent = consent.replace(f"{{{name}}}", value)
    return {
        "study": key.study,
        "title": settings.title,
        "contact": settings.contact,
        "consent": [" ".join(text.split()) for text in re.split(r"\n\s*\n", consent) if text.strip()],
        "sources": sources,
        "participants": [[_shown(task) for task in tasks] for tasks in key.participants],
    }


def _shown(task: Task) -> dict[str, Any]:
    values = without_none(asdict(task))
    if task.kind == "smoothness":
        del values["axis"]
    return values


def _write(out: Path, key: Key, page: str, pictures: dict[str, bytes]) -> None:
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "page").mkdir(parents=True)
        (partial / "page" / "index.html").write_text(page, encoding="utf-8", newline="\n")
        if pictures:
            (partial / "page" / "images").mkdir()
        for name, data in sorted(pictures.items()):
            (partial / "page" / "images" / name).write_bytes(data)
        key.save(partial / "key.json")
        partial.rename(out)
    except OSError as error:
        raise DataError(f"{out}: could not be written: {error.strerror}. Nothing was changed.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
