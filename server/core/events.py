"""Everything that can happen to a Session (``Input``) and everything it can do about it (``Output``).

Two closed unions of frozen dataclasses. Inputs are client commands, engine facts and timers; outputs are
client-visible events (a codec puts them on its wire) and effects (the Runner carries them out).

Positions on the way in are samples of the 16 kHz input clock (``INPUT_RATE``), counted over all audio written
to the session; positions on the way out are samples at the rate of the response's output format.
Client-visible times are milliseconds. Names follow the OpenAI Realtime API (GA).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

INPUT_RATE = 16_000
EMPTY: Mapping[str, Any] = MappingProxyType({})


# ------------------------------------------------------------------------------------------ config


class AudioFormat(StrEnum):
    """Wire audio formats; the value is the Realtime ``format.type``."""

    PCM = "audio/pcm"
    PCMU = "audio/pcmu"
    PCMA = "audio/pcma"

    @property
    def rate(self) -> int:
        """Samples per second on the wire."""
        return 24_000 if self is AudioFormat.PCM else 8_000

    @property
    def width(self) -> int:
        """Bytes of a sample on the wire."""
        return 2 if self is AudioFormat.PCM else 1


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """``audio.input.turn_detection``. kind: server_vad or semantic_vad (which uses eagerness)."""

    kind: str = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    idle_timeout_ms: int | None = None
    create_response: bool = True
    interrupt_response: bool = True
    eagerness: str = "auto"


@dataclass(frozen=True, slots=True)
class Truncation:
    """``truncation``: what happens when the conversation outgrows the model. kind: auto, disabled or retention_ratio.

    retention_ratio: share of the limit that stays when something has to go. post_instructions: tokens that the
    conversation may take beside instructions and tools, None for as many as fit.
    """

    kind: str = "auto"
    retention_ratio: float = 0.8
    post_instructions: int | None = None


@dataclass(frozen=True, slots=True)
class InputTranscription:
    """``audio.input.transcription``: whether and how the caller's words are shown to the client."""

    model: str | None = None
    language: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function tool. parameters: JSON Schema of the argument object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """The effective configuration of a session.

    tool_choice: auto, none, required or a function's name. max_output_tokens None means "inf". context_tokens: what
    the model can read and write at once, None when unknown.
    language: ISO 639-1 the caller is expected to speak, None when unknown.
    extras: fields that are accepted, echoed and otherwise unused, by their dotted path in ``session``.
    """

    model: str = ""
    modality: str = "audio"
    instructions: str = ""
    voice: str = ""
    speed: float = 1.0
    input_format: AudioFormat = AudioFormat.PCM
    output_format: AudioFormat = AudioFormat.PCM
    turn_detection: TurnDetection | None = TurnDetection()
    transcription: InputTranscription | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    max_output_tokens: int | None = None
    temperature: float | None = None
    language: str | None = None
    truncation: Truncation = Truncation()
    context_tokens: int | None = None
    extras: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


# ------------------------------------------------------------------------------------ conversation


class ItemKind(StrEnum):
    MESSAGE = "message"
    FUNCTION_CALL = "function_call"
    FUNCTION_CALL_OUTPUT = "function_call_output"


class ItemStatus(StrEnum):
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class ContentPart:
    """A part of a message. kind: input_text, input_audio, output_text or output_audio.

    text: the words; for audio its transcript, None while not known. Samples are held by the Runner.
    """

    kind: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the conversation. role, content: messages; call_id, name, arguments: function calls;
    call_id, output: function call outputs."""

    id: str
    kind: ItemKind
    status: ItemStatus = ItemStatus.COMPLETED
    role: str = ""
    content: tuple[ContentPart, ...] = ()
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class ContextMessage:
    """One message of what the chat model gets to read. role: system, user, assistant or tool."""

    role: str
    text: str
    calls: tuple[Item, ...] = ()
    call_id: str = ""


# ----------------------------------------------------------------------------------------- inputs


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
    max_output_tokens: int | None = None
    temperature: float | None = None
    input: tuple[Item | str, ...] | None = None
    metadata: Mapping[str, str] | None = None


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
    """Fact of the VAD: the 32 ms frame that ends at ``position`` holds speech with this probability."""

    position: int
    probability: float


@dataclass(frozen=True, slots=True)
class InputClock:
    """Input samples received so far. Lets a hold end between two VAD frames."""

    position: int


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """The timer that StartIdleTimer asked for has run out."""


@dataclass(frozen=True, slots=True)
class TranscriptPartial:
    """Fact of the transcriber: what the turn says so far; ``stable`` will not change any more."""

    item_id: str
    text: str
    stable: str


@dataclass(frozen=True, slots=True)
class TranscriptFinal:
    """Fact of the transcriber: the answer to Transcribe with this revision."""

    item_id: str
    revision: int
    text: str
    language: str


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
    """Fact: an engine gave up on the response."""

    response_id: str
    code: str
    message: str


ResponseFact = ResponseText | ResponseAudio | ResponseToolCall | ResponseFinished | ResponseFailed


@dataclass(frozen=True, slots=True)
class Played:
    """Fact of the playout: the peer has played this item up to ``samples`` (a carrier's mark)."""

    item_id: str
    samples: int


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
    | Played
)


