"""Emotion Map."""

from comfy_api.latest import io

from .inputs import CATEGORY, searched_as
from .node import Node
from .points import Points, PointsType, join


class EmotionMap(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterMap",
            display_name="Emotion Map",
            category=CATEGORY,
            **searched_as("plot", "chart"),
            description="Plots points on the valence-arousal plane: what was asked for as rings, what was read "
            "from pictures as dots, and a line between the two.",
            is_input_list=True,
            inputs=[
                io.Int.Input("size", default=768, min=384, max=2048, step=8, tooltip="The map's width in pixels."),
                PointsType.Input(
                    "asked", optional=True, tooltip="What was asked for, from Emotion Grid or Emotion Path."
                ),
                PointsType.Input(
                    "read", optional=True, tooltip="What the pictures show, from Read Emotion, in the same order."
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The map, for Save Image.")],
        )

    @classmethod
    def execute(
        cls, size: list[int], asked: list[Points] | None = None, read: list[Points] | None = None
    ) -> io.NodeOutput:
        from ..emoticrafter.figures import drawing, plane  # loads parts of Pillow that ComfyUI has not

        asked, read = (join(points) if points else Points((), ()) for points in (asked, read))
        places = [list(zip(points.valence, points.arousal, strict=True)) for points in (asked, read)]
        figure = plane.draw_map(*places, size[0], route=len(places[0]) > 1 and not asked.columns)
        return io.NodeOutput(drawing.to_images(figure))
