"""A run's checkpoint: one safetensors file with everything that an exact resume needs.

The tensors are the network, its moving average and AdamW's two moments; the metadata holds the rest as JSON: the step,
the best validation so far, the settings and the data's fingerprint. No random generator's state is kept: the order of
the pairs and the dropout of a step follow from the seed and the step alone.
"""

import errno
import json
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from emoticrafter.fit.loop import Fit
from emoticrafter.weights.files import read_header, read_safetensors, save_tensors
from trainer.core.command_line import TrainingError

FORMAT = "emoticrafter-checkpoint"
VERSION = "1"
MOMENTS = ("exp_avg", "exp_avg_sq")


def checkpoint_path(out: Path) -> Path:
    return out / "last.safetensors"


def finished_path(out: Path) -> Path:
    """An empty file that marks a run with all its steps done: its checkpoint may then be deleted."""
    return out / "finished"


def save_checkpoint(out: Path, fit: Fit, **state) -> None:
    """Writes the checkpoint of a run; the earlier one stays until the new one is whole.

    Args:
        out: The run's folder.
        fit: The fit.
        state: Anything else that the run needs and JSON can hold.

    Raises:
        TrainingError: The disk is full or cannot be written.
    """
    tensors = {f"network.{name}": tensor for name, tensor in fit.module.state_dict().items()}
    if fit.average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in fit.average.state_dict().items()}
    for name, parameter in fit.module.named_parameters():
        for moment in MOMENTS:
            if parameter in fit.optimizer.state:
                tensors[f"{moment}.{name}"] = fit.optimizer.state[parameter][moment]
    state = json.dumps({"step": fit.step, **state})
    metadata = {"format": FORMAT, "version": VERSION, "state": state}
    with writing(checkpoint_path(out)):
        save_tensors(checkpoint_path(out), tensors, metadata)


@contextmanager
def writing(path: Path):
    """Turns what goes wrong while a file is written into one line that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.__cause__ or error  # safetensors reports its own errors, with the system's text inside
        cause = getattr(reason, "strerror", None) or reason
        full = "No space left" in str(reason) or error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise TrainingError(
            f"{path} could not be written: {'the disk is full' if full else cause}. What was saved before is whole: "
            f"{'free some space' if full else 'check the folder'} and run the same command again, trainer.train with "
            "--resume."
        ) from error


@torch.no_grad()
def load_checkpoint(out: Path, fit: Fit) -> None:
    """Puts a fit where its checkpoint was: weights, moving average, AdamW's moments and the step.

    Raises:
        TrainingError: The file is damaged or of another network.
    """
    path = checkpoint_path(out)
    tensors, step = _read_tensors(path), read_state(out)["step"]
    _load_module(fit.module, "network.", tensors, path)
    if fit.average is not None:
        _load_module(fit.average, "average.", tensors, path)
    for name, parameter in fit.module.named_parameters():
        if not parameter.requires_grad:
            continue
        moments = {moment: tensors.get(f"{moment}.{name}") for moment in MOMENTS}
        if any(tensor is None or tensor.shape != parameter.shape for tensor in moments.values()):
            raise TrainingError(f"{path} lacks AdamW's moments of {name}: it cannot be resumed. Choose another --out.")
        fit.optimizer.state[parameter] = {
            "step": torch.tensor(float(step), device=parameter.device),
            # In the parameter's own order of memory (channels last, say): fused AdamW pairs numbers by their place.
            **{moment: torch.empty_like(parameter).copy_(tensor) for moment, tensor in moments.items()},
        }
    fit.step = step


PROGRESS = {"step": int, "seconds": int | float}
RUN = PROGRESS | {"best": dict | None, "settings": dict, "data": str}
LATER = {"features": dict, "computed": dict}
"""Entries that checkpoints of older versions lack."""


def read_state(out: Path, keys: dict = PROGRESS) -> dict:
    """The metadata of a run's checkpoint.

    Args:
        out: The run's folder.
        keys: Its entries with their types: PROGRESS for any training, RUN for the emotion network's.

    Raises:
        TrainingError: There is no checkpoint, or it is damaged or another kind of file.
    """
    path = checkpoint_path(out)
    try:
        metadata = read_header(path)
        if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
            raise TrainingError(f"{path} is not a checkpoint of this trainer: choose another --out.")
        state = json.loads(metadata.get("state", "null"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    if wrong := _wrong_in(state, keys):
        raise _damaged(path, wrong)
    return state


def _wrong_in(state, keys: dict) -> str:
    """Says what is wrong with a checkpoint's state; "" if nothing is."""
    if not isinstance(state, dict):
        return "it says nothing of its run"
    wrong = [name for name, kind in keys.items() if name not in state or not isinstance(state[name], kind)]
    wrong += [name for name, kind in LATER.items() if not isinstance(state.get(name, {}), kind)]
    if not wrong and state.get("best") is not None:
        best = state["best"]
        fits = isinstance(best.get("loss"), int | float) and isinstance(best.get("step"), int)
        wrong = [] if fits else ["best"]
    if not wrong and state["step"] < 0:
        wrong = ["step"]
    return f"its {', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} missing or odd" if wrong else ""


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return read_safetensors(path)[1]
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception | str) -> TrainingError:
    reason = getattr(error, "__cause__", None) or error  # what safetensors says, without the advice for networks
    return TrainingError(
        f"{path} cannot be read ({reason}). It is damaged: move it away to start the run anew, or put back a copy."
    )


def _load_module(module: nn.Module, prefix: str, tensors: dict[str, Tensor], path: Path) -> None:
    mine = module.state_dict()
    theirs = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    odd = [
        f"{name} is {list(theirs[name].shape) if name in theirs else 'missing'}, expected {list(tensor.shape)}"
        for name, tensor in mine.items()
        if name not in theirs or theirs[name].shape != tensor.shape
    ]
    odd += [f"{name} is unknown" for name in theirs if name not in mine]
    if odd:
        raise TrainingError(
            f"{path} is of another network: {'; '.join(odd[:3])}{f' and {len(odd) - 3} more' if len(odd) > 3 else ''}. "
            "Resume with the settings and features that it was made with, or choose another --out."
        )
    module.load_state_dict(theirs)
