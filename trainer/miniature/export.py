"""Writes the miniature's weights for shipping: float16 safetensors under ComfyUI's names.

    python -m trainer.miniature export --out runs/miniature --to miniature

unet, text_encoders, vae, emotion_network, emotion_reader and content_reader (.safetensors), and README.md, their data
card; `comfyui_layout` says how ComfyUI builds its classes from the first three.
"""

import json
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor

from emoticrafter import load_network, save_network
from emoticrafter.files import file_sha256, write_atomically
from emoticrafter.research.readers import load_reader
from emoticrafter.weights import read_metadata
from emoticrafter.weights.files import existing_file, save_tensors
from trainer.miniature.comfyui_layout import text_sizes, text_state, unet_sizes, unet_state, vae_state
from trainer.miniature.folders import load_autoencoder, load_generator, needs
from trainer.miniature.models import TextEncoders
from trainer.miniature.readers import KINDS
from trainer.miniature.recipe import Recipe

FORMAT, VERSION = "emoticrafter-miniature", "1"
LARGEST = 40_000_000
"""Bytes of everything that is shipped."""
CARD_NAME = "README.md"
LICENCE = "Apache-2.0: captions worded by this project"


def write_part(path: Path, state: dict[str, Tensor], config: dict) -> None:
    """Writes tensors in float16 with a config beside them in the file.

    Raises:
        ValueError: A weight that float16 cannot hold.
    """
    halves = {name: tensor.detach().cpu().half().contiguous() for name, tensor in state.items()}
    for name, tensor in halves.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f"{path.name}: {name} is not finite in float16. Train it anew with a lower rate."
            )
    metadata = {"format": FORMAT, "version": VERSION, "config": json.dumps(config)}
    save_tensors(path, halves, metadata)


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
    with tempfile.TemporaryDirectory(prefix=".export.", dir=to) as folder:
        _write_all(out, recipe, network, Path(folder))
        total = sum(path.stat().st_size for path in Path(folder).iterdir())
        if total > LARGEST:
            raise ValueError(
                f"{out} makes {total / 1e6:.1f} MB, expected at most {LARGEST / 1e6:.0f}: use smaller sizes."
            )
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.name == CARD_NAME):
            path.replace(to / path.name)
    return total


def _write_all(out: Path, recipe: Recipe, network: Path, to: Path) -> None:
    unet, text = load_generator(out / "generator", recipe)
    export_model(unet, text, load_autoencoder(out / "autoencoder"), recipe, to)
    training = read_metadata(network)["training"]
    training.setdefault("data", {})["licences"] = {"miniature": LICENCE}
    save_network(load_network(network).half(), to / "emotion_network.safetensors", training)
    figures = {}
    for kind in KINDS:
        reader, config = load_reader(out / "readers" / f"{kind}.safetensors")
        write_part(to / f"{kind}_reader.safetensors", reader.state_dict(), config)
        figures[kind] = config["held_out"]
    card = data_card(recipe, figures, training, sorted(to.glob("*.safetensors")))
    write_atomically(to / CARD_NAME, lambda temporary: temporary.write_text(card, encoding="utf-8"))


def data_card(recipe: Recipe, figures: dict, training: dict, files: list[Path]) -> str:
    """The weights' data card: contents, origin, quality and licence."""
    sizes = "\n".join(
        f"| {path.name} | {path.stat().st_size / 1e6:.1f} MB | `{file_sha256(path)}` |" for path in files
    )
    held_out = "\n".join(
        f"| {kind} reader, {name} | {value:.3f} |"
        for kind, found in figures.items()
        for name, value in found.items()
    )
    best = training.get("validation", {})
    return CARD.format(
        sizes=sizes,
        held_out=held_out,
        seed=recipe.seed,
        pictures=f"{recipe.pictures:,}",
        reader_pictures=f"{recipe.reader_pictures:,}",
        samples=f"{recipe.generator_steps * recipe.generator_batch:,}",
        pairs=f"{recipe.pairs:,}",
        loss=f"{best.get('loss', float('nan')):.4g}",
        recipe=json.dumps(recipe.as_json(), indent=1),
    )


CARD = """# The miniature's weights

A small text-to-image model with SDXL's plan, of a painted world in which every picture's valence and arousal are
known, and the emotion network fitted to it. It is made for trying the nodes, for tests and for comparing methods. It
is not SDXL and knows nothing but its own world: 14 subjects, 6 settings, 4 times of day, pictures of 128 x 128.

| file | size | sha256 |
| --- | ---: | --- |
{sizes}

The node *Load Miniature* builds ComfyUI's classes from `unet`, `text_encoders` and `vae`; the emotion network is a file
like any other of this project; the two readers measure pictures, and made none.

## Data

{pictures} pictures painted by `trainer/miniature/painter.py`, and captions worded by `captions.py`; nothing was
collected, and nobody who exists is shown. Valence and arousal are the painter's own settings, not people's ratings. The
combinations of subject, setting and time that `Scene.held_out` names are in no picture or caption that the generator
or the emotion network learned from; the two readers learned from pictures of all combinations.

## Training

`python -m trainer.miniature train`, with the recipe below and seed {seed}: an autoencoder (diffusers' AutoencoderTiny),
then the UNet and both text encoders together on {samples} samples, then the emotion network by `trainer.prepare` and
`trainer.train` on {pairs} pairs of captions (best validation loss {loss}). The two readers learned from
{reader_pictures} other pictures, half of them after the autoencoder; a tenth was held out:

| held-out figure | |
| --- | ---: |
{held_out}

How well pictures follow the asked emotion is in docs/miniature.md, written by `python -m trainer.miniature measure`.

```json
{recipe}
```

## Licence

Apache-2.0, as the project. The tokenizers' vocabulary, which is not in these files, is OpenAI CLIP's (MIT).
"""
