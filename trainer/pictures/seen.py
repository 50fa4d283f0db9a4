"""The third teacher: a reader that looks at what the network makes a guided sampler draw, and judges nothing elsewhere.

Pictures are drawn as a user draws them, from noise and under guidance, in fewer steps. What the reader sees in them is
to be what it sees in true pictures of the same valence and arousal, so nothing is rewarded for going further than the
truth. The gradient goes back through the last steps (cut as in DRaFT-K, Clark et al. 2024, arXiv 2309.17400).

Shapes: B batch; latents are [B, 4, H, W], pictures [B, 3, 8 H, 8 W].
"""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from emoticrafter.files import file_sha256
from emoticrafter.research.readers import Reader
from trainer.core.device import Machine
from trainer.miniature.models import as_floats, decode
from trainer.miniature.pipeline import Run
from trainer.miniature.readers import Sight
from trainer.pictures.models import Model, Noise, Text
from trainer.world.scene import VA_RANGE

STEPS = 10
LEARNED = 6
"""The last steps, through which the gradient goes."""
WIDER = 1.2
"""Values are spread this much and cut at the plane's edge, where few pictures lie and much is asked."""
DEGREE = 3
READ_AT_ONCE = 64


@dataclass
class Watcher:
    """A reader, what it looks through, and what it is to see.

    Attributes:
        reader: Pictures to valence and arousal.
        autoencoder: Latents to pictures.
        truth: Coefficients of `terms`, [N, 2]: what the reader sees in true pictures.
        guidance: That pictures are drawn under.
        fingerprint: sha256 of the reader's file.
    """

    reader: Reader
    autoencoder: AutoencoderTiny
    truth: Tensor
    guidance: float
    fingerprint: str

    def wanted(self, valence: Tensor, arousal: Tensor) -> Tensor:
        """What the reader sees in true pictures of these values, [B] each, as [B, 2]."""
        # not as a matrix product, which autocast would round
        return (terms(valence, arousal)[:, :, None] * self.truth).sum(1)

    def seen(self, latents: Tensor) -> Tensor:
        """What the reader sees in pictures, [B, 2]."""
        return self.reader(decode(self.autoencoder, latents).float()).float()


def watcher_of(run: Run) -> Watcher:
    """The watcher of a run of either miniature, whose reader is trained if it is not there."""
    reader, sight = run.teaching_reader()
    device = run.machine.device
    return Watcher(
        reader.to(device),
        run.trained_autoencoder().to(device, memory_format=torch.channels_last),
        truth_of(reader, sight, run.machine).to(device),
        run.recipe.guidance,
        file_sha256(run.teacher_path),
    )


def truth_of(reader: Reader, sight: Sight, machine: Machine) -> Tensor:
    """Least squares of what a reader sees in true pictures that went through the autoencoder; as in `Watcher`."""
    batches = range(0, len(sight.returned), READ_AT_ONCE)
    with torch.no_grad():
        pictures = (as_floats(sight.returned[at : at + READ_AT_ONCE], machine.device) for at in batches)
        seen = torch.cat([reader(batch) for batch in pictures])
    valence, arousal = sight.emotion[::2].to(seen).T
    # gelsd: the other drivers need more pictures than terms
    return torch.linalg.lstsq(terms(valence, arousal).cpu(), seen.cpu(), driver="gelsd").solution


def terms(valence: Tensor, arousal: Tensor) -> Tensor:
    """Products of powers, from [B] each: [B, N]."""
    powers = range(DEGREE + 1)
    return torch.stack([(valence / VA_RANGE) ** v * (arousal / VA_RANGE) ** a for v in powers for a in powers], dim=1)


def widened(values: Tensor) -> Tensor:
    """Values of the plane, more of which lie at its edge."""
    return (WIDER * values).clamp(-VA_RANGE, VA_RANGE)


def drawn(model: Model, text: Text, noise: Tensor, guidance: float) -> Tensor:
    """Latents of pictures, from noise, with a gradient to the text: Euler's steps under guidance, [B, 4, H, W]."""
    nothing, levels = model.read([""] * len(noise)), model.levels(STEPS)
    following = zip([*levels.alpha[1:], 1.0], [*levels.sigma[1:], 0.0], strict=True)
    latents = noise
    for step, (alpha, sigma) in enumerate(following):
        at = Noise(*(of[step].expand(len(noise)) for of in levels))
        with torch.set_grad_enabled(torch.is_grad_enabled() and step >= STEPS - LEARNED):
            # v = u + w (v - u)
            moved, plain = model.velocity(latents, at, text), model.velocity(latents, at, nothing)
            picture, rest = model.apart(latents, at, plain + guidance * (moved - plain))
            # the same picture and noise at the next level
            latents = alpha * picture + sigma * rest
    return latents
