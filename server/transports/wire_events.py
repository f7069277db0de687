"""Events as JSON bodies of the Realtime API (GA), without their ``event_id``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pybase64

from server.core import events as ev
from server.transports.wire_objects import Json, item_object, part_object, response_object, session_object

MAX_DELTA_FRAME = 64 * 1024
"""Bytes of one audio delta's frame. Some clients take 1 MiB at most, and small frames let playback start sooner."""

_TRANSCRIPTION = "conversation.item.input_audio_transcription"
_OUTPUT = ("response_id", "output_index")
_PART = (*_OUTPUT, "item_id")
_ONE_PART: Mapping[str, Any] = {"content_index": 0}
"""A message has one content part here, so its index is always the same."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a connection says about itself in its events.

    model: shown where the configuration names none. expires_at: Unix seconds.
    """

    model: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class _Shape:
    """How an event class looks on the wire: its type, the fields that have the same name there, and the rest."""

    type: str
    copied: tuple[str, ...] = ()
    constant: Mapping[str, Any] = field(default_factory=dict)
    made: Callable[[Any, Identity], Json] | None = None


def event_body(event: ev.Event, identity: Identity) -> Json:
    """The event as a JSON object. Audio deltas are not made here but by ``AudioDeltas``, for speed."""
    shape = _SHAPES[type(event)]
    body = {"type": shape.type, **{name: getattr(event, name) for name in shape.copied}, **shape.constant}
    return body if shape.made is None else body | shape.made(event, identity)


def _session(event: ev.SessionCreated | ev.SessionUpdated, identity: Identity) -> Json:
    model = event.config.model or identity.model
    return {"session": session_object(event.config, event.session_id, model, identity.expires_at)}


def _response(event: ev.ResponseCreated | ev.ResponseDone, _: Identity) -> Json:
    return {"response": response_object(event.response)}


def _item(
    event: ev.ItemAdded | ev.ItemDone | ev.ItemRetrieved | ev.OutputItemAdded | ev.OutputItemDone, _: Identity
) -> Json:
    return {"item": item_object(event.item)}


def _error(event: ev.Error, _: Identity) -> Json:
    names = ("type", "code", "message", "param", "event_id")
    return {"error": {name: getattr(event, name) for name in names}}


def _transcribed(event: ev.TranscriptionCompleted, _: Identity) -> Json:
    body: Json = {"usage": {"type": "duration", "seconds": event.seconds}}
    if event.logprobs is not None:
        body["logprobs"] = [
            {"token": token.text, "bytes": list(token.text.encode()), "logprob": token.logprob}
            for token in event.logprobs
        ]
    return body


def _not_transcribed(event: ev.TranscriptionFailed, _: Identity) -> Json:
    # No param here, not even null: one client drops the event over it.
    return {"error": {"type": "server_error", "code": "transcription_failed", "message": event.message}}


def _limits(event: ev.RateLimits, _: Identity) -> Json:
    names = ("name", "limit", "remaining")
    return {
        "rate_limits": [
            {**{name: getattr(limit, name) for name in names}, "reset_seconds": limit.reset_s} for limit in event.limits
        ]
    }


def _part_added(event: ev.ContentPartAdded, _: Identity) -> Json:
    return {"part": part_object(event.kind, "")}


def _part_done(event: ev.ContentPartDone, _: Identity) -> Json:
    return {"part": part_object(event.kind, event.text)}


