"""The settings of a baseline's training: one dataclass, of which the command line is made."""

from dataclasses import dataclass

from trainer.core.settings import option
from trainer.pictures.settings import Learning

TOKENS = {"cross-attention": 4, "time-embedding": 1, "textual-inversion": 2}
"""The methods of emoticrafter.research.baselines, and K of each if none is asked for."""


@dataclass(frozen=True)
class Settings(Learning):
    """The settings that decide what is learned; a run's folder goes on only with the same."""

    method: str = option("what is fitted (%(default)s)", "cross-attention", choices=tuple(TOKENS), required=True)
    tokens: int = option(
        "K, tokens or learned words per emotion axis; 0: 4 tokens, 1 for the time, 2 words (%(default)s)", 0
    )
    width: int = option("E, the width of the V-A encoder (%(default)s)", 256)
    hidden: int = option("the hidden width of its two MLPs (%(default)s)", 256)
    word: str = option("the word that every learned word begins as (%(default)s)", "mood")
    template: str = option("what textual inversion encodes in place of a prompt (%(default)s)", "{prompt}, {emotion}")

    def __post_init__(self):
        problems = [
            *self.problems(),
            *(
                f"{name} is {getattr(self, name)}: expected more than 0"
                for name in ("width", "hidden", "snr_limit")
                if not getattr(self, name) > 0
            ),
        ]
        if self.method not in TOKENS:
            problems.append(f"method is {self.method!r}: expected one of {', '.join(TOKENS)}")
        if self.tokens < 0:
            problems.append(f"tokens is {self.tokens}: expected 0 or more")
        if problems:
            raise ValueError("; ".join(problems) + ".")
