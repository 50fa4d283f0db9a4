"""Reads state dicts out of PyTorch's files without torch.load: nothing in a file is run, and no size is believed.

torch.load(weights_only=True) runs no code, but makes what a pickle asks for, such as a bytearray of a gigabyte, and it
opens zips that Python's zipfile reads otherwise, so a check beside it would see another file. A state dict needs a few
opcodes and names; whatever else a file holds is refused.
"""

import io
import math
import mmap
import pickle
import struct
import zipfile
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ..quoting import quoted, shown

LARGEST_PICKLE = 1 << 20
"""Bytes of names and shapes: SDXL's own take a third."""
MAGIC = 0x1950A86A20F9469CFC6C
"""Begins the files that torch wrote before its zips (1.6, in 2020): five pickles, then the numbers."""


class _RefusedError(Exception):
    """A file holds something else than tensors by name."""


class _TooLargeError(Exception):
    """Tensors claim more than the file."""


class _NoStateDictError(Exception):
    """A file holds tensors, but not by name."""


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The state dict in a PyTorch file, whose tensors map the file.

    Raises:
        ValueError: It is damaged or another kind of file, or holds more or less than tensors by name.
    """
    size, name = path.stat().st_size, shown(path.name)
    with path.open("rb") as file:
        head = file.read(40)
    if head and not head.startswith((b"PK", b"\x80")):
        raise ValueError(
            f"{name} is not a PyTorch file: it begins with {head!r}. Perhaps a web page or a Git LFS pointer was "
            "saved in its place: download the file itself."
        )
    try:
        views, spans, content = _parsed(path)
        if not isinstance(views, dict) or not views or not all(isinstance(v, _View) for v in views.values()):
            raise _NoStateDictError
        claimed = sum(math.prod(view.size) * view.storage.dtype.itemsize for view in views.values())
        if claimed > size:
            raise _TooLargeError(f"its tensors claim {claimed:,} bytes in a file of {size:,}")
        return {key: _tensor(view, spans, content) for key, view in views.items()}
    except _TooLargeError as error:
        raise ValueError(f"{name} was refused: {error}.") from error
    except _RefusedError as error:
        raise ValueError(
            f"{name} was refused: it holds more than tensors, and opening it could run code ({error}). "
            "Use a file from a source you trust, saved as a plain state dict."
        ) from error
    except _NoStateDictError as error:
        raise ValueError(f"{name} does not hold a state dict: expected names with their tensors.") from error
    except _DAMAGE as error:
        raise ValueError(
            f"{name} cannot be read as a PyTorch file ({size:,} bytes: {shown(str(error))}). "
            "It is cut short or another kind of file: copy or download it again."
        ) from error


Spans = dict[str, tuple[int, int]]
"""Where each storage is in the file: its first byte, and how many."""
_DAMAGE = (EOFError, LookupError, TypeError, ValueError, AttributeError, pickle.UnpicklingError, zipfile.BadZipFile)
_DAMAGE += (NotImplementedError, RuntimeError, OverflowError, struct.error, AssertionError)
"""What reading raises, whichever part the damage happens to hit."""


def _parsed(path: Path) -> tuple[object, Spans, mmap.mmap]:
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise EOFError("it is empty")
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # torch warns of memory that is read-only
    return (*(_parse_zip(path, content) if content[:2] == b"PK" else _parse_legacy(content)), content)


# --- the two kinds of file -----------------------------------------------------------------------------------------


def _parse_zip(path: Path, content: mmap.mmap) -> tuple[object, Spans]:
    """The pickle of a zip, whose entries torch stores uncompressed, one for each storage."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) < len(archive.infolist()):
            raise EOFError("two of its entries have one name")
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise EOFError("it has no data.pkl, or several")
    spans = {name: _span(entry, content) for name, entry in entries.items()}
    folder = pickles[0].removesuffix("data.pkl")
    start, size = spans.pop(pickles[0])
    if size > LARGEST_PICKLE:
        raise EOFError(f"{size:,} bytes of names and shapes")
    found = _StateDictUnpickler(io.BytesIO(content[start : start + size])).load()
    return found, {name.removeprefix(f"{folder}data/"): span for name, span in spans.items()}


def _span(entry: zipfile.ZipInfo, content: mmap.mmap) -> tuple[int, int]:
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise EOFError(f"{shown(entry.filename)} in it is compressed: save it again with torch.save")
    # A local header has 30 bytes, of which the last four give the lengths of the name and of what follows it.
    header = content[entry.header_offset : entry.header_offset + 30]
    start = entry.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if header[:4] != b"PK\x03\x04" or start + entry.file_size > len(content):
        raise EOFError(f"{shown(entry.filename)} in it is not whole")
    return start, entry.file_size


