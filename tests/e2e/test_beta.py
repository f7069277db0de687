"""Applications written for the beta: the SDK's beta module, and clients that only their session gives away."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import websockets
from openai import AsyncOpenAI
from openai.resources.beta.realtime.realtime import AsyncRealtimeConnection

from models.audio import rms_dbfs
from tests.e2e.test_spoken_turns import TOOLS, words
from tests.models.speech import speak, with_silence
from tests.server_process import Server

NEW_NAMES = ("conversation.item.added", "conversation.item.done", "response.output_text", "response.output_audio")


@asynccontextmanager
async def beta(server: Server, **session: Any) -> AsyncIterator[AsyncRealtimeConnection]:
    """A configured connection of the SDK's beta module."""
    url = server.base_url.replace("http", "ws")
    async with (
        AsyncOpenAI(websocket_base_url=f"{url}/v1", api_key="sk-test", max_retries=0) as client,
        client.beta.realtime.connect(model="gpt-4o-realtime-preview") as connection,
    ):
        created = await connection.recv()
        assert created.type == "session.created"
        assert created.session.input_audio_format == "pcm16"
        await connection.session.update(session=session)  # type: ignore[arg-type]
        updated = await connection.recv()
        assert updated.type == "session.updated", updated
        yield connection


async def told(connection: AsyncRealtimeConnection, until: str = "response.done") -> list[Any]:
    """All events up to the first of this type, none of them by a name that beta does not have."""
    events: list[Any] = []
    async with asyncio.timeout(60):
        while not events or events[-1].type != until:
            events.append(await connection.recv())
    assert not [event for event in events if event.type.startswith(("error", *NEW_NAMES))]
    return events


async def speak_to(connection: AsyncRealtimeConnection, text: str) -> None:
    pcm = with_silence(speak(text, rate=24_000), after=1.0, rate=24_000)
    for start in range(0, len(pcm), 2400):
        audio = base64.b64encode(pcm[start : start + 2400].astype("<i2").tobytes()).decode()
        await connection.input_audio_buffer.append(audio=audio)


async def test_a_typed_question_is_answered_in_text(server: Server):
    async with beta(server, modalities=["text"], temperature=0.6) as connection:
        content = {"type": "input_text", "text": "Are you a real person?"}
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": [content]})  # type: ignore[list-item]
        (created,) = await told(connection, "conversation.item.created")
        assert created.item.role == "user"
        await connection.response.create()
        events = await told(connection)
        kinds = [event.type for event in events]
        assert kinds[:4] == [
            *("response.created", "response.output_item.added", "conversation.item.created"),
            "response.content_part.added",
        ]
        text = "".join(event.delta for event in events if event.type == "response.text.delta")
        answer = events[-1].response
        assert text
        assert (answer.status, answer.modalities, answer.output[0].content[0].type) == ("completed", ["text"], "text")
        assert answer.output[0].content[0].text == text


async def test_a_spoken_question_is_answered_in_speech(server: Server):
    async with beta(server, input_audio_transcription={"model": "whisper-1"}) as connection:
        await speak_to(connection, "Are you a real person?")
        events = await told(connection)
        kinds = [event.type for event in events]
        order = ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"]
        assert kinds[:4] == [*order, "input_audio_buffer.committed", "conversation.item.created"]
        heard = next(event for event in events if event.type.endswith("input_audio_transcription.completed"))
        assert words(heard.transcript) & {"real", "person"}
        deltas = [base64.b64decode(event.delta) for event in events if event.type == "response.audio.delta"]
        assert -40 < rms_dbfs(np.frombuffer(b"".join(deltas), np.int16)) < -10
        spoken = "".join(event.delta for event in events if event.type == "response.audio_transcript.delta")
        answer = events[-1].response
        assert (answer.modalities, answer.output_audio_format) == (["audio", "text"], "pcm16")
        assert answer.output[0].content[0].type == "audio"
        assert answer.output[0].content[0].transcript == spoken
        await connection.conversation.item.retrieve(item_id=answer.output[0].id)
        (retrieved,) = await told(connection, "conversation.item.retrieved")
        assert base64.b64decode(retrieved.item.content[0].audio) == b"".join(deltas)


async def test_a_tool_is_called_and_its_result_is_spoken(server: Server):
    async with beta(server, tools=TOOLS[:3]) as connection:
        await speak_to(connection, "What time do you open on Friday?")
        events = await told(connection)
        (call,) = [event for event in events if event.type == "response.function_call_arguments.done"]
        assert json.loads(call.arguments) == {"day": "friday"}
        (item,) = [entry for entry in events[-1].response.output if entry.type == "function_call"]
        assert (item.name, item.call_id) == ("get_opening_hours", call.call_id)
        output = json.dumps({"day": "friday", "open": "09:00", "close": "17:00"})
        await connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call.call_id, "output": output}
        )
        await told(connection, "conversation.item.created")
        await connection.response.create()
        events = await told(connection)
        assert [event for event in events if event.type == "response.audio.delta"]


@pytest.mark.parametrize(
    ("path", "protocols"),
    [
        ("/v1/realtime", ["realtime", "openai-insecure-api-key.k", "openai-beta.realtime-v1"]),
        ("/openai/realtime?api-version=2024-10-01-preview&deployment=mine", None),
    ],
    ids=["browser", "Azure"],
)
async def test_where_no_header_can_be_set_the_beta_is_found_too(server: Server, path: str, protocols: Any):
    url = server.base_url.replace("http", "ws") + path
    async with websockets.connect(url, subprotocols=protocols) as socket:
        assert json.loads(await socket.recv())["session"]["modalities"] == ["audio", "text"]


async def test_a_client_that_only_its_session_tells_apart_is_answered_in_beta_from_then_on(server: Server):
    async with websockets.connect(server.base_url.replace("http", "ws") + "/v1/realtime") as socket:
        assert json.loads(await socket.recv())["session"]["type"] == "realtime"
        await socket.send(json.dumps({"type": "session.update", "session": {"modalities": ["text"]}}))
        assert json.loads(await socket.recv())["session"]["modalities"] == ["text"]
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        assert json.loads(await socket.recv())["type"] == "conversation.item.created"


async def test_a_transcription_session_of_the_beta_transcribes(server: Server):
    url = server.base_url.replace("http", "ws") + "/v1/realtime?intent=transcription"
    async with websockets.connect(url, additional_headers={"OpenAI-Beta": "realtime=v1"}) as socket:
        assert json.loads(await socket.recv())["type"] == "transcription_session.created"
        session = {"input_audio_format": "pcm16", "input_audio_transcription": {"model": "whisper-1"}}
        await socket.send(json.dumps({"type": "transcription_session.update", "session": session}))
        updated = json.loads(await socket.recv())
        assert updated["type"] == "transcription_session.updated"
        assert updated["session"]["input_audio_transcription"] == {"model": "whisper-1"}
        pcm = with_silence(speak("Do you take insurance?", rate=24_000), after=1.0, rate=24_000)
        audio = base64.b64encode(pcm.astype("<i2").tobytes()).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        kinds: list[str] = []
        async with asyncio.timeout(60):
            while not kinds or not kinds[-1].endswith("transcription.completed"):
                event = json.loads(await socket.recv())
                kinds.append(event["type"])
        assert words(event["transcript"]) & {"insurance"}
        assert not [kind for kind in kinds if kind.startswith("response.")]
