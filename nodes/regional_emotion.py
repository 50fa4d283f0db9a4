"""Regional Emotion."""

import logging

from comfy_api.latest import io
from torch import Tensor

from ..emoticrafter.regions import regional_emotion
from . import inputs
from .networks import ManagedNetwork, encode
from .node import Node
from .notices import warn_of_encoder, warn_of_unreached

log = logging.getLogger("emoticrafter")


class RegionalEmotion(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterRegional",
            display_name="Regional Emotion",
            category=inputs.CATEGORY,
            **inputs.searched_as("mask", "region", "area"),
            description="Gives part of the picture its own mood and leaves the prompt as it is everywhere else. "
            "Chain one node per region: each lies on top of the one before.",
            inputs=[
                inputs.conditioning_input(),
                inputs.network_input(),
                io.Mask.Input(
                    "mask",
                    tooltip="Where: white takes the mood, black keeps the prompt, grey mixes both. Any size: it is "
                    "stretched over the picture. An empty mask changes nothing.",
                ),
                inputs.valence_input(),
                inputs.arousal_input(),
                inputs.strength_input(),
                inputs.slider(
                    "feather",
                    0.0,
                    (0.0, 1.0),
                    "How softly the mood sets in at the mask's edge, as a fraction of the mask's shorter side: 0 is "
                    "the mask as it is, 0.1 a soft transition.",
                    step=0.01,
                ),
            ],
            outputs=[
                inputs.conditioning_output(
                    "The prompt with the mood inside the mask, for a KSampler or the next Regional Emotion."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        conditioning: list,
        network: ManagedNetwork,
        mask: Tensor,
        valence: float,
        arousal: float,
        strength: float,
        feather: float,
    ) -> io.NodeOutput:
        emotion = encode(network, valence, arousal)
        if strength:
            warn_of_unreached(conditioning)
            warn_of_encoder(conditioning, network.ready())
        result = regional_emotion(conditioning, emotion.network.ready(), emotion.features, mask, strength, feather)
        if result is conditioning and strength:
            log.warning("[EmotiCrafter] Regional Emotion: the mask covers nothing, so the prompt stays as it is.")
        return io.NodeOutput(result)
