"""Emotional CLIP."""

import weakref

from comfy_api.latest import io

from ..emoticrafter.conditioning import ALL_STEPS
from . import inputs
from .emotion_settings import emotion_inputs, inject_settings
from .networks import ManagedNetwork, encode, inject
from .node import Node
from .notices import warn_of_misreaders
from .protected_words import protected_directions
from .steered_clip import plain_clip, steer_clip

TRIED = "two old friends at a table"

# What each CLIP makes of TRIED, for as long as the CLIP exists: moving the point does not run the text encoder again.
_tried: weakref.WeakKeyDictionary[object, list] = weakref.WeakKeyDictionary()


class EmotionalCLIP(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterCLIP",
            display_name="Emotional CLIP",
            category=inputs.CATEGORY,
            **inputs.searched_as("text encoder", "clip", "wildcard", "detailer"),
            description="Gives a CLIP an emotion: all that is encoded with it has the mood. For nodes that encode text "
            "themselves, such as detailers, wildcards, prompt schedules and plots over prompts.",
            inputs=[
                io.Clip.Input("clip", tooltip="From a checkpoint, with or without LoRAs, hooks or clip skip."),
                *emotion_inputs(inputs.words_input()),
            ],
            outputs=[
                io.Clip.Output(
                    display_name="CLIP", tooltip="The CLIP with the emotion, for CLIP Text Encode or a detailer."
                )
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        clip,
        network: ManagedNetwork,
        valence: float,
        arousal: float,
        strength: float,
        protected_words: str = "",
        **others,
    ) -> io.NodeOutput:
        if not strength:
            return io.NodeOutput(clip)
        emotion, settings = encode(network, valence, arousal), inject_settings(network, **others)
        if settings["steps"] != ALL_STEPS:
            warn_of_misreaders(cls.hidden.prompt, cls.hidden.unique_id, "Emotional CLIP")

        def with_emotion(encoder, conditioning: list) -> list:
            protected = protected_directions(encoder, protected_words)
            return inject(conditioning, emotion, strength, protected=protected, **settings)

        # what cannot be is refused here, and not in a detailer minutes later
        with_emotion(clip, _encode_once(clip))
        return io.NodeOutput(steer_clip(clip, with_emotion))


def _encode_once(clip) -> list:
    """A short prompt in a CLIP, without the emotion that it may have."""
    if clip not in _tried:
        plain = plain_clip(clip)
        extra = plain.encode_from_tokens(plain.tokenize(TRIED), return_pooled=True, return_dict=True)
        _tried[clip] = [[extra.pop("cond"), extra]]
    return _tried[clip]
