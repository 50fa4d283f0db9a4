"""Brings what a steered CLIP does to nodes that go past the CLIP, to its text encoders.

Some packs call `clip.cond_stage_model.encode_token_weights`, and some each of its encoders by itself, to weigh words in
their own way. For them the encoders are patched, as packs do that, through the CLIP's patcher: ComfyUI puts the patches
in when that CLIP is loaded, and takes them out when another clone is.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import takewhile

import torch
from torch import Tensor

from ..emoticrafter.encoders import find_family
from .notices import tell

Change = Callable[[object, list], list]
"""A CLIP and what it has encoded -> the conditioning to give instead."""
Windows = list[list[tuple]]
"""For each window of a prompt its (token, weight), as ComfyUI's encoders take it."""

METHOD = "encode_token_weights"

_plain: ContextVar[bool] = ContextVar("plain", default=False)


@contextmanager
def plain_encoders() -> Iterator[bool]:
    """Within it the patches change nothing; tells whether that was so before."""
    was_plain = _plain.get()
    before = _plain.set(True)
    try:
        yield was_plain
    finally:
        _plain.reset(before)


def changed_entry(clip, changes: Sequence[Change], features: Tensor, extra: dict) -> tuple[Tensor, dict]:
    """One entry of a conditioning after all changes.

    Raises:
        ValueError: They make more than one of it.
    """
    conditioning = [[features, extra]]
    for change in changes:
        conditioning = change(clip, conditioning)
    if len(conditioning) != 1:
        raise ValueError(
            "composition, start_percent and end_percent of the Emotional CLIP make "
            f"{len(conditioning)} entries that follow each other, and the node that encodes this prompt takes one: set "
            "them to 0, 0 and 1, or encode with CLIP Text Encode."
        )
    return tuple(conditioning[0])


def patch_encoders(patcher, clip, changes: Sequence[Change]) -> None:
    """Patches the text encoders of a patcher.

    Args:
        patcher: Of a clone of `clip`.
        clip: What `changes` get. Not that clone, which would then hold itself.
        changes: All of them, those of earlier patches as well.
    """
    patcher.add_object_patch(METHOD, _Whole(_unpatched(patcher, METHOD), clip, changes))
    family = find_family(patcher.model)
    if family is None or family.window is None:
        return
    names = [name for name, part in patcher.model.named_children() if hasattr(part, METHOD)]  # CLIP-L before CLIP-G
    parts = {name.removeprefix("clip_"): _unpatched(patcher, f"{name}.{METHOD}") for name in names}
    for name, letter in zip(names, parts, strict=True):
        patcher.add_object_patch(f"{name}.{METHOD}", _Part(letter, parts, clip, changes))


def _unpatched(patcher, path: str) -> Callable:
    """A method of a model as it is without ours, but with the patches of other packs."""
    found = patcher.get_model_object(path)
    return found.original if isinstance(found, _Whole | _Part) else found


class _Whole:
    """The text encoder of a CLIP."""

    def __init__(self, original: Callable, clip, changes: Sequence[Change]):
        self.original, self.clip, self.changes = original, clip, changes

    def __call__(self, tokens: dict) -> tuple:
        with plain_encoders() as was_plain:
            features, pooled, *more = self.original(tokens)
        if was_plain:
            return features, pooled, *more
        extra = {"pooled_output": pooled, **(more[0] if more else {})}
        features, extra = changed_entry(self.clip, self.changes, features, extra)
        return features, extra.pop("pooled_output"), *([extra] if more else [])


class _Part:
    """One of the encoders whose features lie side by side in those of a CLIP.

    A network reads them together, so the others encode the text as well.
    """

    def __init__(self, letter: str, parts: dict[str, Callable], clip, changes: Sequence[Change]):
        self.letter, self.parts, self.clip, self.changes = letter, parts, clip, changes
        # an empty prompt shows what each pads with: [start, end, pad, pad, ...]
        self.pads = {letter: windows[0][-1][0] for letter, windows in clip.tokenize("").items()}
        self.end = clip.tokenize("")[letter][0][1][0]

    @property
    def original(self) -> Callable:
        return self.parts[self.letter]

    def __call__(self, windows: Windows) -> tuple:
        with plain_encoders() as was_plain:
            own, own_pooled, *more = self.original(windows)
            if was_plain:
                return own, own_pooled, *more
            if not all(isinstance(token, int) for window in windows for token, *_ in window):
                tell(
                    "A node calls the encoders of an Emotional CLIP one by one, with an embedding in the prompt: that "
                    "prompt stays without the emotion. Put Emotional Conditioning behind that node."
                )
                return own, own_pooled, *more
            found = {letter: encode(self._padded(windows, letter))[:2] for letter, encode in self._others()}
        found[self.letter] = own, own_pooled
        features = torch.cat([found[letter][0] for letter in self.parts], dim=-1)
        last = [*self.parts][-1]  # the one whose pooled vector the model reads
        features, extra = changed_entry(self.clip, self.changes, features, {"pooled_output": found[last][1]})
        start = sum(found[letter][0].shape[-1] for letter in takewhile(self.letter.__ne__, self.parts))
        pooled = extra["pooled_output"] if self.letter == last else own_pooled
        # in one piece, as the encoder gives it: sums over it round in the same order
        return features[..., start : start + own.shape[-1]].contiguous(), pooled, *more

    def _others(self) -> list[tuple[str, Callable]]:
        return [(letter, encode) for letter, encode in self.parts.items() if letter != self.letter]

    def _padded(self, windows: Windows, letter: str) -> Windows:
        """The same text as another encoder takes it."""
        return [list(self._padded_window(window, self.pads[letter])) for window in windows]

    def _padded_window(self, window: list[tuple], pad: int) -> Iterator[tuple]:
        ended = False
        for token, *more in window:
            yield (pad if ended else token, *more)
            ended = ended or token == self.end
