"""What engines and tools tell a Session: speech, transcripts, answers, results.

Positions are samples of the 16 kHz input clock (``INPUT_RATE``), counted over all audio written to the session, if not
said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from server.core.tools import EMPTY, ServerTool


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
