"""Sounds that are no words: coughs, clicks, noise; and beds of noise to speak over. 24 kHz, the same for each seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RATE = 24_000

Wave = NDArray[np.float64]


def rush(seed: int, seconds: float = 1.5) -> Wave:
    """Wind or traffic: noise that falls with frequency and swells."""
    wave = pink(seed, round(seconds * RATE))
    return wave * (1.2 + np.sin(np.linspace(0, 6, len(wave))))


def pink(seed: int, samples: int) -> Wave:
    """Noise whose power falls with frequency, as in rooms and streets."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    return np.asarray(np.fft.irfft(spectrum, samples))


def cough(seed: int) -> Wave:
    """Two or three bursts of throaty noise, each with a hard beginning and a voiced tail."""
    chance = np.random.default_rng(100 + seed)
    bursts = []
    for _ in range(2 + seed % 2):
        length = int(RATE * chance.uniform(0.18, 0.32))
        moments = np.arange(length) / RATE
        breath = _scaled(band(chance.standard_normal(length), RATE, 300, 3500)) * np.exp(-moments * 12)
        tone = np.sign(np.sin(2 * np.pi * chance.uniform(110, 190) * moments)) * np.exp(-((moments - 0.12) ** 2) * 400)
        bursts += [breath + 0.3 * _scaled(band(tone, RATE, 100, 1500)), np.zeros(int(RATE * 0.12))]
    return np.concatenate(bursts)


def clicks(seed: int) -> Wave:
    """Keys of a keyboard."""
    chance = np.random.default_rng(200 + seed)
    wave = np.zeros(RATE)
    for at in chance.integers(0, RATE - 500, 8):
        wave[at : at + 240] += chance.standard_normal(240) * np.exp(-np.arange(240) / 40)
    return wave


SOUNDS: dict[str, Callable[[int], Wave]] = {"cough": cough, "click": clicks, "noise": rush}


def make(name: str, seed: int) -> NDArray[np.int16]:
    """One of SOUNDS, loud."""
    return np.asarray(_scaled(SOUNDS[name](seed)) * 12_000, np.int16)


def band(wave: Wave, rate: int, low: float, high: float) -> Wave:
    """What is left of it between two frequencies."""
    spectrum = np.fft.rfft(wave)
    pitches = np.fft.rfftfreq(len(wave), 1 / rate)
    spectrum[(pitches < low) | (pitches > high)] = 0
    return np.asarray(np.fft.irfft(spectrum, len(wave)))


def _scaled(wave: Wave) -> Wave:
    return np.asarray(wave / np.abs(wave).max())
