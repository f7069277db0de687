"""What is on the line beside speech costs a call a few answers at most, and ends as a caller's silence does."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from models.audio import Pcm16, ulaw_encode
from models.base import Priority, Transcript
from server.core.turns import TurnPolicy
from server.transports.manners import DOUBTFUL_ANSWERS, Manners
from tests.transports.carrier_peer import HandLeg
from tests.transports.house import House, play_all, until

LOUD = ulaw_encode(np.full(160, 8000, np.int16))
POLICY = TurnPolicy(prepare=False, interrupt_ms=96, pauses=True, doubtful_answers=DOUBTFUL_ANSWERS)
SILENT = ulaw_encode(np.zeros(160, np.int16))


class Ears:
    """Takes every loud frame for speech, and hears these words in it, so surely."""

    name = "ears"
    languages = ("en", "de")

    def __init__(self, words: str, logprob: float, language: str = "en") -> None:
        self._words, self._logprob, self._language = words, logprob, language
        self._rest = np.zeros(0, np.int16)

    def open(self, *_: object, **__: object) -> Ears:
        return Ears(self._words, self._logprob, self._language)

    async def close(self) -> None: ...

    def reset(self) -> None: ...


class Vad(Ears):
    """See ``Ears``; as the session's detector."""

    def open(self, *_: object, **options: object) -> Ears:
        return (
            Utterance(self._words, self._logprob, self._language) if options else Detector(self._words, self._logprob)
        )


class Detector(Ears):
    async def push(self, pcm: Pcm16) -> list[float]:
        heard = np.concatenate([self._rest, pcm])
        frames = len(heard) // 256
        self._rest = heard[frames * 256 :]
        return [0.95 if np.abs(heard[at * 256 : at * 256 + 256]).max() > 100 else 0.0 for at in range(frames)]


class Utterance(Ears):
    def push(self, pcm: Pcm16) -> None: ...

    async def partial(self) -> Transcript:
        return Transcript(self._words, "", self._language, 1.0, self._logprob, 1000)

    async def final(self, priority: Priority = Priority.CONFIRMED) -> Transcript:
        return Transcript(self._words, self._words, self._language, 1.0, self._logprob, 1000)

    def close(self) -> None: ...


@asynccontextmanager
async def sounding(house: House, *, burst: int, pause: int) -> AsyncIterator[HandLeg]:
    """A call on which a sound of so many frames and a pause take turns, ten times as fast as they are."""
    async with house.call() as leg:

        async def play() -> None:
            told: set[str] = set()
            for number in itertools.count():
                leg.tell(leg.end.media(LOUD if number % (burst + pause) < burst else SILENT, number * 20))
                play_all(leg, told)
                await asyncio.sleep(0.002)

        playing = asyncio.create_task(play())
        try:
            yield leg
        finally:
            playing.cancel()


def house(words: str, logprob: float, language: str = "en") -> House:
    manners = Manners(greeting="Good day.", silence_s=0.3)
    ears = Vad(words, logprob, language)
    return House(manners, ears=ears, policy=POLICY)


async def test_music_without_words_is_a_silent_caller():
    on_hold = house("", 0.0)
    async with sounding(on_hold, burst=30, pause=200) as leg:
        await asyncio.wait_for(leg.closed.wait(), 60)
    await until(lambda: on_hold.counts.closed == ["silent"])
    assert on_hold.questions == []
    assert on_hold.tts.said.count("Are you still there?") == 2


@pytest.mark.parametrize(
    ("language", "words", "prompt"),
    [
        ("en", "oh we are under the stars", "Are you still there?"),
        ("de", "ach wir sind unter den Sternen", "Sind Sie noch da?"),
    ],
)
async def test_music_in_which_words_are_heard_gets_a_few_answers_and_then_a_goodbye_in_the_language_of_the_call(
    language: str, words: str, prompt: str
):
    on_hold = house(words, -1.0, language)
    async with sounding(on_hold, burst=30, pause=200) as leg:
        await asyncio.wait_for(leg.closed.wait(), 60)
    await until(lambda: on_hold.counts.closed == ["silent"])
    assert 1 <= len(on_hold.questions) <= DOUBTFUL_ANSWERS
    said = on_hold.tts.said
    assert said[-said[::-1].index("Thank you.") :].count(prompt) == 2


async def test_a_sound_without_a_pause_is_a_silent_caller_once_no_words_were_found_in_it():
    on_hold = house("", 0.0)
    async with sounding(on_hold, burst=10**9, pause=0) as leg:
        await asyncio.wait_for(leg.closed.wait(), 60)
    await until(lambda: on_hold.counts.closed == ["silent"])


async def test_a_caller_who_is_understood_is_not_asked_whether_he_is_there():
    talking = house("and then I went to the other shop because they had none", -0.1)
    async with sounding(talking, burst=10**9, pause=0):
        await until(lambda: talking.tts.said == ["Good day."])
        await asyncio.sleep(0.8)
        assert talking.tts.said == ["Good day."]
