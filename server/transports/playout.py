"""Speech on its way to a phone: cut into whole frames, and sent a little ahead of the caller's ear, not at once.

What the carrier holds unplayed is what a barge-in has to throw away, so it is kept short.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from server.transports.carrier import FRAME_MS


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole frames of an item's speech. end: samples of the item up to the piece's end. epoch: of the playout when it
    was taken; a piece of an earlier one was thrown away in the meantime."""

    item_id: str
    audio: bytes
    end: int
    epoch: int


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
        self.epoch += 1
        self.plays_until = self._clock()
        self._changed.set()

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
            piece = self._take()
            seconds = len(piece.audio) / self._frame * FRAME_MS / 1000
            self.plays_until = max(self.plays_until, self._clock()) + seconds
            return piece

    def _ready(self) -> bool:
        while self._queue and self._over(self._queue[0]) and not self._queue[0].audio:
            self._queue.popleft()
        if self._held or not self._queue:
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
        first.position += whole // self._width
        missing = -whole % self._frame
        return Piece(first.item_id, data + self._silence[len(self._silence) - missing :], first.position, self.epoch)
