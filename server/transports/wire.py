"""The OpenAI Realtime API (GA) as a Codec: JSON text frames to Inputs, Events to JSON text frames.

Every frame of the client, however broken, becomes something that the Session understands.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import orjson
import pybase64

from server.core import events as ev
from server.errors import ClientError
from server.transports.base import AudioAppend
from server.transports.wire_events import AudioDeltas, Identity, event_body
from server.transports.wire_fields import MAX_DEPTH, Fields, listed, shown, too_deep
from server.transports.wire_items import MAX_ID, audio_part, read_item, read_overrides
from server.transports.wire_objects import Json, item_object
from server.transports.wire_session import read_session

MAX_APPEND = 15 * 1024 * 1024
"""Characters of base64 in one append. A door must let longer frames in, so that they can be answered."""

_MAX_EVENT = 4 * 1024 * 1024
"""Characters of an event without audio: more words than any model here can read."""
_LARGE, _MAX_VALUES = 256 * 1024, 200_000
"""From this size on, a frame's values are counted before it is parsed: ``[[],[],...`` takes 30 times its size."""
_MAX_EVENT_ID = 512
_MAX_INT = 2**53 - 1
_APPEND = "input_audio_buffer.append"
_CREATE_ITEM = "conversation.item.create"
_WITH_AUDIO = (_APPEND, _CREATE_ITEM)
_CLEAR_OUTPUT = "output_audio_buffer.clear"
_BASE62 = string.digits + string.ascii_letters


def new_id(prefix: str) -> str:
    """An id in the API's shape: prefix, "_", 21 random characters."""
    return f"{prefix}_{''.join(secrets.choice(_BASE62) for _ in range(21))}"


