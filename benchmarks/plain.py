"""The emotion network written out plainly: the oracle of the tests, the baseline of the benchmarks.

It follows equations 4-7 of Dang et al., "EmotiCrafter", ICCV 2025 (arXiv 2501.05710), in the formulation of the
published layer and under its parameter names: matrices are input-major, one matrix makes query, key and value
of which only the query is used, the emotion's keys and values are made anew in every call, a word embedding is
carried along unused. It shares no arithmetic with `emoticrafter.network`, only the config.

Shapes: B batch, T tokens, D feature width, E width, H heads of size 64, K tokens per emotion axis.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emoticrafter.network import NetworkConfig


class InputMajor(nn.Module):
    """x W + b with W stored [inputs, outputs], as GPT-2 stores it."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        # One fused call, so that the baseline is not slow for a reason that has nothing to do with the layer.
        rows = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight)
        return rows.reshape(*x.shape[:-1], -1)


class PlainAttention(nn.Module):
    """Attention from the tokens x to the tokens z; self-attention where both are the same."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.c_attn = InputMajor(width, 3 * width)
        self.c_z = InputMajor(width, 2 * width)
        self.c_proj = InputMajor(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        query, _, _ = self.c_attn(x).chunk(3, dim=-1)
        key, value = self.c_z(z).chunk(2, dim=-1)
        batch, tokens, width = x.shape
        heads = width // 64
        query = query.reshape(batch, tokens, heads, 64).permute(0, 2, 1, 3)  # [B, H, T, 64]
        key = key.reshape(batch, z.shape[1], heads, 64).permute(0, 2, 1, 3)
        value = value.reshape(batch, z.shape[1], heads, 64).permute(0, 2, 1, 3)
        scores = query @ key.transpose(2, 3) / math.sqrt(64)
        attended = self.dropout(torch.softmax(scores, dim=-1)) @ value
        merged = attended.permute(0, 2, 1, 3).reshape(batch, tokens, width)
        return self.dropout(self.c_proj(merged))


class PlainFeedForward(nn.Module):
    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.c_fc = InputMajor(width, 4 * width)
        self.c_proj = InputMajor(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))


class PlainBlock(nn.Module):
    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.order = config.block
        self.ln_1 = nn.LayerNorm(config.width, eps=1e-5)
        self.attn = PlainAttention(config.width, config.dropout)
        self.ln_a = nn.LayerNorm(config.width, eps=1e-5)
        self.attn_a = PlainAttention(config.width, config.dropout)
        self.ln_v = nn.LayerNorm(config.width, eps=1e-5)
        self.attn_v = PlainAttention(config.width, config.dropout)
        self.ln_2 = nn.LayerNorm(config.width, eps=1e-5)
        self.mlp = PlainFeedForward(config.width, config.dropout)

    def forward(self, h: Tensor, e_v: Tensor, e_a: Tensor) -> Tensor:
        if self.order == "paper":
            n = self.ln_1(h)
            h1 = h + self.attn(n, n)
            h_v = h1 + self.attn_v(self.ln_v(h1), e_v)
            h_va = h_v + self.attn_a(self.ln_a(h_v), e_a)
            return h_va + self.mlp(self.ln_2(h_va))
        x = self.ln_1(h)
        x = x + self.attn(x, x)
        x = self.ln_a(x)
        x = x + self.attn_a(x, e_a)
        x = self.ln_v(x)
        x = x + self.attn_v(x, e_v)
        return x + self.mlp(self.ln_2(x))


def _axis(config: NetworkConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(1, config.emotion_hidden),
        nn.ReLU(),
        nn.Linear(config.emotion_hidden, config.emotion_tokens * config.width),
    )


class PlainNetwork(nn.Module):
    """The whole network, in evaluation mode.

    Args:
        config: Its sizes and block order.
        vocabulary: Rows of the unused word embedding.
        positions: Rows of the position embedding; the published files have 1024.
    """

    def __init__(self, config: NetworkConfig, vocabulary: int = 50257, positions: int = 1024):
        super().__init__()
        self.config = config
        width, features = config.width, config.feature_width
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(positions, width)
        self.drop = nn.Dropout(config.dropout)
        self.xl_feature2gpt_feature = nn.Linear(features, width, bias=False)
        self.a_f = _axis(config)
        self.v_f = _axis(config)
        self.attn_proj = nn.Linear(width, width, bias=False)
        self.h = nn.ModuleList(PlainBlock(config) for _ in range(config.depth))
        self.ln_f = nn.LayerNorm(width, eps=1e-5)
        self.gpt_feature2xl_feature = nn.Linear(width, features, bias=False)
        self.ln_xl_feature = nn.LayerNorm(features, eps=1e-5)
        self.eval()

    def forward(self, neutral: Tensor, valence: Tensor, arousal: Tensor) -> Tensor:
        """[B, T, D], [B] and [B] -> [B, T, D]; nothing broadcasts."""
        shape = (len(neutral), self.config.emotion_tokens, self.config.width)
        e_v = self.attn_proj(self.v_f(valence.reshape(-1, 1)).reshape(shape))
        e_a = self.attn_proj(self.a_f(arousal.reshape(-1, 1)).reshape(shape))
        positions = self.wpe(torch.arange(neutral.shape[1], device=neutral.device))
        x = self.drop(self.xl_feature2gpt_feature(neutral) + positions)
        for block in self.h:
            x = block(x, e_v, e_a)
        return neutral + self.ln_xl_feature(self.gpt_feature2xl_feature(self.ln_f(x)))
