"""Our training step against a plain formulation of the published loop, in one process.

    python -m benchmarks.training                          # a GPU at full size if there is one, else the CPU, reduced
    python -m benchmarks.training --device cpu --depth 2 --batch 8
    python -m benchmarks.training --device cuda --accumulate 2

Plain: the layer as published (benchmarks/plain.py), float32, AdamW as it comes, a DataLoader over an in-memory list.
Ours: the step of `trainer.train`, once in float32 and once in bfloat16 autocast; on a GPU also compiled, with the
features in its memory. Both at 768 wide on features of 77 x 2048, random ones, since their values cost no time. The
rounds alternate, and the ratio is that of the medians. On a GPU the fastest of ours then runs for a minute, and what
it sustained is projected to the paper's run of 200 epochs x 39,843 pairs.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.plain import PlainNetwork
from trainer.core.device import Machine
from trainer.core.processes import Processes
from trainer.data.pairs import PairTable
from trainer.runs.directions import Directions
from trainer.runs.loader import Data
from trainer.runs.settings import Settings
from trainer.runs.train import Training, network_config

TOKENS, FEATURES = 77, 2048
FULL_RUN = 200 * 39_843


class MemoryStore:
    """Random features of distinct prompts, held as the trainer's FeatureStore would give them."""

    facts, tokens = None, TOKENS

    def __init__(self, pairs: int):
        self.width, self.features = FEATURES, torch.randn(2 * pairs, TOKENS, FEATURES).half()
        self.neutral_rows, self.emotional_rows = torch.arange(pairs), torch.arange(pairs, 2 * pairs)
        self.nbytes = self.features.nbytes

    def neutral(self, indexes) -> torch.Tensor:
        return self.features[self.neutral_rows[indexes]]

    def emotional(self, indexes) -> torch.Tensor:
        return self.features[self.emotional_rows[indexes]]

    def pool(self, device) -> torch.Tensor:
        return self.features.to(device)


def synthetic_data(pairs: int) -> Data:
    names = [str(number) for number in range(pairs)]
    valence, arousal = np.random.default_rng(0).uniform(-3, 3, (2, pairs))
    table = PairTable(names, names, valence, arousal, ["random"] * pairs, ["train"] * pairs, names)
    none = torch.zeros(TOKENS, FEATURES)
    rows = np.arange(pairs)
    return Data(table, MemoryStore(pairs), rows, rows[:0], torch.ones(pairs), Directions(none, none, none), {})


def plain_step(settings: Settings, data: Data, device: torch.device) -> Callable[[], None]:
    """A step of the plain loop."""
    torch.manual_seed(0)
    network = PlainNetwork(network_config(settings, data)).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    store, table = data.store, data.table
    samples = [
        (store.neutral(row).float(), store.emotional(row).float(), table.valence[row], table.arousal[row], 1.0)
        for row in range(len(table))
    ]
    batches = iter_forever(DataLoader(samples, settings.batch // settings.accumulate, shuffle=True, drop_last=True))

    def step() -> None:
        optimizer.zero_grad()
        for _ in range(settings.accumulate):
            neutral, emotional, valence, arousal, weight = (part.to(device) for part in next(batches))
            target = neutral + settings.scale * (emotional - neutral)
            error = (network(neutral, valence, arousal) - target) ** 2
            ((weight.float().view(-1, 1, 1) * error).mean() / settings.accumulate).backward()
        optimizer.step()

    return step


def iter_forever(loader: DataLoader):
    while True:
        yield from loader


def our_step(settings: Settings, data: Data, device: torch.device) -> Callable[[], None]:
    """A step of `trainer.train`."""
    machine = Machine(device, settings.precision == "bfloat16", settings.compile)
    training = Training(settings, data, machine, Processes())
    training.wrap()
    return training.advance


def seconds_of(step: Callable[[], None], times: int, device: torch.device) -> float:
    """The seconds of one step, over several that nothing interrupts."""
    start = time.perf_counter()
    for _ in range(times):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / times


def measure(steps: dict[str, Callable[[], None]], rounds: int, times: int, device: torch.device) -> dict[str, float]:
    """The median seconds of each step, their rounds taken in turn."""
    taken = {name: [] for name in steps}
    for step in steps.values():  # warm-up, and compilation
        seconds_of(step, 2, device)
    for _ in range(rounds):
        for name, step in steps.items():
            taken[name].append(seconds_of(step, times, device))
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def sustain(step: Callable[[], None], batch: int, device: torch.device, seconds: float) -> float:
    """Samples/s of an uninterrupted run."""
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        seconds_of(step, 20, device)
        steps += 20
    return steps * batch / (time.perf_counter() - start)


def variants(options: argparse.Namespace, cuda: bool) -> dict[str, Settings]:
    def settings(precision: str, compiled: bool = False) -> Settings:
        return Settings(
            data=Path(),
            depth=options.depth,
            batch=options.batch,
            accumulate=options.accumulate,
            precision=precision,
            compile=compiled,
            features_on_device="yes" if cuda else "no",
            steps=10**9,
        )

    found = {"ours, float32": settings("float32"), "ours, bfloat16": settings("bfloat16")}
    if cuda or options.compile:
        found["ours, bfloat16, compiled"] = settings("bfloat16", True)
    return found


def main() -> None:
    options = _options()
    device, cuda = torch.device(options.device), options.device.startswith("cuda")
    if cuda:
        torch.set_float32_matmul_precision("high")
    else:
        torch.set_num_threads(2)
    data = synthetic_data(max(16, 3 * options.batch))
    settings = variants(options, cuda)
    steps = {"plain, float32": plain_step(settings["ours, float32"], data, device)}
    steps |= {name: our_step(one, data, device) for name, one in settings.items()}
    seconds = measure(steps, options.rounds, options.times, device)
    what = torch.cuda.get_device_name(device) if cuda else f"a CPU on {torch.get_num_threads()} threads"
    print(
        f"Measured on {what}: 768 wide, {options.depth} blocks, batch {options.batch} in {options.accumulate} part(s)"
    )
    plain = seconds["plain, float32"]
    for name, taken in seconds.items():
        print(f"{name:26} {taken:9.4f} s/step {options.batch / taken:10.1f} samples/s {plain / taken:6.2f} x")
    if not cuda or options.depth < 12:
        print("The paper's full run is not projected: that needs a GPU and 12 blocks.")
        return
    best = min((name for name in seconds if name != "plain, float32"), key=seconds.get)
    rate = sustain(steps[best], options.batch, device, seconds=60)
    print(f"{best}: {rate:,.0f} samples/s sustained over a minute")
    print(f"The paper's full run of 200 epochs x 39,843 pairs: {FULL_RUN / rate / 60:.1f} minutes (projected)")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--depth", type=int, help="blocks (12 on a GPU, 2 on a CPU)")
    parser.add_argument("--batch", type=int, help="pairs per step (768 on a GPU, 8 on a CPU)")
    parser.add_argument("--accumulate", type=int, default=1, help="parts that the batch is computed in, for both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, help="steps per round (10 on a GPU, 2 on a CPU)")
    parser.add_argument("--compile", action="store_true", help="measure the compiled step on a CPU too")
    options = parser.parse_args()
    defaults = {"depth": (12, 2), "batch": (768, 8), "times": (10, 2)}
    for name, (gpu, cpu) in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, gpu if options.device.startswith("cuda") else cpu)
    return options


if __name__ == "__main__":
    main()
