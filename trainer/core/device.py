"""The device that a command computes on, and its precision."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.core.rows import DataError

if TYPE_CHECKING:
    import torch

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
    def find(cls, device: str = "auto", precision: str = "auto", compile: bool = False) -> "Machine":
        """The device of that name, and bfloat16 with "auto" where its processor computes in it.

        Raises:
            DataError: See `find_device`.
        """
        found = find_device(device)
        return cls(found, _computes_in_bfloat16(found) if precision == "auto" else precision == "bfloat16", compile)

    def autocast(self) -> AbstractContextManager:
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


def _computes_in_bfloat16(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return getattr(torch.cpu, "get_capabilities", dict)().get("avx512_bf16", False)
