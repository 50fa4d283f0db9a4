"""VA Encoder, Emotion Injection and Emotional Conditioning."""

import comfy.model_management as memory
from comfy_api.latest import io

from ..emoticrafter import EmotionFeatures
from ..emoticrafter.conditioning import inject_emotion
from ..emoticrafter.va import VA_MAX, VA_MIN
from .loader import EmotionNetworkType
from .networks import Emotion, ManagedNetwork

EmotionType = io.Custom("EMOTION")

CATEGORY = "EmotiCrafter"


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


def conditioning_output() -> io.Output:
    return io.Conditioning.Output(tooltip="The prompt with the emotion, for a KSampler.")


def encode(network: ManagedNetwork, valence: float, arousal: float) -> Emotion:
    features = network.ready().encode(valence, arousal)
    device = memory.intermediate_device()
    return Emotion(network, EmotionFeatures(*(tokens.to(device) for tokens in features)))


def inject(conditioning: list, emotion: Emotion, strength: float) -> io.NodeOutput:
    return io.NodeOutput(inject_emotion(conditioning, emotion.network.ready(), emotion.features, strength))


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
                EmotionType.Input("emotion", tooltip="From VA Encoder."),
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
            ],
            outputs=[conditioning_output()],
        )

    @classmethod
    def execute(
        cls, conditioning: list, network: ManagedNetwork, valence: float, arousal: float, strength: float
    ) -> io.NodeOutput:
        return inject(conditioning, encode(network, valence, arousal), strength)
