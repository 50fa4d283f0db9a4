"""Network files: whole or not there, read back the same, and refused by name when anything is odd."""

import json
import os
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from emoticrafter import EmotionNetwork, load_network, save_network
from emoticrafter.weights import files as weight_files_module
from emoticrafter.weights import read_metadata
from emoticrafter.weights.__main__ import main
from tests.library.weight_files import CONFIG, REFERENCE, refusal

ROOT = Path(__file__).parents[2]
TRAINING = {"data": "made up", "scale": 1.5, "licence": "CC0", "steps": 10, "note": "naïve – ☀"}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return EmotionNetwork(CONFIG)


@pytest.fixture
def saved(network, tmp_path):
    """A network file of ours, alone in its folder."""
    save_network(network, tmp_path / "net.safetensors", TRAINING)
    return tmp_path / "net.safetensors"


def rewritten(path, tensors=None, metadata=None):
    """The same file with some tensors or metadata changed; None takes one away."""
    with safe_open(path, "pt") as file:
        held = file.metadata()
    state = {**load_file(path), **(tensors or {})}
    told = {**held, **(metadata or {})}
    save_file(
        {key: tensor for key, tensor in state.items() if tensor is not None},
        path,
        {key: value for key, value in told.items() if value is not None},
    )
    return path


# --- our own files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("block", ["paper", "published"])
def test_a_network_is_read_back_as_it_was_saved(tmp_path, dtype, block):
    network = EmotionNetwork(replace(CONFIG, block=block)).to(dtype)
    save_network(network, tmp_path / "net.safetensors")
    back = load_network(tmp_path / "net.safetensors")
    assert back.config == network.config
    assert not back.training
    assert all(parameter.requires_grad for parameter in back.parameters())
    expected = network.state_dict()
    for name, tensor in back.state_dict().items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_dtype_can_be_chosen_when_loading(saved, network, dtype):
    for name, tensor in load_network(saved, dtype=dtype).state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name].to(dtype))


def test_equal_networks_are_equal_files(network, tmp_path):
    """safetensors alone writes the metadata in an order of chance."""
    for number in range(8):
        save_network(network, tmp_path / f"{number}.safetensors", TRAINING | {"odd": 'é \\ " \n \x01'})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert read_metadata(tmp_path / "0.safetensors")["training"]["odd"] == 'é \\ " \n \x01'
    for name, weight in load_network(tmp_path / "0.safetensors").state_dict().items():
        assert torch.equal(weight, network.state_dict()[name])


def test_the_file_says_how_it_was_trained_to_us_and_to_any_safetensors_reader(saved):
    assert read_metadata(saved) == {"version": 1, "config": CONFIG, "training": TRAINING}
    with safe_open(saved, "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "emoticrafter"
    told = json.loads(metadata["config"])
    assert told.items() <= asdict(CONFIG).items()
    assert {"window", "output"}.isdisjoint(told), "version 1, which older releases read, has no such settings"
    assert json.loads(metadata["training"])["licence"] == "CC0"


def test_a_missing_folder_is_made(network, tmp_path):
    save_network(network, tmp_path / "a" / "b" / "net.safetensors")
    assert load_network(str(tmp_path / "a" / "b" / "net.safetensors")).config == CONFIG


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_saved_file_has_the_rights_that_files_usually_have(network, tmp_path, monkeypatch, mask):
    before = os.umask(mask)
    try:
        with monkeypatch.context() as patch:
            patch.delattr(os, "umask")  # it would set that of other threads, too
            save_network(network, tmp_path / "net.safetensors")
        (tmp_path / "beside").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "net.safetensors").stat().st_mode == (tmp_path / "beside").stat().st_mode
    assert {path.name for path in tmp_path.iterdir()} == {"net.safetensors", "beside"}


def test_a_training_record_that_json_cannot_hold_costs_nothing(network, saved):
    before = saved.read_bytes()
    with pytest.raises(TypeError):
        save_network(network, saved, {"loss": torch.zeros(1)})
    assert saved.read_bytes() == before


