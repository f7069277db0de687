"""A JSON object that arrives in pieces, passed on in pieces that can always be closed to a valid object.

The text of a well-formed object comes out byte for byte. What cannot be retracted is not sent: a key waits for its
value, a number or a literal for its end, so that the text sent so far is at any moment one ``close()`` away from valid
JSON (RFC 8259), whatever the model writes next or wherever it is cut off.
"""

from __future__ import annotations

import json
import re
from enum import Enum, auto

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_LITERALS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_UNFINISHED = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_REPLACEMENT = "\\ufffd"
_CLOSER = {"{": "}", "[": "]"}
_SPACE = " \t\r\n"
_MAX_SCALAR = 100
_MAX_DEPTH = 64
"""Beyond these a model has run away, and the readers of clients would refuse the text."""


class _Expect(Enum):
    OPEN = auto()
    KEY = auto()
    KEY_TEXT = auto()
    COLON = auto()
    VALUE = auto()
    TEXT = auto()
    SCALAR = auto()
    NEXT = auto()


class JsonObjectStream:
    """Feed text; what it returns, joined and followed by ``close()``, is the JSON text of an object.

    done: the object's closing brace has been read. repaired: the text was not valid JSON as it stood (cut off, a
    trailing comma, a raw line break in a string, Python's True, a wrong token); broken: it stopped being JSON, and
    everything after that point is ignored.
    """

    def __init__(self) -> None:
        self.done = False
        self.repaired = False
        self.broken = False
        self._expect = _Expect.OPEN
        self._open: list[str] = []
        self._held = ""  # read, valid so far, not yet closable
        self._scalar = ""
        self._escape = ""  # an unfinished escape
        self._high = ""  # the escape of a high surrogate that waits for its low one
        self._after_comma = False

    def feed(self, text: str) -> tuple[str, str]:
        """Return (text to pass on, text behind the object's end or behind what broke it)."""
        out: list[str] = []
        for at, char in enumerate(text):
            if self.done or self.broken:
                return "".join(out), text[at:]
            out.append(self._step(char))
        return "".join(out), ""

    def close(self) -> str:
        """What completes the text passed on so far; members that are not complete are left out, except that a string
        value ends where it was cut."""
        if self.done:
            return ""
        self.repaired = True
        self.done = True
        if not self._open:
            return "{}"
        quote = '"' if self._expect is _Expect.TEXT else ""
        return quote + "".join(_CLOSER[bracket] for bracket in reversed(self._open))

    def _step(self, char: str) -> str:
        if self._expect in (_Expect.TEXT, _Expect.KEY_TEXT):
            return self._string(char)
        if self._expect is _Expect.SCALAR:
            if char not in ",]}" and char not in _SPACE:
                self._scalar += char
                return ""
            return self._end_scalar() + ("" if self.broken else self._step(char))
        if char in _SPACE:
            if self._open:
                self._held += char
            return ""
        if char in "]}":
            return self._end_bracket(char)
        return self._token(char)

    def _token(self, char: str) -> str:
        expect = self._expect
        if expect is _Expect.OPEN and char == "{":
            return self._begin(char)
        if expect is _Expect.KEY and char == '"':
            self._held += char
            self._expect = _Expect.KEY_TEXT
        elif expect is _Expect.COLON and char == ":":
            self._held += char
            self._expect = _Expect.VALUE
        elif expect is _Expect.NEXT and char == ",":
            self._held += char
            self._after_comma = True
            self._expect = _Expect.KEY if self._open[-1] == "{" else _Expect.VALUE
        elif expect is _Expect.VALUE and char in "{[":
            return self._begin(char)
        elif expect is _Expect.VALUE and char == '"':
            self._expect = _Expect.TEXT
            return self._release() + char
        elif expect is _Expect.VALUE and (char.isalnum() or char == "-"):
            self._scalar = char
            self._expect = _Expect.SCALAR
        else:
            self._break()
        return ""

    def _begin(self, bracket: str) -> str:
        if len(self._open) == _MAX_DEPTH:
            self._break()
            return ""
        self._open.append(bracket)
        self._expect = _Expect.KEY if bracket == "{" else _Expect.VALUE
        return self._release() + bracket

    def _end_bracket(self, char: str) -> str:
        empty_or_list_item = self._expect in (_Expect.KEY, _Expect.VALUE) and not self._held.strip(_SPACE + ",")
        if (
            not self._open
            or char != _CLOSER[self._open[-1]]
            or not (self._expect is _Expect.NEXT or empty_or_list_item)
        ):
            self._break()
            return ""
        if self._after_comma:
            self.repaired = True
            self._held = ""
        self._open.pop()
        self._expect = _Expect.NEXT
        self.done = not self._open
        return self._release() + char

    def _end_scalar(self) -> str:
        scalar = self._scalar
        if len(scalar) > _MAX_SCALAR or _NUMBER.fullmatch(scalar) is None:
            if scalar not in _LITERALS:
                self._break()
                return ""
            scalar = _LITERALS[scalar]
            self.repaired |= scalar != self._scalar
        self._expect = _Expect.NEXT
        return self._release() + scalar

    def _string(self, char: str) -> str:
        if self._escape or char == "\\":
            self._escape += char
            return self._escaped()
        lone = self._lone_surrogate()
        if char == '"':
            if self._expect is _Expect.TEXT:
                self._expect = _Expect.NEXT
                return lone + char
            self._expect = _Expect.COLON
        elif char < " " or "\ud800" <= char < "\ue000":
            self.repaired = True
            char = json.dumps(char)[1:-1] if char < " " else _REPLACEMENT
        return lone + self._text(char)

    def _escaped(self) -> str:
        """Escapes are passed on whole, and surrogates in pairs: half of one could not be encoded as UTF-8 later."""
        escape = self._escape
        if _UNFINISHED.fullmatch(escape):
            return ""
        self._escape = ""
        if _ESCAPE.fullmatch(escape) is None:
            self.repaired = True
            literal = self._lone_surrogate() + self._text("\\\\")
            return literal + "".join(self._step(char) for char in escape[1:])
        code = int(escape[2:], 16) if escape[1] == "u" else 0
        if self._high and 0xDC00 <= code < 0xE000:
            pair, self._high = self._high + escape, ""
            return self._text(pair)
        lone = self._lone_surrogate()
        if 0xD800 <= code < 0xDC00:
            self._high = escape
            return lone
        if 0xDC00 <= code < 0xE000:
            self.repaired = True
            escape = _REPLACEMENT
        return lone + self._text(escape)

    def _lone_surrogate(self) -> str:
        if not self._high:
            return ""
        self._high = ""
        self.repaired = True
        return self._text(_REPLACEMENT)

    def _text(self, piece: str) -> str:
        if self._expect is _Expect.TEXT:
            return piece
        self._held += piece
        return ""

    def _release(self) -> str:
        held, self._held, self._after_comma = self._held, "", False
        return held

    def _break(self) -> None:
        self.broken = True
        self.repaired = True
