"""What a caller says, as samples: where the speech in it begins and ends, and when each word is spoken."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from benchmarks import noises

LEVEL_DBFS = -26.0
"""Level of the speech in every recording (ITU-T P.56 names it the nominal one), so that noise can be set against it."""
_RANGE_DB = 45.0
_FRAME_S = 0.01


class RecordingError(ValueError):
    """What is to be said cannot be made, or read."""


@dataclass(frozen=True, slots=True)
class Word:
    """start_s, end_s: seconds from the first sample. espeak-ng tells where a word starts: it ends where the next one
    does, or the speech."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Recording:
    """pcm: int16 mono, shape [n]. onset: the first sample that is speech; end: the one behind the last."""

    text: str
    pcm: NDArray[np.int16]
    rate: int
    onset: int
    end: int
    words: tuple[Word, ...] = ()

    def at_rate(self, rate: int) -> Recording:
        """Resampled in one piece, which moves nothing in time."""
        if rate == self.rate:
            return self
        pcm = np.asarray(soxr.resample(self.pcm, self.rate, rate), np.int16)
        onset, end = (min(len(pcm), round(place * rate / self.rate)) for place in (self.onset, self.end))
        return Recording(self.text, pcm, rate, onset, end, self.words)

    def said_until(self, seconds: float) -> str:
        """The words that are over by then."""
        return " ".join(word.text for word in self.words if word.end_s <= seconds)


def speak(text: str, voice: str, words_a_minute: int = 155) -> Recording:
    """Let a synthesiser say it. voice: of espeak-ng ("en-us", "de+f2"), with the times of the words; or "flite:slt",
    without. Raises RecordingError."""
    if voice.startswith("flite:"):
        return _flite(text, voice.removeprefix("flite:"))
    return _espeak(text, voice, words_a_minute)


@lru_cache(maxsize=512)
def _espeak(text: str, voice: str, words_a_minute: int) -> Recording:
    command = [sys.executable, "-m", "benchmarks.espeak", voice, str(words_a_minute), text]
    made = subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[1])
    if made.returncode != 0:
        reason = made.stderr.decode().strip().splitlines()[-1:]
        raise RecordingError(f"espeak-ng cannot say {text!r} with voice {voice!r}: {' '.join(reason)}")
    head, _, samples = made.stdout.partition(b"\n")
    told = json.loads(head)
    pcm, rate = np.frombuffer(samples, np.int16), told["rate"]
    end_s = _bounds(pcm, rate)[1] / rate
    starts = _word_starts(text, [(place, sample / rate) for place, sample in told["words"]])
    ends = [start for _, start in starts[1:]] + [end_s]
    words = tuple(Word(word, start, end) for (word, start), end in zip(starts, ends, strict=True))
    return recording(text, pcm, rate, words)


def _word_starts(text: str, events: Sequence[tuple[int, float]]) -> list[tuple[str, float]]:
    """Words of the text, between blanks, with the first event that falls into them: espeak-ng counts "o'clock" as two,
    and words without a sound as none."""
    found = []
    for word in re.finditer(r"\S+", text):
        inside = [start for place, start in events if word.start() <= place < word.end()]
        if inside:
            found.append((word.group(), inside[0]))
    return found


@lru_cache(maxsize=512)
def _flite(text: str, voice: str) -> Recording:
    known = subprocess.run(["flite", "-lv"], capture_output=True, text=True).stdout.partition(":")[2].split()
    if voice not in known and not Path(voice).is_file():
        raise RecordingError(f"flite has no voice {voice!r}; it has {', '.join(known)}")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        made = subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(file)], capture_output=True)
        if made.returncode != 0 or not file.exists():
            raise RecordingError(f"flite cannot say {text!r} with voice {voice!r}: {made.stderr.decode().strip()}")
        return load(file, text)


def load(path: Path, text: str, words: Sequence[Word] = ()) -> Recording:
    """A WAV of 16-bit samples; of several channels the first. With words, speech begins and ends with them. Raises
    RecordingError."""
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                raise RecordingError(f"{path} has samples of {8 * file.getsampwidth()} bits; 16 are read")
            rate = file.getframerate()
            pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)[:: file.getnchannels()]
    except (wave.Error, EOFError, OSError) as error:
        raise RecordingError(f"{path} cannot be read as WAV: {error}") from None
    made = recording(text, pcm, rate, tuple(words))
    if not words:
        return made
    if words[-1].end_s * rate > len(pcm):
        raise RecordingError(f"{path} is {len(pcm) / rate:.2f} s long, and its last word ends at {words[-1].end_s} s")
    return replace(made, onset=round(words[0].start_s * rate), end=round(words[-1].end_s * rate))


def sound(name: str, seed: int = 0) -> Recording:
    """A noise that a caller makes without speaking, one of ``noises.SOUNDS``."""
    return recording("", noises.make(name, seed), noises.RATE)


def join(parts: Sequence[Recording | float]) -> Recording:
    """Recordings of one rate, one after the other; a number is so many seconds of silence. What follows the speech of
    the parts before the last is cut, so that a pause is as long as it says."""
    rate = next(part.rate for part in parts if isinstance(part, Recording))
    pieces: list[NDArray[np.int16]] = []
    words: list[Word] = []
    bounds: list[int] = []
    length = 0
    for number, part in enumerate(parts):
        if isinstance(part, Recording):
            piece = part.pcm if number == len(parts) - 1 else part.pcm[: part.end]
            shift = length / rate
            words += [Word(word.text, word.start_s + shift, word.end_s + shift) for word in part.words]
            bounds += [length + part.onset, length + part.end]
        else:
            piece = np.zeros(round(part * rate), np.int16)
        pieces.append(piece)
        length += len(piece)
    text = " ".join(part.text for part in parts if isinstance(part, Recording))
    return Recording(text, np.concatenate(pieces), rate, bounds[0], bounds[-1], tuple(words))


def recording(text: str, pcm: NDArray[np.int16], rate: int, words: tuple[Word, ...] = ()) -> Recording:
    """At the common level, with the bounds of its speech. Raises RecordingError for silence."""
    onset, end = _bounds(pcm, rate)
    level = rms_dbfs(pcm[onset:end])
    louder = pcm.astype(np.float64) * 10 ** ((LEVEL_DBFS - level) / 20)
    return Recording(text, np.clip(np.rint(louder), -32768, 32767).astype(np.int16), rate, onset, end, words)


def rms_dbfs(pcm: NDArray[np.int16]) -> float:
    """Level of all the samples against full scale."""
    return float(10 * np.log10(np.mean(np.square(pcm / 32768)) + 1e-12))


def _bounds(pcm: NDArray[np.int16], rate: int) -> tuple[int, int]:
    """The first and the last 10 ms that are within 45 dB of the loudest."""
    size = int(rate * _FRAME_S)
    frames = pcm[: len(pcm) // size * size].reshape(-1, size)
    if not frames.any():
        raise RecordingError("there is nothing to be heard in it")
    level = 10 * np.log10(np.square(frames / 32768).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(level > level.max() - _RANGE_DB)
    return int(loud[0]) * size, int(loud[-1] + 1) * size
