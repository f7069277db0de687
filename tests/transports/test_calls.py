"""A phone call over engines that do as they are told: what the carrier hears, and what the model reads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace

import pytest

from models.base import ToolCallDelta
from scripts.phone_line.twilio import TwilioEnd
from scripts.phone_line.wire import Clear, Mark, Play
from server.errors import VoiceError
from server.transports import courtesy
from server.transports.calls import CallState
from server.transports.carrier import Caller, Close, LineStarted
from server.transports.manners import Manners
from server.transports.twilio import TwilioCodec
from tests.transports.carrier_peer import HandLeg
from tests.transports.house import House, marks, play_all, sound, until, until_closed


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    await house.calls.close()


async def test_a_call_begins_with_the_greeting_in_whole_frames_each_marked(house: House):
    async with house.call() as leg:
        await leg.until(lambda said: sum(isinstance(command, Mark) for command in said) >= 2)
        assert house.tts.said == ["Good day."]
        assert len(set(marks(leg))) == len(marks(leg))
        assert all(len(play.samples) % 160 == 0 for play in leg.of(Play) if isinstance(play, Play))
        assert house.questions == []


async def test_typed_keys_up_to_the_hash_are_one_turn_of_the_caller(house: House):
    async with house.call() as leg:
        await leg.until(lambda said: len(said) >= 4)
        for digit in "4711#":
            leg.tell(leg.end.key(digit))
        request = await house.asked()
        assert [(m.role, m.text) for m in request.messages][-1] == ("user", "Keypad: 4711")
        await leg.until(lambda said: "Thank you." in house.tts.said)


async def test_typed_keys_without_a_hash_end_with_a_pause(house: House):
    async with house.call() as leg:
        await leg.until(lambda said: len(said) >= 4)
        for digit in "12":
            leg.tell(leg.end.key(digit))
        assert (await house.asked()).messages[-1].text == "Keypad: 12"


async def test_a_key_stops_an_answer_and_what_was_not_played_was_not_said():
    house = House(answer="one two three four five six seven eight nine ten")
    async with house.call() as leg:
        told: set[str] = set()
        await leg.until(lambda said: len(said) >= 4)
        play_all(leg, told)
        leg.tell(leg.end.key("1"), leg.end.key("#"))
        greeting = len(leg.of(Mark))
        await leg.until(lambda said: sum(isinstance(command, Mark) for command in said) >= greeting + 3)
        heard_marks = [name for name in marks(leg) if name not in told][:2]
        leg.tell(*map(leg.end.reached, heard_marks), leg.end.key("2"))
        await leg.until(lambda said: any(isinstance(command, Clear) for command in said))
        # The carrier gives back the marks that it threw away: they were not heard.
        play_all(leg, told | set(heard_marks))
        leg.tell(leg.end.key("#"))
        heard = [m.text for m in (await house.asked(2)).messages if m.role == "assistant"]
        assert heard == ["Good day.", "one"]
        leg.tell(leg.end.stop())


async def test_hanging_up_ends_the_call_for_good(house: House):
    async with house.call("CA1") as leg:
        await leg.until(lambda said: len(said) >= 2)
        assert house.calls.state("CA1") is CallState.LIVE
        leg.tell(leg.end.stop())
        await leg.closed.wait()
    await until(lambda: house.counts.closed == ["completed"])
    assert house.calls.state("CA1") is CallState.ENDED
    async with house.call("CA1") as again:
        await again.closed.wait()
    assert house.counts.refused == 1


async def test_a_lost_connection_is_resumed_with_the_conversation_and_a_word_about_it(house: House):
    async with house.call("CA1") as leg:
        await leg.until(lambda said: len(said) >= 4)
        told: set[str] = set()
        play_all(leg, told)
        for digit in "4711#":
            leg.tell(leg.end.key(digit))
        await house.asked()
    assert house.calls.state("CA1") is CallState.LIVE
    async with house.call("CA1") as leg:
        await leg.until(lambda said: len(said) >= 2)
        assert "We were cut off for a moment." in house.tts.said
        leg.tell(leg.end.key("5"), leg.end.key("#"))
        messages = (await house.asked(2)).messages
        assert [m.text for m in messages if m.role == "user"] == ["Keypad: 4711", "Keypad: 5"]
    assert house.counts.opened == ["twilio"]


async def test_a_lost_connection_that_nobody_resumes_ends_the_call(house: House):
    async with house.call("CA1") as leg:
        await leg.until(lambda said: len(said) >= 2)
    await until(lambda: house.calls.state("CA1") is CallState.ENDED)
    await until(lambda: house.counts.closed == ["lost"])


async def test_a_replayed_stream_is_refused_and_the_call_goes_on(house: House):
    async with house.call("CA1", "MZ1") as leg:
        await leg.until(lambda said: len(said) >= 2)
        async with house.call("CA1", "MZ1") as replay:
            await replay.closed.wait()
            assert replay.why == (Close.REFUSED, "this stream has begun before")
        assert house.counts.refused == 1
        for digit in "1#":
            leg.tell(leg.end.key(digit))
        await house.asked()
        assert house.calls.state("CA1") is CallState.LIVE


async def test_a_new_stream_of_a_call_takes_over_from_one_that_still_seems_alive(house: House):
    async with house.call("CA1") as old:
        await old.until(lambda said: len(said) >= 2)
        async with house.call("CA1") as new:
            await old.closed.wait()
            await new.until(lambda said: len(said) >= 2)
            assert house.calls.state("CA1") is CallState.LIVE


async def test_a_caller_who_says_nothing_is_asked_twice_and_bidden_goodbye():
    house = House(Manners(greeting="Good day.", silence_s=0.05))
    async with house.call() as leg:
        await until_closed(leg)
    assert house.tts.said == [
        "Good day.",
        "Are you still there?",
        "Are you still there?",
        "I can't hear anybody.",
        "Goodbye.",
    ]
    await until(lambda: house.counts.closed == ["silent"])


@pytest.mark.parametrize(
    ("warning_s", "warning"), [(60.0, "We have only a moment left."), (0.3, "We have one minute left.")]
)
async def test_the_longest_call_ends_after_a_warning(monkeypatch: pytest.MonkeyPatch, warning_s: float, warning: str):
    monkeypatch.setattr(courtesy, "WARNING_S", warning_s)
    house = House(Manners(greeting="Good day.", max_s=1.0))
    async with house.call() as leg:
        await until_closed(leg)
    assert house.tts.said[1] == warning
    assert house.tts.said[-1] == "Goodbye."
    await until(lambda: house.counts.closed == ["expired"])


async def test_when_all_places_are_taken_a_call_is_refused_and_the_others_go_on():
    house = House(limit=1)
    async with house.call() as first:
        await first.until(lambda said: len(said) >= 2)
        assert house.calls.refusal() == "All our lines are busy. Please call again later."
        async with house.call() as second:
            await second.closed.wait()
            assert second.why == (Close.FULL, "All 1 sessions of this server are in use; try again later.")
            assert sound(second)
            assert "All our lines are busy. Please call again later." in house.tts.said
        assert house.counts.refused == 1
        first.tell(first.end.key("1"), first.end.key("#"))
        await house.asked()
        first.tell(first.end.stop())


async def test_who_is_refused_is_told_in_the_language_of_the_agent_that_was_called():
    house = House(limit=1, agents=SimpleNamespace(language={"salon": "de"}.get))
    async with house.call() as first:
        await first.until(lambda said: len(said) >= 2)
        assert house.calls.refusal("salon").startswith("Alle Leitungen sind besetzt.")
        assert house.calls.phrases("salon").tag == "de-DE"
        assert house.calls.refusal("nobody").startswith("All our lines are busy.")
        first.tell(first.end.stop())


async def test_messages_that_cannot_be_taken_are_logged_with_a_reason_and_do_no_harm(
    house: House, caplog: pytest.LogCaptureFixture
):
    async with house.call() as leg:
        await leg.until(lambda said: len(said) >= 2)
        with caplog.at_level(logging.WARNING):
            leg.tell("nonsense", b"\x00", "x" * 70_000, leg.end.key("Z"))
            leg.tell(leg.end.key("1"), leg.end.key("#"))
            await house.asked()
    reasons = [getattr(record, "reason", "") for record in caplog.records]
    assert reasons[:4] == [
        "not JSON",
        "a binary frame; this carrier's messages are text",
        "longer than 65536 bytes",
        "'digit' is no key of a phone",
    ]


async def test_a_carrier_that_sends_nothing_but_nonsense_is_hung_up_on(house: House):
    async with house.call() as leg:
        await leg.until(lambda said: len(said) >= 2)
        leg.tell(*["nonsense"] * 100)
        await leg.closed.wait()
    await until(lambda: house.counts.closed == ["completed"])


@pytest.mark.parametrize(
    ("name", "arguments", "words", "number"),
    [
        ("end_call", "{}", "Thank you for calling.", ""),
        ("transfer_to_human", "{}", "I am connecting you.", "+49302"),
    ],
)
async def test_an_agent_ends_a_call_or_hands_it_on_when_its_last_words_were_heard(
    name: str, arguments: str, words: str, number: str
):
    house = House(answer=ToolCallDelta(0, arguments, "call_1", name))
    async with house.call("CA1") as leg:
        leg.tell(leg.end.key("1"), leg.end.key("#"))
        await until_closed(leg)
        assert words in house.tts.said
        assert house.calls.state("CA1") is CallState.ENDED
        assert house.calls.transfer_of("CA1") == number
        assert house.calls.transfer_of("CA1") == ""
    assert {tool.name for tool in (await house.asked()).tools} == {"end_call", "transfer_to_human"}


class _Carrier:
    """A carrier's REST API, which does what it is asked or raises this. begun: called when it is asked."""

    def __init__(self, error: VoiceError | None = None) -> None:
        self._error = error
        self.asked: list[str] = []
        self.news = asyncio.Event()
        self.begun: Callable[[], None] = lambda: None

    async def transfer(self, call_id: str, number: str) -> None:
        await self._take(f"{call_id} to {number}")

    async def hang_up(self, call_id: str) -> None:
        await self._take(f"{call_id} ends")

    async def _take(self, what: str) -> None:
        self.begun()
        self.asked.append(what)
        self.news.set()
        if self._error:
            raise self._error


