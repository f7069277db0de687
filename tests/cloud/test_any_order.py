"""Whatever a provider says, in whatever order, and whatever a client asks meanwhile: the session goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

import orjson
import pytest

from server.cloud.link import Pool
from server.cloud.openai_events import _READERS
from server.cloud.uplink import Patience
from server.core import events as e
from server.runtime.tools import Result
from tests.cloud.clock_tool import Clock, with_tool
from tests.cloud.stand_in import Door, session_over
from tests.cloud.test_pool import Socket

KINDS = sorted({*_READERS, "session.updated", "error"})
SPOKEN = {"type": "audio", "transcript": "One two."}
WRITTEN = {"type": "text", "text": "One two."}
SILENT = {"type": "input_audio", "transcript": None}
TYPED = e.Item("", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", "Hello."),))


def item_id(random: Random) -> str:
    return f"item_{random.randrange(4)}"


def item(random: Random) -> dict[str, Any]:
    role = random.choice(["user", "assistant"])
    return {
        "id": item_id(random),
        "type": random.choice(["message", "message", "function_call", "function_call_output"]),
        "role": role,
        "status": random.choice(["in_progress", "completed", "incomplete"]),
        "content": random.choice([[], [SILENT]] if role == "user" else [[], [SPOKEN], [WRITTEN], [SPOKEN, WRITTEN]]),
        "name": "tell_time",
        "call_id": f"call_{random.randrange(2)}",
        "arguments": random.choice(["{}", "{"]),
        "output": "noon",
    }


def frame(random: Random) -> dict[str, Any]:
    """An event of the API with all that any event may hold."""
    return {
        "type": random.choice(KINDS),
        "item_id": item_id(random),
        "response_id": f"resp_{random.randrange(3)}",
        "output_index": random.randrange(3),
        "content_index": 0,
        "previous_item_id": random.choice([None, item_id(random)]),
        "audio_start_ms": random.randrange(5000),
        "audio_end_ms": random.randrange(5000),
        "delta": random.choice(["AAAA", "AAAAAAAA"]),
        "transcript": random.choice(["One two.", ""]),
        "text": "One two.",
        "call_id": f"call_{random.randrange(2)}",
        "arguments": "{}",
        "part": random.choice([SPOKEN, WRITTEN]),
        "item": item(random),
        "response": {
            "id": f"resp_{random.randrange(3)}",
            "status": random.choice(["in_progress", "completed", "cancelled", "failed", "incomplete"]),
            "conversation_id": random.choice(["conv_there", None]),
            "output": [item(random) for _ in range(random.randrange(3))],
        },
        "error": {
            "code": random.choice(["conversation_already_has_active_response", "invalid_value", "session_expired"]),
            "param": random.choice([None, "session.voice", "response.input", "item.id"]),
            "event_id": random.choice([None, *(f"kammerton_{number}" for number in range(10))]),
        },
    }


def asked(random: Random) -> e.Input:
    """What a client or a door may want."""
    return random.choice(
        [
            e.Say("Hello.", random.choice([True, False])),
            e.CreateItem("event_1", TYPED, random.choice([None, "root", item_id(random)])),
            e.DeleteItem("event_1", item_id(random)),
            e.RetrieveItem("event_1", item_id(random)),
            e.TruncateItem("event_1", item_id(random), 0, random.randrange(5000)),
            e.CreateResponse("event_1"),
            e.CancelResponse(None),
            e.CommitAudio("event_1", 0),
            e.ClearAudio("event_1", 0),
            e.UpdateSession("event_1", {"speed": 1.1}),
            e.Played(item_id(random), random.randrange(50_000)),
            e.KeyPressed("1"),
            e.KeysTyped("12"),
            e.LineLost(),
        ]
    )


class Sockets:
    """Dials. made: the sockets so far."""

    def __init__(self) -> None:
        self.made: list[Socket] = []
        self.first = asyncio.Event()

    async def __call__(self, url: str, headers: Mapping[str, str]) -> Socket:
        self.made.append(Socket())
        # A provider that refuses the session as a whole ends it.
        self.made[-1].incoming.put_nowait('{"type": "session.updated"}')
        self.first.set()
        return self.made[-1]


@pytest.mark.parametrize("seed", range(10))
async def test_a_session_goes_on(seed: int) -> None:
    random = Random(seed)
    tool = Clock(Result("noon"), on_interrupt=random.choice(["cancel", "finish"]))
    tool.go.set()
    config, toolbox = with_tool(tool)
    sockets, door = Sockets(), Door()
    # A line may be cut at every step.
    patience = Patience((0.0,) * 1000)
    runner = session_over(Pool(sockets, 0), door, config, toolbox, patience=patience)
    running = asyncio.create_task(runner.run())
    await sockets.first.wait()
    for _ in range(200):
        match random.choices(["frame", "asked", "sound", "cut"], [20, 5, 2, 1])[0]:
            case "frame":
                sockets.made[-1].incoming.put_nowait(orjson.dumps(frame(random)).decode())
            case "asked":
                await asyncio.wait_for(runner.receive(asked(random)), 60)
            case "sound":
                await runner.append(b"\0\0" * 2400)
            case "cut":
                sockets.made[-1].abort()
        for _ in range(8):
            await asyncio.sleep(0)
        assert not running.done(), await running
    await asyncio.wait_for(runner.receive(e.RetrieveItem("last", "item_9")), 60)
    assert door.of(e.Error)[-1].event_id == "last"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
