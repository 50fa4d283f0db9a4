"""Emotion Injection."""

from comfy_api.latest import io

from .inputs import CATEGORY, EmotionType, conditioning_input, conditioning_output, searched_as, strength_input
from .networks import Emotion, inject
from .node import Node


class EmotionInjection(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterInjection",
            display_name="Emotion Injection",
            category=CATEGORY,
            **searched_as("inject"),
            description="Adds the emotion of a VA Encoder to a prompt.",
            inputs=[
                conditioning_input(),
                EmotionType.Input("emotion", tooltip="From VA Encoder, Emotion Grid or Emotion Path."),
                strength_input(),
            ],
            outputs=[conditioning_output()],
        )

    @classmethod
    def execute(cls, conditioning: list, emotion: Emotion, strength: float) -> io.NodeOutput:
        return io.NodeOutput(inject(conditioning, emotion, strength))
