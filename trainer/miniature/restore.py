"""Turns the shipped weights back into a run's folder, so that fits, pictures and tables need no training first.

    python -m trainer.miniature restore --from miniature --out runs/miniature

The inverse of `export`: exporting the folder again gives the same files. Whatever else a run has (pictures, latents,
pairs) is made by the command that needs it. The shipped weights are in float16, so pictures of a restored run differ a
little from those of the run that was shipped.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from emoticrafter import load_network, save_network
from emoticrafter.files import file_sha256
from emoticrafter.research.readers import load_reader
from emoticrafter.weights import read_metadata
from trainer.miniature.comfyui_layout import LATENT_SCALE, text_state, unet_state, vae_state
from trainer.miniature.export import CAPTIONS_NAME, CARD_NAME, NETWORK_NAME
from trainer.miniature.flow import FlowText, make_language_model, make_transformer
from trainer.miniature.flow_files import diffusers_state, save_flow, text_encoder_state, transformer_state
from trainer.miniature.folders import save_generator, write_folder
from trainer.miniature.held_out import PICTURES, default_network, fitted_path
from trainer.miniature.models import TextEncoders, make_autoencoder, make_unet
from trainer.miniature.readers import KINDS, SECOND, save_reader, second_recipe
from trainer.miniature.recipe import FlowRecipe, Recipe, keep

PARTS = ("unet", "text_encoders", "vae", "emotion_network", *(f"{kind}_reader" for kind in KINDS))
FILES = tuple(f"{part}.safetensors" for part in PARTS)
FLOW_FILES = tuple(f"{part}.safetensors" for part in ("transformer", "text_encoder", "emotion_network"))
SECOND_FILE = f"{SECOND}_reader.safetensors"
MARK = "v_pred"  # beside the UNet's weights, for ComfyUI alone


def restore(shipped: Path, out: Path) -> None:
    """Writes a run's folder: recipe.json, generator/, autoencoder/, readers/, emotion/default-0/ and what is best.

    Args:
        shipped: A folder that `export` wrote.
        out: The folder, whole or not at all; it must not be there yet, or be empty.

    Raises:
        FileNotFoundError: `shipped` lacks a file.
        ValueError: A file is damaged or of another recipe, or there is something in `out` already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "holds a run already" if (out / "recipe.json").exists() else "is not empty"
        raise ValueError(f"{out} {what}, which is never overwritten: choose another --out, or move it away.")
    card = shipped / CARD_NAME
    recipe = card_recipe(card) if card.is_file() else Recipe()
    files = FLOW_FILES if isinstance(recipe, FlowRecipe) else FILES
    _check_there(shipped, files)
    check_sums(card, (*files, *_optional(shipped)))
    write = _write_flow if isinstance(recipe, FlowRecipe) else _write
    write_folder(out, lambda folder: write(shipped, recipe, folder))


def _optional(shipped: Path) -> list[str]:
    """The second reader's file and that of a second network, which folders of before do not have."""
    return [name for name in (SECOND_FILE, CAPTIONS_NAME) if (shipped / name).is_file()]


def _check_there(shipped: Path, files: Sequence[str]) -> None:
    if missing := [name for name in (*files, CARD_NAME) if not (shipped / name).is_file()]:
        raise FileNotFoundError(
            f"{shipped} has no {missing[0]}: expected what `python -m trainer.miniature export` writes, "
            "as the folder miniature of this project."
        )


def check_sums(card: Path, files: Sequence[str] = FILES) -> None:
    """Checks that the files beside a data card are those that it was written with.

    Raises:
        ValueError: A file differs, or the card does not list it.
    """
    told = dict(re.findall(r"^\| (\S+) \|.*\| `([0-9a-f]{64})` \|$", card.read_text("utf-8"), re.MULTILINE))
    for name in files:
        if told.get(name) != file_sha256(card.with_name(name)):
            raise ValueError(
                f"{card.with_name(name)} is not the file that {card.name} beside it lists (by its sha256): it is "
                "damaged, or from another export. Take the whole folder from one export."
            )


