"""VA Encoder, Emotion Injection and Emotional Conditioning."""

import weakref

import comfy.model_management as memory
from comfy_api.latest import io
from torch import Tensor

from ..emoticrafter import EmotionFeatures
from ..emoticrafter.conditioning import KEEP, ZERO, inject_emotion
from ..emoticrafter.protection import word_directions
from ..emoticrafter.va import VA_MAX, VA_MIN
from .loader import EmotionNetworkType
from .networks import Emotion, ManagedNetwork

EmotionType = io.Custom("EMOTION")

CATEGORY = "EmotiCrafter"
FROM_PROMPT = "from pooled_prompt"

# The last words of each CLIP and their directions, for as long as the CLIP is there: moving the point does not
# load and run the text encoder again.
_directions: weakref.WeakKeyDictionary[object, tuple[tuple[str, ...], Tensor]] = weakref.WeakKeyDictionary()


def network_input() -> io.Input:
    return EmotionNetworkType.Input("network", tooltip="From Load Emotion Network.")


def conditioning_input() -> io.Input:
    return io.Conditioning.Input(
        "conditioning",
        tooltip="An SDXL prompt, from CLIP Text Encode. Areas, masks and ControlNets on it stay.",
    )


def valence_input() -> io.Input:
    return io.Float.Input(
        "valence",
        default=0.0,
        min=VA_MIN,
        max=VA_MAX,
        step=0.05,
        tooltip="Pleasantness: -3 misery, 0 neutral, +3 joy.",
    )


def arousal_input() -> io.Input:
    return io.Float.Input(
        "arousal",
        default=0.0,
        min=VA_MIN,
        max=VA_MAX,
        step=0.05,
        tooltip="Intensity: -3 sleepy and still, 0 neutral, +3 alarmed or elated.",
    )


def strength_input() -> io.Input:
    return io.Float.Input(
        "strength",
        default=1.0,
        min=0.0,
        max=3.0,
        step=0.05,
        tooltip="How much of the emotion to add: 0 is exactly the plain prompt, 1 is as trained, more exaggerates.",
    )


def gain_input(axis: str) -> io.Input:
    return _advanced(
        io.Float.Input(
            f"{axis}_gain",
            default=1.0,
            min=0.0,
            max=2.0,
            step=0.05,
            optional=True,
            tooltip=f"How much of what {axis} does to add: 0 as if {axis} were 0, 1 as trained, more exaggerates it "
            "beside the other, also past the end of the slider.",
        )
    )


def step_input(name: str, default: float, tooltip: str) -> io.Input:
    return _advanced(
        io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, optional=True, tooltip=tooltip)
    )


def protection_inputs() -> list[io.Input]:
    words = io.String.Input(
        "protected_words",
        default="",
        optional=True,
        tooltip="Words that the emotion may not bring in or change, separated by commas, such as: people, face, "
        "animal. Needs clip. Empty protects nothing.",
    )
    clip = io.Clip.Input(
        "clip", optional=True, tooltip="The CLIP that encodes the prompt; only protected_words needs it."
    )
    return [_advanced(words), clip]


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
    widget.extra_dict = {"advanced": True}  # ComfyUI 0.3 takes it in no widget's constructor
    return widget


def conditioning_output() -> io.Output:
    return io.Conditioning.Output(tooltip="The prompt with the emotion, for a KSampler.")


def encode(network: ManagedNetwork, valence: float, arousal: float) -> Emotion:
    features = network.ready().encode(valence, arousal)
    device = memory.intermediate_device()
    return Emotion(network, EmotionFeatures(*(tokens.to(device) for tokens in features)))


def inject(conditioning: list, emotion: Emotion, strength: float, **settings) -> io.NodeOutput:
    network = emotion.network.ready()
    return io.NodeOutput(inject_emotion(conditioning, network, emotion.features, strength, **settings))


