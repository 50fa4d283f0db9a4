"""Readers of pictures: files of both kinds, what they refuse, and what they read."""

import json
import struct
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from emoticrafter import EmotionNetwork, NetworkConfig, save_network
from emoticrafter.research.readers import (
    CONTENT,
    ClipHeads,
    Reader,
    load_content_reader,
    load_emotion_reader,
    load_reader,
    read_pictures,
    read_subjects,
    readings_text,
    save_heads,
)

CHANNELS = (32, 32)


@pytest.fixture
def reader():
    torch.manual_seed(0)
    return Reader(CHANNELS, 2).eval().requires_grad_(False)


@pytest.fixture
def heads():
    torch.manual_seed(0)
    return ClipHeads(8, "a small model").requires_grad_(False)


def write(path, state, **metadata):
    save_file(state, path, metadata)
    return path


def write_reader(path, reader, kind="emotion", format="emoticrafter-miniature", **changes):
    config = {"kind": kind, "channels": CHANNELS, "held_out": {}} | changes
    return write(path, reader.state_dict(), format=format, config=json.dumps(config))


# --- what they read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["emoticrafter-miniature", "emoticrafter-miniature-reader"])
def test_the_miniature_reader_is_read_from_both_its_files(tmp_path, reader, form):
    again = load_emotion_reader(write_reader(tmp_path / "a.safetensors", reader, format=form))
    pictures = torch.rand(3, 3, 40, 40)
    assert torch.equal(again(pictures), reader(pictures))


def test_half_precision_files_are_computed_in_float32(tmp_path, reader):
    again = load_emotion_reader(write_reader(tmp_path / "a.safetensors", reader.half()))
    assert again.head.weight.dtype == torch.float32


def test_pictures_of_a_batch_are_read_as_one_by_one(reader):
    pictures = torch.rand(5, 48, 64, 3)
    together = read_pictures(reader, pictures, at_once=2)
    assert together.shape == (5, 2)
    torch.testing.assert_close(together, torch.cat([read_pictures(reader, one[None]) for one in pictures]))


def test_readings_stay_on_the_plane(reader):
    reader.head.bias.copy_(torch.tensor([100.0, -100.0]))
    assert read_pictures(reader, torch.rand(1, 64, 64, 3)).tolist() == [[3.0, -3.0]]


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_images_are_read(reader, channels):
    assert read_pictures(reader, torch.rand(1, 64, 64, channels)).shape == (1, 2)


def test_heads_read_what_the_vision_model_gives(heads):
    def encode(images):
        assert images.shape[1:] == (40, 30, 3)
        return images.flatten(1)[:, :8]

    images = torch.rand(5, 40, 30, 3)
    torch.testing.assert_close(read_pictures(heads, images, encode, at_once=2), heads(images.flatten(1)[:, :8]))


def test_readings_are_told_one_by_one_with_their_mean():
    readings = torch.tensor([[1.5, -3.0], [-0.5, 0.0]])
    assert readings_text(readings[:1]) == "valence +1.50, arousal -3.00"
    assert readings_text(readings).splitlines() == [
        "2 pictures, mean valence +0.50, arousal -1.50",
        "picture 1: valence +1.50, arousal -3.00",
        "picture 2: valence -0.50, arousal +0.00",
    ]


def test_a_picture_that_is_no_number_is_named(reader):
    images = torch.rand(3, 64, 64, 3)
    images[1, 5, 5, 0] = float("nan")
    with pytest.raises(ValueError, match="Picture 6 cannot be read: it holds NaN"):
        read_pictures(reader, images, first=5)
    with pytest.raises(ValueError, match="Picture 2 cannot be read: it holds NaN"):
        read_pictures(reader, images)


def test_no_image_is_refused(reader):
    with pytest.raises(ValueError, match=r"shape \(0, 64, 64, 3\): expected \[number, height, width, 3\]"):
        read_pictures(reader, torch.zeros(0, 64, 64, 3))


