"""The stand-in keeps to what is known of the real service: order of messages, interruptions, handles, closes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from models.audio import Pcm16
from tests.cloud.gemini_server import KEY, GeminiServer, Habits
from tests.cloud.gemini_turns import Call, Scene
from tests.models.speech import silence, speak

TYPED, NEW = "models/gemini-live-2.5-flash-native-audio", "models/gemini-3.8-live"
QUICK = 0.02
STORY = Scene("Once upon a time there was a king who lived in a castle far away from here.", heard="Tell me a story.")
SOUND = np.concatenate((silence(0.1), speak("Tell me a story."), silence(0.6)))


def talk_to(server: GeminiServer) -> connect:
    return connect(server.url, additional_headers={"x-goog-api-key": KEY}, max_size=None)


async def set_up(connection: ClientConnection, model: str = NEW, **setup: Any) -> None:
    await send(connection, setup={"model": model, **setup})
    assert "setupComplete" in await receive(connection)


async def send(connection: ClientConnection, **message: Any) -> None:
    await connection.send(json.dumps(message))


async def receive(connection: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await connection.recv())
    return found


async def hear(connection: ClientConnection, pcm: Pcm16) -> None:
    for start in range(0, len(pcm), 320):
        data = base64.b64encode(pcm[start : start + 320].astype("<i2").tobytes()).decode()
        await send(connection, realtimeInput={"audio": {"data": data, "mimeType": "audio/pcm;rate=16000"}})


def kind(message: Mapping[str, Any]) -> str:
    """What a message is about: for the model's content, which part of it."""
    (name,) = message.keys() - {"usageMetadata"}
    return next(iter(message[name])) if name == "serverContent" else name


async def until(connection: ClientConnection, last: str) -> list[dict[str, Any]]:
    """The messages up to the first of this kind."""
    messages = [await receive(connection)]
    while kind(messages[-1]) != last:
        messages.append(await receive(connection))
    return messages


async def closed(connection: ClientConnection) -> tuple[int, str]:
    """The code and reason of the connection's end."""
    with suppress(ConnectionClosed):
        while True:
            await connection.recv()
    assert connection.close_code is not None
    return connection.close_code, connection.close_reason or ""


@pytest.mark.parametrize(
    ("messages", "code", "words"),
    [
        ([{"clientContent": {}}], 1007, "first message must be a setup"),
        ([{"setup": {"model": NEW}}, {"setup": {"model": NEW}}], 1007, "setup was sent already"),
        ([{"setup": {"model": "models/none"}}], 1008, "models/none is not found"),
        ([{"setup": {"model": NEW, "voice": "x"}}], 1007, """Unknown name "voice" at 'setup': Cannot find field"""),
        (
            [{"setup": {"model": NEW, "tools": [{"functions": []}]}}],
            1007,
            "Unknown name \"functions\" at 'setup.tools[0]'",
        ),
        ([{"setup": {"model": NEW, "generation_config": {"response_modalities": ["SOUND"]}}}], 1007, "Invalid value"),
        ([{"setup": {"model": NEW, "generationConfig": {"responseModalities": ["TEXT"]}}}], 1007, "AUDIO only"),
        ([{"setup": {"model": NEW, "sessionResumption": {"handle": "h"}}}], 1007, "Invalid session resumption handle"),
        ([{"setup": {"model": NEW}}, {"realtimeInput": {"activityStart": {}}}], 1007, "Explicit activity control"),
        ([{"setup": {"model": NEW}}, {"clientContent": {"turnComplete": True}}], 1007, "invalid argument"),
        ([{"setup": {"model": TYPED}}, {"contextUpdate": {}}], 1008, "not implemented"),
        ([{"setup": {"model": TYPED}}, {"clientContent": {}, "toolResponse": {}}], 1007, "exactly one"),
        (
            [{"setup": {"model": NEW}}, {"toolResponse": {"functionResponses": [{"id": "a", "name": "b"}]}}],
            1007,
            "google.protobuf.Struct",
        ),
    ],
)
async def test_what_is_wrong_ends_the_connection_with_a_reason(messages: list[Any], code: int, words: str):
    async with GeminiServer([STORY]) as server, talk_to(server) as connection:
        for message in messages:
            await send(connection, **message)
        found, reason = await closed(connection)
    assert found == code
    assert words in reason


