"""A call with LiveKit Agents: an AgentSession over the OpenAI plugin's RealtimeModel, with a microphone and a speaker
of its own instead of a room."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, function_tool, llm, utils
from livekit.agents.voice import io
from livekit.plugins import openai
from livekit_log import collect_dropped
from script import GREETING, INSTRUCTIONS, RATE, Caller, Job, read_job, run


class Microphone(io.AudioInput):
    """What the caller says, frame by frame."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self.frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    async def __anext__(self) -> rtc.AudioFrame:
        return await self.frames.get()


class Speaker(io.AudioOutput):
    """Plays in real time, to nobody."""

    def __init__(self, caller: LiveKitCaller) -> None:
        super().__init__(label="speaker", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=RATE)
        self._caller = caller
        self._captured = 0.0
        self._started: float | None = None
        self._ending: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self._started is None:
            self._started = asyncio.get_running_loop().time()
        self._captured += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._started is not None and self._ending is None:
            loop = asyncio.get_running_loop()
            self._ending = loop.call_at(self._started + self._captured, self._finish, False)

    def clear_buffer(self) -> None:
        if self._started is not None:
            self._finish(True)

    def _finish(self, interrupted: bool) -> None:
        assert self._started is not None
        played = min(self._captured, asyncio.get_running_loop().time() - self._started)
        if self._ending is not None:
            self._ending.cancel()
        self._captured, self._started, self._ending = 0.0, None, None
        self._caller.stopped(interrupted)
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


class LiveKitCaller(Caller):
    """Behind an AgentSession."""

    def __init__(self, job: Job) -> None:
        super().__init__("livekit-plugins-openai", job)
        self._notes: set[asyncio.Task[None]] = set()
        self.source = Microphone()
        self.model = openai.realtime.RealtimeModel(base_url=f"{job.url}/v1", api_key="sk-test")
        self.session: AgentSession[None] = AgentSession(llm=self.model, vad=None)
        self.session.input.audio = self.source
        self.session.output.audio = Speaker(self)
        self.session.on("user_input_transcribed", self._heard)
        self.session.on("error", lambda event: self.report.errors.append(str(event.error)))

    def agent(self) -> Agent:
        """An agent with the job's tool."""
        schema = {name: value for name, value in self.job.tool.items() if name != "type"}
        return Agent(instructions=INSTRUCTIONS, tools=[function_tool(self._run_tool, raw_schema=schema)])

    async def _run_tool(self, raw_arguments: dict[str, Any]) -> str:
        self.turn.calls.append((self.job.tool["name"], raw_arguments))
        return json.dumps(self.job.tool_result)

    async def type(self, text: str) -> None:
        self.session.generate_reply(user_input=text)

    async def send(self, pcm: bytes) -> None:
        self.source.frames.put_nowait(rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2))

    def take(self, event: dict[str, Any]) -> None:
        """A server event, as it came. LiveKit may cancel twice, and expects to be told so."""
        self.report.received[event["type"]] += 1
        if event["type"] == "response.output_audio_transcript.delta":
            self.turn.said += event["delta"]
        elif event["type"] == "response.output_audio.delta":
            self.turn.audio += len(base64.b64decode(event["delta"]))
        elif event["type"] == "error" and event["error"]["code"] != "response_cancel_not_active":
            self.report.errors.append(str(event))
        self._note()

    def stopped(self, interrupted: bool) -> None:
        """The speaker has fallen silent."""
        self.interrupted |= interrupted
        self._note()

    def _heard(self, event: Any) -> None:
        if event.is_final:
            self.turn.heard += event.transcript
            self._note()

    def _note(self) -> None:
        task = asyncio.create_task(self.noted())
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)


async def interrupt(caller: LiveKitCaller) -> None:
    """Ask for an answer and stop it as soon as it has begun."""
    created, done = (caller.report.received[f"response.{name}"] for name in ("created", "done"))
    await caller.type(GREETING)
    await caller.until(lambda: caller.report.received["response.created"] > created, "an answer to stop")
    await caller.session.interrupt()
    await caller.until(lambda: caller.report.received["response.done"] > done, "the end of the stopped answer")


async def edit_history(caller: LiveKitCaller, realtime: Any) -> None:
    """Put a message in front of all others and take one out; the plugin waits until the server has done so."""
    wanted = realtime.chat_ctx.copy()
    wanted.add_message(role="system", content="The caller is called Maria.", created_at=0)
    removed = next(item for item in wanted.items if item.type == "message" and item.role == "user")
    wanted.items.remove(removed)
    await realtime.update_chat_ctx(wanted)
    caller.report.facts["wanted"] = [item.id for item in wanted.items]
    caller.report.facts["order"] = [item.id for item in realtime.chat_ctx.items]


async def reconnect(caller: LiveKitCaller) -> None:
    """A session that is renewed after a while: the plugin replays its whole history, calls and all, and goes on."""
    model = openai.realtime.RealtimeModel(base_url=f"{caller.job.url}/v1", api_key="sk-test", max_session_duration=1.5)
    realtime = model.session()
    realtime.on("openai_server_event_received", caller.take)
    history = llm.ChatContext()
    history.add_message(role="user", content="What time do you open on Friday?")
    call = {"call_id": "call_1", "name": caller.job.tool["name"]}
    history.items.append(llm.FunctionCall(**call, arguments='{"day": "friday"}'))
    history.items.append(llm.FunctionCallOutput(**call, output=json.dumps(caller.job.tool_result), is_error=False))
    history.add_message(role="assistant", content="From nine to five.")
    await realtime.update_chat_ctx(history)
    renewed = asyncio.Event()
    realtime.on("session_reconnected", lambda _: renewed.set())
    await asyncio.wait_for(renewed.wait(), 60)
    answer = await realtime.generate_reply(instructions=INSTRUCTIONS)
    async for message in answer.message_stream:
        caller.report.facts["after_renewal"] = "".join([str(words) async for words in message.text_stream])
    caller.report.facts["replayed"] = [item.type for item in realtime.chat_ctx.items]
    await realtime.aclose()
    await model.aclose()


async def try_urls(caller: LiveKitCaller) -> None:
    """Every base URL that the plugin knows how to make an endpoint of."""
    caller.report.facts["urls"] = []
    for path in ("", "/v1", "/openai", "/openai/v1"):
        model = openai.realtime.RealtimeModel(base_url=caller.job.url + path, api_key="sk-test")
        realtime = model.session()
        opened = asyncio.Event()
        realtime.on("openai_server_event_received", lambda _, opened=opened: opened.set())
        await asyncio.wait_for(opened.wait(), 60)
        caller.report.facts["urls"].append(path)
        await realtime.aclose()
        await model.aclose()


async def main() -> None:
    caller = LiveKitCaller(read_job())
    collect_dropped(caller.report.dropped)
    agent = caller.agent()
    await caller.session.start(agent, record=False)
    realtime = agent.realtime_llm_session
    realtime.on("openai_server_event_received", caller.take)
    await caller.call()
    messages = [item for item in agent.chat_ctx.items if item.type == "message" and item.role != "system"]
    caller.report.history = [(item.role, item.text_content or "") for item in messages]
    await interrupt(caller)
    await edit_history(caller, realtime)
    await caller.session.aclose()
    await caller.model.aclose()
    async with utils.http_context.open():
        await reconnect(caller)
        await try_urls(caller)
    caller.report.print()


run(main())
