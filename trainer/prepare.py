"""Makes the data folder that training reads: ``pairs.jsonl``, then ``features/``.

    python -m trainer.prepare --out data/findingemo --encoder sd_xl_base_1.0.safetensors
    python -m trainer.prepare --pairs prompt_mapping.csv --out data/emoticrafter
    python -m trainer.prepare --pairs my.csv --scale=1..9 --out data/mine --pairs-only
    python -m trainer.prepare --out data/z-image --encoder comfyui --comfyui-path ComfyUI \\
        --clip qwen_3_4b.safetensors --clip-type lumina2 --dtype bfloat16

Pairs from pictures, and pairs that people have verified:

    python -m trainer.prepare images --oasis OASIS.csv --folder pictures --out images.jsonl
    python -m trainer.prepare write-prompts images.jsonl --folder pictures --out written.jsonl --base-url U --model M
    python -m trainer.prepare caption-pairs images.jsonl --out written.jsonl
    python -m trainer.prepare review-export written.jsonl --out review.csv
    python -m trainer.prepare review-import written.jsonl anna.csv ben.csv chen.csv --out verified.jsonl
    python -m trainer.prepare --pairs verified.jsonl --out data/oasis

Every command explains itself with --help. An interrupted command goes on where it stopped when it is run again.
"""

import inspect
import math
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from emoticrafter.language.chat import ChatSettings
from trainer.core.command_line import key_from, say, status_of
from trainer.core.device import find_device
from trainer.core.rows import LISTED, listed
from trainer.core.settings import count, option, read_command, seed, told
from trainer.data.data_folder import FINDINGEMO, PrepareSettings, collect_pairs, write_features, write_pairs
from trainer.data.findingemo import LICENCE
from trainer.data.images import caption_pairs, load_emotic, load_images, load_oasis, save_images
from trainer.data.pairs import SPLITS, PairTable, load_table, sample, save_table
from trainer.data.review import (
    agreement,
    disagreements,
    export_sheet,
    image_column,
    passed,
    read_votes,
    write_disagreements,
)
from trainer.data.scales import Scale
from trainer.data.write_prompts import Outcome, WriterSettings, write_prompts

VOTING = """In its column "vote",
  yes: the neutral prompt carries no emotion, the emotional one shows the same content, and its feeling fits
       valence (-3 misery .. +3 joy) and arousal (-3 sleepy .. +3 alarmed or elated);
  no:  one of these is wrong;
  an empty cell does not count."""


# ---- the data folder -------------------------------------------------------------------------------


def data_folder(settings: PrepareSettings) -> None:
    """Makes pairs from FindingEmo or from files, then their features."""
    table, skipped = collect_pairs(settings)
    say_skipped(skipped)
    write_pairs(table, settings)
    summarise(table, settings.out / "pairs.jsonl")
    if FINDINGEMO in settings.pairs:
        print(LICENCE)
    if settings.pairs_only:
        print("next: the same command without --pairs-only, with --encoder SOURCE")
        return
    print(f"loading the text encoders from {_source(settings)}", flush=True)
    features = write_features(table, settings, progress=True)
    size = sum(path.stat().st_size for path in features.folder.iterdir()) / 1e9
    print(f"{features.folder}: {features.width} wide, {settings.dtype}, {size:.2f} GB")
    if features.facts:
        tokens = f"{features.tokens}" if features.tokens else f"{int(features.lengths.min())} to {features.longest}"
        say(f"  {features.manifest['encoder_name']}: {tokens} tokens a prompt")
    print(f"next: python -m trainer.train --data {settings.out} --out runs/{settings.out.name}")


def _source(settings: PrepareSettings) -> str:
    if settings.in_comfyui:
        return f"{' and '.join(settings.clip)} with the ComfyUI in {settings.comfyui_path}"
    return f"{settings.encoder} on {find_device(settings.device)}"


def say_skipped(skipped: list[str]) -> None:
    """Prints what was left out, the first of it in full."""
    if skipped:
        say(f"{len(skipped)} problems, the rows are left out:\n{listed(skipped)}")


def summarise(table: PairTable, path: Path) -> None:
    """Prints how many pairs a file has, and how they are spread."""
    train, validation, test = (len(table.indexes(split)) for split in SPLITS)
    tested = f", {test:,} to test" if test else ""
    print(f"{path}: {len(table):,} pairs ({train:,} to train, {validation:,} to validate{tested})")
    neutral, emotional = len(set(table.neutral)), len(set(table.emotional))
    print(f"  {neutral:,} distinct neutral prompts, {emotional:,} emotional ones")
    for name in ("valence", "arousal"):
        column = getattr(table, name).astype(float)
        spread = f"mean {column.mean():+.2f}, standard deviation {column.std():.2f}"
        print(f"  {name} {column.min():+.2f} to {column.max():+.2f}, {spread}")
    sources = ", ".join(f"{name} {number:,}" for name, number in Counter(table.source).most_common(8))
    say(f"  sources: {sources}")


