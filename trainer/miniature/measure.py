"""Measures what emotion networks do to the miniature's pictures, on held-out prompts over the plane.

    python -m trainer.miniature measure --out runs/miniature --table docs/miniature.md

Every prompt is drawn at the 25 points of a 5 x 5 grid over valence and arousal, from the same noise, with two seeds;
the readers say what the pictures became. Rows: the run's networks of the default settings (or those given by
--networks, also the files of trainer.baselines), the prompts' own emotional captions (what the networks imitate),
plain prompts (one picture for all 25 points), and always 0. What was read is kept in the run's measured/ folder, so an
interrupted command goes on. Settings are compared by trainer.tables.

Shapes: P prompts, S seeds, G = 25 points, M = P * S.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emoticrafter import load_network
from emoticrafter.files import file_sha256
from emoticrafter.research.baselines import is_baseline, load_baseline
from emoticrafter.research.readers import distance, load_reader
from emoticrafter.weights import read_metadata
from trainer.baselines.patches import conditioning
from trainer.core.device import Machine
from trainer.evaluation.statistics import agreement
from trainer.miniature.dataset import SEEDS, fill
from trainer.miniature.folders import load_autoencoder, load_generator
from trainer.miniature.models import decode, tokenize
from trainer.miniature.readers import split_scores
from trainer.miniature.recipe import Recipe
from trainer.miniature.sampling import sample
from trainer.world.captions import emotional_caption, neutral_caption
from trainer.world.scene import SUBJECTS, all_scenes

SIDE = 5
LEVELS = np.linspace(-3, 3, SIDE, dtype=np.float32)
GRID = np.array([(v, a) for a in LEVELS for v in LEVELS])  # [G, 2]: valence changes first
READ = ("valence", "arousal", "subject", "valence step", "arousal step")
"""What is kept of a picture: the readings, the subject's number, the distances to the next point of each axis."""


class Bench:
    """The generator, the readers and what they are asked: all on the machine's device."""

    def __init__(self, out: Path, recipe: Recipe, machine: Machine, prompts: int, seeds: int):
        """
        Args:
            out: The run's folder, with all stages done.
            recipe: The run's.
            machine: Where to draw.
            prompts: P; held-out scenes, every one before any comes twice.
            seeds: S, pictures of every prompt.
        """
        self.recipe, self.machine, self.seeds = recipe, machine, seeds
        held_out = all_scenes("held-out")
        order = np.random.default_rng((recipe.seed, SEEDS["measuring"])).permutation(len(held_out))
        self.scenes = [held_out[order[i % len(order)]] for i in range(prompts)]
        self.prompts = [neutral_caption(scene, self.wording(i)) for i, scene in enumerate(self.scenes)]
        device = machine.device
        unet, text = load_generator(out / "generator", recipe)
        self.unet = unet.to(device, memory_format=torch.channels_last)
        self.text = text.to(device)
        self.autoencoder = load_autoencoder(out / "autoencoder").to(device, memory_format=torch.channels_last)
        self.emotion_reader = load_reader(out / "readers" / "emotion.safetensors")[0].to(device)
        self.content_reader = load_reader(out / "readers" / "content.safetensors")[0].to(device)

    @property
    def rows(self) -> int:
        """M."""
        return len(self.prompts) * self.seeds

    def wording(self, prompt: int) -> int:
        return (4 * self.recipe.seed + SEEDS["measuring"]) * 10_000_000 + prompt

    def asked(self, row: int) -> tuple[int, int]:
        """The prompt and the seed of row 0 … M - 1."""
        return row % len(self.prompts), row // len(self.prompts)

    def noise(self, row: int) -> Tensor:
        """[1, 4, H, W]: the same for every point and every network."""
        generator = torch.Generator().manual_seed(self.wording(row))
        size = self.recipe.picture_size // 8
        return torch.randn(1, 4, size, size, generator=generator).to(self.machine.device)

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Features [B, 77, D] and pooled vectors [B, P]."""
        return self.text(tokenize(prompts).to(self.machine.device))

    @torch.no_grad()
    def draw(
        self, features: Tensor, pooled: Tensor, noise: Tensor, change: AbstractContextManager | None = None
    ) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1]; `change` is what a method does to the UNet while they are drawn."""
        steps, guidance = self.recipe.sampler_steps, self.recipe.guidance
        empty = self.encode([""])
        with self.machine.autocast(), change or nullcontext():
            latents = sample(self.unet, (features, pooled), empty, noise, steps, guidance)
            return decode(self.autoencoder, latents).float()


