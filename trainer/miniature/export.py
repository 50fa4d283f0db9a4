"""Writes the miniature's weights for shipping: float16 safetensors under ComfyUI's names.

    python -m trainer.miniature export --out runs/miniature --to miniature

unet, text_encoders, vae, emotion_network, emotion_reader, content_reader and second_reader (.safetensors), pairs.csv,
and README.md, their data card; where the emotion network is one that learned from pictures, captions_network is the
run's first, which learned from captions alone. `comfyui_layout` says how ComfyUI builds its classes from the first
three.
"""

import csv
import json
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, Lumina2Transformer2DModel, UNet2DConditionModel
from torch import Tensor

from emoticrafter import EmotionNetwork, load_network, save_network
from emoticrafter.files import file_sha256, write_text
from emoticrafter.fit.pairs import Pair
from emoticrafter.research.readers import load_reader
from emoticrafter.weights import read_metadata
from emoticrafter.weights.files import existing_file, save_tensors
from trainer.core.rows import replacing
from trainer.miniature.comfyui_layout import text_sizes, text_state, unet_sizes, unet_state, vae_state
from trainer.miniature.emotion import training_pairs
from trainer.miniature.flow import FlowText
from trainer.miniature.flow_files import (
    load_flow,
    text_encoder_sizes,
    text_encoder_state,
    transformer_sizes,
    transformer_state,
)
from trainer.miniature.folders import load_autoencoder, load_generator, needs
from trainer.miniature.held_out import default_network
from trainer.miniature.models import TextEncoders
from trainer.miniature.readers import KINDS, SECOND
from trainer.miniature.recipe import FlowRecipe, Recipe

FORMAT, VERSION = "emoticrafter-miniature", "1"
LARGEST, LARGEST_FLOW = 45_000_000, 20_000_000
"""Bytes of everything that is shipped of the first miniature, and of the second beside it."""
CARD_NAME, NETWORK_NAME, CAPTIONS_NAME = "README.md", "emotion_network.safetensors", "captions_network.safetensors"
TWO_NETWORKS = """ That one is
`captions_network`, to compare with; `emotion_network` was fitted as *Fit Emotion Network* does
(`trainer.miniature network`) and then learned through the model, from painted pictures and from a reader
(`trainer.pictures`): its file says how."""
LICENCE = "Apache-2.0: captions worded by this project"
PAIRS = 2000
"""Pairs of captions that go with the weights, for Fit Emotion Network."""


def write_part(path: Path, state: dict[str, Tensor], config: dict) -> None:
    """Writes tensors in float16 with a config beside them in the file.

    Raises:
        ValueError: A weight that float16 cannot hold.
    """
    halves = {name: _half(tensor.detach().cpu()).contiguous() for name, tensor in state.items()}
    for name, tensor in halves.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path.name}: {name} is not finite in float16. Train it anew with a lower rate.")
    metadata = {"format": FORMAT, "version": VERSION, "config": json.dumps(config)}
    save_tensors(path, halves, metadata)


def _half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def export_model(
    unet: UNet2DConditionModel, text: TextEncoders, autoencoder: AutoencoderTiny, recipe: Recipe, to: Path
) -> None:
    """Writes the three files that ComfyUI's MODEL, CLIP and VAE are made of."""
    write_part(to / "unet.safetensors", unet_state(unet.state_dict(), recipe), unet_sizes(recipe))
    encoders = text_state(text.whole_clip_l().state_dict(), text.clip_g.state_dict())
    write_part(to / "text_encoders.safetensors", encoders, text_sizes(recipe))
    config = autoencoder.config
    latents = vae_state(autoencoder.state_dict(), 1 / config.scaling_factor, config.shift_factor)
    write_part(to / "vae.safetensors", latents, {"latent_channels": 4})


def export_flow(transformer: Lumina2Transformer2DModel, text: FlowText, recipe: FlowRecipe, to: Path) -> None:
    """Writes the two files that the second miniature's MODEL and CLIP are made of."""
    write_part(to / "transformer.safetensors", transformer_state(transformer.state_dict()), transformer_sizes(recipe))
    write_part(to / "text_encoder.safetensors", text_encoder_state(text), text_encoder_sizes(recipe))


