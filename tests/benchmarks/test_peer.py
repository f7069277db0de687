"""Pipecat's local pipeline answers the same client as our server does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from benchmarks.client import Caller, call
from benchmarks.peers.pipecat.process import PYTHON, run
from benchmarks.process import Server
from benchmarks.speech import speak

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="scripts/peer-env has not been run")

_TOOL: dict[str, Any] = {
    "type": "function",
    "name": "get_opening_hours",
    "description": "Opening hours for a day.",
    "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
}


@pytest.fixture(scope="module")
def peer() -> Iterator[Server]:
    with run("tuned", hold_ms=1500) as peer:
        yield peer


@pytest.fixture
async def caller(peer: Server) -> AsyncIterator[Caller]:
    session = {"instructions": "You are the receptionist of a hair salon.", "tools": [_TOOL]}
    async with call(peer.url, session) as caller:
        yield caller


async def until(caller: Caller, kind: str) -> dict[str, Any]:
    while (event := (await caller.next())[1])["type"] != kind:
        pass
    return event


async def test_a_spoken_question_is_answered_after_the_hold(caller: Caller) -> None:
    answer = await caller.ask(speak("Are you a real person?", "en-us"))
    assert caller.hold_ms == 1500
    assert "real person" in answer.transcript
    assert "AI" in answer.text
    assert answer.voice_to_voice is not None
    assert answer.voice_to_voice > 1500
    assert 0 < answer.stages["stt_final"] < answer.stages["llm_first_token"] < answer.stages["tts_first_audio"]


async def test_a_tool_is_the_clients(caller: Caller) -> None:
    await caller.say(speak("What time do you open on Friday?", "en-us"))
    asked = await until(caller, "response.function_call_arguments.done")
    assert (asked["name"], json.loads(asked["arguments"])) == ("get_opening_hours", {"day": "friday"})
    await until(caller, "response.done")
    result = json.dumps({"day": "friday", "open": "09:00", "close": "18:00"})
    item = {"type": "function_call_output", "call_id": asked["call_id"], "output": result}
    await caller.send({"type": "conversation.item.create", "item": item})
    await until(caller, "response.output_audio.delta")
    assert (await until(caller, "response.done"))["response"]["status"] == "completed"


async def test_words_stop_an_answer(caller: Caller) -> None:
    await caller.say(speak("Tell me a story.", "en-us"))
    await until(caller, "response.output_audio.delta")
    await caller.say(speak("Can I speak to a human, please?", "en-us"))
    await until(caller, "input_audio_buffer.speech_started")
    assert (await until(caller, "response.done"))["response"]["status"] == "cancelled"
    assert (await until(caller, "response.done"))["response"]["status"] == "completed"
