"""Our own voice is told from the caller's when it comes back softly over the line."""

from __future__ import annotations

import numpy as np
import pytest

from models.base import Pcm16
from server.transports.echo import EchoGate
from tests.models.speech import at_level, noise, speak

FRAME, FRAME_S = 160, 0.02
STORY = "Once there was a lighthouse on a rock. Nobody had lit it for years, and ships kept away from the bay at night."


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Line:
    """We tell a story; what comes back of it, ten frames later, is softer by so many dB, or nothing is."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.gate = EchoGate(self.clock)
        voice = speak(STORY, rate=8_000)
        self._voice = [voice[at : at + FRAME] for at in range(0, len(voice) - FRAME, FRAME)]
        self._number = 0

    def goes_on(self, frames: int, softer_db: float | None = None) -> list[bool]:
        """Whether each of the next frames was taken for an echo."""
        return [self._frame(softer_db) for _ in range(frames)]

    def _frame(self, softer_db: float | None) -> bool:
        said, back = self._voice[self._number % len(self._voice)], self._voice[(self._number - 10) % len(self._voice)]
        self._number += 1
        self.clock.now += FRAME_S
        self.gate.said(said, self.clock.now + FRAME_S)
        gain = 0.0 if softer_db is None else 10 ** (-softer_db / 20)
        return self.gate.is_echo((back * gain).astype(np.int16))

    def at(self, below_db: float) -> Pcm16:
        """A sound so much softer than our voice."""
        loudest = max(float(np.sqrt(np.mean(np.square(frame, dtype=np.float64)))) for frame in self._voice)
        return noise(FRAME_S, dbfs=20 * float(np.log10(loudest / 32768)) - below_db, rate=8_000, seed=7)


def test_what_comes_back_much_softer_than_it_was_said_is_an_echo_and_a_caller_is_not():
    clock = Clock()
    gate, voice = EchoGate(clock), noise(0.1, dbfs=-20, rate=8_000)
    echo, caller = at_level(voice, -38), noise(0.02, dbfs=-26, rate=8_000, seed=2)
    assert not gate.is_echo(echo)
    gate.said(voice, clock.now + 0.1)
    assert gate.is_echo(echo)
    assert not gate.is_echo(caller)
    clock.now += 1.0
    assert not gate.is_echo(echo)


def test_what_is_soft_in_a_callers_words_is_no_echo():
    clock = Clock()
    gate, voice = EchoGate(clock), noise(0.1, dbfs=-20, rate=8_000)
    consonant, vowel = at_level(voice, -45), noise(0.02, dbfs=-24, rate=8_000, seed=2)
    gate.said(voice, clock.now + 2.0)
    assert gate.is_echo(consonant)
    assert not gate.is_echo(vowel)
    clock.now += 0.2
    assert not gate.is_echo(consonant)
    clock.now += 0.2
    assert gate.is_echo(consonant)


@pytest.mark.parametrize("softer_db", [18, 25, 35])
def test_an_echo_is_never_taken_for_a_caller_however_long_we_speak(softer_db: int):
    line = Line()
    assert all(line.goes_on(1500, softer_db))


def test_where_nothing_comes_back_a_callers_softest_consonant_is_heard():
    line = Line()
    line.goes_on(400)
    assert not line.gate.is_echo(line.at(40))
    assert not any(line.goes_on(10))


def test_where_our_voice_comes_back_what_is_as_soft_as_that_is_not_heard_and_a_voice_is():
    line = Line()
    line.goes_on(400, 20)
    assert line.gate.is_echo(line.at(26))
    assert not line.gate.is_echo(line.at(10))


def test_an_echo_that_begins_in_the_middle_of_a_call_is_soon_known():
    line = Line()
    line.goes_on(400)
    begins = line.goes_on(50, 20)
    assert not all(begins)
    assert all(line.goes_on(1000, 20))
