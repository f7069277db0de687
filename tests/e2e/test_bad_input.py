"""Whatever a client sends wrong gets one clear error, and the session goes on."""

from __future__ import annotations

import base64
import json
import os
import signal
from typing import Any

import pytest
import websockets

from tests.e2e.conftest import Server
from tests.models.speech import speak


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, "event_id": "event_mine", **fields})


BAD = {
    "not JSON": ("{", "invalid_json", None),
    "binary": (b"\0\1", "invalid_event", None),
    "no type": ('{"event_id": "event_mine"}', "invalid_event", "type"),
    "unknown type": (event("session.explode"), "invalid_value", "type"),
    "audio missing": (event("input_audio_buffer.append"), "missing_required_parameter", "audio"),
    "audio not text": (event("input_audio_buffer.append", audio=7), "invalid_value", "audio"),
    "not base64": (event("input_audio_buffer.append", audio="@@@"), "invalid_value", "audio"),
    "odd bytes": (
        event("input_audio_buffer.append", audio=base64.b64encode(b"abc").decode()),
        "invalid_value",
        "audio",
    ),
    "over 15 MiB": (event("input_audio_buffer.append", audio="A" * (15 * 2**20 + 4)), "invalid_value", "audio"),
    "empty buffer": (event("input_audio_buffer.commit"), "input_audio_buffer_commit_empty", None),
    "unknown item": (
        event("conversation.item.delete", item_id="item_x"),
        "item_delete_invalid_item_id",
        "item_id",
    ),
    "nothing to cancel": (event("response.cancel"), "response_cancel_not_active", None),
    "other sample rate": (
        event(
            "session.update",
            session={"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
        ),
        "invalid_value",
        "session.audio.input.format.rate",
    ),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.replace(" ", "-"))
async def test_one_error_and_the_session_lives(server: Server, case: str):
    frame, code, param = BAD[case]
    url = server.base_url.replace("http", "ws") + "/v1/realtime"
    async with websockets.connect(url, max_size=None) as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"
        await socket.send(frame)
        await socket.send(json.dumps({"type": "input_audio_buffer.clear"}))
        error = json.loads(await socket.recv())
        assert (error["type"], error["error"]["code"], error["error"]["param"]) == ("error", code, param)
        assert error["error"]["message"]
        named = isinstance(frame, str) and "event_mine" in frame
        assert error["error"]["event_id"] == ("event_mine" if named else None)
        assert json.loads(await socket.recv())["type"] == "input_audio_buffer.cleared"


async def test_after_all_that_a_spoken_question_is_still_answered(server: Server):
    async with server.caller() as caller:
        for frame, _, _ in BAD.values():
            await caller.connection._connection.send(frame)
        turn = await caller.ask(speak("Are you a real person?"))
        assert turn.done.status == "completed"
        assert len(caller.of("error")) >= len(BAD) - 1


async def test_a_voice_worker_that_dies_fails_its_response_and_the_next_one_is_spoken(own_server: Server):
    async with own_server.caller() as caller:
        (worker,) = own_server.children()
        os.kill(worker, signal.SIGSTOP)
        since = caller.say(speak("Are you a real person?"))
        await caller.until("response.output_audio_transcript.delta", since)
        os.kill(worker, signal.SIGKILL)
        failed = (await caller.until("response.done", since)).response
        assert (failed.status, failed.status_details.error.code) == ("failed", "engine_error")
        turn = await caller.ask(speak("Do you take insurance?"))
        assert turn.done.status == "completed"
        assert turn.seconds > 0.5
