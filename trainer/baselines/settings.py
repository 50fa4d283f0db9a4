"""The settings of a baseline's training: one dataclass, of which the command line is made."""

import dataclasses
from dataclasses import dataclass

from trainer.core.settings import setting

TOKENS = {"cross-attention": 4, "time-embedding": 1, "textual-inversion": 2}
"""The methods of emoticrafter.research.baselines, and K of each if none is asked for."""


@dataclass(frozen=True)
class Settings:
    """The settings that decide what is learned; a run's folder goes on only with the same."""

    method: str = setting("cross-attention", "method", "what is fitted", tuple(TOKENS))
    tokens: int = setting(
        0, "method", "K, tokens or learned words per emotion axis; 0: 4 tokens, 1 for the time, 2 words"
    )
    width: int = setting(256, "method", "E, the width of the V-A encoder")
    hidden: int = setting(256, "method", "the hidden width of its two MLPs")
    word: str = setting("mood", "method", "the word that every learned word begins as")
    template: str = setting(
        "{prompt}, {emotion}", "method", "what textual inversion encodes in place of a prompt"
    )
    steps: int = setting(600, "optimisation", "steps of AdamW")
    batch: int = setting(32, "optimisation", "pictures a step")
    lr: float = setting(1e-3, "optimisation", "AdamW's largest learning rate")
    ema: float = setting(0.99, "optimisation", "decay of the moving average that is saved")
    seed: int = setting(
        0, "optimisation", "decides the first weights, the order of the pictures and the noise"
    )
    empty_share: float = setting(
        0.05, "optimisation", "samples without a prompt, so that an empty one can have an emotion too"
    )
    snr_limit: float = setting(5.0, "optimisation", "the largest weight of a noise level")

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