HAND_ON = ToolCallDelta(0, "{}", "call_1", "transfer_to_human")
HANG_UP = ToolCallDelta(0, "{}", "call_1", "end_call")


async def test_a_call_is_handed_on_over_the_carriers_rest_api_once_the_last_words_were_heard():
    house, control = House(answer=HAND_ON), _Carrier()
    async with house.call("CA1", control=control) as leg:
        told: set[str] = set()
        unheard: list[set[str]] = []
        control.begun = lambda: unheard.append(set(marks(leg)) - told)
        leg.tell(leg.end.key("1"), leg.end.key("#"))
        await leg.until(lambda said: "I am connecting you." in house.tts.said and len(said) > 6)
        assert control.asked == []
        await until_closed(leg, told)
        assert control.asked == ["CA1 to +49302"]
        assert unheard == [set()]
    await until(lambda: house.counts.closed == ["transferred"])


async def test_a_caller_whom_the_carrier_does_not_hand_on_is_told_and_the_call_goes_on():
    house, control = House(answer=HAND_ON), _Carrier(VoiceError("status 404"))
    async with house.call("CA1", control=control) as leg:
        told: set[str] = set()
        leg.tell(leg.end.key("1"), leg.end.key("#"))
        async with asyncio.timeout(60):
            while not any("I could not connect you." in said for said in house.tts.said):
                play_all(leg, told)
                await asyncio.sleep(0.01)
        house.llm.lines = ("Gladly.",)
        leg.tell(leg.end.key("2"), leg.end.key("#"))
        await until(lambda: "Gladly." in house.tts.said)
        assert house.questions[-1].messages[-1].text == "Keypad: 2"
        assert house.calls.state("CA1") is CallState.LIVE
        assert house.calls.transfer_of("CA1") == ""
        leg.tell(leg.end.stop())


