"""Log-mel frames of growing audio, each computed once.

Equal to what Whisper's feature extractor gives for the same audio followed by silence, before the two steps that need
the whole window: the clamp to 8 below the maximum and the scaling, which ``window`` does when the model is called.
Source: Radford et al. 2022, section 2.2 (25 ms windows every 10 ms, 80 or 128 mel bands).
"""

from __future__ import annotations

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor  # type: ignore[import-untyped]
from numpy.typing import NDArray

from models.base import Pcm16

Floats = NDArray[np.float32]

SAMPLE_RATE = 16_000
HOP = 160
FRAMES_PER_SECOND = SAMPLE_RATE // HOP
_FFT = 400
_HALF = _FFT // 2
_SILENCE = -10.0
"""log10 of the smallest power that counts: what a frame of digital silence holds."""


def mel_filters(bands: int) -> Floats:
    """Weights [201, bands] from power spectrum to mel bands."""
    filters: Floats = FeatureExtractor.get_mel_filters(SAMPLE_RATE, _FFT, n_mels=bands).astype(np.float32).T.copy()
    return filters


class LogMel:
    """Frame t is centred on sample 160 t. Frames are kept until ``drop`` says that they are not needed."""

    _window: Floats = np.hanning(_FFT + 1)[:-1].astype(np.float32)

    def __init__(self, filters: Floats) -> None:
        self._filters = filters
        self.samples = 0
        # From half a window before the centre of the next frame on; the recording begins with its mirror image.
        self._pending: Floats = np.zeros(0, np.float32)
        self._mirrored = False
        self._first = 0
        self._frames: Floats = np.zeros((0, filters.shape[1]), np.float32)

    def push(self, audio: Floats) -> None:
        """audio: samples in -1..1. Computes the frames that they complete."""
        self.samples += len(audio)
        self._pending = np.concatenate((self._pending, audio))
        if not self._mirrored:
            if self.samples <= _HALF:
                return
            self._pending = self._with_mirror(self._pending)
            self._mirrored = True
        ready = (len(self._pending) - _FFT) // HOP + 1
        if ready > 0:
            self._frames = np.concatenate((self._frames, self._compute(self._pending, ready)))
            self._pending = self._pending[ready * HOP :]

    def frames(self, start: int, end: int) -> Floats:
        """Frames start..end as [n, bands], those at the end computed as if silence followed."""
        known = self._frames[start - self._first : end - self._first]
        missing = end - start - len(known)
        if missing <= 0:
            return known
        padded = np.concatenate((self._pending, np.zeros(_FFT + missing * HOP, np.float32)))
        if not self._mirrored:
            padded = self._with_mirror(padded)
        return np.concatenate((known, self._compute(padded, missing)))

    def drop(self, before: int) -> None:
        """Forget the frames before this one."""
        surplus = min(before - self._first, len(self._frames))
        if surplus > 0:
            self._frames = self._frames[surplus:].copy()
            self._first += surplus

    @staticmethod
    def _with_mirror(audio: Floats) -> Floats:
        return np.concatenate((audio[_HALF:0:-1], audio))

    def _compute(self, audio: Floats, count: int) -> Floats:
        windows = np.lib.stride_tricks.sliding_window_view(audio, _FFT)[::HOP][:count]
        spectrum = np.fft.rfft(windows * self._window)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        mel: Floats = np.log10(np.maximum(power.astype(np.float32) @ self._filters, 10**_SILENCE))
        return mel


def as_floats(pcm: Pcm16) -> Floats:
    """Samples in -1..1."""
    return np.multiply(pcm, np.float32(1 / 32768), dtype=np.float32)


def window(rows: list[Floats], frames: int) -> Floats:
    """What the encoder takes: [rows, bands, frames], each row [n <= frames, bands] padded with silence.

    A model sees padding as audio, so it is what silent samples would have given.
    """
    batch = np.empty((len(rows), rows[0].shape[1], frames), np.float32)
    for target, row in zip(batch, rows, strict=True):
        floor = np.float32(max(float(row.max(initial=_SILENCE)) - 8, _SILENCE))
        target[:, : len(row)] = np.maximum(row, floor).T
        target[:, len(row) :] = floor
    batch += 4
    batch /= 4
    return batch
