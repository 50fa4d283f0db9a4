"""Emotion Path."""

from comfy_api.latest import io

from ..emoticrafter.path import EASINGS, SMOOTH, path_points, read_keyframes
from .inputs import CATEGORY, searched_as
from .named_emotions import known_emotions, own_problems, own_version
from .networks import ManagedNetwork
from .node import Node
from .point_batches import batch_inputs, batch_output, batch_outputs

MOST_FRAMES = 4096  # as Empty Latent Image has it


class EmotionPath(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterPath",
            display_name="Emotion Path",
            category=CATEGORY,
            **searched_as("animation", "schedule", "transition"),
            description="A path through the valence-arousal plane from keyframe to keyframe, one point per frame. "
            "As one batch, for animation models, or as lists that run once per frame.",
            inputs=[
                io.String.Input(
                    "keyframes",
                    multiline=True,
                    default="0% calm\n50% excited\n100% calm",
                    tooltip="One per line: a position, then a named emotion or valence and arousal. A position is a "
                    "frame, counted from 0, or a percentage: 12 excited, or 50% 1.85 2.25.",
                ),
                io.Int.Input("frames", default=16, min=1, max=MOST_FRAMES, tooltip="How many frames the path has."),
                io.Combo.Input(
                    "easing",
                    options=[*EASINGS, SMOOTH],
                    default="linear",
                    tooltip="How the path moves between keyframes. ease in-out rests at each, smooth flows through "
                    "them, hold jumps.",
                ),
                io.Boolean.Input(
                    "closed",
                    default=False,
                    tooltip="Return to the first keyframe: the last frame flows into the first, and no frame is "
                    "repeated.",
                ),
                *batch_inputs(),
            ],
            outputs=batch_outputs(),
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
        return batch_output("Emotion Path", path_points(marks, frames, easing, closed), 0, network, latent)
