"""The miniature's networks: SDXL's architecture at small size, in the classes of diffusers and transformers.

Shapes: B batch, T = 77 tokens, D features (64 + 64), P pooled (64); latents are [B, 4, 16, 16] with deviation 1,
pictures [B, 3, 128, 128] in [0, 1].
"""

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from trainer.core.device import Machine
from trainer.features.tokenizer import END, TOKENS, VOCABULARY, clip_tokenizer
from trainer.miniature.recipe import Recipe

TIME_WIDTH = 256  # SDXL's, of each of the six numbers of size and crop
HEAD_WIDTH = 64  # SDXL's, and the only one that ComfyUI gives its UNet
TEXT_HEAD_WIDTH = 32
ACTIVATIONS = ("quick_gelu", "gelu")  # SDXL's, of CLIP-L and bigG


def make_unet(recipe: Recipe) -> UNet2DConditionModel:
    """The UNet, untrained."""
    channels, depths = recipe.unet_channels, recipe.unet_transformers
    return UNet2DConditionModel(
        sample_size=recipe.picture_size // 8,
        block_out_channels=channels,
        down_block_types=tuple("CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths),
        up_block_types=tuple("CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)),
        layers_per_block=recipe.unet_layers,
        transformer_layers_per_block=tuple(max(depth, 1) for depth in depths),
        attention_head_dim=tuple(width // HEAD_WIDTH for width in channels),  # sic: the number of heads
        cross_attention_dim=sum(recipe.text_widths),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_WIDTH,
        projection_class_embeddings_input_dim=recipe.text_widths[1] + 6 * TIME_WIDTH,
    )


def unet_format(machine: Machine) -> torch.memory_format:
    """How the UNet lies in memory: in bfloat16 on a CPU, PyTorch's group norm takes 5 times as long channels-last."""
    slow = machine.bfloat16 and machine.device.type == "cpu"
    return torch.contiguous_format if slow else torch.channels_last


def text_config(recipe: Recipe, which: int, layers: int) -> CLIPTextConfig:
    width = recipe.text_widths[which]
    return CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // TEXT_HEAD_WIDTH,
        hidden_act=ACTIVATIONS[which],
        projection_dim=width,
        bos_token_id=END - 1,
        eos_token_id=END,
        pad_token_id=END if which == 0 else 0,
    )


class TextEncoders(nn.Module):
    """Both text encoders as SDXL reads them, for training and sampling.

    The first is never read beyond its last layer but one, so that layer and the final norm are not here;
    `whole_clip_l` puts them back, as zeros, for the file.
    """

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        self.clip_l = CLIPTextModel(text_config(recipe, 0, recipe.text_layers - 1))
        _inner(self.clip_l).final_layer_norm = nn.Identity()
        self.clip_g = CLIPTextModelWithProjection(text_config(recipe, 1, recipe.text_layers))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, T] from `tokenize` to features [B, T, D] and the pooled vector [B, P]."""
        narrow = self.clip_l(input_ids=tokens).last_hidden_state
        wide = self.clip_g(input_ids=_padded_with_zeros(tokens), output_hidden_states=True)
        return torch.cat([narrow, wide.hidden_states[-2]], dim=-1), wide.text_embeds

    def pooled(self, tokens: Tensor) -> Tensor:
        """The pooled vector alone, [B, P]; what stands after the end token cannot change it and may be cut off."""
        return self.clip_g(input_ids=_padded_with_zeros(tokens)).text_embeds

    @torch.no_grad()
    def whole_clip_l(self) -> CLIPTextModel:
        whole = CLIPTextModel(text_config(self.recipe, 0, self.recipe.text_layers))
        state, trained = whole.state_dict(), self.clip_l.state_dict()
        whole.load_state_dict({name: trained.get(name, torch.zeros_like(t)) for name, t in state.items()})
        return whole

    def load_clip_l(self, whole: CLIPTextModel) -> None:
        """Takes the weights of an encoder that `whole_clip_l` gave."""
        wanted, state = self.clip_l.state_dict(), whole.state_dict()
        self.clip_l.load_state_dict({name: state[name] for name in wanted})


def _inner(model: CLIPTextModel) -> nn.Module:
    return getattr(model, "text_model", model)  # transformers 4 wraps it once more


def _padded_with_zeros(tokens: Tensor) -> Tensor:
    """CLIP-L pads with the end token, bigG with 0."""
    return tokens.masked_fill((tokens == END).cumsum(1) > 1, 0)


def tokenize(captions: list[str]) -> Tensor:
    """Captions of at most 75 tokens to [B, T] int64, padded with the end token; longer ones are cut."""
    encoded = clip_tokenizer()(captions, truncation=True, max_length=TOKENS)["input_ids"]
    return torch.tensor([row + [END] * (TOKENS - len(row)) for row in encoded])


def as_floats(pictures: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W] in [0, 1], channels last in memory."""
    return torch.from_numpy(np.array(pictures)).to(device).permute(0, 3, 1, 2).float() / 255


def make_autoencoder() -> AutoencoderTiny:
    """The autoencoder, untrained: the one shape that ComfyUI's TAESD class has."""
    return AutoencoderTiny()


def encode(autoencoder: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Pictures in [0, 1] to latents, of deviation 1 once the autoencoder knows its own."""
    raw = autoencoder.encode(pictures * 2 - 1).latents
    return (raw - autoencoder.config.shift_factor) * autoencoder.config.scaling_factor


def decode(autoencoder: AutoencoderTiny, latents: Tensor) -> Tensor:
    """Latents to pictures in [0, 1]."""
    raw = latents / autoencoder.config.scaling_factor + autoencoder.config.shift_factor
    return (autoencoder.decode(raw).sample / 2 + 0.5).clamp(0, 1)


def size_and_crop(count: int, pixels: int, device: torch.device | str = "cpu") -> Tensor:
    """SDXL's six numbers for uncropped square pictures, [count, 6]."""
    return torch.tensor([pixels, pixels, 0, 0, pixels, pixels], dtype=torch.float32, device=device).expand(count, 6)


def noise_schedule() -> DDPMScheduler:
    """SDXL's schedule. The UNet predicts the velocity, which ComfyUI knows by a key "v_pred".

    Noise prediction leaves a small network's brightness and colour to chance: at the first step an error of the
    noise is 15 times as large in the picture.
    """
    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction"
    )
