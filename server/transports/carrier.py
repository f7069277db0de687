"""What a telephone carrier's media stream is, whoever the carrier is: what comes in, what goes out, in which samples.

A carrier's file has a ``CarrierCodec``; everything else about a call is the same for all of them (``call.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

import orjson
import pybase64

from server.core.events import AudioFormat
from server.errors import ClientError
from server.transports.withheld import withheld

FRAME_MS = 20
"""All carriers cut speech into frames of this length."""
MAX_MESSAGE = 64 * 1024
"""Bytes of one message of a carrier; the largest allowed by any of them is not much larger than a second of sound."""
KEYS = frozenset("0123456789*#ABCD")


class RefusedMessage(ClientError):  # noqa: N818  what was refused, not what went wrong
    """A carrier's message that is not taken. The call goes on."""

    def __init__(self, reason: str) -> None:
        super().__init__("invalid_message", reason)


class RefusedCall(ClientError):  # noqa: N818
    """A stream that is not let in: nothing is started, and its connection ends."""

    def __init__(self, reason: str) -> None:
        super().__init__("call_refused", reason)


# ----------------------------------------------------------------------------------------- samples


_L16_RATES = (8_000, 16_000, 24_000)
_G711_RATES = {"ulaw": (8_000,), "alaw": (8_000,)}


@dataclass(frozen=True, slots=True)
class LineFormat:
    """Samples on a carrier's line: mono. encoding: ulaw, alaw or l16 (16-bit little-endian). rate: of l16 8000,
    16000 or 24000 a second, of the others 8000. Raises RefusedCall for anything else.

    G.711 passes to the Session as it is. 16-bit samples of a narrow line become G.711, which their way through the
    telephone network has made of them before; at 24 kHz they are the Session's own, and at 16 kHz resampled to that.
    """

    encoding: str
    rate: int

    def __post_init__(self) -> None:
        if self.rate not in (_L16_RATES if self.encoding == "l16" else _G711_RATES.get(self.encoding, ())):
            allowed = "ulaw and alaw at 8000, l16 at 8000, 16000 and 24000"
            raise RefusedCall(f"samples in {self.encoding} at {self.rate} a second cannot be used; allowed: {allowed}")

    @property
    def session(self) -> AudioFormat:
        """The format in which a Session hears and speaks on this line."""
        if self.encoding == "alaw":
            return AudioFormat.PCMA
        return AudioFormat.PCMU if self.rate == 8_000 else AudioFormat.PCM

    def ms(self, data: bytes) -> int:
        """How long these bytes of the line play."""
        return len(data) * 1000 // (self.rate * self.width)

    @property
    def width(self) -> int:
        """Bytes of a sample."""
        return 2 if self.encoding == "l16" else 1

    @property
    def frame(self) -> int:
        """Bytes of FRAME_MS."""
        return self.rate * FRAME_MS // 1000 * self.width


