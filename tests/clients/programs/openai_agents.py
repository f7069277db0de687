"""A call with the OpenAI Agents SDK for Python: RealtimeRunner over a WebSocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agents import FunctionTool, set_tracing_disabled
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession
from script import INSTRUCTIONS, Caller, Job, read_job, run


class AgentsCaller(Caller):
    """Behind a RealtimeSession."""

    session: RealtimeSession

    def __init__(self, job: Job) -> None:
        super().__init__("openai-agents", job)
        self.report.facts["tool_outputs"] = []

    def agent(self) -> RealtimeAgent[None]:
        """An agent with the job's tool."""
        tool = FunctionTool(
            name=self.job.tool["name"],
            description=self.job.tool["description"],
            params_json_schema=self.job.tool["parameters"],
            on_invoke_tool=self._run_tool,
            strict_json_schema=False,
        )
        return RealtimeAgent(name="receptionist", instructions=INSTRUCTIONS, tools=[tool])

    async def _run_tool(self, _: Any, arguments: str) -> str:
        self.turn.calls.append((self.job.tool["name"], json.loads(arguments)))
        return json.dumps(self.job.tool_result)

    async def type(self, text: str) -> None:
        await self.session.send_message(text)

    async def send(self, pcm: bytes) -> None:
        await self.session.send_audio(pcm)

    async def listen(self) -> None:
        """Until cancelled."""
        async for event in self.session:
            self._take(event)
            await self.noted()

    def _take(self, event: Any) -> None:
        match event.type:
            case "raw_model_event":
                self._take_raw(event.data)
            case "error":
                self.report.errors.append(str(event.error))
            case "audio":
                self.turn.audio += len(event.audio.data)
            case "audio_interrupted":
                self.interrupted = True
            case "history_updated":
                messages = [item for item in event.history if item.type == "message"]
                self.report.history = [(item.role, "".join(map(_words, item.content))) for item in messages]
            case "tool_end":
                self.report.facts["tool_outputs"].append(event.output)

    def _take_raw(self, event: Any) -> None:
        match event.type:
            case "raw_server_event":
                self.report.received[event.data["type"]] += 1
                if event.data["type"] == "error":
                    self.report.errors.append(str(event.data))
            case "error" if isinstance(event.error, Exception):
                self.report.dropped.append(str(event.error))
            case "exception":
                self.report.dropped.append(f"{event.context}: {event.exception}")
            case "transcript_delta":
                self.turn.said += event.delta
            case "input_audio_transcription_completed":
                self.turn.heard += event.transcript


def _words(part: Any) -> str:
    return getattr(part, "transcript", None) or getattr(part, "text", None) or ""


async def hand_over(caller: AgentsCaller) -> None:
    """Another agent takes over, with instructions and tools of its own."""
    updates = caller.report.received["session.updated"]
    await caller.session.update_agent(RealtimeAgent(name="manager", instructions="You are the manager."))
    await caller.until(lambda: caller.report.received["session.updated"] > updates, "the other agent")


async def main() -> None:
    set_tracing_disabled(True)
    caller = AgentsCaller(read_job())
    url = f"{caller.job.socket}/v1/realtime?model=kammerton"
    caller.session = await RealtimeRunner(caller.agent()).run(model_config={"url": url, "api_key": "sk-test"})
    async with caller.session:
        listening = asyncio.create_task(caller.listen())
        await caller.call()
        await hand_over(caller)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    caller.report.print()


run(main())
