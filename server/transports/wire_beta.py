"""The Realtime API's older dialect (beta): flat sessions and old event names, as a Codec around the GA one.

OpenAI itself has switched it off. It is here for applications that were written for it and whose client cannot change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import orjson
from fastapi.requests import HTTPConnection

from server.core import events as ev
from server.errors import ClientError
from server.transports.base import AudioAppend, Codec
from server.transports.wire import RealtimeCodec, parsed
from server.transports.wire_fields import Fields
from server.transports.wire_objects import Json

_AZURE_PATH = "/openai/realtime"
_SUBPROTOCOL = "openai-beta.realtime-v1"
_TEMPERATURE = 0.8

_FIELDS: Mapping[str, str] = {
    "audio.input.format": "input_audio_format",
    "audio.input.transcription": "input_audio_transcription",
    "audio.input.noise_reduction": "input_audio_noise_reduction",
    "audio.input.turn_detection": "turn_detection",
    "audio.output.format": "output_audio_format",
    "audio.output.voice": "voice",
    "audio.output.speed": "speed",
    "output_modalities": "modalities",
    "max_output_tokens": "max_response_output_tokens",
    "tool_choice": "tool_choice",
}
"""Of session and response: where GA has what stands flat in beta, and what has other values there."""
_RESPONSE_FIELDS = ("audio.output.format", "audio.output.voice", "output_modalities")
"""Those that the response object has, too; its token limit has the same name in both."""
_GA_ONLY = ("type", "audio", "output_modalities", "max_output_tokens", "truncation", "prompt")
"""Of the session, what beta does not have or has elsewhere."""
_FORMATS = {"audio/pcm": "pcm16", "audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw"}
_EVENTS = {
    "conversation.item.added": "conversation.item.created",
    **{
        f"response.output_{part}.{step}": f"response.{part}.{step}"
        for part in ("text", "audio", "audio_transcript")
        for step in ("delta", "done")
    },
}
_AUDIO_DELTA = "response.output_audio.delta"
_PARTS = {"output_text": "text", "output_audio": "audio"}


class Dialect(Codec, Protocol):
    """One of the Realtime API's dialects; what each method is for stands at ``RealtimeCodec``."""

    @property
    def input_format(self) -> ev.AudioFormat: ...
    def read(self, fields: Fields, position: int, size: int) -> ev.Input | AudioAppend: ...
    def encode_retrieved(self, item: ev.Item, audio: bytes | None) -> bytes: ...
    def encode_done(self, event: ev.ResponseDone, timings_ms: Mapping[str, Any] | None) -> bytes: ...


def codec_for(connection: HTTPConnection, codec: RealtimeCodec) -> Dialect:
    """The dialect that a connection speaks, around ``codec``: as it says at once, or as its first session.update shows.

    Beta: the header ``OpenAI-Beta: realtime=v1``, its sub-protocol, or Azure's path of that time.
    """
    query = connection.query_params
    azure = connection.url.path == _AZURE_PATH and "api-version" in query and "deployment" in query
    named = "realtime=v1" in connection.headers.get("openai-beta", "")
    if azure or named or _SUBPROTOCOL in connection.scope.get("subprotocols", ()):
        return BetaCodec(codec)
    return UndecidedCodec(codec)


class UndecidedCodec:
    """GA, until the first session.update shows that the client means beta."""

    def __init__(self, codec: RealtimeCodec) -> None:
        self._ga = codec
        self._codec: Dialect = codec
        self._decided = False

    @property
    def input_format(self) -> ev.AudioFormat:
        return self._ga.input_format

    def decode(self, frame: str | bytes, position: int) -> ev.Input | AudioAppend:
        return self._codec.decode(frame, position) if self._decided else _decode(self, frame, position)

    def read(self, fields: Fields, position: int, size: int) -> ev.Input | AudioAppend:
        kind, session = fields.values.get("type"), fields.values.get("session")
        if kind in ("session.update", "transcription_session.update") and isinstance(session, dict):
            self._decided = True
            if "type" not in session:
                self._codec = BetaCodec(self._ga)
        return self._codec.read(fields, position, size)

    def encode(self, event: ev.Event) -> list[bytes]:
        return self._codec.encode(event)

    def encode_retrieved(self, item: ev.Item, audio: bytes | None) -> bytes:
        return self._codec.encode_retrieved(item, audio)

    def encode_done(self, event: ev.ResponseDone, timings_ms: Mapping[str, Any] | None) -> bytes:
        return self._codec.encode_done(event, timings_ms)