def silence(wire: AudioFormat, ms: int) -> bytes:
    """So much of nothing, in a Session's format."""
    nothing = {AudioFormat.PCMU: b"\xff", AudioFormat.PCMA: b"\xd5", AudioFormat.PCM: b"\0\0"}[wire]
    return nothing * (wire.rate * ms // 1000)


ULAW = LineFormat("ulaw", 8_000)


# ---------------------------------------------------------------------------------------- messages


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose call it is. agent: name of the agent that takes it, "" for the settings' own. number: the caller's, ""
    where it is not shown."""

    agent: str = ""
    number: str = ""

    @property
    def scope(self) -> str:
        """Whose deeds count as the same when the same number calls again; "" for a number that is not shown: those who
        hide theirs are not one caller."""
        return "" if withheld(self.number) else hashlib.sha256(f"phone {self.number}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class LineStarted:
    """The stream begins. call_id: the same on every stream of one call. parameters: what the carrier passes on."""

    call_id: str
    stream_id: str
    format: LineFormat
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LineAudio:
    """The caller's sound. at_ms: where in the stream it belongs, None where the carrier does not say. number: of the
    frame, where frames may overtake each other."""

    audio: bytes
    at_ms: int | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class LineKey:
    """A key of the caller's phone."""

    digit: str


@dataclass(frozen=True, slots=True)
class LineMark:
    """The carrier has played everything up to this mark, or has thrown it away."""

    name: str


@dataclass(frozen=True, slots=True)
class LineStopped:
    """The call is over, or its media stream was ended on purpose."""


LineEvent = LineStarted | LineAudio | LineKey | LineMark | LineStopped
Frame = str | bytes
"""str is a text frame, bytes a binary one."""


class CarrierCodec(Protocol):
    """One carrier's words, for one stream. Pure: frames to events and back."""

    name: str
    """The door's name in metrics and logs."""
    lead_ms: int
    """How far ahead of the caller's ear sound is sent."""
    piece_ms: int
    """The longest piece of sound in one message."""
    marks: bool
    """Whether the carrier says what it has played."""
    ordered: bool
    """Whether frames of sound come in their order."""
    resumes: bool
    """Whether a call outlives its media connection. Where not, the end of one is the end of the other."""
    asks_next: bool
    """Whether the carrier asks what comes after the media connection, and so can be told to dial somebody."""

    def decode(self, frame: Frame) -> LineEvent | None:
        """What a frame means; None for what means nothing to a call. Raises RefusedMessage, and RefusedCall for a
        stream that cannot be used at all."""
        ...

    def audio(self, samples: bytes) -> Frame:
        """Whole frames of FRAME_MS, in the line's format, to be played after what was sent before."""
        ...

    def mark(self, name: str) -> Frame | None:
        """Have the carrier say when all sound so far is played; None where it has no such thing."""
        ...

    def clear(self) -> Frame | None:
        """Have the carrier throw away what it has not played; None where it has no such thing."""
        ...


class CallControl(Protocol):
    """A carrier's REST API: what the media connection has no words for. Both methods raise VoiceError when the carrier
    does not do it; the call then goes on as it was."""

    async def transfer(self, call_id: str, number: str) -> None:
        """Take the call away from its media connection, and connect it with this number."""
        ...

    async def hang_up(self, call_id: str) -> None:
        """End the call."""
        ...


class Close(IntEnum):
    """Why a connection is closed, as the code of a WebSocket's close frame (RFC 6455 section 7.4.1, and the registry
    that it has IANA keep). No carrier is known to do anything else by it than write it down."""

    OVER = 1000
    REFUSED = 1008
    FAILED = 1011
    FULL = 1013


class Leg(Protocol):
    """One media connection of a call."""

    @property
    def codec(self) -> CarrierCodec: ...

    def frames(self) -> AsyncIterator[Frame]:
        """What the carrier sends, until it leaves."""
        ...

    async def send(self, frame: Frame) -> None:
        """Frames for a carrier that has left are dropped."""
        ...

    async def close(self, why: Close = Close.OVER, reason: str = "") -> None:
        """End the connection. A carrier takes it as the end of the stream; its log may show why."""
        ...


# -------------------------------------------------------------------------------------------- JSON


def parse(frame: Frame) -> dict[str, Any]:
    """The JSON object of a text frame. Raises RefusedMessage."""
    if isinstance(frame, bytes):
        raise RefusedMessage("a binary frame; this carrier's messages are text")
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        raise RefusedMessage("not JSON") from None
    if not isinstance(message, dict):
        raise RefusedMessage("no JSON object")
    return message


def part(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object in this field. Raises RefusedMessage."""
    value = message.get(name)
    if not isinstance(value, dict):
        raise RefusedMessage(f"'{name}' is no object")
    return value


def text(message: Mapping[str, Any], name: str, longest: int = 512) -> str:
    """The words in this field. Raises RefusedMessage."""
    value = message.get(name)
    if not isinstance(value, str) or not value or len(value) > longest:
        raise RefusedMessage(f"'{name}' is no text of 1 to {longest} characters")
    return value


def number(message: Mapping[str, Any], name: str) -> int:
    """A whole number that is not negative, written as one or as a string. Raises RefusedMessage."""
    value = message.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return value
    raise RefusedMessage(f"'{name}' is no whole number from 0")


def payload(media: Mapping[str, Any], width: int) -> bytes:
    """Samples of so many bytes in base64. Raises RefusedMessage."""
    value = media.get("payload")
    if not isinstance(value, str):
        raise RefusedMessage("'payload' is no text")
    try:
        samples = pybase64.b64decode(value, validate=True)
    except ValueError:
        raise RefusedMessage("'payload' is no base64") from None
    if len(samples) % width:
        raise RefusedMessage("'payload' is not whole samples")
    return samples


def sound(frame: bytes, line: LineFormat | None, start: str) -> LineAudio:
    """A binary frame of plain samples. line: as it was agreed on, None before that. start: the message that does so,
    for the reason. Raises RefusedMessage."""
    if line is None or len(frame) % line.width:
        raise RefusedMessage(f"sound that is not whole samples, or before {start}")
    return LineAudio(frame)


def key(message: Mapping[str, Any], name: str = "digit") -> LineKey:
    """A key of the phone. Raises RefusedMessage."""
    value = message.get(name)
    if str(value) not in KEYS:
        raise RefusedMessage(f"'{name}' is no key of a phone")
    return LineKey(str(value))


def strings(values: object) -> dict[str, str]:
    """The entries of an object that are text; none if it is no object."""
    return {str(k): v for k, v in values.items() if isinstance(v, str)} if isinstance(values, dict) else {}


def dumps(message: Mapping[str, Any]) -> str:
    """One line of JSON."""
    return orjson.dumps(message).decode()


def encoded(samples: bytes) -> str:
    """Samples as base64."""
    return pybase64.b64encode(samples).decode()
