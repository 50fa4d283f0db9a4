"""Lets a fitted network learn on through the MODEL that paints: no pictures and no labels are needed.

A picture is drawn from noise under a prompt with the mood in its words. At each of its steps the model says where the
noisy picture moves; under the plain prompt with the network's emotion it is to move to the same place. So what teaches
is the model itself, where a mood meets each scene, and only the network learns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import comfy.model_management
import comfy.sample
import comfy.samplers
import torch
from comfy.model_sampling import CONST
from torch import Tensor

from ..emoticrafter import EmotionNetwork
from ..emoticrafter.conditioning import Conditioning, inject_emotion
from ..emoticrafter.field import EmotionField
from ..emoticrafter.fit.loop import Fit, Schedule, step_random
from ..emoticrafter.fit.network import learnable
from ..emoticrafter.fit.pairs import Pair

Network = EmotionNetwork | EmotionField

STEPS, BATCH, RATE, AVERAGE = 300, 8, 5e-4, 0.98
WALK = 10
"""Steps from noise to a picture."""
MOST_BYTES = 1 << 30
"""Of encoded prompts in memory: where a prompt takes megabytes, fewer pairs teach."""
FEWEST, MOST = 32, 512
"""Pairs that teach, as far as there are so many."""


@dataclass
class Lesson:
    """A pair, as the model is told it."""

    plain: Conditioning
    emotional: Conditioning
    valence: float
    arousal: float


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
        lessons.append(Lesson(*(_encoded(clip, text) for text in (plain, emotional)), *at))
        if len(lessons) == 1:
            most = min(most, max(FEWEST, MOST_BYTES // _bytes(lessons[0])))
        each(len(lessons), most)
    return lessons


def _encoded(clip, text: str) -> Conditioning:
    return _on_the_processor(clip.encode_from_tokens_scheduled(clip.tokenize(text)))


def _on_the_processor(told):
    """A conditioning whose tensors are copies that gradients may pass: those of inference mode cannot be saved."""
    if isinstance(told, Tensor):
        return told.cpu().clone()
    if isinstance(told, (list, tuple)):
        return [_on_the_processor(part) for part in told]
    if isinstance(told, dict):
        return {key: _on_the_processor(part) for key, part in told.items()}
    return told


def _bytes(lesson: Lesson) -> int:
    return sum(features.nbytes for told in (lesson.plain, lesson.emotional) for features, _ in told)


class Distillation:
    """A network that is learning through a model. Between two calls of `learn` it may rest as long as it likes.

    Attributes:
        fit: Its training loop.
    """

    def __init__(self, network: Network, lessons: list[Lesson], seed: int):
        """
        Args:
            network: Fitted to the model's CLIP; it stays as it is.
            lessons: What teaches.
            seed: Of noise and order.
        """
        schedule = Schedule(STEPS, RATE, warmup=STEPS // 20, cosine=True, clip_norm=1.0, ema=AVERAGE, seed=seed)
        device = comfy.model_management.get_torch_device()
        self.fit = Fit(learnable(network).to(device), schedule)
        self.lessons, self.seed = lessons, seed

    @property
    def network(self) -> Network:
        """The network so far: the moving average of its weights."""
        return self.fit.result

    def learn(self, model, latent: dict, each: Callable[[int, int, float], None]) -> None:
        """Takes the steps that are left.

        Args:
            model: A MODEL.
            latent: A LATENT of the size that pictures are drawn in.
            each: Called after each step with the steps done, their number, and the loss; it may raise to stop.

        Raises:
            ValueError: The loss is NaN or infinite.
        """
        empty = comfy.sample.fix_empty_latent_channels(model, latent["samples"])[:1].clone()
        guider = _Guider(model, self, each)
        guider.inner_set_conds({"positive": self.lessons[0].emotional})
        sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", WALK)
        # its noise only tells the shape
        guider.sample(torch.zeros_like(empty), torch.zeros_like(empty), None, sigmas, seed=self.seed, disable_pbar=True)


@dataclass
class _Walk:
    """A picture on its way from noise."""

    lesson: Lesson
    noisy: Tensor
    at: int


class _Guider(comfy.samplers.CFGGuider):
    """Has ComfyUI load and patch the model as for any sampling; instead of sampling, a network learns."""

    def __init__(self, model, distillation: Distillation, each: Callable[[int, int, float], None]):
        super().__init__(model)
        self._learning, self._each = distillation, each

    def inner_sample(self, noise, latent_image, device, sampler, sigmas, *_, **__):
        # everything made here has to be new: tensors of inference mode cannot be saved for a gradient
        self._empty, self._sigmas = noise.clone(), sigmas.clone()
        free_of_inference_mode(self.inner_model)
        fit, lessons = self._learning.fit, self._learning.lessons
        random = step_random(self._learning.seed, 1 + fit.step)
        # they begin at all stages, so that each step sees all noise levels
        walks = [self._begin(lessons, random, at=row * WALK // BATCH) for row in range(BATCH)]
        while fit.step < fit.schedule.steps:
            loss, _ = fit.advance(self._share, walks)
            if not torch.isfinite(loss):
                raise ValueError(
                    f"The loss of step {fit.step} is {loss.item()}, so the network cannot learn on from this model: "
                    "run without model, or with a model in another precision."
                )
            walks = [walk if walk.at < WALK else self._begin(lessons, random) for walk in walks]
            self._each(fit.step, fit.schedule.steps, loss.item())
        return self._empty

    def _begin(self, lessons: list[Lesson], random, at: int = 0) -> _Walk:
        lesson = lessons[random.integers(len(lessons))]
        generator = torch.Generator().manual_seed(int(random.integers(2**31)))
        noise = torch.randn(self._empty.shape, generator=generator).to(self._empty)
        walk = _Walk(lesson, self._sampling.noise_scaling(self._sigmas[0], noise, self._empty, True), 0)
        with torch.no_grad():
            for _ in range(at):
                self._move(walk, self._denoised(walk, lesson.emotional))
        return walk

    def _share(self, walk: _Walk) -> Tensor:
        """A walk's share of the loss, a scalar; the walk goes on by a step."""
        with torch.no_grad():
            wanted = self._denoised(walk, walk.lesson.emotional)
        network, lesson = self._learning.fit.module, walk.lesson
        emotion = network.encode(lesson.valence, lesson.arousal)
        found = self._denoised(walk, inject_emotion(lesson.plain, network, emotion))
        sigma = self._sigmas[walk.at]
        # an error of the picture is sigma times one of the velocity, or in units of diffusion sigma / sqrt(1 + sigma^2)
        unit = sigma**2 if isinstance(self._sampling, CONST) else sigma**2 / (1 + sigma**2)
        share = (found.float() - wanted.float()).square().mean() / unit / BATCH
        self._move(walk, wanted)
        return share

    def _move(self, walk: _Walk, denoised: Tensor) -> None:
        """Euler's step to the next noise level."""
        now, then = self._sigmas[walk.at], self._sigmas[walk.at + 1]
        walk.noisy = walk.noisy + (then - now) * (walk.noisy - denoised) / now
        walk.at += 1

    def _denoised(self, walk: _Walk, told: Conditioning) -> Tensor:
        """The picture that the model expects under a conditioning, [1, C, H, W]."""
        device = self._empty.device
        conds = {"positive": comfy.sampler_helpers.convert_cond(_on(told, device))}
        conds = comfy.samplers.process_conds(self.inner_model, walk.noisy, conds, device, self._empty)
        sigma = self._sigmas[walk.at].expand(1)
        return comfy.samplers.calc_cond_batch(
            self.inner_model, [conds["positive"]], walk.noisy, sigma, self.model_options
        )[0]

    @property
    def _sampling(self):
        return self.inner_model.model_sampling


def _on(told: Conditioning, device: torch.device) -> Conditioning:
    return [[features if features is None else features.to(device), extra] for features, extra in told]


def free_of_inference_mode(model: torch.nn.Module) -> None:
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
