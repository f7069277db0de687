"""By voice, through the official SDK: ask, hear the filler, hear the answer that the server's tool gave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from models import catalog
from models.audio import rms_dbfs
from models.base import ToolSpec
from server.core import events as e
from server.core.tools import ToolPolicy
from server.core.turns import TurnPolicy
from server.policy.access import Access
from server.policy.keys import Keys
from server.policy.secrets import Secrets
from server.runtime.admission import Admission
from server.runtime.tools import Partial, Result, Toolbox, ToolCall, ToolContext, offered
from server.telemetry.metrics import Metrics
from server.transports.auth import Gate
from server.transports.base import DoorSettings
from server.transports.openai_realtime import router
from tests.e2e.call import Caller, Turn
from tests.models.speech import silence, speak
from tests.transports.http_server import serving

SPECS = {
    entry["function"]["name"]: ToolSpec(**entry["function"])
    for entry in json.loads(
        (Path(__file__).parents[2] / "models" / "bundled" / "llm" / "tiny" / "tools.json").read_text()
    )
}
FILLER = "One moment please, I will look that up for you."
QUESTION = "What time do you open on Friday?"


class Hours:
    """The opening hours, as ``answer`` gives them. asked: the days that were asked for."""

    def __init__(self, answer: Callable[[], Any], **policy: Any) -> None:
        self.spec = SPECS["get_opening_hours"]
        self.policy = ToolPolicy(filler={"en": FILLER}, **policy)
        self.asked: list[str] = []
        self.stopped = 0
        self._answer = answer

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        self.asked.append(str(call.arguments["day"]).lower())
        try:
            yield Result(await self._answer())
        except asyncio.CancelledError:
            self.stopped += 1
            raise


async def at_eleven() -> dict[str, str]:
    return {"day": "friday", "open": "11:00", "close": "19:00"}


@asynccontextmanager
async def salon(tmp_path: Path, tool: Hours, **session: object) -> AsyncIterator[tuple[Caller, Metrics]]:
    """A caller on a server whose engines are the bundled ones and whose only tool is this."""
    engines = catalog.load(catalog.resolve("tiny", tmp_path))
    metrics = Metrics("test")
    settings = DoorSettings(
        e.SessionConfig(
            instructions="You are the receptionist of a hair salon.",
            language="en",
            context_tokens=engines.llm.context,
            server_tools=(offered(tool),),
        ),
        TurnPolicy(),
        (metrics,),
        toolbox=lambda session_id: Toolbox(tools={tool.spec.name: tool}),
    )
    gate = Gate(Access(Keys(tmp_path / "keys.json", ""), Secrets()), [], lambda reason: None)
    try:
        door = router(engines, settings, Admission(2), metrics, gate)
        async with serving(door) as url, Caller(url, session) as caller:
            yield caller, metrics
    finally:
        for engine in (engines.vad, engines.stt, engines.llm, engines.tts):
            await engine.close()


async def report(caller: Caller, since: int) -> Any:
    """The response that follows the one with the call."""
    while len(caller.of("response.done", since)) < 2:
        await caller.until("response.done", len(caller.events))
    return caller.of("response.done", since)[1].response


async def test_ask_hear_the_filler_hear_the_answer(tmp_path: Path):
    tool = Hours(at_eleven)
    async with salon(tmp_path, tool) as (caller, metrics):
        since = caller.say(speak(QUESTION))
        first = (await caller.until("response.done", since)).response
        second = await report(caller, since)
        turn = Turn(caller, since)
        page = metrics.page()[0].decode()
    assert [item.type for item in first.output] == ["message", "function_call"]
    assert tool.asked == ["friday"]
    words = [event.transcript for event in caller.of("response.output_audio_transcript.done", since)]
    assert words[0]
    assert "11" in words[-1] or "eleven" in words[-1].lower(), words
    assert [item.type for item in second.output] == ["message"]
    assert -40 < rms_dbfs(turn.pcm) < -10
    kinds = [event.item.type for event in caller.of("conversation.item.done", since)]
    assert kinds == ["message", "message", "function_call", "function_call_output", "message"]
    assert 'kammerton_tool_calls_total{outcome="ok"} 1.0' in page
    assert caller.of("session.updated")[0].session.tools in (None, [])
    assert not caller.of("error")


async def test_whatever_a_tool_does_the_caller_hears_an_answer_and_the_call_goes_on(tmp_path: Path):
    async def broken() -> None:
        raise RuntimeError("no database")

    async def endless() -> None:
        await asyncio.Event().wait()

    async def garbage() -> object:
        return {"day": object()}

    async def huge() -> str:
        return "x" * 5_000_000

    troubles = {"error": broken, "timeout": endless, "bad_result": garbage, "too_large": huge}
    tool = Hours(lambda: trouble(), timeout_s=0.2)
    async with salon(tmp_path, tool) as (caller, metrics):
        caller.pace = 6.0
        for outcome in (*troubles, "invalid_arguments"):
            trouble = troubles.get(outcome, at_eleven)
            if outcome == "invalid_arguments":
                tool.spec = replace(tool.spec, parameters={"type": "object", "required": ["branch"]})
            since = caller.say(speak(QUESTION))
            [said] = (await report(caller, since)).output[0].content
            assert (said.transcript or said.text).startswith("I am sorry, our system does not answer"), outcome
            assert f'kammerton_tool_calls_total{{outcome="{outcome}"}} 1.0' in metrics.page()[0].decode()
            caller.say(silence(Turn(caller, since).seconds))
            # The first answer is heard out; what is written is there at once.
            await caller.connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        assert not caller.of("error")


async def test_speaking_over_the_filler_stops_the_tool(tmp_path: Path):
    async def never() -> None:
        await asyncio.Event().wait()

    tool = Hours(never, on_interrupt="cancel")
    async with salon(tmp_path, tool) as (caller, _):
        since = caller.say(speak(QUESTION))
        await caller.until("response.output_audio.delta", since)
        await caller.until("response.done", since)
        now = caller.say(speak("Are you a real person?"))
        await caller.until("response.done", now)
        outputs = [
            event.item.output
            for event in caller.of("conversation.item.done", since)
            if event.item.type == "function_call_output"
        ]
        assert caller.of("response.output_audio_transcript.done", now)
    assert tool.stopped == 1
    assert outputs == ['{"error": "cancelled, the caller went on speaking"}']


async def test_on_a_telephone_line_too(tmp_path: Path):
    audio = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}
    tool = Hours(at_eleven)
    async with salon(tmp_path, tool, audio=audio) as (caller, _):
        since = caller.say(speak(QUESTION, rate=8_000), 8_000)
        answer = await report(caller, since)
    assert tool.asked == ["friday"]
    assert answer.status == "completed"
