"""Emotional Conditioning."""

from comfy_api.latest import io

from ..emoticrafter.conditioning import ALL_STEPS
from . import inputs
from .emotion_settings import emotion_inputs, inject_settings
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
            inputs=[inputs.conditioning_input(), *emotion_inputs(*inputs.protection_inputs())],
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
        protected_words: str = "",
        clip=None,
        **others,
    ) -> io.NodeOutput:
        settings = {}
        if strength:  # without it no setting has an effect: none may ask for a link or run an encoder
            settings = inject_settings(network, **others)
            settings["protected"] = protected_directions(clip, protected_words)
            if settings["steps"] != ALL_STEPS:
                warn_of_misreaders(cls.hidden.prompt, cls.hidden.unique_id)
        emotion = encode(network, valence, arousal)
        return io.NodeOutput(inject(conditioning, emotion, strength, **settings))
