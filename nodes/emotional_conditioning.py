"""Emotional Conditioning."""

from comfy_api.latest import io
from torch import Tensor

from ..emoticrafter.composition import steps_that_keep
from ..emoticrafter.conditioning import ALL_STEPS, KEEP, ZERO
from ..emoticrafter.quoting import quoted
from . import inputs
from .inputs import FROM_PROMPT
from .networks import ManagedNetwork, encode, inject
from .node import Node
from .notices import warn_of_misreaders
from .protected_words import protected_directions


class EmotionalConditioning(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterConditioning",
            display_name="Emotional Conditioning",
            category=inputs.CATEGORY,
            **inputs.searched_as("emoticrafter", "emotional prompt"),
            description="Gives a prompt an emotion: put it between CLIP Text Encode and KSampler, on the positive "
            "prompt, the negative one, or both.",
            inputs=[
                inputs.conditioning_input(),
                inputs.network_input(),
                inputs.valence_input(),
                inputs.arousal_input(),
                inputs.strength_input(),
                inputs.gain_input("valence"),
                inputs.gain_input("arousal"),
                *inputs.step_inputs(),
                *inputs.protection_inputs(),
                *inputs.pooled_inputs(),
                inputs.composition_input(),
            ],
            outputs=[inputs.conditioning_output()],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        conditioning: list,
        network: ManagedNetwork,
        valence: float,
        arousal: float,
        strength: float,
        valence_gain: float = 1.0,
        arousal_gain: float = 1.0,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
        protected_words: str = "",
        clip=None,
        pooled: str = KEEP,
        pooled_prompt: list | None = None,
        composition: float = 0.0,
    ) -> io.NodeOutput:
        settings = {"gains": (valence_gain, arousal_gain), "steps": (start_percent, end_percent)}
        if strength:  # without it no setting has an effect: none may ask for a link or run an encoder
            settings["protected"] = protected_directions(clip, protected_words)
            settings["pooled"] = chosen_pooled(pooled, pooled_prompt)
            settings["steps"] = steps_that_keep(composition, settings["steps"], network.encoder)
            if settings["steps"] != ALL_STEPS:
                warn_of_misreaders(cls.hidden.prompt, cls.hidden.unique_id)
        emotion = encode(network, valence, arousal)
        return io.NodeOutput(inject(conditioning, emotion, strength, **settings))


def chosen_pooled(pooled: str, prompt: list | None) -> str | Tensor:
    if pooled in (KEEP, ZERO):
        return pooled
    if pooled != FROM_PROMPT:  # only the browser checks the list
        raise ValueError(f"pooled is {quoted(pooled)}: expected {KEEP!r}, {ZERO!r} or {FROM_PROMPT!r}.")
    for _features, extra in prompt or []:
        if extra.get("pooled_output") is not None:
            return extra["pooled_output"]
    raise ValueError(
        f"pooled is {FROM_PROMPT!r}, but no prompt with a pooled vector is connected to pooled_prompt: connect a "
        f"CLIP Text Encode, or set pooled to {KEEP!r}."
    )
