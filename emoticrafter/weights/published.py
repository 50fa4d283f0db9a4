"""Reads the layout of the published weights (repository `idvxlab/EmotiCrafter`).

It is a GPT-2 with two more attentions per block. Its word embedding is never used, its `c_attn` computes keys and
values that are thrown away, and its matrices are input-major, transposed against nn.Linear.
"""

import re

import torch
from torch import Tensor

from ..network import NetworkConfig, weight_shapes
from .files import check_layout, some


def published_state(state: dict[str, Tensor], name: str) -> tuple[NetworkConfig, dict[str, Tensor]]:
    """Translates a state dict in the published layout: the prefix `module.` is optional, unused parts are dropped.

    Returns:
        The config that the shapes tell, with block="published", and our state dict.

    Raises:
        ValueError: A name is missing, not known, or has another shape.
    """
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    config = _published_config(state, name)
    check_layout(_published_shapes(config, state), state, name)
    width, ours = config.width, {}
    for published, key in _PUBLISHED_NAMES.items():
        ours[key] = state[published]
    ours["position.weight"] = state["wpe.weight"][: config.positions]
    for number in range(config.depth):
        there, here = f"h.{number}.", f"blocks.{number}."
        for published, key in _PUBLISHED_BLOCK_NAMES.items():
            for part in ("weight", "bias"):
                # The published matrices are input-major, nn.Linear's are output-major.
                ours[f"{here}{key}.{part}"] = state[f"{there}{published}.{part}"].t()
        for published, key in _PUBLISHED_ATTENTION.items():
            for part in ("weight", "bias"):
                query = state[f"{there}{published}.c_attn.{part}"][..., :width].t()  # the rest is never used
                key_value = state[f"{there}{published}.c_z.{part}"].t()
                if published == "attn":
                    ours[f"{here}{key}.query_key_value.{part}"] = torch.cat([query, key_value])
                else:
                    ours[f"{here}{key}.query.{part}"] = query
                    ours[f"{here}{key}.key_value.{part}"] = key_value
    return config, {key: tensor.contiguous() for key, tensor in ours.items()}


_PUBLISHED_NAMES = {
    "xl_feature2gpt_feature.weight": "input_projection.weight",
    "gpt_feature2xl_feature.weight": "output_projection.weight",
    "attn_proj.weight": "emotion_projection.weight",
} | {
    f"{published}.{part}": f"{key}.{part}"
    for published, key in {
        "v_f.0": "valence_encoder.0",
        "v_f.2": "valence_encoder.2",
        "a_f.0": "arousal_encoder.0",
        "a_f.2": "arousal_encoder.2",
        "ln_f": "norm",
        "ln_xl_feature": "output_norm",
    }.items()
    for part in ("weight", "bias")
}
_PUBLISHED_BLOCK_NAMES = {
    "ln_1": "self_norm",
    "ln_a": "arousal_norm",
    "ln_v": "valence_norm",
    "ln_2": "feed_forward_norm",
    "attn.c_proj": "self_attention.out",
    "attn_a.c_proj": "arousal_attention.out",
    "attn_v.c_proj": "valence_attention.out",
    "mlp.c_fc": "feed_forward.up",
    "mlp.c_proj": "feed_forward.down",
}
_PUBLISHED_ATTENTION = {"attn": "self_attention", "attn_a": "arousal_attention", "attn_v": "valence_attention"}


def _published_config(state: dict[str, Tensor], name: str) -> NetworkConfig:
    telling = ("xl_feature2gpt_feature.weight", "v_f.0.weight", "v_f.2.weight", "wpe.weight")
    if odd := [key for key in telling if not (key in state and state[key].ndim == 2 and state[key].numel())]:
        raise ValueError(
            f"{name} is a state dict of another model: {some(odd)} missing or not a matrix. Expected the layout of "
            f"the published EmotiCrafter weights; it begins with {some(list(state), 3)}."
        )
    width, feature_width = state["xl_feature2gpt_feature.weight"].shape
    blocks = {match[1] for key in state if (match := re.match(r"h\.(\d+)\.", key))}
    return NetworkConfig(
        feature_width=feature_width,
        width=width,
        depth=len(blocks),  # a gap in their numbers shows as missing names
        emotion_tokens=state["v_f.2.weight"].shape[0] // width,
        emotion_hidden=state["v_f.0.weight"].shape[0],
        positions=min(77, len(state["wpe.weight"])),
        block="published",
    )


def _published_shapes(config: NetworkConfig, state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The published layout at the size of `config`; the unused word embedding may be there or not."""
    ours, width = weight_shapes(config), config.width
    shapes = {"wpe.weight": (len(state["wpe.weight"]), width)}
    if "wte.weight" in state:
        shapes["wte.weight"] = tuple(state["wte.weight"].shape)
    shapes |= {published: ours[key] for published, key in _PUBLISHED_NAMES.items()}
    for number in range(config.depth):
        there, here = f"h.{number}.", f"blocks.{number}."
        for published, key in _PUBLISHED_BLOCK_NAMES.items():
            for part in ("weight", "bias"):
                shapes[f"{there}{published}.{part}"] = ours[f"{here}{key}.{part}"][::-1]
        for published in _PUBLISHED_ATTENTION:
            for matrix, size in (("c_attn", 3 * width), ("c_z", 2 * width)):
                shapes[f"{there}{published}.{matrix}.weight"] = (width, size)
                shapes[f"{there}{published}.{matrix}.bias"] = (size,)
    return shapes
