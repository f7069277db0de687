"""What a telephone line makes of speech: a narrow band, mu-law, and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import phone
from benchmarks.noises import band, pink
from benchmarks.speech import RATE, Question

PHONE_RATE = 8_000
_BAND_HZ = (300, 3_400)
_AROUND_S = (0.4, 1.0)
"""Noise alone before and behind the speech: as long as a turn's end is waited for, and longer."""

Floats = NDArray[np.float64]


def over_the_phone(question: Question, noise_db: float | None, seed: int) -> Question:
    """The question as it comes out of a line of 8 kHz (300 to 3400 Hz, G.711 mu-law), again at RATE.

    noise_db: how far pink noise is below the speech, both in the band, while somebody speaks; None for no noise.
    """
    before, after = (round(seconds * RATE) // 3 * 3 for seconds in _AROUND_S)
    speech = question.pcm[: len(question.pcm) // 3 * 3].astype(np.float64)
    wave = band(np.pad(speech, (before, after)), RATE, *_BAND_HZ)
    if noise_db is not None:
        noise = band(pink(seed, len(wave)), RATE, *_BAND_HZ)
        spoken = np.sqrt(np.mean(wave[before : before + question.end] ** 2))
        wave += noise * spoken / np.sqrt(np.mean(noise**2)) * 10 ** (-noise_db / 20)
    narrow = phone(_whole(_resampled(wave, RATE, PHONE_RATE)))
    return Question(question.text, _whole(_resampled(narrow, PHONE_RATE, RATE)), before + question.end)


def _resampled(wave: NDArray[np.float64] | NDArray[np.int16], old: int, new: int) -> Floats:
    """By its spectrum, which is exact for what the band has left. The lengths must be whole at both rates."""
    count = len(wave) * new // old
    return np.asarray(np.fft.irfft(np.fft.rfft(wave)[: count // 2 + 1], count) * (new / old))


def _whole(wave: Floats) -> NDArray[np.int16]:
    return np.clip(np.rint(wave), -32768, 32767).astype(np.int16)
