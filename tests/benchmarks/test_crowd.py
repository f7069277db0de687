"""Callers in several processes live through the same as in one: a small server that answers after 200 ms of silence."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from benchmarks import crowd, results
from benchmarks.dialects.base import Setup, Target
from benchmarks.dialects.openai import OpenAi
from benchmarks.peer import Peer

RATE, LOUD, HOLD_PIECES = 24_000, 500, 10
TONE = base64.b64encode(np.full(RATE // 10, 3000, "<i2").tobytes()).decode()


async def answer(connection: ServerConnection) -> None:
    """One call: silence after something loud is the end of a turn."""

    async def say(kind: str, **fields: Any) -> None:
        await connection.send(json.dumps({"type": kind, **fields}))

    assert connection.request is not None
    path = connection.request.path
    if path == "/full":
        await connection.close(1013, "no place")
    speaking, quiet, answers = False, 0, 0
    async for message in connection:
        event = json.loads(message)
        if event["type"] == "session.update":
            detection = {"type": "server_vad", "silence_duration_ms": HOLD_PIECES * 20}
            await say("session.updated", session={"audio": {"input": {"turn_detection": detection}}})
        if event["type"] != "input_audio_buffer.append":
            continue
        loud = np.abs(np.frombuffer(base64.b64decode(event["audio"]), "<i2").astype(int)).max() > LOUD
        speaking, quiet = speaking or loud, 0 if loud else quiet + 1
        if speaking and quiet == HOLD_PIECES:
            speaking, answers = False, answers + 1
            if path == "/breaks":
                await connection.close(1011, "it broke")
                return
            name = f"r{answers}"
            await say("response.created", response={"id": name})
            await say("response.output_audio.delta", response_id=name, item_id=name, delta=TONE)
            usage = {"input_token_details": {"audio_tokens": 1}}
            await say("response.done", response={"id": name, "status": "completed", "usage": usage})
            await say("conversation.item.input_audio_transcription.completed", transcript="")


@pytest.fixture
async def peer() -> AsyncIterator[Callable[[str], Peer]]:
    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]

        def at(path: str) -> Peer:
            target = Target(f"ws://127.0.0.1:{port if path else 1}/{path}")
            return Peer(target, OpenAi, results.Server("x", "openai", target.url), None, Setup())

        yield at


async def test_every_caller_of_every_process_is_counted_with_what_it_cost(
    peer: Callable[[str], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "CALLERS_A_PROCESS", 2)
    with crowd.process_pool(4) as pool:
        taken = await crowd.talk(peer("call"), crowd.Load(callers=4, turns=1), pool)
    assert len(taken.turns) == 4
    assert len({turn.reference for turn in taken.turns}) == 4
    assert not taken.errors
    assert all(not turn.lost and turn.beyond_hold_ms is not None for turn in taken.turns)
    assert taken.cpu_s > 0
    assert len(taken.late_s) > 4 * 50
    assert taken.ready is not None
    assert taken.ready.hold_ms == 200


async def test_a_call_that_breaks_off_keeps_its_turns_and_says_why(peer: Callable[[str], Peer]) -> None:
    taken = await crowd.talk(peer("breaks"), crowd.Load(callers=1, turns=2), None)
    assert [turn.lost for turn in taken.turns] == [True]
    [error] = taken.errors
    assert "1011" in error
    assert "it broke" in error
    assert taken.turns[-1].errors == [error]


async def test_a_server_without_a_place_says_so(peer: Callable[[str], Peer]) -> None:
    taken = await crowd.talk(peer("full"), crowd.Load(callers=1, turns=1), None)
    [error] = taken.errors
    assert error.startswith("the session was not opened: ")
    assert "no place" in error


async def test_callers_who_are_not_let_in_are_lost_with_the_reason(peer: Callable[[str], Peer]) -> None:
    taken = await crowd.talk(peer(""), crowd.Load(callers=2, turns=1), None)
    assert taken.turns == []
    assert [error.partition(":")[0] for error in taken.errors] == ["no connection"] * 2
