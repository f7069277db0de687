"""What comes over a telephone line beside speech: music on hold, beeps, fax and modem tones, keys in band, ringing.

Samples at 8 kHz, as float waves of numpy turned into PCM16 at a level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from models.base import Pcm16

RATE = 8_000
Wave = NDArray[np.float64]

_KEYS = {
    key: (low, high)
    for low, row in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for high, key in zip((1209, 1336, 1477, 1633), row, strict=True)
}
_PROGRESSION = ((60, 64, 67), (57, 60, 64), (65, 69, 72), (67, 71, 74))
"""MIDI notes of C, A minor, F, G."""
_SCALE = (60, 62, 64, 65, 67, 69, 71, 72, 74, 76)
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (530, 1840, 2480), (300, 870, 2240))
"""First three formants of a, i, o, e, u (Peterson and Barney 1952, men)."""


def as_loud(wave: Wave, dbfs: float) -> Pcm16:
    """The wave with this RMS level over its sounding part; peaks beyond full scale are clipped."""
    sounding = wave[np.abs(wave) > 1e-4]
    rms = float(np.sqrt(np.mean(np.square(sounding)))) if len(sounding) else 1.0
    return np.clip(np.rint(wave * (10 ** (dbfs / 20) * 32768 / rms)), -32768, 32767).astype(np.int16)


def _time(seconds: float) -> Wave:
    return np.arange(round(seconds * RATE)) / RATE


def tone(seconds: float, *frequencies: float) -> Wave:
    """Sines of these frequencies at once, with soft edges of 5 ms."""
    time = _time(seconds)
    wave = sum((np.sin(2 * np.pi * frequency * time) for frequency in frequencies), np.zeros(len(time)))
    edge = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.005) if len(time) else time
    return np.asarray(wave * edge / max(1, len(frequencies)))


def _pause(seconds: float) -> Wave:
    return np.zeros(round(seconds * RATE))


def fill(seconds: float, *parts: Wave) -> Wave:
    """The parts over and over, for so long."""
    once = np.concatenate(parts)
    return np.resize(once, round(seconds * RATE))


def beep(seconds: float = 1.0) -> Wave:
    """An answering machine's, at 1 kHz."""
    return tone(seconds, 1000)


def ringing(seconds: float) -> Wave:
    """Germany's: 425 Hz, a second in five."""
    return fill(seconds, tone(1, 425), _pause(4))


def busy(seconds: float) -> Wave:
    """The line is engaged: 425 Hz, twice a second."""
    return fill(seconds, tone(0.24, 425), _pause(0.24))


def keys(typed: str) -> Wave:
    """Keys as tones (ITU-T Q.23), a tenth of a second each."""
    return np.concatenate([part for key in typed for part in (tone(0.1, *_KEYS[key]), _pause(0.1))])


def fax(seconds: float) -> Wave:
    """A calling fax: 1100 Hz for half a second, every 3.5 s (ITU-T T.30)."""
    return fill(seconds, tone(0.5, 1100), _pause(3))


def modem(seconds: float, seed: int = 1) -> Wave:
    """An answering modem: 2100 Hz, then 300 baud between 1650 and 1850 Hz (ITU-T V.21)."""
    bits = np.random.default_rng(seed).integers(0, 2, max(0, round((seconds - 3) * 300)))
    frequency = np.repeat(np.where(bits, 1650.0, 1850.0), RATE // 300 + 1)
    carried = np.sin(2 * np.pi * np.cumsum(frequency) / RATE)
    return np.concatenate([tone(3, 2100), carried])[: round(seconds * RATE)]


def chords(seconds: float) -> Wave:
    """A piano-like progression, each chord two seconds, its notes with overtones that die away."""
    out = []
    for notes in _PROGRESSION:
        time = _time(2.0)
        chord = np.zeros(len(time))
        for start in (0.0, 1.0):
            late = np.maximum(0.0, time - start)
            for note in notes:
                pitch = _pitch(note)
                for overtone in range(1, 6):
                    decay = np.exp(-late * (1.2 + 0.6 * overtone)) * (time >= start)
                    chord += np.sin(2 * np.pi * pitch * overtone * late) * decay / overtone**1.5
        out.append(chord)
    return fill(seconds, *out)


def melody(seconds: float, seed: int = 1) -> Wave:
    """A flute-like tune in quarter and half notes."""
    return np.concatenate(list(_tune(seconds, seed, _flute)))[: round(seconds * RATE)]


def singing(seconds: float, seed: int = 2) -> Wave:
    """A voice that sings vowels: pulses at the tune's pitch, with vibrato, through the formants of a mouth."""
    return np.concatenate(list(_tune(seconds, seed, _sung)))[: round(seconds * RATE)]


def hold_music(seconds: float, *, vocals: bool = False) -> Wave:
    """What a switchboard plays to whoever waits."""
    music = 0.5 * chords(seconds) + melody(seconds)
    return music + 1.5 * singing(seconds) if vocals else music


def _pitch(note: float) -> float:
    return float(440 * 2 ** ((note - 69) / 12))


def _tune(seconds: float, seed: int, play: Callable[[float, float, np.random.Generator], Wave]) -> list[Wave]:
    chance = np.random.default_rng(seed)
    notes, made, at = [], 0.0, 4
    while made < seconds:
        at = int(np.clip(at + chance.integers(-2, 3), 0, len(_SCALE) - 1))
        length = float(chance.choice([0.25, 0.5, 0.5, 1.0]))
        notes.append(play(_pitch(_SCALE[at]), length, chance))
        made += length
    return notes


def _flute(pitch: float, length: float, chance: np.random.Generator) -> Wave:
    time = _time(length)
    swell = np.minimum(1, time / 0.04) * np.minimum(1, time[::-1] / 0.06)
    return np.asarray(swell * (np.sin(2 * np.pi * pitch * time) + 0.3 * np.sin(4 * np.pi * pitch * time)))


def _sung(pitch: float, length: float, chance: np.random.Generator) -> Wave:
    time = _time(length)
    phase = 2 * np.pi * pitch / 2 * time + 0.5 * np.sin(2 * np.pi * 5.5 * time)
    formants = _VOWELS[chance.integers(len(_VOWELS))]
    wave = np.zeros(len(time))
    for overtone in range(1, int(3600 / (pitch / 2)) + 1):
        frequency = overtone * pitch / 2
        gain = sum(1 / (1 + ((frequency - formant) / 80) ** 2) for formant in formants)
        wave += gain / overtone**0.5 * np.sin(overtone * phase)
    swell = np.minimum(1, time / 0.06) * np.minimum(1, time[::-1] / 0.08)
    return np.asarray(wave * swell)


SOUNDS: Mapping[str, Callable[[float], Wave]] = {
    "music": hold_music,
    "song": lambda seconds: hold_music(seconds, vocals=True),
    "singing": singing,
    "beep": lambda seconds: fill(seconds, beep(), _pause(4)),
    "ringing": ringing,
    "busy": busy,
    "keys": lambda seconds: fill(seconds, keys("4711#"), _pause(2)),
    "fax": fax,
    "modem": modem,
}
"""Each makes so many seconds of itself."""