def _parse_legacy(content: mmap.mmap) -> tuple[object, Spans]:
    """A magic number, a version, the machine, the state dict and the storages' names; then each storage's numbers."""
    stream = io.BytesIO(content[:LARGEST_PICKLE])
    magic = _StateDictUnpickler(stream).load()
    if magic != MAGIC:
        raise EOFError("its first pickle is not PyTorch's")
    _version, _machine = (_StateDictUnpickler(stream).load() for _ in range(2))
    reader = _StateDictUnpickler(stream)
    found, names, place, spans = reader.load(), _StateDictUnpickler(stream).load(), stream.tell(), {}
    for name in names:
        storage = reader.storages[name]
        count, start = int.from_bytes(content[place : place + 8], "little"), place + 8
        place = start + storage.dtype.itemsize * storage.count
        if count != storage.count or place > len(content):
            raise EOFError(f"storage {quoted(name)} has {count:,} numbers, expected {storage.count:,}")
        spans[name] = (start, place - start)
    return found, spans


# --- the pickle ------------------------------------------------------------------------------------------------------


class _Storage(NamedTuple):
    dtype: torch.dtype
    name: str
    count: int


class _View(NamedTuple):
    """A tensor to be: part of a storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _view(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None) -> _View:
    numbers = [offset, *size, *stride]
    if not isinstance(storage, _Storage) or metadata or len(size) != len(stride):
        raise _RefusedError("a tensor of another kind")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise _RefusedError("a shape of other than whole numbers")
    return _View(storage, offset, tuple(size), tuple(stride))


def _parameter(view, requires_grad=True, hooks=None) -> _View:
    return view


def _empty_dict() -> dict:
    return {}


_DTYPES = {
    "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16, "Double": torch.float64,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool,
}  # fmt: skip
_NAMES = {("torch", f"{kind}Storage"): dtype for kind, dtype in _DTYPES.items()} | {
    ("collections", "OrderedDict"): _empty_dict,
    ("torch._utils", "_rebuild_tensor"): _view,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
"""All that a state dict names, and what stands for it here."""
_OPCODES = (
    b"\x80.(0N\x88\x89"  # protocol, stop, mark, pop, None, True, False
    b"KMJ\x8a\x8bGXU"  # numbers and text
    b"}us]ae)t\x85\x86\x87"  # dicts, lists and tuples
    b"qrhjcRQb"  # what was there before; names, calls, storages, states
)


class _StateDictUnpickler(pickle._Unpickler):  # the one in Python: the other allocates by numbers in the file
    """Reads pickles of tensors by name, as `_View`s."""

    dispatch: ClassVar = {opcode: pickle._Unpickler.dispatch[opcode] for opcode in _OPCODES}

    def __init__(self, stream: io.BytesIO):
        super().__init__(stream)
        self.storages: dict[str, _Storage] = {}

    def load(self) -> object:
        try:
            return super().load()
        except KeyError as error:
            raise _RefusedError(f"opcode or reference {error}") from error

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _NAMES:
            raise _RefusedError(shown(f"{module}.{name}"))
        return _NAMES[module, name]

    def persistent_load(self, said: object) -> _Storage:
        kind, dtype, name, _device, count, *view = said
        if kind != "storage" or not isinstance(dtype, torch.dtype) or any(view):
            raise _RefusedError("a storage of another kind")
        if not isinstance(name, str) or type(count) is not int or count < 0:
            raise _RefusedError("a storage without a size")
        return self.storages.setdefault(name, _Storage(dtype, name, count))

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self._set(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _set(self, items: list) -> None:
        # Text alone: its hashes are salted, while equal hashes of numbers would make each dict quadratic.
        if not all(isinstance(key, str) for key in items[::2]):
            raise _NoStateDictError
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def load_build(self) -> None:
        """Drops the state of an object: that of a state dict is the version of each module."""
        self.stack.pop()

    dispatch |= {ord("u"): load_setitems, ord("s"): load_setitem, ord("b"): load_build}


# --- tensors -----------------------------------------------------------------------------------------------------


def _tensor(view: _View, spans: Spans, content: mmap.mmap) -> Tensor:
    storage, (start, size) = view.storage, spans[view.storage.name]
    last = view.offset + sum((length - 1) * step for length, step in zip(view.size, view.stride, strict=True))
    if size < storage.count * storage.dtype.itemsize or (0 not in view.size and last >= storage.count):
        raise EOFError(f"storage {quoted(storage.name)} is too short for its tensors")
    if 0 in view.size:
        return torch.empty(view.size, dtype=storage.dtype)
    numbers = torch.frombuffer(content, dtype=torch.uint8, count=size, offset=start)
    if start % storage.dtype.itemsize:
        numbers = numbers.clone()
    numbers = numbers[: storage.count * storage.dtype.itemsize].view(storage.dtype)
    return numbers.as_strided(view.size, view.stride, numbers.storage_offset() + view.offset)
