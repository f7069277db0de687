"""How long each stage of an answer took, counted from the end of the caller's speech."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

STAGES = ("stt_final", "llm_first_token", "first_segment", "tts_first_audio", "response_created")


class StageObserver(Protocol):
    """Who wants to know, e.g. the metrics."""

    def observe_stage(self, stage: str, seconds: float) -> None: ...


@dataclass(slots=True)
class Timings:
    """One response's stages in seconds since ``origin``; stages not reached are absent."""

    origin: float
    prepared: bool = False
    reached: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, float | bool | None]:
        """Milliseconds by stage, None for stages not reached, and whether the answer was prepared in the hold."""
        rows: dict[str, float | bool | None] = {
            stage: round(self.reached[stage] * 1000, 1) if stage in self.reached else None for stage in STAGES
        }
        return {**rows, "prepared": self.prepared}


class Stopwatch:
    """The stages of a session's responses. The origin of a response is where the caller's last turn fell silent;
    without one (a typed question, a tool's result) it is the moment the response was asked for."""

    def __init__(self, clock: Callable[[], float], observer: StageObserver) -> None:
        self._clock = clock
        self._observer = observer
        self._turn: Timings | None = None
        self._responses: dict[str, Timings] = {}

    def transcribed(self, silent_since: float) -> None:
        """The final transcript of a turn is there, that fell silent at ``silent_since``."""
        self._turn = Timings(silent_since)
        self._turn.reached["stt_final"] = self._clock() - silent_since

    def begin(self, response_id: str, *, prepared: bool) -> None:
        """Work on the response starts."""
        turn = self._turn or Timings(self._clock())
        self._responses[response_id] = Timings(turn.origin, prepared, dict(turn.reached))
        if not prepared:
            self._turn = None

    def adopted(self) -> None:
        """The turn's prepared response has become its answer."""
        self._turn = None

    def reached(self, response_id: str, stage: str) -> None:
        """The response is at ``stage``; only the first time counts."""
        timings = self._responses.get(response_id)
        if timings is not None and stage not in timings.reached:
            timings.reached[stage] = self._clock() - timings.origin

    def end(self, response_id: str) -> Timings | None:
        """The response is over: report its stages. None if nothing was begun for it."""
        timings = self._responses.pop(response_id, None)
        for stage, seconds in timings.reached.items() if timings else ():
            self._observer.observe_stage(stage, seconds)
        return timings

    def drop(self, response_id: str) -> None:
        """The response was prepared in vain; its stages count for nothing."""
        self._responses.pop(response_id, None)
