"""Matched sets of pictures for people who study emotion, from prompts to an experiment with norms.

    python -m trainer.stimuli make miniature --run runs/miniature --prompts scenes.txt --out runs/set
    python -m trainer.stimuli make sdxl --network network.safetensors --prompts scenes.txt --out runs/set
    python -m trainer.stimuli measure runs/set/manifest.jsonl --miniature runs/miniature
    python -m trainer.stimuli export runs/set/norms.csv --out runs/experiment

and once people have rated the pictures:

    python -m trainer.stimuli measure runs/set/manifest.jsonl --ratings ratings/*.csv

An interrupted command goes on when it is run again. docs/stimuli.md has a worked example and every column.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from trainer.core.command_line import say, status_of
from trainer.core.device import DEVICE_HELP
from trainer.core.prompts import read_prompts
from trainer.core.rows import DataError, refuse_options
from trainer.core.settings import option, read_commands
from trainer.data.scales import Scale
from trainer.painters.plan import LEVELS, PROMPTS, estimate, plan, read_levels
from trainer.painters.settings import ComfyuiSettings, MiniatureSettings, PainterSettings, SdxlSettings
from trainer.stimuli.export import FORMATS, ExportSettings

METHOD = "stimuli"
"""The method in the manifest, and so the folder of the pictures."""


MAKE = """Draws every scene at every point of valence and arousal, with one first noise: a matched set for each seed.

    python -m trainer.stimuli make miniature --run runs/miniature --prompts scenes.txt --out runs/set
    python -m trainer.stimuli make sdxl --network network.safetensors --prompts scenes.txt --out runs/set
    python -m trainer.stimuli make comfyui --workflow mine.json --prompts scenes.txt --out runs/set
"""


# ---- make ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Make:
    """Draw matched sets: every scene at every point of the plane, with the same first noise for each seed."""

    out: Path = option("gets the pictures, manifest.jsonl and stimuli.json", metavar="FOLDER")
    prompts: Path | None = option("your scenes, one a line, without emotion (default: ours)", None, metavar="FILE")
    limit: int | None = option("only the first N scenes", None, metavar="N")
    valence: tuple[float, ...] = option(
        "levels, -3 to 3: --valence=-3,0,3 (-3,-1.5,0,1.5,3)", LEVELS, type=read_levels, metavar="LIST"
    )
    arousal: tuple[float, ...] = option("levels, -3 to 3 (as above)", LEVELS, type=read_levels, metavar="LIST")
    seeds: list[int] = option("matched sets of every scene, one for each seed (0)", [0], metavar="N")
    licence: str = option("of the pictures, as you will publish them (%(default)s)", "not stated", metavar="TEXT")
    batch: int = option("pictures of a scene drawn together; other batches, other last bits (%(default)s)", 5)
    processes: int = option("that draw at once, on this machine (%(default)s)", 1, metavar="N")
    device: str = option(DEVICE_HELP, "auto")
    dry_run: bool = option("only print how many pictures, how long and how large", False)
    painter: PainterSettings

    def settings(self) -> PainterSettings:
        """The painter's, with the network that it draws with."""
        return self.painter

    def scenes(self) -> list[str]:
        """The prompts."""
        return read_prompts(self.prompts or PROMPTS, self.limit)

    def problems(self) -> list[str]:
        """Everything that is wrong with the options."""
        found = []
        if any(seed < 0 for seed in self.seeds) or len(set(self.seeds)) < len(self.seeds):
            found.append(f"--seeds {self.seeds}: expected different numbers from 0")
        if min(self.batch, self.processes) < 1 or (self.limit is not None and self.limit < 1):
            found.append("--batch, --processes and --limit must be at least 1")
        return found

    def run(self) -> None:
        from trainer.painters.draw import Job, complete
        from trainer.stimuli.provenance import keep_provenance, provenance_of

        refuse_options(self.problems())
        painter, scenes = self.settings(), self.scenes()
        points = [(valence, arousal) for arousal, valence in product(self.arousal, self.valence)]
        made_by = painter.as_json()
        job = Job(self.out, painter, plan(scenes, points, self.seeds, METHOD, made_by), self.batch, self.device)
        if self.dry_run:
            seconds, size = job.store.measured(METHOD)
            say(estimate(len(job.missing()), painter.pixels, seconds, size, painter.flops))
            return
        complete(job, self.processes, f"{len(scenes)} scenes at {len(points)} points")
        keep_provenance(self.out, provenance_of(made_by, getattr(painter, "network", None), self.licence))
        say(f"{self.out / 'manifest.jsonl'}: {len(job.tasks):,} pictures; next, python -m trainer.stimuli measure")


