"""What a client gets to see: a codec puts these events on its wire. Times are milliseconds.

Names follow the OpenAI Realtime API (GA).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from server.core.config import AudioFormat, SessionConfig
from server.core.facts import TokenLogprob, TokenUsage
from server.core.items import Item
from server.core.tools import EMPTY


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
    logprobs: tuple[TokenLogprob, ...] | None = None


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
    while in progress. language: what is spoken (ISO 639-1), None when unknown. switched_from: the call's language until
    now, when this is its first response in another. facts: of the server tools that it reports, by name."""

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
    language: str | None = None
    switched_from: str | None = None
    facts: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


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


@dataclass(frozen=True, slots=True)
class RateLimit:
    """name: requests or tokens. reset_s: seconds until ``remaining`` is ``limit`` again."""

    name: str
    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class RateLimits:
    """``rate_limits.updated``: what is left of a key's limits. Told by the door, which knows them."""

    limits: tuple[RateLimit, ...]


@dataclass(frozen=True, slots=True)
class McpListInProgress:
    item_id: str


@dataclass(frozen=True, slots=True)
class McpListCompleted:
    item_id: str


@dataclass(frozen=True, slots=True)
class McpListFailed:
    item_id: str


@dataclass(frozen=True, slots=True)
class McpArgumentsDelta:
    response_id: str
    item_id: str
    output_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class McpArgumentsDone:
    response_id: str
    item_id: str
    output_index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class McpCallInProgress:
    item_id: str
    output_index: int


@dataclass(frozen=True, slots=True)
class McpCallCompleted:
    item_id: str
    output_index: int


@dataclass(frozen=True, slots=True)
class McpCallFailed:
    item_id: str
    output_index: int


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
    | McpListInProgress
    | McpListCompleted
    | McpListFailed
    | McpArgumentsDelta
    | McpArgumentsDone
    | McpCallInProgress
    | McpCallCompleted
    | McpCallFailed
    | RateLimits
)
