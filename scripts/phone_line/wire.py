"""The carrier's end of a media stream: what a wire format looks like from the other side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.audio import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from models.base import Pcm16

Frame = str | bytes
FRAME_MS = 20


@dataclass(frozen=True, slots=True)
class Play:
    """Samples to be played behind those that wait already."""

    samples: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """To be told when everything before it was played."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Throw away what was not played."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """The server ends the call."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The server said what this carrier does not understand."""

    what: str


Command = Play | Mark | Clear | HangUp | Finding


@dataclass(frozen=True, slots=True)
class Samples:
    """How sound is written on the wire. rate: samples a second. width: bytes of one."""

    rate: int
    width: int
    encode: Callable[[Pcm16], bytes]
    decode: Callable[[bytes], Pcm16]

    @property
    def frame(self) -> int:
        """Samples of FRAME_MS."""
        return self.rate * FRAME_MS // 1000


def _l16_encode(pcm: Pcm16) -> bytes:
    return pcm.astype("<i2", copy=False).tobytes()


def _l16_decode(data: bytes) -> Pcm16:
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)


ULAW = Samples(8_000, 1, ulaw_encode, ulaw_decode)
ALAW = Samples(8_000, 1, alaw_encode, alaw_decode)


def l16(rate: int) -> Samples:
    """16-bit samples, little-endian."""
    return Samples(rate, 2, _l16_encode, _l16_decode)


class CarrierEnd(Protocol):
    """One stream of one call, from the carrier's side."""

    samples: Samples
    marks_return_after_clear: bool
    """Whether a mark that was thrown away is told like one that was reached."""

    def hello(self) -> list[Frame]:
        """What comes before the sound."""
        ...

    def media(self, samples: bytes, at_ms: int) -> Frame:
        """One frame of the caller. at_ms: its place in the stream."""
        ...

    def lost(self) -> None:
        """A frame that was never sent has taken its number with it."""
        ...

    def key(self, digit: str) -> Frame | None:
        """A key was pressed; None where this wire has no word for it."""
        ...

    def reached(self, mark: str) -> Frame | None:
        """The mark was played."""
        ...

    def cleared(self) -> Frame | None:
        """The answer to Clear, where there is one."""
        ...

    def stop(self) -> Frame | None:
        """The caller has hung up."""
        ...

    def read(self, frame: Frame) -> list[Command]:
        """What the server wants."""
        ...
