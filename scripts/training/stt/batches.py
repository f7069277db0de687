"""Batches of examples of like length, changed a little each time, so that no utterance is heard twice the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.stt.features import mel_filters
from scripts.training.stt.shards import Example, read_shards
from scripts.training.stt.speech import BANDS
from scripts.training.stt.tokens import characters, target

Floats = NDArray[np.float32]
_POOL = 3000
"""Examples that are sorted by length together."""
_SILENCE = -10.0
_PHONES = 0.3
"""Examples of which only a telephone's band is left, those that came over one included."""
_CENTRES: NDArray[np.float64] = np.maximum(mel_filters(BANDS).argmax(axis=0), 1) * 40.0
"""Hz of the mel bands."""
_AGAIN = {"words": 0.4, "everyday": 0.4}
"""Kinds of sentences that are met less often than others after the first time."""
WINDOWS = (*[1000] * 8, 1500, 3000)
"""Frames of the windows that the recogniser will be used with; 10 s is by far the most frequent."""


@dataclass(frozen=True, slots=True)
class Batch:
    """mel: [rows, 80, frames]. tokens: [rows, n], padded with -1. characters: the CTC targets, one after another;
    lengths: how many of them each row has."""

    mel: Floats
    tokens: NDArray[np.int64]
    characters: NDArray[np.int64]
    lengths: NDArray[np.int64]


class Examples:
    """The examples on disk, met in an order that follows from the seed. Shards that appear later join in."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, seed: int) -> None:
        self._folder, self._tokenizer = folder, tokenizer
        self._rng = np.random.default_rng(seed)
        self._known: list[Path] = []
        self._examples: list[Example] = []
        self._fresh: list[int] = []

    def _next_pool(self) -> list[Example]:
        found, self._known = read_shards(self._folder, self._known)
        first = len(self._examples)
        self._examples += found
        self._fresh += [int(index) for index in first + self._rng.permutation(len(found))]
        if not self._examples:
            raise FileNotFoundError(f"{self._folder} holds no examples yet")
        if len(self._fresh) < _POOL:
            again = self._rng.permutation(len(self._examples))
            self._fresh += [int(index) for index in again if self._rng.random() < self._again(int(index))]
        pool, self._fresh = self._fresh[:_POOL], self._fresh[_POOL:]
        return [self._examples[index] for index in pool]

    def _again(self, index: int) -> float:
        return _AGAIN.get(self._examples[index].kind, 1.0)

    def batches(self, frames: int, windowed: float) -> Iterator[Batch]:
        """One pool's batches of about that many frames each. windowed: share of them in one of WINDOWS."""
        pool = sorted(self._next_pool(), key=lambda example: len(example.mel))
        groups: list[list[Example]] = [[]]
        for example in pool:
            if groups[-1] and (len(groups[-1]) + 1) * len(example.mel) > frames:
                groups.append([])
            groups[-1].append(example)
        for index in self._rng.permutation(len(groups)):
            group = groups[int(index)]
            if self._rng.random() >= windowed:
                yield self._batch(group, 0)
                continue
            window = int(self._rng.choice(WINDOWS))
            rows = max(1, frames // window)
            picked = self._rng.permutation(len(group))[: 2 * rows]
            for part in (picked[:rows], picked[rows:]):
                if len(part):
                    yield self._batch([group[int(row)] for row in part], window)

    def _batch(self, group: list[Example], window: int) -> Batch:
        mels = [changed(example.mel.astype(np.float32), self._rng) for example in group]
        longest = max(len(mel) for mel in mels)
        # Whisper halves the frames, so their number is even; a little silence keeps the lengths from telling the end.
        frames = window or (longest + int(self._rng.integers(0, 30)) + 1) // 2 * 2
        zeros = bool(window) and self._rng.random() < 0.25
        rows = np.stack([framed(mel, frames, zeros) for mel in mels])
        tokens = [target(self._tokenizer, example.text, example.language) for example in group]
        padded = np.full((len(group), max(map(len, tokens))), -1, np.int64)
        for row, ids in zip(padded, tokens, strict=True):
            row[: len(ids)] = ids
        spelt = [characters(example.text) for example in group]
        lengths = np.array([len(one) for one in spelt], np.int64)
        return Batch(rows, padded, np.concatenate([np.array(one, np.int64) for one in spelt]), lengths)


def changed(mel: Floats, rng: np.random.Generator) -> Floats:
    """An utterance [frames, 80] at another level and speed, over other lines and noise, with bands missing."""
    mel = mel + np.float32(rng.uniform(-0.8, 0.4))
    if rng.random() < 0.5:
        frames = max(2, round(len(mel) * rng.uniform(0.92, 1.08)))
        place = np.linspace(0, len(mel) - 1, frames)
        low = np.minimum(place.astype(np.intp), len(mel) - 2) if len(mel) > 1 else np.zeros(frames, np.intp)
        share = (place - low).astype(np.float32)[:, None]
        mel = mel[low] * (1 - share) + mel[np.minimum(low + 1, len(mel) - 1)] * share
    if rng.random() < _PHONES:
        mel = (_noisier(mel, rng) if rng.random() < 0.5 else mel) + _phone_gains(rng)
    elif rng.random() < 0.1:
        mel = _noisier(mel, rng)
    if rng.random() < 0.1:
        start, width = int(rng.integers(0, BANDS - 8)), int(rng.integers(2, 9))
        mel[:, start : start + width] = mel.min()
    return np.maximum(mel, np.float32(_SILENCE))


def _noisier(mel: Floats, rng: np.random.Generator) -> Floats:
    """Stationary noise adds its power to every frame; its own flicker is what an exponential distribution gives."""
    tilt = np.linspace(rng.uniform(-0.7, 0.7), rng.uniform(-0.7, 0.7), BANDS)
    level = float(mel.max()) - rng.uniform(1.5, 5) + tilt
    flicker = np.log10(rng.exponential(1, mel.shape) + 1e-3) * 0.5
    powers = np.logaddexp(mel * np.log(10), (level + flicker) * np.log(10))
    return (powers / np.log(10)).astype(np.float32)


def _phone_gains(rng: np.random.Generator) -> Floats:
    """log10 of the power that a telephone's band leaves of each mel band: Butterworth's edges."""
    low, high, steep = rng.uniform(180, 430), rng.uniform(3100, 3700), 2 ** rng.uniform(1.5, 5)
    hertz = _CENTRES
    left = np.logaddexp(0, 2 * steep * np.log(low / hertz)) + np.logaddexp(0, 2 * steep * np.log(hertz / high))
    return np.maximum(-left / np.log(10), _SILENCE).astype(np.float32)


def framed(mel: Floats, frames: int, zeros: bool) -> Floats:
    """[80, frames] as the encoder takes it. zeros: padded as faster-whisper pads, else with what silence would give."""
    mel = mel[:frames]
    floor = max(float(mel.max()) - 8, _SILENCE)
    row = np.full((BANDS, frames), 0 if zeros else (floor + 4) / 4, np.float32)
    row[:, : len(mel)] = (np.maximum(mel, np.float32(floor)).T + 4) / 4
    return row
