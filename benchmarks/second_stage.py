"""What a step of the second stage costs with SDXL: operations and memory, counted on the meta device.

    python -m benchmarks.second_stage                       # 1024 and 512 pixels, one picture
    python -m benchmarks.second_stage --resolution 768

Nothing is computed: a UNet of SDXL's sizes is built without numbers, and pictures run through it as shapes. Operations
are those of matrix products, convolutions and attention (torch.utils.flop_counter), 2 to a multiplication with an
addition. Memory is what the tensors of a picture take at the largest moment, in bfloat16 and with fused attention, as
on a GPU; weights are counted apart, and what an allocator adds is not counted.
"""

import argparse
import weakref
from collections.abc import Iterable
from unittest import mock

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from trainer.core.markdown import table

UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
"""SDXL's."""


class Living(TorchDispatchMode):
    """Counts the bytes of the tensors that are made within, and the most that they took together."""

    def __init__(self, weights: Iterable[Tensor]):
        super().__init__()
        self.now = self.most = 0
        self.known = weakref.WeakSet(weight.untyped_storage() for weight in weights)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._meet(tensor.untyped_storage())
        return out

    def _meet(self, storage: torch.UntypedStorage) -> None:
        if storage not in self.known:
            self.known.add(storage)
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._leave, storage.nbytes())

    def _leave(self, size: int) -> None:
        self.now -= size


class Fused(torch.autograd.Function):
    """Attention as GPUs compute it: the matrix of scores is never whole, and is computed again on the way back."""

    operations = 0

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, value)
        Fused.operations += 2 * scores(query, key)
        return torch.empty_like(query)

    @staticmethod
    def backward(ctx, _gradient: Tensor) -> tuple[Tensor, ...]:
        query, key, value = ctx.saved_tensors
        Fused.operations += 5 * scores(query, key)
        return tuple(map(torch.empty_like, (query, key, value)))


def scores(query: Tensor, key: Tensor) -> int:
    """Operations of the matrix of scores, of [B, H, T, d] and [B, H, S, d]."""
    return 2 * query.numel() * key.shape[-2]


def step(unet: UNet2DConditionModel, resolution: int, twice: bool) -> tuple[float, float, float]:
    """TFLOP of the UNet without a gradient, and forward and backward; GB at the largest moment. One picture each."""
    (unet.enable_gradient_checkpointing if twice else unet.disable_gradient_checkpointing)()
    Fused.operations = 0
    attention = mock.patch(
        "torch.nn.functional.scaled_dot_product_attention", lambda q, k, v, *_, **__: Fused.apply(q, k, v)
    )
    with attention, Living(unet.parameters()) as living, FlopCounterMode(display=False) as counter:
        features = torch.empty(1, 77, 2048, requires_grad=True)
        added = {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
        latents = torch.empty(1, 4, resolution // 8, resolution // 8)
        predicted = unet(latents, torch.zeros(1), features, added_cond_kwargs=added).sample
        forward = counter.get_total_flops() + Fused.operations
        predicted.float().square().mean().backward()
    return forward / 1e12, (counter.get_total_flops() + Fused.operations) / 1e12, living.most / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, nargs="+", default=[1024, 512], help="pixels of a side")
    options = parser.parse_args()
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.bfloat16)
    unet = UNet2DConditionModel(**UNET).eval().requires_grad_(False)
    weights = sum(weight.numel() for weight in unet.parameters())
    print(f"{weights:,} weights, {2 * weights / 1e9:.1f} GB in bfloat16; a picture takes\n")
    rows = []
    for resolution in options.resolution:
        for twice in (False, True):
            forward, both, most = step(unet, resolution, twice)
            how = "computed twice" if twice else "kept"
            rows.append([f"{resolution}", how, f"{both:.1f}", f"{forward + both:.1f}", f"{most:.1f}"])
    print(table(["pixels", "activations", "labels, TFLOP", "words, TFLOP", "GB"], rows))


if __name__ == "__main__":
    main()
