"""Settings of the three painters. Importing this module loads no model library; `make` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from emoticrafter.files import file_sha256
from trainer.core.rows import DataError
from trainer.painters.plan import SDXL, Task

if TYPE_CHECKING:
    from PIL.Image import Image

SDXL_FLOPS_A_STEP = 12e12
"""Of the UNet at 1024 x 1024, with and without the prompt: 2 x 6 TFLOP."""


class Painter(Protocol):
    def draw(self, tasks: Sequence[Task]) -> list[Image]:
        """One picture for each task, whatever else is in the batch."""


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

    def make(self, device: str) -> Painter:
        """Loads the models."""


@dataclass(frozen=True)
class SdxlSettings:
    """SDXL through diffusers.

    Attributes:
        model: A diffusers folder, a hub id, or a single .safetensors checkpoint.
        network: The emotion network's file, or a baseline's; None draws the prompts as they are.
        size: Pixels of a side, a multiple of 8.
        steps, guidance: Of the sampler, which is the model's own.
        strength: Of the emotion.
    """

    model: str = SDXL
    network: Path | None = None
    size: int = 1024
    steps: int = 25
    guidance: float = 7.5
    strength: float = 1.0

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

    def make(self, device: str) -> Painter:
        from trainer.painters.sdxl import SdxlPainter

        return SdxlPainter(self, device)


@dataclass(frozen=True)
class MiniatureSettings:
    """The miniature.

    Attributes:
        run: Folder of a run of `trainer.miniature`.
        network: The emotion network's file, or a baseline's; None draws the prompts as they are.
        strength: Of the emotion.
        precision: "auto", "float32" or "bfloat16".
    """

    run: Path
    network: Path | None = None
    strength: float = 1.0
    precision: str = "auto"
    flops = None

    @property
    def pixels(self) -> int:
        from trainer.miniature.recipe import read_recipe

        return read_recipe(self.run).picture_size ** 2

    def as_json(self) -> dict:
        """
        Raises:
            DataError: The run has no generator yet, or the network's file does not exist.
        """
        weights = self.run / "generator" / "unet" / "diffusion_pytorch_model.safetensors"
        if not weights.is_file():
            raise DataError(
                f"{self.run} has no generator yet: python -m trainer.miniature train --out {self.run}"
            )
        if self.network and not self.network.is_file():
            raise DataError(
                f"{self.network} does not exist: train the run's emotion stage, or give --network."
            )
        return {
            "painter": "miniature",
            "model": file_sha256(weights)[:16],
            **_network(self.network, self.strength),
        }

    def make(self, device: str) -> Painter:
        from trainer.painters.miniature import MiniaturePainter

        return MiniaturePainter(self, device)


@dataclass(frozen=True)
class ComfyuiSettings:
    """A running ComfyUI server.

    Attributes:
        server: Its address, such as "http://127.0.0.1:8188".
        workflow: From `trainer.painters.comfyui.read_workflow`.
        plain: Draw without emotion.
        timeout: Seconds for one picture.
    """

    server: str
    workflow: dict
    plain: bool = False
    timeout: float = 600
    pixels = 1024**2
    flops = None

    def as_json(self) -> dict:
        """Models are known by the names that the workflow gives them: their files are on the server."""
        from trainer.painters.comfyui import fingerprint

        return {"painter": "comfyui", "workflow": fingerprint(self.workflow), "plain": self.plain}

    def make(self, device: str) -> Painter:
        from trainer.painters.comfyui import ComfyuiPainter

        return ComfyuiPainter(self)


def _network(network: Path | None, strength: float) -> dict:
    if network is None:
        return {"network": None, "strength": None}
    return {"network": file_sha256(network)[:16], "strength": strength}
