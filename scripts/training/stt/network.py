"""Whisper's network (Radford et al. 2022, section 2.2) in PyTorch, with a head for CTC on characters beside it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

BANDS = 80
SOURCE_POSITIONS = 1500
TARGET_POSITIONS = 448


@dataclass(frozen=True, slots=True)
class Size:
    """width: of every layer. heads: of ``width / heads`` channels. rows: trained rows of the embedding."""

    width: int = 128
    heads: int = 2
    encoder_layers: int = 4
    decoder_layers: int = 2
    rows: int = 712
    characters: int = 64

    def as_dict(self) -> dict[str, int]:
        """For the checkpoint."""
        return asdict(self)


def sinusoids(length: int, channels: int) -> Tensor:
    """Positions [length, channels]: sines, then cosines, of periods from 2 pi to 20000 pi."""
    step = math.log(10_000) / (channels // 2 - 1)
    angles = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(channels // 2))[None]
    return torch.cat((angles.sin(), angles.cos()), dim=1)


class Attention(nn.Module):
    """Multi-head attention; the keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor, causal: bool = False) -> Tensor:
        """x: [batch, n, width]. source: [batch, m, width]."""

        def split(y: Tensor) -> Tensor:
            return y.view(len(y), -1, self.heads, y.shape[-1] // self.heads).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(source)), split(self.value(source))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        out: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return out


class Layer(nn.Module):
    """One layer, normalised before each part; ``crossed`` adds attention to the encoder's output."""

    def __init__(self, width: int, heads: int, crossed: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.cross_norm = nn.LayerNorm(width) if crossed else None
        self.cross = Attention(width, heads) if crossed else None
        self.feed_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        """source: the encoder's output, for a layer of the decoder."""
        y = self.norm(x)
        if self.cross is None or self.cross_norm is None or source is None:
            x = x + self.attention(y, y)
        else:
            x = x + self.attention(y, y, causal=True)
            x = x + self.cross(self.cross_norm(x), source)
        down: Tensor = self.down(F.gelu(self.up(self.feed_norm(x))))
        return x + down


class Whisper(nn.Module):
    """The network. The last row of the embedding stands for all tokens that are never trained."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        width = size.width
        self.conv1 = nn.Conv1d(BANDS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.encoder = nn.ModuleList(Layer(width, size.heads, False) for _ in range(size.encoder_layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder = nn.ModuleList(Layer(width, size.heads, True) for _ in range(size.decoder_layers))
        self.decoder_norm = nn.LayerNorm(width)
        self.embedding = nn.Embedding(size.rows, width)
        self.positions = nn.Parameter(sinusoids(TARGET_POSITIONS, width) * 0.1)
        self.characters = nn.Linear(width, size.characters)
        self.register_buffer("source_positions", sinusoids(SOURCE_POSITIONS, width))
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        for layer in (*self.encoder, *self.decoder):
            assert isinstance(layer, Layer)
            nn.init.zeros_(layer.down.weight)
            nn.init.zeros_(layer.attention.out.weight)

    def encode(self, mel: Tensor) -> Tensor:
        """mel: [batch, 80, frames], frames even. Gives [batch, frames / 2, width]. There is no mask: Whisper hears
        padding as audio."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.source_positions[: x.shape[1]]  # type: ignore[index]
        for layer in self.encoder:
            x = layer(x)
        encoded: Tensor = self.encoder_norm(x)
        return encoded

    def decode(self, tokens: Tensor, encoded: Tensor) -> Tensor:
        """tokens: rows of the embedding, [batch, n]. Gives logits [batch, n, rows]."""
        x = self.embedding(tokens) + self.positions[: tokens.shape[1]]
        for layer in self.decoder:
            x = layer(x, encoded)
        logits: Tensor = self.decoder_norm(x) @ self.embedding.weight.T
        return logits
