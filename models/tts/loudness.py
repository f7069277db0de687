"""Speech as a voice makes it, brought to one loudness and rid of silence at both ends, while it streams."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.base import Pcm16

Samples = NDArray[np.float32]
"""Mono samples, shape [n], full scale is 1."""

TARGET_DBFS = -20.0
"""Mean power of speech (pauses not counted) that every voice is brought to."""

_FRAME_S = 0.005
_LEAD_S = 0.005
_ACTIVE_DB = 30.0
_AUDIBLE_DBFS = TARGET_DBFS - 35.0
_KNEE = 0.8
_CEILING = 0.98


def speech_level(samples: Samples, sample_rate: int) -> float | None:
    """Mean power in dBFS of the 5 ms frames that are at most 30 dB below the loudest; None for digital silence."""
    power = _frame_power(samples, sample_rate)
    loudest = power.max(initial=0.0)
    if loudest <= 1e-10:
        return None
    active = power[power >= loudest * 10 ** (-_ACTIVE_DB / 10)]
    return float(10 * np.log10(active.mean()))


def gain_for(samples: Samples, sample_rate: int) -> float:
    """The factor that brings this sample of a voice to TARGET_DBFS; 1 when it is silent.

    Measured once a voice and then kept, because a gain found anew for each sentence makes short ones jump out.
    """
    level = speech_level(samples, sample_rate)
    return 1.0 if level is None else float(10 ** (np.clip(TARGET_DBFS - level, -30.0, 30.0) / 20))


def to_pcm16(samples: Samples, gain: float) -> Pcm16:
    """Scale by gain and bend peaks above 0.8 of full scale smoothly below 0.98, so that nothing clips."""
    scaled = samples * np.float32(gain)
    size = np.abs(scaled)
    room = _CEILING - _KNEE
    bent = _KNEE + room * np.tanh((size - _KNEE) / room)
    limited = np.where(size <= _KNEE, scaled, np.sign(scaled) * bent)
    return np.round(limited * 32767).astype(np.int16)


def _frame_power(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    size = max(1, round(_FRAME_S * sample_rate))
    whole = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    rest = samples[len(whole) * size :].astype(np.float64)
    power = np.mean(whole**2, axis=1)
    return np.append(power, np.mean(rest**2)) if len(rest) else power


class SilenceTrimmer:
    """Takes the samples of one piece of speech in any portions and gives them back without the silence around it.

    At most 10 ms stay in front of the first audible sound. Behind the last one there will be exactly ``pause_s``
    of what the voice made, filled up with zeros. lead: how many samples were dropped in front, once known.
    """

    def __init__(self, sample_rate: int, gain: float, pause_s: float) -> None:
        self.lead: int | None = None
        self._rate = sample_rate
        self._pause = round(pause_s * sample_rate)
        self._frame = max(1, round(_FRAME_S * sample_rate))
        self._threshold = 10 ** (_AUDIBLE_DBFS / 10) / gain**2
        self._held = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> Samples:
        """What can be said by now: everything up to the last audible sound so far."""
        held = np.concatenate([self._held, samples])
        audible = np.flatnonzero(_frame_power(held, self._rate) >= self._threshold)
        if not len(audible):
            self._held = held
            return held[:0]
        start = 0
        if self.lead is None:
            start = self.lead = max(0, int(audible[0]) * self._frame - round(_LEAD_S * self._rate))
        end = min(len(held), (int(audible[-1]) + 1) * self._frame)
        self._held = held[end:]
        return held[start:end]

    def finish(self) -> Samples:
        """The pause behind the speech; everything, if nothing was audible."""
        if self.lead is None:
            self.lead = 0
            return self._held
        tail = self._held[: self._pause]
        return np.concatenate([tail, np.zeros(self._pause - len(tail), np.float32)])


def cut(pcm: Pcm16, size: int) -> Iterator[Pcm16]:
    """Chunks of ``size`` samples; the last one takes what is left and is never shorter than half of that,
    unless it is the only one."""
    start = 0
    while len(pcm) - start >= size + size // 2:
        yield pcm[start : start + size]
        start += size
    if start < len(pcm):
        yield pcm[start:]
