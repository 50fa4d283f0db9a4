"""Looks at a run's settings, machine and folders before anything heavy starts."""

from collections.abc import Sequence
from dataclasses import replace

from trainer.core.checkpoint import checkpoint_path, finished_path
from trainer.core.command_line import TrainingError
from trainer.core.device import Machine
from trainer.core.processes import Processes
from trainer.core.rows import DataError
from trainer.runs.settings import Settings


def check(settings: Settings, processes: Processes, unread: Sequence[str] = ()) -> Machine:
    """Finds everything that is wrong at once.

    Args:
        settings: Of the run.
        processes: That train together.
        unread: Problems of the settings found earlier.

    Returns:
        The machine to train on.

    Raises:
        TrainingError: Lists all problems.
    """
    found = [*unread, *settings.problems()]
    machine = _machine(settings, processes, found)
    found += [*filter(None, [processes.wrong_shares(settings.batch, settings.accumulate)]), *_wrong_folders(settings)]
    if found:
        raise TrainingError(
            f"{len(found)} setting{'s' if len(found) > 1 else ''} cannot be used:\n- " + "\n- ".join(found)
        )
    return machine


def _machine(settings: Settings, processes: Processes, found: list[str]) -> Machine | None:
    """The machine; what is wrong with it is added to `found`."""
    try:
        machine = Machine.find(settings.device, settings.precision, settings.compile, processes)
    except DataError as error:
        return found.append(str(error))
    kind = machine.device.type
    if kind not in ("cpu", "cuda"):
        found.append(f"--device is {settings.device!r}: expected a CPU or a CUDA (or ROCm) GPU")
    if kind == "cpu" and settings.features_on_device == "yes":
        found.append("--features-on-device is 'yes' and the device is the CPU: expected auto or no")
    # A processor's bfloat16 is only used when asked for.
    return replace(machine, bfloat16=False) if kind == "cpu" and settings.precision == "auto" else machine


def _wrong_folders(settings: Settings) -> list[str]:
    found = []
    if not (settings.data / "pairs.jsonl").is_file():
        found.append(
            f"--data is {settings.data}, which has no pairs.jsonl: "
            f"make it with python -m trainer.prepare --out {settings.data}"
        )
    if settings.out.exists() and not settings.out.is_dir():
        found.append(f"--out is {settings.out}, which is a file: expected a folder or a new name")
    elif taken := holds_run(settings):
        found.append(taken)
    return found


def holds_run(settings: Settings) -> str:
    """Says how a new run would overwrite another one; "" where it would not."""
    if checkpoint_path(settings.out).exists():
        advice = "add --resume to go on with it, or choose another folder"
        return "" if settings.resume else f"--out is {settings.out}, which holds a run already: {advice}"
    if finished_path(settings.out).exists():
        return f"--out is {settings.out}, which holds a finished run without a checkpoint: choose another folder"
    return ""
