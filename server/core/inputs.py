"""What can happen to a Session: client commands, engine facts, and what the door and the timers tell."""

from __future__ import annotations

from dataclasses import dataclass

from server.core.commands import (
    CancelResponse,
    ClearAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    InvalidEvent,
    RetrieveItem,
    TruncateItem,
    UpdateSession,
)
from server.core.effects import TimerKind
from server.core.facts import (
    McpListed,
    ResponseFact,
    SpeechProbability,
    ToolFinished,
    ToolPartial,
    TranscriptFailed,
    TranscriptFinal,
    TranscriptPartial,
)


@dataclass(frozen=True, slots=True)
class Say:
    """The door has words of its own to say (a greeting, a goodbye): spoken as they are, after the answer under way.

    protected: the caller's voice does not stop them; what is said meanwhile is answered afterwards.
    """

    text: str
    protected: bool = False


@dataclass(frozen=True, slots=True)
class InputClock:
    """Input samples received so far. Lets a hold end between two VAD frames."""

    position: int


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """The timer that StartIdleTimer asked for has run out."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The timer that StartTimer asked for has run out."""

    kind: TimerKind
    token: int


@dataclass(frozen=True, slots=True)
class Played:
    """Fact of the playout: the peer has played this item up to ``samples`` (a carrier's mark)."""

    item_id: str
    samples: int


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """Fact of a phone: a key went down. digit: one of 0-9, *, #, A-D. Whoever types has heard enough."""

    digit: str


@dataclass(frozen=True, slots=True)
class KeysTyped:
    """Fact of a phone: these keys belong together, and no more will come. They are a turn of the caller."""

    keys: str


@dataclass(frozen=True, slots=True)
class LineLost:
    """Fact of a phone: nobody hears us any more. The call may go on over another line."""


Input = (
    UpdateSession
    | CommitAudio
    | ClearAudio
    | CreateItem
    | RetrieveItem
    | DeleteItem
    | TruncateItem
    | CreateResponse
    | CancelResponse
    | InvalidEvent
    | SpeechProbability
    | InputClock
    | IdleTimeout
    | TranscriptPartial
    | TranscriptFinal
    | TranscriptFailed
    | ResponseFact
    | ToolPartial
    | ToolFinished
    | Say
    | McpListed
    | TimerFired
    | Played
    | KeyPressed
    | KeysTyped
    | LineLost
)
