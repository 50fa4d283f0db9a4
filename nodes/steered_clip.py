"""A CLIP whose encodings pass through a function on their way out, whoever asks for them.

The function sits where every node that encodes text comes by: in `encode_from_tokens` and
`encode_from_tokens_scheduled`, of which ComfyUI's other ways to encode make use. It is no patch of the text encoder,
which the CLIP and its clones share, so the CLIP that was given encodes as before.
"""

import copy
from collections.abc import Callable
from functools import cache

from torch import Tensor

Change = Callable[[object, list], list]
"""The CLIP and what it has encoded -> the conditioning to give instead."""


def steer_clip(clip, *changes: Change):
    """A clone of a CLIP that applies `changes` to whatever it encodes, after those that it has already."""
    return _steered(clip.clone(), (*getattr(clip, "changes", ()), *changes))


def plain_clip(clip):
    """What a CLIP is without `steer_clip`: itself if it never was there, else a view on the same patches and hooks."""
    if not isinstance(clip, _Steered):
        return clip
    plain = copy.copy(clip)
    plain.__class__ = clip.plain_kind
    del plain.changes
    return plain


class _Steered:
    """Mixed into the class of a CLIP, before it.

    Works on whole conditionings, as a node behind the plain CLIP would, so that both give the same numbers.
    """

    plain_kind: type
    """The class of the CLIP without this."""
    changes: tuple[Change, ...]

    def clone(self, *arguments, **keywords):
        # ComfyUI's makes a plain CLIP, whatever it clones
        return _steered(plain_clip(self).clone(*arguments, **keywords), self.changes)

    def encode_from_tokens_scheduled(self, *arguments, **keywords) -> list:
        return self._changed(plain_clip(self).encode_from_tokens_scheduled(*arguments, **keywords))

    def encode_from_tokens(
        self, tokens: dict, return_pooled: bool | str = False, return_dict: bool = False
    ) -> Tensor | tuple[Tensor, Tensor | None] | dict:
        # as a dict in any case: an attention mask says which tokens to change
        extra = plain_clip(self).encode_from_tokens(tokens, return_pooled=return_pooled, return_dict=True)
        changed = self._changed([[extra.pop("cond"), extra]])
        if len(changed) != 1:
            raise ValueError(
                f"start_percent and end_percent of the Emotional CLIP make {len(changed)} entries that follow each "
                "other, and the node that encodes this prompt takes one: set them to 0 and 1, or encode with CLIP Text "
                "Encode."
            )
        [[features, extra]] = changed
        if return_dict:
            return {"cond": features, **extra}
        return (features, extra.get("pooled_output")) if return_pooled else features

    def _changed(self, conditioning: list) -> list:
        for change in self.changes:
            conditioning = change(self, conditioning)
        return conditioning


def _steered(clip, changes: tuple[Change, ...]):
    """Makes a CLIP that nobody else holds a steered one."""
    if not isinstance(clip, _Steered):
        clip.__class__ = _steered_kind(type(clip))
    clip.changes = changes
    return clip


@cache
def _steered_kind(kind: type) -> type:
    return type(f"Steered{kind.__name__}", (_Steered, kind), {"plain_kind": kind})
