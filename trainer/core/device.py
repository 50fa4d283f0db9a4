"""The device that a command computes on."""

from typing import TYPE_CHECKING

from trainer.core.rows import DataError

if TYPE_CHECKING:
    import torch

DEVICE_HELP = "auto, cpu, cuda, cuda:1 ... (%(default)s)"


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
        why = str(error).partition("\n")[0][:200]
        raise DataError(
            f"--device is {name!r}: expected auto, cpu, or a GPU that PyTorch can use, such as cuda or cuda:1 ({why})"
        ) from error
    return device