# --- what rows of pictures are drawn from ----------------------------------------------------------------------------

Drawn = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, AbstractContextManager]
"""For `Bench.draw`: features [R * G, 77, D], pooled vectors [R * G, P] and, if there is one, a change of the UNet."""
Source = Callable[[Bench, range], Drawn]


def network_source(path: Path) -> Source:
    """The plain prompts' features through an emotion network, their pooled vectors as they are."""
    network = load_network(path)

    @torch.no_grad()
    def features(bench: Bench, rows: range) -> tuple[Tensor, Tensor]:
        network.to(bench.machine.device)
        plain, pooled = bench.encode([bench.prompts[bench.asked(row)[0]] for row in rows])
        valence, arousal = torch.from_numpy(GRID).to(plain.device).T.repeat(1, len(rows))
        changed = network(plain.repeat_interleave(len(GRID), 0), valence, arousal)
        return changed, pooled.repeat_interleave(len(GRID), 0)

    return features


def baseline_source(path: Path) -> Source:
    """The plain prompts through one of the paper's baselines (emoticrafter/baselines.py), fitted to this generator."""
    baseline = load_baseline(path)

    def drawn(bench: Bench, rows: range) -> Drawn:
        at = torch.from_numpy(GRID).to(bench.machine.device).T.repeat(1, len(rows))
        prompts = [bench.prompts[bench.asked(row)[0]] for row in rows for _ in GRID]
        return conditioning(bench.unet, bench.text, baseline.to(bench.machine.device), prompts, *at)

    return drawn


def caption_source(bench: Bench, rows: range) -> tuple[Tensor, Tensor]:
    """The emotional captions that the painter's world has for the points."""
    prompts = [
        emotional_caption(bench.scenes[bench.asked(row)[0]], float(v), float(a), bench.wording(row))
        for row in rows
        for v, a in GRID
    ]
    return bench.encode(prompts)


def plain_source(bench: Bench, rows: range) -> tuple[Tensor, Tensor]:
    """One picture for each plain prompt."""
    return bench.encode([bench.prompts[bench.asked(row)[0]] for row in rows])


def read_rows(bench: Bench, source: Source, path: Path, points: int, at_once: int) -> np.ndarray:
    """Draws and reads M rows of pictures: float32 [M, points, len(READ)], kept in a file."""

    def produce(ranges: list[range]) -> Iterator[np.ndarray]:
        for rows in ranges:
            noise = torch.cat([bench.noise(row) for row in rows]).repeat_interleave(points, 0)
            features, pooled, *change = source(bench, rows)
            pictures = bench.draw(features, pooled, noise, *change)
            yield _read(bench, pictures).reshape(len(rows), points, len(READ))

    return fill(path, (bench.rows, points, len(READ)), "float32", produce, at_once)


@torch.no_grad()
def _read(bench: Bench, pictures: Tensor) -> np.ndarray:
    emotion = bench.emotion_reader(pictures)
    subject = split_scores(bench.content_reader(pictures))[0].argmax(1).float()
    steps = [_steps(bench, pictures, axis) for axis in ("valence", "arousal")]
    return torch.stack([*emotion.T, subject, *steps], dim=1).cpu().numpy()


def _steps(bench: Bench, pictures: Tensor, axis: str) -> Tensor:
    """The distance of every picture to the next one along an axis, [B]; NaN where there is none."""
    stride = 1 if axis == "valence" else SIDE
    found = torch.full((len(pictures),), torch.nan, device=pictures.device)
    point = torch.arange(len(pictures), device=pictures.device) % len(GRID)
    last = point % SIDE == SIDE - 1 if axis == "valence" else point >= len(GRID) - SIDE
    if len(pictures) % len(GRID) == 0:
        here = (~last).nonzero()[:, 0]
        found[here] = distance(bench.emotion_reader, pictures[here], pictures[here + stride])
    return found


