"""Emotion Preset."""

from comfy_api.latest import io

from ..emoticrafter.emotions import EMOTIONS
from ..emoticrafter.va import INTENSITY_MAX, blended, intensified
from .inputs import CATEGORY, point_outputs, searched_as, slider
from .named_emotions import known_emotions, named_point, own_problems, own_version
from .node import Node
from .points import Points, PointsType

NONE = "none"
EMOTION_TOOLTIP = "The emotion, with the source of its position in brackets. The sources disagree: try several."


class EmotionPreset(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        problems = own_problems()
        # The list is where people look for an emotion that is missing, so it shows the mistakes. It may cut off long
        # lines; the tooltip shows them whole.
        options = [*problems, *(emotion.label for emotion in known_emotions())]
        return io.Schema(
            node_id="EmotiCrafterPreset",
            display_name="Emotion Preset",
            category=CATEGORY,
            **searched_as("named emotion", "joy", "anger", "fear"),
            description="Valence and arousal by the name of an emotion, or of two blended. Your own names go into "
            "models/emoticrafter/emotions.json.",
            inputs=[
                io.Combo.Input(
                    "emotion",
                    options=options,
                    default=EMOTIONS[0].label,
                    tooltip="\n".join([EMOTION_TOOLTIP, *problems]),
                ),
                slider(
                    "intensity",
                    1.0,
                    (0.0, INTENSITY_MAX),
                    "How far from neutral: 0 is neutral, 1 as named, 2 twice as far, up to the edge of the plane.",
                ),
                io.Combo.Input(
                    "blend_with", options=[NONE, *options], default=NONE, tooltip="A second emotion to mix in."
                ),
                slider(
                    "blend",
                    0.5,
                    (0.0, 1.0),
                    "How much of the second emotion: 0 is the first alone, 1 the second alone.",
                ),
            ],
            outputs=[
                *point_outputs(),
                PointsType.Output(display_name="points", tooltip="The same point, for nodes that show points."),
            ],
        )

    @classmethod
    def validate_inputs(cls, emotion: str | None = None) -> bool | str:
        """Checks emotion alone; blend_with is checked when the node runs.

        ComfyUI blames every input that is named here, whichever is wrong.
        """
        if emotion is None:  # linked, so known only when it runs
            return True
        try:
            named_point(emotion)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, emotion: str, intensity: float, blend_with: str, blend: float) -> str:
        return own_version()

    @classmethod
    def execute(cls, emotion: str, intensity: float, blend_with: str, blend: float) -> io.NodeOutput:
        point = named_point(emotion)
        if blend_with != NONE:
            point = blended(point, named_point(blend_with), blend)
        valence, arousal = intensified(point, intensity)
        return io.NodeOutput(valence, arousal, Points((valence,), (arousal,)))
