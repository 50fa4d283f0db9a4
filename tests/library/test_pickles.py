"""PyTorch's files from strangers: no size in them is believed, and what is not a state dict is refused."""

import collections
import io
import pickle
import struct
import tracemalloc
import zipfile

import pytest
import torch

from emoticrafter.weights.pickles import MAGIC, read_pickle

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(2, dtype=torch.float16)}
GLOBAL = b"cbuiltins\nbytearray\n"
HUGE = 1 << 30


def save(path, state, **options):
    torch.save(state, path, **options)
    return path


def with_pickle(path, content: bytes):
    """A zip as torch writes it, with another data.pkl."""
    save(path, STATE)
    with zipfile.ZipFile(path) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w") as changed:
        for name, part in parts.items():
            changed.writestr(name, content if name.endswith("data.pkl") else part)
    return path


def legacy(content: bytes, names=()) -> bytes:
    """A file as torch wrote it before its zips."""
    machine = {"protocol_version": 1001, "little_endian": True}
    first = b"".join(pickle.dumps(part, protocol=2) for part in (MAGIC, 1001, machine))
    return first + content + pickle.dumps(list(names), protocol=2)


def storage(kind: bytes, count: int, name: bytes = b"0") -> bytes:
    """A tensor of one storage that claims `count` numbers, in opcodes."""
    number = b"\x8a\x08" + struct.pack("<q", count)
    persistent = b"(X\x07\0\0\0storagectorch\n" + kind + b"\nX\x01\0\0\0" + name + b"X\x03\0\0\0cpu" + number
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + persistent + b"tQK\0" + number + b"\x85K\x01\x85\x89"
        b"ccollections\nOrderedDict\n)RtR"
    )


@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_are_read_as_torch_reads_them(tmp_path, zipped):
    transposed = {"t": STATE["a"].t(), "part": STATE["a"][1:], "empty": torch.empty(0, 3)}
    shared = {"x": STATE["a"], "y": STATE["a"], "p": torch.nn.Parameter(torch.ones(3))}
    whole = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2)).state_dict()
    for state in (STATE, transposed, shared, whole, collections.OrderedDict(STATE)):
        path = save(tmp_path / "a.pth", state, _use_new_zipfile_serialization=zipped)
        found = read_pickle(path)
        assert found.keys() == state.keys()
        for key, tensor in found.items():
            assert tensor.dtype == state[key].dtype
            assert torch.equal(tensor, state[key])


BOMBS = {
    "bytearray": GLOBAL + b"\x8a\x04" + struct.pack("<i", HUGE) + b"\x85R.",
    "bytearray of the protocol": b"\x96" + struct.pack("<Q", 1 << 40) + b".",
    "range of a list": b"cbuiltins\nlist\ncbuiltins\nrange\nJ\0\0\0\x40\x85R\x85R.",
    "itertools": b"citertools\nrepeat\nK\0J\0\0\0\x40\x86R.",
    "copies of a dict": b"ccollections\nOrderedDict\n}\x85R.",
    "a place far away": b"}r\xff\xff\xff\xff.",
    "text that is not there": b"X\xff\xff\xff\x7fa.",
    "a set": b"\x8f.",
    "a code object": b"cos\nsystem\nX\x01\0\0\0a\x85R.",
    "torch's own": b"ctorch\nzeros\nJ\0\0\0\x40\x85R.",
    "a name that cannot be printed": b"c\x1b[2J\n\xed\xa0\x80\n.",
    "deep": b"]" * 100_000 + b"a" * 99_999 + b".",
    "numbers as keys": b"}(" + b"".join(b"\x8a\x08" + struct.pack("<q", n << 40) + b"N" for n in range(9999)) + b"u.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_that_only_eats_memory_is_refused(tmp_path, name):
    forms = [with_pickle(tmp_path / "a.pth", BOMBS[name]), tmp_path / "b.pth", tmp_path / "c.pth"]
    forms[1].write_bytes(legacy(BOMBS[name]))
    forms[2].write_bytes(b"\x80\x02" + BOMBS[name])
    for path in forms:
        tracemalloc.start()
        with pytest.raises(ValueError, match=path.name) as told:
            read_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < 100e6
        tracemalloc.stop()
        assert str(told.value).isprintable() and len(str(told.value)) < 500


def test_storages_larger_than_the_file_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    for count in (HUGE, 1 << 62, 7):
        for kind in (b"FloatStorage", b"LongStorage"):
            content = b"}X\x01\0\0\0a" + storage(kind, count) + b"s."
            with_pickle(path, content)
            with pytest.raises(ValueError, match=r"a\.pth (was refused: its tensors claim|cannot be read)"):
                read_pickle(path)
            path.write_bytes(legacy(content, ["0"]) + struct.pack("<q", count) + bytes(24))
            with pytest.raises(ValueError, match=r"a\.pth (was refused: its tensors claim|cannot be read)"):
                read_pickle(path)


def test_a_zip_that_zipfile_denies_or_reads_otherwise_is_refused(tmp_path):
    whole = save(tmp_path / "whole.pth", STATE).read_bytes()
    end = whole.rindex(b"PK\x05\x06")
    twice = io.BytesIO(whole)
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(next(name for name in archive.namelist() if name.endswith("data.pkl")), BOMBS["bytearray"])
    variants = [whole[:end] + b"PK\x05\x07" + whole[end + 4 :], whole + b"x" * 70_000, b"PK\x03\x04", twice.getvalue()]
    for content in variants:
        path = tmp_path / "odd.pth"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"odd\.pth cannot be read"):
            read_pickle(path)
