"""The last words of a run that ends before its time: what happened and what to do."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from trainer.core.command_line import TrainingError
from trainer.features.store import FeatureStore
from trainer.runs.loader import Data
from trainer.runs.logs import write_json
from trainer.runs.settings import Settings


def out_of_memory(settings: Settings, processes: int, device: torch.device, pooled: int, kept: str) -> TrainingError:
    """The error for a step that does not fit the memory; `pooled` are the bytes of features on the device."""
    share = settings.batch // processes
    more = more_parts(share, settings.accumulate)
    kind = "GPU" if device.type == "cuda" else "main"
    tried = f"The {kind} memory cannot hold {share // settings.accumulate} pairs at a time"
    advice = (
        f"Keep --batch {settings.batch} and add --accumulate {more}: {share // more} pairs at a time, the same result"
        if more
        else "Choose a smaller --depth or --width"
    )
    if pooled:
        advice += f"; or --features-on-device no, which frees {pooled / 1e9:.1f} GB"
    return TrainingError(f"{tried}. {advice}. {kept}")


def more_parts(share: int, accumulate: int) -> int | None:
    """The next number of parts of the same size for a process's share of a batch, if there is one."""
    return next((n for n in range(accumulate + 1, share + 1) if share % n == 0), None)


def too_large(settings: Settings, device: torch.device) -> TrainingError:
    """The error for a network that does not fit the memory."""
    return TrainingError(
        f"The network of --width {settings.width}, --depth {settings.depth}, --emotion-tokens "
        f"{settings.emotion_tokens} and --emotion-hidden {settings.emotion_hidden} does not fit the memory of "
        f"{device}, nor do its gradients and moments: choose smaller ones"
        f"{', or --features-on-device no' if device.type == 'cuda' else ''}."
    )


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error)


def not_finite(step: int, rows: np.ndarray, store: FeatureStore, path: Path, kept: str) -> TrainingError:
    """The error for a loss that is not finite, whose rows are listed in a file.

    Args:
        step: Counted from 1.
        rows: Of the table, in the step's batch.
        store: Their features.
        path: The file.
        kept: A sentence about the checkpoint.
    """
    advice = _listed(step, rows, store, path)
    few = ", ".join(map(str, rows[:6])) + (" ..." if len(rows) > 6 else "")
    return TrainingError(
        f"The loss or its gradient is not finite at step {step}, whose batch holds the table's rows {few} (all in "
        f"{path}). {advice}. {kept}"
    )


def validation_not_finite(step: int, names: Sequence[str], data: Data, path: Path, kept: str) -> TrainingError:
    """The error for a validation in which the numbers of these names are not finite; see `not_finite`."""
    advice = _listed(step, data.validation, data.store, path)
    return TrainingError(
        f"The validation at step {step} is not finite ({', '.join(names)}); its rows of the table are in {path}. "
        f"{advice}. {kept}"
    )


def _listed(step: int, rows: np.ndarray, store: FeatureStore, path: Path) -> str:
    """Lists rows in a file, and says what to do about them."""
    broken = store.not_finite(rows)
    write_json(path, {"step": step, "rows": rows.tolist(), "rows_with_bad_features": broken})
    if broken:
        return f"The features of row {broken[0]} are not finite: delete the features folder and prepare it again"
    return (
        "Its features are finite: try a smaller --lr, --clip-norm 1 or --warmup 200 in a new --out (a resume keeps "
        "these settings), or --precision float32"
    )
