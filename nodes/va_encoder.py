"""VA Encoder."""

from comfy_api.latest import io

from .inputs import CATEGORY, EmotionType, arousal_input, network_input, searched_as, valence_input
from .networks import ManagedNetwork, encode
from .node import Node


class VAEncoder(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterVAEncoder",
            display_name="VA Encoder",
            category=CATEGORY,
            **searched_as("encode"),
            description="Encodes valence and arousal as emotion features, for any number of Emotion Injection nodes.",
            inputs=[network_input(), valence_input(), arousal_input()],
            outputs=[
                EmotionType.Output(
                    "emotion", display_name="EMOTION", tooltip="Emotion features, for Emotion Injection."
                )
            ],
        )

    @classmethod
    def execute(cls, network: ManagedNetwork, valence: float, arousal: float) -> io.NodeOutput:
        return io.NodeOutput(encode(network, valence, arousal))
