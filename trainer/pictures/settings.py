"""What is learned from, and how: the dataclasses of which the command lines are made. Loads no model library."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from trainer.core.settings import option

TEACHERS = ("words", "labels", "reader")
LATER = {"guidance": 1.0, "residual_scale": 1.0, "contrary_share": 0.0}
"""Settings that recipes of before lack, which had these values."""


@dataclass(frozen=True)
class Source:
    """A frozen model, and pictures for it."""

    miniature: Path | None = option("a run of python -m trainer.miniature", None, exclusive=True, metavar="RUN")
    sdxl: Path | None = option("SDXL in diffusers' layout", None, exclusive=True, metavar="FOLDER")
    manifest: Path | None = option(
        "with --sdxl: the pictures (see trainer/evaluation/manifest.py)", None, metavar="FILE"
    )
    resolution: int = option("with --sdxl: pixels of a side (%(default)s)", 1024)

    def __post_init__(self):
        if bool(self.sdxl) != bool(self.manifest):
            raise ValueError("--sdxl and --manifest go together: a model, and the pictures to fit to.")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """The settings of any fit through a frozen model."""

    steps: int = option("steps of AdamW (%(default)s)", 600)
    batch: int = option("pictures a step (%(default)s)", 32)
    lr: float = option("AdamW's largest learning rate (%(default)s)", 1e-3)
    ema: float = option("decay of the moving average that is saved (%(default)s)", 0.99)
    seed: int = option("decides the first weights, the order of the pictures and the noise (%(default)s)", 0)
    empty_share: float = option(
        "samples without a prompt, so that an empty one can have an emotion too (%(default)s)", 0.05
    )
    snr_limit: float = option("the largest weight of a noise level (%(default)s)", 5.0)

    def problems(self) -> list[str]:
        """Everything that is wrong with them."""
        problems = [
            f"{name} is {getattr(self, name)}: expected more than 0"
            for name in ("steps", "batch", "lr")
            if not getattr(self, name) > 0
        ]
        if self.seed < 0:
            problems.append(f"seed is {self.seed}: expected 0 or more")
        if not 0 <= self.ema < 1 or not 0 <= self.empty_share <= 1:
            problems.append(f"ema is {self.ema} and empty_share {self.empty_share}: expected shares of 1")
        return problems

    def as_json(self) -> dict:
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Settings(Learning):
    """The settings that decide what an emotion network learns; a run's folder goes on only with the same.

    Attributes:
        begun: sha256 of the file that it begins with.
        told: sha256 of the pairs of prompts that a model is asked with, where they come from a file.
    """

    teacher: str = option(
        "words: the model itself, under prompts with the mood in them; labels: pictures, by the denoising loss; "
        "reader: with --miniature, what a reader that judges nothing sees in drawn pictures, "
        "for which --steps 120 --batch 16 --lr 2e-4 suffice (%(default)s)",
        "words",
        choices=TEACHERS,
    )
    snr_limit: float = option("with labels: the largest weight of a noise level; 0: all weigh alike (%(default)s)", 5.0)
    guidance: float = option(
        "with labels: the guidance under which the pictures are to have their emotion; 1: none (%(default)s)", 1.0
    )
    residual_scale: float = option(
        "what is saved as strength 1: below 1 keeps more of the content, 1 reaches furthest (%(default)s)", 1.0
    )
    contrary_share: float = option(
        "samples whose prompt has words of another mood, so that values win over words (%(default)s)", 0.0
    )
    begun: str = ""
    told: str = ""

    def as_json(self) -> dict:
        return {name: value for name, value in super().as_json().items() if LATER.get(name) != value}

    def __post_init__(self):
        problems = self.problems()
        if self.teacher not in TEACHERS:
            problems.append(f"teacher is {self.teacher!r}: expected one of {', '.join(TEACHERS)}")
        if not self.snr_limit >= 0:
            problems.append(f"snr_limit is {self.snr_limit}: expected 0 or more")
        if not 1 <= self.guidance <= 30:
            problems.append(f"guidance is {self.guidance}: expected 1 to 30")
        if not 0 < self.residual_scale <= 3:
            problems.append(f"residual_scale is {self.residual_scale}: expected more than 0, and at most 3")
        if not 0 <= self.contrary_share <= 1:
            problems.append(f"contrary_share is {self.contrary_share}: expected a share of 1")
        if problems:
            raise ValueError("; ".join(problems) + ".")
