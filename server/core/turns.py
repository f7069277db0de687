"""Turn-taking by voice activity: when a caller's turn starts, pauses, resumes and ends.

The turn's life is one table; docs/architecture.md draws its diagram from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from server.core.endpointing import longest_hold_ms
from server.core.events import INPUT_RATE, SpeechProbability, TurnDetection

_SAMPLES_PER_MS = INPUT_RATE // 1000
_START_FRAMES = 2
"""A lone frame over the threshold is a click; two in a row (64 ms) are speech."""
_BREATH = 2
"""Frames (64 ms) under the threshold after which what seemed to be a voice was none."""
_HYSTERESIS = 0.15
"""Speech goes on until the probability falls this far under the threshold (Silero's own iterator does the same)."""
_FRAME = 32 * _SAMPLES_PER_MS
_AFTERGLOW = 2 * _FRAME
"""The detector believes in speech for up to this long after the sound; longer than that is speech too soft to tell."""
_MAX_VAD_LAG = 2 * _FRAME
"""A hold may end on the input clock only while the VAD is this close behind it: what it has not seen may be speech."""


class TurnState(StrEnum):
    IDLE = "idle"
    SPEAKING = "speaking"
    SETTLING = "settling"
    COMMITTED = "committed"


class TurnEvent(StrEnum):
    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    ENDED = "ended"
    DROPPED = "dropped"


TRANSITIONS: dict[tuple[TurnState, TurnEvent], TurnState] = {
    (TurnState.IDLE, TurnEvent.STARTED): TurnState.SPEAKING,
    (TurnState.SPEAKING, TurnEvent.PAUSED): TurnState.SETTLING,
    (TurnState.SETTLING, TurnEvent.RESUMED): TurnState.SPEAKING,
    (TurnState.SETTLING, TurnEvent.ENDED): TurnState.COMMITTED,
    (TurnState.SPEAKING, TurnEvent.ENDED): TurnState.COMMITTED,
    (TurnState.SPEAKING, TurnEvent.DROPPED): TurnState.IDLE,
    (TurnState.SETTLING, TurnEvent.DROPPED): TurnState.IDLE,
    (TurnState.COMMITTED, TurnEvent.STARTED): TurnState.SPEAKING,
}


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """How the server prepares ahead. soft_end_ms: silence after which a turn settles and an answer may be prepared.
    prepare: whether it is. max_prepares: attempts in one turn; a caller who pauses often costs no more than that.
    interrupt_ms: speech that it takes to stop an answer; shorter sounds over it (a click) are let pass.
    interrupt_words: words that it takes besides, "mm-hm" and the like not counted; 0: the sound alone decides.
    pauses: whether the door can be silent at once and go on later where it was; then an answer pauses at the first
    frame of speech over it, and goes on after an "mm-hm", also where the sound alone decides.
    doubtful_answers: answers in a row to turns whose words cannot be trusted; None for any number.
    """

    prepare: bool = True
    soft_end_ms: int = 96
    max_prepares: int = 3
    interrupt_ms: int = 160
    interrupt_words: int = 0
    pauses: bool = False
    doubtful_answers: int | None = None


class Turns:
    """Voice activity in, turn events out. Positions are samples of the 16 kHz input clock."""

    def __init__(self, policy: TurnPolicy) -> None:
        self._policy = policy
        self.state = TurnState.IDLE
        self.start = 0
        self.speech_end = 0
        self.hold_ms: int | None = None
        """What the words of the turn so far say about its hold (``semantic_vad``); None while they are not known."""
        self._run = 0
        self._quiet = _BREATH
        self._seen = 0
        self._floor = 0

    @property
    def open(self) -> bool:
        """Whether a turn is under way."""
        return self.state in (TurnState.SPEAKING, TurnState.SETTLING)

    @property
    def stirring(self) -> bool:
        """Whether no turn is under way, and one may be about to start."""
        return not self.open and self._quiet < _BREATH

    def probability(
        self, fact: SpeechProbability, detection: TurnDetection, *, interrupts: bool = False
    ) -> TurnEvent | None:
        """Take the VAD's word for a frame; return what it means for the turn, if anything.

        interrupts: a turn that starts here would stop an answer. After STARTED, ``start`` is the turn's first sample,
        prefix padding included.
        """
        position, self._seen = fact.position, fact.position
        loud = fact.probability >= detection.threshold
        if not self.open:
            self._run = self._run + 1 if loud else 0
            self._quiet = 0 if loud else self._quiet + 1
            if self._run < (max(_START_FRAMES, self._policy.interrupt_ms // 32) if interrupts else _START_FRAMES):
                return None
            padding = detection.prefix_padding_ms * _SAMPLES_PER_MS
            self.start = max(self._floor, position - self._run * _FRAME - padding)
            self.speech_end = 0
            self._heard(fact)
            self.hold_ms = None
            return self._move(TurnEvent.STARTED)
        if self.state is TurnState.SETTLING:
            if loud:
                self._heard(fact)
                self.hold_ms = None
                return self._move(TurnEvent.RESUMED)
            return self.clock(position, detection)
        if fact.probability >= detection.threshold - _HYSTERESIS:
            self._heard(fact)
            return None
        soft_end = min(self._policy.soft_end_ms, self._hold_ms(detection)) * _SAMPLES_PER_MS
        return self._move(TurnEvent.PAUSED) if position - self.speech_end >= soft_end else None

    def clock(self, position: int, detection: TurnDetection) -> TurnEvent | None:
        """Audio has been received up to ``position``: has the hold passed in silence?"""
        hold = self._hold_ms(detection) * _SAMPLES_PER_MS
        over = position - self.speech_end >= hold and position - self._seen <= _MAX_VAD_LAG
        if self.state is TurnState.SETTLING and over:
            return self.end(position)
        return None

    def end(self, position: int) -> TurnEvent:
        """The turn ends here (the hold is over, or the client commits)."""
        self._forget(position)
        return self._move(TurnEvent.ENDED)

    def drop(self, position: int) -> TurnEvent:
        """The turn never was (the client clears its audio, or turns detection off)."""
        self._forget(position)
        return self._move(TurnEvent.DROPPED)

    def skip_to(self, position: int) -> None:
        """Audio before ``position`` belongs to no later turn."""
        self._forget(position)

    def _heard(self, fact: SpeechProbability) -> None:
        sound = fact.position if fact.loud_until is None else fact.loud_until
        self.speech_end = max(self.speech_end, sound, fact.position - _AFTERGLOW)

    def _hold_ms(self, detection: TurnDetection) -> int:
        if detection.kind != "semantic_vad":
            return detection.silence_duration_ms
        return longest_hold_ms(detection.eagerness) if self.hold_ms is None else self.hold_ms

    def _forget(self, position: int) -> None:
        self._run, self._quiet = 0, _BREATH
        self._floor = position

    def _move(self, event: TurnEvent) -> TurnEvent:
        self.state = TRANSITIONS[self.state, event]
        return event
