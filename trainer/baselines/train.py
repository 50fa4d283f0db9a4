"""Fits one baseline to a frozen base model: the denoising loss on pictures of known valence and arousal.

    python -m trainer.baselines train --method cross-attention --miniature runs/miniature \\
        --out runs/baselines/cross-attention-0 --seed 0

The prompts are neutral, so that all emotion has to come from the baseline. The loop is the miniature's
(trainer/runs/run.py): AdamW, a cosine, a moving average, a checkpoint every two minutes, exact resume.
The run's folder holds recipe.json and source.json (what it was begun with), metrics.jsonl, the checkpoint
last.safetensors, and in the end network.safetensors.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from emoticrafter.fit.loop import step_random
from emoticrafter.research.baselines import (
    Baseline,
    CrossAttention,
    CrossAttentionConfig,
    EncoderConfig,
    TextualInversion,
    TextualInversionConfig,
    TimeEmbedding,
    TimeEmbeddingConfig,
    baseline_training,
    is_baseline,
    save_baseline,
)
from trainer.baselines.patches import applied, attention_layers, inserted, prompt_tokens
from trainer.baselines.settings import TOKENS, Settings
from trainer.core.command_line import say
from trainer.core.device import Machine
from trainer.features.tokenizer import clip_tokenizer
from trainer.miniature.generator import denoising_loss, plain_attention
from trainer.miniature.recipe import keep
from trainer.pictures.base import Base
from trainer.pictures.rated import Pictures, keep_source
from trainer.runs.run import fit, small_schedule

# --- the start -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def make_baseline(settings: Settings, base: Base) -> Baseline:
    """A baseline of the base's sizes that changes nothing yet."""
    torch.manual_seed(settings.seed)
    tokens = settings.tokens or TOKENS[settings.method]
    encoder = EncoderConfig(tokens, settings.width, settings.hidden)
    if settings.method == CrossAttention.method:
        return _cross_attention(encoder, base)
    if settings.method == TimeEmbedding.method:
        return TimeEmbedding(TimeEmbeddingConfig(base.unet.time_embedding.linear_2.out_features, encoder))
    return _textual_inversion(encoder, settings, base)


def _cross_attention(encoder: EncoderConfig, base: Base) -> CrossAttention:
    """Keys and values begin as copies of the text's, as IP-Adapter's do; the tokens begin at 0."""
    layers = attention_layers(base.unet)
    width = base.unet.config.cross_attention_dim
    baseline = CrossAttention(CrossAttentionConfig(layers, width, encoder))
    for name, keys, values in zip(layers, baseline.keys.values(), baseline.values.values(), strict=True):
        text = base.unet.get_submodule(f"{name}.attn2")
        keys.weight.copy_(text.to_k.weight)
        values.weight.copy_(text.to_v.weight)
    return baseline


def _textual_inversion(encoder: EncoderConfig, settings: Settings, base: Base) -> TextualInversion:
    """Every learned word begins as one known word (Gal et al.: "a single-word coarse descriptor")."""
    tables = [one.get_input_embeddings().weight for one in (base.text.clip_l, base.text.clip_g)]
    widths = tuple(table.shape[1] for table in tables)
    baseline = TextualInversion(TextualInversionConfig(widths, settings.template, encoder))
    tokens = clip_tokenizer()(settings.word)["input_ids"][1:-1]
    if len(tokens) != 1:
        raise ValueError(f"word is {settings.word!r}: expected a word that is one token of CLIP, such as mood")
    for index, table in enumerate(tables):
        baseline.start[index].copy_(table[tokens].float().expand_as(baseline.start[index]))
        used = table.abs().sum(1) > 0  # the miniature's unseen words are 0
        baseline.scales[index] = table[used].float().std()
    return baseline


# --- the loss --------------------------------------------------------------------------------------------------------


def make_loss(
    settings: Settings, base: Base, pictures: Pictures, baseline: Baseline, device: torch.device
) -> Callable[[nn.Module, int], Tensor]:
    """The loss of a step, for `fit`: the baseline is all that has a gradient."""
    flat = [prompt for wordings in pictures.prompts for prompt in wordings]
    wordings = len(pictures.prompts[0])
    tokens, places = prompt_tokens(baseline, [*flat, ""])  # the empty prompt comes last
    tokens, places = tokens.int(), places.int()

    def loss(called: nn.Module, step: int) -> Tensor:
        random = step_random(settings.seed, step)
        rows = random.integers(len(pictures.latents), size=settings.batch)
        said = rows * wordings + random.integers(wordings, size=settings.batch)
        empty = random.random(settings.batch) < settings.empty_share
        said = torch.from_numpy(np.where(empty, len(flat), said))
        at = (torch.from_numpy(axis[rows]).to(device) for axis in (pictures.valence, pictures.arousal))
        effect = called(*at)
        latents = torch.from_numpy(pictures.latents[rows]).to(device).float()
        own_tokens, own_places = (part[said].long().to(device) for part in (tokens, places))
        learned = isinstance(baseline, TextualInversion)
        with plain_attention(device):
            with inserted(base.text, own_places, effect) if learned else torch.no_grad():
                features, pooled = base.text(own_tokens)
            with contextlib.nullcontext() if learned else applied(base.unet, effect):
                return denoising_loss(base.unet, base.schedule, latents, features, pooled, settings.snr_limit)

    return loss


def train(settings: Settings, base: Base, pictures: Pictures, out: Path, machine: Machine) -> Path:
    """Fits a baseline, going on from where the folder stands; a finished one is not touched.

    Returns:
        Its file.

    Raises:
        ValueError: The folder was begun with other settings, another model or other pictures.
        TrainingError: A loss is not finite, its checkpoint is damaged, or the disk is full.
    """
    path = out / "network.safetensors"
    keep(settings, out)
    finished = is_baseline(path)
    if finished and (unet := baseline_training(path)["base"]["unet_sha256"]) != base.fingerprint:
        raise ValueError(
            f"{path} was fitted to another base model (its UNet was {unet[:12]} and is {base.fingerprint[:12]}): "
            "give that one, or choose another --out."
        )
    keep_source(pictures.source, out)
    if finished:
        say(f"{path} is finished.")
        return path
    baseline = make_baseline(settings, base).to(machine.device)
    count = sum(weight.numel() for weight in baseline.parameters())
    say(
        f"{settings.method}: {count:,} parameters on {base.name}; {pictures.name} pictures; on {machine.device} in "
        f"{'bfloat16' if machine.bfloat16 else 'float32'}"
    )
    loss = make_loss(settings, base, pictures, baseline, machine.device)
    schedule = small_schedule(settings.steps, settings.lr, settings.ema, seed=settings.seed)
    trained = fit(baseline, loss, schedule, machine, out, settings.batch)
    training = {
        "settings": settings.as_json(),
        "base": {"name": base.name, "unet_sha256": base.fingerprint},
        "pictures": pictures.name,
    }
    save_baseline(trained, path, training)
    say(str(path))
    return path
