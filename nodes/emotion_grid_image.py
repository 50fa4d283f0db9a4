"""Emotion Grid Image."""

import torch
from comfy_api.latest import io

from .inputs import CATEGORY, searched_as
from .node import Node
from .points import Points, PointsType, join


class EmotionGridImage(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterGridImage",
            display_name="Emotion Grid Image",
            category=CATEGORY,
            **searched_as("grid", "figure", "plot"),
            description="Lays pictures out in one image with their valence and arousal: a grid with axes, or a strip "
            "with the points beneath.",
            is_input_list=True,
            inputs=[
                io.Image.Input(
                    "images", tooltip="One picture per point, in the same order: as one batch or as a list."
                ),
                PointsType.Input(
                    "points", tooltip="From the Emotion Grid or Emotion Path that the pictures were made with."
                ),
                io.String.Input("title", default="", tooltip="Written above, such as the prompt. Empty: no title."),
                io.Int.Input(
                    "cell_size",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="The longer side of every picture in pixels. 0: as they are.",
                ),
                io.Int.Input(
                    "columns",
                    default=0,
                    min=0,
                    max=256,
                    tooltip="For a path: pictures per row. 0: up to ten. A grid has its own columns.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The figure, for Save Image.")],
        )

    @classmethod
    def execute(
        cls,
        images: list[torch.Tensor],
        points: list[Points],
        title: list[str],
        cell_size: list[int],
        columns: list[int],
    ) -> io.NodeOutput:
        from ..emoticrafter.figures import drawing  # loads parts of Pillow that ComfyUI has not

        shown = join(points)
        pictures = [picture for batch in images for picture in drawing.to_pictures(batch)]
        figure = drawing.draw_grid(
            pictures, shown.valence, shown.arousal, shown.columns, title[0], cell_size[0], columns[0]
        )
        return io.NodeOutput(drawing.to_images(figure))
