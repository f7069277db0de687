"""LiveKit's openai.STT over a realtime transcription session."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit import rtc
from livekit.agents import stt, utils
from livekit.plugins import openai
from livekit_log import collect_dropped
from script import RATE, Job, Listener, read_job, run


class LiveKitListener(Listener):
    """Behind a SpeechStream."""

    def __init__(self, job: Job, stream: stt.SpeechStream) -> None:
        super().__init__("livekit-plugins-openai", job)
        self.stream = stream

    async def send(self, pcm: bytes) -> None:
        self.stream.push_frame(rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2))

    def failed(self, event: Any) -> None:
        """The plugin gave up, or tries again."""
        self.report.errors.append(str(event.error))

    async def listen(self) -> None:
        """Until cancelled."""
        async for event in self.stream:
            match event.type:
                case stt.SpeechEventType.START_OF_SPEECH:
                    self.starts += 1
                case stt.SpeechEventType.END_OF_SPEECH:
                    self.stops += 1
                case stt.SpeechEventType.INTERIM_TRANSCRIPT:
                    self.partials.append(event.alternatives[0].text)
                case stt.SpeechEventType.FINAL_TRANSCRIPT:
                    self.finals.append(event.alternatives[0].text)
            await self.noted()


async def main() -> None:
    job = read_job()
    async with utils.http_context.open():
        engine = openai.STT(use_realtime=True, base_url=f"{job.url}/v1", api_key="sk-test")
        listener = LiveKitListener(job, engine.stream())
        collect_dropped(listener.report.dropped)
        engine.on("error", listener.failed)
        listening = asyncio.create_task(listener.listen())
        await listener.dictate()
        await listener.stream.aclose()
        await asyncio.gather(listening, return_exceptions=True)
        await engine.aclose()
    listener.report.print()


run(main())
