"""What LiveKit's protocol code cannot read it logs, and goes on."""

from __future__ import annotations

import logging


class _Log(logging.Handler):
    def __init__(self, dropped: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._dropped = dropped

    def emit(self, record: logging.LogRecord) -> None:
        if "openai" in record.pathname:
            cause = record.exc_info[1] if record.exc_info else vars(record).get("errors")
            self._dropped.append(f"{record.getMessage()}: {cause}")


def collect_dropped(dropped: list[str]) -> None:
    """Have ``dropped`` grow with each such entry."""
    logging.getLogger("livekit").addHandler(_Log(dropped))
