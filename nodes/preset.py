"""Emotion Preset: a point of the plane by the name of an emotion."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..emoticrafter.emotions import EMOTIONS, OWN_SOURCE, NamedEmotion, OwnEmotions, read_own_emotions
from ..emoticrafter.files import printable
from ..emoticrafter.va import INTENSITY_MAX, Point, blended, intensified
from . import networks
from .emotion import CATEGORY
from .points import Points, PointsType

NONE = "none"
EMOTION_TOOLTIP = "The emotion, and in brackets who says where it lies. The sources disagree: try several."
PROBLEM = f"! {OWN_SOURCE}, "  # begins an entry of the list that tells a mistake


def own_emotions() -> OwnEmotions:
    """What models/emoticrafter/emotions.json holds, or that of another folder of extra_model_paths.yaml."""
    path = folder_paths.get_full_path(networks.FOLDER, OWN_SOURCE)
    return read_own_emotions(Path(path)) if path else OwnEmotions()


def own_version() -> str:
    """Tells one version of the file from the next."""
    return networks.file_version(OWN_SOURCE)


def known_emotions() -> list[NamedEmotion]:
    """People's own before the built-in ones."""
    return [*own_emotions().emotions, *EMOTIONS]


def own_problems() -> list[str]:
    """What is wrong in the user's file, as the list shows it."""
    return [PROBLEM + problem for problem in own_emotions().problems]


def _point(label: str) -> Point:
    for emotion in known_emotions():
        if emotion.label == label:
            return emotion.point
    if str(label).startswith(PROBLEM):  # whoever calls the server may send no text at all
        problem = printable(label.removeprefix("! "))
        raise ValueError(f"{problem}. Correct the file, press R, and choose an emotion.")
    raise ValueError(f"There is no emotion {label!r} any more. {_own_state()} Choose one of the list.")


def _own_state() -> str:
    problems = own_emotions().problems
    if problems:
        return f"{OWN_SOURCE} has mistakes: {'; '.join(problems)}."
    found = folder_paths.get_full_path(networks.FOLDER, OWN_SOURCE)
    return f"Own ones are in {found}." if found else f"models/{networks.FOLDER} has no {OWN_SOURCE}."


class EmotionPreset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        problems = own_problems()
        # The list is where one looks for an emotion that did not come, so it tells the mistakes. It may cut long
        # lines off; the tooltip shows them whole.
        options = [*problems, *(emotion.label for emotion in known_emotions())]
        return io.Schema(
            node_id="EmotiCrafterPreset",
            display_name="Emotion Preset",
            category=CATEGORY,
            description="Valence and arousal by the name of an emotion, or of two blended. Your own names go into "
            "models/emoticrafter/emotions.json.",
            inputs=[
                io.Combo.Input(
                    "emotion",
                    options=options,
                    default=EMOTIONS[0].label,
                    tooltip="\n".join([EMOTION_TOOLTIP, *problems]),
                ),
                io.Float.Input(
                    "intensity",
                    default=1.0,
                    min=0.0,
                    max=INTENSITY_MAX,
                    step=0.05,
                    tooltip="How far from neutral: 0 is neutral, 1 as named, 2 twice as far, up to the plane's edge.",
                ),
                io.Combo.Input(
                    "blend_with",
                    options=[NONE, *options],
                    default=NONE,
                    tooltip="A second emotion to mix in.",
                ),
                io.Float.Input(
                    "blend",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the second emotion: 0 is the first alone, 1 the second alone.",
                ),
            ],
            outputs=[
                io.Float.Output(
                    display_name="valence", tooltip="Pleasantness, -3 to 3: for a valence input."
                ),
                io.Float.Output(display_name="arousal", tooltip="Intensity, -3 to 3: for an arousal input."),
                PointsType.Output(
                    display_name="points", tooltip="The same point, for nodes that show points."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, emotion: str | None = None) -> bool | str:
        """Looks at emotion alone, and blend_with is looked at when the node runs: ComfyUI blames every input that
        is named here, whichever is wrong."""
        if emotion is None:  # linked, and known only when it runs
            return True
        try:
            _point(emotion)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, emotion: str, intensity: float, blend_with: str, blend: float) -> str:
        return own_version()

    @classmethod
    def execute(cls, emotion: str, intensity: float, blend_with: str, blend: float) -> io.NodeOutput:
        point = _point(emotion)
        if blend_with != NONE:
            point = blended(point, _point(blend_with), blend)
        valence, arousal = intensified(point, intensity)
        return io.NodeOutput(valence, arousal, Points((valence,), (arousal,)))
