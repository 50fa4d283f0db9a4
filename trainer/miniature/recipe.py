"""The recipe of the miniature: every size, count and rate that decides what its weights become.

A run keeps its recipe in recipe.json and goes on only with the same one. The counts fit two processor cores in
under three hours; docs/miniature.md has the sums.
"""

import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from emoticrafter.files import write_text

FLOW = "flow"
SHARES = ("neutral_share", "empty_share", "mood_share", "mood_pairs", "generator_ema")


@dataclass(frozen=True)
class Recipe:
    """Sizes of the miniature's parts and settings of their training; tuples are per level or per text encoder."""

    seed: int = 0
    """Decides the pictures, the captions, the first weights and the order of everything."""
    picture_size: int = 128
    """Pixels, a multiple of 32."""
    pictures: int = 20_000
    """Painted pictures that the autoencoder and the generator learn from."""
    neutral_share: float = 0.3
    """Share of them near valence and arousal 0, with neutral captions."""
    neutral_spread: float = 0.3
    """The standard deviation of valence and arousal among those."""
    captions: int = 4
    """Wordings of each picture's caption."""

    autoencoder_steps: int = 3_000
    autoencoder_batch: int = 8
    autoencoder_crop: int = 64
    """Pixels of the squares that it learns from."""
    autoencoder_lr: float = 1e-3
    latent_noise: float = 0.05
    """Noise on the latents while the autoencoder learns, so that its decoder forgives the generator's."""

    unet_channels: tuple[int, ...] = (64, 128, 128)
    """Multiples of 64, the size of an attention head in SDXL."""
    unet_transformers: tuple[int, ...] = (0, 1, 1)
    unet_layers: int = 1
    text_widths: tuple[int, int] = (64, 64)
    """Of the two text encoders; the features are as wide as both together."""
    text_layers: int = 3
    generator_steps: int = 5_000
    generator_batch: int = 32
    generator_lr: float = 5e-4
    generator_ema: float = 0.998
    empty_share: float = 0.1
    """Samples with the empty prompt, for guidance without a classifier."""
    mood_share: float = 0.06
    """Samples whose caption has no content."""
    snr_limit: float = 5.0
    """The weight of a noise level is its signal-to-noise ratio, at most this (Hang et al. 2023, arXiv 2303.09556)."""

    pairs: int = 6_000
    """Pairs of prompts that the emotion network learns from."""
    mood_pairs: float = 0.06
    """Share of them without content, so that an empty prompt can be given a mood."""
    emotion_width: int = 128
    emotion_depth: int = 4
    emotion_tokens: int = 8
    emotion_hidden: int = 64
    emotion_epochs: float = 10.0
    emotion_batch: int = 64
    emotion_lr: float = 1e-3
    emotion_scale: float = 1.0
    """The emotion network's target is neutral + scale (emotional - neutral)."""

    reader_pictures: int = 8_000
    """Other painted pictures, of other seeds, that the two readers learn from; a tenth measures them."""
    reader_channels: tuple[int, ...] = (32, 64, 96, 128)
    reader_steps: int = 2_500
    reader_batch: int = 64
    reader_lr: float = 2e-3

    sampler_steps: int = 20
    guidance: float = 3.0

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that cannot be used."""
        if problems := list(self._problems()):
            raise ValueError(f"the recipe cannot be used: {'; '.join(problems)}")

    def _problems(self) -> Iterator[str]:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least, most = int(field.name != "seed"), 1 if field.name in SHARES else math.inf
            if field.type is int and not value >= least:
                yield f"{field.name} is {value}: expected {least} or more"
            if field.type is float and not (0 <= value <= most and math.isfinite(value)):
                yield f"{field.name} is {value}: expected a number from 0{' to 1' if most == 1 else ''}"
        if self.picture_size % 32:
            yield f"picture_size is {self.picture_size}: expected a multiple of 32"
        if self.autoencoder_crop > self.picture_size:
            yield f"autoencoder_crop is {self.autoencoder_crop}: expected at most {self.picture_size}, as the pictures"

    def as_json(self) -> dict:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(text: str) -> "Recipe":
        """Reads what `as_json` gave; raises ValueError for anything else."""
        try:
            values = {name: tuple(v) if isinstance(v, list) else v for name, v in json.loads(text).items()}
            return (FlowRecipe if values.pop("kind", None) == FLOW else Recipe)(**values)
        except (TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True)
class FlowRecipe(Recipe):
    """The second miniature's: flow matching with Lumina 2's plan; autoencoder and readers are the first one's."""

    flow_pictures: int = 5_120
    """The first of the pictures, which the transformer learns from."""
    pieces: int = 1_024
    """Of the language model's vocabulary."""
    text_width: int = 128
    text_hidden: int = 384
    text_heads: int = 2
    text_layers: int = 3
    word_weight: float = 0.05
    """Weight of the next word's loss."""
    dit_width: int = 160
    """A multiple of 32."""
    dit_hidden: int = 448
    dit_layers: int = 6
    level_mean: float = 0.0
    """Of the logit of the noise level."""
    shift: float = 1.0
    """Of the sampler's noise levels (ComfyUI's ModelSamplingDiscreteFlow)."""
    generator_steps: int = 2_300
    generator_lr: float = 1.5e-3
    generator_ema: float = 0.996
    pairs: int = 2_000
    """What the field is fitted to."""

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        if self.dit_width % 32:
            yield f"dit_width is {self.dit_width}: expected a multiple of 32"
        if self.flow_pictures > self.pictures:
            yield f"flow_pictures is {self.flow_pictures}: expected at most {self.pictures}, as pictures are planned"

    def as_json(self) -> dict:
        return {"kind": FLOW, **super().as_json()}


