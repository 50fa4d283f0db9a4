"""Let torchvision be imported where its compiled operators do not fit the installed torch.

A CPU build of torch beside the torchvision of PyPI (built for CUDA) is such a pair: the operators cannot be
loaded, and `import torchvision` then stops at the first one that it describes. Nothing here uses them, so
declaring the two names is enough. `scripts/comfyui.py install` puts this file into .venv/, and only where
torchvision cannot be imported without it.
"""

import importlib.machinery
import sys
from pathlib import Path

SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
declared = []  # a torch.library.Library undoes its declarations when it is collected


def declare_operators(package: str) -> None:
    """Declare torchvision::nms and ::qnms unless torchvision's own can be loaded from `package`."""
    import torch

    try:
        for library in Path(package).glob("_C*"):
            torch.ops.load_library(str(library))
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(name + SIGNATURE)
        declared.append(library)


class TorchvisionFinder:
    """Looks on at the first import of torchvision, then takes itself away."""

    def find_spec(self, name, path=None, target=None):
        if name != "torchvision":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name)
        if spec and spec.submodule_search_locations:
            declare_operators(spec.submodule_search_locations[0])
        return spec


sys.meta_path.insert(0, TorchvisionFinder())
