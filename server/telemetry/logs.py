"""The log: static messages with fields, and a tap that writes down what sessions do.

A call looks like ``logger.info("session opened", extra={"session": id})``. Fields whose name starts with ``pii.``
hold personal data (what a caller said, say); they are left out unless the operator asks for them.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from server.core.events import (
    INPUT_RATE,
    ClearPlayout,
    Error,
    Input,
    Item,
    Output,
    PausePlayout,
    ResponseDone,
    ResponseFailed,
    SessionCreated,
    SpeechProbability,
    ToolFinished,
    TranscriptFailed,
    TranscriptFinal,
    TranscriptionCompleted,
)
from server.serving_settings import LogSettings

PERSONAL = "pii."
_OWN_LOGGERS = ("kammerton", "server", "models")
_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}

logger = logging.getLogger("kammerton.session")


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send all logs of the process to ``stream`` (standard error), replacing what was set up before."""
    target = logging.StreamHandler(stream or sys.stderr)
    target.setFormatter((_JsonLines if settings.format == "json" else _Console)(personal=settings.pii))
    root = logging.getLogger()
    root.handlers[:] = [target]
    wanted = logging.getLevelNamesMapping()[settings.level.upper()]
    # Libraries tell at the level of debug what passes through them: a database's driver each row, with callers' words.
    root.setLevel(max(wanted, logging.INFO))
    for own in _OWN_LOGGERS:
        logging.getLogger(own).setLevel(wanted)
    # Libraries that tell of every request and every peer's address at the level of info.
    for chatty in ("httpx2", "httpcore2", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(wanted, logging.WARNING))


def log_events(session_id: str, input: Input | None, outputs: Sequence[Output]) -> None:
    """The tap: what an operator wants to see of a session, never each frame or delta."""
    if isinstance(input, TranscriptFailed):
        logger.error("transcription failed", extra={"session": session_id, "reason": input.message})
    elif isinstance(input, TranscriptFinal):
        # Also where no client asked for transcripts, and once for each revision of a turn.
        heard = {"session": session_id, "item": input.item_id, "pii.transcript": input.text}
        logger.debug("turn transcribed", extra={**heard, "confidence": round(input.confidence, 2)})
    elif isinstance(input, ResponseFailed):
        fields = {"session": session_id, "response": input.response_id, "code": input.code, "reason": input.message}
        logger.error("response failed", extra=fields)
    elif isinstance(input, ToolFinished):
        seconds = round(input.seconds, 3)
        tool = {"session": session_id, "call": input.call_id, "outcome": input.outcome.value, "seconds": seconds}
        logger.info("tool finished", extra=tool)
    stopped = any(isinstance(output, ClearPlayout) for output in outputs)
    for output in outputs:
        match output:
            case SessionCreated():
                logger.info("session opened", extra={"session": session_id})
            case TranscriptionCompleted():
                fields = {"session": session_id, "item": output.item_id, "pii.transcript": output.transcript}
                logger.info("caller heard", extra=fields)
            case ResponseDone():
                _log_response(session_id, output)
            case Error():
                _log_client_error(session_id, output)
            case PausePlayout(paused=True):
                _log_floor(session_id, "answer pauses", input)
            case PausePlayout() if not stopped:  # the pause of an answer that has been stopped ends, too
                _log_floor(session_id, "answer goes on", input)
            case ClearPlayout():
                _log_floor(session_id, "answer stopped", input)


def _log_floor(session_id: str, message: str, input: Input | None) -> None:
    """at_ms: how much of the caller's sound had been looked at, where that was the reason."""
    at_ms = input.position * 1000 // INPUT_RATE if isinstance(input, SpeechProbability) else None
    logger.debug(message, extra={"session": session_id, "at_ms": at_ms})


class Allowance:
    """How many of one kind of line there may be: a burst, then so many a second. clock: seconds."""

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._rate, self._clock = burst, per_second, clock
        self._left, self._since = float(burst), clock()
        self._omitted = 0

    def take(self) -> int | None:
        """For one line: None when it is to be left out, else how many were left out before it."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        if self._left < 1:
            self._omitted += 1
            return None
        self._left -= 1
        omitted, self._omitted = self._omitted, 0
        return omitted


_client_errors = Allowance(burst=100, per_second=5)
"""One client can send thousands of bad events a second: they must not fill the disk. The metrics count them all."""


def _log_client_error(session_id: str, error: Error) -> None:
    omitted = _client_errors.take()
    if omitted is not None:
        detail = {"session": session_id, "code": error.code, "param": error.param, "omitted": omitted or None}
        logger.warning("client error", extra=detail)


def _log_response(session_id: str, event: ResponseDone) -> None:
    response = event.response
    fields: dict[str, Any] = {
        "session": session_id,
        "response": response.id,
        "status": response.status.value,
        "reason": response.reason,
        "language": response.language,
        "pii.text": " ".join(_words(response.output)),
    }
    logger.info("response done", extra=fields)


def _words(items: Sequence[Item]) -> Iterator[str]:
    return (part.text for item in items for part in item.content if part.text)


class _Fields(logging.Formatter):
    """Finds the fields of a record. personal: whether those with personal data are kept."""

    def __init__(self, *, personal: bool) -> None:
        super().__init__()
        self._personal = personal

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        return {
            key: value
            for key, value in vars(record).items()
            if key not in _OWN and value is not None and (self._personal or not key.startswith(PERSONAL))
        }


class _JsonLines(_Fields):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Console(_Fields):
    """A line for people: time, level, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f"  {key}={_quoted(value)}" for key, value in self.fields(record).items())
        line = f"{time} {record.levelname.lower():<8}{record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _quoted(value: object) -> str:
    """As it is when that is one plain word, else as a JSON string: a value cannot break the line."""
    text = str(value)
    plain = text.isprintable() and not any(mark in text for mark in ' "=')
    return text if text and plain else json.dumps(text, ensure_ascii=False)
