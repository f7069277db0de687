"""What the voice learns to predict: pitch, spectral envelope and aperiodicity of a sound, frame by frame.

Pitch: normalised autocorrelation (Boersma 1993). Envelope: a window of three periods, smoothed over a pitch's width and
freed of the harmonics in the cepstrum (Morise 2015, "CheapTrick"). Aperiodicity: how little a frame resembles itself a
period later, band by band. The sound is clean and regular, so that no tracking over time is needed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scripts.training.tts.alignment import BACK, FRONT, HOP, frames_of
from scripts.training.tts.teacher import RATE

FFT = 1024
BINS = FFT // 2 + 1
ENVELOPE = 80
APERIODICITY = 16
CHANNELS = ENVELOPE + APERIODICITY + 2
"""Of a frame: envelope, aperiodicity, log f0, voicing."""
FLOOR = -18.0

_LOWEST, _HIGHEST = 75.0, 400.0
_VOICED = 0.45
_SILENT = 1e-6
_LEAST_APERIODIC = 1e-4
_PITCH_FFT = 2048

Floats = NDArray[np.float64]


def analyse(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """[frames, CHANNELS] of a sentence with its silences. samples: [n] at RATE, without them.

    Envelope and aperiodicity are natural logs of power; log f0 is interpolated through unvoiced frames."""
    frames = frames_of(len(samples))
    wave = np.zeros((frames + 8) * HOP)
    wave[(FRONT + 4) * HOP : (FRONT + 4) * HOP + len(samples)] = samples
    centres = (np.arange(frames) + 4) * HOP + HOP // 2
    f0 = _pitch(wave, centres)
    known = np.flatnonzero(f0)
    filled = np.interp(np.arange(frames), known, f0[known]) if len(known) else np.full(frames, 150.0)
    # Off the grid once before and once behind: a frame stands for all of its 256 samples.
    shifted = [_envelope(wave, centres + shift, filled) for shift in (-HOP // 2, 0, HOP // 2)]
    envelope = np.log(0.25 * shifted[0] + 0.5 * shifted[1] + 0.25 * shifted[2] + np.exp(FLOOR))
    made = np.empty((frames, CHANNELS), np.float32)
    made[:, :ENVELOPE] = np.maximum(envelope @ triangles(ENVELOPE).T, FLOOR)
    made[:, ENVELOPE:-2] = np.log(_aperiodicity(wave, centres, filled))
    made[:, -2] = np.log(filled)
    made[:, -1] = f0 > 0
    made[: FRONT - 1, -1] = made[-BACK + 1 :, -1] = 0
    return made


@lru_cache(maxsize=4)
def triangles(bands: int) -> Floats:
    """[bands, BINS]: triangular bands equally spaced in mel up to half the rate, each summing to 1."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + RATE / 1400), bands + 2) / 2595) - 1)
    frequencies = np.arange(BINS) * RATE / FFT
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    weights = np.maximum(0, np.minimum(rising, falling))
    # A band narrower than a bin takes the nearest one.
    for band in np.flatnonzero(weights.sum(1) == 0):
        weights[band, round(edges[band + 1] * FFT / RATE)] = 1
    summing: Floats = weights / weights.sum(1, keepdims=True)
    return summing


