"""An untrained run of the miniature, and a painter that needs none."""

from pathlib import Path

import torch
from PIL import Image as Pillow

from emoticrafter import EmotionNetwork, NetworkConfig, save_network
from trainer.miniature.folders import save_generator
from trainer.miniature.models import TextEncoders, make_autoencoder, make_unet
from trainer.miniature.readers import KINDS, SECOND, Reader, save_reader, second_recipe
from trainer.miniature.recipe import TINY, keep


def make_run(run: Path, *networks: str) -> Path:
    """A run with its generator, autoencoder and readers, and emotion networks of these names."""
    torch.manual_seed(0)
    keep(TINY, run)
    save_generator(make_unet(TINY), TextEncoders(TINY), run / "generator")
    make_autoencoder().save_pretrained(run / "autoencoder")
    make_readers(run)
    for name in networks:
        scale = 1.5 if "scale" in name else 1.0
        save_tiny_network(run / "emotion" / name / "network.safetensors", sum(TINY.text_widths), scale)
    return run


def make_readers(run: Path) -> Path:
    for kind, outputs in KINDS.items():
        torch.manual_seed(0)
        reader = Reader(TINY.reader_channels, outputs)
        save_reader(reader, run / "readers" / f"{kind}.safetensors", kind, TINY, {})
    second = second_recipe(TINY)
    reader = Reader(second.reader_channels, KINDS["emotion"])
    save_reader(reader, run / "readers" / f"{SECOND}.safetensors", "emotion", second, {})
    return run


def save_tiny_network(path: Path, width: int, scale: float = 1.0) -> Path:
    """An emotion network that changes its features, as a fit that has ended leaves it."""
    torch.manual_seed(0)
    config = NetworkConfig(feature_width=width, width=64, depth=1, emotion_tokens=2, emotion_hidden=8)
    network = EmotionNetwork(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_network(network, path, {"scale": scale})
    (path.parent / "finished").touch()
    return path


class Paints:
    """A painter of plain colours that counts, and may fail."""

    def __init__(self, fail_at: int | None = None):
        self.drawn, self.fail_at = [], fail_at

    def draw(self, tasks):
        if self.fail_at is not None and len(self.drawn) >= self.fail_at:
            raise KeyboardInterrupt
        self.drawn += tasks
        colours = [(round(128 + 40 * t.valence), round(128 + 40 * t.arousal), t.number) for t in tasks]
        return [Pillow.new("RGB", (32, 32), colour) for colour in colours]
