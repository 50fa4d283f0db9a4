"""The commands of trainer.prepare by which people verify pairs."""

from __future__ import annotations

import math
from pathlib import Path

from trainer.data.options import count, parser_of, seed
from trainer.data.pairs import load_table, sample, save_table
from trainer.data.review import (
    agreement,
    disagreements,
    export_sheet,
    image_column,
    passed,
    read_votes,
    write_disagreements,
)

VOTING = """In its column "vote",
  yes: the neutral prompt carries no emotion, the emotional one shows the same content, and its feeling fits
       valence (-3 misery .. +3 joy) and arousal (-3 sleepy .. +3 alarmed or elated);
  no:  one of these is wrong;
  an empty cell is no vote."""


def review_export(arguments: list[str]) -> int:
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
    return 0


def review_import(arguments: list[str]) -> int:
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
