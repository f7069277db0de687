"""Sounds without speech, each a function of seconds and a random generator. Samples in -1..1 at 16 kHz."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Floats = NDArray[np.float32]
_SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0}


def _floats(wave: NDArray[np.floating]) -> Floats:
    return wave.astype(np.float32)


def noise(samples: int, colour: str, rng: np.random.Generator) -> Floats:
    """Noise of RMS 1. colour: white, pink (-3 dB an octave) or brown (-6 dB)."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** _SLOPES[colour]
    wave = np.fft.irfft(spectrum, samples)
    return _floats(wave / (np.sqrt(np.mean(wave**2)) + 1e-12))


def clicks(samples: int, rng: np.random.Generator) -> Floats:
    """A few clicks, each a burst of one to thirty milliseconds that dies away."""
    wave = np.zeros(samples, np.float32)
    for start in rng.integers(0, samples, rng.integers(1, 8)):
        length = min(samples - int(start), int(rng.integers(16, 480)))
        burst = rng.standard_normal(length) * np.exp(-np.arange(length) / (length / 4))
        wave[start : start + length] += (burst * rng.uniform(0.1, 0.9)).astype(np.float32)
    return np.clip(wave, -1, 1)


def hum(samples: int, rng: np.random.Generator) -> Floats:
    """Mains hum: 50 Hz and some overtones."""
    time = np.arange(samples) / RATE
    parts = [np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 6)) * rng.uniform(0, 1) / k for k in range(1, 9)]
    return _floats(np.sum(parts, axis=0) * 0.2)


def tones(samples: int, rng: np.random.Generator) -> Floats:
    """A telephone's tones: ringing, engaged or dialling, one or two frequencies switched on and off."""
    time = np.arange(samples) / RATE
    first, second = rng.choice((350, 425, 440, 480, 697, 770, 852, 941, 1209, 1336, 1477, 950, 1400), 2)
    period, share = rng.uniform(0.15, 3), rng.uniform(0.3, 1)
    switched = (time % period) < share * period
    return _floats((np.sin(2 * np.pi * first * time) + np.sin(2 * np.pi * second * time)) * 0.25 * switched)


def music(samples: int, rng: np.random.Generator) -> Floats:
    """Notes of a scale, alone or in chords, struck or held, with overtones."""
    wave = np.zeros(samples, np.float64)
    beat = int(RATE * rng.uniform(0.12, 0.7))
    root = rng.uniform(80, 330)
    brightness = rng.uniform(1, 3)
    decay = rng.uniform(0.1, 3)
    for start in range(0, samples, beat):
        length = min(samples - start, int(beat * rng.uniform(1, 3)))
        time = np.arange(length) / RATE
        for degree in rng.choice((0, 2, 4, 5, 7, 9, 11, 12, 14, 16), rng.integers(1, 4)):
            pitch = root * 2 ** (degree / 12)
            for overtone in range(1, 7):
                note = np.sin(2 * np.pi * pitch * overtone * time) / overtone**brightness
                wave[start : start + length] += note * np.exp(-time / decay)
    return _floats(wave / (np.abs(wave).max() + 1e-9) * 0.8)


def silence(samples: int, rng: np.random.Generator) -> Floats:
    """Digital silence, or the last bit of a converter flickering."""
    return _floats(rng.integers(-1, 2, samples) / 32768 * (rng.random() < 0.5))


SOUNDS: Mapping[str, Callable[[int, np.random.Generator], Floats]] = {
    "silence": silence,
    "white": lambda samples, rng: noise(samples, "white", rng) * np.float32(10 ** rng.uniform(-4, -0.8)),
    "pink": lambda samples, rng: noise(samples, "pink", rng) * np.float32(10 ** rng.uniform(-4, -0.8)),
    "brown": lambda samples, rng: noise(samples, "brown", rng) * np.float32(10 ** rng.uniform(-4, -0.8)),
    "clicks": clicks,
    "hum": hum,
    "tones": tones,
    "music": music,
}
