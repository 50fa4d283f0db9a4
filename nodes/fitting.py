"""The library's fits as a node drives them: progress, time left, a curve; stopped at any moment, they go on later."""

import copy
import errno
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import comfy.model_management
import folder_paths
import torch
from PIL import Image

from ..emoticrafter import EmotionNetwork
from ..emoticrafter.field import EmotionField
from ..emoticrafter.figures.curve import draw_curve
from ..emoticrafter.fit.instant import Encoder, InstantFit
from ..emoticrafter.fit.network import SIZES, STEPS, WARMUP, EncodedPairs, NetworkFit
from ..emoticrafter.fit.pairs import Pair
from .distilling import STEPS as LEARNING_STEPS
from .distilling import Distillation, encode_lessons
from .progress import Shown

MOST_BYTES = 4 << 30
"""Of encoded pairs on disk: where a pair takes megabytes, a network learns from the first that fit."""
LOOK = 20
"""Steps between two looks at the scenes held out."""
FIT_BYTES = 2 << 30
"""What a network, its gradients and a batch are expected to take; ComfyUI unloads models for it."""

T = TypeVar("T")


class Teacher(NamedTuple):
    """A MODEL, and a LATENT of the size that it draws in."""

    model: object
    latent: dict


_kept: dict[str, tuple[str, object]] = {}
"""The last of each kind (field, pairs, network, learning from a model), each with the inputs that it depends on."""


def fit_field(encoder: Encoder, pairs: list[Pair], key: str, node_id: str) -> EmotionField:
    """Fits a field, going on where the same key was interrupted.

    Raises:
        InterruptProcessingException: The user stopped it.
        ValueError: As `InstantFit.add`.
    """
    fit = _recall("field", key, lambda: InstantFit(encoder))
    with _reading(fit, encoder):
        _encode(fit, pairs, node_id)
        return fit.field()


def fit_network(
    encoder: Encoder, pairs: list[Pair], key: str, size: str, seed: int, minutes: float, node_id: str
) -> tuple[EmotionNetwork, dict]:
    """Fits a network, going on where the same key, size and seed were interrupted; encoded pairs are used again.

    Args:
        encoder: Of the CLIP.
        pairs: What it learns from.
        key: Tells encoder and pairs from others.
        size: A name of SIZES.
        seed: Of weights and batches.
        minutes: Learning ends by then, with fewer steps; 0 for no limit.
        node_id: Gets progress.

    Returns:
        The network, and what is to be told of the fit.

    Raises:
        InterruptProcessingException: The user stopped it.
        OSError: The disk is full.
        ValueError: As `InstantFit.add` and `NetworkFit.advance`.
        OOM_EXCEPTION: Even one pair at a time takes more memory than there is.
    """
    encoded = _recall("pairs", key, lambda: _new_pairs(encoder))
    with _reading(encoded.instant, encoder):
        _encode(encoded, pairs, node_id)
        # ComfyUI runs nodes in inference mode, which knows no gradients
        with torch.inference_mode(False), torch.enable_grad():
            fit = _recall("network", f"{key} {size} {seed}", lambda: _begin(encoded, size, seed))
            try:
                told = _learn(fit, minutes, node_id)
            except ValueError:
                _kept.pop("network")  # it cannot go on
                raise
            # a copy: should it not be saved, the fit is still whole on its device
            return copy.deepcopy(fit.network).cpu(), {"encoded_pairs": encoded.pairs, **told}


def first_stage(key: str, fit: Callable[[], T]) -> T:
    """What `fit` gives before it learns on; a run that was stopped later finds it again under the same key."""
    return _recall("fitted", key, fit)


def learn_on(
    fitted: EmotionNetwork | EmotionField,
    teacher: Teacher,
    clip,
    pairs: list[Pair],
    key: str,
    seed: int,
    minutes: float,
    node_id: str,
) -> tuple[EmotionNetwork | EmotionField, dict]:
    """Lets what was fitted learn on through a model, going on where the same key was interrupted.

    Args:
        fitted: To the clip; it stays as it is.
        teacher: The model, and the size that it draws in.
        clip: Of the model.
        pairs: Some of them teach.
        key: Tells everything that this depends on from others.
        seed: Of pairs and noise.
        minutes: It ends by then, with fewer steps; 0 for no limit.
        node_id: Gets progress.

    Returns:
        The network or field, and what is to be told of it.

    Raises:
        InterruptProcessingException: The user stopped it.
        ValueError: As `Distillation.learn`.
        OOM_EXCEPTION: The model with its gradients takes more memory than there is.
    """

    def begin() -> Distillation:
        shown = Shown(node_id, "prompts", 0, 1)
        return Distillation(fitted, encode_lessons(clip, pairs, seed, shown.advance), seed)

    # ComfyUI runs nodes in inference mode, which knows no gradients
    with torch.inference_mode(False), torch.enable_grad():
        learning = _recall("learning", key, begin)
        fit = learning.fit
        fit.schedule = replace(fit.schedule, steps=max(fit.step, LEARNING_STEPS))
        shown = Shown(node_id, "steps", fit.step, fit.schedule.steps)
        limit = None

        def each(_loss: float) -> None:
            nonlocal limit
            limit = limit or _Limit(minutes, fit.step)  # the first step comes after the model is loaded and measured
            fit.schedule = replace(fit.schedule, steps=limit.shorten(fit.step, fit.schedule.steps))
            shown.advance(fit.step, fit.schedule.steps)

        try:
            distances = learning.learn(teacher.model, teacher.latent, each)
        except ValueError:
            _kept.pop("learning")  # it cannot go on
            raise
        if distances:
            shown.say(
                f"distance from the model's pictures of the words, plain 100 %: before {distances['before']:.0%}, "
                f"now {distances['after']:.0%}"
            )
        return copy.deepcopy(learning.network).cpu(), {"steps": fit.step, "distance": distances}


