"""Valence-Arousal."""

from comfy_api.latest import io

from .inputs import CATEGORY, arousal_input, point_outputs, searched_as, valence_input
from .node import Node


class ValenceArousal(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterValenceArousal",
            display_name="Valence-Arousal",
            category=CATEGORY,
            **searched_as("pad", "slider", "2D"),
            description="One point of the valence-arousal plane, to share between any number of nodes.",
            inputs=[valence_input(), arousal_input()],
            outputs=point_outputs(),
        )

    @classmethod
    def execute(cls, valence: float, arousal: float) -> io.NodeOutput:
        return io.NodeOutput(valence, arousal)
