"""The commands of trainer.prepare that make pairs from rated pictures."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from emoticrafter.language.chat import ChatSettings
from trainer.core.rows import DataError
from trainer.data.images import caption_pairs, load_emotic, load_images, load_oasis, save_images
from trainer.data.options import count, parser_of, say_skipped, scale, seed, summarise
from trainer.data.pairs import save_table
from trainer.data.write_prompts import WriterSettings, report, write_prompts


def images(arguments: list[str]) -> int:
    """Make an image table from OASIS, EMOTIC or an own list of rated pictures."""
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
    return parser.parse_args(arguments)


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
