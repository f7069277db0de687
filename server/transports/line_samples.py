"""Sound between a line and its Session: the same samples where both are of one kind, else converted."""

from __future__ import annotations

import numpy as np

from models import audio
from models.audio import Resampler
from models.base import Pcm16
from server.transports.carrier import FRAME_MS, LineFormat


class LineSamples:
    """One media connection's, both ways. A Session knows PCM at 24 kHz and G.711: 16-bit samples of a narrow line
    become G.711, those at 16 kHz are resampled, 2 ms late each way. Pieces are whole frames and stay so."""

    def __init__(self, line: LineFormat) -> None:
        session = line.session.rate
        self._narrow = line.width != line.session.width
        self._wide = line.rate != session
        self._hearing, self._saying = Resampler(line.rate, session), Resampler(session, line.rate)
        for resampler in (self._hearing, self._saying):
            # What it holds back for looking ahead is silence from then on, and not a part of the first frame.
            resampler.push(np.zeros(resampler.rate_in * FRAME_MS // 1000, np.int16))

    def hear(self, data: bytes) -> bytes:
        """From the line to the Session."""
        if self._narrow:
            return audio.ulaw_encode(_pcm(data))
        return _bytes(self._hearing.push(_pcm(data))) if self._wide else data

    def say(self, data: bytes) -> bytes:
        """From the Session to the line."""
        if self._narrow:
            return _bytes(audio.ulaw_decode(data))
        return _bytes(self._saying.push(_pcm(data))) if self._wide else data


def _pcm(data: bytes) -> Pcm16:
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False)


def _bytes(pcm: Pcm16) -> bytes:
    return pcm.astype("<i2", copy=False).tobytes()
