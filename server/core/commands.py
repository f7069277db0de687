"""What a client asks of a Session: a codec makes these of the events on its wire.

Positions are samples of the 16 kHz input clock (``INPUT_RATE``), counted over all audio written to the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.core.config import AudioFormat
from server.core.items import Item
from server.core.tools import Tool


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
