"""An untrained SDXL of tiny sizes, for tests that draw with it or fit to it."""

import copy

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from trainer.features.tokenizer import END, VOCABULARY, clip_tokenizer


def make_tiny_sdxl() -> StableDiffusionXLPipeline:
    """A pipeline whose features are 64 wide and whose latents are an eighth of the picture."""
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3}
    text = CLIPTextConfig(**sizes, num_attention_heads=2, projection_dim=32, eos_token_id=END)
    tokenizer = copy.deepcopy(clip_tokenizer())
    tokenizer.model_max_length = 77
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=8,
    )
    unet = UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=(2, 4),
        cross_attention_dim=64,
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    )
    encoders = CLIPTextModel(text), CLIPTextModelWithProjection(text)
    scheduler = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    return StableDiffusionXLPipeline(vae, *encoders, tokenizer, tokenizer, unet, scheduler, add_watermarker=False)
