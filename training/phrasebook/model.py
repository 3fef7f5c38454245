"""A small llama in torch: the shape that llama.cpp runs, with interleaved rotary pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Shape:
    """The model's size. `width` is heads x 32; tensors are named as in a GGUF file."""

    vocabulary: int = 2048
    width: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 4
    feed_forward: int = 384
    context: int = 2048
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head(self) -> int:
        return self.width // self.heads


class Block(nn.Module):
    """Attention and a gated feed-forward, each behind its norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        wide, narrow = shape.heads * shape.head, shape.kv_heads * shape.head
        self.attn_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.attn_q = nn.Linear(shape.width, wide, bias=False)
        self.attn_k = nn.Linear(shape.width, narrow, bias=False)
        self.attn_v = nn.Linear(shape.width, narrow, bias=False)
        self.attn_output = nn.Linear(wide, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(
        self, x: Tensor, turn: Tensor, before: Pair | None = None, chosen: Tensor | None = None
    ) -> tuple[Tensor, Pair]:
        """The states, or the chosen ones, and the keys and values for what follows.

        x: (batch, time, width); turn: (time, head / 2, 2); `before` holds those of a shared
        beginning, (1, heads, time before, head).
        """
        mixed, pair = self._attend(self.attn_norm(x), turn, before)
        if chosen is not None:
            x, mixed = x[chosen], mixed[chosen]
        x = x + self.attn_output(mixed)
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h)), pair

    def _attend(self, h: Tensor, turn: Tensor, before: Pair | None) -> tuple[Tensor, Pair]:
        batch, time, _ = h.shape
        shape = self.shape
        q = self.attn_q(h).view(batch, time, shape.heads, shape.head)
        k = self.attn_k(h).view(batch, time, shape.kv_heads, shape.head)
        v = self.attn_v(h).view(batch, time, shape.kv_heads, shape.head)
        q, k = _rotated(q, turn).transpose(1, 2), _rotated(k, turn).transpose(1, 2)
        group = shape.heads // shape.kv_heads
        k = k.repeat_interleave(group, dim=1)
        v = v.transpose(1, 2).repeat_interleave(group, dim=1)
        if before is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            k = torch.cat([before[0].expand(batch, -1, -1, -1), k], dim=2)
            v = torch.cat([before[1].expand(batch, -1, -1, -1), v], dim=2)
            seen = torch.ones(time, k.shape[2], dtype=torch.bool, device=h.device)
            seen = seen.tril(k.shape[2] - time)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return mixed.transpose(1, 2).reshape(batch, time, -1), (k, v)


class Llama(nn.Module):
    """Token ids (batch, time) to logits; the embedding is the output matrix too."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, shape.epsilon)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                std = 0.05 if "embd" in name else weight.shape[1] ** -0.5
                # what a block adds must not drown the embeddings, by which attention finds words
                nn.init.normal_(weight, std=0.02 / (2 * shape.layers) ** 0.5 if deep else std)
        self.register_buffer("turn", _turns(shape), persistent=False)

    def hidden(
        self, tokens: Tensor, chosen: Tensor | None = None, shared: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The last layer's states (batch, time, width), or the chosen ones (count, width), and the
        first layer's.

        All rows begin with the same `shared` tokens, which are computed once; the states are those
        of the tokens behind them, and `chosen` is (batch, time - shared).
        """
        x = first = self.token_embd(tokens[:, shared:])
        turn = self.turn[shared : tokens.shape[1]]
        beginnings = self._beginnings(tokens[:1, :shared]) if shared else [None] * len(self.blk)
        for number, (block, before) in enumerate(zip(self.blk, beginnings, strict=True), 1):
            x, _ = block(x, turn, before, chosen if number == len(self.blk) else None)
            first = x if number == 1 else first
        return self.output_norm(x), first

    def _beginnings(self, tokens: Tensor) -> list[Pair]:
        """The keys and values of a beginning, layer by layer."""
        x, pairs = self.token_embd(tokens), []
        for block in self.blk:
            x, pair = block(x, self.turn[: tokens.shape[1]])
            pairs.append(pair)
        return pairs

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.token_embd.weight)


def _turns(shape: Shape) -> Tensor:
    """The rotation of each position and pair: (context, head / 2, 2), cosine and sine."""
    steps = torch.arange(0, shape.head, 2).float() / shape.head
    angles = torch.outer(torch.arange(shape.context).float(), shape.rope_base**-steps)
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def _rotated(x: Tensor, turn: Tensor) -> Tensor:
    """x: (batch, time, heads, head); neighbours are pairs, as llama.cpp's llama has them."""
    cosine, sine = turn[:, None, :, 0], turn[:, None, :, 1]
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(-2)
