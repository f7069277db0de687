"""A call with the OpenAI SDK for Python: client.realtime.connect, event by event."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter, ValidationError
from script import GREETING, INSTRUCTIONS, RATE, Caller, Job, read_job, run

_EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


class SdkCaller(Caller):
    """Behind a connection; what higher clients do by themselves (tools, truncation) is done here."""

    connection: Any

    def __init__(self, job: Job) -> None:
        super().__init__("openai", job)
        self._items: dict[str, Any] = {}
        self._order: list[str] = []
        self._playing: tuple[str, float] | None = None
        self._responses: list[Any] = []

    async def type(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        await self.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await self.connection.response.create()

    async def send(self, pcm: bytes) -> None:
        await self.connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())

    async def listen(self) -> None:
        """Until cancelled. The SDK reads whatever it gets; its own event models say whether that was right."""
        async for event in self.connection:
            self.report.received[event.type] += 1
            try:
                _EVENTS.validate_json(event.to_json(exclude_unset=True))
            except ValidationError as error:
                self.report.dropped.append(str(error))
            await self._take(event)
            await self.noted()

    async def _take(self, event: Any) -> None:
        match event.type:
            case "error":
                self.report.errors.append(event.to_json())
            case "response.output_audio_transcript.delta":
                self.turn.said += event.delta
            case "response.output_audio.delta":
                self.turn.audio += len(base64.b64decode(event.delta))
                if self._playing is None or self._playing[0] != event.item_id:
                    self._playing = event.item_id, asyncio.get_running_loop().time()
            case "conversation.item.input_audio_transcription.completed":
                self.turn.heard += event.transcript
            case "conversation.item.added":
                self._order.append(event.item.id)
            case "conversation.item.retrieved":
                self._items[event.item.id] = event.item
            case "response.function_call_arguments.done":
                self.turn.calls.append((event.name, json.loads(event.arguments)))
                output = {"type": "function_call_output", "call_id": event.call_id}
                await self.connection.conversation.item.create(
                    item={**output, "output": json.dumps(self.job.tool_result)}
                )
            case "response.done":
                self._responses.append(event.response)
                if any(item.type == "function_call" for item in event.response.output):
                    await self.connection.response.create()
            case "input_audio_buffer.speech_started":
                await self._stop_playing()

    async def _stop_playing(self) -> None:
        if self._playing is None:
            return
        item_id, since = self._playing
        self._playing = None
        played_ms = int((asyncio.get_running_loop().time() - since) * 1000)
        if played_ms < self.turn.audio * 1000 // (RATE * 2):
            await self.connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=played_ms)
            self.interrupted = True

    async def remember(self) -> None:
        """The conversation as the server has it, with the audio that each part holds."""
        for item_id in self._order:
            await self.connection.conversation.item.retrieve(item_id=item_id)
        await self.until(lambda: len(self._items) == len(self._order), "the items")
        messages = [item for item in map(self._items.get, self._order) if item.type == "message"]
        for item in messages:
            words = "".join(getattr(part, "transcript", None) or part.text or "" for part in item.content)
            self.report.history.append((item.role, words))
        self.report.facts["audio_ms"] = [
            len(base64.b64decode(part.audio or "")) * 1000 // (RATE * 2)
            for item in messages
            for part in item.content
            if part.type in ("input_audio", "output_audio")
        ]

    async def ask_aside(self) -> None:
        """A question outside of the conversation, beside an answer in it."""
        known, before = len(self._order), len(self._responses)
        await self.type(GREETING)
        text = [{"type": "input_text", "text": "Are you a real person?"}]
        await self.connection.response.create(
            response={
                "conversation": "none",
                "output_modalities": ["text"],
                "metadata": {"purpose": "aside"},
                "input": [
                    {"type": "item_reference", "id": self._order[0]},
                    {"type": "message", "role": "user", "content": text},
                ],
            }
        )
        await self.until(lambda: len(self._responses) == before + 2, "both answers")
        (aside,) = (response for response in self._responses[before:] if response.conversation_id is None)
        self.report.facts["aside"] = {
            "metadata": aside.metadata,
            "text": aside.output[0].content[0].text,
            "added": len(self._order) - known,
        }

    async def change_its_mind(self) -> None:
        """Ask for an answer and take it back in the same breath."""
        before = len(self._responses)
        await self.type(GREETING)
        await self.connection.response.cancel()
        await self.until(lambda: len(self._responses) > before, "the end of the cancelled answer")
        cancelled = self._responses[-1]
        self.report.facts["cancelled"] = [cancelled.status, cancelled.status_details.reason]


async def main() -> None:
    caller = SdkCaller(read_job())
    client = AsyncOpenAI(base_url=f"{caller.job.url}/v1", api_key="sk-test", max_retries=0)
    async with client.realtime.connect(model="kammerton") as caller.connection:
        listening = asyncio.create_task(caller.listen())
        transcription = {"model": "gpt-4o-mini-transcribe"}
        await caller.connection.session.update(
            session={
                "type": "realtime",
                "instructions": INSTRUCTIONS,
                "tools": [caller.job.tool],
                "audio": {"input": {"transcription": transcription}},
            }
        )
        await caller.call()
        await caller.remember()
        await caller.ask_aside()
        await caller.change_its_mind()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    await client.close()
    caller.report.print()


run(main())
