"""Hermes-style tool calls, read from a stream of text: ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``.

The format is that of the Hermes, Qwen2.5 and Qwen3 chat templates. Pure: text in, deltas out; however the input is
split, the deltas joined are the same. Markup is never passed on as text, and neither is what a model writes between
``<think>`` tags or invents as a tool's answer.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Callable
from typing import Any

from models.base import TextDelta, ToolCallDelta
from models.llm.json_stream import JsonObjectStream

CALL, CALL_END = "<tool_call>", "</tool_call>"
_HIDDEN = {"<think>": "</think>", "<tool_response>": "</tool_response>"}
MARKS = (CALL, CALL_END, *_HIDDEN, *_HIDDEN.values())
"""Every tag that has a meaning for the parser."""

_KEY = re.compile(r'\s*("(?:[^"\\]|\\.)*")\s*:\s*(?=\S)', re.DOTALL)
_NAME_ANYWHERE = re.compile(r'"name"\s*:\s*"([^"\\]+)"')
_ARGUMENTS_ANYWHERE = re.compile(r'"(?:arguments|parameters)"\s*:\s*(?=\{)')
_ARGUMENT_KEYS = ("arguments", "parameters")
_DECODER = json.JSONDecoder(strict=False)
_BASE62 = string.digits + string.ascii_letters


def new_call_id() -> str:
    """``call_`` and 21 base62 characters: 125 random bits in 26 characters, within the protocol's 32."""
    return "call_" + "".join(secrets.choice(_BASE62) for _ in range(21))


class HermesParser:
    """Parser of one generation: ``feed`` every piece of text, then ``finish`` once.

    calls: tool calls passed on so far. malformed: tool calls that were cut off or could not be read as they stood;
    those with a readable name were passed on with arguments repaired to an object, the others dropped.
    """

    def __init__(self, new_id: Callable[[], str] = new_call_id) -> None:
        self.calls = 0
        self.malformed = 0
        self._new_id = new_id
        self._pending = ""
        self._space = ""  # white space that is passed on only if words follow it
        self._after_mark = True
        self._spoken = False
        self._call: _Call | None = None
        self._hidden_until = ""

    def feed(self, text: str) -> list[TextDelta | ToolCallDelta]:
        self._pending += text
        deltas: list[TextDelta | ToolCallDelta] = []
        while self._read(deltas):
            pass
        return deltas

    def finish(self) -> list[TextDelta | ToolCallDelta]:
        """The stream has ended: a call left open is closed, the beginning of a tag is dropped."""
        deltas: list[TextDelta | ToolCallDelta] = []
        if self._call is not None:
            self._end_call(deltas)
        elif not self._hidden_until and len(self._pending) == 1:
            self._say(self._pending, deltas)
        self._pending = ""
        return deltas

    def _read(self, deltas: list[TextDelta | ToolCallDelta]) -> bool:
        """Use up what is pending as far as it is decided; true after a mark, when there may be more to read."""
        if self._hidden_until:
            marks: tuple[str, ...] = (self._hidden_until,)
        elif self._call is not None:
            marks = (CALL_END, CALL)
        else:
            marks = MARKS
        before, mark, self._pending = _split(self._pending, marks)
        if self._call is not None:
            self._call.feed(before)
            self._pass_on(self._call, deltas)
        elif not self._hidden_until:
            self._say(before, deltas)
        if mark:
            self._enter(mark, deltas)
        return bool(mark)

    def _enter(self, mark: str, deltas: list[TextDelta | ToolCallDelta]) -> None:
        if self._call is not None:
            self._end_call(deltas)
        self._hidden_until = _HIDDEN.get(mark, "") if not self._hidden_until else ""
        if mark == CALL:
            self._call = _Call()
        self._space, self._after_mark = "", True

    def _say(self, text: str, deltas: list[TextDelta | ToolCallDelta]) -> None:
        words = text.rstrip()
        if not words:
            self._space += text
            return
        if self._after_mark:
            # The line breaks around markup go with it, but words on both sides must not run together.
            words = words.lstrip()
            self._space = " " if self._spoken else ""
        deltas.append(TextDelta(self._space + words))
        self._spoken, self._after_mark = True, False
        self._space = text[len(text.rstrip()) :]

    def _pass_on(self, call: _Call, deltas: list[TextDelta | ToolCallDelta]) -> None:
        if call.name is None:
            return
        arguments = call.take()
        if call.index is None:
            call.index = self.calls
            self.calls += 1
            deltas.append(ToolCallDelta(call.index, arguments, id=self._new_id(), name=call.name))
        elif arguments:
            deltas.append(ToolCallDelta(call.index, arguments))

    def _end_call(self, deltas: list[TextDelta | ToolCallDelta]) -> None:
        assert self._call is not None
        self._call.close()
        self.malformed += self._call.malformed
        self._pass_on(self._call, deltas)
        self._call = None


