"""Makes the data folder that training reads: ``pairs.jsonl``, then ``features/``.

    python -m trainer.prepare --out data/findingemo --encoder sd_xl_base_1.0.safetensors
    python -m trainer.prepare --pairs prompt_mapping.csv --out data/emoticrafter
    python -m trainer.prepare --pairs my.csv --scale=1..9 --out data/mine --pairs-only

Pairs from pictures, and pairs that people have verified:

    python -m trainer.prepare images --oasis OASIS.csv --folder pictures --out images.jsonl
    python -m trainer.prepare write-prompts images.jsonl --folder pictures --out written.jsonl --base-url U --model M
    python -m trainer.prepare caption-pairs images.jsonl --out written.jsonl
    python -m trainer.prepare review-export written.jsonl --out review.csv
    python -m trainer.prepare review-import written.jsonl anna.csv ben.csv chen.csv --out verified.jsonl
    python -m trainer.prepare --pairs verified.jsonl --out data/oasis

Every command explains itself with --help. An interrupted command goes on where it stopped when it is run again.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path

from emoticrafter.language.chat import ChatSettings
from trainer.core.command_line import status_of
from trainer.core.device import find_device
from trainer.core.rows import LISTED, DataError
from trainer.core.settings import count, seed, share
from trainer.data.data_folder import (
    FINDINGEMO,
    SDXL,
    PrepareSettings,
    collect_pairs,
    write_features,
    write_pairs,
)
from trainer.data.findingemo import LICENCE
from trainer.data.images import caption_pairs, load_emotic, load_images, load_oasis, save_images
from trainer.data.pairs import SCALES, PairTable, Scale, load_table, sample, save_table
from trainer.data.review import (
    agreement,
    disagreements,
    export_sheet,
    image_column,
    passed,
    read_votes,
    write_disagreements,
)
from trainer.data.write_prompts import Outcome, WriterSettings, write_prompts

VOTING = """In its column "vote",
  yes: the neutral prompt carries no emotion, the emotional one shows the same content, and its feeling fits
       valence (-3 misery .. +3 joy) and arousal (-3 sleepy .. +3 alarmed or elated);
  no:  one of these is wrong;
  an empty cell does not count."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; everything that a user can put right is said in a line, without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if broken := [argument for argument in arguments if "\0" in argument]:
        print(f"error: {broken[0]!r} holds a NUL character, which no path or option can", file=sys.stderr)
        return 2
    if not arguments or arguments[0].startswith("-"):
        return status_of(lambda: data_folder(arguments), "train")
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"error: no command {name!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return status_of(lambda: COMMANDS[name](rest), "train")


