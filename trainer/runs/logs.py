"""What a run writes for people: metrics.jsonl, run.json, TensorBoard's events and the progress bar."""

import json
import sys
import time
from pathlib import Path

from tqdm import tqdm

from emoticrafter.files import write_atomically
from trainer.core.checkpoint import writing


def write_json(path: Path, value: dict) -> None:
    with writing(path):
        text = json.dumps(value, indent=1)
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_metrics(path: Path) -> list[dict]:
    """The lines of a metrics.jsonl; those that a kill or the disk damaged are left out."""
    found = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("step"), int):
            found.append(value)
    return found


def stand_in_warning(data: dict) -> str:
    """What to say loudly of a run on the untrained encoders; "" for all others. `data` is run.json's."""
    name = data["encoder"]["name"]
    if name == "tiny" or name.startswith("tiny ("):
        return "WARNING: trained on untrained stand-in encoders: fits no real checkpoint."
    return ""


class Logs:
    """The logs of a run, written by its first process; the others' calls do nothing."""

    def __init__(self, out: Path, step: int, first: bool):
        """
        Args:
            out: The run's folder.
            step: Where the run goes on: later lines, of steps that will be done again, are dropped.
            first: Whether this is the first process.
        """
        self.out, self.step, self.first = out, step, first
        self.metrics = out / "metrics.jsonl"
        self.board = None

    def __enter__(self):
        if self.first:
            kept = [
                json.dumps(line) + "\n" for line in read_metrics(self.metrics) if line["step"] <= self.step
            ]
            with writing(self.metrics):
                write_atomically(self.metrics, lambda temporary: temporary.write_text("".join(kept)))
                self.board = _tensorboard(self.out, self.step)
        return self

    def __exit__(self, *error):
        if self.board:
            self.board.close()

    def start(self, description: dict) -> None:
        if self.first:
            write_json(self.out / "run.json", description)
            print(_overview(description, self.step), flush=True)

    def write(self, kind: str, step: int, values: dict[str, float]) -> None:
        """Adds a line: kind is "train" or "validation"."""
        line = {"kind": kind, "step": step, **values}
        with writing(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def bar(self, run) -> tqdm:
        batch = run.settings.batch
        return tqdm(
            total=run.total * batch,
            initial=run.step * batch,
            unit="samples",
            unit_scale=True,
            disable=not self.first,
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )

    def end(self, run) -> None:
        if self.first:
            print(
                f"Done after {run.step} steps in {time.strftime('%H:%M:%S', time.gmtime(run.seconds))}. Best: step "
                f"{run.best['step']}, validation loss {run.best['loss']:.4g}.\n{self.out / 'network.safetensors'} is "
                f"for models/emoticrafter; python -m trainer.report {self.out} shows the run."
            )
            if warning := stand_in_warning(run.data.summary):
                print(warning)


def _tensorboard(out: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print(
            "TensorBoard is not installed, so its events are not written; metrics.jsonl is.", file=sys.stderr
        )
        return None
    return SummaryWriter(out / "tensorboard", purge_step=step + 1)


def _overview(description: dict, step: int) -> str:
    data, network, weights = description["data"], description["network"], description["data"]["weights"]
    return (
        f"{data['pairs']['train']:,} pairs to train on, {data['pairs']['validation']:,} to validate; features of "
        f"{data['encoder']['name']}.\nWeights from {weights['smallest']:.3g} to {weights['largest']:.3g}, worth "
        f"{weights['effective_pairs']:,.0f} equal pairs of {weights['of']:,}.\n"
        f"{network['parameters'] / 1e6:.1f} million parameters on {description['device']} in "
        f"{description['precision']}, {description['processes']} process"
        f"{'es' if description['processes'] > 1 else ''}.\n"
        + (
            f"Going on at step {step} of {description['steps']:,}."
            if step
            else f"{description['steps']:,} steps."
        )
    )