class RealtimeCodec:
    """One connection's wire.

    model: what the session object shows if the configuration names none. expires_at: when the session will be
    ended, in Unix seconds. new_id: makes the id of what the client left unnamed, from a prefix.
    """

    def __init__(self, model: str, expires_at: int, new_id: Callable[[str], str] = new_id) -> None:
        self.input_format = ev.AudioFormat.PCM
        """What appended audio is taken for; follows the session's configuration as it is told to the client."""
        self._identity = Identity(model, expires_at)
        self._new_id = new_id
        self._config = ev.SessionConfig()
        # Of all updates, those too that the Session has not answered yet: each change replaces them as a whole.
        self._extras: Mapping[str, Any] = {}
        tag = secrets.token_hex(6)
        self._event_ids = (f"event_{tag}{number:09d}" for number in count())
        self._audio_deltas = AudioDeltas(self._event_ids)

    # ------------------------------------------------------------------------------------ decode

    def decode(self, frame: str | bytes, position: int) -> ev.Input | AudioAppend:
        """See ``Codec``. A binary frame is an error in this dialect."""
        try:
            fields = parsed(frame)
        except ClientError as error:
            return ev.InvalidEvent(None, error.code, error.message, error.param)
        return self.read(fields, position, len(frame))

    def read(self, fields: Fields, position: int, size: int) -> ev.Input | AudioAppend:
        """``decode``, for an event that is parsed already. size: characters of its frame."""
        event_id: str | None = None
        try:
            event_id = fields.text("event_id", _MAX_EVENT_ID)
            if size > _MAX_EVENT and fields.values.get("type") not in _WITH_AUDIO:
                raise ClientError("invalid_event", f"The event is {size} characters long; the limit is {_MAX_EVENT}.")
            if fields.values.get("type") == _APPEND:
                return AudioAppend(event_id, self._audio(fields))
            return self._reader(fields)(self, fields, event_id, position)
        except ClientError as error:
            return ev.InvalidEvent(event_id, error.code, error.message, error.param)

    def _reader(self, fields: Fields) -> _Reader:
        kind = fields.values.get("type")
        if not isinstance(kind, str):
            raise ClientError("invalid_event", "Every event needs a field 'type' that is a string.", "type")
        if kind == _CLEAR_OUTPUT:
            fields.reject("type", f"'{kind}' is for WebRTC and SIP; on a WebSocket the client holds the audio.")
        if kind not in _READERS:
            fields.reject("type", f"{shown(kind)} is not supported. Supported types: {listed((_APPEND, *_READERS))}.")
        if too_deep(fields.values):
            raise ClientError("invalid_value", f"The event is nested more than {MAX_DEPTH} levels deep.")
        return _READERS[kind]

    def _audio(self, fields: Fields) -> bytes:
        text = fields.needed("audio", fields.text("audio"))
        if len(text) > MAX_APPEND:
            fields.reject("audio", f"is {len(text)} characters of base64; the limit is {MAX_APPEND} (15 MiB).")
        try:
            audio = pybase64.b64decode(text, validate=True)
        except ValueError:
            fields.reject("audio", "is not valid base64.")
        if self.input_format is ev.AudioFormat.PCM and len(audio) % 2:
            fields.reject("audio", f"has an odd number of bytes ({len(audio)}); PCM16 has two in a sample.")
        return audio

    def _update(self, fields: Fields, event_id: str | None, _: int) -> ev.Input:
        session = fields.needed("session", fields.object("session"))
        changes = read_session(session, self._config, self._extras)
        self._extras = changes.get("extras", self._extras)
        return ev.UpdateSession(event_id, changes)

    def _commit(self, _: Fields, event_id: str | None, position: int) -> ev.Input:
        return ev.CommitAudio(event_id, position)

    def _clear(self, _: Fields, event_id: str | None, position: int) -> ev.Input:
        return ev.ClearAudio(event_id, position)

    def _create_item(self, fields: Fields, event_id: str | None, _: int) -> ev.Input:
        wanted = fields.needed("item", fields.object("item"))
        item = read_item(wanted, self._new_id, hears=True)
        heard = audio_part(wanted) if item.kind is ev.ItemKind.MESSAGE else None
        audio = None if heard is None else self._audio(heard)
        return ev.CreateItem(event_id, item, fields.text("previous_item_id", MAX_ID), audio)

    def _retrieve_item(self, fields: Fields, event_id: str | None, _: int) -> ev.Input:
        return ev.RetrieveItem(event_id, _item_id(fields))

    def _delete_item(self, fields: Fields, event_id: str | None, _: int) -> ev.Input:
        return ev.DeleteItem(event_id, _item_id(fields))

    def _truncate_item(self, fields: Fields, event_id: str | None, _: int) -> ev.Input:
        item_id = _item_id(fields)
        index = fields.needed("content_index", fields.integer("content_index", 0, _MAX_INT))
        end = fields.needed("audio_end_ms", fields.integer("audio_end_ms", 0, _MAX_INT))
        return ev.TruncateItem(event_id, item_id, index, end)

    def _create_response(self, fields: Fields, event_id: str | None, _: int) -> ev.Input:
        if self._extras.get("type") == "transcription":
            fields.reject("type", "a session that transcribes makes no responses; use one of type 'realtime'.")
        response = fields.object("response") or Fields({}, "response")
        unlimited = self._config.max_output_tokens is None
        return ev.CreateResponse(event_id, read_overrides(response, unlimited, self._new_id))

    def _cancel_response(self, fields: Fields, event_id: str | None, _: int) -> ev.Input:
        return ev.CancelResponse(event_id, fields.text("response_id", MAX_ID))

    # ------------------------------------------------------------------------------------ encode

    def encode(self, event: ev.Event) -> list[bytes]:
        """See ``Codec``. All frames are text: UTF-8 of one JSON object each. Long audio takes several."""
        if isinstance(event, ev.OutputAudioDelta):
            return self._audio_deltas.frames(event)
        if isinstance(event, ev.SessionCreated | ev.SessionUpdated):
            self._config = event.config
            self._extras = {**self._extras, **event.config.extras}
            self.input_format = event.config.input_format
        return [self._frame(event_body(event, self._identity))]

    def encode_retrieved(self, item: ev.Item, audio: bytes | None) -> bytes:
        """``conversation.item.retrieved`` with the samples of the item's audio part, as they would be on the wire
        but for base64; None when there are none. One frame, as long as the audio makes it."""
        return self._frame({"type": "conversation.item.retrieved", "item": item_object(item, audio)})

    def encode_done(self, event: ev.ResponseDone, timings_ms: Mapping[str, Any] | None) -> bytes:
        """``response.done`` with the times of the response's stages under ``response.kammerton``."""
        body = event_body(event, self._identity)
        if timings_ms is not None:
            body["response"].setdefault("kammerton", {})["timings_ms"] = timings_ms
        return self._frame(body)

    def _frame(self, body: Json) -> bytes:
        # default: JSON Schemas of tools may be read-only mappings.
        return orjson.dumps({"event_id": next(self._event_ids), **body}, default=dict)


_Reader = Callable[[RealtimeCodec, Fields, str | None, int], ev.Input]

_READERS: Mapping[str, _Reader] = {
    "session.update": RealtimeCodec._update,
    "input_audio_buffer.commit": RealtimeCodec._commit,
    "input_audio_buffer.clear": RealtimeCodec._clear,
    _CREATE_ITEM: RealtimeCodec._create_item,
    "conversation.item.retrieve": RealtimeCodec._retrieve_item,
    "conversation.item.delete": RealtimeCodec._delete_item,
    "conversation.item.truncate": RealtimeCodec._truncate_item,
    "response.create": RealtimeCodec._create_response,
    "response.cancel": RealtimeCodec._cancel_response,
}


def parsed(frame: str | bytes) -> Fields:
    """The JSON object in a frame. Raises ClientError for anything else."""
    if isinstance(frame, bytes):
        raise ClientError("invalid_event", "Binary frames are not accepted: send each event as JSON in a text frame.")
    if len(frame) > _LARGE and sum(map(frame.count, ",[{")) > _MAX_VALUES:
        raise ClientError("invalid_event", f"A frame of this size may have at most {_MAX_VALUES} values.")
    try:
        values = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise ClientError("invalid_json", f"The frame is not valid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise ClientError("invalid_event", f"An event is a JSON object with a field 'type', not {shown(values)}.")
    return Fields(values)


def _item_id(fields: Fields) -> str:
    return fields.needed("item_id", fields.text("item_id", MAX_ID))
