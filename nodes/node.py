"""The base class of the nodes: inputs of the right type and size, and errors that can be printed."""

from collections.abc import Callable
from numbers import Integral, Real

from comfy_api.latest import io
from torch import Tensor

from ..emoticrafter.quoting import printable_errors, quoted
from .networks import Emotion, ManagedNetwork
from .points import Points

LONGEST_TEXT = 100_000
"""Characters of a text widget: far above any prompt, and far below what holds the queue up."""


class Node(io.ComfyNode):
    """A node of this pack.

    ComfyUI compares the types of links, but neither a constant in a link's place nor what a link really carries.
    """

    @classmethod
    def EXECUTE_NORMALIZED(cls, **inputs) -> io.NodeOutput:
        """What ComfyUI calls to run the node."""
        with printable_errors():
            for declared in cls.SCHEMA.inputs:
                if declared.id in inputs:
                    _check(declared, inputs[declared.id], cls.SCHEMA.is_input_list)
            return super().EXECUTE_NORMALIZED(**inputs)


def _check(declared: io.Input, value: object, comes_as_list: bool) -> None:
    """Raises TypeError or ValueError, by name, for an input of another type, or a text that is too long."""
    if declared.io_type not in TYPES:
        return
    fits, expected = TYPES[declared.io_type]
    for one in value if comes_as_list else [value]:
        if one is None and declared.optional:
            continue
        if not fits(one):
            raise TypeError(f"{declared.id} is {quoted(one)}: expected {expected}.")
        if isinstance(one, str) and len(one) > LONGEST_TEXT:
            raise ValueError(f"{declared.id} has {len(one):,} characters: expected at most {LONGEST_TEXT:,}.")


def _is(*kinds: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kinds)


def _has(*names: str) -> Callable[[object], bool]:
    return lambda value: all(hasattr(value, name) for name in names)


def _is_conditioning(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_entry, value))


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, list | tuple)
        and len(entry) == 2
        and isinstance(entry[0], Tensor | None)
        and isinstance(entry[1], dict)
    )


def _is_latent(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("samples"), Tensor)


TYPES: dict[str, tuple[Callable[[object], bool], str]] = {
    "BOOLEAN": (_is(Integral), "true or false"),
    "INT": (_is(Integral), "a whole number"),
    "FLOAT": (_is(Real), "a number"),
    "STRING": (_is(str), "text"),
    "COMBO": (_is(str), "one of its list"),
    "CONDITIONING": (_is_conditioning, "a link from CLIP Text Encode or another node that gives a conditioning"),
    "LATENT": (_is_latent, "a link from Empty Latent Image or another node that gives a latent"),
    "IMAGE": (_is(Tensor), "a link from a node that gives pictures"),
    "MASK": (_is(Tensor), "a link from a node that gives a mask"),
    "MODEL": (_has("clone", "model"), "a link from a node that loads a model"),
    "CLIP": (_has("tokenize", "patcher"), "a link from a node that loads a CLIP"),
    "CLIP_VISION": (_has("encode_image"), "a link from Load CLIP Vision"),
    "EMOTION_NETWORK": (_is(ManagedNetwork), "a link from Load Emotion Network"),
    "EMOTION": (_is(Emotion), "a link from V-A Encoder, Emotion Grid or Emotion Path"),
    "EMOTION_POINTS": (_is(Points), "a link from Emotion Grid, Emotion Path or another node that gives points"),
}
"""Type of an input -> whether a value has it, and what to say of one that has not."""
