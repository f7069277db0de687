"""The speech says its text: the bundled transcriber reads it back, on sentences of the kind it knows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import models
from models.audio import resample
from models.stt.faster_whisper import FasterWhisper
from models.tts.piper import Piper

BUNDLED = Path(models.__file__).parent / "bundled"

SENTENCES = {
    "en": [
        "How much does a haircut cost?",
        "I would like to book a haircut on Tuesday at ten o'clock.",
        "What time do you open on Saturday?",
        "My name is Laura Miller.",
    ],
    "de": [
        "Mein Name ist Robert Weber.",
        "Ich möchte eine Impfung am Dienstag um zehn Uhr buchen.",
        "Wie wäre es am Freitag um zwei Uhr?",
        "Ich möchte einen Haarschnitt am Montag um elf Uhr buchen.",
    ],
}


@pytest.fixture(scope="module")
def piper() -> Iterator[Piper]:
    engine = Piper.load(BUNDLED / "tts", name="piper")
    yield engine
    asyncio.run(engine.close())


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower().replace("'", ""))


def errors(said: list[str], heard: list[str]) -> int:
    """Edit distance between two rows of words."""
    costs = list(range(len(heard) + 1))
    for row, word in enumerate(said, 1):
        above, costs[0] = costs[0], row
        for column, other in enumerate(heard, 1):
            above, costs[column] = (
                costs[column],
                min(costs[column] + 1, costs[column - 1] + 1, above + (word != other)),
            )
    return costs[-1]


@pytest.mark.parametrize("language", SENTENCES)
async def test_a_transcriber_hears_the_words_that_were_to_be_spoken(piper: Piper, language: str) -> None:
    whisper = FasterWhisper.load(BUNDLED / "stt" / "tiny", name="whisper")
    wrong = count = 0
    for text in SENTENCES[language]:
        voice = piper.voice_for("", language)
        pcm = np.concatenate([chunk.pcm async for chunk in piper.synthesize(text, voice)])
        utterance = whisper.open(language=language)
        utterance.push(np.concatenate([np.zeros(3_200, np.int16), resample(pcm, voice.sample_rate, 16_000)]))
        utterance.push(np.zeros(8_000, np.int16))
        heard = (await utterance.final()).text
        utterance.close()
        wrong += errors(words(text), words(heard))
        count += len(words(text))
    await whisper.close()
    # Noise, or another text, leaves next to nothing right; the transcriber alone gets one word in twenty wrong.
    assert wrong / count < 0.2
