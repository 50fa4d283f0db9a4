"""The painted pictures: planned from a seed, painted once by all processors, kept in the run's folder.

A set is fully described by its plan and stored as one uint8 array [N, 128, 128, 3]. An interrupted set goes on where
it stopped. This module is what painting processes load, so it stays clear of diffusers and transformers.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from tqdm import tqdm

from emoticrafter.files import naming, write_text
from trainer.core.processes import begin_worker
from trainer.miniature.recipe import Recipe
from trainer.world.painter import paint
from trainer.world.scene import Scene, Split, sample_scenes

PART = 256  # pictures between two notes of how far a file is
SEEDS = {"training": 0, "readers": 1, "pairs": 2, "measuring": 3}


@dataclass(frozen=True)
class Plan:
    """N pictures to be painted.

    Attributes:
        scenes: Their content, N of them.
        valence: float32 [N] in [-3, 3].
        arousal: float32 [N] in [-3, 3].
        neutral: bool [N], whether the caption names no feeling.
        first_seed: Of the first picture; the others count up from it.
    """

    scenes: list[Scene]
    valence: np.ndarray
    arousal: np.ndarray
    neutral: np.ndarray
    first_seed: int

    def __len__(self) -> int:
        return len(self.scenes)

    def seed(self, index: int) -> int:
        return self.first_seed + index

    def first(self, count: int) -> "Plan":
        """The first pictures alone."""
        parts = (part[:count] for part in (self.scenes, self.valence, self.arousal, self.neutral))
        return Plan(*parts, self.first_seed)

    def pictures(self, rows: range | None = None) -> Iterator[tuple[Scene, float, float, int]]:
        """Scene, valence, arousal and seed of each picture, or of these."""
        for row in range(len(self)) if rows is None else rows:
            yield self.scenes[row], float(self.valence[row]), float(self.arousal[row]), self.seed(row)


def make_plan(name: str, count: int, recipe: Recipe, split: Split = "train", neutral: float = 0.0) -> Plan:
    """Draws what to paint; sets of different names have no picture in common.

    Args:
        name: A key of SEEDS.
        count: Pictures.
        recipe: For its seed and the spread of neutral pictures.
        split: Which scenes.
        neutral: The share of neutral pictures, whose valence and arousal are near 0 instead of anywhere.
    """
    random = np.random.default_rng((recipe.seed, SEEDS[name]))
    emotions = random.uniform(-3, 3, (2, count))
    calm = np.clip(random.normal(0, recipe.neutral_spread, (2, count)), -3, 3)
    is_neutral = random.random(count) < neutral
    valence, arousal = np.where(is_neutral, calm, emotions).astype(np.float32)
    scenes = sample_scenes(count, int(random.integers(2**31)), split)
    return Plan(scenes, valence, arousal, is_neutral, (4 * recipe.seed + SEEDS[name]) * 10_000_000)


def measuring_seed(recipe: Recipe, number: int, seed: int) -> int:
    """The painter's seed for a held-out prompt of this number and a picture seed: of no picture of a plan."""
    return (4 * recipe.seed + SEEDS["measuring"]) * 10_000_000 + 1000 * seed + number


# --- files that fill up part by part ---------------------------------------------------------------------------------


def fill(
    path: Path,
    shape: tuple[int, ...],
    dtype: str,
    produce: Callable[[list[range]], Iterable[np.ndarray]],
    part: int = PART,
) -> np.ndarray:
    """Fills an array on disk part by part, from where an earlier run stopped.

    Args:
        path: The .npy file; it exists under this name only when it is whole.
        shape: Of the array; the first axis is filled in order.
        dtype: Of the array.
        produce: Gives the parts for ranges of the first axis, in their order.
        part: Entries of the first axis in a part.

    Returns:
        The array, mapped from the file and read-only.

    Raises:
        OSError: The disk is full.
        ValueError: The file is there, but damaged or of another shape.
    """
    if not path.exists():
        partial_path, note = path.with_suffix(".partial"), path.with_suffix(".progress")
        path.parent.mkdir(parents=True, exist_ok=True)
        done = int(note.read_text()) if note.exists() and partial_path.exists() else 0
        if done:
            array = filled(partial_path, shape, dtype, "r+")
        else:
            with naming(partial_path):
                array = open_memmap(partial_path, "w+", dtype=dtype, shape=shape)
            _reserve(partial_path)
        ranges = [range(start, min(start + part, shape[0])) for start in range(done, shape[0], part)]
        with tqdm(total=shape[0], initial=done, desc=path.stem, mininterval=2) as bar:
            for rows, values in zip(ranges, produce(ranges), strict=True):
                array[rows.start : rows.stop] = values
                with naming(partial_path):
                    array.flush()
                write_text(note, str(rows.stop))
                bar.update(len(rows))
        del array
        partial_path.replace(path)
        note.unlink(missing_ok=True)
    return filled(path, shape, dtype)


def filled(path: Path, shape: tuple[int, ...], dtype: str, mode: Literal["r", "r+"] = "r") -> np.ndarray:
    """Maps what `fill` wrote.

    Raises:
        ValueError: The file is damaged, or of another shape.
    """
    try:
        array = np.load(path, mmap_mode=mode)
    except (ValueError, EOFError) as error:  # numpy's own text advises to load pickled objects
        raise ValueError(f"{path} is damaged: delete it, and run the same command again to make it anew.") from error
    if (array.shape, array.dtype) != (shape, np.dtype(dtype)):
        raise ValueError(
            f"{path} holds {array.dtype} of {list(array.shape)}, expected {dtype} of {list(shape)}: it belongs to "
            "something else. Choose another folder, or delete it to make it anew."
        )
    return array


def _reserve(path: Path) -> None:
    """Takes a new file's whole space: on a full disk, writing to a mapped file ends the process without a word.

    Raises:
        OSError: The disk has less space.
    """
    if not hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        return
    size = path.stat().st_size
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        path.unlink()
        raise OSError(error.errno, f"{error.strerror} for {size / 1e6:,.1f} MB", str(path)) from error


# --- pictures --------------------------------------------------------------------------------------------------------


def paint_set(plan: Plan, path: Path, size: int, processes: int | None = None) -> np.ndarray:
    """Paints a plan into a file, on all processors: uint8 [N, size, size, 3]."""
    count = processes or os.cpu_count() or 1

    def produce(ranges: list[range]) -> Iterator[np.ndarray]:
        if count == 1 or len(ranges) == 1:
            yield from (paint_part(plan, size, rows) for rows in ranges)
            return
        context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads half
        with ProcessPoolExecutor(count, context, initializer=_begin_painting) as pool:
            yield from pool.map(partial(paint_part, plan, size), ranges)

    return fill(path, (len(plan), size, size, 3), "uint8", produce)


def _begin_painting() -> None:
    cv2.setNumThreads(1)
    begin_worker()


def paint_part(plan: Plan, size: int, rows: range) -> np.ndarray:
    return np.stack([paint(scene, *at, seed, size) for scene, *at, seed in plan.pictures(rows)])
