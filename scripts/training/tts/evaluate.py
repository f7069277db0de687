"""Held-out figures of voices: how fast they speak through Piper, and how well the bundled transcriber reads them back,
beside the teacher's own sound."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from scripts.training.stt.evaluate import Recogniser, word_errors
from scripts.training.stt.plan import LANGUAGES, held_out, normalised, sentence
from scripts.training.tts.teacher import RATE, VOICES, Teacher

_HEARD_RATE = 16_000
_LONGEST_S = 9.5
Speak = Callable[[str], tuple[NDArray[np.float32], int]]


@dataclass(slots=True)
class Score:
    """errors, words: of what was read back. spoken_s: sound made. worked_s: processor time it took."""

    errors: int = 0
    words: int = 0
    spoken_s: float = 0.0
    worked_s: float = 0.0

    @property
    def rate(self) -> float:
        """Word error rate."""
        return self.errors / max(1, self.words)

    @property
    def factor(self) -> float:
        """Real-time factor: processor seconds for a second of speech."""
        return self.worked_s / max(1e-9, self.spoken_s)


def evaluation_sentences(seed: int, count: int) -> Iterator[tuple[str, str]]:
    """(text, voice): callers' and assistants' sentences that no training has seen, ``count`` of each kind and
    language."""
    rng = Random(seed)
    for voice in VOICES:
        for kind in ("caller", "assistant"):
            chosen: dict[str, None] = {}
            while len(chosen) < count:
                text = sentence(LANGUAGES[voice.split("_")[0]], kind, rng)
                if held_out(text):
                    chosen[text] = None
            for text in chosen:
                yield text, voice


def read_back(speakers: dict[str, Speak], recogniser: Recogniser, texts: list[tuple[str, str]]) -> dict[str, Score]:
    """The score of each voice. speakers: by voice. Sentences longer than the recogniser's window are left out."""
    scores = {voice: Score() for voice in speakers}
    for text, voice in texts:
        began = time.process_time()
        samples, rate = speakers[voice](text)
        worked = time.process_time() - began
        if not 0 < len(samples) < rate * _LONGEST_S:
            continue
        score = scores[voice]
        score.worked_s += worked
        score.spoken_s += len(samples) / rate
        wave = soxr.resample(samples / max(1e-3, float(np.abs(samples).max())) * 0.6, rate, _HEARD_RATE)
        rest = np.zeros(_HEARD_RATE // 5, np.float32)
        said = normalised(text).split()
        heard = normalised(recogniser.hear(np.concatenate((rest, wave.astype(np.float32), rest)))[1]).split()
        score.errors += word_errors(said, heard)
        score.words += len(said)
    return scores


def voices_in(folder: Path) -> dict[str, Speak]:
    """The voices of a folder, spoken by Piper on one thread."""
    return {voice: partial(_piper, _loaded(folder / f"{voice}.onnx")) for voice in VOICES}


def teachers(speaker: Teacher) -> dict[str, Speak]:
    """The teacher in place of the voices."""

    def speak(voice: str, text: str) -> tuple[NDArray[np.float32], int]:
        return speaker.speak(text, voice).samples, RATE

    return {voice: partial(speak, voice) for voice in VOICES}


def _loaded(path: Path) -> Any:
    import onnxruntime as ort  # type: ignore[import-untyped]
    from piper import PiperConfig, PiperVoice

    from models.tts.voice_files import read_description

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return PiperVoice(session=session, config=PiperConfig.from_dict(read_description(path)))


def _piper(voice: Any, text: str) -> tuple[NDArray[np.float32], int]:
    chunks = list(voice.synthesize(text))
    if not chunks:
        return np.zeros(0, np.float32), RATE
    return np.concatenate([chunk.audio_float_array for chunk in chunks]), chunks[0].sample_rate