def card_recipe(card: Path) -> Recipe:
    """The recipe in the data card of shipped weights.

    Raises:
        ValueError: It holds no recipe that this version knows.
    """
    found = re.findall(r"^```json\n(.*?)^```", card.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    try:
        return Recipe.from_json(found[-1])
    except (LookupError, ValueError) as error:
        raise ValueError(f"{card} holds no recipe of this version ({error}): take the original.") from error


def share(shipped: Path, out: Path) -> None:
    """Writes a shipped autoencoder and readers into a run's folder, unless they are there.

    Raises:
        FileNotFoundError: `shipped` lacks a file.
        ValueError: A file is damaged.
    """
    _check_there(shipped, FILES)
    recipe = card_recipe(shipped / CARD_NAME)
    if not (out / "autoencoder").exists():
        _write_autoencoder(shipped, out)
    if not all((out / "readers" / f"{kind}.safetensors").exists() for kind in KINDS):
        _write_readers(shipped, recipe, out / "readers")


def _write(shipped: Path, recipe: Recipe, folder: Path) -> None:
    keep(recipe, folder)
    unet, text = make_unet(recipe), TextEncoders(recipe)
    fill(unet_state(unet.state_dict(), recipe), shipped / "unet.safetensors")
    whole = text.whole_clip_l()
    fill(text_state(whole.state_dict(), text.clip_g.state_dict()), shipped / "text_encoders.safetensors")
    text.load_clip_l(whole)
    save_generator(unet, text, folder / "generator")
    _write_autoencoder(shipped, folder)
    _write_readers(shipped, recipe, folder / "readers")
    captions = shipped / CAPTIONS_NAME
    if captions.is_file():
        _write_network(shipped / NETWORK_NAME, fitted_path(folder, PICTURES))
    _write_network(captions if captions.is_file() else shipped / NETWORK_NAME, default_network(folder))


def _write_flow(shipped: Path, recipe: FlowRecipe, folder: Path) -> None:
    """The second miniature is shipped in a folder of the first one's, whose autoencoder and readers it takes."""
    keep(recipe, folder)
    transformer = make_transformer(recipe)
    named = transformer_state(transformer.state_dict())
    fill(named, shipped / "transformer.safetensors")
    transformer.load_state_dict(diffusers_state(named, transformer.state_dict()))
    vocabulary = load_file(shipped / "text_encoder.safetensors")["spiece_model"]
    text = FlowText(make_language_model(recipe), vocabulary.numpy().tobytes())
    fill(text_encoder_state(text), shipped / "text_encoder.safetensors")
    save_flow(transformer, text, folder / "generator")
    share(shipped.parent, folder)
    _write_network(shipped / NETWORK_NAME, default_network(folder))


def _write_autoencoder(shipped: Path, folder: Path) -> None:
    autoencoder = make_autoencoder()
    latents = vae_state(autoencoder.state_dict(), 1.0, 0.0)
    fill(latents, shipped / "vae.safetensors")
    scale, shift = float(latents["vae_scale"]), float(latents["vae_shift"])
    autoencoder.register_to_config(scaling_factor=LATENT_SCALE / scale, shift_factor=-shift * scale)
    write_folder(folder / "autoencoder", autoencoder.save_pretrained)


def _write_readers(shipped: Path, recipe: Recipe, folder: Path) -> None:
    for kind in KINDS:
        reader, config = load_reader(shipped / f"{kind}_reader.safetensors")
        save_reader(reader, folder / f"{kind}.safetensors", kind, recipe, config["held_out"])
    if (shipped / SECOND_FILE).is_file():
        reader, config = load_reader(shipped / SECOND_FILE)
        save_reader(reader, folder / f"{SECOND}.safetensors", "emotion", second_recipe(recipe), config["held_out"])


def _write_network(network: Path, to: Path) -> None:
    training = read_metadata(network)["training"]
    save_network(load_network(network, dtype=torch.float32), to, training)
    (to.parent / "finished").touch()


@torch.no_grad()
def fill(renamed: dict[str, Tensor], path: Path) -> None:
    """Fills a model with a shipped file.

    Args:
        renamed: The model's own tensors under the file's names: what is copied into them is in the model.
        path: The file.

    Raises:
        ValueError: The file is damaged, or its tensors are others.
    """
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}): take the original.") from error
    wanted = {name for name in renamed if name != MARK}
    odd = sorted(wanted ^ {name for name in state if name != MARK})
    if odd or (other := [name for name in sorted(wanted) if state[name].shape != renamed[name].shape]):
        raise ValueError(
            f"{path} does not hold the weights of the recipe in the card beside it: {odd[0] if odd else other[0]} is "
            "missing, not expected or of another shape. Take the whole folder from one export."
        )
    for name in wanted:
        renamed[name].copy_(state[name])
