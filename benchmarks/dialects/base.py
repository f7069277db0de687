"""A dialect: how a server is opened, how it takes sound, and which of its messages mean what.

A dialect does no I/O. One instance lives as long as one call: it turns what the caller does into frames, and frames
into facts. ``str`` is sent as a text frame, ``bytes`` as a binary one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import Tokens

Frame = str | bytes
Pcm = NDArray[np.int16]
"""Mono samples, shape [n]."""


class DialectError(RuntimeError):
    """The server said something that this dialect cannot go on after."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect. url: ws:// or wss://, as given by the user. key: sent the dialect's way; empty for none."""

    url: str
    key: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a WebSocket client needs to know."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    subprotocols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """What is asked of the server for a call. hold_ms: silence that ends a turn, None for the server's default.
    language: a hint, BCP 47; empty to let the server find it.
    turn_detection: the dialect's own object, which wins over ``hold_ms``. tools: flat function tools, as JSON.
    speed: of the answers' speech, where the server can. extra: merged into the dialect's own session object."""

    instructions: str = ""
    language: str = ""
    tools: Sequence[dict[str, Any]] = ()
    hold_ms: float | None = None
    turn_detection: dict[str, Any] | None = None
    voice: str = ""
    speed: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def merged(session: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``session`` with all of ``extra``: objects are merged, anything else is replaced."""
    result = dict(session)
    for name, value in extra.items():
        mine = result.get(name)
        result[name] = merged(mine, value) if isinstance(mine, dict) and isinstance(value, Mapping) else value
    return result


@dataclass(frozen=True, slots=True)
class Ready:
    """The server has taken the setup. hold_ms, vad: what is in force, as far as it says. settings: more of that."""

    hold_ms: float | None = None
    vad: str = ""
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Flush:
    """A client drops now what it has not played yet (the caller has begun to speak, or the answer was interrupted)."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The server takes the caller's turn to be over. audio_ms: where in the audio that was sent; None where it does not
    say, then the moment of its telling counts."""

    audio_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What the server understood. final: all of the turn's text; otherwise a further piece of it."""

    text: str
    final: bool = True


@dataclass(frozen=True, slots=True)
class AnswerBegan:
    """``answer`` names one response; a dialect without names counts them."""

    answer: str


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of an answer's speech, at the dialect's ``output_rate``."""

    answer: str
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Words:
    """A piece of an answer's text."""

    answer: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The model calls a tool; comes before the end of its answer, on which the results are given. by_client: this
    client has to give them."""

    call_id: str
    name: str
    arguments: dict[str, Any]
    by_client: bool = True


@dataclass(frozen=True, slots=True)
class AnswerEnded:
    """The response is whole. cancelled: it was interrupted. stages: ms since the end of speech, where the server tells.
    error: why it failed."""

    answer: str
    cancelled: bool = False
    tokens: Tokens | None = None
    stages: dict[str, float] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """What the server's history holds of ``answer``, in words."""

    answer: str
    text: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error that the server reports; the call goes on."""

    message: str


Fact = (
    Ready | Flush | TurnEnded | Heard | AnswerBegan | Sound | Words | Asked | AnswerEnded | History | Trouble
)  # fmt: skip


class Dialect(Protocol):
    """input_rate, output_rate: samples a second of the sound in both directions. says_ready: whether ``Ready`` comes of
    what the server says; without it the call begins as soon as the opening frames are sent."""

    name: str
    input_rate: int
    output_rate: int
    says_ready: bool

    def endpoint(self, target: Target) -> Endpoint:
        """Where and how to connect."""

    def opening(self, setup: Setup) -> list[Frame]:
        """Frames to send as soon as the socket is open."""

    def sound(self, pcm: Pcm) -> list[Frame]:
        """20 ms of the microphone, at ``input_rate``."""

    def results(self, calls: Sequence[tuple[Asked, Any]]) -> list[Frame]:
        """Tools' results, all those of one answer, as JSON values; the server is to go on with its answer."""

    def played(self, answer: str, played_s: float) -> list[Frame]:
        """A flush has stopped ``answer`` after so many seconds: frames by which a client tells the server, and asks
        what its history holds; empty where the dialect has none."""

    def hear(self, frame: Frame) -> list[Fact]:
        """What a frame of the server means; most mean nothing. Raises DialectError."""
