"""Speech on its way to a phone: cut into whole frames, and sent a little ahead of the caller's ear, not at once.

What the carrier holds unplayed is what a barge-in has to throw away, so it is kept short.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from server.transports.carrier import FRAME_MS

_MARK_S = 1.0
"""After so long, what was sent was heard, whether or not a carrier says so."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole frames of an item's speech. end: samples of the item up to the piece's end. epoch: of the playout when it
    was taken; a piece of an earlier one was thrown away in the meantime."""

    item_id: str
    audio: bytes
    end: int
    epoch: int


@dataclass(frozen=True, slots=True)
class _Sent:
    """Speech that may not be heard yet. start: of its samples in the item. until: when it will be, by the clock."""

    item_id: str
    audio: bytes
    start: int
    end: int
    until: float


@dataclass(slots=True)
class _Speech:
    """What is left to send of one item. complete: nothing will be added."""

    item_id: str
    position: int
    audio: bytearray = field(default_factory=bytearray)
    complete: bool = False


class Playout:
    """One call's speech, in the Session's format."""

    def __init__(
        self, *, frame: int, width: int, silence: bytes, lead_ms: int, piece_ms: int, clock: Callable[[], float]
    ) -> None:
        """frame: bytes of FRAME_MS. width: bytes of a sample. silence: one frame of it, to fill up the last.
        lead_ms: the most that is ahead of the ear when a piece has been sent."""
        self._frame, self._width, self._silence = frame, width, silence
        self._lead_s = max(0, lead_ms - piece_ms) / 1000
        self._most = piece_ms // FRAME_MS * frame
        self._clock = clock
        self._queue: deque[_Speech] = deque()
        self._changed = asyncio.Event()
        self._held = False
        self.paused = False
        """Whether it is silent for a moment, with all that was not heard kept."""
        self._unheard: deque[_Sent] = deque()
        self._behind_s: float | None = None
        self.epoch = 0
        self.plays_until = 0.0
        """When the caller will have heard all that was sent, by the clock, without the way there."""

    def hold(self, held: bool) -> None:
        """While held, nothing is given out: there is nobody to send it to."""
        self._held = held
        self._changed.set()

    @property
    def empty(self) -> bool:
        """Whether all speech so far is sent."""
        return not any(speech.audio for speech in self._queue)

    def add(self, item_id: str, audio: bytes, start: int) -> None:
        """More of an item's speech; start: the sample at which it begins in the item."""
        if not self._queue or self._queue[-1].item_id != item_id:
            self._queue.append(_Speech(item_id, start))
        self._queue[-1].audio += audio
        self._changed.set()

    def complete(self, item_id: str) -> None:
        """The item has no more speech than this."""
        for speech in self._queue:
            if speech.item_id == item_id:
                speech.complete = True
        self._changed.set()

    def clear(self) -> None:
        """Throw everything away; what was sent is not played either."""
        self._queue.clear()
        self._silence_now()

    def _silence_now(self) -> None:
        self._unheard.clear()
        self.epoch += 1
        self.plays_until = self._clock()
        self._changed.set()

    def pause(self, *, thrown_away: bool) -> None:
        """Give nothing out until ``resume``. thrown_away: the carrier drops what it has not played; it will be given
        out again, from where the caller has heard it to."""
        self.paused = True
        if thrown_away:
            self._take_back(self.plays_until - self._clock() + (self._behind_s or 0.0))
            self._silence_now()

    def resume(self) -> None:
        """Go on."""
        self.paused = False
        self._changed.set()

    def played(self, item_id: str, end: int) -> None:
        """The carrier says that it has played the item up to this sample. The least that it ever was behind the clock
        is how long sound takes to the ear and the word of it back."""
        for number, piece in enumerate(self._unheard):
            if (piece.item_id, piece.end) == (item_id, end):
                behind_s = max(0.0, self._clock() - piece.until)
                self._behind_s = behind_s if self._behind_s is None else min(self._behind_s, behind_s)
                for _ in range(number + 1):
                    self._unheard.popleft()
                return

    def _take_back(self, seconds: float) -> None:
        """So much of what was sent is to be said again, in whole frames: rather a little twice than not at all."""
        frames = math.ceil(round(seconds * 1000 / FRAME_MS, 3))
        while frames > 0 and self._unheard:
            piece = self._unheard.pop()
            length = -(-len(piece.audio) // self._frame)
            skipped = max(0, length - frames) * self._frame
            frames -= length
            if not self._queue or self._queue[0].item_id != piece.item_id:
                self._queue.appendleft(_Speech(piece.item_id, piece.end, complete=True))
            self._queue[0].audio[:0] = piece.audio[skipped:]
            self._queue[0].position = piece.start + skipped // self._width

    async def next(self) -> Piece:
        """The next piece, when it is time to send it."""
        while True:
            self._changed.clear()
            if not self._ready():
                await self._changed.wait()
                continue
            early = self.plays_until - self._lead_s - self._clock()
            if early > 0:
                await asyncio.sleep(early)
                continue  # it may have been thrown away meanwhile
            return self._take()

    def _ready(self) -> bool:
        while self._queue and self._over(self._queue[0]) and not self._queue[0].audio:
            self._queue.popleft()
        if self._held or self.paused or not self._queue:
            return False
        first = self._queue[0]
        return len(first.audio) >= self._frame or self._over(first)

    def _over(self, first: _Speech) -> bool:
        """Another item behind it says as well that it has ended."""
        return first.complete or len(self._queue) > 1

    def _take(self) -> Piece:
        first = self._queue[0]
        whole = min(len(first.audio) // self._frame * self._frame, self._most) or len(first.audio)
        data = bytes(first.audio[:whole])
        del first.audio[:whole]
        start, first.position = first.position, first.position + whole // self._width
        missing = -whole % self._frame
        now = self._clock()
        self.plays_until = max(self.plays_until, now) + (whole + missing) / self._frame * FRAME_MS / 1000
        while self._unheard and self._unheard[0].until < now - _MARK_S:
            self._unheard.popleft()
        self._unheard.append(_Sent(first.item_id, data, start, first.position, self.plays_until))
        return Piece(first.item_id, data + self._silence[len(self._silence) - missing :], first.position, self.epoch)