def say_next(pairs: Path) -> None:
    print(f"next: python -m trainer.prepare --pairs {pairs} --out data/{pairs.stem}")


# ---- pairs from rated pictures ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Images:
    """Make an image table from OASIS, EMOTIC or your own list of rated pictures.

    Makes images.jsonl from human ratings and the folder that the pictures are in.
    """

    oasis: Path | None = option("OASIS.csv", None, exclusive=True, metavar="CSV")
    emotic: Path | None = option("EMOTIC's Annotations.mat", None, exclusive=True, metavar="MAT")
    table: Path | None = option(
        "CSV or JSONL: image, valence, arousal[, caption]", None, exclusive=True, metavar="FILE"
    )
    folder: Path = option("where the pictures are")
    out: Path = option(metavar="JSONL")
    scale: Scale | None = option("of --table, such as --scale=1..9 (default: -3..3)", None, type=told(Scale.parse))
    skip_bad: bool = option("leave out pictures that are missing or badly rated", False)

    def run(self) -> int:
        if self.scale and not self.table:
            print("error: --scale goes with --table; the scales of OASIS and EMOTIC are known", file=sys.stderr)
            return 2
        skipped = [] if self.skip_bad else None
        if self.oasis:
            rated = load_oasis(self.oasis, self.folder, skipped)
        elif self.emotic:
            rated = load_emotic(self.emotic, self.folder, skipped)
        else:
            rated = load_images(self.table, self.folder, self.scale, skipped)
        say_skipped(skipped or [])
        save_images(rated, self.out)
        captions = sum(bool(image.caption) for image in rated)
        print(f"{self.out}: {len(rated):,} pictures, {captions:,} with a caption")
        print(f"next: python -m trainer.prepare write-prompts {self.out} --folder {self.folder} --help")
        return 0


@dataclass(frozen=True)
class CaptionPairs:
    """Make pairs from an image table's captions, without a language model.

    Makes pairs whose neutral prompt is the caption and whose emotional one adds words for the rating.
    """

    images: Path = option("an image table, see the command images", positional=True, metavar="IMAGES")
    out: Path = option(metavar="JSONL")
    people: bool = option("every caption has people in it: add faces and gestures", False)
    seed: int = option("", 0, type=seed)

    def run(self) -> None:
        table = caption_pairs(load_images(self.images), self.seed, people=self.people)
        save_table(table, self.out)
        summarise(table, self.out)
        say_next(self.out)


@dataclass(frozen=True, kw_only=True)
class WritePrompts:
    """Have a language model write pairs from the pictures of an image table.

    Shows rated pictures to a language model, which writes a neutral and an emotional prompt for each.
    Run it again to go on, or to ask again for what failed.
    """

    images: Path = option("an image table, see the command images", positional=True, metavar="IMAGES")
    folder: Path = option("where the pictures are")
    out: Path = option("gets a line for every picture; existing lines are kept", metavar="JSONL")
    base_url: str = option("https://api.openai.com/v1, http://127.0.0.1:11434/v1 (Ollama) ...")
    model: str = option("a model that takes pictures")
    key_from: str | None = option(
        "environment variable that holds the key (default: none is sent)", None, metavar="VARIABLE"
    )
    per_minute: float = option("requests begun in a minute (default: no limit)", 0, metavar="N")
    timeout: float = option("default: %(default)s", 120, metavar="SECONDS")
    tries: int = option("requests for one answer (default: %(default)s)", 6, type=count, metavar="N")
    answer_format: str = option(
        "what the server understands (default: %(default)s)",
        "json_schema",
        choices=("json_schema", "json_object", "none"),
    )
    writer: WriterSettings
    limit: int | None = option("only the first N pictures, to try it out", None, type=count, metavar="N")

    def run(self) -> int:
        key = key_from(self.key_from)
        chat = ChatSettings(
            self.base_url, self.model, key, self.per_minute, self.timeout, self.tries, self.answer_format
        )
        rated = load_images(self.images)[: self.limit]
        outcome = write_prompts(rated, self.folder, self.out, chat, self.writer)
        _report(outcome, self.out, len(rated))
        return 0 if outcome.written + outcome.already == len(rated) else 1


