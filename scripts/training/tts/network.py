"""The acoustic network: symbols to durations, durations to frames, frames to what the synthesiser needs.

Convolutions alone, as in FastSpeech's layout (Ren et al. 2019: encoder, duration predictor, length regulator, decoder).
Symbols come without Piper's pads, which makes them half as many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from scripts.training.tts.analysis import CHANNELS

SYMBOLS = 256
_POSITIONS = 4


@dataclass(frozen=True, slots=True)
class Size:
    """width: channels of every layer. encoder, durations, decoder: dilations of their blocks."""

    width: int = 128
    encoder: tuple[int, ...] = (1, 2, 4, 8, 1, 2)
    durations: tuple[int, ...] = (1, 2)
    decoder: tuple[int, ...] = (1, 2, 4, 8, 1, 2, 4, 1)
    languages: int = 2

    def as_dict(self) -> dict[str, int | tuple[int, ...]]:
        """For the checkpoint."""
        return asdict(self)


class Norm(nn.Module):
    """Layer normalisation over the channels of [batch, channels, n]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x.transpose(1, 2))
        return normed.transpose(1, 2)


class Block(nn.Module):
    """Norm, convolution, ReLU, 1x1 convolution, added to the input. Padding is kept at nothing by ``mask``."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm = Norm(width)
        self.wide = nn.Conv1d(width, width, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.narrow = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        added: Tensor = self.narrow(F.relu(self.wide(self.norm(x) * mask)))
        return (x + added) * mask


class Stack(nn.Module):
    """Blocks, one for each dilation."""

    def __init__(self, width: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, kernel, dilation) for dilation in dilations)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, mask)
        return x


class Acoustic(nn.Module):
    """Outputs are normalised; ``mean`` and ``deviation`` ([CHANNELS]) take them back."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        width = size.width
        self.symbols = nn.Embedding(SYMBOLS, width)
        self.languages = nn.Embedding(size.languages, width)
        self.encoder = Stack(width, 5, size.encoder)
        self.encoder_norm = Norm(width)
        self.durations = Stack(width, 5, size.durations)
        self.duration_out = nn.Conv1d(width, 1, 1)
        self.decoder_in = nn.Conv1d(width + _POSITIONS, width, 1)
        self.decoder = Stack(width, 3, size.decoder)
        self.decoder_norm = Norm(width)
        self.decoder_out = nn.Conv1d(width, CHANNELS, 1)
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("deviation", torch.ones(CHANNELS))

    def encode(self, ids: Tensor, language: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids: [batch, n]. language: [batch]. mask: [batch, 1, n], 1 where there is a symbol.

        Gives ([batch, width, n], log(1 + frames) [batch, n])."""
        x = (self.symbols(ids) + self.languages(language)[:, None]).transpose(1, 2) * mask
        encoded = self.encoder_norm(self.encoder(x, mask)) * mask
        # What durations need is learnt beside what frames need, and does not pull at it.
        lengths = self.duration_out(self.durations(encoded.detach(), mask))
        return encoded, lengths[:, 0]

    def decode(self, encoded: Tensor, frames: Tensor, count: Tensor) -> Tensor:
        """encoded: [batch, width, n]. frames: [batch, n] of each symbol. count: of all frames, the longest row's.

        Gives [batch, CHANNELS, count], normalised."""
        ends = frames.cumsum(1)
        # A tensor as the end of a range is what keeps the length open in the traced graph.
        at = torch.arange(count)[None, :, None]  # type: ignore[call-overload]
        index = (ends[:, None] <= at).sum(2).clamp(max=frames.shape[1] - 1)
        mask = (at[..., 0] < ends[:, -1:]).to(encoded.dtype)[:, None]
        spread = encoded.gather(2, index[:, None].expand(-1, encoded.shape[1], -1))
        places = _places(frames, ends, index, at[..., 0]).to(encoded.dtype)
        x = self.decoder_in(torch.cat((spread, places), 1)) * mask
        made: Tensor = self.decoder_out(self.decoder_norm(self.decoder(x, mask)))
        return made


def _places(frames: Tensor, ends: Tensor, index: Tensor, at: Tensor) -> Tensor:
    """[batch, 4, count]: where a frame is in its symbol, frames since its start and until its end, log duration."""
    lasts = frames.gather(1, index).float()
    until = ends.gather(1, index).float() - at.float()
    since = lasts - until
    share = (since + 0.5) / lasts.clamp(min=1)
    near = [one.clamp(0, 10) / 5 for one in (since, until)]
    return torch.stack((share.clamp(0, 1), *near, lasts.clamp(min=1).log()), 1)
