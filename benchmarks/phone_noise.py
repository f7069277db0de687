"""What a telephone line makes of speech: a narrow band, mu-law, and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    before, after = (round(seconds * RATE) for seconds in _AROUND_S)
    before, after = before // 3 * 3, after // 3 * 3
    speech = question.pcm[: len(question.pcm) // 3 * 3].astype(np.float64) / 32768
    wave = _band(np.pad(speech, (before, after)), RATE)
    if noise_db is not None:
        noise = _band(_pink(len(wave), np.random.default_rng(seed)), RATE)
        spoken = np.sqrt(np.mean(wave[before : before + question.end] ** 2))
        wave += noise * spoken / np.sqrt(np.mean(noise**2)) * 10 ** (-noise_db / 20)
    narrow = _mu_law(_resampled(wave, RATE, PHONE_RATE))
    pcm = np.clip(np.rint(_resampled(narrow, PHONE_RATE, RATE) * 32768), -32768, 32767).astype(np.int16)
    return Question(question.text, pcm, before + question.end)


def _band(wave: Floats, rate: int) -> Floats:
    spectrum = np.fft.rfft(wave)
    pitch = np.fft.rfftfreq(len(wave), 1 / rate)
    spectrum[(pitch < _BAND_HZ[0]) | (pitch > _BAND_HZ[1])] = 0
    return np.fft.irfft(spectrum, len(wave))


def _pink(samples: int, rng: np.random.Generator) -> Floats:
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    return np.fft.irfft(spectrum, samples)


def _resampled(wave: Floats, old: int, new: int) -> Floats:
    """By its spectrum, which is exact for what the band has left. The lengths must be whole at both rates."""
    count = len(wave) * new // old
    return np.fft.irfft(np.fft.rfft(wave)[: count // 2 + 1], count) * (new / old)


def _mu_law(wave: Floats) -> Floats:
    """There and back (ITU-T G.711, its companding curve in 8 bits)."""
    wave = np.clip(wave, -1, 1)
    code = np.rint(np.sign(wave) * np.log1p(255 * np.abs(wave)) / np.log(256) * 127)
    decoded: Floats = np.sign(code) * np.expm1(np.abs(code) / 127 * np.log(256)) / 255
    return decoded