class BetaCodec:
    """Translates the client's events to GA and the server's from it. What is the same in both passes as it is."""

    def __init__(self, codec: RealtimeCodec) -> None:
        self._ga = codec

    @property
    def input_format(self) -> ev.AudioFormat:
        return self._ga.input_format

    def decode(self, frame: str | bytes, position: int) -> ev.Input | AudioAppend:
        return _decode(self, frame, position)

    def read(self, fields: Fields, position: int, size: int) -> ev.Input | AudioAppend:
        changed: Json
        match fields.values:
            case {"type": "session.update", "session": {"tools": list(tools)}} if any(map(_is_mcp, tools)):
                event_id = fields.values.get("event_id")
                named = event_id if isinstance(event_id, str) else None
                message = (
                    "MCP servers came with the GA API: this session speaks the beta dialect, give 'function' tools."
                )
                return ev.InvalidEvent(named, "invalid_value", message, "session.tools")
            case {"type": "session.update", "session": dict(session)}:
                changed = {"session": ga_session({"type": "realtime", **session})}
            case {"type": "transcription_session.update", "session": dict(session)}:
                changed = {"type": "session.update", "session": ga_session({**session, "type": "transcription"})}
            case {"type": "response.create", "response": dict(response)}:
                changed = {"response": ga_session(response)}
            case {"type": "conversation.item.create", "item": dict(item)}:
                changed = {"item": _ga_item(item)}
            case _:
                changed = {}
        return self._ga.read(Fields({**fields.values, **changed}), position, size)

    def encode(self, event: ev.Event) -> list[bytes]:
        match event:
            case ev.ItemDone():
                return []
            case ev.OutputAudioDelta():
                # Many and large, and with the type in front: not worth taking apart.
                ga, beta = _AUDIO_DELTA, _EVENTS[_AUDIO_DELTA].encode()
                return [frame.replace(ga.encode(), beta, 1) for frame in self._ga.encode(event)]
            case _:
                return [_beta_frame(frame) for frame in self._ga.encode(event)]

    def encode_retrieved(self, item: ev.Item, audio: bytes | None) -> bytes:
        return _beta_frame(self._ga.encode_retrieved(item, audio))

    def encode_done(self, event: ev.ResponseDone, timings_ms: Mapping[str, Any] | None) -> bytes:
        return _beta_frame(self._ga.encode_done(event, timings_ms))


def _decode(codec: Dialect, frame: str | bytes, position: int) -> ev.Input | AudioAppend:
    try:
        fields = parsed(frame)
    except ClientError as error:
        return ev.InvalidEvent(None, error.code, error.message, error.param)
    return codec.read(fields, position, len(frame))


# ---------------------------------------------------------------------------------- from the client


def _is_mcp(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "mcp"


def ga_session(flat: Json) -> Json:
    """A session or response of the client in GA's shape. A value that beta does not have goes on as it is: GA will
    say what is wrong with it."""
    tree = {name: value for name, value in flat.items() if name not in _FIELDS.values()}
    for path, name in _FIELDS.items():
        if name in flat:
            _put(tree, path.split("."), _CLIENT_VALUES.get(name, lambda value: value)(flat[name]))
    if isinstance(tree.get("input"), list):
        tree["input"] = [_ga_item(item) for item in tree["input"]]
    return tree


def _put(tree: Json, path: list[str], value: Any) -> None:
    *branches, leaf = path
    for name in branches:
        branch = tree.get(name)
        tree[name] = tree = dict(branch) if isinstance(branch, dict) else {}
    tree[leaf] = value


def _ga_format(name: Any) -> Any:
    ga = {beta: kind for kind, beta in _FORMATS.items()}
    return {"type": ga.get(name, name)} if isinstance(name, str) else name


def _ga_modalities(names: Any) -> Any:
    """Beta's audio comes with text, and GA's as well, but there it is not said."""
    return ["audio"] if isinstance(names, list) and sorted(map(str, names)) == ["audio", "text"] else names


def _ga_turns(turns: Any) -> Any:
    """Clients of the time turn it off with a type of its own, too."""
    return None if isinstance(turns, dict) and turns.get("type") == "none" else turns


def _ga_choice(choice: Any) -> Any:
    """In beta a function is forced by its bare name."""
    named = isinstance(choice, str) and choice not in ("auto", "none", "required")
    return {"type": "function", "name": choice} if named else choice


_CLIENT_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "input_audio_format": _ga_format,
    "output_audio_format": _ga_format,
    "modalities": _ga_modalities,
    "turn_detection": _ga_turns,
    "tool_choice": _ga_choice,
}