_SHAPES: Mapping[type, _Shape] = {
    ev.SessionCreated: _Shape("session.created", made=_session),
    ev.SessionUpdated: _Shape("session.updated", made=_session),
    ev.Error: _Shape("error", made=_error),
    ev.SpeechStarted: _Shape("input_audio_buffer.speech_started", ("item_id", "audio_start_ms")),
    ev.SpeechStopped: _Shape("input_audio_buffer.speech_stopped", ("item_id", "audio_end_ms")),
    ev.TimeoutTriggered: _Shape("input_audio_buffer.timeout_triggered", ("item_id", "audio_start_ms", "audio_end_ms")),
    ev.AudioCommitted: _Shape("input_audio_buffer.committed", ("item_id", "previous_item_id")),
    ev.AudioCleared: _Shape("input_audio_buffer.cleared"),
    ev.ItemAdded: _Shape("conversation.item.added", ("previous_item_id",), made=_item),
    ev.ItemDone: _Shape("conversation.item.done", ("previous_item_id",), made=_item),
    ev.ItemRetrieved: _Shape("conversation.item.retrieved", made=_item),
    ev.ItemDeleted: _Shape("conversation.item.deleted", ("item_id",)),
    ev.ItemTruncated: _Shape("conversation.item.truncated", ("item_id", "content_index", "audio_end_ms")),
    ev.TranscriptionDelta: _Shape(f"{_TRANSCRIPTION}.delta", ("item_id", "delta"), _ONE_PART),
    ev.TranscriptionCompleted: _Shape(
        f"{_TRANSCRIPTION}.completed", ("item_id", "transcript"), _ONE_PART, _transcribed
    ),
    ev.TranscriptionFailed: _Shape(f"{_TRANSCRIPTION}.failed", ("item_id",), _ONE_PART, _not_transcribed),
    ev.ResponseCreated: _Shape("response.created", made=_response),
    ev.ResponseDone: _Shape("response.done", made=_response),
    ev.OutputItemAdded: _Shape("response.output_item.added", _OUTPUT, made=_item),
    ev.OutputItemDone: _Shape("response.output_item.done", _OUTPUT, made=_item),
    ev.ContentPartAdded: _Shape("response.content_part.added", _PART, _ONE_PART, _part_added),
    ev.ContentPartDone: _Shape("response.content_part.done", _PART, _ONE_PART, _part_done),
    ev.OutputTextDelta: _Shape("response.output_text.delta", (*_PART, "delta"), _ONE_PART),
    ev.OutputTextDone: _Shape("response.output_text.done", (*_PART, "text"), _ONE_PART),
    ev.OutputAudioDone: _Shape("response.output_audio.done", _PART, _ONE_PART),
    ev.OutputTranscriptDelta: _Shape("response.output_audio_transcript.delta", (*_PART, "delta"), _ONE_PART),
    ev.OutputTranscriptDone: _Shape("response.output_audio_transcript.done", (*_PART, "transcript"), _ONE_PART),
    ev.FunctionArgumentsDelta: _Shape("response.function_call_arguments.delta", (*_PART, "call_id", "delta")),
    ev.FunctionArgumentsDone: _Shape("response.function_call_arguments.done", (*_PART, "call_id", "name", "arguments")),
    ev.McpListInProgress: _Shape("mcp_list_tools.in_progress", ("item_id",)),
    ev.McpListCompleted: _Shape("mcp_list_tools.completed", ("item_id",)),
    ev.McpListFailed: _Shape("mcp_list_tools.failed", ("item_id",)),
    ev.McpArgumentsDelta: _Shape("response.mcp_call_arguments.delta", (*_PART, "delta")),
    ev.McpArgumentsDone: _Shape("response.mcp_call_arguments.done", (*_PART, "arguments")),
    ev.McpCallInProgress: _Shape("response.mcp_call.in_progress", ("item_id", "output_index")),
    ev.McpCallCompleted: _Shape("response.mcp_call.completed", ("item_id", "output_index")),
    ev.McpCallFailed: _Shape("response.mcp_call.failed", ("item_id", "output_index")),
    ev.RateLimits: _Shape("rate_limits.updated", made=_limits),
}


class AudioDeltas:
    """``response.output_audio.delta`` frames, many a second: all but the samples is written once an item."""

    def __init__(self, event_ids: Iterator[str]) -> None:
        self._event_ids = event_ids
        self._item: tuple[str, str, int] | None = None
        self._head = b""

    def frames(self, event: ev.OutputAudioDelta) -> list[bytes]:
        """The event's samples in frames of at most MAX_DELTA_FRAME bytes, no sample cut in two."""
        item = (event.response_id, event.item_id, event.output_index)
        if item != self._item:
            names = {name: getattr(event, name) for name in _PART}
            body = {"type": "response.output_audio.delta", **names, **_ONE_PART}
            self._head = orjson.dumps(body)[:-1] + b',"event_id":"'
            self._item = item
        if len(event.audio) <= _WHOLE:
            return [self._frame(event.audio)]
        return [self._frame(event.audio[start : start + _WHOLE]) for start in range(0, len(event.audio), _WHOLE)]

    def _frame(self, audio: bytes) -> bytes:
        event_id = next(self._event_ids).encode()
        return b"".join((self._head, event_id, b'","delta":"', pybase64.b64encode(audio), b'"}'))


# Room for the rest of the frame; a multiple of 6 bytes is whole samples, and base64 without padding.
_WHOLE = (MAX_DELTA_FRAME - 1024) // 4 * 3 // 6 * 6
