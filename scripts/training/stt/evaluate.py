"""Held-out figures of a recogniser: word error rates by kind of speech and line, and words heard where nobody speaks.

Decoding is what the server's engine does: greedy, a 10 s window padded with silence, the language detected.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import ctranslate2  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.stt.features import LogMel, mel_filters, window
from scripts.training.stt.free_text import FREE
from scripts.training.stt.plan import (
    LANGUAGES,
    Line,
    Phone,
    Utterance,
    Voice,
    choose_voice,
    held_out,
    normalised,
    sentence,
    sentences_in,
)
from scripts.training.stt.sounds import RATE, SOUNDS, Floats
from scripts.training.stt.speech import BANDS, sound
from scripts.training.stt.telephone import band, coded
from scripts.training.stt.tokens import token_id

WINDOW = 1000
LINES: Mapping[str, Line] = {
    "clean": Line(before=0.2, after=0.3),
    "noise": Line(before=0.2, after=0.3, noise=("white", 10.0)),
    "µ-law": Line(before=0.2, after=0.3, phone=Phone(low=0, high=0)),
    "phone": Line(before=0.2, after=0.3, phone=Phone()),
    "phone, 20 dB": Line(before=0.2, after=0.3, phone=Phone(), noise=("pink", 20.0)),
    "phone, 10 dB": Line(before=0.2, after=0.3, phone=Phone(), noise=("pink", 10.0)),
    "phone, frames lost": Line(before=0.2, after=0.3, phone=Phone(lost=0.05)),
}


@dataclass(slots=True)
class Score:
    """Sums over utterances. seconds: of decoding."""

    errors: int = 0
    words: int = 0
    utterances: int = 0
    languages_right: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Word error rate."""
        return self.errors / max(1, self.words)


@dataclass(slots=True)
class Figures:
    """scores: by (set, language, line). false_words: by sound, of ten seconds each. samples: (said, heard) pairs."""

    scores: dict[tuple[str, str, str], Score] = field(default_factory=lambda: defaultdict(Score))
    false_words: dict[str, int] = field(default_factory=dict)
    samples: list[tuple[str, str]] = field(default_factory=list)


class Recogniser:
    """A model folder, decoded on one thread."""

    def __init__(self, folder: Path) -> None:
        self._model = ctranslate2.models.Whisper(str(folder), intra_threads=1, inter_threads=1)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._filters = mel_filters(BANDS)

    def hear(self, wave: Floats) -> tuple[str, str]:
        """(language, text) of at most 10 s of sound."""
        mel = LogMel(self._filters)
        mel.push(wave)
        features = window([mel.frames(0, min(WINDOW, len(wave) // 160))], WINDOW)
        encoded = self._model.encode(ctranslate2.StorageView.from_array(features))
        language = self._model.detect_language(encoded)[0][0][0]
        prompt = ["<|startoftranscript|>", language, "<|transcribe|>", "<|notimestamps|>"]
        ids = [token_id(self._tokenizer, token) for token in prompt]
        result = self._model.generate(encoded, [ids], beam_size=1, max_length=200, suppress_blank=False)[0]
        return language[2:-2], self._tokenizer.decode(result.sequences_ids[0]).strip()


def evaluation_set(seed: int, count: int, trained: Container[str] = ()) -> Iterator[tuple[str, Utterance]]:
    """(set, utterance on a clean line): callers by all voices, answers by the bundled voices, and free sentences that
    no pattern makes, by all voices. ``count`` of each set and language; no sentence occurs in the training, nor among
    ``trained`` (normalised), for models whose training had other patterns."""
    rng = Random(seed)
    for code, language in LANGUAGES.items():
        for kind in ("caller", "assistant"):
            chosen: dict[str, None] = {}
            while len(chosen) < count:
                text = sentence(language, kind, rng)
                if held_out(text) and not any(one in trained for one in sentences_in(text)):
                    chosen[text] = None
            for text in chosen:
                yield kind, _utterance(text, code, kind, rng)
        for number in range(count):
            yield "free", _utterance(FREE[code][number % len(FREE[code])], code, "free", rng)


def _utterance(text: str, language: str, kind: str, rng: Random) -> Utterance:
    voice = choose_voice(language, kind, rng)
    if kind == "assistant":
        voice = Voice("piper", {"en": "en_US", "de": "de_DE"}[language])
    return Utterance(text, language, kind, voice, LINES["clean"], rng.getrandbits(32))


def evaluate(
    recogniser: Recogniser, utterances: Iterable[tuple[str, Utterance]], lines: Sequence[str] = tuple(LINES)
) -> Figures:
    """Every utterance over each of the lines, and the sounds without speech."""
    figures = Figures()
    for name, utterance in utterances:
        for line in lines:
            wave = sound(replace(utterance, line=LINES[line]))
            began = time.perf_counter()
            language, text = recogniser.hear(wave)
            score = figures.scores[name, utterance.language, line]
            score.seconds += time.perf_counter() - began
            said, heard = normalised(utterance.text).split(), normalised(text).split()
            score.errors += word_errors(said, heard)
            score.words += len(said)
            score.utterances += 1
            score.languages_right += language == utterance.language
            figures.samples.append((utterance.text, text))
    for name, wave in _silent_sounds():
        figures.false_words[name] = figures.false_words.get(name, 0) + len(recogniser.hear(wave)[1].split())
    return figures


def _silent_sounds() -> Iterator[tuple[str, Floats]]:
    """Eight sounds of ten seconds of each kind, half of them over a telephone."""
    for name, make in SOUNDS.items():
        for number in range(8):
            rng = np.random.default_rng(1_000_003 + number)
            wave = make(10 * RATE, rng)
            yield name, coded(band(wave, Phone()), Phone(), rng) if number % 2 else wave


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Substitutions, insertions and deletions (Levenshtein distance of words)."""
    row: NDArray[np.int64] = np.arange(len(heard) + 1)
    for count, word in enumerate(said, 1):
        previous, row = row, np.empty_like(row)
        row[0] = count
        for index, other in enumerate(heard, 1):
            row[index] = min(previous[index] + 1, row[index - 1] + 1, previous[index - 1] + (word != other))
    return int(row[-1])
