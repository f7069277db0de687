"""Callers who go to a human: by their own words, by the model's choice, or because the agent gets no further."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.base import ChatMessage, ChatRequest, EngineError, ToolCall, ToolCallDelta, ToolSpec
from scripts.phone_line.twilio import TwilioEnd
from server.agents.escalation import TOOL, TransferToHuman, Watch
from server.agents.files import EscalationEntry
from server.agents.hearing import Heard
from server.agents.library import Role
from server.core import events as e
from server.core.events import SessionConfig
from server.core.turns import TurnPolicy
from server.errors import SettingsError
from server.runtime.admission import Admission
from server.runtime.text_agent import TextAgent
from server.runtime.tool_runner import ToolRunner
from server.runtime.tools import MemoryLedger, Result, Toolbox
from server.runtime.tools import ToolCall as Call
from server.transports.base import DoorSettings
from server.transports.calls import Calls
from server.transports.carrier import Caller, LineStarted
from server.transports.phone_tools import PhoneTools, equip
from server.transports.twilio import TwilioCodec
from tests.agents.calls import context
from tests.agents.test_calls_of_agents import SCRIPT, Model, ask, handed, role, write
from tests.agents.test_library import BOOKING, ROUTER, library
from tests.runtime.session import Client, call
from tests.transports.carrier_peer import HandLeg
from tests.transports.house import QUICK, House, until, until_closed

TABLE = """
[escalation]
to = "human"
say = { en = "I am connecting you.", de = "Ich verbinde Sie." }
elsewhere = { en = "A colleague will be with you.", de = "Eine Kollegin kommt gleich." }
words = ["a human", "Mensch"]
"""
BY_MODEL = ToolCallDelta(0, '{"reason": "a complaint"}', id="call_1", name=TOOL)


def agent(folder: Path, model: Model, more: str = "", script: str = "") -> Role:
    return role(write(folder, ROUTER + TABLE + more + script), "router", model)


def told(client: Client) -> list[dict[str, Any]]:
    """What the client was told in ``response.kammerton``."""
    done = [event.response for event in client.events if isinstance(event, e.ResponseDone)]
    return [dict(view.facts["escalation"]) for view in done if "escalation" in view.facts]


def fact(trigger: str, reason: str = "") -> dict[str, Any]:
    return {"agent": "router", "to": "human", "trigger": trigger, "reason": reason or trigger, "transferred": False}


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("Let me talk to A HUMAN, please.", "A colleague will be with you."),
        ("Ich will mit einem Mensch sprechen!", "A colleague will be with you."),
        ("Is this a humane place?", "Yes."),
    ],
)
async def test_who_asks_for_a_human_by_a_word_of_the_list_gets_one(tmp_path: Path, words: str, answer: str) -> None:
    model = Model("Yes.")
    cast = agent(tmp_path, model)
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert await ask(runner, client, words) == answer
        asked_for = answer != "Yes."
        assert told(client) == ([fact("words")] if asked_for else [])
        outputs = [event.item.output for event in client.events if isinstance(event, e.ItemDone) and event.item.output]
        assert outputs == (['{"status":"a human has been asked for"}'] if asked_for else [])
    assert bool(model.asked) is not asked_for


async def test_the_model_may_decide_it_and_the_call_goes_on_meanwhile(tmp_path: Path) -> None:
    model = Model(BY_MODEL, "We open at nine.", BY_MODEL)
    cast = agent(tmp_path, model)
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        for _ in range(2):
            assert await ask(runner, client, "I want to complain.") == "A colleague will be with you."
            assert told(client) == [fact("model", "a complaint")]
            if len(model.asked) == 1:
                assert await ask(runner, client, "When do you open?") == "We open at nine."
    assert TOOL in [tool.name for tool in model.asked[0].tools]


async def test_a_model_that_may_not_decide_it_does_not_see_the_tool(tmp_path: Path) -> None:
    model = Model("Yes.")
    cast = agent(tmp_path, model, "by_model = false\n")
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert await ask(runner, client, "Hello?") == "Yes."
        assert await ask(runner, client, "A human!") == "A colleague will be with you."
    for seen in (*model.asked, *model.warmed):
        assert [tool.name for tool in seen.tools] == ["hand_over_to_booking"]


async def test_a_model_that_fails_twice_brings_a_human_in_and_then_the_script(tmp_path: Path) -> None:
    failure = EngineError("scripted", "out of memory")
    cast = agent(tmp_path, Model(failure, failure, failure), "failures = 2\n", SCRIPT)
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert await ask(runner, client, "Hello?") == "A colleague will be with you."
        assert told(client) == [fact("failures")]
        assert await ask(runner, client, "Are you there?") == "For which day?"
        assert told(client) == []


async def test_tools_that_fail_in_a_row_bring_a_human_in_and_their_calls_do_not_count_for_it(tmp_path: Path) -> None:
    broken = [ToolCallDelta(0, '{"service": 5}', id=f"call_{number}", name="get_price") for number in range(4)]
    booking = BOOKING.replace("a_turn = 2", "a_turn = 3") + TABLE + "failures = 2\n"
    # Wrong arguments are given back to the model once, before they count.
    cast = role(write(tmp_path, booking=booking), "booking", Model(*broken, "It costs 25 euros."))
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert await ask(runner, client, "How much is a haircut?") == "A colleague will be with you."
        assert [fact["trigger"] for fact in told(client)] == ["failures"]
        assert await ask(runner, client, "How much is it?") == "It costs 25 euros."


async def test_over_a_limit_a_human_is_asked_for_once_and_then_goodbye_is_said(tmp_path: Path) -> None:
    limits = ROUTER + 'goodbye = "Goodbye."\nlimits.turns = 1\n' + TABLE + "limits = true\n"
    cast = role(write(tmp_path, limits), "router", Model("Yes."))
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert await ask(runner, client, "Hello?") == "Yes."
        assert await ask(runner, client, "And now?") == "A colleague will be with you."
        assert told(client) == [fact("limit")]
        assert await ask(runner, client, "And now?") == "Goodbye."


def request(*words: str, tools: Sequence[str] = (TOOL,), choice: str = "auto", done: bool = False) -> ChatRequest:
    messages = [ChatMessage("user", text) for text in words]
    if done:
        messages.insert(1, ChatMessage("assistant", "", (ToolCall("c", TOOL, "{}"),)))
    specs = [ToolSpec(name, "", {}) for name in tools]
    return ChatRequest(messages, specs, choice, agent="router")


def watch(heard: Heard, **table: object) -> Watch:
    return Watch({"router": EscalationEntry.model_validate({"say": "Yes.", **table})}, heard)


def test_turns_that_were_not_understood_count_by_their_place() -> None:
    heard = Heard()
    table = watch(heard, misunderstandings=2, min_confidence=0.5)
    heard.confidence, heard.words = 0.3, "x"
    # The first turn is prepared twice, and the second one was clear.
    assert [table.due(request("x"), 0, None) for _ in range(2)] == [None, None]
    heard.confidence, heard.words = 0.9, "y"
    assert table.due(request("x", "y"), 0, None) is None
    heard.confidence, heard.words = 0.3, "z"
    assert table.due(request("x", "y", "z"), 0, None) is None
    # Nothing was said, so that nothing was misunderstood.
    assert table.due(request("x", "y", "z", "..."), 0, None) is None
    # The first three turns no longer fit into the request.
    assert table.due(replace(request("z"), earlier_turns=3), 0, None) == "misunderstandings"


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        (request("human"), "words"),
        (request("human", choice="required"), "words"),
        (request("human", choice="none"), None),
        (request("human", tools=["other"]), None),
        (request("human", done=True), None),
        (request("human", "human", done=True), "words"),
        (request("hello", "hello", done=True), None),
        (request("hello"), "limit"),
        (request(), "limit"),
    ],
)
def test_it_is_set_off_where_the_tool_can_be_called_and_has_not_been(asked: ChatRequest, due: str | None) -> None:
    assert watch(Heard(), words=["human"], limits=True).due(asked, 0, "turns") == due


async def test_each_agent_has_its_own_and_one_without_has_none(tmp_path: Path) -> None:
    model = Model(handed("booking", '{"service": "haircut"}'), "For which day?", "Sorry?", handed("router"), "Yes?")
    cast = agent(tmp_path, model)
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert await ask(runner, client, "A haircut.") == "For which day?"
        assert await ask(runner, client, "A human!") == "Sorry?"
        assert await ask(runner, client, "I changed my mind.") == "Yes?"
        assert await ask(runner, client, "A human!") == "A colleague will be with you."


async def test_a_chat_client_is_answered_with_it_too(tmp_path: Path) -> None:
    cast = agent(tmp_path, Model())
    text = TextAgent(cast.config, cast.engines.llm, cast.toolbox, "chat_1")
    asked = ChatRequest([ChatMessage("user", "Give me a human.")])
    words = [delta.text async for delta in text.stream(asked) if hasattr(delta, "text")]
    assert "".join(words) == "A colleague will be with you."


def test_whom_a_call_goes_to_must_be_known_where_there_are_phones(tmp_path: Path) -> None:
    write(tmp_path, ROUTER + TABLE.replace('to = "human"', 'to = "boss"'))
    with pytest.raises(SettingsError, match="'boss' is no name in phone") as caught:
        library(tmp_path)
    assert "router.toml:9: escalation.to: 'boss' is no name in phone.transfers: human" in str(caught.value)


def test_what_the_tool_is_called_cannot_be_taken_by_another(tmp_path: Path) -> None:
    tools = 'from server.agents.python_tools import tool\n@tool()\nasync def transfer_to_human() -> str:\n    "x"\n'
    write(tmp_path, f'{ROUTER}{TABLE}[[tools]]\npython = "own.py"\n')
    (tmp_path / "own.py").write_text(tools)
    with pytest.raises(SettingsError, match="escalation: this agent has a tool transfer_to_human already"):
        library(tmp_path)


async def test_a_call_is_written_down(tmp_path: Path) -> None:
    cast = agent(tmp_path, Model())
    outcomes: list[tuple[str, str]] = []
    finish = cast.toolbox.ledger.finish

    async def note(key: str, outcome: str, output: str, seconds: float) -> None:
        outcomes.append((outcome, json.loads(output)["status"]))
        await finish(key, outcome, output, seconds)

    cast.toolbox.ledger.finish = note  # type: ignore[method-assign]
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        await ask(runner, client, "A human!")
    assert outcomes == [("ok", "a human has been asked for")]


class Office(House):
    """A house of phones whose calls the agents of a folder take."""

    def __init__(self, folder: Path, llm: Model, numbers: dict[str, str]) -> None:
        super().__init__()
        self.llm = llm  # type: ignore[assignment]
        door = DoorSettings(SessionConfig(), TurnPolicy(), agents=library(folder))
        tools = PhoneTools(end_call=True, transfers=numbers)
        self.calls = Calls(self, door, QUICK, Admission(4), self.counts, tools)  # type: ignore[arg-type]

    async def admit(self, started: LineStarted) -> Caller:
        return Caller("router")


@pytest.mark.parametrize(
    ("numbers", "words", "number"),
    [
        ({"human": "+49302", "billing": "+49303"}, "I am connecting you.", "+49302"),
        ({"billing": "+49303"}, "A colleague will be with you.", ""),
    ],
)
async def test_on_the_phone_the_call_is_handed_on_when_the_sentence_was_heard(
    tmp_path: Path, numbers: dict[str, str], words: str, number: str
) -> None:
    write(tmp_path, ROUTER + TABLE.replace('"Mensch"', '"Keypad: 0"'))
    office = Office(tmp_path, Model("Yes."), numbers)
    end = TwilioEnd("CA1", {})
    leg = HandLeg(TwilioCodec(), end)
    answering = asyncio.create_task(office.calls.answer(leg, office.admit))
    leg.tell(*end.hello())
    leg.tell(end.key("0"), end.key("#"))
    if number:
        await until_closed(leg)
    else:
        await until(lambda: words in office.tts.said)
    leg.tell(None)
    await answering
    await office.calls.close()
    assert words in office.tts.said
    assert office.calls.transfer_of("CA1") == number


async def test_what_can_be_done_with_a_phone_call_stays_after_a_hand_off(tmp_path: Path) -> None:
    write(tmp_path)
    # The line is lost in the end, and what has not been heard by then is said once more.
    llm = Model(handed("booking", '{"service": "haircut"}'), *["For which day?"] * 2)
    office = Office(tmp_path, llm, {"human": "+49302"})
    end = TwilioEnd("CA1", {})
    leg = HandLeg(TwilioCodec(), end)
    answering = asyncio.create_task(office.calls.answer(leg, office.admit))
    leg.tell(*end.hello())
    leg.tell(end.key("1"), end.key("#"))
    await until(lambda: "For which day?" in office.tts.said)
    leg.tell(None)
    await answering
    await office.calls.close()
    phone = ["end_call", TOOL]
    assert [[tool.name for tool in asked.tools] for asked in llm.asked[:2]] == [
        ["hand_over_to_booking", *phone],
        ["get_price", "hand_over_to_router", *phone],
    ]


async def test_who_calls_again_has_this_call_ended_though_nobody_knows_how_the_last_one_ended() -> None:
    ledger = MemoryLedger()
    left: list[str] = []
    for session_id in ("sess_1", "sess_2"):
        toolbox = Toolbox(ledger=ledger, scope="+49 30 1234")
        _, own = equip(SessionConfig(), toolbox, PhoneTools(end_call=True), left.append, transfers=False)
        facts: asyncio.Queue[e.Input] = asyncio.Queue()
        runner = ToolRunner(session_id, own, facts.put, lambda: 0.0)
        runner.start(e.RunTool("call_1", "end_call", "{}", "resp_1", "", "en"))
        ended = await facts.get()
        assert isinstance(ended, e.ToolFinished)
        assert (ended.outcome, ended.say) == (e.ToolOutcome.OK, "Thank you for calling. Goodbye.")
        runner.close()
    assert left == ["", ""]


@pytest.mark.parametrize(
    ("language", "said", "by_phone", "repeats"),
    [
        ("en", "One moment, I will put you through.", True, True),
        ("de", "Einen Moment, ich verbinde Sie.", True, True),
        ("de", "Einen Moment, bitte.", True, False),
        # Nobody is called: what the model has promised does not come.
        ("de", "Einen Moment, ich verbinde Sie.", False, False),
    ],
)
async def test_who_was_told_of_the_transfer_is_not_told_twice(
    language: str, said: str, by_phone: bool, repeats: bool
) -> None:
    entry = EscalationEntry(
        say={"en": "I am connecting you.", "de": "Ich verbinde Sie."}, elsewhere="A colleague comes."
    )
    around = replace(context(language), transfer=lambda to: by_phone)
    asked = Call("call_1", TOOL, {"reason": "x"}, "deed", "resp_1", said=said)
    [result] = [piece async for piece in TransferToHuman({"reception": entry}).run(asked, around)]
    assert isinstance(result, Result)
    assert result.repeats is repeats
    assert result.say == (entry.say[language] if by_phone else "A colleague comes.")
