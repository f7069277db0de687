"""Whoever speaks over an answer on the phone hears it fall silent, and go on if he only agreed."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from models.base import ToolCallDelta
from scripts.phone_line.wire import Clear, Mark, Play
from server.core.turns import TurnPolicy
from server.transports import courtesy
from tests.transports.carrier_peer import HandLeg
from tests.transports.house import QUICK, House, marks, play_all, until_closed
from tests.transports.test_call_sounds import LOUD, SILENT, Vad

ANSWER = " ".join(["word"] * 300)


def item_of(mark: str) -> str:
    return mark.partition(":")[0]


class Line:
    """A call in the middle of a long answer. The caller's time is that of the frames that are sent."""

    def __init__(self, house: House, leg: HandLeg) -> None:
        self.house, self.leg = house, leg
        self._numbers = itertools.count()

    def send(self, frame: bytes, count: int) -> None:
        for number in itertools.islice(self._numbers, count):
            self.leg.tell(self.leg.end.media(frame, number * 20))

    @property
    def cleared(self) -> list[int]:
        """Where among the server's commands it had everything thrown away."""
        return [at for at, command in enumerate(self.leg.commands) if isinstance(command, Clear)]

    async def until_cleared(self) -> None:
        await self.leg.until(lambda said: any(isinstance(command, Clear) for command in said))


@asynccontextmanager
async def answering(words: str, answer: str | ToolCallDelta = ANSWER) -> AsyncIterator[Line]:
    """words: what the transcriber hears whenever somebody speaks."""
    policy = TurnPolicy(interrupt_ms=96, pauses=True)
    house = House(QUICK, answer=answer, ears=Vad(words, -0.01), policy=policy)
    async with house.call() as leg:
        told: set[str] = set()
        await leg.until(lambda said: len(said) >= 4)
        play_all(leg, told)
        leg.tell(leg.end.key("1"), leg.end.key("#"))
        greeting = {item_of(name) for name in told}
        await leg.until(lambda said: any(isinstance(one, Mark) and item_of(one.name) not in greeting for one in said))
        yield Line(house, leg)
        leg.tell(leg.end.stop())


async def test_an_answer_goes_on_after_a_yes_and_nobody_is_asked():
    async with answering("Yes.") as line:
        item = item_of(marks(line.leg)[-1])
        line.send(LOUD, 8)
        await line.until_cleared()
        paused = len(line.leg.commands)
        assert not [one for one in line.leg.commands[line.cleared[0] :] if isinstance(one, Play)]
        line.send(SILENT, 8)  # the transcriber is asked after 96 ms, and answers before the turn is over
        await line.leg.until(lambda said: any(isinstance(one, Mark) for one in said[paused:]))
        later = [one.name for one in line.leg.commands[paused:] if isinstance(one, Mark)]
        assert set(map(item_of, later)) == {item}
        assert len(line.cleared) == 1
        assert len(line.house.questions) == 1


@pytest.mark.parametrize("words", ["Stop please.", ""])
async def test_an_answer_that_is_stopped_or_may_be_is_not_heard_again(words: str):
    async with answering(words) as line:
        item = item_of(marks(line.leg)[-1])
        line.send(LOUD, 8)
        await line.until_cleared()
        line.send(SILENT, 60)
        if words:
            assert (await line.house.asked(2)).messages[-1].text == words
            await line.leg.until(lambda said: any(isinstance(one, Play) for one in said[line.cleared[0] :]))
        later = [one.name for one in line.leg.commands[line.cleared[0] :] if isinstance(one, Mark)]
        assert item not in set(map(item_of, later))
        assert len(line.cleared) == 1


async def test_a_single_frame_that_sounds_like_speech_costs_a_moment():
    async with answering("Yes.") as line:
        line.send(LOUD, 1)
        line.send(SILENT, 20)
        await line.until_cleared()
        await line.leg.until(lambda said: any(isinstance(one, Play) for one in said[line.cleared[0] :]))
        assert len(line.house.questions) == 1


async def test_a_line_that_carries_nothing_any_more_does_not_keep_an_answer_paused():
    async with answering("Yes.") as line:
        line.send(LOUD, 2)
        await line.until_cleared()
        await line.leg.until(lambda said: any(isinstance(one, Play) for one in said[line.cleared[0] :]))
        assert len(line.house.questions) == 1


async def test_keys_pressed_into_a_pause_are_answered():
    async with answering("Yes.") as line:
        item = item_of(marks(line.leg)[-1])
        line.send(LOUD, 2)
        await line.until_cleared()
        paused = len(line.leg.commands)
        line.leg.tell(line.leg.end.key("7"), line.leg.end.key("#"))
        assert (await line.house.asked(2)).messages[-1].text == "Keypad: 7"
        line.send(SILENT, 20)
        await line.leg.until(lambda said: any(isinstance(one, Mark) for one in said[paused:]))
        assert item not in {item_of(one.name) for one in line.leg.commands[paused:] if isinstance(one, Mark)}


@pytest.mark.parametrize("frames", [2, 8])
async def test_a_connection_that_is_lost_in_a_pause_goes_on_with_a_word_about_it(frames: int):
    async with answering("Yes.") as line:
        item = item_of(marks(line.leg)[-1])
        line.send(LOUD, frames)
        await line.until_cleared()
        line.leg.tell(None)
        async with line.house.call("CA1") as again:
            await again.until(lambda said: sum(isinstance(one, Play) for one in said) > 3)
            assert "We were cut off for a moment." in line.house.tts.said
            assert item not in set(map(item_of, marks(again)))
            again.tell(again.end.stop())


@pytest.mark.parametrize(("tool", "number"), [("end_call", ""), ("transfer_to_human", "+49302")])
@pytest.mark.parametrize(("words", "said"), [("Yes.", 8), ("Yes.", 2), ("Stop please.", 8), ("", 200)])
async def test_a_call_ends_whatever_is_said_over_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tool: str, number: str, words: str, said: int
):
    monkeypatch.setattr(courtesy, "_LEAVE_S", 0.05)
    async with answering(words, ToolCallDelta(0, "{}", "call_1", tool)) as line:
        line.send(LOUD, said)
        await line.until_cleared()
        line.send(SILENT, 60)
        await until_closed(line.leg)
        assert line.house.calls.transfer_of("CA1") == number
