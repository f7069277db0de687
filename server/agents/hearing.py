"""What an agent's session notices of the caller's turns as they are transcribed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from models.base import Pcm16, Priority, Transcriber, Transcript, Urgency, Utterance


@dataclass(slots=True)
class Heard:
    """Of the caller's last turn: its language, ISO 639-1, its words, and how sure the transcriber was of them: 0 to 1,
    the mean probability per token."""

    language: str | None = None
    confidence: float = 1.0
    words: str = ""

    def note(self, transcript: Transcript) -> None:
        """A turn has been transcribed."""
        if transcript.text:
            self.words = transcript.text
            self.language = transcript.language
            self.confidence = math.exp(min(0.0, transcript.avg_logprob))

    def sure(self, words: str) -> float:
        """How sure these words are. Those that were not heard, but typed, dialled or made up for a silence, are."""
        return self.confidence if words == self.words else 1.0


class NotingTranscriber:
    """See Transcriber: the same engine, whose final transcripts are noted."""

    def __init__(self, transcriber: Transcriber, heard: Heard) -> None:
        self.name = transcriber.name
        self.languages = transcriber.languages
        self._transcriber = transcriber
        self._heard = heard

    def open(self, **options: Any) -> Utterance:
        """See Transcriber; the options are the engine's."""
        return _NotingUtterance(self._transcriber.open(**options), self._heard)

    async def close(self) -> None:
        """See Transcriber. The engine behind it serves others, and stays."""


class _NotingUtterance:
    """See Utterance."""

    def __init__(self, utterance: Utterance, heard: Heard) -> None:
        self._utterance = utterance
        self._heard = heard

    def push(self, pcm: Pcm16) -> None:
        """See Utterance."""
        self._utterance.push(pcm)

    async def partial(self) -> Transcript:
        """See Utterance."""
        return await self._utterance.partial()

    async def final(self, priority: Priority | Urgency = Priority.CONFIRMED) -> Transcript:
        """See Utterance."""
        transcript = await self._utterance.final(priority)
        self._heard.note(transcript)
        return transcript

    def close(self) -> None:
        """See Utterance."""
        self._utterance.close()
