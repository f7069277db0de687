"""Pipecat's OpenAIRealtimeSTTService: turns found by the server, and turns that the pipeline commits itself."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.openai.stt import OpenAIRealtimeSTTService
from pipecat.workers.runner import WorkerRunner
from script import RATE, Job, Listener, Report, read_job, run


class Observer(BaseObserver):
    """Sees each frame that the service pushes."""

    def __init__(self, listener: PipecatListener) -> None:
        super().__init__()
        self._listener = listener

    async def on_push_frame(self, data: FramePushed) -> None:
        if data.source is self._listener.service and data.direction is FrameDirection.DOWNSTREAM:
            self._listener.take(data.frame)
            await self._listener.noted()


class PipecatListener(Listener):
    """Behind a pipeline of one. turn_detection: as the service takes it; False for turns by hand."""

    def __init__(self, job: Job, turn_detection: Any) -> None:
        super().__init__("pipecat-ai", job)
        self._by_hand = turn_detection is False
        self._spoke = False
        self.service = OpenAIRealtimeSTTService(
            api_key="sk-test", base_url=f"{job.socket}/v1/realtime", turn_detection=turn_detection
        )
        self.worker = PipelineWorker(
            Pipeline([self.service]),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            observers=[Observer(self)],
            enable_rtvi=False,
        )

    async def send(self, pcm: bytes) -> None:
        await self.worker.queue_frame(InputAudioRawFrame(audio=pcm, sample_rate=RATE, num_channels=1))
        if self._by_hand and self._spoke and self.silent:
            await self.worker.queue_frame(VADUserStoppedSpeakingFrame())
        self._spoke = not self.silent

    def take(self, frame: Frame) -> None:
        """A frame on its way out of the service."""
        match frame:
            case ErrorFrame():
                self.report.errors.append(frame.error)
            case ProposedUserStartedSpeakingFrame():
                self.starts += 1
            case ProposedUserStoppedSpeakingFrame():
                self.stops += 1
            case InterimTranscriptionFrame():
                self.partials.append(frame.text)
            case TranscriptionFrame():
                self.finals.append(frame.text)


async def dictate(job: Job, turn_detection: Any) -> Report:
    """Two sentences."""
    listener = PipecatListener(job, turn_detection)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(listener.worker)
    running = asyncio.create_task(runner.run())
    await listener.dictate()
    await listener.worker.queue_frame(EndFrame())
    await running
    return listener.report


async def main() -> None:
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    job = read_job()
    report = await dictate(job, None)
    by_hand = await dictate(job, False)
    report.errors += by_hand.errors
    report.facts["by_hand"] = by_hand.facts
    report.print()


run(main())
