"""A CLIP whose encodings pass through functions on their way out, whoever asks for them.

The functions sit where every node that encodes text comes by: in `encode_from_tokens` and
`encode_from_tokens_scheduled`, of which ComfyUI's other ways to encode make use. There they get whole conditionings, as
a node behind the plain CLIP would, so that both give the same numbers. Nodes that go past the CLIP find its text
encoders patched (`text_encoder_patches`). The CLIP that was given encodes as before.
"""

import copy
from functools import cache

from torch import Tensor

from .text_encoder_patches import Change, changed_entry, patch_encoders, plain_encoders


def steer_clip(clip, change: Change):
    """A clone of a CLIP that applies `change` to whatever it encodes, after those that it has already."""
    changes = (*getattr(clip, "changes", ()), change)
    steered = _steered(clip.clone(), changes)
    patch_encoders(steered.patcher, clip, changes)
    return steered


def plain_clip(clip):
    """What a CLIP is without `steer_clip`: itself if it never was there, else a view on the same patches and hooks."""
    if not isinstance(clip, _Steered):
        return clip
    plain = copy.copy(clip)
    del plain.changes
    return _as(_Plain, plain, clip.kind)


class _Steered:
    """Mixed into the class of a CLIP, before it; has the attribute `changes`."""

    kind: type
    """The class of the CLIP without this."""

    def clone(self, *arguments, **keywords):
        # ComfyUI's makes a plain CLIP, whatever it clones
        return _steered(super().clone(*arguments, **keywords), self.changes)

    def encode_from_tokens_scheduled(self, *arguments, **keywords) -> list:
        conditioning = plain_clip(self).encode_from_tokens_scheduled(*arguments, **keywords)
        for change in self.changes:
            conditioning = change(self, conditioning)
        return conditioning

    def encode_from_tokens(
        self, tokens: dict, return_pooled: bool | str = False, return_dict: bool = False
    ) -> Tensor | tuple[Tensor, Tensor | None] | dict:
        # as a dict in any case: an attention mask says which tokens to change
        extra = plain_clip(self).encode_from_tokens(tokens, return_pooled=return_pooled, return_dict=True)
        features, extra = changed_entry(self, self.changes, extra.pop("cond"), extra)
        if return_dict:
            return {"cond": features, **extra}
        return (features, extra.get("pooled_output")) if return_pooled else features


class _Plain:
    """Mixed into the class of a CLIP, before it: encodes past the patches."""

    kind: type

    def clone(self, *arguments, **keywords):
        return _as(_Plain, super().clone(*arguments, **keywords), self.kind)

    def encode_from_tokens_scheduled(self, *arguments, **keywords) -> list:
        with plain_encoders():
            return super().encode_from_tokens_scheduled(*arguments, **keywords)

    def encode_from_tokens(self, *arguments, **keywords) -> Tensor | tuple | dict:
        with plain_encoders():
            return super().encode_from_tokens(*arguments, **keywords)


def _steered(clip, changes: tuple[Change, ...]):
    """Makes a CLIP that nobody else holds a steered one."""
    if not isinstance(clip, _Steered):
        _as(_Steered, clip, type(clip))
    clip.changes = changes
    return clip


def _as(mixin: type, clip, kind: type):
    clip.__class__ = _mixed(mixin, kind)
    return clip


@cache
def _mixed(mixin: type, kind: type) -> type:
    return type(f"{mixin.__name__}{kind.__name__}", (mixin, kind), {"kind": kind})
