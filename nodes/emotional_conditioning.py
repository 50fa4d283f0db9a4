"""Emotional Conditioning."""

import logging
import weakref
from collections.abc import Sequence

from comfy_api.latest import io
from torch import Tensor

from ..emoticrafter.conditioning import ALL_STEPS, KEEP, ZERO
from ..emoticrafter.interleaved import is_interleaved, keys_and_signs
from ..emoticrafter.protection import word_directions
from ..emoticrafter.quoting import quoted
from ..emoticrafter.typed import read_words
from . import inputs
from .inputs import FROM_PROMPT
from .networks import ManagedNetwork, encode, inject
from .node import Node
from .notices import warn_of_misreaders

MOST_WORDS = 100
MOST_SHOWN = 20  # protected words in a message

log = logging.getLogger("emoticrafter")

# Each CLIP's last words and their directions, for as long as the CLIP exists: moving the point does not run the text
# encoder again.
_directions: weakref.WeakKeyDictionary[object, tuple[tuple[str, ...], Tensor]] = weakref.WeakKeyDictionary()


class EmotionalConditioning(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmotiCrafterConditioning",
            display_name="Emotional Conditioning",
            category=inputs.CATEGORY,
            **inputs.searched_as("emoticrafter", "emotional prompt"),
            description="Gives a prompt an emotion: put it between CLIP Text Encode and KSampler, on the positive "
            "prompt, the negative one, or both.",
            inputs=[
                inputs.conditioning_input(),
                inputs.network_input(),
                inputs.valence_input(),
                inputs.arousal_input(),
                inputs.strength_input(),
                inputs.gain_input("valence"),
                inputs.gain_input("arousal"),
                inputs.step_input(
                    "start_percent",
                    0.0,
                    "Where in the denoising the emotion begins; before it the plain prompt lays out the picture.",
                ),
                inputs.step_input(
                    "end_percent",
                    1.0,
                    "Where in the denoising the emotion ends; after it the plain prompt paints the details.",
                ),
                *inputs.protection_inputs(),
                *inputs.pooled_inputs(),
            ],
            outputs=[inputs.conditioning_output()],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
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
        if strength:  # without it no setting has an effect: none may ask for a link or run an encoder
            settings["protected"] = protected_directions(clip, protected_words)
            settings["pooled"] = chosen_pooled(pooled, pooled_prompt)
            if settings["steps"] != ALL_STEPS:
                warn_of_misreaders(cls.hidden.prompt, cls.hidden.unique_id)
        emotion = encode(network, valence, arousal)
        return io.NodeOutput(inject(conditioning, emotion, strength, **settings))


def protected_directions(clip, text: str) -> Tensor | None:
    """The directions of a list of words, None without words."""
    words = tuple(dict.fromkeys(read_words(text)))
    if not words:
        return None
    if len(words) > MOST_WORDS:
        raise ValueError(f"protected_words has {_counted(words)}: expected at most {MOST_WORDS}, as each is encoded.")
    if clip is None:
        raise ValueError(
            f"protected_words has {_counted(words)}, but nothing is connected to clip: connect the CLIP that encodes "
            "the prompt, or leave protected_words empty."
        )
    known, basis = _directions.get(clip, ((), None))
    if known != words:
        log.info("[EmotiCrafter] protected_words has %s", _counted(words))
        unscheduled = _at_first_keyframes(clip)
        encoded = [(word, _encode(unscheduled, word), _token_count(clip, word)) for word in words]
        _directions[clip] = words, (basis := word_directions(encoded, _encode(unscheduled, "")))
    return basis


def _counted(words: Sequence[str]) -> str:
    """The words as they were read, for messages: a separator that was not meant or not known shows."""
    more = f" and {len(words) - MOST_SHOWN} more" if len(words) > MOST_SHOWN else ""
    listed = ", ".join(map(quoted, words[:MOST_SHOWN])) + more
    return f"1 word or phrase: {listed}" if len(words) == 1 else f"{len(words)} words or phrases: {listed}"


def _at_first_keyframes(clip):
    """The CLIP itself, or a clone whose scheduled hooks stand at their first keyframe, whatever was sampled before.

    The hooks of a CLIP and of its clones share their keyframes with those that the sampler moves, so the clone gets
    keyframes of its own.
    """
    if clip.patcher.forced_hooks is None:
        return clip
    clip = clip.clone()
    for hook in clip.patcher.forced_hooks.hooks:
        hook.hook_keyframe = hook.hook_keyframe.clone()
    return clip


def _encode(clip, text: str) -> Tensor:
    features = clip.encode(text)
    return keys_and_signs(features)[0] if is_interleaved(features) else features


def _token_count(clip, word: str) -> int:
    [windows, *_] = clip.tokenize(word, return_word_ids=True).values()  # from the first of its encoders
    return sum(word_id != 0 for window in windows for _token, _weight, word_id in window)


def chosen_pooled(pooled: str, prompt: list | None) -> str | Tensor:
    if pooled in (KEEP, ZERO):
        return pooled
    if pooled != FROM_PROMPT:  # only the browser checks the list
        raise ValueError(f"pooled is {quoted(pooled)}: expected {KEEP!r}, {ZERO!r} or {FROM_PROMPT!r}.")
    for _features, extra in prompt or []:
        if extra.get("pooled_output") is not None:
            return extra["pooled_output"]
    raise ValueError(
        f"pooled is {FROM_PROMPT!r}, but no prompt with a pooled vector is connected to pooled_prompt: connect a "
        f"CLIP Text Encode, or set pooled to {KEEP!r}."
    )
