"""The settings of a baseline's training: one dataclass, of which the command line is made."""

import dataclasses
from dataclasses import dataclass

from trainer.core.settings import option

TOKENS = {"cross-attention": 4, "time-embedding": 1, "textual-inversion": 2}
"""The methods of emoticrafter.research.baselines, and K of each if none is asked for."""


@dataclass(frozen=True)
class Settings:
    """The settings that decide what is learned; a run's folder goes on only with the same."""

    method: str = option("what is fitted (%(default)s)", "cross-attention", choices=tuple(TOKENS), required=True)
    tokens: int = option(
        "K, tokens or learned words per emotion axis; 0: 4 tokens, 1 for the time, 2 words (%(default)s)", 0
    )
    width: int = option("E, the width of the V-A encoder (%(default)s)", 256)
    hidden: int = option("the hidden width of its two MLPs (%(default)s)", 256)
    word: str = option("the word that every learned word begins as (%(default)s)", "mood")
    template: str = option("what textual inversion encodes in place of a prompt (%(default)s)", "{prompt}, {emotion}")
    steps: int = option("steps of AdamW (%(default)s)", 600)
    batch: int = option("pictures a step (%(default)s)", 32)
    lr: float = option("AdamW's largest learning rate (%(default)s)", 1e-3)
    ema: float = option("decay of the moving average that is saved (%(default)s)", 0.99)
    seed: int = option("decides the first weights, the order of the pictures and the noise (%(default)s)", 0)
    empty_share: float = option(
        "samples without a prompt, so that an empty one can have an emotion too (%(default)s)", 0.05
    )
    snr_limit: float = option("the largest weight of a noise level (%(default)s)", 5.0)

    def __post_init__(self):
        problems = [
            f"{name} is {getattr(self, name)}: expected more than 0"
            for name in ("steps", "batch", "lr", "width", "hidden", "snr_limit")
            if not getattr(self, name) > 0
        ]
        if self.method not in TOKENS:
            problems.append(f"method is {self.method!r}: expected one of {', '.join(TOKENS)}")
        if self.seed < 0 or self.tokens < 0:
            problems.append(f"seed is {self.seed} and tokens {self.tokens}: expected 0 or more")
        if not 0 <= self.ema < 1 or not 0 <= self.empty_share <= 1:
            problems.append(f"ema is {self.ema} and empty_share {self.empty_share}: expected shares of 1")
        if problems:
            raise ValueError("; ".join(problems) + ".")

    def as_json(self) -> dict:
        return dataclasses.asdict(self)
