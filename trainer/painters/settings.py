"""Settings of the painters. Importing this module loads no model library."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from emoticrafter.files import file_sha256
from trainer.core.rows import DataError
from trainer.core.settings import option
from trainer.painters.plan import SDXL
from trainer.painters.workflow import fingerprint, read_workflow

SDXL_FLOPS_A_STEP = 12e12
"""Of the UNet at 1024 x 1024, with and without the prompt: 2 x 6 TFLOP."""


class PainterSettings(Protocol):
    """Settings of a painter.

    Attributes:
        pixels: Of a picture.
        flops: Operations for a picture, if known.
    """

    pixels: int
    flops: float | None

    def as_json(self) -> dict:
        """Everything besides the task that a picture depends on; with other values, pictures are drawn again."""


@dataclass(frozen=True)
class SdxlSettings:
    """SDXL through diffusers; the sampler is the model's own. Without a network, prompts are drawn as they are."""

    model: str = option("diffusers folder, hub id or .safetensors (%(default)s)", SDXL)
    network: Path | None = option("the emotion network", None, metavar="FILE")
    size: int = option("pixels of a side (%(default)s)", 1024)
    steps: int = option("(%(default)s)", 25)
    guidance: float = option("guidance scale (%(default)s)", 7.5)
    strength: float = option("of the emotion (%(default)s)", 1.0)

    @property
    def pixels(self) -> int:
        return self.size**2

    @property
    def flops(self) -> float:
        return SDXL_FLOPS_A_STEP * self.steps * self.pixels / 1024**2

    def as_json(self) -> dict:
        return {
            "painter": "diffusers",
            "model": self.model,
            "size": self.size,
            "steps": self.steps,
            "guidance": self.guidance,
            **_network(self.network, self.strength),
        }


@dataclass(frozen=True)
class MiniatureSettings:
    """The miniature. Without a network, prompts are drawn as they are; precision is auto, float32 or bfloat16."""

    run: Path = option("the run's folder (%(default)s)", Path("runs/miniature"))
    network: Path | None = option(
        "the emotion network (default: the run's, from pictures if there is one)", None, metavar="FILE"
    )
    strength: float = option("of the emotion (%(default)s)", 1.0)
    start: float = option("where in the denoising it begins, 0 to 1; the plain prompt before (%(default)s)", 0.0)
    precision: str = "auto"
    flops = None

    @property
    def pixels(self) -> int:
        from trainer.miniature.recipe import read_recipe

        return read_recipe(self.run).picture_size ** 2

    def as_json(self) -> dict:
        """
        Raises:
            DataError: The run has no generator yet, the network's file does not exist, or `start` is out of range.
        """
        if not 0 <= self.start <= 1:
            raise DataError(f"start is {self.start:g}: expected 0 (from the first step) to 1 (never).")
        weights = next(self.run.glob("generator/*/diffusion_pytorch_model.safetensors"), None)
        if not weights:
            raise DataError(f"{self.run} has no generator yet: python -m trainer.miniature train --out {self.run}")
        if self.network and not self.network.is_file():
            raise DataError(f"{self.network} does not exist: train the run's emotion stage, or give --network.")
        # pictures of before there was a start keep what they were made from
        start = {"start": self.start} if self.start and self.network else {}
        model = file_sha256(weights)[:16]
        return {"painter": "miniature", "model": model, **_network(self.network, self.strength), **start}


@dataclass(frozen=True)
class TruthSettings:
    """The painter's own pictures of a run's held-out scenes, through its autoencoder."""

    run: Path
    precision: str = "auto"
    flops = None

    @property
    def pixels(self) -> int:
        return MiniatureSettings(self.run).pixels

    def as_json(self) -> dict:
        """
        Raises:
            DataError: The run has no autoencoder yet.
        """
        weights = self.run / "autoencoder" / "diffusion_pytorch_model.safetensors"
        if not weights.is_file():
            raise DataError(f"{self.run} has no autoencoder yet: python -m trainer.miniature train --out {self.run}")
        return {"painter": "truth", "autoencoder": file_sha256(weights)[:16]}


@dataclass(frozen=True)
class RangedSettings:
    """Another painter, within the range that is searched for each prompt and seed.

    Attributes:
        painter: Draws for the search, and what is asked for.
        pictures: That the search may see on each ray.
        at_once: Pictures that the search draws together, at most.
    """

    painter: PainterSettings
    pictures: int = 3
    at_once: int = 8

    @property
    def pixels(self) -> int:
        return self.painter.pixels

    @property
    def flops(self) -> float | None:
        """With the search's: 1 + 8 x 3 pictures for a grid of 25."""
        return self.painter.flops and 2 * self.painter.flops

    def as_json(self) -> dict:
        return {**self.painter.as_json(), "range": self.pictures}


@dataclass(frozen=True, kw_only=True)
class ComfyuiSettings:
    """A running ComfyUI server, and a workflow in the API format; `plain` draws without emotion."""

    server: str = option("(%(default)s)", "http://127.0.0.1:8188", metavar="URL")
    workflow: Path = option("{prompt} stands where the prompt belongs", metavar="FILE")
    network: str | None = option(
        "for its Load Emotion Network: a file of models/emoticrafter there (default: the workflow's own)",
        None,
        metavar="NAME",
    )
    plain: bool = False
    timeout: float = option("seconds for one picture (%(default)s)", 600)
    pixels = 1024**2
    flops = None

    def as_json(self) -> dict:
        """Models are known by the names that the workflow gives them: their files are on the server.

        Raises:
            DataError: The workflow cannot be used, see `read_workflow`.
        """
        workflow = read_workflow(self.workflow, self.plain, self.network)
        return {"painter": "comfyui", "workflow": fingerprint(workflow), "plain": self.plain}


def _network(network: Path | None, strength: float) -> dict:
    if network is None:
        return {"network": None, "strength": None}
    return {"network": file_sha256(network)[:16], "strength": strength}
