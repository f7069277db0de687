"""The caller's side of a Session: turns, their audio, their transcripts."""

from __future__ import annotations

from dataclasses import dataclass

from server.core import events as e
from server.core.backchannel import meant_so_far, meant_words
from server.core.conversation import with_text
from server.core.doubts import Doubts, Sound
from server.core.endpointing import ending_probability, hold_ms
from server.core.pause import Pause
from server.core.responses import Responses
from server.core.state import State
from server.core.turns import TurnEvent, TurnPolicy, Turns, TurnState

_SAMPLES_PER_MS = e.INPUT_RATE // 1000
_MIN_COMMIT_MS = 100
_PROBE_WAIT = 480 * _SAMPLES_PER_MS
"""A transcriber that says nothing about speech over an answer for so long is too slow to be asked: that is meant."""
_UNPROBED = 100 * _SAMPLES_PER_MS
"""So short an end of the speech, not yet transcribed when the hold is over, holds no word."""
_MAX_TURN = 15 * 60 * e.INPUT_RATE
"""A turn that goes on for longer (music, an open line) is taken as it is, so that its audio cannot grow for ever."""


@dataclass(slots=True)
class _Turn:
    """A caller's turn from its first sample until its transcript is final.

    revision: rises when speech resumes, so that transcripts asked for before are stale. asked: a transcript of this
    revision is under way or there. shown: what the client has seen of it. opened: where in the input it was noticed.
    tentative: said over an answer, and nobody knows yet whether there are words in it; the client has not heard of it.
    probed: what the transcriber has said about it last, None for nothing; probed_to: up to where in the input.
    """

    item_id: str
    start: int
    end: int = 0
    revision: int = 0
    pauses: int = 0
    asked: bool = False
    shown: str = ""
    opened: int = 0
    tentative: bool = False
    probed: str | None = None
    probed_to: int = 0
    transcript: e.TranscriptFinal | None = None