def _ga_item(item: Any) -> Any:
    if not isinstance(item, dict) or not isinstance(item.get("content"), list):
        return item
    mine = item.get("role") == "assistant"
    names = {"text": "output_text", "audio": "output_audio"} if mine else {"text": "input_text"}
    return {**item, "content": [_renamed(part, names) for part in item["content"]]}


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    if isinstance(part, dict) and isinstance(part.get("type"), str):
        return {**part, "type": names.get(part["type"], part["type"])}
    return part


# ------------------------------------------------------------------------------------ to the client


def _beta_frame(frame: bytes) -> bytes:
    body: Json = orjson.loads(frame)
    kind = body["type"]
    body["type"] = _EVENTS.get(kind, kind)
    if "session" in body:
        if body["session"]["type"] == "transcription":
            body["type"] = f"transcription_{kind}"
        body["session"] = beta_session(body["session"])
    if "response" in body:
        body["response"] = _beta_response(body["response"])
    if "item" in body:
        body["item"] = _beta_item(body["item"])
    if kind == "response.function_call_arguments.done":
        del body["name"]
    if kind == "error":
        body["error"] = _beta_error(body["error"])
    return orjson.dumps(body)


def beta_session(session: Json) -> Json:
    """The session object, flat."""
    flat = {name: value for name, value in session.items() if name not in _GA_ONLY}
    flat |= _flat(session, _FIELDS)
    return flat if session["type"] == "transcription" else {"temperature": _TEMPERATURE, **flat}


def _beta_response(response: Json) -> Json:
    kept = {name: value for name, value in response.items() if name not in ("audio", "output_modalities")}
    output = [_beta_item(item) for item in response["output"]]
    return {**kept, "output": output, **_flat(response, _RESPONSE_FIELDS)}


def _flat(tree: Json, paths: Iterable[str]) -> Json:
    """What stands at GA's ``paths``, by its name in beta."""
    flat: Json = {}
    for path in paths:
        *branches, leaf = path.split(".")
        branch = tree
        for name in branches:
            branch = branch.get(name, {})
        if leaf in branch:
            flat[_FIELDS[path]] = _SERVER_VALUES.get(leaf, lambda value: value)(branch[leaf])
    return flat


def _beta_turns(turns: Json | None) -> Json | None:
    """An idle timeout is news of GA."""
    return turns and {name: value for name, value in turns.items() if (name, value) != ("idle_timeout_ms", None)}


_SERVER_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "format": lambda value: _FORMATS[value["type"]],
    "output_modalities": lambda value: ["audio", "text"] if value == ["audio"] else value,
    "turn_detection": _beta_turns,
    "tool_choice": lambda value: value["name"] if isinstance(value, dict) else value,
}


def _beta_item(item: Json) -> Json:
    return {**item, "content": [_renamed(part, _PARTS) for part in item["content"]]} if "content" in item else item


def _beta_error(error: Json) -> Json:
    return {**error, "message": in_beta(error["message"]), "param": error["param"] and in_beta(error["param"])}


def in_beta(text: str) -> str:
    """What is told of a client's fields and values, by the names that it gave them."""
    for path, name in _FIELDS.items():
        # A format has no fields of its own in beta.
        text = text.replace(f"{path}.type", name).replace(path, name) if "format" in path else text.replace(path, name)
    for ga, beta in {**_FORMATS, **_PARTS}.items():
        text = text.replace(f"'{ga}'", f"'{beta}'")
    return text
