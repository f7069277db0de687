"""Spoken questions to ask: made with espeak-ng, 24 kHz PCM16, with the place where speech ends."""

from __future__ import annotations

import io
import random
import subprocess
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE = 24_000
_FRAME = RATE // 100
_FLOOR_DB = -45.0

QUESTIONS = (
    ("en-us", "What time do you open on Friday?"),
    ("en-gb", "Do you have anything free on Tuesday?"),
    ("en-us", "How much is a haircut?"),
    ("en-us", "Are you a real person?"),
    ("en-gb", "Where can I park?"),
    ("en-us", "What are your opening hours on Monday?"),
    ("de", "Wann haben Sie am Freitag geöffnet?"),
    ("en-gb", "I would like to cancel my appointment on Thursday."),
    ("en-us", "Can I speak to a human, please?"),
    ("de", "Was kostet ein Haarschnitt?"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ABOUT_DAYS = ("What time do you open on {}?", "Do you have anything free on {}?", "Can I book a haircut on {}?")
AUDIBLE = 150
"""Samples louder than this are heard (-47 dBFS)."""


def many_questions() -> list[tuple[str, str]]:
    """Voices and words, all different so that no two callers are in step, in an order that is the same each time."""
    texts = [*QUESTIONS, *(("en-us", form.format(day)) for form in _ABOUT_DAYS for day in _DAYS)]
    random.Random(1).shuffle(texts)
    return list(dict.fromkeys(texts))


@dataclass(frozen=True, slots=True)
class Question:
    """pcm: int16 at RATE, shape [n]. end: the sample behind the last one that is speech."""

    text: str
    pcm: NDArray[np.int16]
    end: int


def speak(text: str, voice: str, speed: int = 155) -> Question:
    """Let espeak-ng say it, at so many words a minute. Raises CalledProcessError when it cannot."""
    made = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", text], check=True, capture_output=True
    ).stdout
    with wave.open(io.BytesIO(made)) as source:
        rate = source.getframerate()
        spoken = np.frombuffer(source.readframes(source.getnframes()), np.int16)
    count = len(spoken) * RATE // rate
    moments = np.arange(count) * (rate / RATE)
    pcm = np.interp(moments, np.arange(len(spoken)), spoken).astype(np.int16)
    return Question(text, pcm, speech_end(pcm))


def speech_end(pcm: NDArray[np.int16]) -> int:
    """The sample behind the last 10 ms that is within 45 dB of the loudest."""
    frames = pcm[: len(pcm) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)
    level = 20 * np.log10(np.sqrt((frames**2).mean(axis=1)) + 1e-9)
    loud = np.flatnonzero(level > level.max() + _FLOOR_DB)
    return int(loud[-1] + 1) * _FRAME


def first_audible(pcm: NDArray[np.int16], threshold: int = AUDIBLE) -> int | None:
    """The first sample louder than ``threshold``; None when there is none."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > threshold)
    return int(loud[0]) if len(loud) else None
