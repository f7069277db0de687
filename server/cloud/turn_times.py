"""When the stages of a hosted answer were reached, as far as a provider's events tell. They come over the network, and
their way is part of each time."""

from __future__ import annotations

from collections.abc import Callable

from server.cloud.base import Command, Dialect
from server.cloud.heard import Heard
from server.core import events as e
from server.runtime.stages import StageObserver, Timings


class TurnTimes:
    """One session's. Counted from the end of the caller's speech; where a turn was ended by hand, or nobody spoke, from
    the command that ended it or asked. A turn whose end the provider does not tell has no times.

    ``first_segment`` is never known; ``llm_first_token`` is the first word of the answer that is told.
    """

    def __init__(self, dialect: Dialect, heard: Heard, clock: Callable[[], float], observer: StageObserver) -> None:
        self._dialect, self._heard, self._clock, self._observer = dialect, heard, clock, observer
        self._turn: Timings | None = None
        self._words: tuple[str, Timings | None] = "", None
        self._responses: dict[str, Timings] = {}
        self._last: tuple[str, Timings | None] = "", None

    def sent(self, command: Command) -> None:
        """It is on its way to the provider."""
        ends_turn = isinstance(command, e.CommitAudio)
        if ends_turn or (isinstance(command, e.CreateResponse) and self._turn is None):
            self._turn = Timings(self._clock())

    def see(self, event: e.Event, command: Command | None, config: e.SessionConfig) -> None:
        """An event of the conversation. command: what it looks like the answer to."""
        match event:
            case e.SpeechStarted():
                self._turn = None
            case e.SpeechStopped() if config.turn_detection is not None:
                self._silent(event, config.turn_detection)
            case e.AudioCommitted():
                self._words = event.item_id, self._turn
            case e.TranscriptionCompleted():
                self._written(event)
            case e.ResponseCreated() if event.response.conversation and not isinstance(command, e.Say):
                timings, self._turn = self._turn, None
                if timings is not None:
                    self._responses[event.response.id] = timings
                    self._reached(event.response.id, "response_created")
            case e.OutputTextDelta() | e.OutputTranscriptDelta():
                self._reached(event.response_id, "llm_first_token")
            case e.OutputAudioDelta():
                self._reached(event.response_id, "tts_first_audio")
            case e.ResponseDone():
                self._done(event.response.id)
            case _:
                pass

    def of(self, response_id: str) -> Timings | None:
        """The stages of the response that ended last; given once."""
        last, self._last = self._last, ("", None)
        return last[1] if last[0] == response_id else None

    def _silent(self, event: e.SpeechStopped, turns: e.TurnDetection) -> None:
        behind_ms = self._dialect.silence_ms(turns)
        if behind_ms is None:
            self._turn = None
            return
        spoken = (event.audio_end_ms - behind_ms) * e.INPUT_RATE // 1000
        self._turn = Timings(self._clock() - max(0, self._heard.position - spoken) / e.INPUT_RATE)

    def _written(self, event: e.TranscriptionCompleted) -> None:
        item_id, timings = self._words
        if item_id != event.item_id or timings is None:
            return
        timings.reached["stt_final"] = self._clock() - timings.origin
        if not event.transcript.strip() and timings is self._turn:
            # Nobody has said anything: whatever is answered next, it is not this.
            self._turn = None

    def _reached(self, response_id: str, stage: str) -> None:
        timings = self._responses.get(response_id)
        if timings is not None:
            timings.reached.setdefault(stage, self._clock() - timings.origin)

    def _done(self, response_id: str) -> None:
        timings = self._responses.pop(response_id, None)
        self._last = response_id, timings
        for stage, seconds in timings.reached.items() if timings else ():
            self._observer.observe_stage(stage, seconds)
