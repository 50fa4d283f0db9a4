"""Lets a fitted network learn on through the MODEL that paints: no pictures and no labels are needed.

A picture is drawn from noise under a prompt with the mood in its words. At each of its steps the model says where the
noisy picture moves; under the plain prompt with the network's emotion it is to move to the same place. So what teaches
is the model itself, where a mood meets each scene, and only the network learns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import comfy.model_management
import comfy.sampler_helpers
import comfy.samplers
import numpy as np
import torch
from comfy.model_sampling import CONST
from torch import Tensor

from ..emoticrafter import EmotionNetwork
from ..emoticrafter.conditioning import Conditioning, inject_emotion
from ..emoticrafter.field import EmotionField
from ..emoticrafter.fit.loop import Fit, Schedule, step_random
from ..emoticrafter.fit.network import learnable
from ..emoticrafter.fit.pairs import Pair
from .pictures_at_points import fitted_latent

Network = EmotionNetwork | EmotionField

STEPS, BATCH, WARMUP, RATE, AVERAGE = 300, 8, 20, 5e-4, 0.98
WALK = 10
"""Steps from noise to a picture."""
MOST_BYTES = 1 << 30
"""Of encoded prompts in memory: where a prompt takes megabytes, fewer pairs teach."""
FEWEST, MOST = 32, 512
"""Pairs that teach, as far as there are so many."""
SMALL = 1 << 16
"""Elements of the weights that a model is known by."""
HELD_OUT = 4
"""Of their scenes, those that are not learned from."""


@dataclass
class Lesson:
    """A pair, as the model is told it."""

    scene: str
    """The plain prompt."""
    plain: Conditioning
    emotional: Conditioning
    valence: float
    arousal: float


@torch.no_grad()
def encode_lessons(clip, pairs: list[Pair], seed: int, each: Callable[[int, int], None]) -> list[Lesson]:
    """Some of the pairs, as CLIP Text Encode would encode them, on the processor.

    Args:
        clip: Of the model.
        pairs: To choose from.
        seed: Of the choice.
        each: Called with the pairs done and their number; it may raise to stop.
    """
    order = step_random(seed, 0).permutation(len(pairs))[:MOST]
    lessons, most = [], len(order)
    for row in order:
        if len(lessons) == most:
            break
        plain, emotional, *at = pairs[row]
        lessons.append(Lesson(plain, *(_encoded(clip, text) for text in (plain, emotional)), *at))
        if len(lessons) == 1:
            most = min(most, max(FEWEST, MOST_BYTES // _bytes(lessons[0])))
        each(len(lessons), most)
    return lessons


def _encoded(clip, text: str) -> Conditioning:
    return _on_the_processor(clip.encode_from_tokens_scheduled(clip.tokenize(text)))


def _on_the_processor(told):
    """A conditioning whose tensors are copies, in float32: gradients cannot pass those of inference mode."""
    if isinstance(told, Tensor):
        return told.to("cpu", torch.float32 if told.is_floating_point() else told.dtype, copy=True)
    if isinstance(told, (list, tuple)):
        return [_on_the_processor(part) for part in told]
    if isinstance(told, dict):
        return {key: _on_the_processor(part) for key, part in told.items()}
    return told


def _bytes(lesson: Lesson) -> int:
    return sum(features.nbytes for told in (lesson.plain, lesson.emotional) for features, _ in told)


def probe_model(model) -> list:
    """Tells a model and its patches from others: its class, and the sums of its small weights."""
    network = model.model.diffusion_model
    sums = [weight.float().abs().sum().item() for weight in network.parameters() if weight.numel() <= SMALL]
    patches = sum(abs(float(strength)) * _size(what) for some in model.patches.values() for strength, what, *_ in some)
    return [type(model.model).__name__, *(float(f"{number:.3g}") for number in (sum(sums), patches))]


def _size(patch) -> float:
    """Of all tensors in a patch: another LoRA has another."""
    if isinstance(patch, Tensor):
        return patch.float().abs().sum().item()
    parts = getattr(patch, "weights", patch)  # those of an adapter
    return sum(map(_size, parts)) if isinstance(parts, (tuple, list)) else 0.0


class Distillation:
    """A network that is learning through a model. Between two calls of `learn` it may rest as long as it likes.

    Attributes:
        fit: Its training loop.
    """

    def __init__(self, network: Network, lessons: list[Lesson], seed: int):
        """
        Args:
            network: Fitted to the model's CLIP; it stays as it is.
            lessons: What teaches; of many, the last ones are kept to measure by.
            seed: Of noise and order.
        """
        schedule = Schedule(STEPS, RATE, warmup=WARMUP, cosine=True, clip_norm=1.0, ema=AVERAGE, seed=seed)
        self.fit = Fit(learnable(network).to(comfy.model_management.get_torch_device()), schedule)
        self.lessons, self.held_out, self.seed = *_split(lessons), seed
        self.distances: dict[str, float] = {}

    @property
    def network(self) -> Network:
        """The network so far: the moving average of its weights."""
        return self.fit.result

    def learn(self, model, latent: dict, each: Callable[[float], None]) -> dict[str, float]:
        """Takes the steps that are left.

        Args:
            model: A MODEL.
            latent: A LATENT of the size that pictures are drawn in.
            each: Called after each step with its loss; it may shorten the schedule, or raise to stop.

        Returns:
            How far pairs that are not learned from move from where their emotional words move them, as a share of
            what the plain prompt does: "before" and "after". Empty with too few pairs.

        Raises:
            ValueError: The loss is NaN or infinite.
        """
        empty = fitted_latent(model, latent)[:1]
        guider = _Guider(model, self, each)
        guider.inner_set_conds({"positive": self.lessons[0].emotional})
        sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", WALK)
        nothing = torch.zeros(empty.shape)
        comfy.model_management.in_training = True  # the fused operators of newer ComfyUIs know no gradient
        try:
            guider.sample(nothing, nothing, None, sigmas, seed=self.seed, disable_pbar=True)
        finally:
            comfy.model_management.in_training = False
        plain = self.distances.get("plain")
        return {when: self.distances[when] / plain for when in ("before", "after")} if plain else {}


def _split(lessons: list[Lesson]) -> tuple[list[Lesson], list[Lesson]]:
    """What is learned from, and the last scenes to measure by, none of which is learned; none where there are few."""
    scenes = list(dict.fromkeys(lesson.scene for lesson in lessons))
    if len(scenes) <= 2 * HELD_OUT:
        return lessons, []
    kept = scenes[-HELD_OUT:]
    firsts = [next(lesson for lesson in lessons if lesson.scene == scene) for scene in kept]
    return [lesson for lesson in lessons if lesson.scene not in kept], firsts


@dataclass
class _Walk:
    """A picture on its way from noise."""

    lesson: Lesson
    noisy: Tensor
    at: int = 0
    """The steps that it has taken."""


class _Guider(comfy.samplers.CFGGuider):
    """Has ComfyUI load and patch the model as for any sampling; in place of sampling, a network learns."""

    def __init__(self, model, distillation: Distillation, each: Callable[[float], None]):
        super().__init__(model)
        self._learning, self._each = distillation, each

    def inner_sample(self, noise, latent_image, device, sampler, sigmas, *_, **__):
        self._empty, self._sigmas, self._sampling = noise, sigmas, self.inner_model.model_sampling
        make_differentiable(self.inner_model)
        learning, fit = self._learning, self._learning.fit
        if not learning.distances:
            plain = self._distance(lambda lesson: lesson.plain)
            learning.distances = {"plain": plain, "before": self._distance(self._steered_by(learning.network))}
        random = step_random(learning.seed, 1 + fit.step)
        # they begin at all stages, so that each step sees all noise levels
        walks = [self._begin(learning.lessons, random, at=row * WALK // BATCH) for row in range(BATCH)]
        while fit.step < fit.schedule.steps:
            # some of ComfyUI's models change in place what a gradient needs
            with torch.autograd.graph.allow_mutation_on_saved_tensors():
                loss, _ = fit.advance(self._share, walks)
            if not torch.isfinite(loss):
                raise ValueError(
                    f"The loss of step {fit.step} is {loss.item()}, so the network cannot learn from this model: run "
                    "without model, or load the model in another precision."
                )
            walks = [walk if walk.at < WALK else self._begin(learning.lessons, random) for walk in walks]
            self._each(loss.item())
        learning.distances["after"] = self._distance(self._steered_by(learning.network))
        return noise

    def _begin(self, lessons: list[Lesson], random: np.random.Generator, at: int = 0) -> _Walk:
        generator = torch.Generator().manual_seed(int(random.integers(2**31)))
        noise = torch.randn(self._empty.shape, generator=generator).to(self._empty)
        noisy = self._sampling.noise_scaling(self._sigmas[0], noise, self._empty, True)
        walk = _Walk(lessons[random.integers(len(lessons))], noisy)
        with torch.no_grad():
            for _ in range(at):
                self._move(walk, self._denoised(walk, walk.lesson.emotional))
        return walk

    def _share(self, walk: _Walk) -> Tensor:
        """A walk's share of a step's loss; the walk goes on."""
        told = self._steered_by(self._learning.fit.module)(walk.lesson)
        # through a model in half precision the gradient of a mean over the picture would be lost
        scale = self._empty.numel()
        for features, _extra in told:
            features.register_hook(lambda gradient: gradient / scale)
        error = self._error(walk, told) / BATCH
        return error.detach() + scale * (error - error.detach())

    @torch.no_grad()
    def _distance(self, told: Callable[[Lesson], Conditioning]) -> float:
        """The mean error of the lessons that are kept, at all stages."""
        random, total = step_random(self._learning.seed, 0), 0.0
        for lesson in self._learning.held_out:
            walk = self._begin([lesson], random)
            while walk.at < WALK:
                total += self._error(walk, told(lesson)).item()
        return total / WALK / max(1, len(self._learning.held_out))

    def _error(self, walk: _Walk, told: Conditioning) -> Tensor:
        """How far a conditioning moves a picture from where the emotional words do, a scalar; the walk goes on."""
        with torch.no_grad():
            wanted = self._denoised(walk, walk.lesson.emotional)
        sigma = self._sigmas[walk.at]
        # an error of the picture is sigma times one of the velocity, or in units of diffusion sigma / sqrt(1 + sigma^2)
        unit = sigma**2 if isinstance(self._sampling, CONST) else sigma**2 / (1 + sigma**2)
        error = (self._denoised(walk, told).float() - wanted.float()).square().mean() / unit
        self._move(walk, wanted)
        return error

    def _move(self, walk: _Walk, denoised: Tensor) -> None:
        """Euler's step to the next noise level."""
        now, then = self._sigmas[walk.at], self._sigmas[walk.at + 1]
        walk.noisy = walk.noisy + (then - now) * (walk.noisy - denoised) / now
        walk.at += 1

    def _denoised(self, walk: _Walk, told: Conditioning) -> Tensor:
        """The picture that the model expects under a conditioning, [1, C, ...]."""
        device = self._empty.device
        conds = {"positive": comfy.sampler_helpers.convert_cond(told)}
        conds = comfy.samplers.process_conds(self.inner_model, walk.noisy, conds, device, self._empty)
        sigma = self._sigmas[walk.at].expand(1)
        [denoised] = comfy.samplers.calc_cond_batch(
            self.inner_model, [conds["positive"]], walk.noisy, sigma, self.model_options
        )
        return denoised

    @staticmethod
    def _steered_by(network: Network) -> Callable[[Lesson], Conditioning]:
        return lambda lesson: inject_emotion(lesson.plain, network, network.encode(lesson.valence, lesson.arousal))


def make_differentiable(model: torch.nn.Module) -> None:
    """Lets gradients pass through a model whose weights ComfyUI has loaded in inference mode; no value changes."""
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None and weight.is_inference():
                module._parameters[name] = torch.nn.Parameter(weight.clone(), requires_grad=False)
            elif weight is not None:
                weight.requires_grad_(False)
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_inference():
                module._buffers[name] = buffer.clone()
