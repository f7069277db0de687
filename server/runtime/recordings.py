"""What was said, as samples: kept for clients that ask for an item again, as long as there is room."""

from __future__ import annotations

_ROOM = 64 * 1024 * 1024
_LONGEST = 5 * 60 * 48_000
"""Five minutes of the best quality on the wire: hardly a client could take more in one frame."""


class Recordings:
    """The audio of one conversation's items, by id, ``room`` bytes in all: the oldest goes first. An item of more than
    ``longest`` bytes is not kept."""

    def __init__(self, room: int = _ROOM, longest: int = _LONGEST) -> None:
        self._room, self._longest = room, longest
        self._samples: dict[str, bytearray] = {}
        self._widths: dict[str, int] = {}
        self._size = 0

    def get(self, item_id: str) -> bytes | None:
        """None when nothing is kept of the item."""
        kept = self._samples.get(item_id)
        return None if kept is None else bytes(kept)

    def add(self, item_id: str, data: bytes, width: int) -> None:
        """More samples of an item, of ``width`` bytes each."""
        if item_id not in self._widths:
            self._widths[item_id] = width
            self._samples[item_id] = bytearray()
        if item_id not in self._samples:  # its beginning is gone already
            return
        self._samples[item_id] += data
        self._size += len(data)
        if len(self._samples[item_id]) > self._longest:
            self._forget(item_id)
        while self._size > self._room:
            self._forget(next(iter(self._samples)))

    def cut(self, item_id: str, samples: int) -> None:
        """Keep the beginning of an item only."""
        if item_id in self._samples:
            kept = self._samples[item_id]
            self._size -= len(kept)
            del kept[samples * self._widths[item_id] :]
            self._size += len(kept)

    def drop(self, item_id: str) -> None:
        """The item is no more."""
        self._forget(item_id)
        self._widths.pop(item_id, None)

    def _forget(self, item_id: str) -> None:
        self._size -= len(self._samples.pop(item_id, b""))
