"""What lies between the caller's mouth and the server: nothing, a phone line, a noisy room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from benchmarks import noises
from benchmarks.recording import LEVEL_DBFS, Recording, rms_dbfs

SNR_DB = {"noise_20": 20.0, "noise_10": 10.0, "noise_5": 5.0}
_PHONE_RATE = 8_000
_PHONE_BAND = (300, 3400)
_BED_S = 20
_MU = 255


class Channel:
    """A condition at one sample rate. Noise does not pause when the caller does: it lies below the whole call."""

    def __init__(self, condition: str, rate: int) -> None:
        """condition: one of results.CONDITIONS."""
        self.condition = condition
        self.rate = rate
        self._bed = self._make_bed()

    def carry(self, said: Recording) -> Recording:
        """The recording as it leaves the caller, without the noise, at the channel's rate; nothing moves in time."""
        if self.condition == "phone":
            return replace(said.at_rate(_PHONE_RATE), pcm=phone(said.at_rate(_PHONE_RATE).pcm)).at_rate(self.rate)
        return said.at_rate(self.rate)

    def microphone(self, position: int, said: NDArray[np.int16]) -> NDArray[np.int16]:
        """What the microphone takes up from sample ``position`` on: what is said, and the room."""
        if self._bed is None:
            return said
        places = np.arange(position, position + len(said)) % len(self._bed)
        return np.asarray(np.clip(said.astype(np.int32) + self._bed[places], -32768, 32767), np.int16)

    def _make_bed(self) -> NDArray[np.int16] | None:
        if self.condition not in SNR_DB:
            return None
        wave = soxr.resample(noises.pink(7, _BED_S * noises.RATE), noises.RATE, self.rate)
        pcm = np.asarray(wave / np.abs(wave).max() * 32767, np.int16)
        louder_db = LEVEL_DBFS - SNR_DB[self.condition] - rms_dbfs(pcm)
        return np.asarray(pcm * 10 ** (louder_db / 20), np.int16)


def phone(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """8 kHz samples through the band of a telephone and G.711 (mu-law, ITU-T G.711) there and back."""
    narrow = noises.band(pcm / 32768, _PHONE_RATE, *_PHONE_BAND)
    companded = np.sign(narrow) * np.log1p(_MU * np.abs(np.clip(narrow, -1, 1))) / np.log1p(_MU)
    coded = np.rint(companded * 127) / 127
    expanded = np.sign(coded) * (np.expm1(np.abs(coded) * np.log1p(_MU))) / _MU
    return np.asarray(np.clip(expanded * 32768, -32768, 32767), np.int16)
