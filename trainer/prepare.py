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
import json
import math
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from emoticrafter.chat import ChatSettings

from .data import (
    SCALES,
    PairTable,
    Scale,
    concatenate,
    load_table,
    resplit,
    sample,
    save_table,
)
from .findingemo import LICENCE, findingemo_table
from .images import caption_pairs, load_emotic, load_images, load_oasis, save_images
from .review import (
    agreement,
    disagreements,
    export_sheet,
    image_column,
    passed,
    read_votes,
    write_disagreements,
)
from .rows import DataError, replacing
from .write_prompts import WriterSettings, report, write_prompts

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
LISTED = 20
VOTING = """In its column "vote",
  yes: the neutral prompt carries no emotion, the emotional one shows the same content, and its feeling fits
       valence (-3 misery .. +3 joy) and arousal (-3 sleepy .. +3 alarmed or elated);
  no:  one of these is wrong;
  an empty cell is no vote."""


def _scale(text: str) -> Scale:
    try:
        return Scale.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, got {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or a positive integer, got {text}")
    return value


def _parser(command: str, text: str) -> argparse.ArgumentParser:
    name = f"python -m trainer.prepare {command}".strip()
    return argparse.ArgumentParser(
        name, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _say_skipped(skipped: list[str]) -> None:
    if skipped:
        print(f"{len(skipped)} problems, the rows are left out:")
        for text in skipped[:LISTED]:
            print(f"  {text}")
        if len(skipped) > LISTED:
            print(f"  ... and {len(skipped) - LISTED} more")


# ----------------------------------------------------------------------------------------------------
# The data folder
# ----------------------------------------------------------------------------------------------------


def prepare(arguments: list[str]) -> int:
    """Pairs from FindingEmo or from files, then their features."""
    options = _prepare_options(arguments)
    table, about = _collect_pairs(options)
    folder = options.out
    _write_pairs(table, about, folder)
    _summarise(table, folder / "pairs.jsonl")
    if "licence" in about:
        print(about["licence"])
    if options.pairs_only:
        print("next: the same command without --pairs-only, with --encoder SOURCE")
        return 0
    _write_features(table, options)
    print(f"next: python -m trainer.train --data {folder} --out runs/{folder.name}")
    return 0


def _prepare_options(arguments: list[str]) -> argparse.Namespace:
    commands = "\n".join(
        f"  {name:<15}{command.__doc__.partition(chr(10))[0]}" for name, command in COMMANDS.items()
    )
    text = (
        "Makes a data folder: pairs.jsonl, then features/. Without --pairs, from FindingEmo's human ratings."
    )
    parser = _parser("", f"{text}\n\nOther commands, each with its own --help:\n{commands}")
    add = parser.add_argument
    add("--out", type=Path, default=Path("data/findingemo"), metavar="FOLDER", help="default: %(default)s")
    add(
        "--pairs",
        nargs="+",
        default=["findingemo"],
        metavar="FILE",
        help="CSV or JSONL files with neutral, emotional, valence, arousal (and id, source, split), or in the authors' "
        "layout (prompt_mapping.csv); the word findingemo stands for its ratings (default)",
    )
    scales = ", ".join(SCALES)
    add(
        "--scale",
        type=_scale,
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
        type=_count,
        metavar="N",
        help="keep N pairs, spread over valence and arousal as all of them are",
    )
    add(
        "--validation",
        type=_share,
        default=0.01,
        metavar="SHARE",
        help="share of neutral prompts kept for validation; a file's own split column counts where it is the only file "
        "(default: %(default)s)",
    )
    add(
        "--scenes",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="of FindingEmo: share of pairs with nobody in them, so that emotion does not come to mean people "
        "(default: %(default)s)",
    )
    add("--seed", type=_seed, default=0, help="decides wording, split and sample (default: %(default)s)")
    add("--pairs-only", action="store_true", help="stop before the features")
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
        type=_count,
        default=32,
        metavar="N",
        help="prompts encoded at once (default: %(default)s)",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: %(default)s)")
    return parser.parse_args(arguments)


def _collect_pairs(options: argparse.Namespace) -> tuple[PairTable, dict]:
    """The table, and what is to be known about it later."""
    tables, skipped = [], [] if options.skip_bad else None
    for source in options.pairs:
        if source == "findingemo":
            tables.append(findingemo_table(options.seed, options.validation, options.scenes))
        else:
            tables.append(load_table(Path(source), options.scale, options.validation, options.seed, skipped))
    _say_skipped(skipped or [])
    table = concatenate(tables)
    if options.limit:
        table = sample(table, options.limit, options.seed)
    if len(tables) > 1 or (options.limit and len(set(table.split)) < 2):
        # Two files may share a prompt, and a sample may miss validation altogether.
        table = resplit(table, options.validation, options.seed)
    about = {"pairs": options.pairs, "seed": options.seed, "validation": options.validation}
    if "findingemo" in options.pairs:
        about |= {"scenes": options.scenes, "licence": LICENCE}
    return table, about | {"fingerprint": table.fingerprint()}


def _write_pairs(table: PairTable, about: dict, folder: Path) -> None:
    """Writes pairs.jsonl and about.json; other pairs that are there already are not replaced."""
    path = folder / "pairs.jsonl"
    if path.exists():
        if load_table(path).fingerprint() == table.fingerprint():
            return
        raise DataError(f"{path} holds other pairs. Choose another --out, or remove {folder} first.")
    save_table(table, path)
    with replacing(folder / "about.json") as stream:
        stream.write(json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def _write_features(table: PairTable, options: argparse.Namespace) -> None:
    import torch

    from .features import load_encoders, write_features

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"loading the text encoders from {options.encoder} on {device}")
    encoders = load_encoders(options.encoder, device, None)
    features = options.out / "features"
    write_features(table, encoders, features, dtype=options.dtype, batch_size=options.batch_size)
    size = sum(path.stat().st_size for path in features.iterdir()) / 1e9
    print(f"{features}: {encoders.width} wide, {options.dtype}, {size:.2f} GB")


def _summarise(table: PairTable, path: Path) -> None:
    train, validation = (len(table.indexes(split)) for split in ("train", "validation"))
    distinct = len(set(table.neutral)), len(set(table.emotional))
    print(f"{path}: {len(table):,} pairs ({train:,} to train, {validation:,} to validate)")
    print(f"  {distinct[0]:,} distinct neutral prompts, {distinct[1]:,} emotional ones")
    for name in ("valence", "arousal"):
        column = getattr(table, name).astype(np.float64)
        low, middle, high = np.min(column), np.mean(column), np.max(column)
        print(
            f"  {name} {low:+.2f} to {high:+.2f}, mean {middle:+.2f}, standard deviation {column.std():.2f}"
        )
    sources = ", ".join(f"{name} {count:,}" for name, count in Counter(table.source).most_common(8))
    print(f"  sources: {sources}")


# ----------------------------------------------------------------------------------------------------
# Pictures
# ----------------------------------------------------------------------------------------------------


def images(arguments: list[str]) -> int:
    """Make an image table from OASIS, EMOTIC or an own list of rated pictures."""
    parser = _parser(
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
    parser.add_argument("--scale", type=_scale, help="of --table, such as --scale=1..9 (default: -3..3)")
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
    _say_skipped(skipped or [])
    save_images(rated, options.out)
    print(
        f"{options.out}: {len(rated):,} pictures, {sum(bool(image.caption) for image in rated):,} with a caption"
    )
    print(f"next: python -m trainer.prepare write-prompts {options.out} --folder {options.folder} --help")
    return 0


def captions(arguments: list[str]) -> int:
    """Make pairs from an image table's captions, without a language model."""
    text = (
        "Makes pairs whose neutral prompt is the caption and whose emotional one adds words for the rating."
    )
    parser = _parser("caption-pairs", text)
    parser.add_argument("images", type=Path, metavar="IMAGES", help="an image table, see the command images")
    parser.add_argument("--out", type=Path, required=True, metavar="JSONL")
    parser.add_argument(
        "--people", action="store_true", help="every caption has people in it: add faces and gestures"
    )
    parser.add_argument("--seed", type=_seed, default=0)
    options = parser.parse_args(arguments)
    table = caption_pairs(load_images(options.images), options.seed, people=options.people)
    save_table(table, options.out)
    _summarise(table, options.out)
    print(f"next: python -m trainer.prepare --pairs {options.out} --out data/{options.out.stem}")
    return 0


def write(arguments: list[str]) -> int:
    """Have a language model write pairs from the pictures of an image table."""
    options = _write_options(arguments)
    key = os.environ.get(options.key_from, "") if options.key_from else ""
    if options.key_from and not key:
        raise DataError(
            f"the environment variable {options.key_from} is not set; it should hold the server's key"
        )
    chat = ChatSettings(
        base_url=options.base_url,
        model=options.model,
        key=key.strip(),
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
    report(outcome, options.out, len(rated))
    return 0 if outcome.written + outcome.already == len(rated) else 1


def _write_options(arguments: list[str]) -> argparse.Namespace:
    text = (
        "Shows rated pictures to a language model, which writes a neutral and an emotional prompt for each."
    )
    parser = _parser("write-prompts", f"{text}\nRun it again to go on, or to ask again for what failed.")
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
    add("--base-url", required=True, help="https://api.openai.com/v1, http://127.0.0.1:11434/v1 (Ollama) ...")
    add("--model", required=True, help="a model that takes pictures")
    add(
        "--key-from",
        metavar="VARIABLE",
        help="environment variable that holds the key (default: none is sent)",
    )
    add("--workers", type=_count, default=4, help="requests under way at once (default: %(default)s)")
    add(
        "--per-minute",
        type=float,
        default=0,
        metavar="N",
        help="requests begun in a minute (default: no limit)",
    )
    add("--timeout", type=float, default=120, metavar="SECONDS", help="default: %(default)s")
    add("--tries", type=_count, default=6, metavar="N", help="requests for one answer (default: %(default)s)")
    add(
        "--image-size",
        type=_count,
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
    add("--price-in", type=float, default=0, metavar="PRICE", help="of a million tokens read")
    add("--price-out", type=float, default=0, metavar="PRICE", help="of a million tokens written")
    add("--budget", type=float, default=0, metavar="PRICE", help="stop when this run has cost so much")
    add("--limit", type=_count, metavar="N", help="only the first N pictures, to try it out")
    return parser.parse_args(arguments)


# ----------------------------------------------------------------------------------------------------
# Review
# ----------------------------------------------------------------------------------------------------


def review_export(arguments: list[str]) -> int:
    """Write a sheet for people to verify pairs in."""
    parser = _parser("review-export", "Writes a CSV sheet in which people vote on pairs, one copy for each.")
    parser.add_argument("pairs", type=Path, metavar="PAIRS", help="a file of pairs or a data folder")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV")
    parser.add_argument("--sample", type=_count, metavar="N", help="N pairs, spread over valence and arousal")
    parser.add_argument("--seed", type=_seed, default=0, help="decides the sample (default: %(default)s)")
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
    return 0


def review_import(arguments: list[str]) -> int:
    """Keep the pairs that most annotators approved, and show how far they agree."""
    parser = _parser("review-import", "Keeps the pairs with more yes than no; a tie does not pass.")
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
    differing = disagreements(verdicts)
    listed = options.out.with_suffix(".disagreements.csv")
    save_table(kept, options.out)
    write_disagreements(table, verdicts, listed)
    voted = [verdict for verdict in verdicts if verdict.votes]
    ties = sum(verdict.yes == verdict.no for verdict in voted)
    kappa = agreement(verdicts)
    print(f"{len(voted):,} of {len(table):,} pairs have votes, of {len(options.sheets)} annotators")
    print(
        f"  {sum(v.passes for v in voted):,} pass, {sum(not v.passes for v in voted):,} do not ({ties:,} of them ties)"
    )
    print("  Fleiss' kappa: " + ("not defined for these votes" if math.isnan(kappa) else f"{kappa:.3f}"))
    print(f"{options.out}: {len(kept):,} pairs")
    print(f"{listed}: {len(differing):,} pairs on which annotators differ")
    print(f"next: python -m trainer.prepare --pairs {options.out} --out data/{options.out.stem}")
    return 0


COMMANDS = {
    "images": images,
    "caption-pairs": captions,
    "write-prompts": write,
    "review-export": review_export,
    "review-import": review_import,
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; everything that a user can put right is said in a line, without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command, rest = prepare, arguments
    if broken := [argument for argument in arguments if "\0" in argument]:
        print(f"error: {broken[0]!r} holds a NUL character, which no path or option can", file=sys.stderr)
        return 2
    if arguments and not arguments[0].startswith("-"):
        if arguments[0] not in COMMANDS:
            print(f"error: no command {arguments[0]!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
            return 2
        command, rest = COMMANDS[arguments[0]], arguments[1:]
    try:
        return command(rest)
    except ModuleNotFoundError as error:
        print(f"error: {error}. Install what the trainer needs: pip install -e '.[train]'", file=sys.stderr)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