def _split(text: str, marks: tuple[str, ...]) -> tuple[str, str, str]:
    """(what comes before the first mark, that mark, the rest); without a mark, the rest is the longest end of the text
    with which a mark may begin."""
    found = [(at, mark) for mark in marks if (at := text.find(mark)) >= 0]
    if found:
        at, mark = min(found)
        return text[:at], mark, text[at + len(mark) :]
    at = text.rfind("<")
    if at >= 0 and any(mark.startswith(text[at:]) for mark in marks):
        return text[:at], "", text[at:]
    return text, "", ""


class _Call:
    """The body of one tool call. The members of the outer object may come in any order."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.index: int | None = None
        self.malformed = False
        self._body = ""  # not used up yet
        self._key: str | None = None
        self._opened = False
        self._closed = False
        self._arguments: JsonObjectStream | None = None
        self._streaming = False
        self._ready = ""

    def take(self) -> str:
        ready, self._ready = self._ready, ""
        return ready

    def feed(self, text: str) -> None:
        self._body += text
        while self._advance():
            pass

    def close(self) -> None:
        """Nothing more will come: take what can be saved."""
        if not self._closed:
            self.malformed = True
            self._recover()
        if self._arguments is None:
            self._ready += "{}"
        else:
            self._ready += self._arguments.close()
            self.malformed |= self._arguments.repaired
        self.malformed |= self.name is None

    def _advance(self) -> bool:
        if self._streaming:
            return self._stream_arguments()
        if self._closed:
            self._body = ""
            return False
        if self._key is not None:
            return self._read_value(self._key)
        body = self._body.lstrip()
        if not self._opened or body[:1] == ",":
            expected = "," if self._opened else "{"
            self._opened |= body[:1] == "{"
            self._body = body.removeprefix(expected)
            return body[:1] == expected
        if body[:1] == "}":
            self._closed = True
            return True
        key = _KEY.match(body)
        if key is None:
            return False
        self._key = key[1][1:-1]
        self._body = body[key.end() :]
        return True

    def _read_value(self, key: str) -> bool:
        if key in _ARGUMENT_KEYS and self._arguments is None and self._body[0] == "{":
            self._arguments = JsonObjectStream()
            self._streaming = True
            return True
        value = _value(self._body)
        if value is None:
            return False
        parsed, self._body = value
        self._key = None
        if key == "name" and isinstance(parsed, str) and parsed.strip():
            self.name = self.name or parsed.strip().encode("utf-8", "replace").decode()
        elif key in _ARGUMENT_KEYS and self._arguments is None and isinstance(parsed, str):
            # Some models write the arguments as a string that holds the JSON.
            self._arguments = JsonObjectStream()
            self._ready += self._arguments.feed(parsed)[0]
        return True

    def _stream_arguments(self) -> bool:
        assert self._arguments is not None
        ready, self._body = self._arguments.feed(self._body)
        self._ready += ready
        if self._arguments.done:
            self._key, self._streaming = None, False
        return self._arguments.done

    def _recover(self) -> None:
        """From where reading the outer object stopped, look for the two members that matter."""
        if self.name is None and (name := _NAME_ANYWHERE.search(self._body)):
            self.name = name[1]
        if self._arguments is None and (arguments := _ARGUMENTS_ANYWHERE.search(self._body)):
            self._arguments = JsonObjectStream()
            self._ready += self._arguments.feed(self._body[arguments.end() :])[0]


def _value(body: str) -> tuple[Any, str] | None:
    """(the JSON value at the start of body, the rest), or None while it is not complete or is no JSON."""
    try:
        value, end = _DECODER.raw_decode(body)
    except (ValueError, RecursionError):
        return None
    # The end of a number shows only in what follows it.
    if end == len(body) and not isinstance(value, str):
        return None
    return value, body[end:]