@dataclass(frozen=True, kw_only=True)
class MakeSdxl(Make):
    """Through diffusers, with SDXL and an emotion network."""

    painter: SdxlSettings

    def problems(self) -> list[str]:
        found, network = super().problems(), self.painter.network
        if not network or not network.is_file():
            found.append(f"--network {network or ''}: expected the file of an emotion network".replace("  ", " "))
        if self.painter.size % 8:
            found.append(f"--size {self.painter.size}: expected a multiple of 8")
        return found


@dataclass(frozen=True, kw_only=True)
class MakeMiniature(Make):
    """With a run of trainer.miniature; without --prompts, its own held-out scenes."""

    painter: MiniatureSettings

    def settings(self) -> PainterSettings:
        from trainer.miniature.held_out import best_network

        return replace(self.painter, network=self.painter.network or best_network(self.painter.run))

    def scenes(self) -> list[str]:
        from trainer.miniature.held_out import held_out_prompts
        from trainer.miniature.scores import named_subject

        found = super().scenes() if self.prompts else held_out_prompts(self.limit)
        if unknown := [prompt for prompt in found if named_subject(prompt) is None]:
            say(
                f"note: {len(unknown)} of {len(found)} scenes name no subject of the miniature's world, such as "
                f"{unknown[0]!r:.80}: it cannot draw others, and their content is not checked"
            )
        return found


@dataclass(frozen=True, kw_only=True)
class MakeComfyui(Make):
    """Through a running ComfyUI, with any model that it has, by a workflow of Workflow > Export (API)."""

    painter: ComfyuiSettings


# ---- measure ---------------------------------------------------------------------------------------


READERS, RATERS = "programs that read the pictures", "people who rated the pictures"


@dataclass(frozen=True)
class Measure:
    """Write norms.csv: what was asked, rated, read, measured and flagged of every picture."""

    manifest: Path = option("of the pictures, or its folder", metavar="MANIFEST", positional=True)
    miniature: Path | None = option("the miniature's readers: its run's folder", None, READERS, metavar="FOLDER")
    reader: list[Path] = option(
        "files of readers (python -m trainer.evaluate fit-reader); norms are over all of them",
        [],
        READERS,
        metavar="FILE",
    )
    backbone: str | None = option("their image model (default: as they say)", None, READERS, metavar="ID")
    clip: str = option("a CLIP that compares pictures and prompts: folder or hub id (%(default)s)", "none", READERS)
    device: str = option(DEVICE_HELP, "auto", READERS)
    ratings: list[Path] = option(
        "tables with picture (or id), valence, arousal and perhaps rater", [], RATERS, metavar="FILE"
    )
    scale: str = option("of the tables (%(default)s)", "1..9", RATERS)
    answers: Path | None = option("the files of a study page's participants", None, RATERS, metavar="FOLDER")
    key: Path | None = option("that study's key.json", None, RATERS, metavar="FILE")

    def run(self) -> None:
        from trainer.data.scales import within_one
        from trainer.evaluation.manifest import read_manifest
        from trainer.stimuli.measure import measure_set, summary
        from trainer.stimuli.norms import own_cells, write_codebook, write_norms
        from trainer.stimuli.provenance import read_provenance

        self.check()
        path = self.manifest / "manifest.jsonl" if self.manifest.is_dir() else self.manifest
        images = read_manifest(path)
        table, provenance = path.with_name("norms.csv"), read_provenance(path.parent)
        if within_one([image.valence for image in images], [image.arousal for image in images]):
            say(f"note: {path} asks for emotions within -1..1 alone: is its scale -3 to 3, as norms take it?")
        own = own_cells(table)
        raters = self.raters(path.parent, images)
        rows = measure_set(path, images, self.measures(), raters, provenance, own)
        _keep_dropped(table, own, {image.id for image in images})
        write_norms(table, rows)
        write_codebook(path.with_name("codebook.csv"))
        for line in summary(rows):
            say(line)
        say(f"{table}: look at the flagged pictures; next, python -m trainer.stimuli export {table}")

    def check(self) -> None:
        """Raises DataError with everything that is wrong with the options."""
        problems = []
        if (self.answers is None) != (self.key is None):
            problems.append("--answers and --key belong together: give both or neither")
        if self.miniature and self.reader:
            problems.append("--miniature has readers of its own: leave out --reader")
        refuse_options(problems)

    def measures(self):
        """The `Measures` of the readers that are asked for, or None."""
        from trainer.core.device import find_device
        from trainer.evaluation.measures import add_scores, read_by
        from trainer.evaluation.readers import load_va_reader
        from trainer.evaluation.scoring import Measures
        from trainer.stimuli.measure import several

        if not (self.miniature or self.reader or self.clip != "none"):
            return None
        device = find_device(self.device)
        if self.miniature:
            from trainer.miniature.scores import miniature_measures

            found = miniature_measures(self.miniature, device)
        else:
            found = several([read_by(load_va_reader(path, self.backbone, device)) for path in self.reader])
        return add_scores(found if found.each else Measures([]), self.clip, "none", device=device)

    def raters(self, folder: Path, images: Sequence):
        """Norms of the people's ratings, by the pictures' ids."""
        from trainer.core.pictures import hash_files
        from trainer.stimuli.measure import picture_name
        from trainer.stimuli.ratings import by_id, norms_of, read_ratings, read_study

        if not self.ratings and not self.answers:
            return {}
        scale, notes = Scale.parse(self.scale), []
        found = [rating for path in self.ratings for rating in read_ratings(path, scale, notes)]
        if self.answers:
            found += read_study(self.answers, self.key, notes)
        hashes = hash_files([image.path for image in images])
        names = {picture_name(image, str(one)): image.id for image, one in zip(images, hashes, strict=True)}
        found = by_id(found, names, notes)
        for note in notes:
            say(f"note: {note}")
        return norms_of(found)


