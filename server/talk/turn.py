"""One question and its answer, as the events of the server tell it. No I/O: times are handed in."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.talk.playback import Playback
from server.talk.wire import WireFormat

SERVER_STAGES = ("stt_final", "llm_first_token", "first_segment", "tts_first_audio")
_TRANSCRIPTION = "conversation.item.input_audio_transcription."


@dataclass(slots=True)
class Call:
    """A function call of the answer. output: what the tool said, as JSON text; None while nothing did."""

    call_id: str
    name: str
    arguments: str
    output: str | None = None


@dataclass(frozen=True, slots=True)
class TurnReport:
    """What a turn came to. timings_ms: milliseconds after the last sample of speech, None where not known; hold is
    the silence the server waits for. error: why the answer failed."""

    user: str
    assistant: str
    tool_calls: list[dict[str, Any]]
    timings_ms: dict[str, float | None]
    error: str | None = field(default=None)


class Turn:
    """Follows one turn. ``speech_ended_at`` is set by whoever sends the question."""

    def __init__(self, wire: WireFormat, playback: Playback, hold_ms: float | None) -> None:
        self.speech_ended_at: float | None = None
        self.calls: list[Call] = []
        self.error: str | None = None
        self.answered = False
        self._wire, self._playback, self._hold_ms = wire, playback, hold_ms
        self._heard: dict[str, str] = {}
        self._untranscribed: set[str] = set()
        self._said: dict[str, str] = {}
        self._stages: Mapping[str, float | None] = {}
        self._speaking = False

    @property
    def transcribed(self) -> bool:
        return not self._untranscribed

    @property
    def open_calls(self) -> list[Call]:
        return [call for call in self.calls if call.output is None]

    def hear(self, event: Mapping[str, Any], at: float) -> None:
        """Take in one server event that arrived at this time; events of no concern here are passed over."""
        kind, item_id = event["type"], event.get("item_id", "")
        match kind:
            case "input_audio_buffer.speech_started":
                # The turn goes on: what was answered so far is not the answer.
                self._speaking, self.answered = True, False
                self._said.clear()
                self._stages = {}
            case "input_audio_buffer.speech_stopped":
                self._speaking = False
            case "input_audio_buffer.committed":
                self._heard.setdefault(item_id, "")
                self._untranscribed.add(item_id)
            case "response.created":
                self.answered = False
            case "response.output_audio_transcript.delta" | "response.output_text.delta":
                self._said[item_id] = self._said.get(item_id, "") + event["delta"]
            case "response.output_audio.delta":
                self._playback.add(item_id, self._wire.decode(base64.b64decode(event["delta"])), at)
            case "conversation.item.added" if event["item"].get("type") == "function_call_output":
                self._note_output(event["item"])
            case "response.done":
                self._finish_response(event["response"])
            case _ if kind.startswith(_TRANSCRIPTION):
                self._hear_transcription(kind.removeprefix(_TRANSCRIPTION), item_id, event)

    def report(self) -> TurnReport:
        return TurnReport(
            user=" ".join(filter(None, (text.strip() for text in self._heard.values()))),
            assistant=" ".join(filter(None, (text.strip() for text in self._said.values()))),
            tool_calls=[
                {"name": call.name, "arguments": _value(call.arguments), "output": _value(call.output)}
                for call in self.calls
            ],
            timings_ms=self._timings(),
            error=self.error,
        )

    def _hear_transcription(self, step: str, item_id: str, event: Mapping[str, Any]) -> None:
        if step == "delta":
            self._heard[item_id] = self._heard.get(item_id, "") + event.get("delta", "")
        elif step == "completed":
            self._heard[item_id] = event["transcript"]
        if step in ("completed", "failed"):
            self._untranscribed.discard(item_id)

    def _note_output(self, item: Mapping[str, Any]) -> None:
        for call in self.open_calls:
            if call.call_id == item.get("call_id"):
                call.output = item.get("output")

    def _finish_response(self, response: Mapping[str, Any]) -> None:
        status, details = response.get("status"), response.get("status_details") or {}
        if status == "cancelled":
            return
        self.answered = not self._speaking
        self.error = None
        if status == "failed":
            self.error = (details.get("error") or {}).get("message") or "the response failed"
        known = {call.call_id for call in self.calls}
        for item in response.get("output") or ():
            if item.get("type") == "function_call" and item["call_id"] not in known:
                self.calls.append(Call(item["call_id"], item["name"], item["arguments"]))
        # A response that follows a tool's result is not timed from the caller's last word.
        self._stages = self._stages or (response.get("kammerton") or {}).get("timings_ms") or {}

    def _timings(self) -> dict[str, float | None]:
        voice_to_voice = None
        if self.speech_ended_at is not None and self._playback.audible_at is not None:
            voice_to_voice = round((self._playback.audible_at - self.speech_ended_at) * 1000, 1)
        stages = {stage: self._stages.get(stage) for stage in SERVER_STAGES}
        return {"hold": self._hold_ms, **stages, "voice_to_voice": voice_to_voice}


def _value(text: str | None) -> Any:
    """JSON text as a value; text that is no JSON stays text."""
    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError:
        return text
