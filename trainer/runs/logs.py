"""A run's numbers: metrics.jsonl, and the same for TensorBoard where it is installed."""

import json
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from tqdm import tqdm

from emoticrafter.files import write_text
from trainer.core import journal
from trainer.core.checkpoint import writing
from trainer.core.command_line import reason


def write_json(path: Path, value: dict) -> None:
    with writing(path):
        write_text(path, json.dumps(value, indent=1))


def read_metrics(path: Path) -> list[dict]:
    """The lines of a metrics.jsonl; those that a kill or the disk damaged are left out."""
    lines = journal.lines(path) if path.exists() else ()
    return [line for line in lines if isinstance(line.get("step"), int)]


def stand_in_warning(data: dict) -> str:
    """A warning if a run's encoders are untrained, else "". `data` is run.json's."""
    name = data["encoder"]["name"]
    if name == "tiny" or name.startswith("tiny ("):
        return "WARNING: trained on untrained stand-in encoders: fits no real checkpoint."
    return ""


class Logs:
    """An open log."""

    def __init__(self, folder: Path, step: int):
        """
        Args:
            folder: The run's.
            step: The step that the run goes on from; lines of later steps, which will be taken again, are dropped.
        """
        self.metrics = folder / "metrics.jsonl"
        kept = "".join(json.dumps(line) + "\n" for line in read_metrics(self.metrics) if line["step"] <= step)
        with ExitStack() as stack, writing(self.metrics):
            write_text(self.metrics, kept)
            self.journal = stack.enter_context(journal.opened(self.metrics))
            if board := _tensorboard(folder, step):
                stack.callback(_closed, board)
            self.board, self.close = board, stack.pop_all().close

    def write(self, kind: str, step: int, values: dict[str, float]) -> None:
        """Adds a line: kind is "train" or "validation"."""
        with writing(self.metrics):
            self.journal.add({"kind": kind, "step": step, **values})
        try:
            for name, value in values.items() if self.board else ():
                self.board.add_scalar(f"{kind}/{name}", value, step)
        except Exception as error:
            self.board = _without_tensorboard(error)


def _tensorboard(folder: Path, step: int):
    """TensorBoard's writer, or None where it cannot be used: its many packages fail in many ways."""
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(folder / "tensorboard", purge_step=step + 1)
    except ModuleNotFoundError:
        print("TensorBoard is not installed: its events are not written, metrics.jsonl is.", file=sys.stderr)
    except Exception as error:
        _without_tensorboard(error)


def _without_tensorboard(error: Exception) -> None:
    tqdm.write(f"TensorBoard failed ({reason(error)}): its events are not written, metrics.jsonl is.", sys.stderr)


def _closed(board) -> None:
    with suppress(Exception):
        board.close()
