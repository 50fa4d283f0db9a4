"""The settings of a run: one dataclass, which makes the command line and which a resume is checked against."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from emoticrafter.fit import BANDWIDTHS
from emoticrafter.options import BLOCK_ORDERS, MOST, MOST_ADDED
from trainer.core.device import PRECISIONS
from trainer.core.settings import flag, setting

HOLD = ("auto", "yes", "no")
METHOD_GROUPS = ("loss", "network", "optimisation")
"""The settings that decide what is learned: a resumed run keeps them."""


@dataclass(frozen=True)
class Settings:
    """Every setting of `python -m trainer.train`; the defaults are the published ones where there is one."""

    data: Path = setting(Path("data"), "run", "the data folder of python -m trainer.prepare")
    out: Path = setting(Path("runs/run"), "run", "the folder of this run")
    resume: bool = setting(False, "run", "go on from the folder's checkpoint, or start where there is none")
    epochs: float = setting(200.0, "run", "how often each pair is seen")
    steps: int = setting(0, "run", "the number of steps instead of --epochs, if not 0")

    scale: float = setting(1.5, "loss", "s: the target is neutral + s (emotional - neutral)")
    density_power: float = setting(1.0, "loss", "p: weights are density^-p; equation 10: 1, released code: 2, none: 0")
    bandwidth: str = setting("scaled", "loss", "kernel width: by the data's covariance, or as released", BANDWIDTHS)
    weight_clip: float = setting(0.0, "loss", "the largest weight, where 1 is the mean; 0 is no limit")
    preserve: float = setting(0.0, "loss", "weight of the semantic-preservation term; 0 is none")
    preserve_rank: int = setting(64, "loss", "how many content directions that term protects")

    block: str = setting("paper", "network", "order inside a block: equations 4-7, or as released", BLOCK_ORDERS)
    width: int = setting(768, "network", "E, a multiple of 64")
    depth: int = setting(12, "network", "the number of blocks")
    emotion_tokens: int = setting(16, "network", "K, the tokens per axis")
    emotion_hidden: int = setting(256, "network", "the hidden width of the two valence-arousal MLPs")
    dropout: float = setting(0.1, "network", "dropout while training")
    added_tokens: int = setting(
        MOST_ADDED, "network", "the most tokens of its own, for text encoders that do not pad prompts"
    )

    batch: int = setting(768, "optimisation", "pairs per step, all processes and parts together")
    lr: float = setting(1e-3, "optimisation", "AdamW's learning rate")
    weight_decay: float = setting(1e-5, "optimisation", "AdamW's weight decay")
    warmup: int = setting(0, "optimisation", "steps in which the learning rate rises from 0")
    schedule: str = setting("constant", "optimisation", "the learning rate after the warm-up", ("constant", "cosine"))
    clip_norm: float = setting(0.0, "optimisation", "the largest norm of the gradient; 0 is no limit")
    ema: float = setting(
        0.0, "optimisation", "decay of a moving average of the weights, which is then saved; 0 is none"
    )
    seed: int = setting(0, "optimisation", "decides the first weights, the order of the pairs and the dropout")

    device: str = setting("auto", "speed", "auto, cpu, cuda, cuda:1 ...")
    precision: str = setting("auto", "speed", "auto: bfloat16 autocast where a GPU has it, else float32", PRECISIONS)
    compile: bool = setting(False, "speed", "compile the step with torch.compile")
    accumulate: int = setting(1, "speed", "parts that a process computes its share of the batch in, to save memory")
    features_on_device: str = setting("auto", "speed", "features in GPU memory; auto: if half of it is enough", HOLD)

    check_features: bool = setting(
        True, "bookkeeping", "compare the features with their checksums before the first step"
    )
    log_every: int = setting(20, "bookkeeping", "steps between two lines of metrics.jsonl")
    validate_every: int = setting(0, "bookkeeping", "steps between two validations; 0 is once per epoch")
    save_minutes: float = setting(5.0, "bookkeeping", "minutes between two checkpoints; 0 is at every line of metrics")

    def problems(self) -> list[str]:
        """Everything that is wrong with these settings, without looking at any file."""
        return [*self._wrong_numbers(), *self._wrong_choices(), *self._wrong_together()]

    def _wrong_numbers(self) -> list[str]:
        checks = {
            "width depth emotion_tokens emotion_hidden": (lambda x: 1 <= x <= MOST, f"from 1 to {MOST}"),
            "preserve_rank batch accumulate log_every": (lambda x: 1 <= x < 2**31, "at least 1, below 2^31"),
            "seed steps warmup validate_every": (lambda x: 0 <= x < 2**63, "0 or more, below 2^63"),
            "added_tokens": (lambda x: 0 <= x <= MOST, f"from 0 to {MOST}"),
            "density_power weight_clip preserve weight_decay clip_norm save_minutes": (lambda x: x >= 0, "0 or more"),
            "scale epochs lr": (lambda x: x > 0, "more than 0"),
            "dropout ema": (lambda x: 0 <= x < 1, "from 0 to below 1"),
        }
        return [
            f"{flag(name)} is {getattr(self, name)}: expected {wanted}"
            for names, (fits, wanted) in checks.items()
            for name in names.split()
            if not fits(getattr(self, name)) or not math.isfinite(getattr(self, name))
        ]

    def _wrong_choices(self) -> list[str]:
        return [
            f"{flag(f.name)} is {getattr(self, f.name)!r}: expected one of {', '.join(f.metadata['allowed'])}"
            for f in dataclasses.fields(self)
            if f.metadata["allowed"] and getattr(self, f.name) not in f.metadata["allowed"]
        ]

    def _wrong_together(self) -> list[str]:
        found = []
        if self.width % 64:
            found.append(f"--width is {self.width}: expected a multiple of 64, the size of an attention head")
        if 0 < self.weight_clip < 1:
            found.append(f"--weight-clip is {self.weight_clip}: expected 0, or 1 (the mean weight) or more")
        if self.steps and self.warmup >= self.steps:
            found.append(f"--warmup is {self.warmup} and --steps is {self.steps}: expected fewer steps of warm-up")
        return found

    def as_json(self) -> dict:
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(self).items()
        }

    def differences(self, earlier: dict) -> list[str]:
        """Lists what of the method differs from a checkpoint's settings, as `as_json` gave them.

        A setting that is newer than the checkpoint had its default.
        """
        return [
            f"{flag(f.name)} was {earlier.get(f.name, f.default)} and is {getattr(self, f.name)}"
            for f in dataclasses.fields(self)
            if f.metadata["group"] in METHOD_GROUPS and earlier.get(f.name, f.default) != getattr(self, f.name)
        ]
