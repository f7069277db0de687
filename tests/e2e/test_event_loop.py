"""The event loop never blocks: no callback of a working server computes for long, and no model runs on its thread."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai import AsyncOpenAI

from models.audio import write_wav
from tests.e2e.loop_watch import LIMIT, Watched, watched_server, watching
from tests.models.speech import silence, speak

QUESTION = "What time do you open on Friday?"
TOOLS: list[dict[str, Any]] = [
    {"type": "function", **entry["function"]}
    for entry in json.loads((Path(__file__).parents[2] / "models/bundled/llm/tiny/tools.json").read_text())
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Watched]:
    with watched_server(tmp_path) as watched:
        yield watched


def compute(calls: int) -> None:
    for number in range(calls):
        abs(number)


async def test_the_watch_sees_a_callback_that_computes_and_no_other() -> None:
    with watching(threading.get_ident()) as watched:
        asyncio.get_running_loop().call_soon(compute, 2 * LIMIT)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.to_thread(compute, 2 * LIMIT)
    assert [calls > LIMIT for _, calls in watched.long] == [True]
    assert "compute" in watched.long[0][0]
    assert watched.callbacks >= 2


async def test_spoken_turns_long_audio_and_files_never_hold_the_event_loop(server: Watched) -> None:
    speech = speak(QUESTION)
    long = np.concatenate([speech, silence(0.3)] * 20)
    file = io.BytesIO()
    write_wav(file, long, 16_000)
    async with (
        AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="sk-test", max_retries=0) as client,
        server.caller(tools=TOOLS) as one,
        server.caller() as other,
    ):
        asked, also = await asyncio.gather(one.ask(speech), other.ask(speech))
        assert asked.calls
        assert also.seconds > 0
        since = len(one.events)
        await one.connection.conversation.item.create(item=_recorded(long))
        added = await one.until("conversation.item.done", since)
        await one.connection.conversation.item.retrieve(item_id=added.item.id)
        await one.until("conversation.item.retrieved")
        heard = await client.audio.transcriptions.create(model="kammerton", file=("long.wav", file.getvalue()))
        spoken = await client.audio.speech.create(model="kammerton", voice="en_US", input="We are open. " * 40)
    assert "friday" in heard.text.lower()
    assert len(spoken.content) > 10_000
    assert server.callbacks > 500
    assert 0 < server.longest < LIMIT, server.long
    assert {"run", "encode", "generate"} <= server.elsewhere
    assert server.here == set()


def _recorded(pcm: np.ndarray[Any, np.dtype[np.int16]]) -> Any:
    """An item with audio at the wire's rate: what 16 kHz samples are there sounds half as fast again."""
    audio = base64.b64encode(pcm.tobytes()).decode()
    return {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