class Hearing:
    """Turns by voice activity or by the client's commits, from their first sample to their transcript."""

    def __init__(self, state: State, policy: TurnPolicy, responses: Responses, pause: Pause) -> None:
        self._state = state
        self._policy = policy
        self._responses = responses
        self._pause = pause
        self._turns = Turns(policy)
        self._doubts = Doubts(policy.doubtful_answers)
        self._turn: _Turn | None = None
        self._pending: dict[str, _Turn] = {}
        self._buffer_start = 0

    @property
    def settling(self) -> bool:
        """Whether a hold is running."""
        return self._turns.state is TurnState.SETTLING

    @property
    def probing(self) -> bool:
        """Whether somebody speaks over an answer, so that it is urgent what is said."""
        return self._turn is not None and self._turn.tentative

    @property
    def idle(self) -> bool:
        """Whether no turn is under way."""
        return self._turn is None

    @property
    def contested(self) -> bool:
        """Whether somebody seems to speak over the answer, and it is not known yet whether that is meant."""
        turn = self._turn
        if turn is None:
            return self._turns.stirring
        return turn.tentative and not (self.settling and turn.transcript is not None and self._passes(turn))

    @property
    def sound(self) -> Sound:
        """What the caller's side of the line holds now, as far as anybody knows."""
        if self._turn is None:
            return Sound.UNKNOWN if self._pending else Sound.NOTHING
        said = self._turn.probed if self._turn.transcript is None else self._turn.transcript.text
        if said is None:
            return Sound.UNKNOWN
        return Sound.WORDS if said and not self._doubts.exhausted else Sound.NOTHING

    # ------------------------------------------------------------------------------- client commands

    def commit(self, fact: e.CommitAudio) -> list[e.Output]:
        """input_audio_buffer.commit: never starts a response by itself."""
        self._state.advance(fact.position)
        if self._turn is not None:
            self._turns.end(fact.position)
            meant = self._confirm(self._turn)
            committed = self._commit(self._turn, fact.position, self._turns.speech_end)
            return [*meant, *self._responses.discard(), *committed]
        buffered_ms = (fact.position - self._buffer_start) / _SAMPLES_PER_MS
        if buffered_ms < _MIN_COMMIT_MS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{_MIN_COMMIT_MS}ms of audio, but buffer only has {buffered_ms:.2f}ms of audio."
            )
            return [e.Error("input_audio_buffer_commit_empty", message, None, fact.event_id)]
        self._turns.skip_to(fact.position)
        turn = _Turn(self._state.new_id("item"), self._buffer_start)
        return [e.OpenUtterance(turn.item_id, turn.start), *self._commit(turn, fact.position, fact.position)]

    def clear(self, fact: e.ClearAudio) -> list[e.Output]:
        """input_audio_buffer.clear"""
        self._state.advance(fact.position)
        outputs = self._drop()
        self._turns.skip_to(fact.position)
        self._buffer_start = fact.position
        return [*outputs, e.AudioCleared()]

    def detection_off(self) -> list[e.Output]:
        """Turn detection was switched off. The caller goes on speaking into a manual buffer: the turn's audio stays,
        its decisions do not."""
        if self._turn is not None:
            self._buffer_start = self._turn.start
        return self._drop()

    def _drop(self) -> list[e.Output]:
        if self._turn is None:
            return []
        self._turns.drop(self._state.clock)
        dropped, self._turn = self._turn, None
        return [*self._responses.discard(), e.DropUtterance(dropped.item_id)]

    # ------------------------------------------------------------------------------- voice activity

    def probability(self, fact: e.SpeechProbability) -> list[e.Output]:
        self._state.advance(fact.position)
        detection = self._state.config.turn_detection
        if detection is None:
            return []
        if self._turn is not None and fact.position - self._turn.start >= _MAX_TURN:
            return self._changed(self._turns.end(fact.position), fact.position)
        interrupts = detection.interrupt_response and self._responses.audible
        change = self._turns.probability(fact, detection, interrupts=interrupts)
        outputs = self._changed(change, fact.position)
        if change is TurnEvent.PAUSED:
            # A hold as short as the soft end is over in the same frame.
            outputs += self._changed(self._turns.clock(fact.position, detection), fact.position)
        return [*outputs, *self._overdue(fact.position)]

    def _overdue(self, position: int) -> list[e.Output]:
        """Nobody speaks any more whom the caller could interrupt, or what he says will be known too late."""
        turn = self._turn
        if turn is None or not turn.tentative or self.settling:
            return []
        late = turn.probed is None and position - turn.opened >= _PROBE_WAIT
        late = late or (self._pause.over and self._policy.interrupt_words == 0)
        return self._confirm(turn) if late or not self._responses.audible else []

    def clock(self, fact: e.InputClock) -> list[e.Output]:
        self._state.advance(fact.position)
        detection = self._state.config.turn_detection
        return self._changed(self._turns.clock(fact.position, detection), fact.position) if detection else []

    def _changed(self, change: TurnEvent | None, position: int) -> list[e.Output]:
        if change is None:
            return []
        if change is TurnEvent.STARTED:
            return self._started(position)
        turn = self._turn
        assert turn is not None
        if change is TurnEvent.RESUMED:
            turn.revision += 1
            turn.asked, turn.transcript = False, None
            return self._responses.discard()
        if change is TurnEvent.PAUSED:
            return self._paused(turn, position)
        if self._passes(turn):
            self._turn = None
            return [*self._responses.discard(), e.DropUtterance(turn.item_id)]
        meant = self._confirm(turn)
        detection = self._state.config.turn_detection
        if detection is not None and detection.create_response:
            self._state.due.add(turn.item_id)
        stopped = e.SpeechStopped(turn.item_id, position // _SAMPLES_PER_MS)
        return [*meant, stopped, *self._commit(turn, position, self._turns.speech_end)]

    def _started(self, position: int) -> list[e.Output]:
        detection = self._state.config.turn_detection
        interrupts = detection is not None and detection.interrupt_response and self._responses.audible
        tentative = interrupts and (self._policy.interrupt_words > 0 or self._policy.pauses)
        turn = self._turn = _Turn(self._state.new_id("item"), self._turns.start, opened=position, tentative=True)
        opened = e.OpenUtterance(turn.item_id, turn.start)
        return [opened] if tentative else [*self._confirm(turn, opened)]

    def _confirm(self, turn: _Turn, *opened: e.Output) -> list[e.Output]:
        """It is meant: the client learns of it, and the answer ends."""
        if not turn.tentative:
            return []
        turn.tentative = False
        outputs: list[e.Output] = [e.SpeechStarted(turn.item_id, turn.start // _SAMPLES_PER_MS), *opened]
        detection = self._state.config.turn_detection
        if detection is not None and detection.interrupt_response:
            outputs += self._responses.barge_in()
        return outputs

    def _passes(self, turn: _Turn) -> bool:
        """What was said over the answer held no words that take the floor: the answer goes on as if it had not been.
        Where the answer has ended meanwhile, or would have but for the pause, "yes" may well be the reply to it."""
        text = turn.transcript.text if turn.transcript else turn.probed
        known = turn.transcript is not None or turn.probed_to >= self._turns.speech_end - _UNPROBED
        if not turn.tentative or text is None or not known or not self._harmless(text):
            return False
        return not text or (self._responses.audible and not self._pause.ending)

    def _harmless(self, text: str) -> bool:
        """Whether these are no words that take the floor. Where no word is asked for, only others than those are let
        pass: what nobody has understood may be "stop"."""
        wanted = self._policy.interrupt_words
        return meant_words(text) < max(1, wanted) and (wanted > 0 or bool(text))

    def _paused(self, turn: _Turn, position: int) -> list[e.Output]:
        turn.pauses += 1
        prepare = self._policy.prepare and turn.pauses <= self._policy.max_prepares
        if not prepare and not self._semantic and not turn.tentative:
            return []
        turn.asked = True
        return [e.Transcribe(turn.item_id, turn.revision, position, self._turns.speech_end, confirmed=False)]

    def _commit(self, turn: _Turn, position: int, speech_end: int) -> list[e.Output]:
        """The turn becomes an item; its transcript may be there already."""
        self._turn = None
        turn.end = self._buffer_start = position
        conversation = self._state.conversation
        item = e.Item(turn.item_id, e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_audio", None),))
        version = conversation.version
        previous = conversation.insert(item)
        outputs: list[e.Output] = [
            e.AudioCommitted(item.id, previous),
            e.ItemAdded(item, previous),
            e.ItemDone(item, previous),
        ]
        closed = e.CloseUtterance(turn.item_id, turn.start, position)
        if turn.transcript is not None:
            return [*outputs, closed, *self._transcribed(turn, turn.transcript, version)]
        self._pending[item.id] = turn
        self._state.transcribing.add(item.id)
        if not turn.asked:
            outputs.append(e.Transcribe(item.id, turn.revision, position, speech_end, confirmed=True))
        return [*outputs, closed]

    def idle_timeout(self, fact: e.IdleTimeout) -> list[e.Output]:
        """input_audio_buffer.timeout_triggered: the caller's silence becomes an item without words, and is answered."""
        state, detection = self._state, self._state.config.turn_detection
        timed = detection is not None and detection.idle_timeout_ms is not None
        busy = self._responses.audible or self._responses.reports.busy or state.transcribing
        if not timed or self._turn is not None or busy:
            return []
        item = e.Item(
            state.new_id("item"), e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_audio", ""),)
        )
        start, self._buffer_start = self._buffer_start, state.clock
        previous = state.conversation.insert(item)
        return [
            e.TimeoutTriggered(item.id, start // _SAMPLES_PER_MS, state.clock // _SAMPLES_PER_MS),
            e.AudioCommitted(item.id, previous),
            e.ItemAdded(item, previous),
            e.ItemDone(item, previous),
            *self._responses.silence(),
        ]

    def brought(self, item: e.Item, audio: bytes) -> list[e.Output]:
        """An item came with audio of its own: its words are found like those of a turn."""
        wire = self._state.config.input_format
        length = len(audio) // wire.width * e.INPUT_RATE // wire.rate
        self._pending[item.id] = _Turn(item.id, 0, end=length, asked=True)
        self._state.transcribing.add(item.id)
        return [e.HearAudio(item.id, audio)]

    # --------------------------------------------------------------------------------- transcripts

    def partial(self, fact: e.TranscriptPartial) -> list[e.Output]:
        turn = self._turn if self._turn and self._turn.item_id == fact.item_id else self._pending.get(fact.item_id)
        if turn is None or turn.transcript is not None:
            return []
        words = meant_so_far(fact.text, turn.probed or "", fact.confidence)
        turn.probed, turn.probed_to = fact.text, turn.start + fact.audio_ms * _SAMPLES_PER_MS
        meant = self._confirm(turn) if words >= max(1, self._policy.interrupt_words) else []
        return [] if turn.tentative else [*meant, *self._show(turn, fact.stable)]

    def final(self, fact: e.TranscriptFinal) -> list[e.Output]:
        turn = self._turn
        if turn is not None and turn.item_id == fact.item_id:
            if fact.revision != turn.revision:
                return []
            turn.transcript = fact
            return self._understood(turn, fact)
        turn = self._pending.get(fact.item_id)
        if turn is None or fact.revision != turn.revision:
            return []
        self._settle(turn)
        return self._transcribed(turn, fact, None)

    @property
    def _semantic(self) -> bool:
        detection = self._state.config.turn_detection
        return detection is not None and detection.kind == "semantic_vad"

    def _understood(self, turn: _Turn, transcript: e.TranscriptFinal) -> list[e.Output]:
        """The words of a turn that has settled are known: how long to wait for more, and what to answer."""
        detection = self._state.config.turn_detection
        meant = [] if self._harmless(transcript.text) else self._confirm(turn)
        if detection is not None and self._semantic:
            sure = ending_probability(transcript.logprobs)
            self._turns.hold_ms = hold_ms(transcript.text, transcript.language, detection.eagerness, sure)
            over = self._turns.clock(self._state.clock, detection)
            if over is not None:
                return [*meant, *self._changed(over, self._state.clock)]
        prepare = self._policy.prepare and turn.pauses <= self._policy.max_prepares
        if not prepare or turn.tentative or not self._doubts.answers(transcript):
            return meant
        language = self._state.language_with(transcript)
        return [*meant, *self._responses.prepare(turn.item_id, transcript.text, language)]

    def failed(self, fact: e.TranscriptFailed) -> list[e.Output]:
        turn = self._turn
        if turn is not None and turn.item_id == fact.item_id:
            if fact.revision == turn.revision:
                turn.asked = False
            return []
        turn = self._pending.get(fact.item_id)
        if turn is None or fact.revision != turn.revision:
            return []
        self._settle(turn)
        self._state.unanswered.discard(turn.item_id)
        shown = self._state.config.transcription is not None
        outputs: list[e.Output] = [e.TranscriptionFailed(turn.item_id, fact.message)] if shown else []
        if turn.item_id in self._state.due:
            self._state.due.discard(turn.item_id)
            outputs += self._responses.unheard(fact.message)
        return [*outputs, *self._responses.resume()]

    def _settle(self, turn: _Turn) -> None:
        del self._pending[turn.item_id]
        self._state.transcribing.discard(turn.item_id)

    def _transcribed(self, turn: _Turn, transcript: e.TranscriptFinal, version: int | None) -> list[e.Output]:
        """A committed turn has its transcript. version: the conversation's just before the commit, if that was in the
        same step: then a response prepared from it may be adopted."""
        state = self._state
        state.hear(transcript)
        if turn.item_id in state.conversation:
            state.conversation.update(with_text(state.conversation[turn.item_id], transcript.text))
        outputs: list[e.Output] = []
        if state.config.transcription is not None:
            outputs += self._show(turn, transcript.text)
            seconds = (turn.end - turn.start) / e.INPUT_RATE
            logprobs = transcript.logprobs if state.config.logprobs else None
            outputs.append(e.TranscriptionCompleted(turn.item_id, transcript.text, seconds, logprobs))
        answer = turn.item_id in state.due
        state.due.discard(turn.item_id)
        # Noise that held no words needs no answer.
        meant = bool(transcript.text) and self._doubts.answers(transcript)
        self._doubts.note(transcript)
        if not meant:
            state.unanswered.discard(turn.item_id)
        if answer and (meant or (not transcript.text and self._still_asked())):
            return [*outputs, *self._responses.answer(turn.item_id, version)]
        waiting = self._responses.wait_for_caller() if answer else []
        return [*outputs, *self._responses.resume(), *waiting]

    def _still_asked(self) -> bool:
        """A noise has stopped an answer before its first word: whether the caller waits for that now. A question whose
        words are not known yet is answered when they are."""
        state = self._state
        state.due |= state.unanswered & state.transcribing
        state.unanswered -= state.transcribing
        return bool(state.unanswered)

    def _show(self, turn: _Turn, text: str) -> list[e.Output]:
        """input_audio_transcription.delta, for as much of ``text`` as the client has not seen."""
        if self._state.config.transcription is None or not text.startswith(turn.shown) or text == turn.shown:
            return []
        delta, turn.shown = text[len(turn.shown) :], text
        return [e.TranscriptionDelta(turn.item_id, delta)]
