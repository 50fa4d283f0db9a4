"""Read Emotion."""

import torch
from comfy_api.latest import io, ui

from ..emoticrafter.research.readers import readings_text
from .inputs import CATEGORY, clip_vision_input, searched_as
from .node import Node
from .points import Points, PointsType
from .readers import emotion_reader, reader_names, reader_problem, reader_versions


class ReadEmotion(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterReadEmotion",
            display_name="Read Emotion",
            category=CATEGORY,
            **searched_as("recognize", "detect", "measure"),
            description="Reads valence and arousal from pictures, to see whether they show what was asked for.",
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="Pictures of any size: as one batch or as a list."),
                io.Combo.Input(
                    "reader",
                    options=reader_names(),
                    tooltip="The miniature's reader, or a file in models/emoticrafter_readers.",
                ),
                clip_vision_input(),
            ],
            outputs=[
                io.Float.Output(
                    display_name="valences",
                    is_output_list=True,
                    tooltip="Pleasantness of each picture, -3 to 3: a list.",
                ),
                io.Float.Output(
                    display_name="arousals", is_output_list=True, tooltip="Intensity of each picture, -3 to 3: a list."
                ),
                PointsType.Output(display_name="points", tooltip="All readings, for Emotion Map."),
                io.String.Output(display_name="text", tooltip="The readings as text, one line per picture."),
            ],
        )

    @classmethod
    def validate_inputs(cls, reader: list[str | None] | None = None) -> bool | str:
        return reader_problem(reader or [])

    @classmethod
    def fingerprint_inputs(cls, reader: list[str | None], **others) -> str:
        return reader_versions(reader)

    @classmethod
    def execute(cls, images: list[torch.Tensor], reader: list[str], clip_vision: list | None = None) -> io.NodeOutput:
        if not images:
            raise ValueError("There are no pictures to read: images is an empty list.")
        read, readings = emotion_reader(reader[0], clip_vision[0] if clip_vision else None), torch.empty(0, 2)
        for batch in images:
            readings = torch.cat([readings, read(batch, first=1 + len(readings))])
        valence, arousal = readings.T.tolist()
        text = readings_text(readings)
        points = Points(tuple(valence), tuple(arousal))
        return io.NodeOutput(valence, arousal, points, text, ui=ui.PreviewText(text))