def test_heads_are_six_times_a_sigmoid_less_three(heads):
    features = torch.randn(4, 8)
    for number, axis in enumerate((heads.valence, heads.arousal)):
        linear = features.numpy() @ axis.weight.numpy()[0] + axis.bias.item()
        expected = 6 / (1 + np.exp(-linear)) - 3
        np.testing.assert_allclose(heads(features)[:, number].numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_heads_come_back_from_their_file(tmp_path, heads, suffix):
    path = tmp_path / f"heads{suffix}"
    save_heads(heads, path) if suffix == ".safetensors" else torch.save(heads.state_dict(), path)
    again, features = load_emotion_reader(path), torch.randn(4, 8)
    assert torch.equal(again(features), heads(features))
    assert again.features == ("a small model" if suffix == ".safetensors" else "an unnamed model")


def test_features_of_another_width_are_refused_with_both_widths(heads):
    message = "gives features 768 wide, and this reader's heads expect 8 \\(of a small model\\): connect"
    with pytest.raises(ValueError, match=message):
        heads(torch.randn(1, 768))


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_reader_of_contents_is_refused(tmp_path, reader):
    path = write_reader(tmp_path / "content.safetensors", reader, kind="content")
    with pytest.raises(ValueError, match=r"content\.safetensors reads content, not valence and arousal"):
        load_emotion_reader(path)


def test_a_reader_of_contents_says_how_likely_each_subject_is(tmp_path):
    torch.manual_seed(0)
    reader = Reader(CHANNELS, sum(CONTENT)).eval().requires_grad_(False)
    again = load_content_reader(write_reader(tmp_path / "content.safetensors", reader, kind="content"))
    pictures = torch.rand(5, 40, 48, 3)
    shares = read_subjects(again, pictures, at_once=2)
    assert shares.shape == (5, CONTENT[0]) and torch.allclose(shares.sum(1), torch.ones(5))
    assert torch.equal(shares.argmax(1), reader(pictures.movedim(-1, 1))[:, : CONTENT[0]].argmax(1))
    with pytest.raises(ValueError, match=r"Picture 2 cannot be read"):
        read_subjects(again, torch.stack([pictures[0], pictures[0] * torch.nan]))


def test_another_reader_is_not_one_of_contents(tmp_path, reader):
    path = write_reader(tmp_path / "a.safetensors", reader)
    with pytest.raises(ValueError, match=r"a\.safetensors reads emotion, not what a picture shows"):
        load_content_reader(path)
    write_reader(path, reader, kind="content")
    with pytest.raises(ValueError, match=r"a\.safetensors has 2 outputs: expected 24, scores of subjects"):
        load_content_reader(path)


def test_an_emotion_network_is_no_reader(tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(EmotionNetwork(NetworkConfig(feature_width=16, width=64, depth=1)), path)
    with pytest.raises(ValueError, match=r"is not a reader of emotions: it holds \d+ tensors.*valence\.weight"):
        load_emotion_reader(path)


def test_a_config_that_does_not_fit_is_refused(tmp_path, reader):
    other_sizes = r"do not fit the network: \d+ of another shape \(levels\.0\.0\.weight is"
    none = "not a reader of the miniature"
    for channels, message in (([64, 64], other_sizes), (None, none), ([8, 8], none)):
        path = write_reader(tmp_path / "a.safetensors", reader, channels=channels)
        with pytest.raises(ValueError, match=message):
            load_reader(path)


def test_another_part_of_the_miniature_is_refused(tmp_path):
    path = write(tmp_path / "vae.safetensors", {"a": torch.ones(2)}, format="emoticrafter-miniature", config="{}")
    with pytest.raises(ValueError, match=r"vae\.safetensors is not a reader of the miniature: it has no 'channels'"):
        load_emotion_reader(path)


def test_heads_of_another_form_are_refused(tmp_path, heads):
    for changes, message in (
        ({"valence.weight": torch.ones(2, 8)}, r"is \[2, 8\], expected \[1, 16\]"),
        ({"valence.weight": torch.tensor(1.0)}, r"is \[\], expected \[1, 1\]"),
        ({"arousal.bias": torch.tensor([float("nan")])}, "holds NaN or infinite"),
        ({"arousal.bias": torch.tensor([1])}, "arousal.bias in heads.safetensors holds int64: expected float"),
        ({"arousal.bias": torch.zeros(0)}, r"arousal\.bias is \[0\], expected \[1\]"),
        ({"more.bias": torch.zeros(1)}, "is not a reader of emotions"),
    ):
        path = write(tmp_path / "heads.safetensors", heads.state_dict() | changes)
        with pytest.raises(ValueError, match=message):
            load_emotion_reader(path)


def test_a_dtype_that_torch_does_not_have_is_told(tmp_path):
    names = ("arousal.bias", "arousal.weight", "valence.bias", "valence.weight")
    said = {
        name: {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [3 * number, 3 * number + 3]}
        for number, name in enumerate(names)
    }
    header = json.dumps(said).encode()
    path = tmp_path / "heads.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(12))
    with pytest.raises(ValueError, match=r"heads\.safetensors holds tensors that cannot be read: .*F6_E2M3"):
        load_emotion_reader(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"version": "2"}, "it has version 2 and this release reads up to 1: update"),
        ({"version": "one"}, "invalid literal"),
        ({"config": "[" * 100_000}, "recursion"),
    ],
)
def test_heads_whose_metadata_cannot_be_used_are_refused(tmp_path, heads, metadata, message):
    path = write(tmp_path / "heads.safetensors", heads.state_dict(), format="emoticrafter-clip-heads", **metadata)
    with pytest.raises(ValueError, match=rf"The metadata of heads\.safetensors cannot be used: .*{message}"):
        load_emotion_reader(path)


@pytest.mark.parametrize("metadata", [{"format": "emoticrafter-clip-heads"}, {"version": "9.1", "format": "pt"}])
def test_heads_without_a_version_of_ours_are_read(tmp_path, heads, metadata):
    path = write(tmp_path / "heads.safetensors", heads.state_dict(), **metadata)
    assert torch.equal(load_emotion_reader(path)(torch.ones(1, 8)), heads(torch.ones(1, 8)))


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth"])
def test_a_damaged_file_is_told_from_another_kind(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"cannot be read as .*cut short or another kind of file"):
        load_emotion_reader(tmp_path / name)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.safetensors"):
        load_emotion_reader(tmp_path / "none.safetensors")


def test_what_a_reader_says_of_itself_is_compared_before_it_is_built(tmp_path, reader):
    path, started = tmp_path / "a.safetensors", time.process_time()
    for channels, message in (
        ([16] * 20_000, "says that it has 20,000 levels"),
        ([1 << 40], "channels are"),
        ([16.0], "channels are"),
        ({}, "channels are a dict of 0"),
        ("\ud800\x1b", "channels are"),
        ([True], "channels are"),
    ):
        write_reader(path, reader, channels=channels)
        with pytest.raises(ValueError, match=rf"a\.safetensors is not a reader of the miniature: .*{message}"):
            load_emotion_reader(path)
    assert time.process_time() - started < 2


def test_a_reader_with_another_number_of_outputs_is_refused(tmp_path):
    for outputs in (1, 3):
        path = write_reader(tmp_path / "a.safetensors", Reader((16, 16), outputs), channels=[16, 16])
        with pytest.raises(ValueError, match=rf"a\.safetensors has {outputs} outputs: expected 2, valence and arousal"):
            load_emotion_reader(path)
