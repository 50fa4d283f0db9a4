"""The two attentions of an emotion-injection block (shapes as in `network.py`)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD_WIDTH = 64


def split_heads(x: Tensor) -> Tensor:
    """[B, T, E] -> [B, H, T, 64]."""
    return x.unflatten(-1, (-1, HEAD_WIDTH)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, H, T, 64] -> [B, T, E]."""
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head attention among the tokens of a window; no causal mask."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = dropout

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        # one product gives the queries, keys and values of all tokens: [B, T, 3E] -> three of [B, H, T, 64]
        query, key, value = (split_heads(part) for part in self.query_key_value(x).chunk(3, dim=-1))
        if mask is not None:
            # a row without any token that counts would be a softmax over nothing: NaN, in its gradients as well
            mask = mask | ~mask.any(1, keepdim=True)
            mask = mask[:, None, None]  # [B, T] -> [B, 1, 1, T], for all heads and all tokens that look
        # every token attends to every other; without a mask that includes the padding, as SDXL reads it, too
        attended = F.scaled_dot_product_attention(
            query, key, value, mask, dropout_p=self.dropout if self.training else 0.0
        )
        return F.dropout(self.out(merge_heads(attended)), self.dropout, self.training)


class EmotionAttention(nn.Module):
    """Multi-head attention from the tokens of a prompt to the K tokens of one emotion axis."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.dropout = dropout

    def forward(self, x: Tensor, emotion: Tensor) -> Tensor:
        # x is [B, T, E] or [1, T, E], emotion [B, K, E] or [1, K, E]: the shorter batch goes with all of the longer
        # keys and values come from the emotion alone: [B, K, E] each
        key, value = self.key_value(emotion).chunk(2, dim=-1)
        if not self.training and len(x) >= len(emotion) and x.shape[1] > 2 * emotion.shape[1]:
            return self._attend_folded(x, key, value)
        # queries come from the text: [B, H, T, 64] against keys and values [B, H, K, 64]
        query, key, value = split_heads(self.query(x)), split_heads(key), split_heads(value)
        batch = max(len(query), len(key))
        attended = F.scaled_dot_product_attention(
            query.expand(batch, -1, -1, -1),
            key.expand(batch, -1, -1, -1),
            value.expand(batch, -1, -1, -1),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return F.dropout(self.out(merge_heads(attended)), self.dropout, self.training)

    def _attend_folded(self, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The same result in about half the multiplications, as K is small against T.

        Keys and values depend on the emotion alone, so they are multiplied into the neighbouring projections first:
        with q = x Wq + b, the scores q k' are x (Wq k') + b k', and the output (softmax v) Wo is softmax (v Wo). The
        query projection (E x E) becomes E x HK, the output projection HK x E; HK is 192 for E = 768. It takes
        0.7 of the time, but more where one prompt goes with many emotions: there the query is shared.
        """
        heads = (-1, HEAD_WIDTH)
        # the attention's scale 1/sqrt(64) goes into the keys
        key = key.unflatten(-1, heads) * HEAD_WIDTH**-0.5  # [B, K, H, 64]
        value = value.unflatten(-1, heads)  # [B, K, H, 64]
        # Wq k': from a token straight to its scores, head by head: [B, HK, E]
        to_scores = torch.einsum("bkhd,hde->bhke", key, self.query.weight.unflatten(0, heads)).flatten(1, 2)
        # b k': what the query's bias adds to the scores: [B, HK]
        bias = torch.einsum("bkhd,hd->bhk", key, self.query.bias.unflatten(0, heads)).flatten(1, 2)
        # v Wo: from the attention weights straight to the output: [B, HK, E]
        from_scores = torch.einsum("bkhd,ehd->bhke", value, self.out.weight.unflatten(1, heads)).flatten(1, 2)
        # one emotion for all: the batch becomes rows of one large product, [1, B * T, E]
        rows = x if len(key) > 1 else x.flatten(0, 1).unsqueeze(0)
        scores = torch.baddbmm(bias.unsqueeze(1), rows, to_scores.transpose(1, 2))  # [B, T, HK]
        # softmax over the K tokens of each head
        attention = scores.unflatten(-1, (-1, key.shape[1])).softmax(-1).flatten(2)
        return torch.baddbmm(self.out.bias, attention, from_scores).view(x.shape)
