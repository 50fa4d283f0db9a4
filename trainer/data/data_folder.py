"""The command of trainer.prepare that makes a data folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trainer.core.rows import DataError, replacing
from trainer.data.findingemo import LICENCE, findingemo_table
from trainer.data.options import count, parser_of, say_skipped, scale, seed, share, summarise
from trainer.data.pairs import SCALES, PairTable, concatenate, load_table, resplit, sample, save_table

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"


def prepare(arguments: list[str], others: str) -> int:
    """Pairs from FindingEmo or from files, then their features; `others` is what --help says of other commands."""
    options = _read_options(arguments, others)
    table, about = _collect_pairs(options)
    folder = options.out
    _write_pairs(table, about, folder)
    summarise(table, folder / "pairs.jsonl")
    if "licence" in about:
        print(about["licence"])
    if options.pairs_only:
        print("next: the same command without --pairs-only, with --encoder SOURCE")
        return 0
    _write_features(table, options)
    print(f"next: python -m trainer.train --data {folder} --out runs/{folder.name}")
    return 0


def _read_options(arguments: list[str], others: str) -> argparse.Namespace:
    text = (
        "Makes a data folder: pairs.jsonl, then features/. Without --pairs, from FindingEmo's human ratings."
    )
    parser = parser_of("", f"{text}\n\nOther commands, each with its own --help:\n{others}")
    _add_pairs(parser.add_argument)
    _add_features(parser.add_argument)
    return parser.parse_args(arguments)


def _add_pairs(add) -> None:
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


def _collect_pairs(options: argparse.Namespace) -> tuple[PairTable, dict]:
    """The table, and what is to be known about it later."""
    tables, skipped = [], [] if options.skip_bad else None
    for source in options.pairs:
        if source == "findingemo":
            tables.append(findingemo_table(options.seed, options.validation, options.scenes))
        else:
            tables.append(load_table(Path(source), options.scale, options.validation, options.seed, skipped))
    say_skipped(skipped or [])
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

    from trainer.features.store import load_encoders, write_features

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"loading the text encoders from {options.encoder} on {device}")
    encoders = load_encoders(options.encoder, device, None)
    features = options.out / "features"
    write_features(table, encoders, features, dtype=options.dtype, batch_size=options.batch_size)
    size = sum(path.stat().st_size for path in features.iterdir()) / 1e9
    print(f"{features}: {encoders.width} wide, {options.dtype}, {size:.2f} GB")
