"""Where on its line a piece of the caller's sound belongs: lost frames become silence of the same length."""

from __future__ import annotations

from server.transports.carrier import FRAME_MS

_MAX_GAP_MS = 5_000
"""A jump of the carrier's clock beyond this is no loss of sound."""
STALL_MS = 750
"""Without sound for so long, the caller counts as silent: a turn that is waiting for its end must get one."""
STALL_FILL_MS = 1_000


class Timeline:
    """Counts what was heard against the carrier's time stamps, in milliseconds of the stream."""

    def __init__(self) -> None:
        self._position_ms = 0

    def missing_ms(self, at_ms: int | None, length_ms: int) -> int:
        """Silence that belongs before a piece of this length, in whole frames; the piece counts as heard then.
        Time stamps may be a little off: less than a frame is no gap."""
        gap = 0 if at_ms is None else at_ms - self._position_ms
        missing = gap // FRAME_MS * FRAME_MS if gap >= FRAME_MS else 0
        if missing > _MAX_GAP_MS:
            self._position_ms += missing
            missing = _MAX_GAP_MS
        else:
            self._position_ms += missing
        self._position_ms += length_ms
        return missing

    def fill(self, ms: int) -> None:
        """So much silence was put in without being asked for."""
        self._position_ms += ms