def _keep_dropped(table: Path, own: dict[str, dict[str, str]], ids: set[str]) -> None:
    """Keeps the old table beside the new one if people filled in something of pictures that are gone."""
    gone = [id for id, cells in own.items() if id not in ids and any(cells.values())]
    if gone:
        before = table.with_name("norms.before.csv")
        shutil.copyfile(table, before)
        say(f"note: {len(gone):,} pictures of the old table are not in the manifest any more; it is kept as {before}")


# ---- export ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write experiments for jsPsych and PsychoPy, a plain table with its pictures, and contact sheets."""

    norms: Path = option("the table that measure wrote, beside its manifest", metavar="NORMS", positional=True)
    out: Path = option("gets a folder for each format; must not exist yet", metavar="FOLDER")
    formats: list[str] = option(f"of {', '.join(FORMATS)} (all)", list(FORMATS), metavar="FORMAT")
    settings: ExportSettings

    def run(self) -> None:
        from trainer.stimuli.export import export, read_set

        if unknown := [name for name in self.formats if name not in FORMATS]:
            raise DataError(f"--formats {unknown[0]!r:.40}: expected {', '.join(FORMATS)}.")
        self.settings.check()
        stimuli = read_set(self.norms)
        export(stimuli, self.out, list(dict.fromkeys(self.formats)), self.settings)
        say(f"{self.out}: {len(stimuli):,} pictures")
        told = {
            "jspsych": "open jspsych/index.html in a browser, or put the folder on a web server",
            "psychopy": "run psychopy/rate.py in PsychoPy's Coder",
            "csv": "csv/stimuli.csv, its codebook and its pictures",
            "contact-sheet": "a picture for each scene and seed",
        }
        for name in dict.fromkeys(self.formats):
            say(f"  {told[name]}")


PAINTERS = {"sdxl": MakeSdxl, "miniature": MakeMiniature, "comfyui": MakeComfyui}
COMMANDS = {"make": Make, "measure": Measure, "export": Export}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; a user's mistake is told in one line, without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["make"]:
        command = read_commands("trainer.stimuli make", MAKE, PAINTERS, arguments[1:], kind="painter")
    else:
        command = read_commands("trainer.stimuli", __doc__, COMMANDS, arguments)
    return status_of(command.run, "train,eval,miniature")


if __name__ == "__main__":
    sys.exit(main())
