"""The data folder that training reads: pairs.jsonl, about.json, its data card and features/."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emoticrafter.fit import BANDWIDTHS
from trainer.core.device import find_device
from trainer.core.rows import DataError, refuse_options, replacing
from trainer.core.settings import count, flag, option, seed, share, told
from trainer.data.card import write_data_card
from trainer.data.density import training_density
from trainer.data.findingemo import LICENCE, findingemo_table
from trainer.data.pairs import PairTable, concatenate, hold_out, load_table, resplit, sample, save_table
from trainer.data.scales import SCALES, Scale

if TYPE_CHECKING:
    from trainer.features.store import FeatureStore

FINDINGEMO = "findingemo"
COMFYUI = "comfyui"
MOST_CLIPS = 4
"""What ComfyUI's loaders take: HiDream has as many."""
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"


@dataclass(frozen=True)
class PrepareSettings:
    """Which pairs a data folder gets, and how they are encoded."""

    out: Path = option("default: %(default)s", Path("data/findingemo"), metavar="FOLDER")
    pairs: Sequence[str | Path] = option(
        "CSV or JSONL files with neutral, emotional, valence, arousal (and id, source, split), or in the authors' "
        "layout (prompt_mapping.csv); the word findingemo stands for its ratings (default)",
        (FINDINGEMO,),
        type=str,
        metavar="FILE",
    )
    scale: Scale | None = option(
        "scale of the files' ratings: --scale=1..9 for both, --scale=-3..3,0..6 for valence,arousal, "
        f"or one of {', '.join(SCALES)} (default: -3..3)",
        None,
        type=told(Scale.parse),
    )
    skip_bad: bool = option("leave out bad rows and list them, instead of refusing the file", False)
    limit: int | None = option(
        "keep N pairs, spread over valence and arousal as all of them are", None, type=count, metavar="N"
    )
    validation: float = option(
        "share of neutral prompts kept for validation; a file's own split column counts where it is the only file "
        "(default: %(default)s)",
        0.01,
        type=share,
        metavar="SHARE",
    )
    test: float = option(
        "share of neutral prompts kept out of training and validation, for the report (default: %(default)s)",
        0.0,
        type=share,
        metavar="SHARE",
    )
    scenes: float = option(
        "of FindingEmo: share of pairs with nobody in them, so that emotion does not come to mean people "
        "(default: %(default)s)",
        0.1,
        type=share,
        metavar="SHARE",
    )
    bandwidth: str = option(
        "kernel width that training will use; isotropic also takes pairs of one valence or arousal (%(default)s)",
        "scaled",
        choices=BANDWIDTHS,
    )
    seed: int = option("decides wording, split and sample (default: %(default)s)", 0, type=seed)
    pairs_only: bool = option("stop before the features", False)
    encoder: str | Path = option(
        "SDXL's text encoders: a checkpoint (.safetensors) as ComfyUI has it, a diffusers folder, a hub id, or "
        "tiny for untrained ones to try things out; or comfyui, for any that a ComfyUI loads (default: %(default)s)",
        SDXL,
        metavar="SOURCE",
    )
    comfyui_path: Path | None = option("of --encoder comfyui: its folder, with main.py", None, metavar="FOLDER")
    comfyui_python: Path | None = option(
        "the Python that runs it (default: that of its venv/ or .venv/, of the Windows bundle, else this one)",
        None,
        metavar="FILE",
    )
    clip: Sequence[str] = option(
        "files as in Load CLIP, DualCLIPLoader ...: in its models/text_encoders, or absolute paths",
        (),
        type=str,
        metavar="NAME",
    )
    clip_type: str = option(
        "their type in Load CLIP, such as lumina2, qwen_image, flux (default: %(default)s)", "stable_diffusion"
    )
    dtype: str = option("of the stored features (%(default)s)", "float16", choices=("float16", "bfloat16"))
    batch_size: int = option("prompts encoded at once (default: %(default)s)", 32, type=count, metavar="N")
    device: str = option("auto, cpu, cuda, cuda:1 ... (default: %(default)s)", "auto")

    @property
    def in_comfyui(self) -> bool:
        """Whether ComfyUI encodes the prompts."""
        return str(self.encoder) == COMFYUI

    def problems(self) -> list[str]:
        """Everything that is wrong with the encoder's options."""
        if not self.in_comfyui:
            given = [flag(name) for name in ("comfyui_path", "comfyui_python", "clip") if getattr(self, name)]
            return [f"{' and '.join(given)} goes with --encoder comfyui: add it"] if given else []
        found = [] if self.comfyui_path else ["--encoder comfyui needs --comfyui-path, ComfyUI's folder"]
        if not 1 <= len(self.clip) <= MOST_CLIPS:
            found.append(f"--encoder comfyui needs --clip with 1 to {MOST_CLIPS} names, got {len(self.clip)}")
        return found