def export(out: Path, recipe: Recipe, network: Path, to: Path) -> int:
    """Writes everything that is shipped, with its data card.

    All files are written beside their places first, so that nothing changes if one cannot be made. Then they are moved
    one after another, the card last: `restore` refuses a folder whose card was not written with its files.

    Args:
        out: The run's folder.
        recipe: The run's.
        network: The emotion network that goes with it.
        to: The folder; files that are there are replaced.

    Returns:
        The bytes of all files together.

    Raises:
        FileNotFoundError: A stage is not done, or the network does not exist.
        ValueError: The files are larger together than may be shipped.
    """
    needs(out, "autoencoder", "generator", "readers")
    existing_file(network)
    to.mkdir(parents=True, exist_ok=True)
    write, largest = (_write_flow, LARGEST_FLOW) if isinstance(recipe, FlowRecipe) else (_write_all, LARGEST)
    with tempfile.TemporaryDirectory(prefix=".export.", dir=to) as folder:
        write(out, recipe, network, Path(folder))
        total = sum(path.stat().st_size for path in Path(folder).iterdir())
        if total > largest:
            raise ValueError(
                f"{out} makes {total / 1e6:.1f} MB, expected at most {largest / 1e6:.0f}: use smaller sizes."
            )
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.name == CARD_NAME):
            path.replace(to / path.name)
    return total


def _write_all(out: Path, recipe: Recipe, network: Path, to: Path) -> None:
    unet, text = load_generator(out / "generator", recipe)
    export_model(unet, text, load_autoencoder(out / "autoencoder"), recipe, to)
    _write_network(network, to / NETWORK_NAME)
    first = default_network(out)
    training = read_metadata(first if first.is_file() else network)["training"]
    two = first.is_file() and not first.samefile(network)
    if two:
        _write_network(first, to / CAPTIONS_NAME)
    figures = {}
    for name in (*KINDS, SECOND):
        path = out / "readers" / f"{name}.safetensors"
        if name == SECOND and not path.is_file():  # runs of before have none
            continue
        reader, config = load_reader(path)
        write_part(to / f"{name}_reader.safetensors", reader.state_dict(), config)
        figures[name] = config["held_out"]
    write_pairs(recipe, to / "pairs.csv")
    held_out = "\n".join(
        f"| {kind} reader, {name} | {value:.3f} |" for kind, found in figures.items() for name, value in found.items()
    )
    loss = training.get("validation", {}).get("loss", float("nan"))
    write_card("card.md", recipe, to, held_out=held_out, loss=loss, networks=TWO_NETWORKS if two else "")


def write_pairs(recipe: Recipe, path: Path) -> None:
    """Writes the first training pairs of the emotion network, as `emoticrafter.fit.pairs` reads them."""
    with replacing(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(Pair._fields)
        for pair in training_pairs(recipe, PAIRS):
            table.writerow([pair.neutral, pair.emotional, f"{pair.valence:.2f}", f"{pair.arousal:.2f}"])


def _write_flow(out: Path, recipe: FlowRecipe, network: Path, to: Path) -> None:
    transformer, text = load_flow(out / "generator", recipe)
    export_flow(transformer, text, recipe, to)
    _write_network(network, to / NETWORK_NAME)
    write_card("flow_card.md", recipe, to)


def _write_network(path: Path, to: Path) -> None:
    training = read_metadata(path)["training"]
    training.setdefault("data", {})["licences"] = {"miniature": LICENCE}
    network = load_network(path)
    save_network(network.half() if isinstance(network, EmotionNetwork) else network, to, training)


def write_card(form: str, recipe: Recipe, folder: Path, **figures) -> None:
    """Writes the data card of a folder's weights: contents, origin, quality and licence."""
    files = sorted(folder.glob("*.safetensors"))
    sizes = "\n".join(f"| {path.name} | {path.stat().st_size / 1e6:.1f} MB | `{file_sha256(path)}` |" for path in files)
    card = Path(__file__).with_name(form).read_text("utf-8")
    samples, settings = recipe.generator_steps * recipe.generator_batch, json.dumps(recipe.as_json(), indent=1)
    text = card.format(sizes=sizes, recipe=recipe, samples=samples, settings=settings, **figures)
    write_text(folder / CARD_NAME, text)
