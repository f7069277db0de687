"""How a session is configured. Names follow the OpenAI Realtime API (GA)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from server.core.tools import EMPTY, McpEndpoint, ServerTool, Tool, ToolLimits

INPUT_RATE = 16_000


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
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """The effective configuration of a session.

    logprobs: whether the client is told those of its transcripts' tokens. tool_choice: auto, none, required or a
    function's name. max_output_tokens None means "inf". context_tokens: what
    the model can read and write at once, None when unknown. mcp: servers that
    the client names. server_tools: run by the server; no client sets or sees
    them. door_tools: those that come with the door, whichever agent answers.
    language: ISO 639-1 the caller is expected to speak, None when unknown. language_floor: how sure the transcriber
    must be (0 to 1) that a turn is in another language than the call, for the call to change over.
    voices: a voice by language, for a call whose ``voice`` does not speak it. apologies: by language, what is said when
    an engine gave up on an answer; "" or none for nothing. agent: whose turn it is to answer, "" for none; a hand-off
    changes it.
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
    logprobs: bool = False
    tools: tuple[Tool, ...] = ()
    server_tools: tuple[ServerTool, ...] = ()
    door_tools: tuple[ServerTool, ...] = ()
    mcp: tuple[McpEndpoint, ...] = ()
    tool_limits: ToolLimits = field(default_factory=ToolLimits)
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    max_output_tokens: int | None = None
    temperature: float | None = None
    language: str | None = None
    language_floor: float = 0.7
    voices: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    apologies: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    truncation: Truncation = Truncation()
    context_tokens: int | None = None
    agent: str = ""
    extras: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
