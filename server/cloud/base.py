"""What a hosted provider's dialect is: the session's side to the provider's frames, and back. Pure: no I/O, no clock.

One ``Dialect`` object belongs to one session and outlives its connections. ``RemoteRunner`` owns the sockets and the
conversation; a dialect answers each thing that happens with ``Step``s, which are carried out in order:

- ``Send``: a frame for the provider;
- an event of ``server.core.events``: it is told to the client (and kept: the runner mirrors the conversation from
  ``ItemAdded``, ``ItemDone``, ``TranscriptionCompleted``, ``ItemTruncated`` and ``ItemDeleted``, and the responses
  under way from ``ResponseCreated`` to ``ResponseDone``; what it ought not to show it does not show);
- a notice: something for the runner alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from server.core import events as e

Frame = str | bytes
"""A WebSocket message: text or binary."""
OWN = ""
"""The event id of a command that is no client's."""


@dataclass(frozen=True, slots=True)
class Send:
    """A frame for the provider."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Opened:
    """The provider has accepted what the connection was opened with."""


@dataclass(frozen=True, slots=True)
class Configured:
    """The oldest ``configure`` that is not answered yet is in force: the client is told ``session.updated``."""


@dataclass(frozen=True, slots=True)
class ConfigRefused:
    """The oldest ``configure`` that is not answered yet is not in force: the client gets the error."""

    error: e.Error


@dataclass(frozen=True, slots=True)
class Reopen:
    """What was asked for needs a new connection; it is made as soon as nobody speaks."""


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The provider will close this connection. left_s: seconds until then."""

    left_s: float


@dataclass(frozen=True, slots=True)
class ToolsCancelled:
    """The provider does not want the results of these calls any more."""

    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider does not carry out a command that ``tell`` sent."""

    command: Command
    error: e.Error


@dataclass(frozen=True, slots=True)
class Ended:
    """The provider ends the connection, or will not have it. retryable: another one may do better (no key, quota or
    model is at fault). reason: for the log and the client; never holds a key."""

    retryable: bool
    reason: str
    code: str = "provider_unavailable"


Notice = Opened | Configured | ConfigRefused | Reopen | GoingAway | ToolsCancelled | Refused | Ended
Step = Send | e.Event | Notice

Command = (
    e.CreateItem
    | e.DeleteItem
    | e.TruncateItem
    | e.CommitAudio
    | e.ClearAudio
    | e.CreateResponse
    | e.CancelResponse
    | e.Say
)
"""What ``tell`` gets. event_id ``OWN``: no client asked for it, the runner wants it. An item's id is never "".
``Say``: the provider should speak exactly these words, in a response of its own; nothing else is being spoken then."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect. headers hold the key: they are never logged."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Start:
    """What a new connection begins with. config: the session's, in force. items: the conversation so far, oldest first,
    to be told to the provider as text. offset_ms: how much of the caller's audio went to connections before."""

    config: e.SessionConfig
    items: Sequence[e.Item] = ()
    offset_ms: int = 0


class Dialect(Protocol):
    """One provider's, for one session."""

    @property
    def max_session_s(self) -> float:
        """Seconds after which a connection is replaced by a fresh one, between two turns."""
        ...

    @property
    def may_say(self) -> bool:
        """Whether the provider can speak now without harm: some are silent while they wait for the results of calls,
        and would give those up."""
        ...

    def silence_ms(self, turns: e.TurnDetection) -> int | None:
        """How far behind the caller's last word ``SpeechStopped`` is, as this detection has it; None where the provider
        does not tell."""
        ...

    @property
    def holds_back(self) -> bool:
        """Whether something that it was told gets to the model with the next response that is asked for only."""
        ...

    def address(self) -> Address:
        """Where the next connection is made to."""
        ...

    def open(self, start: Start) -> list[Step]:
        """A new connection stands: what is sent first. Forgets all that the last one had under way. The client hears of
        nothing that is replayed, and no ``Configured`` answers it."""
        ...

    def configure(self, config: e.SessionConfig, event_id: str | None) -> list[Step]:
        """The session's configuration is to be this. Answered by one ``Configured`` or ``ConfigRefused``, here or by a
        later ``read``."""
        ...

    def hear(self, audio: bytes, wire: e.AudioFormat) -> list[Send]:
        """Samples of the caller in the client's format, any number of them."""
        ...

    def tell(self, command: Command) -> list[Step]:
        """A command. What comes of it are events as the Realtime API has them, here or by a later ``read``; or
        ``Refused``. A dialect whose provider has no such events makes them."""
        ...

    def read(self, frame: Frame) -> list[Step]:
        """A frame of the provider. Never raises because of what is in it: what is not known is logged and passed
        over."""
        ...

    def closed(self, code: int, reason: str) -> Ended:
        """What the close of the connection means. code: 1006 when it just broke."""
        ...

    def rejected(self, status: int, body: str) -> Ended:
        """What the HTTP answer to the handshake means, when it is none of success."""
        ...
