"""What a Session wants done: the Runner carries these out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from server.core.config import AudioFormat
from server.core.items import ContextMessage
from server.core.tools import EMPTY, McpEndpoint, Tool


@dataclass(frozen=True, slots=True)
class OpenUtterance:
    """Start hearing a turn: give the transcriber all audio from input sample ``start`` on."""

    item_id: str
    start: int


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Decode the turn up to input sample ``end``; answered by TranscriptFinal or TranscriptFailed with the same
    revision. speech_end: where its last speech was, from which the caller's wait counts. confirmed: the turn is
    committed, so it goes before prepared work."""

    item_id: str
    revision: int
    end: int
    speech_end: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class CloseUtterance:
    """The turn is over: keep the samples start..end as the item's audio, take no more."""

    item_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DropUtterance:
    """The turn never was: forget its audio."""

    item_id: str


@dataclass(frozen=True, slots=True)
class HearAudio:
    """Find the words of samples that the client brought along; answered like Transcribe, revision 0."""

    item_id: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class StartIdleTimer:
    """Tell IdleTimeout after this many milliseconds; replaces any such timer that runs."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class Generation:
    """All that is needed to make one response, independent of what the session does meanwhile.

    parallel_tool_calls: False keeps the first call only. fillers: what to say before the call of a tool, by its name,
    when the model has said nothing itself. script: words that are spoken as they are; no model is asked. house_voice:
    the voice to take where ``voice`` does not speak the language, "" for any that does. agent: see SessionConfig.
    earlier_turns: turns of the caller that no longer fit into messages.
    """

    response_id: str
    messages: tuple[ContextMessage, ...]
    tools: tuple[Tool, ...]
    tool_choice: str
    max_output_tokens: int | None
    temperature: float | None
    modality: str
    voice: str
    language: str | None
    speed: float
    output_format: AudioFormat
    script: str | None = None
    house_voice: str = ""
    parallel_tool_calls: bool = True
    fillers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    agent: str = ""
    earlier_turns: int = 0


@dataclass(frozen=True, slots=True)
class PrepareResponse:
    """Generate ahead of the turn's end: think, and speak the first clause only."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class AdoptResponse:
    """The prepared response has become real: speak the rest of it."""

    response_id: str


@dataclass(frozen=True, slots=True)
class StartResponse:
    """Generate at once, to the end."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class StopResponse:
    """Cancel all work on the response (barge-in, client's cancel, discarded preparation)."""

    response_id: str


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a server tool; answered by any number of ToolPartial and one ToolFinished. arguments: JSON text, as the model
    gave it. turn_id: the caller's item that it answers, "" when there is none. refusal: why it must not be run, "" when
    it may be. agent: see SessionConfig. server_label: of the client's MCP server whose tool it is, "" for any other.
    said: words of the answer before the call."""

    call_id: str
    name: str
    arguments: str
    response_id: str
    turn_id: str
    language: str | None
    refusal: str = ""
    agent: str = ""
    server_label: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class StopTool:
    """End the call; nobody waits for its result."""

    call_id: str


@dataclass(frozen=True, slots=True)
class ConnectMcp:
    """Connect to an MCP server and list its tools; answered by McpListed for the same item."""

    item_id: str
    endpoint: McpEndpoint


@dataclass(frozen=True, slots=True)
class DisconnectMcp:
    """Let go of the MCP server with this label."""

    server_label: str


@dataclass(frozen=True, slots=True)
class ToolsTold:
    """The caller has been told the results of these calls."""

    call_ids: tuple[str, ...]


class TimerKind(StrEnum):
    """What a timer is for; a session has one of each kind at most."""

    FLOOR = "floor"
    SLOW_TOOL = "slow_tool"


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Tell TimerFired with this token after so many milliseconds; replaces the timer of this kind that runs."""

    kind: TimerKind
    token: int
    after_ms: int


@dataclass(frozen=True, slots=True)
class ClearPlayout:
    """Throw away what was sent but not yet played (doors that pace or know a clear message)."""

    item_id: str


@dataclass(frozen=True, slots=True)
class PausePlayout:
    """paused: be silent at once, and keep what the caller has not heard. Else: go on where that was, with what was not
    thrown away meanwhile."""

    paused: bool


@dataclass(frozen=True, slots=True)
class DropAudio:
    """The item is gone, or its samples behind ``end`` are: free them. end None: all."""

    item_id: str
    end: int | None = None


Effect = (
    OpenUtterance
    | Transcribe
    | CloseUtterance
    | DropUtterance
    | HearAudio
    | StartIdleTimer
    | PrepareResponse
    | AdoptResponse
    | StartResponse
    | StopResponse
    | RunTool
    | StopTool
    | ConnectMcp
    | DisconnectMcp
    | ToolsTold
    | StartTimer
    | ClearPlayout
    | PausePlayout
    | DropAudio
)