def forget() -> None:
    """Lets go of what is fitted, once it is saved; encoded pairs stay for the next fit."""
    for kind in ("field", "network", "fitted", "learning"):
        _kept.pop(kind, None)


# ---- what stays between two runs ----


def _recall(kind: str, key: str, make: Callable[[], object]):
    """The last of its kind if it was made under the same key, else a new one, which is kept in its place."""
    known, found = _kept.get(kind, (None, None))
    if known != key:
        _kept.pop(kind, None)  # before another takes memory
        found = make()
        _kept[kind] = key, found
    return found


@contextmanager
def _reading(fit: InstantFit, encoder: Encoder) -> Iterator[None]:
    """Lends a fit its encoder, whose CLIP may have gigabytes, for as long as it works."""
    fit.encoder = encoder
    try:
        yield
    finally:
        fit.encoder = None


def _new_pairs(encoder: Encoder) -> EncodedPairs:
    _kept.pop("network", None)  # it learns from the pairs that go, and would hold them on disk
    return EncodedPairs(encoder, _temporary_file())


def _temporary_file():
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)  # people empty it while ComfyUI runs
    return tempfile.TemporaryFile(dir=folder)


# ---- the work ----


def _encode(fit: InstantFit | EncodedPairs, pairs: list[Pair], node_id: str) -> None:
    """Encodes the pairs that a fit does not know yet, as far as the disk may hold them."""
    shown = Shown(node_id, "pairs", fit.pairs, len(pairs))
    for pair in pairs[fit.pairs :]:
        if isinstance(fit, EncodedPairs) and fit.nbytes >= MOST_BYTES:
            break
        with _telling_of_a_full_disk(fit.pairs, len(pairs)):
            fit.add(pair)
        shown.advance(fit.pairs)
    shown.say(f"{fit.pairs:,} pairs")


@contextmanager
def _telling_of_a_full_disk(done: int, total: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            f"The disk of ComfyUI's temporary folder, {folder_paths.get_temp_directory()}, is full after {done:,} of "
            f"{total:,} encoded pairs: free some of it and run again, which goes on from there, or give ComfyUI "
            "another folder with --temp-directory.",
        ) from error


def _begin(encoded: EncodedPairs, size: str, seed: int) -> NetworkFit:
    device = comfy.model_management.get_torch_device()
    comfy.model_management.free_memory(FIT_BYTES, device)
    bfloat16 = device.type == "cuda" and comfy.model_management.should_use_bf16(device)
    return NetworkFit(encoded, SIZES[size], seed=seed, device=device, bfloat16=bfloat16)


def _learn(fit: NetworkFit, minutes: float, node_id: str) -> dict:
    """Takes the steps that are left; gives what is to be told of them."""
    fit.steps = max(fit.step, STEPS)  # an interrupted run may have had fewer minutes
    shown = Shown(node_id, "steps", fit.step, fit.steps)
    least, curve = _held_out_loss(fit, fit.network.field), _Curve()
    limit, held_out = _Limit(minutes, fit.step), None
    while fit.step < fit.steps:
        loss = _in_smaller_parts(fit, fit.advance)
        fit.steps = limit.shorten(fit.step, fit.steps)
        looks = fit.step % LOOK == 0 or fit.step == fit.steps
        held_out = _held_out_loss(fit, fit.network) if looks else None
        shown.advance(fit.step, fit.steps, curve.add(fit.step, loss, held_out, least, fit.steps))
    if not least > 0:  # few pairs: none of their scenes is held out, or none that a mood changes
        shown.say("no scene is held out to measure the network by")
        return {"steps": fit.steps}
    if held_out is None:  # stopped after its last step
        held_out = _held_out_loss(fit, fit.network)
    shown.say(f"{held_out / least:.0%} of the instant method's error on scenes held out")
    return {"steps": fit.steps, "held_out_loss": {"network": held_out, "instant": least}}


def _held_out_loss(fit: NetworkFit, network: EmotionNetwork | EmotionField) -> float:
    return _in_smaller_parts(fit, lambda: fit.held_out_loss(network))


def _in_smaller_parts(fit: NetworkFit, work: Callable[[], T]) -> T:
    """What some work of a fit gives, with fewer pairs at once where memory ends."""
    while True:
        try:
            return work()
        except comfy.model_management.OOM_EXCEPTION:
            if fit.at_once == 1:
                raise
            fit.at_once //= 2
            comfy.model_management.soft_empty_cache(True)


class _Limit:
    """The minutes that a fit may take from now on, 0 for any number."""

    def __init__(self, minutes: float, step: int):
        self._seconds, self._first, self._began = 60 * minutes, step, time.monotonic()

    def shorten(self, step: int, steps: int) -> int:
        """The steps of the whole fit, fewer where they would take longer; once it has warmed up, or is over."""
        spent, done = time.monotonic() - self._began, step - self._first
        if self._seconds and (done == WARMUP or spent > self._seconds):
            return min(steps, max(step, self._first + int(self._seconds / spent * done)))
        return steps


class _Curve:
    """The losses so far, drawn when the scenes held out were looked at."""

    def __init__(self):
        self._recent, self._learned, self._held_out = [], [], []

    def add(self, step: int, loss: float, held_out: float | None, least: float, steps: int) -> Image.Image | None:
        self._recent.append(loss)
        if held_out is None or not math.isfinite(held_out) or not least > 0:
            return None
        self._learned.append((step, sum(self._recent) / len(self._recent)))
        self._held_out.append((step, held_out))
        self._recent = []
        return draw_curve(self._learned, self._held_out, least, steps)