@pytest.mark.parametrize("stop", [OSError("No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_the_old_file(network, saved, monkeypatch, stop):
    before = saved.read_bytes()

    def half(state, path, metadata):
        Path(path).write_bytes(before[: len(before) // 2])
        raise stop

    monkeypatch.setattr(weight_files_module, "save_file", half)
    with pytest.raises(type(stop)):
        save_network(network, saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_whoever_reads_the_old_file_keeps_it(network, saved):
    before = saved.read_bytes()
    with saved.open("rb") as reader:
        save_network(network.half(), saved)
        assert reader.read() == before
    assert saved.read_bytes() != before


def test_broken_weights_are_not_saved(network, saved):
    before = saved.read_bytes()
    for value in (float("nan"), float("inf")):
        with torch.no_grad():
            network.norm.weight[3] = value
        with pytest.raises(ValueError, match=r"norm\.weight in net\.safetensors holds NaN or infinite"):
            save_network(network, saved)
    assert saved.read_bytes() == before


def test_networks_are_saved_as_safetensors_only(network, tmp_path):
    for name in ("net.pth", "net", "net.safetensors.bak"):
        with pytest.raises(ValueError, match=f"{name} does not end in .safetensors"):
            save_network(network, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# --- damaged and foreign safetensors -----------------------------------------------------------------------


def test_a_file_cut_short_anywhere_or_of_another_kind_is_refused(saved):
    whole = saved.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    sizes = (0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(whole) // 2, len(whole) - 1)
    for content in (*(whole[:size] for size in sizes), b"<html>Not found</html>" * 10):
        saved.write_bytes(content)
        told = refusal(saved)
        assert f"cannot be read as safetensors ({len(content):,} bytes" in told
        assert "cut short or another kind of file: copy or download it again" in told


@pytest.mark.slow
def test_any_changed_byte_of_the_header_is_refused_or_harmless(saved):
    """Whatever a flipped bit does, it ends in a ValueError, or in a network with the same weights."""
    whole = saved.read_bytes()
    expected = load_network(saved).state_dict()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    loaded = 0
    for place in [*range(16), *range(16, header, 41)]:
        for bit in (1, 128):
            saved.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            try:
                state = load_network(saved).state_dict()
            except ValueError as error:
                assert saved.name in str(error)
                continue
            loaded += 1
            assert state.keys() == expected.keys()
    assert loaded < header // 41


def test_another_kind_of_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "lora.safetensors"
    for metadata in (None, {"format": "pt"}, {"ss_network_module": "lora"}):
        save_file({"lora_up.weight": torch.zeros(2, 2)}, path, metadata)
        told = refusal(path)
        assert "not an emotion network (its metadata lacks format=emoticrafter)" in told
        assert "Checkpoints, LoRAs and VAEs have loaders of their own" in told


def test_metadata_that_cannot_be_used_is_told(network, saved):
    for metadata, told in (
        ({"version": "3"}, "it has version 3 and this release reads up to 2: update"),
        ({"version": "one"}, "invalid literal"),
        ({"version": None}, "'version'"),
        ({"config": None}, "'config'"),
        ({"config": "{"}, "Expecting property name"),
        ({"config": "[1]"}, "must be a mapping"),
        ({"config": '{"wide": 3}'}, "unexpected keyword argument 'wide'"),
        ({"config": '{"width": 65, "depth": 0}'}, "depth is 0: expected a whole number"),
        ({"config": '{"width": 64000000000000}'}, "width is 64000000000000: expected a whole number"),
        ({"training": "yes"}, "Expecting value"),
    ):
        save_network(network, saved, TRAINING)
        message = refusal(rewritten(saved, metadata=metadata))
        assert "The metadata of net.safetensors cannot be used" in message
        assert told in message


def test_a_made_up_depth_is_refused_at_once(saved):
    config = json.dumps({**asdict(CONFIG), "depth": 60000})
    told = refusal(rewritten(saved, metadata={"config": config}))
    assert "says that it has 60000 blocks" in told


def test_weights_that_do_not_fit_are_named(network, saved):
    for weight, told in (
        (None, "1 missing (norm.weight)"),
        (torch.zeros(65), "1 of another shape (norm.weight is [65], expected [64])"),
        (torch.full([64], float("nan")), "norm.weight in net.safetensors holds NaN or infinite"),
        (torch.full([64], float("inf")), "norm.weight in net.safetensors holds NaN or infinite"),
        (torch.zeros(64, dtype=torch.int32), "holds int32: expected float32, float16, bfloat16"),
        (torch.zeros(64).to(torch.float8_e4m3fn), "holds float8_e4m3fn: expected float32"),
        (torch.zeros(64, dtype=torch.complex64), "holds complex64: expected float32"),
    ):
        save_network(network, saved, TRAINING)
        assert told in refusal(rewritten(saved, {"norm.weight": weight}))
    save_network(network, saved, TRAINING)
    assert "1 not known (norm.extra)" in refusal(rewritten(saved, {"norm.extra": torch.zeros(1)}))


def test_another_ending_and_a_file_that_is_not_there_are_told(tmp_path):
    for name in ("net.ckpt", "net.bin", "net", "net.PTH.txt"):
        (tmp_path / name).write_bytes(b"x")
        assert "is not a network file: expected one of .safetensors, .pth" in refusal(tmp_path / name)
    (tmp_path / "folder.pth").mkdir()
    for name in ("none.safetensors", "none.pth", "folder.pth"):
        with pytest.raises(FileNotFoundError, match=f"There is no file .*{name}"):
            load_network(tmp_path / name)


@contextmanager
def someone_else():
    """The rights of a user who owns nothing, where the tests are run by root, who may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
@pytest.mark.parametrize("closed", ["the file", "the folder"])
def test_a_file_that_may_not_be_read_is_not_called_damaged(name, closed):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(REFERENCE.read_bytes())
        path.chmod(0o000 if closed == "the file" else 0o644)
        Path(folder).chmod(0o755 if closed == "the file" else 0o000)
        try:
            with someone_else(), pytest.raises(PermissionError, match=f"Permission denied: '.*{name}'"):
                load_network(path)
        finally:
            Path(folder).chmod(0o755)


def test_a_folder_that_may_not_be_written_keeps_what_it_has(network):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        path.write_bytes(b"old")
        Path(folder).chmod(0o555)
        try:
            with someone_else(), pytest.raises(PermissionError, match="Permission denied"):
                save_network(network, path)
        finally:
            Path(folder).chmod(0o755)
        assert path.read_bytes() == b"old"


def test_a_file_that_is_overwritten_in_place_does_not_reach_a_loaded_network(tmp_path):
    path = tmp_path / "net.safetensors"
    network = load_network(REFERENCE)
    save_network(network, path)
    loaded = load_network(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
    for before, after in zip(network.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(before, after)


def test_many_empty_tensors_do_not_keep_the_loader_busy(tmp_path):
    path = tmp_path / "net.safetensors"
    metadata = {"format": "emoticrafter", "version": "1", "config": json.dumps({"depth": 4000}), "training": "{}"}
    save_file({f"blocks.{n}.x": torch.zeros(0) for n in range(4000)}, path, metadata)
    assert "do not fit the network" in refusal(path)


def test_a_full_disk_is_an_error_of_the_disk(tmp_path, monkeypatch):
    def full(*given):
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(weight_files_module, "save_file", full)
    with pytest.raises(OSError, match=r"could not be written: .*No space left"):
        save_network(load_network(REFERENCE), tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


# --- half precision ----------------------------------------------------------------------------------------


def test_numbers_too_large_for_half_precision_are_named(network, tmp_path):
    with torch.no_grad():
        network.norm.weight[0] = 1e5
    save_network(network, tmp_path / "net.safetensors")
    told = refusal(tmp_path / "net.safetensors", dtype=torch.float16)
    assert "norm.weight in net.safetensors holds numbers up to 100000, too large for float16" in told
    assert "use bfloat16 or float32" in told
    assert load_network(tmp_path / "net.safetensors", dtype=torch.bfloat16).config == CONFIG


# --- the command -------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_command_converts_a_published_file(tmp_path, capsys):
    target = tmp_path / "out" / "net.safetensors"
    assert main(["convert", str(REFERENCE), str(target)]) == 0
    told = capsys.readouterr().out
    assert "Reading" in told and "float16" in told and "converted_from" in told
    exact, half = load_network(REFERENCE), load_network(target)
    arguments = torch.randn(1, 77, 64), 2.0, -1.0
    assert (half(*arguments) - exact(*arguments)).abs().mean() < 2e-3
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.slow
def test_the_command_ends_in_one_line_and_a_code(tmp_path):
    command = [sys.executable, "-m", "emoticrafter.weights", "inspect", str(tmp_path / "none.pth")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"error: There is no file {tmp_path / 'none.pth'}.\n"


def test_inspect_shows_sizes_checksum_and_training(saved, capsys):
    assert main(["inspect", str(saved)]) == 0
    told = capsys.readouterr().out
    for piece in ("sha256 ", "float32", "feature_width    24", "block            paper", '"licence": "CC0"'):
        assert piece in told
    assert main(["inspect", str(REFERENCE)]) == 0
    assert "training: not recorded" in capsys.readouterr().out


def test_converting_again_keeps_what_is_known_of_the_training(saved, tmp_path, capsys):
    assert main(["convert", str(saved), str(saved), "--dtype", "bfloat16"]) == 0
    assert read_metadata(saved)["training"] == TRAINING
    assert next(load_network(saved).parameters()).dtype == torch.bfloat16


def test_converting_to_another_ending_is_refused_before_reading(tmp_path, capsys):
    assert main(["convert", str(REFERENCE), str(tmp_path / "net.pth")]) == 1
    told = capsys.readouterr()
    assert "net.pth does not end in .safetensors" in told.err
    assert "Reading" not in told.out


def test_converting_numbers_too_large_names_the_way_out(network, saved, capsys):
    with torch.no_grad():
        network.norm.weight[0] = 1e5
    save_network(network, saved)
    before = saved.read_bytes()
    assert main(["convert", str(saved), str(saved)]) == 1
    assert "too large for float16: use bfloat16 or float32" in capsys.readouterr().err
    assert saved.read_bytes() == before


def test_a_command_that_is_none_is_explained(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["transform"])
    assert stop.value.code == 2
    assert "convert" in capsys.readouterr().err
