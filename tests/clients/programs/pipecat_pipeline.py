"""A call with Pipecat: OpenAIRealtimeLLMService in a pipeline between a microphone and a speaker."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime import events
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner
from script import INSTRUCTIONS, RATE, Caller, Job, read_job, run


class Microphone(BaseInputTransport):
    """Frames are pushed into it."""

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)


class Speaker(BaseOutputTransport):
    """Plays in real time, to nobody."""

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        await asyncio.sleep(len(frame.audio) / 2 / RATE)
        return True


class Observer(BaseObserver):
    """Sees each frame that the service pushes."""

    def __init__(self, caller: PipecatCaller) -> None:
        super().__init__()
        self._caller = caller

    async def on_push_frame(self, data: FramePushed) -> None:
        if isinstance(data.frame, ErrorFrame):
            self._caller.report.errors.append(data.frame.error)
        elif data.source is self._caller.service:
            self._caller.take(data.frame)
            await self._caller.noted()


class PipecatCaller(Caller):
    """Behind a pipeline."""

    def __init__(self, job: Job) -> None:
        super().__init__("pipecat-ai", job)
        self._items: list[str] = []
        self._seen: set[int] = set()
        self._ended = 0
        self._observe_parser()
        schema = FunctionSchema(
            name=job.tool["name"],
            description=job.tool["description"],
            properties=job.tool["parameters"]["properties"],
            required=job.tool["parameters"]["required"],
        )
        transcription = events.InputAudioTranscription(model="gpt-4o-mini-transcribe")
        self.service = OpenAIRealtimeLLMService(
            api_key="sk-test",
            base_url=f"{job.socket}/v1/realtime",
            settings=OpenAIRealtimeLLMService.Settings(
                model="kammerton",
                system_instruction=INSTRUCTIONS,
                session_properties=events.SessionProperties(
                    audio=events.AudioConfiguration(input=events.AudioInput(transcription=transcription))
                ),
            ),
        )
        self.service.register_function(job.tool["name"], self._run_tool)
        self.service.add_event_handler("on_conversation_item_created", self._item_created)
        params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
        self._input = Microphone(params)
        self._context = LLMContext(tools=ToolsSchema(standard_tools=[schema]))
        aggregators = LLMContextAggregatorPair(self._context)
        self.worker = PipelineWorker(
            Pipeline([self._input, aggregators.user(), self.service, Speaker(params), aggregators.assistant()]),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            observers=[Observer(self)],
            enable_rtvi=False,
        )

    def _observe_parser(self) -> None:
        """The service passes over unknown events in silence, and dies of bad ones: look over its parser's shoulder."""
        parse = events.parse_server_event

        def observed(message: str) -> Any:
            kind = json.loads(message)["type"]
            self.report.received[kind] += 1
            if kind == "error" and "item_retrieve_invalid_item_id" not in message:
                self.report.errors.append(message)
            try:
                event = parse(message)
            except Exception as error:
                self.report.dropped.append(f"{kind}: {error}")
                raise
            if event is None:
                self.report.dropped.append(kind)
            return event

        events.parse_server_event = observed

    async def _run_tool(self, call: FunctionCallParams) -> None:
        self.turn.calls.append((call.function_name, dict(call.arguments)))
        await call.result_callback(self.job.tool_result)

    async def _item_created(self, _: Any, item_id: str, item: Any) -> None:
        if item.type == "message" and item.role != "system":
            self._items.append(item_id)

    async def type(self, text: str) -> None:
        self._context.add_message({"role": "user", "content": text})
        await self.worker.queue_frame(LLMContextFrame(self._context))

    async def send(self, pcm: bytes) -> None:
        await self._input.push_audio_frame(InputAudioRawFrame(audio=pcm, sample_rate=RATE, num_channels=1))

    def take(self, frame: Frame) -> None:
        """A frame of the service; each is seen at every step of its way, and counts once."""
        if frame.id in self._seen:
            return
        self._seen.add(frame.id)
        match frame:
            case TTSAudioRawFrame():
                self.turn.audio += len(frame.audio)
            case TTSTextFrame():
                self.turn.said += frame.text
            case TranscriptionFrame():
                self.turn.heard += frame.text
            case InterruptionFrame():
                self.interrupted = True
            case LLMFullResponseEndFrame():
                self._ended += 1

    def answered(self) -> bool:
        """The frames come a while after the events that they are made of."""
        return super().answered() and self._ended >= self.report.received["response.done"]

    async def remember(self) -> None:
        """The conversation as the server has it, and whether the service is still listening."""
        for item_id in self._items:
            item = await self.service.retrieve_conversation_item(item_id)
            words = "".join(part.transcript or part.text or "" for part in item.content)
            self.report.history.append((item.role, words))
        try:
            await self.service.retrieve_conversation_item("item_unknown")
        except Exception as error:
            self.report.facts["unknown_item"] = str(error)
        receiving = self.service._receive_task
        self.report.facts["receiving"] = receiving is not None and not receiving.done()


async def main() -> None:
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    caller = PipecatCaller(read_job())
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(caller.worker)
    running = asyncio.create_task(runner.run())
    await caller.call()
    await caller.remember()
    await caller.worker.queue_frame(EndFrame())
    await running
    caller.report.print()


run(main())