# ------------------------------------------------------------------------- outputs: client events


@dataclass(frozen=True, slots=True)
class SessionCreated:
    session_id: str
    config: SessionConfig


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    session_id: str
    config: SessionConfig


@dataclass(frozen=True, slots=True)
class Error:
    """``error``. event_id: the client event at fault, if it named itself."""

    code: str
    message: str
    param: str | None = None
    event_id: str | None = None
    type: str = "invalid_request_error"


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class TimeoutTriggered:
    """The caller has said nothing between these two moments."""

    item_id: str
    audio_start_ms: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class AudioCommitted:
    item_id: str
    previous_item_id: str | None


@dataclass(frozen=True, slots=True)
class AudioCleared:
    pass


@dataclass(frozen=True, slots=True)
class ItemAdded:
    item: Item
    previous_item_id: str | None


@dataclass(frozen=True, slots=True)
class ItemDone:
    item: Item
    previous_item_id: str | None


@dataclass(frozen=True, slots=True)
class ItemRetrieved:
    """The door adds the samples of audio parts, which the Runner keeps."""

    item: Item


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    item_id: str


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class TranscriptionDelta:
    item_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class TranscriptionCompleted:
    item_id: str
    transcript: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TranscriptionFailed:
    item_id: str
    message: str


class ResponseStatus(StrEnum):
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class ResponseView:
    """The ``response`` object as the client sees it. conversation: its id, "" when out-of-band. reason:
    turn_detected, client_cancelled or max_output_tokens; error_code and error_message: when failed. usage: None
    while in progress."""

    id: str
    status: ResponseStatus
    conversation: str
    modality: str
    voice: str
    output_format: AudioFormat
    max_output_tokens: int | None
    metadata: Mapping[str, str] | None
    output: tuple[Item, ...] = ()
    reason: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    usage: TokenUsage | None = None


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    response: ResponseView


@dataclass(frozen=True, slots=True)
class ResponseDone:
    response: ResponseView


@dataclass(frozen=True, slots=True)
class OutputItemAdded:
    response_id: str
    output_index: int
    item: Item


@dataclass(frozen=True, slots=True)
class OutputItemDone:
    response_id: str
    output_index: int
    item: Item


@dataclass(frozen=True, slots=True)
class ContentPartAdded:
    """kind: text or audio, the short names that this event uses on the wire."""

    response_id: str
    item_id: str
    output_index: int
    kind: str


@dataclass(frozen=True, slots=True)
class ContentPartDone:
    response_id: str
    item_id: str
    output_index: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class OutputTextDelta:
    response_id: str
    item_id: str
    output_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class OutputTextDone:
    response_id: str
    item_id: str
    output_index: int
    text: str


@dataclass(frozen=True, slots=True)
class OutputAudioDelta:
    """audio: encoded samples, not yet base64. start: position of its first sample in the item's audio."""

    response_id: str
    item_id: str
    output_index: int
    audio: bytes
    start: int
    samples: int


@dataclass(frozen=True, slots=True)
class OutputAudioDone:
    response_id: str
    item_id: str
    output_index: int


@dataclass(frozen=True, slots=True)
class OutputTranscriptDelta:
    response_id: str
    item_id: str
    output_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class OutputTranscriptDone:
    response_id: str
    item_id: str
    output_index: int
    transcript: str


@dataclass(frozen=True, slots=True)
class FunctionArgumentsDelta:
    response_id: str
    item_id: str
    output_index: int
    call_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class FunctionArgumentsDone:
    response_id: str
    item_id: str
    output_index: int
    call_id: str
    name: str
    arguments: str


Event = (
    SessionCreated
    | SessionUpdated
    | Error
    | SpeechStarted
    | SpeechStopped
    | TimeoutTriggered
    | AudioCommitted
    | AudioCleared
    | ItemAdded
    | ItemDone
    | ItemRetrieved
    | ItemDeleted
    | ItemTruncated
    | TranscriptionDelta
    | TranscriptionCompleted
    | TranscriptionFailed
    | ResponseCreated
    | ResponseDone
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | OutputTextDelta
    | OutputTextDone
    | OutputAudioDelta
    | OutputAudioDone
    | OutputTranscriptDelta
    | OutputTranscriptDone
    | FunctionArgumentsDelta
    | FunctionArgumentsDone
)


# ------------------------------------------------------------------------------ outputs: effects


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
    """All that is needed to make one response, independent of what the session does meanwhile."""

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
class ClearPlayout:
    """Throw away what was sent but not yet played (doors that pace or know a clear message)."""

    item_id: str


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
    | ClearPlayout
    | DropAudio
)

Output = Event | Effect