def _windows(wave: Floats, centres: NDArray[np.int64], size: int) -> Floats:
    padded = np.pad(wave, size)
    cut: Floats = padded[centres[:, None] + size + np.arange(-size // 2, size // 2)]
    return cut


def _pitch(wave: Floats, centres: NDArray[np.int64]) -> Floats:
    """[frames]: f0 in Hz, 0 where unvoiced."""
    size = _PITCH_FFT // 2
    window = np.hanning(size)
    cut = _windows(wave, centres, size)
    cut = (cut - cut.mean(1, keepdims=True)) * window
    power = np.abs(np.fft.rfft(cut, _PITCH_FFT)) ** 2
    own = np.fft.irfft(np.abs(np.fft.rfft(window, _PITCH_FFT)) ** 2)
    # Low frequencies alone: the higher ones are noisy in many voiced sounds.
    power[:, np.arange(power.shape[1]) * RATE / _PITCH_FFT > 2500] = 0
    correlation = np.fft.irfft(power)
    shortest, longest = int(RATE / _HIGHEST), int(RATE / _LOWEST)
    lags = np.arange(shortest - 1, longest + 2)
    curve = correlation[:, lags] / (correlation[:, :1] + 1e-12) * (own[0] / own[lags])
    # Among equal peaks the first one is the period.
    peak = 1 + np.argmax(curve[:, 1:-1] - 0.0004 * np.arange(len(lags) - 2), axis=1)
    rows = np.arange(len(centres))
    before, top, after = curve[rows, peak - 1], curve[rows, peak], curve[rows, peak + 1]
    bend = before - 2 * top + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1), 0)
    place = lags[peak] + np.clip(shift, -0.5, 0.5)
    voiced = (top > _VOICED) & ((cut**2).mean(1) > _SILENT)
    smooth = np.where(voiced, RATE / place, 0)
    # A frame alone among the others is a mistake.
    alone = voiced & ~(np.roll(voiced, 1) | np.roll(voiced, -1))
    smooth[alone] = 0
    return smooth


def _envelope(wave: Floats, centres: NDArray[np.int64], f0: Floats) -> Floats:
    """[frames, BINS]: power per sample."""
    offsets = np.arange(-FFT // 2, FFT // 2)
    half = 1.5 * RATE / f0[:, None]
    window = np.where(np.abs(offsets) < half, 0.5 + 0.5 * np.cos(np.pi * offsets / half), 0)
    cut = _windows(wave, centres, FFT) * window
    power = np.abs(np.fft.rfft(cut, FFT)) ** 2 / (window**2).sum(1, keepdims=True)
    low = _smoothed(power, f0 * 2 / 3)
    place = np.arange(FFT)
    quefrency = np.minimum(place, FFT - place) / RATE
    turn = f0[:, None] * quefrency
    lifter = np.sinc(turn) * (1.18 - 0.18 * np.cos(2 * np.pi * turn))
    cepstrum = np.fft.irfft(np.log(low + 1e-12))
    return np.exp(np.fft.rfft(cepstrum * lifter).real)


def _smoothed(power: Floats, width: Floats) -> Floats:
    """Mean over a band of so many Hz around each frequency."""
    mirrored = np.concatenate((power[:, :0:-1], power, power[:, -2::-1]), axis=1)
    total = np.cumsum(mirrored, axis=1)
    half = width[:, None] * FFT / RATE / 2
    centre = np.arange(BINS)[None] + BINS - 1

    def at(place: Floats) -> Floats:
        low = np.floor(place).astype(np.int64)
        rows = np.arange(len(power))[:, None]
        share = place - low
        return total[rows, low] * (1 - share) + total[rows, low + 1] * share

    return (at(centre + half - 0.5) - at(centre - half - 0.5)) / (2 * half)


def _aperiodicity(wave: Floats, centres: NDArray[np.int64], f0: Floats) -> Floats:
    """[frames, APERIODICITY]: share of the power that is noise."""
    size = FFT
    window = np.hanning(size)
    own = np.abs(np.fft.rfft(window, 2 * size)) ** 2
    power = np.abs(np.fft.rfft(_windows(wave, centres, size) * window, 2 * size)) ** 2
    angle = 2 * np.pi * np.arange(power.shape[1]) / (2 * size) * (RATE / f0)[:, None]
    expected = (np.cos(angle) * own).sum(1) / own.sum()
    bands = np.repeat(triangles(APERIODICITY), 2, axis=1)[:, : power.shape[1]]
    alike = np.hypot((power * np.cos(angle)) @ bands.T, (power * np.sin(angle)) @ bands.T)
    share = alike / (power @ bands.T + 1e-12) / expected[:, None]
    noise: Floats = np.clip(1 - share, _LEAST_APERIODIC, 1)
    return noise
