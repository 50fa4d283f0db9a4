"""The words that an emotion may not bring in or change, as directions of the CLIP that encodes the prompt."""

import logging
import weakref
from collections.abc import Sequence

from torch import Tensor

from ..emoticrafter.interleaved import is_interleaved, keys_and_signs
from ..emoticrafter.protection import word_directions
from ..emoticrafter.quoting import quoted
from ..emoticrafter.typed import read_words
from .steered_clip import plain_clip

MOST_WORDS = 100
MOST_SHOWN = 20  # protected words in a message
MOST_KEPT = 4  # lists of a CLIP: two emotions on one CLIP may protect different words

log = logging.getLogger("emoticrafter")

# Each CLIP's last lists of words and their directions, for as long as the CLIP exists: moving the point does not run
# the text encoder again.
_directions: weakref.WeakKeyDictionary[object, dict[tuple[str, ...], Tensor]] = weakref.WeakKeyDictionary()


def protected_directions(clip, text: str) -> Tensor | None:
    """The directions of a list of words in a CLIP, without the emotion that it may have; None without words."""
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
    known = _directions.setdefault(clip, {})
    if words not in known:
        log.info("[EmotiCrafter] protected_words has %s", _counted(words))
        known[words] = _encoded_directions(plain_clip(clip), words)
        if len(known) > MOST_KEPT:
            del known[next(iter(known))]
    return known[words]


def _encoded_directions(clip, words: tuple[str, ...]) -> Tensor:
    unscheduled = _at_first_keyframes(clip)
    encoded = [(word, _encode(unscheduled, word), _token_count(clip, word)) for word in words]
    return word_directions(encoded, _encode(unscheduled, ""))


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
