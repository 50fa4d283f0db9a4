"""Emotion Grid and Emotion Path: many points of the plane at once."""

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..emoticrafter.latents import latent_per_point
from ..emoticrafter.path import EASINGS, SMOOTH, path_points, read_keyframes
from ..emoticrafter.va import VA_MAX, VA_MIN, Point, grid_points
from .emotion import CATEGORY, EmotionType, encode
from .loader import EmotionNetworkType
from .networks import ManagedNetwork
from .points import Points, PointsType
from .preset import known_emotions, own_problems, own_version

MOST_COLUMNS = 31  # a step of 0.2 over the whole range
MOST_FRAMES = 4096  # as Empty Latent Image has it


def _optional_inputs() -> list[io.Input]:
    return [
        EmotionNetworkType.Input(
            "network", optional=True, tooltip="From Load Emotion Network. Only the emotion output needs it."
        ),
        io.Latent.Input(
            "latent",
            optional=True,
            tooltip="One latent, to be repeated for every point with the same noise. Only the latents output needs "
            "it.",
        ),
    ]


def _outputs() -> list[io.Output]:
    return [
        EmotionType.Output(
            display_name="emotion",
            tooltip="All points as one batch, for Emotion Injection: with a batch of latents, one emotion per image. "
            "If the batches differ, ComfyUI drops or repeats emotions without a message: connect latents, too.",
        ),
        io.Float.Output(
            display_name="valences",
            is_output_list=True,
            tooltip="A list: what is connected runs once per point, with the same seed.",
        ),
        io.Float.Output(
            display_name="arousals",
            is_output_list=True,
            tooltip="A list that goes with valences.",
        ),
        PointsType.Output(display_name="points", tooltip="The points, for nodes that show them."),
        io.Int.Output(display_name="count", tooltip="How many points: for batch_size of Empty Latent Image."),
        io.Latent.Output(
            display_name="latents",
            tooltip="The latent once per point, for a sampler: the same noise for all, so that only the emotion "
            "differs.",
        ),
    ]


def _batch(
    name: str, points: list[Point], columns: int, network: ManagedNetwork | None, latent: dict | None
) -> io.NodeOutput:
    valences, arousals = zip(*points, strict=True)
    if network is None:
        emotion = _missing(name, "network", "Load Emotion Network", "emotion")
    else:
        emotion = encode(network, torch.tensor(valences), torch.tensor(arousals))
    if latent is None:
        latents = _missing(name, "latent", "Empty Latent Image", "latents")
    else:
        latents = latent_per_point(latent, len(points))
    shown = Points(valences, arousals, columns)
    return io.NodeOutput(emotion, list(valences), list(arousals), shown, len(points), latents)


def _missing(name: str, input_id: str, source: str, output: str) -> ExecutionBlocker:
    """Stops what hangs on one output, and nothing else."""
    return ExecutionBlocker(
        f"{name} gives no {output}, because nothing is connected to its {input_id} input. Connect {source} there."
    )


class EmotionGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterGrid",
            display_name="Emotion Grid",
            category=CATEGORY,
            description="Evenly spaced points of the valence-arousal plane, row by row: valence rises to the right, "
            "arousal falls downwards. As one batch, or as lists that give one run per point.",
            inputs=[
                _count_input("columns", "Points along valence. One alone stands in the middle."),
                _count_input("rows", "Points along arousal. One alone stands in the middle."),
                _bound_input("valence_min", VA_MIN, "Valence of the left column."),
                _bound_input("valence_max", VA_MAX, "Valence of the right column."),
                _bound_input("arousal_min", VA_MIN, "Arousal of the bottom row."),
                _bound_input("arousal_max", VA_MAX, "Arousal of the top row."),
                *_optional_inputs(),
            ],
            outputs=_outputs(),
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
        return _batch("Emotion Grid", points, columns, network, latent)


def _count_input(name: str, tooltip: str) -> io.Input:
    return io.Int.Input(name, default=5, min=1, max=MOST_COLUMNS, tooltip=tooltip)


def _bound_input(name: str, default: float, tooltip: str) -> io.Input:
    return io.Float.Input(name, default=default, min=VA_MIN, max=VA_MAX, step=0.05, tooltip=tooltip)


class EmotionPath(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterPath",
            display_name="Emotion Path",
            category=CATEGORY,
            description="A way through the valence-arousal plane from keyframe to keyframe, one point per frame. As "
            "one batch, for animation models, or as lists that give one run per frame.",
            inputs=[
                io.String.Input(
                    "keyframes",
                    multiline=True,
                    default="0% calm\n50% excited\n100% calm",
                    tooltip="One per line: a position, then a named emotion or valence and arousal. A position is a "
                    "frame, counted from 0, or a percentage: 12 excited, or 50% 1.85 2.25.",
                ),
                io.Int.Input(
                    "frames", default=16, min=1, max=MOST_FRAMES, tooltip="How many frames the path has."
                ),
                io.Combo.Input(
                    "easing",
                    options=[*EASINGS, SMOOTH],
                    default="linear",
                    tooltip="How it goes from keyframe to keyframe. ease in-out rests at each, smooth flows through "
                    "them, hold jumps.",
                ),
                io.Boolean.Input(
                    "closed",
                    default=False,
                    tooltip="Return to the first keyframe: the last frame flows into the first, and none is doubled.",
                ),
                *_optional_inputs(),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        return own_version()  # keyframes may name emotions of the user's file

    @classmethod
    def execute(
        cls,
        keyframes: str,
        frames: int,
        easing: str,
        closed: bool,
        network: ManagedNetwork | None = None,
        latent: dict | None = None,
    ) -> io.NodeOutput:
        try:
            marks = read_keyframes(keyframes, frames, known_emotions(), closed)
        except ValueError as error:  # a name may be missing because of a mistake in the user's file
            raise ValueError("\n".join([str(error), *own_problems()])) from None
        return _batch("Emotion Path", path_points(marks, frames, easing, closed), 0, network, latent)
