"""Sessions that only listen, through the stock SDK: words as they are said, how sure they are, and never an answer."""

from __future__ import annotations

from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.e2e.conftest import Server
from tests.models.speech import speak

_LOGPROBS = ["item.input_audio_transcription.logprobs"]


def listening(**transcription: Any) -> dict[str, Any]:
    wanted = {"model": "whisper-1", "language": "en", **transcription}
    return {"type": "transcription", "audio": {"input": {"transcription": wanted}}, "include": _LOGPROBS}


async def test_a_session_that_transcribes_gives_words_and_their_log_probabilities(server: Server):
    async with server.caller(**listening(prompt="A call.", keywords=["Kammerton", "opening hours"])) as caller:
        updated = caller.of("session.updated")[-1].session
        assert updated.type == "transcription"
        assert updated.audio.input.transcription.keywords == ["Kammerton", "opening hours"]
        assert updated.include == _LOGPROBS
        since = caller.say(speak("What time do you open on Friday?"))
        completed = await caller.until("conversation.item.input_audio_transcription.completed", since)
        assert completed.transcript == "What time do you open on Friday?"
        assert "".join(token.token for token in completed.logprobs).strip() == completed.transcript
        assert b"".join(bytes(token.bytes) for token in completed.logprobs).decode().strip() == completed.transcript
        assert all(-5 < token.logprob <= 0 for token in completed.logprobs)
        deltas = caller.of("conversation.item.input_audio_transcription.delta", since)
        assert "".join(delta.delta for delta in deltas) == completed.transcript
        assert not caller.of("response.created")
        assert not caller.of("error")


async def test_log_probabilities_are_told_to_those_only_who_ask(server: Server):
    async with server.caller() as caller:
        since = caller.say(speak("Are you a real person?"))
        completed = await caller.until("conversation.item.input_audio_transcription.completed", since)
        assert completed.logprobs is None
        await caller.until("response.done", since)
        await caller.connection.session.update(session={"type": "realtime", "include": _LOGPROBS})
        since = caller.say(speak("Do you take insurance?"))
        completed = await caller.until("conversation.item.input_audio_transcription.completed", since)
        assert completed.logprobs
        await caller.until("response.done", since)


async def test_the_intent_of_the_address_makes_a_session_that_transcribes(server: Server):
    async with (
        AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="none") as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        created = await connection.recv()
        assert (created.type, created.session.type) == ("session.created", "transcription")
        await connection.response.create()
        refused = await connection.recv()
        assert (refused.type, refused.error.code) == ("error", "invalid_value")


@pytest.mark.parametrize(
    "keywords", ["Kammerton", ["x" * 129], [7], ["x"] * 257], ids=["text", "long", "number", "many"]
)
async def test_keywords_that_are_none_are_refused(server: Server, keywords: Any):
    async with server.caller() as caller:
        await caller.connection.session.update(session=listening(keywords=keywords))  # type: ignore[arg-type]
        refused = await caller.until("error")
        assert (refused.error.code, refused.error.param) == (
            "invalid_value",
            "session.audio.input.transcription.keywords",
        )
