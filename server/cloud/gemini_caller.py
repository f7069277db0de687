"""The caller's side of a Gemini Live session: sound at the rate that it takes, and turns in the events of the Realtime
API. Gemini gives its turns no ids and most of its models do not tell where they begin: what is missing is made here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from models import audio
from models.base import Pcm16
from server.core import events as e
from server.core.conversation import Conversation, with_text
from server.runtime.formats import decode

HEARD_RATE = 16_000
_PIECE = HEARD_RATE // 50
_LONGEST_PIECE = HEARD_RATE
_LONGEST_HELD = 15 * 60 * HEARD_RATE


class Microphone:
    """The caller's sound in the client's format to pieces of at least 20 ms at HEARD_RATE."""

    def __init__(self) -> None:
        self._wire = e.AudioFormat.PCM
        self._resampler = audio.Resampler(self._wire.rate, HEARD_RATE)
        self._left: Pcm16 = np.zeros(0, np.int16)
        self._heard = 0
        self._offset_ms = 0

    @property
    def position_ms(self) -> int:
        """How much has been heard in the session."""
        return self._offset_ms + self._heard * 1000 // HEARD_RATE

    def reset(self, offset_ms: int) -> None:
        """A new connection: this much went to others."""
        self._left, self._heard, self._offset_ms = np.zeros(0, np.int16), 0, offset_ms
        self._resampler.reset()

    def push(self, data: bytes, wire: e.AudioFormat) -> list[Pcm16]:
        """What can be sent now."""
        if wire is not self._wire:
            self._wire, self._resampler = wire, audio.Resampler(wire.rate, HEARD_RATE)
        pcm = self._resampler.push(decode(data[: len(data) // wire.width * wire.width], wire))
        self._heard += len(pcm)
        self._left = np.concatenate((self._left, pcm))
        if len(self._left) < _PIECE:
            return []
        ready, self._left = self._left, self._left[:0]
        return [ready[start : start + _LONGEST_PIECE] for start in range(0, len(ready), _LONGEST_PIECE)]


@dataclass(slots=True)
class Held:
    """Sound of turns that the client commits by hand: Gemini gets it when it is to be answered, for what it has got
    cannot be taken back."""

    open: list[Pcm16] = field(default_factory=list)
    committed: list[Pcm16] = field(default_factory=list)
    samples: int = 0

    @property
    def open_ms(self) -> int:
        """How much is not committed."""
        return sum(map(len, self.open)) * 1000 // HEARD_RATE

    def add(self, pieces: list[Pcm16]) -> None:
        """More of it, as long as there is room."""
        for piece in pieces:
            if self.samples + len(piece) <= _LONGEST_HELD:
                self.open.append(piece)
                self.samples += len(piece)

    def commit(self) -> None:
        """What is open is a turn."""
        self.committed += self.open
        self.open = []

    def clear(self) -> None:
        """What is open is forgotten."""
        self.samples -= sum(map(len, self.open))
        self.open = []

    def take(self) -> list[Pcm16]:
        """The committed sound; given once."""
        taken, self.committed = self.committed, []
        self.samples -= sum(map(len, taken))
        return taken


@dataclass(slots=True)
class _Turn:
    item_id: str
    started_ms: int
    ended_ms: int = 0
    words: str = ""
    finished: bool = False
    sent: bool = True
    answered: bool = False


class CallerTurns:
    """The turns of the caller, and their words. conversation: their items are added to it."""

    def __init__(self, conversation: Conversation, new_id: Callable[[str], str]) -> None:
        self._conversation, self._new_id = conversation, new_id
        self.reset()

    def reset(self) -> None:
        """A new connection: nobody waits for words of old turns."""
        self._open: _Turn | None = None
        self._wordless: deque[_Turn] = deque()
        self._early = ""
        self.tells_activity = False
        """Whether this connection's model tells where speech begins and ends."""
        self.unanswered = False
        """Whether a turn was committed that no response has begun for."""

    @property
    def speaking(self) -> bool:
        """Whether a turn has begun that is not committed."""
        return self._open is not None

    def start(self, at_ms: int) -> list[e.Event]:
        """The caller begins to speak. The words of the turn before are complete: what comes now belongs to this one."""
        if self._open is not None:
            return []
        for turn in self._wordless:
            turn.finished = turn.finished or turn.sent
        events = self._complete_finished()
        self._open = _Turn(self._new_id("item"), at_ms)
        events.append(e.SpeechStarted(self._open.item_id, at_ms))
        early, self._early = self._early, ""
        return [*events, *self._add(self._open, early)]

    def end(self, at_ms: int) -> list[e.Event]:
        """The turn is over: it becomes an item."""
        turn, self._open = self._open, None
        if turn is None:
            return []
        turn.ended_ms = max(at_ms, turn.started_ms)
        return [e.SpeechStopped(turn.item_id, turn.ended_ms), *self._committed(turn)]

    def commit(self, length_ms: int, at_ms: int) -> list[e.Event]:
        """The client ends a turn by hand. Gemini has not heard it yet."""
        return self._committed(_Turn(self._new_id("item"), at_ms - length_ms, at_ms, sent=False))

    def sent(self) -> None:
        """Gemini has the sound of all turns, and answers them."""
        for turn in self._wordless:
            turn.sent = turn.answered = True

    def answered(self) -> None:
        """A response begins."""
        self.unanswered = False
        for turn in self._wordless:
            turn.answered = turn.sent

    def words(self, text: str, *, finished: bool, at_ms: int, answering: bool) -> list[e.Event]:
        """A piece of a transcript. answering: an answer is made or played, or a tool runs: new words then belong to a
        turn that will show by itself."""
        events: list[e.Event] = []
        turn = self._open or (self._wordless[-1] if self._wordless and self._wordless[-1].sent else None)
        if turn is None and (self.tells_activity or not text):
            return []
        if turn is None and answering:
            self._early += text
            return []
        if turn is None:
            events += self.start(at_ms)
            turn = self._open
            assert turn is not None
        events += self._add(turn, text)
        turn.finished = turn.finished or finished
        return [*events, *self._complete_finished()]

    def settle(self) -> list[e.Event]:
        """An answer is made: no more words of the turns that it answered are waited for."""
        for turn in self._wordless:
            turn.finished = turn.finished or turn.answered
        return self._complete_finished()

    def forget_early(self) -> None:
        """Words that came while an answer was played belonged to no interruption: they were late."""
        self._early = ""

    def _complete_finished(self) -> list[e.Event]:
        done = [turn for turn in self._wordless if turn.finished]
        self._wordless = deque(turn for turn in self._wordless if not turn.finished)
        events: list[e.Event] = []
        for turn in done:
            if turn.item_id in self._conversation:
                self._conversation.update(with_text(self._conversation[turn.item_id], turn.words.strip()))
            spoken_s = (turn.ended_ms - turn.started_ms) / 1000
            events.append(e.TranscriptionCompleted(turn.item_id, turn.words.strip(), spoken_s))
        return events

    def _add(self, turn: _Turn, text: str) -> list[e.Event]:
        turn.words += text
        return [e.TranscriptionDelta(turn.item_id, text)] if text else []

    def _committed(self, turn: _Turn) -> list[e.Event]:
        item = e.Item(turn.item_id, e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_audio", None),))
        previous = self._conversation.insert(item)
        self._wordless.append(turn)
        self.unanswered = True
        return [
            e.AudioCommitted(item.id, previous),
            e.ItemAdded(item, previous),
            e.ItemDone(item, previous),
            *self._complete_finished(),
        ]
