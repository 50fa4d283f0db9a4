"""How fast features are prepared against the bare encoders, the memory that takes, and how fast they are read.

    python -m benchmarks.features                      # the tiny stand-in, on the CPU
    python -m benchmarks.features --encoders full      # SDXL's real sizes (12 and 32 layers), random weights
    python -m benchmarks.features --encoders sd_xl_base_1.0.safetensors --device cuda --prompts 8192 --batch-size 128

"bare" is the encoders alone, over tokens that are on their device already. "prepared" is `write_features` on the same
prompts: tokens, encoders, transfer, checksums, files. Both run in turns in one process; their medians are compared.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel

from trainer.data.pairs import PairTable
from trainer.features.encoders import TextEncoders, load_encoders
from trainer.features.store import FeatureStore
from trainer.features.writing import write_features

WORDS = [
    "house",
    "sea",
    "cat",
    "dog",
    "storm",
    "light",
    "joy",
    "grief",
    "rain",
    "street",
    "window",
    "old",
    "young",
    "red",
    "mountain",
    "quiet",
    "bright",
    "child",
]


def main() -> None:
    options = parse_options()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        encoders = load(options, Path(folder))
        table = make_table(options.prompts, np.random.default_rng(0))
        tokens = [encoders.tokenize(part)[0].to(encoders.device) for part in in_batches(table, options.batch_size)]
        bare, prepared, peaks = [], [], []
        encoders.forward(tokens[0])
        for turn in range(options.turns):
            bare.append(seconds(lambda: run_bare(encoders, tokens)))
            target = Path(folder, f"features-{turn}")
            with PeakMemory() as peak:
                prepared.append(seconds(lambda: write(table, encoders, target, options)))  # noqa: B023
            peaks.append(peak.growth)
        report(options, encoders, bare, prepared, peaks)
        report_reading(FeatureStore(target, table), options.batch_size)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", default="tiny", help="tiny, full, or what trainer.prepare takes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", help="what the encoders compute in (default: float16 on cuda, else float32)")
    parser.add_argument("--store", default="float16", choices=("float16", "bfloat16"), help="what is stored")
    parser.add_argument("--prompts", type=int, default=1024, help="distinct prompts, an even number")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, help="torch's threads")
    parser.add_argument("--folder", type=Path, help="where to write for a while (default: the temporary folder)")
    return parser.parse_args()


def load(options: argparse.Namespace, folder: Path) -> TextEncoders:
    source = save_full_size(folder / "full") if options.encoders == "full" else options.encoders
    return load_encoders(source, options.device, options.dtype)


def save_full_size(folder: Path) -> Path:
    """Saves encoders of SDXL's sizes with seeded random weights in float16, as a diffusers folder."""
    sizes = {"text_encoder": (768, 12, "quick_gelu"), "text_encoder_2": (1280, 32, "gelu")}
    for part, (width, layers, activation) in sizes.items():
        config = CLIPTextConfig(
            vocab_size=49408,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            hidden_act=activation,
            eos_token_id=49407,
        )
        with torch.device("meta"):
            shapes = CLIPTextModel(config).state_dict()
        random = torch.Generator().manual_seed(width)
        weights = {key: torch.randn(tensor.shape, generator=random).mul_(0.02).half() for key, tensor in shapes.items()}
        (folder / part).mkdir(parents=True)
        save_file(weights, folder / part / "model.safetensors")
        config.save_pretrained(folder / part)
    return folder


def make_table(prompts: int, random: np.random.Generator) -> PairTable:
    """Makes pairs of distinct prompts of 8 to 40 words."""
    texts = [f"{n} {' '.join(random.choice(WORDS, random.integers(8, 40)))}" for n in range(prompts)]
    n = prompts // 2
    zeros, ids = np.zeros(n), [str(index) for index in range(n)]
    return PairTable(texts[:n], texts[n : 2 * n], zeros, zeros, ["benchmark"] * n, ["train"] * n, ids)


def in_batches(table: PairTable, size: int) -> list[list[str]]:
    prompts = [*table.neutral, *table.emotional]
    return [prompts[start : start + size] for start in range(0, len(prompts), size)]


def seconds(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run_bare(encoders: TextEncoders, tokens: list[torch.Tensor]) -> None:
    for batch in tqdm(tokens, "bare", leave=False, unit="batch"):
        encoders.forward(batch)
    if encoders.device.type == "cuda":
        torch.cuda.synchronize(encoders.device)


def write(table: PairTable, encoders: TextEncoders, folder: Path, options: argparse.Namespace) -> None:
    write_features(table, encoders, folder, dtype=options.store, batch_size=options.batch_size)


class PeakMemory:
    """Measures by how much this process's resident memory grows, at its highest, in bytes (Linux)."""

    def __enter__(self):
        self.before = self.highest = self.now()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self) -> None:
        while not self.done.wait(0.05):
            self.highest = max(self.highest, self.now())

    def __exit__(self, *error):
        self.done.set()
        self.thread.join()
        self.growth = self.highest - self.before

    @staticmethod
    def now() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096


def report(options, encoders: TextEncoders, bare: list[float], prepared: list[float], peaks: list[int]) -> None:
    prompts = options.prompts // 2 * 2
    ratio = statistics.median(bare) / statistics.median(prepared)
    device = torch.cuda.get_device_name(encoders.device) if encoders.device.type == "cuda" else "cpu"
    computed = next(encoders.clip_l.parameters()).dtype
    print(f"| encoders | {encoders.name} on {device} in {computed}, {torch.get_num_threads()} threads |")
    print("| --- | --- |")
    print(f"| prompts, batch, turns | {prompts}, {options.batch_size}, {options.turns} |")
    print(f"| bare encoders | {prompts / statistics.median(bare):.2f} prompts/s |")
    print(f"| prepared and on disk | {prompts / statistics.median(prepared):.2f} prompts/s |")
    print(f"| prepared : bare | {ratio:.1%} (required: 90 %) |")
    print(f"| memory above the encoders, peak | {max(peaks) / 1e9:.2f} GB (allowed: 2 GB) |")


def report_reading(store: FeatureStore, batch_size: int) -> None:
    random = torch.Generator().manual_seed(0)
    batches = [torch.randint(len(store), (batch_size,), generator=random) for _ in range(20)]
    out = torch.empty(batch_size, 77, store.width, dtype=store.dtype)
    times = [seconds(lambda: store.neutral(batch, out=out)) for batch in batches]  # noqa: B023
    print(f"| read in random order (cached by the system) | {batch_size / statistics.median(times):.0f} prompts/s |")


if __name__ == "__main__":
    main()
