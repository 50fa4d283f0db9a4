"""Untrained stand-ins for SDXL checkpoints, as ComfyUI nodes: for tests, never shipped to users.

Real ComfyUI classes at a hundredth of the size, filled with seeded random weights: every stock node takes them
for SDXL, nothing is downloaded, and a picture of 256 x 256 takes about a second on two processor cores.
"""

from .models import make_checkpoint, make_controlnet, make_refiner


class TinySDXLCheckpoint:
    """Stands where CheckpointLoaderSimple does."""

    CATEGORY = "tests"
    DESCRIPTION = "An untrained, tiny SDXL."
    FUNCTION = "load"
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")

    def load(self):
        return make_checkpoint()


class TinySDXLRefiner:
    """Stands where CheckpointLoaderSimple loads SDXL's refiner."""

    CATEGORY = "tests"
    DESCRIPTION = "An untrained, tiny refiner of SDXL."
    FUNCTION = "load"
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")

    def load(self):
        return make_refiner()


class TinySDXLControlNet:
    """Stands where ControlNetLoader does."""

    CATEGORY = "tests"
    DESCRIPTION = "An untrained, tiny ControlNet for the tiny SDXL."
    FUNCTION = "load"
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    RETURN_TYPES = ("CONTROL_NET",)

    def load(self):
        return (make_controlnet(),)


NODE_CLASS_MAPPINGS = {
    "TinySDXLCheckpoint": TinySDXLCheckpoint,
    "TinySDXLRefiner": TinySDXLRefiner,
    "TinySDXLControlNet": TinySDXLControlNet,
}