async def test_a_spoken_turn_is_told_in_the_services_order():
    async with GeminiServer([STORY], Habits(played=QUICK)) as server, talk_to(server) as connection:
        await set_up(connection, sessionResumption={}, inputAudioTranscription={}, outputAudioTranscription={})
        await hear(connection, SOUND)
        messages = await until(connection, "turnComplete")
        update = await receive(connection)
    kinds = [kind(message) for message in messages]
    once = list(dict.fromkeys(kinds))
    assert once[:1] == ["sessionResumptionUpdate"]
    assert [kind for kind in once if kind not in ("sessionResumptionUpdate", "outputTranscription")] == [
        "voiceActivity",
        "inputTranscription",
        "modelTurn",
        "generationComplete",
        "turnComplete",
    ]
    assert kinds.count("voiceActivity") == 2
    assert messages[-1]["usageMetadata"]["responseTokenCount"] > 0
    assert update["sessionResumptionUpdate"]["resumable"]


async def test_who_speaks_over_an_answer_ends_it_and_its_tool_calls():
    scenes = [Scene("{x}", heard="Look it up.", calls=(Call("look_up"),)), STORY]
    async with GeminiServer(scenes) as server, talk_to(server) as connection:
        await set_up(connection)
        await hear(connection, SOUND)
        called = await until(connection, "toolCall")
        await hear(connection, SOUND)
        cut = await until(connection, "turnComplete")
        await until(connection, "modelTurn")
        await hear(connection, SOUND)
        spoken_over = await until(connection, "turnComplete")
    ids = [call["id"] for call in called[-1]["toolCall"]["functionCalls"]]
    assert [message["toolCallCancellation"]["ids"] for message in cut if "toolCallCancellation" in message] == [ids]
    assert kind(cut[-2]) == kind(spoken_over[-2]) == "interrupted"
    assert "generationComplete" not in [kind(message) for message in cut]


async def test_without_interruptions_the_next_turn_waits():
    scenes = [STORY, Scene("The end.", heard="And then?")]
    async with GeminiServer(scenes, Habits(played=QUICK)) as server, talk_to(server) as connection:
        await set_up(
            connection, realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"}, inputAudioTranscription={}
        )
        await hear(connection, SOUND)
        await hear(connection, SOUND)
        first, second = await until(connection, "turnComplete"), await until(connection, "turnComplete")
    assert "interrupted" not in [kind(message) for message in first + second]
    assert "And" in [
        m["serverContent"]["inputTranscription"]["text"] for m in second if kind(m) == "inputTranscription"
    ]


async def test_a_handle_brings_the_conversation_back():
    async with GeminiServer([STORY], Habits(played=QUICK)) as server:
        async with talk_to(server) as connection:
            await set_up(connection, sessionResumption={})
            await send(connection, realtimeInput={"text": "Tell me a story."})
            await until(connection, "turnComplete")
            update = await receive(connection)
            await server.sessions[0].go_away(5)
            assert (await receive(connection))["goAway"] == {"timeLeft": "5s"}
        async with talk_to(server) as connection:
            handle = update["sessionResumptionUpdate"]["newHandle"]
            await set_up(connection, sessionResumption={"handle": handle})
    assert server.sessions[1].talk.words("user") == ["Tell me a story."]
    assert server.sessions[1].talk.words("model") == [STORY.says]


async def test_a_history_is_taken_in_before_the_first_turn():
    async with GeminiServer([STORY], Habits(played=QUICK)) as server, talk_to(server) as connection:
        await set_up(connection, historyConfig={"initialHistoryInClientContent": True})
        turns = [{"role": "user", "parts": [{"text": "Hello."}]}, {"role": "model", "parts": [{"text": "Good day."}]}]
        await send(connection, clientContent={"turns": turns, "turnComplete": True})
        await send(connection, realtimeInput={"text": "A story?"})
        messages = await until(connection, "turnComplete")
    assert [kind(message) for message in messages].count("generationComplete") == 1
    assert server.sessions[0].talk.words("user") == ["Hello.", "A story?"]
