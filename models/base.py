"""What an engine is: one protocol class a kind, the facts that pass through it, and its errors.

Audio inside is always PCM16 mono. Everything that blocks (inference) runs in an engine's own worker
thread or process: each ``async`` method here may be awaited on the event loop without holding it up.
Opening a stream gives the state of one session; the weights behind it are shared.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Pcm16 = NDArray[np.int16]
"""Mono samples, shape [n], int16."""


# ----------------------------------------------------------------------------------------- errors


class VoiceError(Exception):
    """Root of everything that Kammerton raises on purpose; the whole tree is in server/errors.py."""


class EngineError(VoiceError):
    """An engine could not do what was asked: that response fails, the session lives.

    engine: the engine's name, as in the catalogue. retryable: whether the same request may work at once.
    """

    def __init__(self, engine: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.engine = engine
        self.retryable = retryable


class ContextError(EngineError):
    """The prompt is longer than the model can read. tokens: its length, None where the engine does not know it."""

    def __init__(self, engine: str, message: str, *, tokens: int | None = None) -> None:
        super().__init__(engine, message)
        self.tokens = tokens


class WeightsError(EngineError):
    """Weights are missing, incomplete or altered. The message names the file and the command that mends it."""


class CatalogError(VoiceError):
    """What was asked for cannot be run: an unknown profile, a fault in the catalogue, an engine that this version does
    not have, a machine that is too small."""


class CapacityError(VoiceError):
    """A bounded queue is full: said at once, instead of a delay that grows."""


# --------------------------------------------------------------------------------------- priority


class Priority(IntEnum):
    """Order in which a shared engine serves requests; a smaller value goes first (DESIGN §5)."""

    CONFIRMED = 0
    PREPARED = 10
    PARTIAL = 20
    BACKGROUND = 30


@dataclass(eq=False, slots=True)
class Urgency:
    """The priority of work that may become more urgent while it waits: what is prepared in a caller's pause is
    confirmed when the turn ends. Engines read it anew whenever they choose what to serve next; one behind a network
    is told it once, with the request."""

    priority: Priority


def priority_of(urgency: Priority | Urgency) -> Priority:
    """The priority as it is now."""
    return urgency.priority if isinstance(urgency, Urgency) else urgency


# -------------------------------------------------------------------------------------------- VAD


class VadStream(Protocol):
    """Voice activity of one session."""

    async def push(self, pcm: Pcm16) -> list[float]:
        """Take any number of samples at the stream's rate; return one speech probability (0..1) for each
        32 ms frame that they completed, oldest first. Samples left over wait for the next push."""
        ...

    def reset(self) -> None:
        """Forget all history, as at the start of a session."""
        ...


class VoiceActivityDetector(Protocol):
    """Kind ``vad``."""

    name: str

    def open(self, sample_rate: int) -> VadStream:
        """A stream at 8000 or 16000 Hz. Raises ValueError for any other rate."""
        ...

    async def close(self) -> None: ...


# -------------------------------------------------------------------------------------------- STT


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of a transcript, at least one whole character long, and its natural log probability."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What an utterance says so far.

    text: the words, stripped; empty when a guard found no speech in it.
    stable: the prefix of text that later decodes will not change (LocalAgreement-2); all of text when final.
    language: ISO 639-1 of the decode. avg_logprob: mean log probability per token, 0 when text is empty.
    audio_ms: how much audio it covers. logprobs: of all tokens of text, where they were asked for.
    """

    text: str
    stable: str
    language: str
    language_probability: float
    avg_logprob: float
    audio_ms: int
    logprobs: tuple[TokenLogprob, ...] = ()


class Utterance(Protocol):
    """One turn of one caller, growing."""

    def push(self, pcm: Pcm16) -> None:
        """Append 16 kHz samples. Cheap (no inference), safe to call on the event loop."""
        ...

    async def partial(self) -> Transcript:
        """Decode what is there with spare capacity (Priority.PARTIAL). Advances the stable prefix."""
        ...

    async def final(self, priority: Priority | Urgency = Priority.CONFIRMED) -> Transcript:
        """Decode everything pushed so far as if the turn ended here. May be called again after more audio.
        The text starts with every stable prefix that partial() has returned."""
        ...

    def close(self) -> None:
        """Drop the utterance; decodes under way are abandoned."""
        ...


