"""The device that a command computes on, and its precision."""

import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.core.command_line import reason
from trainer.core.processes import Processes
from trainer.core.rows import DataError

if TYPE_CHECKING:
    import torch
    from torch import nn

DEVICE_HELP = "auto, cpu, cuda, cuda:1 ... (%(default)s)"
PRECISIONS = ("auto", "float32", "bfloat16")


def find_device(name: str = "auto", local_rank: int = 0) -> "torch.device":
    """The device of that name; with "auto" this process's GPU if there is one, else the CPU.

    Raises:
        DataError: PyTorch does not know it, or cannot use it here.
    """
    import torch

    if name == "auto":
        name = f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros((), device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = f"PyTorch sees {torch.cuda.device_count()} GPUs here; {str(error).partition(chr(10))[0][:200]}"
        raise DataError(
            f"--device is {name!r}: expected auto, cpu, or a GPU that PyTorch can use, such as cuda or cuda:1 ({why})"
        ) from error
    return device


@dataclass(frozen=True)
class Machine:
    """A device and how to compute on it: it decides speed and rounding, nothing else."""

    device: "torch.device"
    bfloat16: bool = False
    compile: bool = False

    @classmethod
    def find(
        cls, device: str = "auto", precision: str = "auto", compile: bool = False, processes: Processes | None = None
    ) -> "Machine":
        """The device of that name, and bfloat16 with "auto" where its processor computes in it.

        Of several processes each has a GPU of its own, which torchrun numbers.

        Raises:
            DataError: See `find_device`.
        """
        processes = processes or Processes()
        if processes.count > 1 and device.startswith("cuda"):
            device = f"cuda:{processes.local_rank}"
        found = find_device(device, processes.local_rank)
        return cls(found, _computes_in_bfloat16(found) if precision == "auto" else precision == "bfloat16", compile)

    def compiled(self, module: "nn.Module") -> "nn.Module | Compiled":
        """The module, compiled if the machine is to compile and can."""
        return Compiled(module) if self.compile else module

    def autocast(self) -> AbstractContextManager:
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


class Compiled:
    """A module as torch.compile has it, or as it is where that does not work: the numbers are the same."""

    def __init__(self, module: "nn.Module"):
        import torch

        self._module, self._compiled = module, None
        try:
            self._compiled = torch.compile(module)
        except RuntimeError as error:  # this Python or system is not supported
            _say_uncompiled(error)

    def __getattr__(self, name: str):
        return getattr(self._module, name)

    def __call__(self, *args, **kwargs):
        if self._compiled is None:
            return self._module(*args, **kwargs)
        try:
            return self._compiled(*args, **kwargs)
        except Exception as error:  # a compiler that is missing, of many kinds
            found = self._module(*args, **kwargs)  # raises, too, whatever is not the compiler's fault
            self._compiled = None
            _say_uncompiled(error)
            return found


def _say_uncompiled(error: Exception) -> None:
    from tqdm import tqdm

    # Above a progress bar.
    tqdm.write(f"--compile does not work here ({reason(error)}): going on without it, slower.", sys.stderr)


def _computes_in_bfloat16(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return getattr(torch.cpu, "get_capabilities", dict)().get("avx512_bf16", False)
