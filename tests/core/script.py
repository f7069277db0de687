"""A Session driven by hand: the caller's frames, the engines' facts, and what came of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TypeVar

from server.core import events as e
from server.core.session import Session
from server.core.turns import TurnPolicy
from tests.core.rules import Rules

FRAME = 512
Kind = TypeVar("Kind")


class Script:
    """Ids are item_1, resp_2, ... in order of making. ``log`` keeps all outputs, ``take`` empties it."""

    def __init__(self, policy: TurnPolicy | None = None, *, marks: bool = False, **config: object) -> None:
        numbers = count()
        self.session = Session(
            "sess_1",
            replace(e.SessionConfig(transcription=e.InputTranscription()), **config),  # type: ignore[arg-type]
            lambda prefix: f"{prefix}_{next(numbers)}",
            policy=policy,
            marks=marks,
        )
        self.rules = Rules()
        self.position = 0
        self.log: list[e.Output] = []

    def tell(self, *facts: e.Input) -> list[e.Output]:
        said: list[e.Output] = []
        for fact in facts:
            self.rules.told(fact)
            outputs = self.session.handle(fact)
            self.rules.see(outputs)
            said += outputs
        self.log += said
        return said

    def frames(self, number: int, probability: float) -> list[e.Output]:
        said: list[e.Output] = []
        for _ in range(number):
            self.position += FRAME
            said += self.tell(e.SpeechProbability(self.position, probability))
        return said

    def speech(self, ms: int = 320) -> list[e.Output]:
        return self.frames(ms // 32, 0.95)

    def silence(self, ms: int = 128) -> list[e.Output]:
        return self.frames(ms // 32, 0.01)

    def heard(self, text: str, language: str = "en", confidence: float = 1.0) -> list[e.Output]:
        """The transcriber answers the last request."""
        item, revision = self.rules.asked[-1]
        return self.tell(e.TranscriptFinal(item, revision, text, language, confidence=confidence))

    def says(self, response: str, text: str, samples: int = 24_000) -> list[e.Output]:
        """The model says one segment, its words spread evenly over the audio."""
        ends = [index for index in range(1, len(text) + 1) if text[index : index + 1] in ("", " ")]
        words = tuple(e.SpokenTo(end, samples * (number + 1) // len(ends)) for number, end in enumerate(ends))
        audio = e.ResponseAudio(response, b"\0\0" * samples, samples, words)
        return self.tell(e.ResponseText(response, text), audio)

    def finished(self, response: str) -> list[e.Output]:
        return self.tell(e.ResponseFinished(response, e.TokenUsage(input_text=10, output_text=4)))

    def question(self, text: str = "are you open on friday") -> str:
        """A whole spoken turn up to its commit; the id of the response that it started."""
        self.speech()
        self.silence()
        self.heard(text)
        self.silence(480)
        return self.last(e.ResponseCreated).response.id

    def last(self, kind: type[Kind]) -> Kind:
        return [output for output in self.log if isinstance(output, kind)][-1]

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [output for output in self.log if isinstance(output, kind)]


def names(outputs: list[e.Output]) -> list[str]:
    return [type(output).__name__ for output in outputs]
