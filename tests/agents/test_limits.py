"""Where the agent's own sentences take over from the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from models.base import (
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatRequest,
    ContextError,
    EngineError,
    TextDelta,
    Usage,
)
from server.agents.escalation import Watch
from server.agents.files import AgentFile
from server.agents.hearing import Heard
from server.agents.limited_model import LimitedModel
from server.agents.script import play
from server.runtime.tools import MemoryState

SCRIPT = {
    "failures": 2,
    "min_confidence": 0.5,
    "unclear": {"en": "Pardon?", "de": "Wie bitte?"},
    "start": "day",
    "states": {
        "day": {
            "say": {"en": "For which day?", "de": "Für welchen Tag?"},
            "slot": "day",
            "expect": {"friday": ["friday", "Freitag"], "monday": ["monday", "Montag"]},
            "next": "name",
        },
        "name": {"say": "Your name?", "slot": "name", "next": "end"},
        "end": {"say": "We will call you."},
    },
}


class Model:
    """Answers "Yes." unless it is told to fail, at once or in the middle."""

    name = "scripted"
    context = None

    def __init__(self) -> None:
        self.failures = 0
        self.failure = EngineError("scripted", "out of memory")
        self.late = False
        self.asked = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        self.asked += 1
        if self.late:
            yield TextDelta("Y")
        if self.failures:
            self.failures -= 1
            raise self.failure
        yield TextDelta("Yes.")
        yield ChatDone("stop", Usage(40, 10))

    async def warm(self, request: ChatRequest) -> None: ...
    async def close(self) -> None: ...


class Call:
    """A session of an agent, asked turn by turn."""

    def __init__(self, **agent: object) -> None:
        self.model = Model()
        self.state = MemoryState()
        self.heard = Heard()
        self.now = 0.0
        self.said: list[ChatMessage] = []
        file = AgentFile.model_validate({"instructions": "x", **agent})
        watch = Watch({}, self.heard)
        self.earlier_turns = 0
        self._limited = LimitedModel(self.model, {"": file}, "", self.state, self.heard, watch, lambda: self.now)

    def understood(self, confidence: float) -> None:
        """How well the next turn is heard."""
        self.heard.confidence = confidence

    async def say(self, text: str) -> str:
        self.heard.words = text
        return await self.type(text)

    async def type(self, text: str) -> str:
        """Words that no transcriber has heard."""
        self.said.append(ChatMessage("user", text))
        return await self.again()

    def forget(self, turns: int) -> None:
        """So many turns more no longer fit into what the model reads."""
        self.earlier_turns += turns
        del self.said[:turns]

    async def again(self) -> str:
        """The answer to the same turn: the first was prepared in vain."""
        request = ChatRequest(list(self.said), earlier_turns=self.earlier_turns)
        return "".join([delta.text async for delta in self._limited.stream(request) if isinstance(delta, TextDelta)])


def script(*heard: str, language: str = "en") -> tuple[str, dict[str, str], bool]:
    entry = AgentFile.model_validate({"instructions": "x", "script": SCRIPT}).script
    assert entry is not None
    line = play(entry, heard, language)
    return line.sentence, dict(line.slots), line.over


def test_a_script_goes_on_when_it_hears_what_it_expects() -> None:
    assert script() == ("For which day?", {}, False)
    assert script("well, hm") == ("For which day?", {}, False)
    assert script("on Friday please") == ("Your name?", {"day": "friday"}, False)
    assert script("am Freitag", language="de") == ("Your name?", {"day": "friday"}, False)
    assert script("friday", "Ann", "and more") == ("We will call you.", {"day": "friday", "name": "Ann"}, True)
    assert script(language="de")[0] == "Für welchen Tag?"


def test_a_script_keeps_what_is_dictated_as_it_is_written_and_asks_again_until_it_is() -> None:
    ask = {"say": "Your number?", "slot": "number", "take": "digits", "next": "end"}
    entry = AgentFile.model_validate(
        {"instructions": "Be brief.", "script": {"start": "ask", "states": {"ask": ask, "end": {"say": "Thank you."}}}}
    ).script
    assert entry is not None
    assert play(entry, ["one moment", "I cannot find it"], "en").sentence == "Your number?"
    assert play(entry, ["äh", "null drei, doppel eins"], "de").slots == {"number": "0311"}


async def test_a_model_that_fails_once_is_asked_again_and_the_caller_notices_nothing() -> None:
    call = Call(script=SCRIPT)
    call.model.failures = 1
    assert await call.say("Hello?") == "Yes."
    assert call.model.asked == 2


async def test_a_model_that_fails_twice_is_not_asked_any_more_and_the_slots_are_kept() -> None:
    call = Call(script=SCRIPT)
    call.model.failures = 2
    assert await call.say("Hello?") == "For which day?"
    assert await call.say("On Friday.") == "Your name?"
    assert await call.say("Ann.") == "We will call you."
    assert await call.state.all() == {"day": "friday", "name": "Ann."}
    assert call.model.asked == 2


async def test_what_was_heard_wrongly_in_a_turn_that_went_on_leaves_nothing() -> None:
    call = Call(script=SCRIPT)
    call.model.failures = 2
    await call.say("Hello?")
    assert await call.say("On Monday") == "Your name?"
    call.said[-1] = ChatMessage("user", "Hm")
    assert await call.again() == "For which day?"


async def test_an_answer_that_breaks_off_fails_and_counts() -> None:
    call = Call(script=SCRIPT)
    call.model.failures, call.model.late = 2, True
    for _ in range(2):
        with pytest.raises(EngineError):
            await call.say("Hello?")
    assert await call.say("Hello?") == "For which day?"


async def test_a_prompt_that_is_too_long_is_no_failure_of_the_model() -> None:
    call = Call(script=SCRIPT)
    call.model.failure = ContextError("scripted", "too long", tokens=9_000)
    for _ in range(3):
        call.model.failures = 1
        with pytest.raises(ContextError):
            await call.say("Hello?")
    assert await call.say("Hello?") == "Yes."


async def test_turns_that_the_model_no_longer_reads_count_and_are_not_lost_to_the_script() -> None:
    call = Call(script=SCRIPT, limits={"turns": 2})
    assert [await call.say("Hello?") for _ in range(2)] == ["Yes.", "Yes."]
    call.forget(1)
    assert await call.say("Hello?") == "For which day?"
    assert await call.say("On Friday.") == "Your name?"
    call.forget(3)
    assert await call.say("Ann.") == "We will call you."
    assert await call.state.all() == {"day": "friday", "name": "Ann."}


async def test_without_a_script_the_model_fails_as_it_does() -> None:
    call = Call()
    call.model.failures = 1
    with pytest.raises(EngineError):
        await call.say("Hello?")


async def test_a_turn_that_was_not_understood_is_asked_for_again_and_twice_in_a_row_is_enough() -> None:
    call = Call(script=SCRIPT)
    call.understood(0.2)
    call.heard.language = "de"
    assert await call.say("Wuff") == "Wie bitte?"
    assert await call.again() == "Wie bitte?"
    call.understood(0.9)
    assert await call.say("Hallo") == "Yes."
    call.understood(0.2)
    assert await call.say("Wuff") == "Wie bitte?"
    assert await call.say("Wuff wuff") == "Für welchen Tag?"
    call.understood(0.9)
    assert await call.say("Am Freitag") == "Your name?"


async def test_what_was_not_heard_but_typed_is_understood() -> None:
    call = Call(script=SCRIPT)
    call.understood(0.2)
    assert await call.say("Wuff") == "Pardon?"
    assert await call.type("...") == "Yes."
    assert await call.say("Wuff") == "Pardon?"


@pytest.mark.parametrize("limits", [{"turns": 2}, {"minutes": 2}, {"tokens": 100}], ids=["turns", "minutes", "tokens"])
async def test_over_a_limit_the_script_takes_over_or_the_goodbye_is_said(limits: dict[str, int]) -> None:
    for agent, told in (({"script": SCRIPT}, "For which day?"), ({"goodbye": "Bye."}, "Bye.")):
        call = Call(limits=limits, **agent)
        for _ in range(2):
            assert await call.say("Hello?") == "Yes."
            call.now += 60.5
        assert await call.say("Hello?") == told
        assert call.model.asked == 2


async def test_a_turn_that_is_prepared_often_is_one_turn() -> None:
    call = Call(limits={"turns": 1}, goodbye="Bye.")
    await call.say("Hello?")
    assert await call.again() == "Yes."
    assert await call.again() == "Yes."
    assert await call.say("Hello?") == "Bye."
