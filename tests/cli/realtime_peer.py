"""A small Realtime server for testing clients: it hears by loudness and answers with tones.

It counts samples, never time: an answer comes when the client has sent the silence that it waits for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection, serve

from models.base import Pcm16
from server.talk.wire import FORMATS

HOLD_MS = 200
LEAD_MS = 60
"""Silence at the start of every spoken answer."""
STAGES = {"stt_final": 20.0, "llm_first_token": 31.5, "first_segment": 40.0, "tts_first_audio": 77.25, "prepared": True}


def tone(ms: int, rate: int, hertz: float = 440.0) -> Pcm16:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(ms * rate // 1000) / rate)).astype(np.int16)


def quiet(ms: int, rate: int) -> Pcm16:
    return np.zeros(ms * rate // 1000, np.int16)


@dataclass
class Peer:
    """What the server is told to do, and what it saw. answers: ms of sound in each answer, the last one repeated."""

    answers: list[int] = field(default_factory=lambda: [200])
    fault: Mapping[str, Any] | None = None
    """An event sent in place of the first answer."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the first response.done.response."""
    later_details: Mapping[str, Any] = field(default_factory=dict)
    hang_up: bool = False

    url: str = ""
    session: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    heard: list[Pcm16] = field(default_factory=list)
    spoken: list[Pcm16] = field(default_factory=list)

    def received(self, type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == type]


class _Session:
    def __init__(self, peer: Peer, socket: ServerConnection) -> None:
        self.peer, self.socket = peer, socket
        self.wire = FORMATS["pcm"]
        self.silent_for: int | None = None
        self.turns = self.responses = 0

    async def run(self) -> None:
        await self.send("session.created", session=self.effective())
        async for message in self.socket:
            event = json.loads(message)
            if event["type"] != "input_audio_buffer.append":
                self.peer.events.append(event)
            await self.take(event)

    async def take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                self.peer.session = event["session"]
                kind = event["session"]["audio"]["input"]["format"]
                self.wire = next(wire for wire in FORMATS.values() if wire.session == kind)
                await self.send("session.updated", session=self.effective())
            case "input_audio_buffer.append":
                await self.listen(self.wire.decode(base64.b64decode(event["audio"])))
            case "input_audio_buffer.commit":
                await self.commit()
            case "response.create":
                await self.answer()
            case "conversation.item.truncate":
                await self.send("error", error={"message": "cut already", "code": "x", "event_id": event["event_id"]})

    def effective(self) -> dict[str, Any]:
        detection = {"type": "server_vad", "silence_duration_ms": HOLD_MS}
        given = self.peer.session.get("audio", {}).get("input", {})
        return {"type": "realtime", "audio": {"input": {"turn_detection": detection, **given}}}

    async def listen(self, pcm: Pcm16) -> None:
        self.peer.heard.append(pcm)
        if self.peer.session["audio"]["input"].get("turn_detection", "auto") is None:
            return
        loud = np.flatnonzero(np.abs(pcm.astype(int)) > 500)
        if len(loud):
            if self.silent_for is None:
                await self.send("input_audio_buffer.speech_started", item_id=f"item_user_{self.turns}")
            self.silent_for = len(pcm) - int(loud[-1]) - 1
        elif self.silent_for is not None:
            self.silent_for += len(pcm)
            if self.silent_for >= HOLD_MS * self.wire.rate // 1000:
                self.silent_for = None
                await self.send("input_audio_buffer.speech_stopped", item_id=f"item_user_{self.turns}")
                await self.commit()
                await self.answer()

    async def commit(self) -> None:
        item_id, text = f"item_user_{self.turns}", f"question {self.turns}"
        self.turns += 1
        await self.send("input_audio_buffer.committed", item_id=item_id)
        if self.peer.hang_up:
            await self.socket.close(1011, "out of order")
            return
        for kind, fields in (("delta", {"delta": text[:4]}), ("completed", {"transcript": text})):
            name = f"conversation.item.input_audio_transcription.{kind}"
            await self.send(name, item_id=item_id, content_index=0, **fields)

    async def answer(self) -> None:
        number, self.responses = self.responses, self.responses + 1
        if number == 0 and self.peer.fault is not None:
            await self.send(**self.peer.fault)
            return
        response = {"id": f"resp_{number}", "status": "completed", "output": []}
        response |= self.peer.later_details if number else self.peer.details
        await self.send("response.created", response=response)
        results = self.peer.received("conversation.item.create")
        if self.peer.session.get("tools") and not results:
            call = {
                "call_id": "call_1",
                "name": self.peer.session["tools"][0]["name"],
                "arguments": '{"day": "friday"}',
            }
            await self.send("response.function_call_arguments.done", item_id="item_call", **call)
            response["output"] = [{"type": "function_call", "id": "item_call", **call}]
        else:
            said = f"answer {number}" + "".join(f" {event['item']['output']}" for event in results)
            await self.say(number, said)
        await self.send("response.done", response=response)

    async def say(self, number: int, text: str) -> None:
        item_id = f"item_answer_{number}"
        if self.peer.session["output_modalities"] == ["text"]:
            await self.send("response.output_text.delta", item_id=item_id, delta=text)
            return
        lengths, rate = self.peer.answers, self.wire.rate
        pcm = np.concatenate([quiet(LEAD_MS, rate), tone(lengths[min(number, len(lengths) - 1)], rate)])
        await self.send("response.output_audio_transcript.delta", item_id=item_id, delta=text)
        for piece in np.array_split(pcm, 3):
            sent = self.wire.encode(piece)
            self.peer.spoken.append(self.wire.decode(sent))
            await self.send("response.output_audio.delta", item_id=item_id, delta=base64.b64encode(sent).decode())

    async def send(self, type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **fields}))


@asynccontextmanager
async def serving(peer: Peer) -> AsyncGenerator[Peer, None]:
    """The peer on a free port of the loopback, its address in ``peer.url``."""

    async def run(socket: ServerConnection) -> None:
        await _Session(peer, socket).run()

    async with serve(run, "127.0.0.1", 0) as server:
        peer.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
        yield peer
