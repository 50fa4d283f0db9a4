"""Trains the second miniature's generator: the transformer and the language model together, by flow matching.

Every sample is a picture with one of its captions, a feeling without content, or the empty prompt. The language model
also learns to predict its captions' next words, which keeps all of a caption in its states.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from emoticrafter.fit.loop import step_random
from emoticrafter.weights.files import save_tensors
from trainer.core.device import Machine
from trainer.miniature.captioning import written_captions
from trainer.miniature.dataset import Plan
from trainer.miniature.flow import (
    PAD,
    FlowText,
    make_language_model,
    make_transformer,
    tokenize,
    train_pieces,
    velocity,
)
from trainer.miniature.flow_files import save_flow
from trainer.miniature.generator import plain_attention
from trainer.miniature.recipe import FlowRecipe
from trainer.runs.run import fit, small_schedule


class Flowing(nn.Module):
    """The transformer and the language model with their loss."""

    def __init__(self, recipe: FlowRecipe):
        super().__init__()
        self.recipe = recipe
        self.transformer, self.text = make_transformer(recipe), make_language_model(recipe)

    def forward(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """The mean error of the velocity at one random noise level per sample, and the share of the next word's loss.

        Args:
            latents: [B, 4, H, W].
            tokens: The captions, [B, T].
        """
        mask = tokens != PAD
        read = self.text(input_ids=tokens, output_hidden_states=True)
        # logit-normal levels: the middle ones, where content is decided, most often (Esser et al. 2024)
        level = torch.sigmoid(torch.randn(len(latents), device=latents.device) + self.recipe.level_mean)
        noise = torch.randn_like(latents)
        noisy = torch.lerp(latents, noise, level[:, None, None, None])
        predicted = velocity(self.transformer, noisy, level, read.hidden_states[-2], mask)
        error = (predicted - (noise - latents)).square().mean()
        return error + self.recipe.word_weight * self._next_words(read.last_hidden_state, tokens)

    def _next_words(self, states: Tensor, tokens: Tensor) -> Tensor:
        scores = functional.linear(states[:, :-1], self.text.get_input_embeddings().weight)
        return functional.cross_entropy(scores.flatten(0, 1).float(), tokens[:, 1:].flatten(), ignore_index=PAD)


def flow_tokens(plan: Plan, recipe: FlowRecipe, path: Path) -> dict[str, Tensor]:
    """The captions' pieces and tokens, made once, for C wordings of each of N pictures.

    Returns:
        "pieces": the sentencepiece model, uint8; and int16, padded to the longest: "caption" [N, C, T], neutral or
        emotional as the picture is; "mood" [N, T], its feeling without its content; "empty" [T].
    """
    if not path.exists():
        captions, _, moods = written_captions(plan, recipe)
        pieces = train_pieces(captions + moods, recipe.pieces)
        tokens = tokenize(pieces, [*captions, *moods, ""]).short()
        caption, mood, empty = tokens.split([len(captions), len(moods), 1])
        named = {"caption": caption.view(len(plan), recipe.captions, -1).clone(), "mood": mood.clone()}
        stored = torch.frombuffer(bytearray(pieces), dtype=torch.uint8)
        save_tensors(path, {**named, "empty": empty[0].clone(), "pieces": stored})
    return load_file(path)


def draw_flow(tokens: dict[str, Tensor], recipe: FlowRecipe, step: int) -> tuple[Tensor, Tensor]:
    """Draws a step's pictures and captions: their rows [B] and tokens [B, T], int64."""
    random, batch = step_random(recipe.seed, step), recipe.generator_batch
    rows = torch.from_numpy(random.integers(len(tokens["mood"]), size=batch))
    captions = tokens["caption"][rows, torch.from_numpy(random.integers(recipe.captions, size=batch))]
    share = torch.from_numpy(random.random(batch))[:, None]
    captions = torch.where(share < recipe.empty_share + recipe.mood_share, tokens["mood"][rows], captions)
    captions = torch.where(share < recipe.empty_share, tokens["empty"], captions)
    longest = int((captions != PAD).sum(1).max())
    return rows, captions[:, :longest].long()


def train_flow(
    recipe: FlowRecipe, latents: np.ndarray, tokens: dict[str, Tensor], folder: Path, training: Path, machine: Machine
) -> None:
    """Trains transformer and language model, unless they exist.

    Args:
        recipe: Their settings.
        latents: float16 [N, 4, H, W].
        tokens: From `flow_tokens`.
        folder: For the finished ones, in the layout of diffusers and transformers.
        training: For the checkpoint.
        machine: To train on.
    """
    if folder.exists():
        return
    torch.manual_seed(recipe.seed)
    module = Flowing(recipe).to(machine.device)
    all_latents = torch.from_numpy(np.array(latents)).to(machine.device)

    def loss(called: nn.Module, step: int) -> Tensor:
        rows, captions = draw_flow(tokens, recipe, step)
        with plain_attention(machine.device):
            return called(all_latents[rows.to(machine.device)].float(), captions.to(machine.device, non_blocking=True))

    schedule = small_schedule(
        recipe.generator_steps, recipe.generator_lr, recipe.generator_ema, warmup=200, seed=recipe.seed
    )
    trained = fit(module, loss, schedule, machine, training, recipe.generator_batch)
    save_flow(trained.transformer.cpu(), FlowText(trained.text.cpu(), tokens["pieces"].numpy().tobytes()), folder)
