"""Frozen image models from a folder or the Hugging Face hub: CLIP and DINOv2, loaded once.

Shapes: B images, W features.
"""

import hashlib
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer, CLIPModel

from trainer.core.pictures import Pixels
from trainer.core.rows import DataError

KINDS = ("clip", "dinov2", "dinov2_with_registers")
"""transformers' model types that are understood."""
CLIP_BASE = "openai/clip-vit-base-patch32"


class Backbone:
    """A frozen model that gives features of images; a CLIP also of texts.

    Attributes:
        name: As it was asked for.
        kind: One of KINDS.
        fingerprint: 16 hex digits over its weights.
        width: W.
    """

    def __init__(self, name: str, model: nn.Module, processor, tokenizer, device: torch.device):
        self.name, self.kind, self.device = name, model.config.model_type, device
        self.model, self.processor, self.tokenizer = model, processor, tokenizer
        self.width = model.config.projection_dim if self.kind == "clip" else model.config.hidden_size
        self.fingerprint = state_sha256(model.state_dict())
        model.to(device)

    @torch.no_grad()
    def images(self, pictures: list[Pixels]) -> Tensor:
        """Features of B images, float32 [B, W]: CLIP's projected ones, DINOv2's of the whole image. No unit length."""
        pixels = self.processor(images=pictures, input_data_format="channels_last", return_tensors="pt")
        pixels = pixels["pixel_values"].to(self.device)
        if self.kind == "clip":
            # Not get_image_features: it gives a tensor in transformers 4 and an object in 5.
            return self.model.visual_projection(self.model.vision_model(pixels).pooler_output).float()
        return self.model(pixels).pooler_output.float()

    @torch.no_grad()
    def texts(self, texts: list[str]) -> Tensor:
        """A CLIP's features of B texts, float32 [B, W]; cut where the model's positions end."""
        longest = self.model.config.text_config.max_position_embeddings
        asked = {"padding": True, "truncation": True, "max_length": longest, "return_tensors": "pt"}
        tokens = self.tokenizer(texts, **asked).to(self.device)
        hidden = self.model.text_model(tokens["input_ids"], tokens["attention_mask"]).pooler_output
        return self.model.text_projection(hidden).float()


@cache
def load_backbone(source: str, device: str = "cpu") -> Backbone:
    """Loads a model, once for all that use it.

    Args:
        source: A folder as transformers saves it (config.json, model.safetensors, preprocessor_config.json and, for a
            CLIP, the tokenizer's files), or an id on the hub.
        device: Where to run.

    Raises:
        DataError: it is not there, cannot be had, or is another kind of model; the message says which id to get.
    """
    try:
        config = AutoConfig.from_pretrained(source)
        if config.model_type not in KINDS:
            raise DataError(f"{source} is a {config.model_type} model; expected one of {', '.join(KINDS)}.")
        kind = CLIPModel if config.model_type == "clip" else AutoModel
        model = kind.from_pretrained(source, dtype=torch.float32)
        processor = AutoImageProcessor.from_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(source) if config.model_type == "clip" else None
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(_advice(source, error)) from error
    return Backbone(source, model.eval().requires_grad_(False), processor, tokenizer, torch.device(device))


def _advice(source: str, error: Exception) -> str:
    why = str(error).strip().split("\n")[0][:200]
    if Path(source).exists():
        return (
            f"{source} is no whole model: expected the folder of a CLIP or a DINOv2 with config.json, "
            f"model.safetensors, preprocessor_config.json and, for a CLIP, its tokenizer's files. ({why})"
        )
    return (
        f"The model {source} is not on this machine and could not be had from the Hugging Face hub. Check the id and "
        f"the connection; for a machine without one, run `hf download {source} --local-dir DIR` on another and give "
        f"the folder DIR. ({why})"
    )


def state_sha256(state: dict[str, Tensor]) -> str:
    """16 hex digits over names and numbers, alike for any file and dtype."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]
