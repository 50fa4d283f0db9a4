"""The miniature's files as the node takes them: what is missing, damaged or foreign is named, the good are shared."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from emoticrafter import EmotionNetwork, NetworkConfig, save_network
from scripts.installation import comfyui_folder, comfyui_python
from trainer.miniature.export import export_model
from trainer.miniature.models import TextEncoders, make_autoencoder, make_unet
from trainer.miniature.recipe import TINY


def write_miniature(folder: Path) -> None:
    """An untrained miniature of the tests' smallest sizes."""
    torch.manual_seed(0)
    autoencoder = make_autoencoder()
    autoencoder.register_to_config(scaling_factor=1.0, shift_factor=0.0)
    export_model(make_unet(TINY), TextEncoders(TINY), autoencoder, TINY, folder)
    network = EmotionNetwork(NetworkConfig(feature_width=sum(TINY.text_widths), width=64, depth=1))
    save_network(network, folder / "emotion_network.safetensors")


def changed(path: Path, tensors: dict | None = None, **metadata) -> None:
    """Writes a file again with other metadata, or with other tensors (None drops one)."""
    with safe_open(path, "pt") as file:
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        said = file.metadata()
    kept = {name: tensor for name, tensor in (kept | (tensors or {})).items() if tensor is not None}
    path.unlink()  # it is a link to the whole miniature's
    save_file(kept, path, said | metadata)


def cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def mistaken(path: Path, other: str) -> None:
    path.unlink()
    path.symlink_to(path.with_name(other))


NORM, CONVOLUTION, LINEAR, BIAS = "out.0.weight", "out.2.weight", "time_embed.0.weight", "time_embed.0.bias"
WORDS = "clip_l.transformer.text_model.embeddings.token_embedding.weight"
CASES = {
    "no files": lambda folder: [path.unlink() for path in folder.iterdir()],
    "no autoencoder": lambda folder: (folder / "vae.safetensors").unlink(),
    "cut short": lambda folder: cut_short(folder / "unet.safetensors"),
    "cut short network": lambda folder: cut_short(folder / "emotion_network.safetensors"),
    "foreign": lambda folder: changed(folder / "vae.safetensors", format="pt"),
    "newer": lambda folder: changed(folder / "text_encoders.safetensors", version="2"),
    "no config": lambda folder: changed(folder / "unet.safetensors", config="{"),
    "lacking": lambda folder: changed(folder / "unet.safetensors", {NORM: None}),
    "too much": lambda folder: changed(folder / "vae.safetensors", {"surplus": torch.zeros(1)}),
    "not finite": lambda folder: changed(folder / "unet.safetensors", {NORM: torch.full((64,), float("nan"))}),
    "another part": lambda folder: mistaken(folder / "vae.safetensors", "unet.safetensors"),
    "other shape": lambda folder: changed(folder / "unet.safetensors", {NORM: torch.zeros(3)}),
    "other convolution": lambda folder: changed(folder / "unet.safetensors", {CONVOLUTION: torch.zeros(3, 4)}),
    "other layer": lambda folder: changed(folder / "unet.safetensors", {LINEAR: torch.zeros(3, 4)}),
    "other bias": lambda folder: changed(folder / "unet.safetensors", {BIAS: torch.zeros(5)}),
    "other embedding": lambda folder: changed(folder / "text_encoders.safetensors", {WORDS: torch.zeros(3, 4)}),
}


@pytest.fixture(scope="module")
def told(dynamic_vram, tmp_path_factory):
    """What came of every case, by its name (see comfyui_miniature_files.py)."""
    folder = tmp_path_factory.mktemp("miniatures")
    (folder / "base").mkdir()
    write_miniature(folder / "whole")
    for name, damage in CASES.items():
        (folder / name).mkdir()
        for path in (folder / "whole").iterdir():
            (folder / name / path.name).symlink_to(path)
        damage(folder / name)
    program = Path(__file__).with_name("comfyui_miniature_files.py")
    command = [comfyui_python(), program, folder, *["dynamic"] * dynamic_vram]
    done = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_whole_miniature_loads(told):
    assert told["whole"] == "loaded"
    assert told["dtypes"] == ["torch.float32"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (
            "no files",
            "The miniature lacks unet.safetensors, text_encoders.safetensors, vae.safetensors, emotion_network.safe",
        ),
        ("no autoencoder", "FileNotFoundError: The miniature lacks vae.safetensors in "),
        ("cut short", "unet.safetensors cannot be used as a part of the miniature"),
        ("cut short network", "emotion_network.safetensors cannot be read as safetensors"),
        ("foreign", "its metadata lacks format=emoticrafter-miniature"),
        ("newer", "it has version 2 and this release reads up to 1"),
        ("no config", "unet.safetensors cannot be used"),
        ("lacking", f"missing ['{NORM}']"),
        ("too much", "not known ['surplus']"),
        ("not finite", f"{NORM} in unet.safetensors holds NaN or infinite numbers"),
        ("another part", "it has no 'latent_channels', and may be another part under this name"),
        ("other shape", "size mismatch for out.0.weight"),
        ("other convolution", "size mismatch for out.2"),
        ("other layer", "size mismatch for time_embed.0"),
        ("other bias", "size mismatch for time_embed.0"),
        ("other embedding", "size mismatch for clip_l.transformer.text_model.embeddings.token_embedding"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(told, case, words):
    assert words in told[case]


@pytest.mark.parametrize("case", ["no files", "cut short", "newer", "lacking"])
def test_the_message_says_where_the_weights_come_from(told, case):
    assert "come with a git checkout of the project, not with the registry's package" in told[case]


def test_loaders_share_what_is_in_use_and_nothing_is_kept_after(told):
    assert told["shared"] == [True] * 4
    assert told["kept when nobody holds it"] == 0


def test_a_changed_file_is_another_version_and_only_its_part_is_built_again(told):
    assert told["version changed"]
    assert told["shared after the autoencoder changed"] == [True, True, False, True]
