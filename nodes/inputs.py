"""The widgets and sockets that several nodes share, so that one name looks and means the same everywhere."""

from collections.abc import Mapping
from dataclasses import fields

from comfy_api.latest import io

from ..emoticrafter.conditioning import KEEP, ZERO
from ..emoticrafter.va import VA_MAX, VA_MIN

CATEGORY = "EmotiCrafter"

EmotionNetworkType = io.Custom("EMOTION_NETWORK")
EmotionType = io.Custom("EMOTION")

FROM_PROMPT = "from pooled_prompt"

SEARCH_WORDS = ("emotion", "mood", "feeling", "affect", "sentiment", "valence", "arousal", "happy", "sad")


def searched_as(*words: str) -> Mapping[str, list[str]]:
    """Arguments of Schema that let SEARCH_WORDS and `words` find the node; none where ComfyUI (0.3.75) takes none."""
    takes_them = "search_aliases" in {field.name for field in fields(io.Schema)}
    return {"search_aliases": [*SEARCH_WORDS, *words]} if takes_them else {}


def network_input() -> io.Input:
    return EmotionNetworkType.Input("network", tooltip="From Load Emotion Network.")


def conditioning_input() -> io.Input:
    return io.Conditioning.Input(
        "conditioning", tooltip="A prompt, from CLIP Text Encode. Areas, masks and ControlNets on it stay."
    )


def slider(
    name: str, default: float, bounds: tuple[float, float], tooltip: str, step: float = 0.05, **more
) -> io.Input:
    low, high = bounds
    return io.Float.Input(name, default=default, min=low, max=high, step=step, tooltip=tooltip, **more)


def axis_input(name: str, tooltip: str, default: float = 0.0) -> io.Input:
    return slider(name, default, (VA_MIN, VA_MAX), tooltip)


def valence_input() -> io.Input:
    return axis_input("valence", "Pleasantness: -3 misery, 0 neutral, +3 joy.")


def arousal_input() -> io.Input:
    return axis_input("arousal", "Intensity: -3 sleepy and still, 0 neutral, +3 alarmed or elated.")


def strength_input() -> io.Input:
    tooltip = "How much of the emotion to add: 0 is exactly the plain prompt, 1 is as trained, more exaggerates."
    return slider("strength", 1.0, (0.0, 3.0), tooltip)


def gain_input(axis: str) -> io.Input:
    tooltip = (
        f"Scales the effect of {axis} alone: 0 as if {axis} were 0, 1 as trained, more exaggerates it, "
        "even past the end of the slider."
    )
    return _advanced(slider(f"{axis}_gain", 1.0, (0.0, 2.0), tooltip, optional=True))


def _step_input(name: str, default: float, tooltip: str) -> io.Input:
    return _advanced(slider(name, default, (0.0, 1.0), tooltip, step=0.01, optional=True))


def step_inputs() -> list[io.Input]:
    start = "Where in the denoising the emotion begins; before it the plain prompt lays out the picture."
    end = "Where in the denoising the emotion ends; after it the plain prompt paints the details."
    return [_step_input("start_percent", 0.0, start), _step_input("end_percent", 1.0, end)]


def composition_input() -> io.Input:
    tooltip = (
        "Keeps the plain picture's composition: 0 not at all, 1 wholly, which leaves no emotion. It begins the emotion "
        "later, as measured for the network's kind of model; a start_percent that is later still counts."
    )
    return _advanced(slider("composition", 0.0, (0.0, 1.0), tooltip, optional=True))


def words_input(needs: str = "") -> io.Input:
    words = io.String.Input(
        "protected_words",
        default="",
        optional=True,
        tooltip="Words that the emotion may not bring in or change, separated by commas, such as: people, face, "
        f"animal. {needs}Empty protects nothing.",
    )
    return _advanced(words)


def protection_inputs() -> list[io.Input]:
    clip = io.Clip.Input(
        "clip", optional=True, tooltip="The CLIP that encodes the prompt; only protected_words needs it."
    )
    return [words_input("Needs clip. "), clip]


def clip_vision_input() -> io.Input:
    tooltip = (
        "From Load CLIP Vision. A reader of heads on CLIP's features needs the model that it was trained with; the "
        "miniature's reader needs none."
    )
    return io.ClipVision.Input("clip_vision", optional=True, tooltip=tooltip)


def pooled_inputs() -> list[io.Input]:
    pooled = io.Combo.Input(
        "pooled",
        options=[KEEP, ZERO, FROM_PROMPT],
        default=KEEP,
        optional=True,
        tooltip="The prompt's pooled vector, which SDXL reads beside the tokens. keep: as it is, as published. zero: "
        "none. from pooled_prompt: that of another prompt.",
    )
    prompt = io.Conditioning.Input(
        "pooled_prompt",
        optional=True,
        tooltip="A prompt whose pooled vector is used when pooled is 'from pooled_prompt', such as the same words "
        "with a mood in them.",
    )
    return [_advanced(pooled), prompt]


def _advanced(widget: io.Input) -> io.Input:
    widget.extra_dict = {"advanced": True}  # no widget's constructor takes it in ComfyUI 0.3
    return widget


def conditioning_output(tooltip: str = "The prompt with the emotion, for a KSampler.") -> io.Output:
    return io.Conditioning.Output(display_name="CONDITIONING", tooltip=tooltip)


def point_outputs() -> list[io.Output]:
    return [
        io.Float.Output(display_name="valence", tooltip="Pleasantness, -3 to 3: for a valence input."),
        io.Float.Output(display_name="arousal", tooltip="Intensity, -3 to 3: for an arousal input."),
    ]