def protected_directions(clip, text: str) -> Tensor | None:
    """The directions of the words in a text with commas, None if there are none."""
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not words:
        return None
    if clip is None:
        raise ValueError(
            f"protected_words is {text!r}, but nothing is connected to clip: connect the CLIP that encodes the "
            "prompt, or leave protected_words empty."
        )
    known, basis = _directions.get(clip, ((), None))
    if known != words:
        encoded = [(word, clip.encode(word), _token_count(clip, word)) for word in words]
        _directions[clip] = words, (basis := word_directions(encoded, clip.encode("")))
    return basis


def _token_count(clip, word: str) -> int:
    [windows, *_] = clip.tokenize(word, return_word_ids=True).values()  # of the first of its encoders
    return sum(word_id != 0 for window in windows for _token, _weight, word_id in window)


def chosen_pooled(pooled: str, prompt: list | None) -> str | Tensor:
    if pooled in (KEEP, ZERO):
        return pooled
    if pooled != FROM_PROMPT:  # the list is checked by the browser, not by the server
        raise ValueError(f"pooled is {pooled!r}: expected {KEEP!r}, {ZERO!r} or {FROM_PROMPT!r}.")
    for _features, extra in prompt or []:
        if extra.get("pooled_output") is not None:
            return extra["pooled_output"]
    raise ValueError(
        f"pooled is {FROM_PROMPT!r}, but no prompt with a pooled vector is connected to pooled_prompt: connect a "
        f"CLIP Text Encode, or set pooled to {KEEP!r}."
    )


class VAEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterVAEncoder",
            display_name="VA Encoder",
            category=CATEGORY,
            description="Encodes valence and arousal as emotion features, to be used by any number of Emotion "
            "Injection nodes.",
            inputs=[network_input(), valence_input(), arousal_input()],
            outputs=[EmotionType.Output("emotion", tooltip="Emotion features, for Emotion Injection.")],
        )

    @classmethod
    def execute(cls, network: ManagedNetwork, valence: float, arousal: float) -> io.NodeOutput:
        return io.NodeOutput(encode(network, valence, arousal))


class EmotionInjection(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterInjection",
            display_name="Emotion Injection",
            category=CATEGORY,
            description="Adds the emotion of a VA Encoder to a prompt.",
            inputs=[
                conditioning_input(),
                EmotionType.Input("emotion", tooltip="From VA Encoder, Emotion Grid or Emotion Path."),
                strength_input(),
            ],
            outputs=[conditioning_output()],
        )

    @classmethod
    def execute(cls, conditioning: list, emotion: Emotion, strength: float) -> io.NodeOutput:
        return inject(conditioning, emotion, strength)


class EmotionalConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterConditioning",
            display_name="Emotional Conditioning",
            category=CATEGORY,
            description="Gives a prompt an emotion: put it between CLIP Text Encode and KSampler, on the positive "
            "prompt, the negative one, or both.",
            inputs=[
                conditioning_input(),
                network_input(),
                valence_input(),
                arousal_input(),
                strength_input(),
                gain_input("valence"),
                gain_input("arousal"),
                step_input(
                    "start_percent",
                    0.0,
                    "Where in the denoising the emotion begins; before it the plain prompt lays out the picture.",
                ),
                step_input(
                    "end_percent",
                    1.0,
                    "Where in the denoising the emotion ends; after it the plain prompt paints the details.",
                ),
                *protection_inputs(),
                *pooled_inputs(),
            ],
            outputs=[conditioning_output()],
        )

    @classmethod
    def execute(
        cls,
        conditioning: list,
        network: ManagedNetwork,
        valence: float,
        arousal: float,
        strength: float,
        valence_gain: float = 1.0,
        arousal_gain: float = 1.0,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
        protected_words: str = "",
        clip=None,
        pooled: str = KEEP,
        pooled_prompt: list | None = None,
    ) -> io.NodeOutput:
        settings = {"gains": (valence_gain, arousal_gain), "steps": (start_percent, end_percent)}
        if (
            strength
        ):  # all settings are off without it: none asks for what is not connected, or runs an encoder
            settings["protected"] = protected_directions(clip, protected_words)
            settings["pooled"] = chosen_pooled(pooled, pooled_prompt)
        return inject(conditioning, encode(network, valence, arousal), strength, **settings)