def _report(outcome: Outcome, out: Path, total: int) -> None:
    """Prints what a run came to, its failures, and what to run next."""
    done = outcome.written + outcome.already
    print(f"{out}: {done:,} of {total:,} pictures, {outcome.written:,} of them new")
    read, written = outcome.tokens["prompt_tokens"], outcome.tokens["completion_tokens"]
    cost = f", cost {outcome.cost:.4f}" if outcome.cost else ""
    print(f"  this run: {read:,} tokens read, {written:,} written{cost}")
    _report_failures(outcome.failures)
    if outcome.stopped:
        say(f"stopped early: {outcome.stopped}")
    elif not outcome.failures:
        print(f"next: python -m trainer.prepare review-export {out} --out {out.with_name('review.csv')}")


def _report_failures(failures: dict[str, str]) -> None:
    """Pictures by the reason that they failed for."""
    reasons: dict[str, list[str]] = {}
    for name, why in failures.items():
        reasons.setdefault(why, []).append(name)
    if failures:
        print(f"{len(failures)} failed; run the command again to ask for them again:")
    for why, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        say(f"  {', '.join(names[:LISTED])}{more}: {why}")


# ---- verification by people ------------------------------------------------------------------------


@dataclass(frozen=True)
class ReviewExport:
    """Write a sheet for people to verify pairs in.

    Writes a CSV sheet in which people vote on pairs, one copy for each.
    """

    pairs: Path = option("a file of pairs or a data folder", positional=True, metavar="PAIRS")
    out: Path = option(metavar="CSV")
    sample: int | None = option("N pairs, spread over valence and arousal", None, type=count, metavar="N")
    seed: int = option("decides the sample (default: %(default)s)", 0, type=seed)

    def run(self) -> None:
        table = load_table(self.pairs)
        if self.sample:
            table = sample(table, self.sample, self.seed)
        export_sheet(table, self.out, image_column(self.pairs))
        print(f"{self.out}: {len(table):,} pairs. Give every annotator a copy, named anna.csv for Anna.")
        print(VOTING)
        sheets = "anna.csv ben.csv --out verified.jsonl"
        print(f"next: python -m trainer.prepare review-import {self.pairs} {sheets}")


@dataclass(frozen=True)
class ReviewImport:
    """Keep the pairs that most annotators approved, and show how far they agree.

    Keeps the pairs with more yes than no; a tie does not pass.
    """

    pairs: Path = option("what the sheet was made from", positional=True, metavar="PAIRS")
    sheets: list[Path] = option("filled-in sheets, one per annotator", positional=True, metavar="SHEET")
    out: Path = option("gets the pairs that pass", metavar="JSONL")
    keep_unreviewed: bool = option("keep pairs that nobody voted on", False)

    def run(self) -> None:
        table = load_table(self.pairs)
        verdicts = read_votes(table, self.sheets)
        kept = passed(table, verdicts, self.keep_unreviewed)
        differing = self.out.with_suffix(".disagreements.csv")
        save_table(kept, self.out)
        write_disagreements(table, verdicts, differing)
        voted = [verdict for verdict in verdicts if verdict.votes]
        passing, ties = sum(v.passes for v in voted), sum(v.yes == v.no for v in voted)
        kappa = agreement(verdicts)
        print(f"{len(voted):,} of {len(table):,} pairs have votes, of {len(self.sheets)} annotators")
        print(f"  {passing:,} pass, {len(voted) - passing:,} do not ({ties:,} of them ties)")
        print("  Fleiss' kappa: " + ("not defined for these votes" if math.isnan(kappa) else f"{kappa:.3f}"))
        print(f"{self.out}: {len(kept):,} pairs")
        print(f"{differing}: {len(disagreements(verdicts)):,} pairs on which annotators differ")
        say_next(self.out)


# ---- the command line ------------------------------------------------------------------------------

COMMANDS = {
    "images": Images,
    "caption-pairs": CaptionPairs,
    "write-prompts": WritePrompts,
    "review-export": ReviewExport,
    "review-import": ReviewImport,
}
HELP = """Makes a data folder: pairs.jsonl, then features/. Without --pairs, from FindingEmo's human ratings.

Other commands, each with its own --help:
""" + "\n".join(f"  {name:<15}{inspect.getdoc(cls).partition(chr(10))[0]}" for name, cls in COMMANDS.items())


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; everything that a user can put right is said in a line, without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0].startswith("-"):
        settings = read_command("trainer.prepare", HELP, PrepareSettings, arguments)
        return status_of(lambda: data_folder(settings), "train")
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"error: no command {name!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    text = inspect.getdoc(COMMANDS[name]).partition("\n\n")[2]
    return status_of(read_command(f"trainer.prepare {name}", text, COMMANDS[name], rest).run, "train")


if __name__ == "__main__":
    sys.exit(main())