def prepare(settings: PrepareSettings) -> PairTable:
    """Makes a data folder; what an earlier run of the same settings left there is used.

    Raises:
        DataError: The pairs cannot be used, or the folder holds others.
        ValueError, OSError: The encoders cannot be read, or the features not written.
    """
    table, _ = collect_pairs(settings)
    write_pairs(table, settings)
    if not settings.pairs_only:
        write_features(table, settings)
    return table


def collect_pairs(settings: PrepareSettings) -> tuple[PairTable, list[str]]:
    """The pairs of all sources, and the bad rows that were left out.

    Raises:
        DataError: A source cannot be read, or no network can be trained on the pairs that are to be encoded.
    """
    if not settings.pairs_only:
        refuse_options(settings.problems())
    tables, skipped = [], []
    for source in settings.pairs:
        if source == FINDINGEMO:
            tables.append(findingemo_table(settings.seed, settings.validation, settings.scenes))
        else:
            bad = skipped if settings.skip_bad else None
            tables.append(load_table(Path(source), settings.scale, settings.validation, settings.seed, bad))
    table = concatenate(tables)
    if settings.limit:
        table = sample(table, settings.limit, settings.seed)
    if len(tables) > 1 or (settings.limit and len(set(table.split)) < 2):
        # Two files may share a prompt, and a sample may miss validation altogether.
        table = resplit(table, settings.validation, settings.seed)
    table = hold_out(table, settings.test, settings.seed)
    if not settings.pairs_only:
        _check_trainable(table, settings)
    return table, skipped


def _check_trainable(table: PairTable, settings: PrepareSettings) -> None:
    """Refuses before an hour of encoding what training would refuse after it."""
    try:
        training_density(table, settings.bandwidth)
    except ValueError as error:
        raise DataError(f"{' '.join(map(str, settings.pairs))}: cannot be trained on. {error}") from error


def write_pairs(table: PairTable, settings: PrepareSettings) -> None:
    """Writes pairs.jsonl, about.json and the data card, README.md.

    Raises:
        DataError: The folder holds other pairs, which are not replaced.
    """
    path = settings.out / "pairs.jsonl"
    if path.exists():
        if load_table(path).fingerprint() == table.fingerprint():
            return
        raise DataError(f"{path} holds other pairs. Choose another --out, or remove {settings.out} first.")
    save_table(table, path)
    about = {"pairs": list(map(str, settings.pairs)), "seed": settings.seed, "validation": settings.validation}
    about |= {"test": settings.test} if settings.test else {}
    if FINDINGEMO in settings.pairs:
        about |= {"scenes": settings.scenes, "licence": LICENCE}
    about["fingerprint"] = table.fingerprint()
    with replacing(settings.out / "about.json") as stream:
        stream.write(json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    write_data_card(table, about, settings.out)


def write_features(table: PairTable, settings: PrepareSettings, progress: bool = False) -> FeatureStore:
    """Encodes the prompts into features/, going on where an earlier run stopped.

    Raises:
        ValueError: The encoders cannot be used, or the folder has features of others.
        OSError: The disk is full, or would be.
    """
    from trainer.features.writing import write_features

    folder = settings.out / "features"
    with _encoders(settings) as encoders:
        return write_features(table, encoders, folder, settings.dtype, settings.batch_size, progress)


def _encoders(settings: PrepareSettings) -> AbstractContextManager:
    if not settings.in_comfyui:
        from trainer.features.encoders import load_encoders

        return nullcontext(load_encoders(settings.encoder, find_device(settings.device)))
    from trainer.features.comfyui import ComfyuiEncoder, Source

    source = Source(settings.comfyui_path, settings.clip, settings.clip_type, settings.comfyui_python, settings.device)
    return ComfyuiEncoder(source, settings.dtype, settings.out / "comfyui.log")
