"""What every chat model of the catalogue promises, on each one whose weights are on disk, and on vLLM."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.base import (
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatModel,
    ChatRequest,
    EngineError,
    Priority,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
)
from models.catalog import BUNDLED, entries, load_engine, profiles, resolve

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROFILES = {profile.entries["llm"].name: profile.name for profile in profiles().values()}
ON_DISK = [
    name
    for name, entry in entries().items()
    if entry.kind == "llm" and name in PROFILES and resolve(PROFILES[name], Path("nowhere")).models["llm"].on_disk
]
TOOLS = tuple(
    ToolSpec(tool["function"]["name"], tool["function"]["description"], tool["function"]["parameters"])
    for tool in json.loads((BUNDLED / "llm" / "tiny" / "tools.json").read_text())
)
VLLM = "receptionist-tiny on vllm"
HOURS = ChatMessage("user", "What time do you open on Friday?")
STUNDEN = ChatMessage("user", "Wann haben Sie am Freitag geöffnet?")
PERSON = ChatMessage("user", "Are you a real person?")


@pytest.fixture(scope="module", params=[*ON_DISK, VLLM])
def chat(request: pytest.FixtureRequest) -> Iterator[ChatModel]:
    if request.param == VLLM:
        yield request.getfixturevalue("vllm_chat")
        return
    model: ChatModel = load_engine(resolve(PROFILES[request.param], Path("nowhere")), "llm")
    yield model
    asyncio.run(model.close())


class Answer:
    """A stream read to its end, put together as a client does, its order checked."""

    def __init__(self, deltas: list[ChatDelta]) -> None:
        assert isinstance(deltas[-1], ChatDone), "a stream ends with ChatDone"
        self.done = deltas[-1]
        self.text = ""
        self.calls: list[ToolCall] = []
        for delta in deltas[:-1]:
            if isinstance(delta, TextDelta):
                self.text += delta.text
                continue
            assert isinstance(delta, ToolCallDelta), "nothing follows ChatDone"
            if delta.index == len(self.calls):
                assert delta.id
                assert delta.name
                self.calls.append(ToolCall(delta.id, delta.name, ""))
            assert delta.index == len(self.calls) - 1, "calls come one after the other"
            last = self.calls[-1]
            self.calls[-1] = ToolCall(last.id, last.name, last.arguments + delta.arguments)

    @property
    def called(self) -> list[tuple[str, dict[str, object]]]:
        return [(call.name, json.loads(call.arguments)) for call in self.calls]


async def ask(model: ChatModel, *messages: ChatMessage, tools: tuple[ToolSpec, ...] = TOOLS) -> Answer:
    return Answer([delta async for delta in model.stream(ChatRequest(messages, tools))])


def result(call: ToolCall, text: str) -> tuple[ChatMessage, ChatMessage]:
    return ChatMessage("assistant", "", (call,)), ChatMessage("tool", text, (), call.id)


async def test_there_is_a_chat_model_on_disk_to_hold_to_its_promises():
    assert "receptionist-tiny" in ON_DISK


@pytest.mark.parametrize("question", [HOURS, STUNDEN], ids=["english", "german"])
async def test_a_question_for_a_tool_yields_the_call_and_no_words_of_it(chat: ChatModel, question: ChatMessage):
    answer = await ask(chat, question)
    assert answer.called == [("get_opening_hours", {"day": "friday"})]
    assert answer.done.finish_reason == "tool_calls"
    assert re.fullmatch(r"[\w-]{1,32}", answer.calls[0].id)
    assert "opening_hours" not in answer.text
    assert not set('<>{}"') & set(answer.text)


@pytest.mark.parametrize(
    ("question", "values"),
    [(HOURS, ("nine", "six")), (STUNDEN, ("neun", "achtzehn"))],
    ids=["english", "german"],
)
async def test_the_tools_result_is_spoken_in_the_callers_language(
    chat: ChatModel, question: ChatMessage, values: tuple[str, ...]
):
    call = (await ask(chat, question)).calls[0]
    answer = await ask(chat, question, *result(call, '{"day": "friday", "open": "09:00", "close": "18:00"}'))
    assert answer.calls == []
    assert answer.done.finish_reason == "stop"
    assert all(value in answer.text for value in values), answer.text
    assert ("Freitag" if question is STUNDEN else "Friday") in answer.text


async def test_small_talk_calls_nothing(chat: ChatModel):
    answer = await ask(chat, PERSON)
    assert answer.calls == []
    assert "AI" in answer.text
    assert answer.text == answer.text.strip()


async def test_the_same_question_gets_the_same_answer_without_temperature(chat: ChatModel):
    assert (await ask(chat, PERSON)).text == (await ask(chat, PERSON)).text


async def test_two_streams_at_once_do_not_mix(chat: ChatModel):
    alone = await ask(chat, HOURS), await ask(chat, PERSON)
    together = await asyncio.gather(ask(chat, HOURS), ask(chat, PERSON), ask(chat, HOURS), ask(chat, PERSON))
    for at, answer in enumerate(together):
        assert (answer.text, answer.called) == (alone[at % 2].text, alone[at % 2].called)


async def test_usage_counts_tokens(chat: ChatModel):
    usage = (await ask(chat, PERSON)).done.usage
    longer = (await ask(chat, PERSON, ChatMessage("assistant", "Yes."), PERSON)).done.usage
    assert 0 < usage.prompt < longer.prompt
    assert 0 < usage.completion < 100
    assert 0 <= usage.cached < usage.prompt


async def test_a_closed_stream_is_over_and_the_model_goes_on(chat: ChatModel):
    stream = chat.stream(ChatRequest([PERSON], TOOLS))
    await anext(stream)
    await stream.aclose()
    assert [delta async for delta in stream] == []
    assert (await ask(chat, PERSON)).text


async def test_a_stream_that_is_never_read_costs_nothing(chat: ChatModel):
    stream = chat.stream(ChatRequest([PERSON], TOOLS))
    assert inspect.isasyncgen(stream)
    await stream.aclose()
    assert (await ask(chat, PERSON)).text


async def test_a_warmed_prompt_changes_no_answer(chat: ChatModel):
    system = ChatMessage("system", "You are Anna, the phone assistant of Salon Bella in Berlin.")
    cold = await ask(chat, system, HOURS)
    await chat.warm(ChatRequest([system], TOOLS, priority=Priority.BACKGROUND))
    warm = await ask(chat, system, HOURS)
    assert (warm.text, warm.called) == (cold.text, cold.called)


async def test_a_request_that_cannot_be_met_is_an_engine_error_and_the_model_goes_on(chat: ChatModel):
    with pytest.raises(EngineError) as refused:
        await ask(chat, ChatMessage("user", "hello there " * 20_000))
    assert refused.value.engine == chat.name
    assert not refused.value.retryable
    assert (await ask(chat, PERSON)).text
