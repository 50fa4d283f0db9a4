"""Small untrained model files for a server's folders, and the swap that puts them into a graph.

    python scripts/stand_ins.py BASE      # writes them into BASE/models/ and BASE/input/

The graphs that people use load gigabytes; in tests the same graphs run with these instead.
`scripts/tiny_sdxl/` and `scripts/small_families/` hold those that are nodes; LoRA and emotion network are files,
so that the stock loaders read them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

LORA_NAME = "tiny_sdxl_lora.safetensors"
NETWORK_NAME = "tiny_emotion_network.safetensors"
IMAGE_NAME = "tiny_picture.png"

SWAPS = {
    "CheckpointLoaderSimple": ("TinySDXLCheckpoint", {}),
    "ControlNetLoader": ("TinySDXLControlNet", {}),
    "LoraLoader": ("LoraLoader", {"lora_name": LORA_NAME}),
    "EmotiCrafterLoader": ("EmotiCrafterLoader", {"network_name": NETWORK_NAME}),
    "LoadImage": ("LoadImage", {"image": IMAGE_NAME}),
}
"""What takes the place of each loader: its class, and the inputs that change."""
REFINER = ("TinySDXLRefiner", {})
"""Of a checkpoint loader whose file is a refiner, as its name says."""
SMALL = {"UNETLoader": "SmallModel", "CLIPLoader": "SmallCLIP", "DualCLIPLoader": "SmallCLIP", "VAELoader": "SmallVAE"}
"""The same for models that come in parts; each asks for its family."""
FAMILIES = {"z_image": "Z-Image", "qwen_image": "Qwen-Image", "flux1": "Flux.1"}
"""Families by what the names of their diffusion models begin with."""


def swap_loaders(prompt: dict) -> dict:
    """A copy of a prompt (API format) in which every loader of a file loads a stand-in."""
    family = _family(prompt)
    return {node_id: _swapped(node, family) for node_id, node in prompt.items()}


def _family(prompt: dict) -> str | None:
    """The family of the diffusion model that a prompt loads, None if it loads a checkpoint."""
    files = [str(node["inputs"]["unet_name"]) for node in prompt.values() if node["class_type"] == "UNETLoader"]
    return next((family for start, family in FAMILIES.items() if files and files[0].startswith(start)), None)


def _swapped(node: dict, family: str | None) -> dict:
    if family and node["class_type"] in SMALL:
        return {**node, "class_type": SMALL[node["class_type"]], "inputs": {"family": family}}
    if node["class_type"] not in SWAPS:
        return node
    is_refiner = "refiner" in str(node["inputs"].get("ckpt_name"))
    class_type, inputs = REFINER if is_refiner else SWAPS[node["class_type"]]
    kept = node["inputs"] if class_type == node["class_type"] else {}
    return {**node, "class_type": class_type, "inputs": {**kept, **inputs}}


def write_stand_ins(base: Path) -> None:
    """Write the LoRA, the emotion network and a picture into a server's folder `base`."""
    write_lora(base / "models" / "loras" / LORA_NAME, lora_shapes())
    write_network(base / "models" / "emoticrafter" / NETWORK_NAME)
    write_picture(base / "input" / IMAGE_NAME)


def lora_shapes() -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of layers of the tiny SDXL's UNet and text encoders, by the names that people's LoRAs have."""
    shapes = {f"lora_unet_middle_block_1_transformer_blocks_0_attn2_to_{k}": (64, 2048) for k in "kv"}
    for encoder, width in (("te1", 768), ("te2", 1280)):
        layer = f"lora_{encoder}_text_model_encoder_layers_0_self_attn"
        shapes |= {f"{layer}_{part}_proj": (width, width) for part in "qv"}
    return shapes


def write_lora(path: Path, shapes: dict[str, tuple[int, int]], rank: int = 4, seed: int = 5) -> None:
    """A LoRA of random numbers for layers of these shapes."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, (outputs, inputs) in shapes.items():
        weights[f"{name}.lora_down.weight"] = torch.randn(rank, inputs, generator=generator) * inputs**-0.5
        weights[f"{name}.lora_up.weight"] = torch.randn(outputs, rank, generator=generator)
        weights[f"{name}.alpha"] = torch.tensor(float(rank))
    save_file(weights, path)


def write_network(path: Path, seed: int = 6) -> None:
    """A small untrained emotion network whose answer follows valence and arousal visibly."""
    import torch

    from emoticrafter import EmotionNetwork, NetworkConfig, save_network

    torch.manual_seed(seed)
    network = EmotionNetwork(NetworkConfig(feature_width=2048, width=128, depth=2))
    # The library starts near zero, as training wants it; these weights are large enough to see the emotion.
    for weight in network.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
    save_network(network, path)


def write_picture(path: Path, size: int = 256) -> None:
    """A picture of a bright disc on a dark ground, for nodes that load one."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (size, size), (32, 32, 32))
    ImageDraw.Draw(picture).ellipse((size // 6, size // 6, size * 5 // 6, size * 5 // 6), fill="white")
    picture.save(path)


if __name__ == "__main__":
    write_stand_ins(Path(sys.argv[1]))