class Transcriber(Protocol):
    """Kind ``stt``."""

    name: str
    languages: tuple[str, ...]

    def open(
        self,
        *,
        language: str | None = None,
        prompt: str | None = None,
        keywords: Sequence[str] = (),
        expected: str | None = None,
        floor: float = 0.0,
        logprobs: bool = False,
    ) -> Utterance:
        """A new utterance. language None: detected once for the turn; then ``expected`` is taken where the detection is
        less sure than ``floor`` (0 to 1) of another one, or half way from there to 1 for less than a second of speech.
        prompt, keywords: text as it may have been said before, and words that may well be said; both are ignored by
        models that were not trained to take a prompt. Raises ValueError for a language the model does not have."""
        ...

    async def close(self) -> None: ...


# -------------------------------------------------------------------------------------------- LLM


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call made by the model. arguments: JSON text of an object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the context. role: system, user, assistant or tool (then tool_call_id is set)."""

    role: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function that the model may call. parameters: JSON Schema of its argument object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One generation. tool_choice: auto, none, required or the name of a function in tools.

    cache_key separates tenants in a shared prefix cache; requests of one agent share it. agent: who asks, for an engine
    that is made of several models, one for each agent. earlier_turns: how many messages of the user came before these,
    and are left out because they do not fit.
    """

    messages: Sequence[ChatMessage]
    tools: Sequence[ToolSpec] = ()
    tool_choice: str = "auto"
    max_tokens: int | None = None
    temperature: float | None = None
    priority: Priority | Urgency = Priority.CONFIRMED
    cache_key: str = ""
    agent: str = ""
    earlier_turns: int = 0


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Words to be spoken or shown. Never holds any part of a tool call's markup."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the call number ``index`` (0, 1, ...). id and name come with its first piece only."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one generation; cached is the part of prompt found in a prefix cache."""

    prompt: int
    completion: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class ChatDone:
    """Last delta of a stream. finish_reason: stop, tool_calls or length."""

    finish_reason: str
    usage: Usage


ChatDelta = TextDelta | ToolCallDelta | ChatDone


class ChatModel(Protocol):
    """Kind ``llm``. context: tokens that a prompt and its answer may have together, None when unknown."""

    name: str
    context: int | None

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """Deltas as they are generated, then one ChatDone. Closing the generator stops the generation."""
        ...

    async def warm(self, request: ChatRequest) -> None:
        """Bring the request's prompt into whatever prefix cache there is; answers nothing. Raises as ``stream``."""
        ...

    async def close(self) -> None: ...


# -------------------------------------------------------------------------------------------- TTS


@dataclass(frozen=True, slots=True)
class Voice:
    """name: as in the catalogue, e.g. en_US-tiny. language: ISO 639-1."""

    name: str
    language: str
    sample_rate: int


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """text_end: offset in the synthesised text just behind the word. end: sample offset, in the audio of the
    whole segment at the voice's rate, at which the word has been spoken."""

    text_end: int
    end: int


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of a segment's audio, in order. words: the words that end inside this chunk."""

    pcm: Pcm16
    sample_rate: int
    words: tuple[SpokenWord, ...] = field(default=())


class Synthesizer(Protocol):
    """Kind ``tts``."""

    name: str
    voices: tuple[Voice, ...]

    def voice_for(self, wanted: str, language: str | None) -> Voice:
        """The voice to speak with: the one named ``wanted`` if it exists and speaks ``language`` (or no language
        is given), else the first that speaks the language, else the first. Never fails: clients send
        names of voices of other vendors."""
        ...

    def synthesize(
        self, text: str, voice: Voice, *, speed: float = 1.0, priority: Priority | Urgency = Priority.CONFIRMED
    ) -> AsyncGenerator[SpeechChunk, None]:
        """Audio of one segment of text (a clause or a few sentences), streamed. No audio at all for text without
        anything to pronounce. Closing the generator cancels what is not synthesised yet."""
        ...

    async def close(self) -> None: ...
