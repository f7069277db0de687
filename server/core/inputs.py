"""What can happen to a Session: client commands, engine facts, timers.

Positions are samples of the 16 kHz input clock (``INPUT_RATE``), counted over all audio written to the session, if not
said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from server.core.config import AudioFormat
from server.core.effects import TimerKind
from server.core.items import Item
from server.core.tools import EMPTY, ServerTool, Tool


@dataclass(frozen=True, slots=True)
class UpdateSession:
    """session.update. changes: new values by field name of SessionConfig; unnamed fields stay."""

    event_id: str | None
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CommitAudio:
    """input_audio_buffer.commit. position: input samples received so far."""

    event_id: str | None
    position: int


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """input_audio_buffer.clear. position: input samples received so far."""

    event_id: str | None
    position: int


@dataclass(frozen=True, slots=True)
class CreateItem:
    """conversation.item.create. item.id "" asks the session to make one; previous_item_id None appends,
    "root" puts first. audio: samples of a user's audio part in the input format, whose words are yet to be found."""

    event_id: str | None
    item: Item
    previous_item_id: str | None
    audio: bytes | None = None


@dataclass(frozen=True, slots=True)
class RetrieveItem:
    event_id: str | None
    item_id: str


@dataclass(frozen=True, slots=True)
class DeleteItem:
    event_id: str | None
    item_id: str


@dataclass(frozen=True, slots=True)
class TruncateItem:
    event_id: str | None
    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class ResponseOverrides:
    """What response.create sets for this one response; None keeps the session's value.

    input: items that replace the conversation as context; a str is the id of one that is in the conversation.
    conversation: auto or none (out-of-band).
    """

    conversation: str = "auto"
    instructions: str | None = None
    modality: str | None = None
    voice: str | None = None
    output_format: AudioFormat | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    input: tuple[Item | str, ...] | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """The door has words of its own to say (a greeting, a goodbye): spoken as they are, after the answer under way.

    protected: the caller's voice does not stop them; what is said meanwhile is answered afterwards.
    """

    text: str
    protected: bool = False


@dataclass(frozen=True, slots=True)
class CreateResponse:
    event_id: str | None
    overrides: ResponseOverrides = ResponseOverrides()


@dataclass(frozen=True, slots=True)
class CancelResponse:
    event_id: str | None
    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class InvalidEvent:
    """A client event that its codec could not accept: answered with one error event, nothing else changes."""

    event_id: str | None
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class SpeechProbability:
    """Fact of the VAD: the 32 ms frame that ends at ``position`` holds speech with this probability.

    loud_until: where in the input the last sound as loud as speech ended, None if that is not known. The detector goes
    on believing in speech for some frames after it.
    """

    position: int
    probability: float
    loud_until: int | None = None


@dataclass(frozen=True, slots=True)
class InputClock:
    """Input samples received so far. Lets a hold end between two VAD frames."""

    position: int


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """The timer that StartIdleTimer asked for has run out."""


@dataclass(frozen=True, slots=True)
class TranscriptPartial:
    """Fact of the transcriber: what the turn says so far; ``stable`` will not change any more. confidence: mean
    probability of its words, 0 to 1. audio_ms: how much of the turn it covers."""

    item_id: str
    text: str
    stable: str
    confidence: float = 1.0
    audio_ms: int = 0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of a transcript and its natural log probability."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TranscriptFinal:
    """Fact of the transcriber: the answer to Transcribe with this revision. language_probability: 0 to 1, how sure it
    is of the language. logprobs: of all tokens, where the client or the turn detection asks for them. confidence: mean
    probability of its words, 0 to 1."""

    item_id: str
    revision: int
    text: str
    language: str
    language_probability: float = 1.0
    logprobs: tuple[TokenLogprob, ...] = ()
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class TranscriptFailed:
    item_id: str
    revision: int
    message: str


@dataclass(frozen=True, slots=True)
class ResponseText:
    """Fact: the chat model said these words."""

    response_id: str
    text: str


@dataclass(frozen=True, slots=True)
class SpokenTo:
    """The words up to offset ``text_end`` of the response's message are spoken at sample ``end`` of its audio."""

    text_end: int
    end: int


@dataclass(frozen=True, slots=True)
class ResponseAudio:
    """Fact: a piece of speech, encoded in the response's output format; ``samples`` long."""

    response_id: str
    audio: bytes
    samples: int
    words: tuple[SpokenTo, ...] = ()


@dataclass(frozen=True, slots=True)
class ResponseToolCall:
    """Fact: a piece of the call with this id; name comes with its first piece. done: arguments complete."""

    response_id: str
    call_id: str
    name: str
    arguments: str
    done: bool


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one response. Text and audio are counted apart; cached is a part of the input."""

    input_text: int = 0
    input_audio: int = 0
    cached: int = 0
    output_text: int = 0
    output_audio: int = 0


@dataclass(frozen=True, slots=True)
class ResponseFinished:
    """Fact: all text, speech and calls of the response are there. incomplete: reason when the model was cut
    (max_output_tokens), else None."""

    response_id: str
    usage: TokenUsage
    incomplete: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseFailed:
    """Fact: an engine gave up on the response. mute: it was the one that speaks."""

    response_id: str
    code: str
    message: str
    mute: bool = False


@dataclass(frozen=True, slots=True)
class ContextExceeded:
    """Fact: nothing was generated, as the context is longer than the chat model can read. tokens: how long, None when
    the engine does not say."""

    response_id: str
    message: str
    tokens: int | None


ResponseFact = ResponseText | ResponseAudio | ResponseToolCall | ResponseFinished | ResponseFailed | ContextExceeded


@dataclass(frozen=True, slots=True)
class ToolPartial:
    """Fact of a server tool: a part of its result, to be spoken as it is."""

    call_id: str
    text: str


class ToolOutcome(StrEnum):
    """How a call of a server tool ended. repeated: it had happened before, and its result was given again."""

    OK = "ok"
    REPEATED = "repeated"
    TIMEOUT = "timeout"
    ERROR = "error"
    INVALID_ARGUMENTS = "invalid_arguments"
    UNKNOWN_TOOL = "unknown_tool"
    BAD_RESULT = "bad_result"
    TOO_LARGE = "too_large"
    UNCERTAIN = "uncertain"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """Fact of a server tool: its call is over. output: what the model reads. seconds: how long it took. changes: new
    values of fields of SessionConfig, in force from the answer on. say: the answer word for word, "" asks the model.
    repeats, facts: see the runtime's Result."""

    call_id: str
    outcome: ToolOutcome
    output: str
    seconds: float
    changes: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    say: str = ""
    repeats: bool = False
    facts: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class McpListed:
    """Fact: what an MCP server offers. error: why it cannot be had, for the client to read; "" if it can."""

    item_id: str
    tools: tuple[ServerTool, ...]
    error: str = ""


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
