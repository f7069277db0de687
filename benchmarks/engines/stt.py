"""Whisper: what the last decode of a turn takes in an encoder window of 10 s and of 30 s, and what it gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.cost import Cost, rounds, row, shown, table
from benchmarks.speech import QUESTIONS, RATE, speak
from benchmarks.tool_scoring import word_errors
from models import audio
from models.base import Pcm16
from models.stt.faster_whisper import FasterWhisper

WINDOWS = ((10,), (30,), (10, 15, 20, 30))
_HEARS = 16_000
_AFTER_S = 0.1
"""Silence that the decode of a prepared answer sees."""
_MORE = (
    ("en-us", "Can I book a haircut on Thursday at ten?"),
    ("en-gb", "Do you have anything free on Monday?"),
    ("en-us", "I would like to move my appointment to Friday."),
    ("en-gb", "What is the price of a haircut?"),
    ("de", "Ich möchte einen Termin am Montag."),
    ("de", "Haben Sie am Dienstag etwas frei?"),
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """pcm: at 16 kHz, with a little silence behind the last word."""

    text: str
    language: str
    pcm: Pcm16


def sentences() -> list[Spoken]:
    said = []
    for voice, text in (*QUESTIONS, *_MORE):
        question = speak(text, voice)
        pcm = question.pcm[: question.end + int(_AFTER_S * RATE)]
        said.append(Spoken(text, voice.split("-")[0], audio.resample(pcm, RATE, _HEARS)))
    return said


async def final_cost(engine: FasterWhisper, spoken: Sequence[Spoken], times: int, what: str) -> tuple[Cost, float]:
    """Of the last decode of each sentence; and the word error rate."""
    cost, wrong, words = Cost(), 0, 0
    for number in rounds(times * len(spoken), what):
        one = spoken[number % len(spoken)]
        utterance = engine.open(language=one.language)
        utterance.push(one.pcm)
        with cost.run():
            heard = await utterance.final()
        utterance.close()
        errors, said = word_errors(one.text, heard.text)
        wrong, words = wrong + errors, words + said
    return cost, wrong / words


async def report(folder: Path, options: dict[str, Any], times: int, *, trained: bool) -> None:
    """trained: whether what it hears means anything. options: of the engine's load, beside the window."""
    spoken = sentences() if trained else sentences()[:2]
    length = f"{np.mean([len(one.pcm) for one in spoken]) / _HEARS:.1f} s"
    table("Whisper, window", "sentences", "mean length", "ms a final p50 / p95", "CPU ms a final p50 / p95", "WER")
    for windows in WINDOWS if trained else WINDOWS[:2]:
        engine = FasterWhisper.load(folder, name="stt", window_seconds=windows, **options)
        cost, wer = await final_cost(engine, spoken, times, f"Whisper, window {windows}")
        await engine.close()
        name = " or ".join(map(str, windows)) + " s"
        row(name, len(spoken), length, shown(cost.wall), shown(cost.cpu), f"{wer:.1%}" if trained else "-")
