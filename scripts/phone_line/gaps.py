"""Gaps in what a caller hears, told from the pauses between two answers."""

from __future__ import annotations

_SHORT_FRAMES = 25
"""Where no marks tell which sound belongs together: silence for less than half a second was a gap."""


class Gaps:
    """Counts frames without sound between two pieces of the same item: the server was too late with the second.

    The server names its marks ``item:number``, one behind each piece. Silence that is part of the sound is none, nor is
    that between a filler and the answer, which are two items.
    """

    def __init__(self) -> None:
        self.count = 0
        self._marks = False
        self._item: str | None = None
        self._silent: int | None = None
        self._before_piece = 0

    def frame(self, sound: bool) -> None:
        """A frame was played; sound: there was something to play."""
        if not sound:
            self._silent = None if self._silent is None else self._silent + 1
            return
        if self._silent:
            self._before_piece = self._silent
            self.count += not self._marks and self._silent < _SHORT_FRAMES
        self._silent = 0

    def mark(self, name: str) -> None:
        """The sound before this mark is played."""
        if not self._marks:
            self._marks, self.count = True, 0
        item = name.partition(":")[0]
        self.count += item == self._item and self._before_piece > 0
        self._item, self._before_piece = item, 0

    def clear(self) -> None:
        """What was to be played is thrown away: what comes next is another matter."""
        self._item, self._silent, self._before_piece = None, None, 0
