"""What a telephone line makes of sound: its band, its code, and frames that are lost and concealed as the server does.
Samples in -1..1 at 16 kHz."""

from __future__ import annotations

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from scripts.training.stt.plan import Phone
from scripts.training.stt.sounds import RATE, Floats
from server.transports.concealment import Concealment

_WIRE = 8_000
_FRAME = _WIRE // 50
_MU, _A = 255.0, 87.6
"""Of ITU-T G.711's companding curves."""

Doubles = NDArray[np.float64]


def band(wave: Floats, phone: Phone) -> Floats:
    """What the line's band leaves. Without a shift in phase, so nothing moves in time."""
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    kept = np.ones(len(hertz))
    if phone.low:
        kept[0] = 0.0
        kept[1:] /= np.sqrt(1 + np.exp(np.minimum(2 * phone.steep * np.log(phone.low / hertz[1:]), 100.0)))
    if phone.high:
        kept[1:] /= np.sqrt(1 + np.exp(np.minimum(2 * phone.steep * np.log(hertz[1:] / phone.high), 100.0)))
    return np.fft.irfft(np.fft.rfft(wave) * kept, len(wave)).astype(np.float32)


def coded(wave: Floats, phone: Phone, rng: np.random.Generator) -> Floats:
    """The sound behind the wire: 8 bits a sample, and what stands in for lost frames."""
    narrow = np.clip(soxr.resample(wave, RATE, _WIRE), -1, 1).astype(np.float64)
    decoded = _mu_law(narrow) if phone.law == "mu" else _a_law(narrow)
    if phone.lost:
        decoded = _with_losses(decoded, phone.lost, rng)
    wide: Floats = soxr.resample(decoded.astype(np.float32), _WIRE, RATE)
    return wide


def _mu_law(wave: Doubles) -> Doubles:
    code = np.rint(np.sign(wave) * np.log1p(_MU * np.abs(wave)) / np.log1p(_MU) * 127)
    return np.asarray(np.sign(code) * np.expm1(np.abs(code) / 127 * np.log1p(_MU)) / _MU)


def _a_law(wave: Doubles) -> Doubles:
    whole = 1 + np.log(_A)
    louder = np.abs(wave) * _A
    companded = np.where(louder < 1, louder, 1 + np.log(np.maximum(louder, 1))) / whole
    # Its curve has no step at zero: the codes stand for the middles of theirs.
    code = (np.minimum(np.floor(companded * 128), 127) + 0.5) / 128 * whole
    return np.asarray(np.sign(wave) * np.where(code < 1, code, np.exp(code - 1)) / _A)


def _with_losses(wave: Doubles, share: float, rng: np.random.Generator) -> Doubles:
    concealment = Concealment(_WIRE)
    pcm = np.rint(wave * 32767).astype(np.int16)
    frames = [pcm[start : start + _FRAME] for start in range(0, len(pcm), _FRAME)]
    heard = [concealment.fill(len(frame)) if rng.random() < share else concealment.hear(frame) for frame in frames]
    return np.concatenate(heard) / 32767