def parser_of(command: str, text: str) -> ArgumentParser:
    """A parser whose help says `text` as it stands."""
    name = f"python -m trainer.prepare {command}".strip()
    return ArgumentParser(name, description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def scale(text: str) -> Scale:
    try:
        return Scale.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


# ----------------------------------------------------------------------------------------------------
# The data folder
# ----------------------------------------------------------------------------------------------------


def data_folder(arguments: list[str]) -> int:
    """Pairs from FindingEmo or from files, then their features."""
    options = vars(_data_folder_parser().parse_args(arguments))
    pairs_only = options.pop("pairs_only")
    settings = PrepareSettings(**options)
    table, skipped = collect_pairs(settings)
    say_skipped(skipped)
    write_pairs(table, settings)
    summarise(table, settings.out / "pairs.jsonl")
    if FINDINGEMO in settings.pairs:
        print(LICENCE)
    if pairs_only:
        print("next: the same command without --pairs-only, with --encoder SOURCE")
        return 0
    print(f"loading the text encoders from {settings.encoder} on {find_device(settings.device)}")
    features = write_features(table, settings, progress=True)
    size = sum(path.stat().st_size for path in features.folder.iterdir()) / 1e9
    print(f"{features.folder}: {features.width} wide, {settings.dtype}, {size:.2f} GB")
    print(f"next: python -m trainer.train --data {settings.out} --out runs/{settings.out.name}")
    return 0


def _data_folder_parser() -> ArgumentParser:
    text = (
        "Makes a data folder: pairs.jsonl, then features/. Without --pairs, from FindingEmo's human ratings."
    )
    others = "\n".join(
        f"  {name:<15}{command.__doc__.partition(chr(10))[0]}" for name, command in COMMANDS.items()
    )
    parser = parser_of("", f"{text}\n\nOther commands, each with its own --help:\n{others}")
    _add_pairs(parser.add_argument)
    _add_features(parser.add_argument)
    return parser


def _add_pairs(add) -> None:
    add("--out", type=Path, default=Path("data/findingemo"), metavar="FOLDER", help="default: %(default)s")
    add(
        "--pairs",
        nargs="+",
        default=[FINDINGEMO],
        metavar="FILE",
        help="CSV or JSONL files with neutral, emotional, valence, arousal (and id, source, split), or in the authors' "
        "layout (prompt_mapping.csv); the word findingemo stands for its ratings (default)",
    )
    scales = ", ".join(SCALES)
    add(
        "--scale",
        type=scale,
        help="scale of the files' ratings: --scale=1..9 for both, --scale=-3..3,0..6 for valence,arousal, "
        f"or one of {scales} (default: -3..3)",
    )
    add(
        "--skip-bad",
        action="store_true",
        help="leave out bad rows and list them, instead of refusing the file",
    )
    add(
        "--limit",
        type=count,
        metavar="N",
        help="keep N pairs, spread over valence and arousal as all of them are",
    )
    add(
        "--validation",
        type=share,
        default=0.01,
        metavar="SHARE",
        help="share of neutral prompts kept for validation; a file's own split column counts where it is the only file "
        "(default: %(default)s)",
    )
    add(
        "--scenes",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="of FindingEmo: share of pairs with nobody in them, so that emotion does not come to mean people "
        "(default: %(default)s)",
    )
    add("--seed", type=seed, default=0, help="decides wording, split and sample (default: %(default)s)")
    add("--pairs-only", action="store_true", help="stop before the features")


def _add_features(add) -> None:
    add(
        "--encoder",
        default=SDXL,
        metavar="SOURCE",
        help="SDXL's text encoders: a checkpoint (.safetensors) as ComfyUI has it, a diffusers folder, a hub id, or "
        "tiny for untrained ones to try things out (default: %(default)s)",
    )
    add(
        "--dtype",
        choices=["float16", "bfloat16"],
        default="float16",
        help="of the stored features (%(default)s)",
    )
    add(
        "--batch-size",
        type=count,
        default=32,
        metavar="N",
        help="prompts encoded at once (default: %(default)s)",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: %(default)s)")


def say_skipped(skipped: list[str]) -> None:
    """Prints what was left out, the first of it in full."""
    if skipped:
        print(f"{len(skipped)} problems, the rows are left out:")
        for text in skipped[:LISTED]:
            print(f"  {text}")
        if len(skipped) > LISTED:
            print(f"  ... and {len(skipped) - LISTED} more")


def summarise(table: PairTable, path: Path) -> None:
    """Prints how many pairs a file has, and how they are spread."""
    train, validation = (len(table.indexes(split)) for split in ("train", "validation"))
    print(f"{path}: {len(table):,} pairs ({train:,} to train, {validation:,} to validate)")
    neutral, emotional = len(set(table.neutral)), len(set(table.emotional))
    print(f"  {neutral:,} distinct neutral prompts, {emotional:,} emotional ones")
    for name in ("valence", "arousal"):
        column = getattr(table, name).astype(float)
        spread = f"mean {column.mean():+.2f}, standard deviation {column.std():.2f}"
        print(f"  {name} {column.min():+.2f} to {column.max():+.2f}, {spread}")
    sources = ", ".join(f"{name} {number:,}" for name, number in Counter(table.source).most_common(8))
    print(f"  sources: {sources}")


def say_next(pairs: Path) -> None:
    print(f"next: python -m trainer.prepare --pairs {pairs} --out data/{pairs.stem}")


# ----------------------------------------------------------------------------------------------------
# Pairs from rated pictures
# ----------------------------------------------------------------------------------------------------


def images(arguments: list[str]) -> None:
    """Make an image table from OASIS, EMOTIC or your own list of rated pictures."""
    parser = parser_of(
        "images", "Makes images.jsonl from human ratings and the folder that the pictures are in."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--oasis", type=Path, metavar="CSV", help="OASIS.csv")
    source.add_argument("--emotic", type=Path, metavar="MAT", help="EMOTIC's Annotations.mat")
    source.add_argument(
        "--table", type=Path, metavar="FILE", help="CSV or JSONL: image, valence, arousal[, caption]"
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the pictures are")
    parser.add_argument("--out", type=Path, required=True, metavar="JSONL")
    parser.add_argument("--scale", type=scale, help="of --table, such as --scale=1..9 (default: -3..3)")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out pictures that are missing or badly rated"
    )
    options = parser.parse_args(arguments)
    if options.scale and not options.table:
        parser.error("--scale goes with --table; the scales of OASIS and EMOTIC are known")
    skipped = [] if options.skip_bad else None
    if options.oasis:
        rated = load_oasis(options.oasis, options.folder, skipped)
    elif options.emotic:
        rated = load_emotic(options.emotic, options.folder, skipped)
    else:
        rated = load_images(options.table, options.folder, options.scale, skipped)
    say_skipped(skipped or [])
    save_images(rated, options.out)
    captions = sum(bool(image.caption) for image in rated)
    print(f"{options.out}: {len(rated):,} pictures, {captions:,} with a caption")
    print(f"next: python -m trainer.prepare write-prompts {options.out} --folder {options.folder} --help")


def captions(arguments: list[str]) -> None:
    """Make pairs from an image table's captions, without a language model."""
    text = (
        "Makes pairs whose neutral prompt is the caption and whose emotional one adds words for the rating."
    )
    parser = parser_of("caption-pairs", text)
    parser.add_argument("images", type=Path, metavar="IMAGES", help="an image table, see the command images")
    parser.add_argument("--out", type=Path, required=True, metavar="JSONL")
    parser.add_argument(
        "--people", action="store_true", help="every caption has people in it: add faces and gestures"
    )
    parser.add_argument("--seed", type=seed, default=0)
    options = parser.parse_args(arguments)
    table = caption_pairs(load_images(options.images), options.seed, people=options.people)
    save_table(table, options.out)
    summarise(table, options.out)
    say_next(options.out)


def write(arguments: list[str]) -> int:
    """Have a language model write pairs from the pictures of an image table."""
    options = _write_parser().parse_args(arguments)
    chat = ChatSettings(
        base_url=options.base_url,
        model=options.model,
        key=_key(options.key_from),
        per_minute=options.per_minute,
        timeout=options.timeout,
        tries=options.tries,
        answer_format=options.answer_format,
    )
    settings = WriterSettings(
        workers=options.workers,
        image_size=options.image_size,
        price_in=options.price_in,
        price_out=options.price_out,
        budget=options.budget,
    )
    rated = load_images(options.images)[: options.limit]
    outcome = write_prompts(rated, options.folder, options.out, chat, settings)
    _report(outcome, options.out, len(rated))
    return 0 if outcome.written + outcome.already == len(rated) else 1


def _key(variable: str | None) -> str:
    key = os.environ.get(variable, "") if variable else ""
    if variable and not key:
        raise DataError(f"the environment variable {variable} is not set; it should hold the server's key")
    return key.strip()


def _write_parser() -> ArgumentParser:
    text = (
        "Shows rated pictures to a language model, which writes a neutral and an emotional prompt for each."
    )
    parser = parser_of("write-prompts", f"{text}\nRun it again to go on, or to ask again for what failed.")
    add = parser.add_argument
    add("images", type=Path, metavar="IMAGES", help="an image table, see the command images")
    add("--folder", type=Path, required=True, help="where the pictures are")
    add(
        "--out",
        type=Path,
        required=True,
        metavar="JSONL",
        help="gets a line for every picture; existing lines are kept",
    )
    _add_server(add)
    add("--price-in", type=float, default=0, metavar="PRICE", help="of a million tokens read")
    add("--price-out", type=float, default=0, metavar="PRICE", help="of a million tokens written")
    add("--budget", type=float, default=0, metavar="PRICE", help="stop when this run has cost so much")
    add("--limit", type=count, metavar="N", help="only the first N pictures, to try it out")
    return parser


def _add_server(add) -> None:
    add("--base-url", required=True, help="https://api.openai.com/v1, http://127.0.0.1:11434/v1 (Ollama) ...")
    add("--model", required=True, help="a model that takes pictures")
    add(
        "--key-from",
        metavar="VARIABLE",
        help="environment variable that holds the key (default: none is sent)",
    )
    add("--workers", type=count, default=4, help="requests under way at once (default: %(default)s)")
    add(
        "--per-minute",
        type=float,
        default=0,
        metavar="N",
        help="requests begun in a minute (default: no limit)",
    )
    add("--timeout", type=float, default=120, metavar="SECONDS", help="default: %(default)s")
    add("--tries", type=count, default=6, metavar="N", help="requests for one answer (default: %(default)s)")
    add(
        "--image-size",
        type=count,
        default=768,
        metavar="PIXELS",
        help="longer side sent (default: %(default)s)",
    )
    add(
        "--answer-format",
        choices=["json_schema", "json_object", "none"],
        default="json_schema",
        help="what the server understands (default: %(default)s)",
    )


def _report(outcome: Outcome, out: Path, total: int) -> None:
    """Prints what a run came to, its failures, and what to run next."""
    done = outcome.written + outcome.already
    print(f"{out}: {done:,} of {total:,} pictures, {outcome.written:,} of them new")
    read, written = outcome.tokens["prompt_tokens"], outcome.tokens["completion_tokens"]
    cost = f", cost {outcome.cost:.4f}" if outcome.cost else ""
    print(f"  this run: {read:,} tokens read, {written:,} written{cost}")
    _report_failures(outcome.failures)
    if outcome.stopped:
        print(f"stopped early: {outcome.stopped}")
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
        print(f"  {', '.join(names[:LISTED])}{more}: {why}")


# ----------------------------------------------------------------------------------------------------
# Verification by people
# ----------------------------------------------------------------------------------------------------


def review_export(arguments: list[str]) -> None:
    """Write a sheet for people to verify pairs in."""
    parser = parser_of(
        "review-export", "Writes a CSV sheet in which people vote on pairs, one copy for each."
    )
    parser.add_argument("pairs", type=Path, metavar="PAIRS", help="a file of pairs or a data folder")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV")
    parser.add_argument("--sample", type=count, metavar="N", help="N pairs, spread over valence and arousal")
    parser.add_argument("--seed", type=seed, default=0, help="decides the sample (default: %(default)s)")
    options = parser.parse_args(arguments)
    table = load_table(options.pairs)
    if options.sample:
        table = sample(table, options.sample, options.seed)
    export_sheet(table, options.out, image_column(options.pairs))
    print(f"{options.out}: {len(table):,} pairs. Give every annotator a copy, named anna.csv for Anna.")
    print(VOTING)
    print(
        f"next: python -m trainer.prepare review-import {options.pairs} anna.csv ben.csv --out verified.jsonl"
    )


def review_import(arguments: list[str]) -> None:
    """Keep the pairs that most annotators approved, and show how far they agree."""
    parser = parser_of("review-import", "Keeps the pairs with more yes than no; a tie does not pass.")
    parser.add_argument("pairs", type=Path, metavar="PAIRS", help="what the sheet was made from")
    parser.add_argument(
        "sheets", type=Path, nargs="+", metavar="SHEET", help="filled-in sheets, one per annotator"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="JSONL", help="gets the pairs that pass")
    parser.add_argument("--keep-unreviewed", action="store_true", help="keep pairs that nobody voted on")
    options = parser.parse_args(arguments)
    table = load_table(options.pairs)
    verdicts = read_votes(table, options.sheets)
    kept = passed(table, verdicts, options.keep_unreviewed)
    listed = options.out.with_suffix(".disagreements.csv")
    save_table(kept, options.out)
    write_disagreements(table, verdicts, listed)
    voted = [verdict for verdict in verdicts if verdict.votes]
    passing, ties = sum(v.passes for v in voted), sum(v.yes == v.no for v in voted)
    kappa = agreement(verdicts)
    print(f"{len(voted):,} of {len(table):,} pairs have votes, of {len(options.sheets)} annotators")
    print(f"  {passing:,} pass, {len(voted) - passing:,} do not ({ties:,} of them ties)")
    print("  Fleiss' kappa: " + ("not defined for these votes" if math.isnan(kappa) else f"{kappa:.3f}"))
    print(f"{options.out}: {len(kept):,} pairs")
    print(f"{listed}: {len(disagreements(verdicts)):,} pairs on which annotators differ")
    say_next(options.out)


COMMANDS = {
    "images": images,
    "caption-pairs": captions,
    "write-prompts": write,
    "review-export": review_export,
    "review-import": review_import,
}

if __name__ == "__main__":
    sys.exit(main())