@pytest.mark.parametrize("error", [None, VoiceError("status 401")])
async def test_a_call_that_an_agent_ends_is_over_whatever_the_carriers_rest_api_says(error: VoiceError | None):
    house, control = House(answer=HANG_UP), _Carrier(error)
    async with house.call("CA1", control=control) as leg:
        leg.tell(leg.end.key("1"), leg.end.key("#"))
        await until_closed(leg)
    assert control.asked == ["CA1 ends"]
    assert house.calls.state("CA1") is CallState.ENDED


FAREWELL = "Thank you for calling. Goodbye."
ABSCHIED = "Danke für Ihren Anruf. Auf Wiederhören."


@pytest.mark.parametrize(
    ("language", "words", "deed", "own"),
    [
        ("en", "Have a nice day. Goodbye!", HANG_UP, ""),
        ("en", "It is booked.", HANG_UP, FAREWELL),
        ("en", "One moment, I will put you through.", HAND_ON, ""),
        ("en", "I cannot help with that.", HAND_ON, "One moment, please. I am connecting you."),
        ("de", "Danke für Ihren Anruf. Auf Wiederhören!", HANG_UP, ""),
        ("de", "Ihr Termin steht.", HANG_UP, ABSCHIED),
        ("de", "Einen Moment, ich verbinde Sie.", HAND_ON, ""),
        ("de", "Soll ich Sie verbinden?", HAND_ON, "Einen Moment bitte. Ich verbinde Sie."),
    ],
)
async def test_a_goodbye_or_a_transfer_is_announced_once(language: str, words: str, deed: ToolCallDelta, own: str):
    house = House(language=language)
    house.llm.lines = (words, deed)
    async with house.call("CA1") as leg:
        leg.tell(leg.end.key("1"), leg.end.key("#"))
        await until_closed(leg)
    assert " ".join(house.tts.said[1:]) == f"{words} {own}".strip()
    assert len(house.questions) == 1
    assert house.calls.state("CA1") is CallState.ENDED
    assert house.calls.transfer_of("CA1") == ("+49302" if deed is HAND_ON else "")


async def test_a_call_for_an_agent_that_does_not_exist_is_refused(house: House):
    async def for_nobody(started: LineStarted) -> Caller:
        return Caller("nobody")

    end = TwilioEnd("CA9", {})
    leg = HandLeg(TwilioCodec(), end)
    leg.tell(*end.hello())
    await house.calls.answer(leg, for_nobody)
    assert leg.why == (Close.REFUSED, "there is no agent 'nobody'")
    assert (house.counts.refused, house.calls.refusal()) == (1, "")
