"""Read Emotion."""

from pathlib import Path

import torch
from comfy_api.latest import io, ui

from ..emoticrafter.research.readers import ClipHeads, Reader, load_emotion_reader, read_pictures, readings_text
from . import networks
from .inputs import CATEGORY, searched_as
from .miniature_model import FOLDER as MINIATURE_FOLDER
from .node import Node
from .points import Points, PointsType

FOLDER = "emoticrafter_readers"
MINIATURE = "miniature (only for its own pictures)"
MINIATURE_FILE = MINIATURE_FOLDER / "emotion_reader.safetensors"

networks.register_folder(FOLDER)


def reader_names() -> list[str]:
    return [MINIATURE] * MINIATURE_FILE.is_file() + networks.network_names(FOLDER)


def find_reader(name: str) -> Path:
    """The path of a reader (errors as `networks.find_network`)."""
    if name != MINIATURE:
        return Path(networks.find_network(name, FOLDER, "reader"))
    if not MINIATURE_FILE.is_file():
        raise FileNotFoundError(
            f"The miniature's reader {MINIATURE_FILE} is missing. It comes with a git checkout of the project: clone "
            "it, or choose another reader."
        )
    return MINIATURE_FILE


def encode_with(clip_vision, name: str, heads: ClipHeads):
    """A function from images to image features, by a CLIP_VISION."""
    if clip_vision is None:
        raise ValueError(
            f"{name} reads CLIP's image features, and no vision model is connected: connect Load CLIP Vision to "
            f"clip_vision, with {heads.features} ({heads.width} wide)."
        )
    return lambda images: clip_vision.encode_image(images)["image_embeds"]


def read_all(reader: Reader | ClipHeads, images: list[torch.Tensor], encode) -> torch.Tensor:
    """Readings [N, 2] of all batches' pictures, in order."""
    if not images:
        raise ValueError("There are no pictures to read: images is an empty list.")
    readings = torch.empty(0, 2)
    for batch in images:
        readings = torch.cat([readings, read_pictures(reader, batch, encode, first=1 + len(readings))])
    return readings


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
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="From Load CLIP Vision. A reader of heads on CLIP's features needs the model that it "
                    "was trained with; the miniature's reader needs none.",
                ),
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
        try:
            for name in reader or []:
                if name is not None:  # else it is linked, so known only when it runs
                    find_reader(name)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, reader: list[str | None], **others) -> str:
        names = reader_names() if None in reader else reader
        files = [networks.version_of(str(MINIATURE_FILE))] * (MINIATURE in names)
        return " ".join(files + [networks.file_version(name, FOLDER) for name in names if name != MINIATURE])

    @classmethod
    def execute(cls, images: list[torch.Tensor], reader: list[str], clip_vision: list | None = None) -> io.NodeOutput:
        managed = networks.ManagedNetwork(load_emotion_reader(find_reader(reader[0])))
        model, encode = managed.ready(), None
        if isinstance(model, ClipHeads):
            encode = encode_with(clip_vision[0] if clip_vision else None, reader[0], model)
        readings = read_all(model, images, encode)
        valence, arousal = readings.T.tolist()
        text = readings_text(readings)
        points = Points(tuple(valence), tuple(arousal))
        return io.NodeOutput(valence, arousal, points, text, ui=ui.PreviewText(text))