TINY = Recipe(
    picture_size=32,
    pictures=24,
    captions=2,
    autoencoder_steps=3,
    autoencoder_batch=2,
    autoencoder_crop=16,
    unet_channels=(64, 64),
    unet_transformers=(0, 1),
    text_widths=(32, 32),
    text_layers=3,
    generator_steps=4,
    generator_batch=4,
    pairs=24,
    mood_pairs=0.1,
    emotion_width=64,
    emotion_depth=1,
    emotion_hidden=8,
    emotion_epochs=1.0,
    emotion_batch=8,
    reader_pictures=20,
    reader_channels=(32, 32, 32, 32),
    reader_steps=3,
    reader_batch=4,
    sampler_steps=2,
)
"""Learns nothing, in seconds: for the tests, and to see that every stage runs on a machine."""


TINY_FLOW = FlowRecipe(
    **dataclasses.asdict(replace(TINY, text_layers=3))
    | {"flow_pictures": 24, "pieces": 240, "text_width": 32, "text_hidden": 64, "text_heads": 1, "dit_width": 32}
    | {"dit_hidden": 64, "dit_layers": 1}
)
"""The same for the second miniature."""


def is_tiny(recipe: Recipe) -> bool:
    """Whether a recipe's networks are TINY's, which learn nothing whatever the counts are; no option sets those."""
    return (recipe.unet_channels, recipe.reader_channels) == (TINY.unet_channels, TINY.reader_channels)


def keep(recipe: Recipe, out: Path) -> None:
    """Writes the recipe into a run's folder, or checks that it is the one the folder was begun with.

    Raises:
        ValueError: The folder was begun with another recipe.
    """
    if differing := note(out / "recipe.json", recipe.as_json()):
        raise ValueError(
            f"{out} was begun with another recipe: {'; '.join(differing)}. "
            "Give the same settings to go on, or choose another --out."
        )


def note(path: Path, values: dict) -> list[str]:
    """Writes what a folder is begun with, as JSON; if the file exists, lists what differs from it.

    Raises:
        ValueError: The file is damaged.
    """
    mine = json.loads(json.dumps(values))
    if not path.exists():
        write_text(path, json.dumps(mine, indent=1) + "\n")
        return []
    try:
        theirs = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): choose another --out.") from error
    return [
        f"{name} was {theirs.get(name, 'not set')} and is {mine.get(name, 'not set')}"
        for name in sorted({*mine, *theirs})
        if theirs.get(name) != mine.get(name)
    ]


def read_recipe(out: Path) -> Recipe:
    """The recipe that a run's folder was begun with.

    Raises:
        FileNotFoundError: The folder has no recipe.
        ValueError: It is damaged, or from another release.
    """
    path = out / "recipe.json"
    if not path.is_file():
        command = "python -m trainer.miniature"
        raise FileNotFoundError(
            f"{path} does not exist: begin with {command} restore --out {out} for the shipped weights, or with "
            f"{command} train --out {out} for a model of your own"
        )
    try:
        return Recipe.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged or from another release ({error}): choose another --out") from error
