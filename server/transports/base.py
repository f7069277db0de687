"""What all doors share: what a wire dialect is (bytes to Inputs, Events to bytes, and nothing else), and what a door
starts a Session with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from server.core.events import Event, Input, SessionConfig
from server.core.turns import TurnPolicy
from server.runtime.live import LiveSession, StartSession, start_here
from server.runtime.runner import Engines, Tap
from server.runtime.stages import StageObserver
from server.runtime.tools import Toolbox


class SessionObserver(StageObserver, Protocol):
    """Who counts sessions and stages."""

    def session_opened(self, door: str) -> None: ...
    def session_closed(self, door: str, outcome: str, seconds: float) -> None: ...
    def session_refused(self, door: str) -> None: ...
    def carrier_reported(self, door: str, report: str) -> None: ...


class Role(Protocol):
    """An agent, cast for one session: what it starts with, and what is said first, "" for nothing. notice: said before
    that where a hosted provider serves the session; stays: none may."""

    @property
    def config(self) -> SessionConfig: ...
    @property
    def engines(self) -> Engines: ...
    @property
    def toolbox(self) -> Toolbox: ...
    @property
    def opening(self) -> str: ...
    @property
    def notice(self) -> str: ...
    @property
    def stays(self) -> bool: ...


class Casting(Protocol):
    """Who knows the agents."""

    def names(self) -> tuple[str, ...]:
        """Those that can be asked for now."""
        ...

    def language(self, name: str) -> str | None:
        """The first language of this one, ISO 639-1; None if there is none of this name."""
        ...

    def cast(self, name: str, base: SessionConfig, engines: Engines, session_id: str, scope: str = "") -> Role | None:
        """The agent for a new session; None if there is none of this name. scope: whose deeds count as the same, if
        that is more than this session."""
        ...


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """What every session of a door starts with. agents: None where there are none. toolbox: makes what the server tools
    of the session with this id run with, where no agent brings its own; which tools the model is offered is in config.
    start: begins a session, on this machine or elsewhere. notice: said first where it is elsewhere and no agent has
    words for that.
    """

    config: SessionConfig
    policy: TurnPolicy
    taps: Sequence[Tap] = field(default=())
    agents: Casting | None = None
    toolbox: Callable[[str], Toolbox] = field(default=lambda session_id: Toolbox())
    start: StartSession = start_here
    notice: str = ""

    def first_words(self, session: LiveSession, role: Role | None, opening: str) -> str:
        """What a session begins with: who serves it, if that is to be told, and the opening."""
        notice = (role.notice if role else self.notice) if session.served_by else ""
        return " ".join(filter(None, (notice, opening)))


@dataclass(frozen=True, slots=True)
class AudioAppend:
    """Samples of the caller, in the session's input format (mono; PCM is 16-bit little-endian).

    No Input: audio goes past the Session, into the ring buffer (see ``server.core.events``).
    """

    event_id: str | None
    audio: bytes


class Codec(Protocol):
    """One wire dialect, for one connection."""

    def decode(self, frame: str | bytes, position: int) -> Input | AudioAppend:
        """What one frame of the peer means. str is a text frame, bytes a binary one.

        position: samples received so far on the input clock, for the Inputs that carry it. Never raises because
        of what the peer sent: a frame that cannot be accepted is an ``InvalidEvent``.
        """
        ...

    def encode(self, event: Event) -> list[bytes]:
        """The frames that tell the peer of the event, in order: usually one, none where the dialect has no word
        for it."""
        ...
