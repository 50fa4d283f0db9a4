"""Files in the published layout: the same network out of them, and nothing else."""

import os
import pickle
import zipfile
from dataclasses import replace

import pytest
import torch

from benchmarks.plain import PlainNetwork
from emoticrafter import load_network
from tests.library.weight_files import CONFIG, REFERENCE, refusal


def published(path, config=CONFIG, changes=None, **options):
    torch.manual_seed(0)
    plain = PlainNetwork(replace(config, block="published"), vocabulary=3, positions=config.positions)
    torch.save({**plain.state_dict(), **(changes or {})}, path, **options)
    return plain


@torch.no_grad()
@pytest.mark.parametrize("zipped", [True, False])
def test_a_published_file_gives_the_same_result(tmp_path, zipped):
    plain = published(tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    network = load_network(tmp_path / "net.pth")
    arguments = torch.randn(2, 8, 24), torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
    torch.testing.assert_close(network(*arguments), plain(*arguments), rtol=0, atol=1e-5)


class Trap:
    """Pickled into a file, it makes another file when it is opened carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False, None])
@pytest.mark.parametrize("inside", ["alone", "beside the weights"])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, zipped, inside):
    sprung, path = tmp_path / "sprung", tmp_path / "net.pth"
    trap = Trap(sprung)
    if zipped is None:
        path.write_bytes(pickle.dumps(trap, protocol=2))
    elif inside == "alone":
        torch.save(trap, path, _use_new_zipfile_serialization=zipped)
    else:
        published(path, changes={"trap": trap}, _use_new_zipfile_serialization=zipped)
    told = refusal(path)
    assert not sprung.exists()
    assert "was refused: it holds more than tensors, and opening it could run code" in told
    assert "Use a file from a source you trust" in told


@pytest.mark.parametrize("zipped", [True, False])
def test_a_published_file_cut_short_is_refused(tmp_path, zipped):
    path = tmp_path / "net.pth"
    published(path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for part in (0.0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.5, 0.9, 0.999):
        size = int(part * len(whole))
        path.write_bytes(whole[:size])
        told = refusal(path)
        assert f"net.pth cannot be read as a PyTorch file ({size:,} bytes" in told
        assert "copy or download it again" in told


def test_a_file_without_a_state_dict_is_refused(tmp_path):
    weight = torch.zeros(2, 2)
    beside = ({"state_dict": {"wpe.weight": weight}}, {"wpe.weight": weight, "epoch": 3}, {1: weight})
    for content in ({}, [weight], weight, *beside):
        torch.save(content, tmp_path / "net.pth")
        told = refusal(tmp_path / "net.pth")
        assert "does not hold a state dict: expected names with their tensors" in told


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
def test_published_weights_that_are_no_numbers_are_refused(tmp_path, value):
    published(tmp_path / "net.pth", changes={"ln_f.weight": torch.full([64], value)})
    assert "norm.weight in net.pth holds NaN or infinite numbers" in refusal(tmp_path / "net.pth")


def test_a_web_page_or_pointer_saved_as_weights_is_called_that(tmp_path):
    path = tmp_path / "net.pth"
    for text in ("<!DOCTYPE html><html>", "version https://git-lfs.github.com/spec/v1\noid sha256:00"):
        path.write_text(text)
        assert "not a PyTorch file: it begins with" in refusal(path)
        assert "download the file itself" in refusal(path)


def test_an_ending_in_capitals_is_read(tmp_path):
    path = tmp_path / "NET.PTH"
    path.write_bytes(REFERENCE.read_bytes())
    assert load_network(path).config.depth == 2


def test_a_compressed_zip_is_refused_instead_of_misread(tmp_path):
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(REFERENCE) as whole, zipfile.ZipFile(path, "w") as packed:
        for number, entry in enumerate(whole.namelist()):
            kind = zipfile.ZIP_DEFLATED if number == 7 else zipfile.ZIP_STORED
            packed.writestr(entry, whole.read(entry), compress_type=kind)
    assert "in it is compressed" in refusal(path)
    assert "save it again with torch.save" in refusal(path)


def test_tensors_that_claim_more_than_the_file_holds_are_refused(tmp_path):
    path = tmp_path / "net.pth"
    state = torch.load(REFERENCE, weights_only=True)
    one = torch.zeros(1)
    torch.save({key: one.expand(tensor.shape[0], *tensor.shape[1:]) for key, tensor in state.items()}, path)
    assert "bytes in a file of" in refusal(path)


@pytest.mark.parametrize("odd", [torch.eye(4).to_sparse(), torch.zeros(4, device="meta")])
def test_tensors_without_plain_numbers_are_no_weights(tmp_path, odd):
    path = tmp_path / "net.pth"
    torch.save({**torch.load(REFERENCE, weights_only=True), "module.ln_f.weight": odd}, path)
    assert "does not hold a state dict" in refusal(path) or "was refused" in refusal(path)