# --- figures ---------------------------------------------------------------------------------------------------------


def figures(bench: Bench, read: np.ndarray) -> dict[str, float]:
    """The figures of one row of the table.

    Args:
        bench: What was asked.
        read: [M, G, len(READ)] from `read_rows`, or [M, 1, len(READ)] for one picture at all points.
    """
    subjects = np.array(
        [SUBJECTS.index(bench.scenes[bench.asked(row)[0]].subject) for row in range(len(read))]
    )
    found = {"subject right": float((read[:, :, 2] == subjects[:, None]).mean())}
    whole = np.broadcast_to(read, (len(read), len(GRID), len(READ)))
    for number, axis in enumerate(("valence", "arousal")):
        asked, got = np.broadcast_to(GRID[:, number], whole.shape[:2]), whole[:, :, number]
        found |= {f"{axis} {name}": value for name, value in agreement(asked, got).items()}
        if read.shape[1] == len(GRID):
            cells = got.reshape(-1, SIDE, SIDE)  # [M, arousal, valence]
            found[f"{axis} jump"] = float(np.abs(np.diff(cells, axis=2 - number)).max())
            found[f"{axis} distance"] = float(np.nanmean(read[:, :, 3 + number]))
            found[f"{axis} largest distance"] = float(np.nanmax(read[:, :, 3 + number]))
    return found


def find_networks(out: Path, files: list[Path] | None = None) -> dict[str, Path]:
    """Network files by the names that they have in the table: the given ones, or a run's of the default settings.

    Raises:
        FileNotFoundError: There is none, or a given one is not there.
        ValueError: A given one is no emotion network, and no baseline.
    """
    for path in files or ():
        if not is_baseline(path):
            read_metadata(path)
    found = files or sorted(out.glob("emotion/default-*/network.safetensors"))
    if not found:
        raise FileNotFoundError(
            f"{out}/emotion holds no default network: train it first, or give --networks."
        )
    return {path.parent.name if path.name == "network.safetensors" else path.stem: path for path in found}


def measure(out: Path, bench: Bench, networks: dict[str, Path], at_once: int) -> dict[str, dict[str, float]]:
    """The table's rows by name; networks come in the order given, after them what they are compared with.

    All prompts are pooled in a figure, so tau and slope also hold what differs between prompts; trainer.tables computes
    them for each prompt and averages.
    """
    folder = out / "measured"
    what = f"{len(bench.prompts)}x{bench.seeds}"
    # A reading depends on what drew the picture and on what read it.
    parts = (
        out / "generator" / "unet" / "diffusion_pytorch_model.safetensors",
        out / "autoencoder" / "diffusion_pytorch_model.safetensors",
        out / "readers" / "emotion.safetensors",
        out / "readers" / "content.safetensors",
    )
    generator = "-".join(file_sha256(part)[:8] for part in parts)
    rows = {}
    for name, path in networks.items():
        print(name, flush=True)
        kept = folder / f"{name}-{file_sha256(path)[:8]}-{generator}-{what}.npy"
        source = baseline_source(path) if is_baseline(path) else network_source(path)
        rows[name] = figures(bench, read_rows(bench, source, kept, len(GRID), at_once))
    kept = folder / f"emotional-captions-{generator}-{what}.npy"
    rows["emotional captions"] = figures(bench, read_rows(bench, caption_source, kept, len(GRID), at_once))
    kept = folder / f"plain-prompts-{generator}-{what}.npy"
    rows["plain prompts"] = figures(bench, read_rows(bench, plain_source, kept, 1, at_once))
    zero = np.zeros((bench.rows, 1, len(READ)), np.float32)
    rows["always 0"] = figures(bench, zero) | {"subject right": float("nan")}
    return rows
