"""How a prompt takes its emotion: the widgets of Emotional Conditioning and Emotional CLIP, and what `inject` gets."""

from comfy_api.latest import io
from torch import Tensor

from ..emoticrafter.composition import steps_that_keep
from ..emoticrafter.conditioning import KEEP, ZERO
from ..emoticrafter.quoting import quoted
from . import inputs
from .networks import ManagedNetwork


def emotion_inputs(*protection: io.Input) -> list[io.Input]:
    """All inputs but the one that takes the emotion, in the order of saved workflows.

    Args:
        protection: Those of the protected words.
    """
    return [
        inputs.network_input(),
        inputs.valence_input(),
        inputs.arousal_input(),
        inputs.strength_input(),
        inputs.gain_input("valence"),
        inputs.gain_input("arousal"),
        *inputs.step_inputs(),
        *protection,
        *inputs.pooled_inputs(),
        inputs.composition_input(),
    ]


def inject_settings(
    network: ManagedNetwork,
    valence_gain: float = 1.0,
    arousal_gain: float = 1.0,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
    pooled: str = KEEP,
    pooled_prompt: list | None = None,
    composition: float = 0.0,
) -> dict:
    """Keywords of `inject`, of the inputs that are named so.

    Raises:
        ValueError: `pooled` is not of its list or has no vector, or `composition` does not fit.
    """
    return {
        "gains": (valence_gain, arousal_gain),
        "steps": steps_that_keep(composition, (start_percent, end_percent), network.encoder),
        "pooled": _chosen_pooled(pooled, pooled_prompt),
    }


def _chosen_pooled(pooled: str, prompt: list | None) -> str | Tensor:
    if pooled in (KEEP, ZERO):
        return pooled
    if pooled != inputs.FROM_PROMPT:  # only the browser checks the list
        raise ValueError(f"pooled is {quoted(pooled)}: expected {KEEP!r}, {ZERO!r} or {inputs.FROM_PROMPT!r}.")
    for _features, extra in prompt or []:
        if extra.get("pooled_output") is not None:
            return extra["pooled_output"]
    raise ValueError(
        f"pooled is {inputs.FROM_PROMPT!r}, but no prompt with a pooled vector is connected to pooled_prompt: connect "
        f"a CLIP Text Encode, or set pooled to {KEEP!r}."
    )
