"""How a run ends before its time, and what its last words are: what happened, what is kept, what to do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from trainer.core.checkpoint import checkpoint_path
from trainer.core.command_line import Terminated, TrainingError
from trainer.runs.batches import batch_indexes
from trainer.runs.logs import write_json

if TYPE_CHECKING:
    from trainer.runs.settings import Settings
    from trainer.train import Run


@contextlib.contextmanager
def explained(run: Run):
    """Turns what can end a run from outside into one message that says where it stands and what to do.

    Raises:
        TrainingError: Another process was lost, or the memory is too small.
        KeyboardInterrupt: It was interrupted, by Ctrl-C or by SIGTERM; with the message.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        by = " by SIGTERM" if isinstance(error, Terminated) else ""
        raise KeyboardInterrupt(f"Stopped{by} at step {run.step}. {_kept(run)}") from error
    except torch.cuda.OutOfMemoryError as error:
        raise _out_of_memory(run) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise _out_of_memory(run) from error
        if run.processes.count > 1 and (isinstance(error, dist.DistError) or _lost_peer(error)):
            raise TrainingError(
                f"Process {run.processes.rank} lost another one at step {run.step + 1}: it was killed or its machine "
                f"is gone; look above for its own message. {_kept(run)}"
            ) from error
        raise


@contextlib.contextmanager
def building(settings: Settings, device: torch.device):
    """Turns a network that does not fit the memory into an error that says so."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        raise TrainingError(
            f"The network of --width {settings.width}, --depth {settings.depth}, --emotion-tokens "
            f"{settings.emotion_tokens} and --emotion-hidden {settings.emotion_hidden} does not fit the memory of "
            f"{device}, nor do its gradients and moments: choose smaller ones"
            f"{', or --features-on-device no' if device.type == 'cuda' else ''}."
        ) from error


def _lost_peer(error: RuntimeError) -> bool:
    return any(
        word in str(error)
        for word in ("Connection closed by peer", "Connection reset", "Broken pipe", "Gloo")
    )


def _out_of_memory(run: Run) -> TrainingError:
    settings, share = run.settings, run.settings.batch // run.processes.count
    more = next((n for n in range(settings.accumulate + 1, share + 1) if share % n == 0), None)
    kind = "GPU" if run.device.type == "cuda" else "main"
    tried = f"The {kind} memory cannot hold {share // settings.accumulate} pairs at a time"
    advice = (
        f"Keep --batch {settings.batch} and add --accumulate {more}: {share // more} pairs at a time, the same result"
        if more
        else "Choose a smaller --depth or --width"
    )
    if run.loader.pool is not None:
        advice += f"; or --features-on-device no, which frees {run.data.store.nbytes / 1e9:.1f} GB"
    return TrainingError(f"{tried}. {advice}. {_kept(run)}")


def not_finite(run: Run, step: int) -> TrainingError:
    rows = batch_indexes(run.data.train, run.settings.batch, step, run.settings.seed)
    store = run.data.store
    broken = [
        int(row)
        for row in rows
        if not all(torch.isfinite(f([row])).all() for f in (store.neutral, store.emotional))
    ]
    path = run.settings.out / "not_finite.json"
    if run.processes.first:
        write_json(path, {"step": step + 1, "rows": rows.tolist(), "rows_with_bad_features": broken})
    if broken:
        advice = (
            f"The features of row {broken[0]} are not finite: delete the features folder and prepare it again"
        )
    else:
        advice = (
            "Its features are finite: try a smaller --lr, --clip-norm 1 or --warmup 200 in a new --out (a resume keeps "
            "these settings), or --precision float32"
        )
    few = ", ".join(map(str, rows[:6])) + (" ..." if len(rows) > 6 else "")
    return TrainingError(
        f"The loss or its gradient is not finite at step {step + 1}, whose batch holds the table's rows {few} (all in "
        f"{path}). {advice}. {_kept(run)}"
    )


def _kept(run: Run) -> str:
    if run.saved is None:
        return "There is no checkpoint yet."
    return f"The checkpoint of step {run.saved} is kept in {checkpoint_path(run.settings.out)}; --resume goes on there."
