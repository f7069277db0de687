"""From a Generation to facts: their order, what is held back, and how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from models.base import (
    CapacityError,
    ChatDone,
    ContextError,
    EngineError,
    Priority,
    ToolCallDelta,
    Usage,
    priority_of,
)
from server.core import events as e
from server.runtime.cascade import Cascade
from server.runtime.work import Work
from tests.runtime.engines import NamedVoices, ScriptedChat, ScriptedVoice

GENERATION = e.Generation(
    response_id="resp_1",
    messages=(e.ContextMessage("user", "Hello"),),
    tools=(),
    tool_choice="auto",
    max_output_tokens=None,
    temperature=None,
    modality="audio",
    voice="",
    language="en",
    speed=1.0,
    output_format=e.AudioFormat.PCM,
)


class Facts(list[e.Input]):
    """``speaking`` is set with the first piece of audio."""

    def __init__(self) -> None:
        super().__init__()
        self.speaking = asyncio.Event()

    async def add(self, fact: e.Input) -> None:
        self.append(fact)
        if isinstance(fact, e.ResponseAudio):
            self.speaking.set()

    def of(self, kind: type) -> list:  # type: ignore[type-arg]
        return [fact for fact in self if isinstance(fact, kind)]

    @property
    def story(self) -> list[str]:
        """Text, calls and the length of speech between them, in order."""
        rows: list[str] = []
        for fact in self:
            match fact:
                case e.ResponseText():
                    rows.append(fact.text)
                case e.ResponseAudio():
                    ms = fact.samples / 24
                    if rows and rows[-1].startswith("~"):
                        ms += float(rows.pop()[1:])
                    rows.append(f"~{ms:.0f}")
                case e.ResponseToolCall():
                    rows.append(f"{fact.name}({fact.arguments}{'.' if fact.done else ''}")
                case e.ResponseFinished():
                    rows.append("finished")
                case e.ResponseFailed():
                    rows.append(f"failed {fact.code}")
        return rows


async def make(chat: ScriptedChat, voice: ScriptedVoice, /, *, adopted: bool = True, **changes: object) -> Facts:
    facts = Facts()
    work = Work(replace(GENERATION, **changes))  # type: ignore[arg-type]
    if adopted:
        work.adopt()
    await Cascade(chat, voice, facts.add, lambda response, stage: None).run(work)
    return facts


async def test_words_and_speech_and_the_end():
    facts = await make(ScriptedChat("Yes, we", " are. ", "Come in."), ScriptedVoice())
    assert "".join(fact.text for fact in facts.of(e.ResponseText)) == "Yes, we are. Come in."
    assert sum(fact.samples for fact in facts.of(e.ResponseAudio)) == 5 * 2400
    assert facts[-1] == e.ResponseFinished("resp_1", e.TokenUsage(input_text=12, cached=3, output_text=5))


async def test_word_times_count_over_the_whole_message():
    facts = await make(ScriptedChat("Yes, we are. Come in."), ScriptedVoice())
    words = [word for fact in facts.of(e.ResponseAudio) for word in fact.words]
    assert [("Yes, we are. Come in."[: word.text_end], word.end) for word in words] == [
        ("Yes,", 2400),
        ("Yes, we", 4800),
        ("Yes, we are.", 7200),
        ("Yes, we are. Come", 9600),
        ("Yes, we are. Come in.", 12000),
    ]


async def test_a_call_comes_after_the_speech_before_it():
    chat = ScriptedChat(
        "One moment.",
        ToolCallDelta(0, "", id="call_1", name="look"),
        ToolCallDelta(0, '{"day": 1}'),
        ToolCallDelta(1, "{}", id="call_2", name="leap"),
    )
    facts = await make(chat, ScriptedVoice())
    assert facts.story == ["One moment.", "~200", "look(", 'look({"day": 1}', "look(.", "leap({}", "leap(.", "finished"]


async def test_words_behind_a_call_begin_a_new_message_on_a_new_clock():
    chat = ScriptedChat("One moment.", ToolCallDelta(0, "{}", id="call_1", name="look"), "There you are.")
    facts = await make(chat, ScriptedVoice())
    assert facts.story == ["One moment.", "~200", "look({}", "look(.", "There you are.", "~300", "finished"]
    assert [word.end for fact in facts.of(e.ResponseAudio) for word in fact.words] == [2400, 4800, 2400, 4800, 7200]


async def test_a_prepared_response_speaks_its_first_clause_only():
    facts, voice = Facts(), ScriptedVoice()
    work = Work(GENERATION)
    run = asyncio.create_task(
        Cascade(ScriptedChat("Yes of course, we are. Come in."), voice, facts.add, lambda *_: None).run(work)
    )
    await facts.speaking.wait()
    for _ in range(200):
        await asyncio.sleep(0)
    assert voice.said == ["Yes of course,"]
    work.adopt()
    await run
    assert voice.said == ["Yes of course,", "we are.", "Come in."]
    assert facts.story[-1] == "finished"


async def test_a_prepared_request_counts_as_confirmed_once_it_is_adopted():
    chat, facts, work = ScriptedChat("Yes of course, we are. Come in."), Facts(), Work(GENERATION)
    run = asyncio.create_task(Cascade(chat, ScriptedVoice(), facts.add, lambda *_: None).run(work))
    await facts.speaking.wait()
    urgency = chat.requests[0].priority
    assert priority_of(urgency) is Priority.PREPARED
    work.adopt()
    assert priority_of(urgency) is Priority.CONFIRMED
    await run


async def test_words_that_are_given_are_said_without_the_chat_model():
    chat, voice = ScriptedChat("Never."), ScriptedVoice()
    facts = await make(chat, voice, script="Sorry, once more.")
    assert facts.story == ["Sorry, once more.", "~300", "finished"]
    assert chat.requests == []


@pytest.mark.parametrize(("fails", "mute"), [("chat", False), ("voice", True)])
async def test_a_failure_says_whether_it_was_the_voice(fails: str, mute: bool):
    chat = ScriptedChat("Good day.", *([EngineError("chat", "gone")] if fails == "chat" else []))
    facts = await make(chat, ScriptedVoice(fails=fails == "voice"))
    assert facts.of(e.ResponseFailed)[0].mute is mute


@pytest.mark.parametrize(
    ("wanted", "language", "house", "speaks"),
    [
        ("house_a", "en", "house_b", "house_a"),
        ("house_a", "de", "", "de_1"),
        ("house_a", "de", "de_2", "de_2"),
        ("marin", "de", "de_2", "de_2"),
        ("", "en", "house_b", "house_b"),
        ("", "de", "nobody", "de_1"),
    ],
)
async def test_the_voice_follows_the_language_of_the_call(wanted: str, language: str, house: str, speaks: str):
    voice = NamedVoices("house_a/en", "house_b/en", "de_1/de", "de_2/de")
    await make(ScriptedChat("Good day."), voice, voice=wanted, language=language, house_voice=house)
    assert voice.speakers == [speaks]


async def test_text_is_not_spoken():
    voice = ScriptedVoice()
    facts = await make(ScriptedChat("Good day."), voice, modality="text")
    assert voice.said == []
    assert facts.story == ["Good day.", "finished"]


async def test_the_token_limit_is_told():
    facts = await make(ScriptedChat("Good", ChatDone("length", Usage(3, 1))), ScriptedVoice())
    assert facts.of(e.ResponseFinished)[0].incomplete == "max_output_tokens"


async def test_a_call_that_the_limit_cut_is_not_complete():
    chat = ScriptedChat(ToolCallDelta(0, '{"da', id="call_1", name="look"), ChatDone("length", Usage(3, 1)))
    facts = await make(chat, ScriptedVoice())
    assert not any(fact.done for fact in facts.of(e.ResponseToolCall))


@pytest.mark.parametrize(
    ("error", "code"),
    [(EngineError("scripted", "gone"), "engine_error"), (CapacityError("full"), "server_overloaded")],
)
async def test_a_failing_model_is_a_failed_response(error: Exception, code: str):
    voice = ScriptedVoice()
    facts = await make(ScriptedChat("Yes of course, we", error), voice)
    assert facts.story[-1] == f"failed {code}"


async def test_a_prompt_that_is_too_long_is_told_apart_from_a_failure():
    facts = await make(ScriptedChat(ContextError("scripted", "too long", tokens=2000)), ScriptedVoice())
    assert facts.of(e.ContextExceeded) == [e.ContextExceeded(GENERATION.response_id, "too long", 2000)]
    assert not facts.of(e.ResponseFailed)


async def test_a_failing_voice_ends_the_thinking_too():
    chat = ScriptedChat("Yes of course, we are open. Come in and see.")
    facts = await make(chat, ScriptedVoice(fails=True))
    assert facts.story[-1] == "failed engine_error"
    assert chat.closed == 1


async def test_cancelling_closes_both_engines():
    chat, voice, facts = ScriptedChat("Yes. No."), ScriptedVoice(stuck=True), Facts()
    work = Work(GENERATION)
    work.adopt()
    run = asyncio.create_task(Cascade(chat, voice, facts.add, lambda *_: None).run(work))
    await facts.speaking.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (chat.closed, voice.closed) == (1, 1)
    assert "finished" not in facts.story


async def test_history_reaches_the_model_with_its_calls_and_results():
    call = e.Item("item_1", e.ItemKind.FUNCTION_CALL, call_id="call_1", name="look", arguments="{}")
    messages = (
        e.ContextMessage("system", "Be brief."),
        e.ContextMessage("assistant", "One moment.", calls=(call,)),
        e.ContextMessage("tool", "sunny", call_id="call_1"),
    )
    chat = ScriptedChat("Sunny.")
    tools = (e.Tool("look", "Looks.", {"type": "object"}),)
    await make(chat, ScriptedVoice(), messages=messages, tools=tools, tool_choice="none", max_output_tokens=9)
    (request,) = chat.requests
    assert [(m.role, m.text) for m in request.messages] == [(m.role, m.text) for m in messages]
    assert request.messages[1].tool_calls[0].name == "look"
    assert request.messages[2].tool_call_id == "call_1"
    assert (request.tools[0].name, request.tool_choice, request.max_tokens) == ("look", "none", 9)


TOOL = e.Tool("look", "Looks.", {"type": "object", "properties": {"day": {"enum": ["friday"]}}, "required": ["day"]})


class MendingChat(ScriptedChat):
    """Says something else when it is asked again."""

    def __init__(self, *lines: object, then: list[object]) -> None:
        super().__init__(*lines)  # type: ignore[arg-type]
        self._then = then

    async def stream(self, request):  # type: ignore[no-untyped-def]
        if self.requests:
            self.lines = tuple(self._then)  # type: ignore[assignment]
        async for delta in super().stream(request):
            yield delta


async def test_a_filler_is_said_before_a_call_without_words():
    chat = ScriptedChat(ToolCallDelta(0, '{"day": "friday"}', id="call_1", name="look"))
    facts = await make(chat, ScriptedVoice(), tools=(TOOL,), fillers={"look": "One moment please."})
    assert facts.story == ["One moment please.", "~300", 'look({"day": "friday"}', "look(.", "finished"]


async def test_the_models_own_words_are_filler_enough():
    chat = ScriptedChat("Let me see.", ToolCallDelta(0, '{"day": "friday"}', id="call_1", name="look"))
    facts = await make(chat, ScriptedVoice(), tools=(TOOL,), fillers={"look": "One moment please."})
    assert facts.story[:2] == ["Let me see.", "~300"]


async def test_a_filler_is_not_written():
    chat = ScriptedChat(ToolCallDelta(0, '{"day": "friday"}', id="call_1", name="look"))
    facts = await make(chat, ScriptedVoice(), tools=(TOOL,), fillers={"look": "One moment."}, modality="text")
    assert facts.story[0].startswith("look(")


async def test_a_filler_is_ready_before_the_turn_is_over():
    facts, voice = Facts(), ScriptedVoice()
    chat = ScriptedChat(ToolCallDelta(0, '{"day": "friday"}', id="call_1", name="look"))
    work = Work(replace(GENERATION, tools=(TOOL,), fillers={"look": "One moment please."}))
    await Cascade(chat, voice, facts.add, lambda *_: None).run(work)
    assert facts.story == ["One moment please.", "~300", 'look({"day": "friday"}', "look(.", "finished"]


async def test_wrong_arguments_are_mended_by_the_model_before_anybody_sees_them():
    chat = MendingChat(
        ToolCallDelta(0, '{"day": "someday"}', id="call_1", name="look"),
        ToolCallDelta(1, '{"day": "friday"}', id="call_2", name="look"),
        then=[ToolCallDelta(0, '{"day": "friday"}', id="call_9", name="look")],
    )
    facts = await make(chat, ScriptedVoice(), tools=(TOOL,))
    assert facts.story == ['look({"day": "friday"}', "look(.", 'look({"day": "friday"}', "look(.", "finished"]
    assert [fact.call_id for fact in facts.of(e.ResponseToolCall)] == ["call_1", "call_1", "call_2", "call_2"]
    again = chat.requests[1]
    assert again.tool_choice == "look"
    assert again.messages[-2].tool_calls[0].arguments == '{"day": "someday"}'
    assert "not one of" in again.messages[-1].text


@pytest.mark.parametrize(
    "then", [["I cannot."], [EngineError("scripted", "gone")], [ToolCallDelta(0, "{", "c", "look")]]
)
async def test_arguments_that_stay_wrong_go_out_as_they_were(then: list[object]):
    chat = MendingChat(ToolCallDelta(0, '{"day": 1}', id="call_1", name="look"), then=then)
    facts = await make(chat, ScriptedVoice(), tools=(TOOL,))
    assert facts.story == ['look({"day": 1}', "look(.", "finished"]
    assert len(chat.requests) == 2


async def test_calls_without_arguments_are_not_mended():
    chat = ScriptedChat(ToolCallDelta(0, "", id="call_1", name="nap"))
    facts = await make(chat, ScriptedVoice(), tools=(e.Tool("nap", "", {"type": "object"}),))
    assert facts.story == ["nap(", "nap(.", "finished"]
    assert len(chat.requests) == 1


async def test_one_call_at_a_time_where_the_client_wants_it():
    chat = ScriptedChat(
        ToolCallDelta(0, '{"day": "friday"}', id="call_1", name="look"),
        ToolCallDelta(1, '{"day": "friday"}', id="call_2", name="look"),
    )
    facts = await make(chat, ScriptedVoice(), tools=(TOOL,), parallel_tool_calls=False)
    assert {fact.call_id for fact in facts.of(e.ResponseToolCall)} == {"call_1"}


async def test_a_servers_call_numbers_are_made_unique_in_the_session():
    cascade_facts = Facts()
    cascade = Cascade(
        ScriptedChat(ToolCallDelta(0, '{"day": "friday"}', id="call_0", name="look")),
        ScriptedVoice(),
        cascade_facts.add,
        lambda *_: None,
    )
    for number in (1, 2):
        work = Work(replace(GENERATION, response_id=f"resp_{number}", tools=(TOOL,)))
        work.adopt()
        await cascade.run(work)
    ids = [fact.call_id for fact in cascade_facts.of(e.ResponseToolCall) if fact.done]
    assert len(set(ids)) == 2
