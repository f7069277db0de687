"""What the client's audio looks like on the wire, and where the speech in a recording ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.audio import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from models.base import Pcm16
from server.errors import VoiceError

PIECE_MS = 20
_FRAME_S = 0.01
_RANGE_DB = 35.0
_FLOOR_DBFS = -70.0


class TalkError(VoiceError):
    """The conversation broke off."""


class TalkStartError(TalkError):
    """No conversation was begun: what the user gave makes no sense, or nobody listens at the address."""


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One audio format of the Realtime API. session: its ``format`` object."""

    session: Mapping[str, Any]
    rate: int
    encode: Callable[[Pcm16], bytes]
    decode: Callable[[bytes], Pcm16]

    @property
    def piece(self) -> int:
        """Samples sent at a time."""
        return self.rate * PIECE_MS // 1000


FORMATS: Mapping[str, WireFormat] = {
    "pcm": WireFormat(
        {"type": "audio/pcm", "rate": 24_000},
        24_000,
        lambda pcm: pcm.astype("<i2").tobytes(),
        lambda data: np.frombuffer(data, "<i2").astype(np.int16),
    ),
    "ulaw": WireFormat({"type": "audio/pcmu"}, 8_000, ulaw_encode, ulaw_decode),
    "alaw": WireFormat({"type": "audio/pcma"}, 8_000, alaw_encode, alaw_decode),
}


def speech_end(pcm: Pcm16, rate: int) -> int | None:
    """Offset just behind the last 10 ms frame that is speech: within 35 dB of the loudest one and above -70 dBFS.

    None when no frame is.
    """
    frame = max(1, int(rate * _FRAME_S))
    padded = np.zeros(-(-len(pcm) // frame) * frame)
    padded[: len(pcm)] = pcm
    power = np.mean(np.square(padded.reshape(-1, frame) / 32768), axis=1)
    if not len(power):
        return None
    level = 10 * np.log10(np.maximum(power, 1e-12))
    loud = np.flatnonzero(level >= max(level.max() - _RANGE_DB, _FLOOR_DBFS))
    return min(len(pcm), int(loud[-1] + 1) * frame) if len(loud) else None
