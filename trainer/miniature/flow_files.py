"""The second miniature's files: a run's folder, and what is shipped, under the names that ComfyUI's classes have.

nodes/miniature_model.py builds MODEL (comfy.supported_models.Lumina2) and CLIP (its Gemma 2) from transformer and
text_encoder (.safetensors); the VAE and the readers are the first miniature's.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import Lumina2Transformer2DModel
from torch import Tensor
from transformers import Gemma2Model

from trainer.miniature.flow import HEAD_WIDTH, PATCH, ROPE_AXES, FlowText, make_transformer
from trainer.miniature.folders import write_folder
from trainer.miniature.recipe import FlowRecipe

VOCABULARY = "vocabulary.model"  # of the text encoder, in a run's folder


def save_flow(transformer: Lumina2Transformer2DModel, text: FlowText, folder: Path) -> None:
    """Writes both parts as diffusers and transformers do, and the vocabulary beside them."""

    def write(temporary: Path) -> None:
        transformer.save_pretrained(temporary / "transformer")
        text.model.save_pretrained(temporary / "text_encoder")
        (temporary / "text_encoder" / VOCABULARY).write_bytes(text.pieces)

    write_folder(folder, write)


def load_flow(folder: Path, recipe: FlowRecipe) -> tuple[Lumina2Transformer2DModel, FlowText]:
    """Reads what `save_flow` wrote, in float32 on the CPU, for evaluation."""
    transformer = make_transformer(recipe)
    trained = Lumina2Transformer2DModel.from_pretrained(folder / "transformer", low_cpu_mem_usage=False)
    transformer.load_state_dict(trained.state_dict())
    model = Gemma2Model.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    text = FlowText(model, (folder / "text_encoder" / VOCABULARY).read_bytes())
    return transformer.eval().requires_grad_(False), text.eval().requires_grad_(False)


# --- ComfyUI's names -------------------------------------------------------------------------------------------------

_OUTER = {
    "time_caption_embed.timestep_embedder.linear_1.": "t_embedder.mlp.0.",
    "time_caption_embed.timestep_embedder.linear_2.": "t_embedder.mlp.2.",
    "time_caption_embed.caption_embedder.": "cap_embedder.",
    "norm_out.linear_1.": "final_layer.adaLN_modulation.1.",
    "norm_out.linear_2.": "final_layer.linear.",
}
_IN_A_BLOCK = {
    "attn.to_out.0.": "attention.out.",
    "attn.norm_q.": "attention.q_norm.",
    "attn.norm_k.": "attention.k_norm.",
    "feed_forward.linear_": "feed_forward.w",
    "norm1.linear.": "adaLN_modulation.1.",
    "norm1.norm.": "attention_norm1.",
    "ffn_norm1.": "ffn_norm1.",
    "ffn_norm2.": "ffn_norm2.",
    "norm1.": "attention_norm1.",
    "norm2.": "attention_norm2.",
}


def transformer_sizes(recipe: FlowRecipe) -> dict:
    """The config of ComfyUI's NextDiT (without its dtype), and the sampler's shift."""
    return {
        "image_model": "lumina2",
        "patch_size": PATCH,
        "in_channels": 4,
        "dim": recipe.dit_width,
        "n_layers": recipe.dit_layers,
        "n_refiner_layers": 1,
        "n_heads": recipe.dit_width // HEAD_WIDTH,
        "multiple_of": recipe.dit_hidden,
        "ffn_dim_multiplier": recipe.dit_hidden / recipe.dit_width,
        "qk_norm": True,
        "cap_feat_dim": recipe.text_width,
        "axes_dims": list(ROPE_AXES),
        "shift": recipe.shift,
    }


def transformer_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames diffusers' Lumina2Transformer2DModel to ComfyUI's NextDiT, whose queries, keys and values are one."""
    named = {}
    for name, tensor in state.items():
        if name.endswith("attn.to_q.weight"):
            own = name.removesuffix("to_q.weight")
            joined = torch.cat([state[f"{own}to_{part}.weight"] for part in "qkv"])
            named[f"{own.removesuffix('attn.')}attention.qkv.weight"] = joined
        elif not name.endswith(("attn.to_k.weight", "attn.to_v.weight")):
            named[_transformer_name(name)] = tensor
    return named


def diffusers_state(named: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """The inverse of `transformer_state`, for diffusers' names."""
    state = {}
    for name in names:
        own, found, part = name.rpartition("attn.to_")
        if found and part[0] in "qkv":
            joined = named[f"{own}attention.qkv.weight"]
            state[name] = joined.chunk(3)["qkv".index(part[0])]
        else:
            state[name] = named[_transformer_name(name)]
    return state


def _transformer_name(name: str) -> str:
    for theirs, ours in _OUTER.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    if name.startswith("x_embedder."):
        return name
    part, number, rest = name.split(".", 2)
    theirs = next(theirs for theirs in _IN_A_BLOCK if rest.startswith(theirs))
    return f"{part}.{number}.{_IN_A_BLOCK[theirs]}{rest.removeprefix(theirs)}"


def text_encoder_sizes(recipe: FlowRecipe) -> dict:
    """The options of ComfyUI's CLIP."""
    return {
        "gemma2_2b_model_config": {
            "vocab_size": recipe.pieces,
            "hidden_size": recipe.text_width,
            "intermediate_size": recipe.text_hidden,
            "num_hidden_layers": recipe.text_layers,
            "num_attention_heads": recipe.text_heads,
            "num_key_value_heads": 1,
        }
    }


def text_encoder_state(text: FlowText) -> dict[str, Tensor]:
    """Renames transformers' Gemma2Model to ComfyUI's, with the vocabulary beside it, uint8."""
    named = {f"gemma2_2b.transformer.model.{name}": tensor for name, tensor in text.model.state_dict().items()}
    return named | {"spiece_model": torch.frombuffer(bytearray(text.pieces), dtype=torch.uint8)}
