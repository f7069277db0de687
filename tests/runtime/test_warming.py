"""The model has read what every prompt of a call begins with, before the first question comes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from models.base import ChatRequest, EngineError, Priority
from server.core import events as e
from tests.runtime.engines import ScriptedChat
from tests.runtime.session import call

CONFIG = e.SessionConfig(instructions="You are Anna.", modality="text", turn_detection=None)
HOURS = e.Tool("hours", "When it is open.", {"type": "object"})


class Reader(ScriptedChat):
    """warmed: what it was to read ahead, and in turn ``done`` with. stuck: it never gets to the end of it."""

    def __init__(self, *, fails: bool = False, stuck: bool = False) -> None:
        super().__init__("Hello.")
        self.warmed: asyncio.Queue[ChatRequest] = asyncio.Queue()
        self.given_up = 0
        self._fails, self._stuck = fails, stuck

    async def warm(self, request: ChatRequest) -> None:
        self.warmed.put_nowait(request)
        if self._fails:
            raise EngineError(self.name, "it is being started again")
        try:
            if self._stuck:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise


def question(text: str) -> e.CreateItem:
    return e.CreateItem(
        None, e.Item("", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", text),)), None
    )


async def test_an_accepted_call_warms_what_its_first_prompt_begins_with():
    chat = Reader()
    own = e.ServerTool(e.Tool("book", "Books.", {"type": "object"}), e.ToolPolicy())
    config = replace(CONFIG, tools=(HOURS,), server_tools=(own,))
    async with call(chat, config) as (runner, client):
        warmed = await chat.warmed.get()
        await runner.receive(question("Hi"))
        await runner.receive(e.CreateResponse(None))
        await client.until(e.ResponseDone)
    [asked] = chat.requests
    assert warmed.priority is Priority.BACKGROUND
    assert [message.text for message in asked.messages] == ["You are Anna.", "Hi"]
    assert list(warmed.messages) == list(asked.messages[:1])
    assert list(warmed.tools) == list(asked.tools)
    assert {tool.name for tool in asked.tools} == {"hours", "book"}
    assert warmed.cache_key == asked.cache_key


async def test_new_instructions_or_tools_are_warmed_again_and_nothing_else_is():
    chat = Reader()
    async with call(chat, CONFIG) as (runner, _):
        for changes in ({"voice": "other"}, {"instructions": "You are Bert."}, {"speed": 1.5}, {"tools": (HOURS,)}):
            await runner.receive(e.UpdateSession(None, changes))
        warmed = [await chat.warmed.get() for _ in range(3)]
    assert [(request.messages[0].text, len(request.tools)) for request in warmed] == [
        ("You are Anna.", 0),
        ("You are Bert.", 0),
        ("You are Bert.", 1),
    ]
    assert chat.warmed.empty()


async def test_a_call_without_instructions_has_nothing_to_warm():
    chat = Reader()
    async with call(chat, e.SessionConfig(modality="text")) as (runner, _):
        await runner.receive(e.UpdateSession(None, {"voice": "other"}))
    assert chat.warmed.empty()


async def test_a_model_that_cannot_do_it_now_answers_all_the_same():
    chat = Reader(fails=True)
    async with call(chat, CONFIG) as (runner, client):
        await chat.warmed.get()
        await runner.receive(question("Hi"))
        await runner.receive(e.CreateResponse(None))
        await client.until(e.ResponseDone)
    [done] = [event for event in client.events if isinstance(event, e.ResponseDone)]
    assert done.response.status is e.ResponseStatus.COMPLETED


async def test_an_answer_does_not_wait_for_it_and_the_end_of_the_call_ends_it():
    chat = Reader(stuck=True)
    async with call(chat, CONFIG) as (runner, client):
        await chat.warmed.get()
        await runner.receive(question("Hi"))
        await runner.receive(e.CreateResponse(None))
        await client.until(e.ResponseDone)
        assert chat.given_up == 1
        await runner.receive(e.UpdateSession(None, {"instructions": "You are Bert."}))
        await chat.warmed.get()
    assert chat.given_up == 2


async def test_a_greeting_that_no_model_is_asked_for_leaves_it_alone():
    chat = Reader(stuck=True)
    async with call(chat, CONFIG) as (runner, client):
        await chat.warmed.get()
        await runner.receive(e.Say("Good morning."))
        await client.until(e.ResponseDone)
        assert chat.given_up == 0
    assert chat.requests == []
