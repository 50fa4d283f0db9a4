"""Emotion Grid."""

from comfy_api.latest import io

from ..emoticrafter.va import VA_MAX, VA_MIN, grid_points
from .inputs import CATEGORY, axis_input, searched_as
from .networks import ManagedNetwork
from .node import Node
from .point_batches import batch_inputs, batch_output, batch_outputs

MOST_COLUMNS = 31  # a step of 0.2 over the whole range


class EmotionGrid(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterGrid",
            display_name="Emotion Grid",
            category=CATEGORY,
            **searched_as("grid", "plane", "batch"),
            description="Evenly spaced points of the valence-arousal plane, row by row: valence rises to the "
            "right, arousal falls downwards. As one batch, or as lists that run once per point.",
            inputs=[
                _count_input("columns", "Points along valence. A single one stands in the middle."),
                _count_input("rows", "Points along arousal. A single one stands in the middle."),
                axis_input("valence_min", "Valence of the left column.", VA_MIN),
                axis_input("valence_max", "Valence of the right column.", VA_MAX),
                axis_input("arousal_min", "Arousal of the bottom row.", VA_MIN),
                axis_input("arousal_max", "Arousal of the top row.", VA_MAX),
                *batch_inputs(),
            ],
            outputs=batch_outputs(),
        )

    @classmethod
    def execute(
        cls,
        columns: int,
        rows: int,
        valence_min: float,
        valence_max: float,
        arousal_min: float,
        arousal_max: float,
        network: ManagedNetwork | None = None,
        latent: dict | None = None,
    ) -> io.NodeOutput:
        points = grid_points(columns, rows, (valence_min, valence_max), (arousal_min, arousal_max))
        return batch_output("Emotion Grid", points, columns, network, latent)


def _count_input(name: str, tooltip: str) -> io.Input:
    return io.Int.Input(name, default=5, min=1, max=MOST_COLUMNS, tooltip=tooltip)
