"""The audit log: what the operator must be able to answer for, in an append-only file whose rows are chained by hash.

One JSON object a line, keys sorted, without spaces: ``at`` (UTC, RFC 3339), ``action``, ``object``, ``fields``, ``seq``
(from 1), ``previous`` and ``hash``, the SHA-256 of the row without it. As each row holds the hash of the one before, a
row that was altered, taken out or put in is found. What was cut off at the end, or written anew from the start, is
found only against a copy of the newest hash kept elsewhere: the log is tamper-evident, not tamper-proof.

Rows hold ids and names of things, never words of a caller, numbers or addresses of people, or keys.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from server.errors import AuditError

_START = "0" * 64
"""The first row's ``previous``."""
_NAMES = ("action", "at", "fields", "hash", "object", "previous", "seq")
_MAX_ROW = 64 * 1024
_CLOSED = -1


@dataclass(frozen=True, slots=True)
class Row:
    """at: RFC 3339, UTC. object: id of what it is about. fields: texts and numbers by name. hash: 64 hex digits."""

    seq: int
    at: str
    action: str
    object: str
    fields: dict[str, Any]
    hash: str


class Audit:
    """The one writer of a log: a second one, in this process or another, is refused. ``close`` it."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Raises AuditError when the file cannot be written, is in use, or does not verify."""
        self.path = path.expanduser()
        self._now = now
        self._turns = asyncio.Lock()
        # Guards the file and the chain's state: whoever waits for a row may be cancelled while a thread writes it.
        self._writing = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise AuditError(f"{self.path} cannot be written: {error.strerror}") from None
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise AuditError(f"{self.path} is no file")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            torn = self._drop_torn_row()
            newest = deque(rows(self.path), maxlen=1)
        except BlockingIOError:
            os.close(self._file)
            raise AuditError(f"{self.path} is in use by another server; each needs a log of its own") from None
        except BaseException:
            os.close(self._file)
            raise
        self._seq, self._hash = (newest[0].seq, newest[0].hash) if newest else (0, _START)
        if torn:
            self._append("audit.recovered", "", {"bytes": torn})

    async def record(self, action: str, object_id: str = "", **fields: str | float) -> None:
        """Add a row; it is on the disk afterwards. action: what was done, as ``thing.verb``.

        Raises AuditError when it cannot be written: then it must not be done.
        """
        async with self._turns:
            # A task may be cancelled while the thread writes: the chain's state must follow the file all the same.
            await asyncio.shield(asyncio.to_thread(self._append, action, object_id, fields))

    def close(self) -> None:
        """Let another server write. A row that is being written is written to its end."""
        with self._writing:
            if self._file != _CLOSED:
                os.close(self._file)
                self._file = _CLOSED

    def _append(self, action: str, object_id: str, fields: dict[str, Any]) -> None:
        with self._writing:
            self._check_in_place()
            self._write(action, object_id, fields)

    def _check_in_place(self) -> None:
        """A row in a file that was moved or deleted is one that nobody finds."""
        if self._file == _CLOSED:
            raise AuditError(f"{self.path} is closed")
        try:
            in_place = os.path.samestat(os.fstat(self._file), self.path.stat())
        except OSError:
            in_place = False
        if not in_place:
            raise AuditError(f"{self.path} was moved, deleted or replaced; start the server again to go on")

    def _write(self, action: str, object_id: str, fields: dict[str, Any]) -> None:
        at = self._now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row: dict[str, Any] = {"seq": self._seq + 1, "at": at, "action": action, "object": object_id, "fields": fields}
        row["previous"] = self._hash
        row["hash"] = _hash(row)
        line = _dumps(row) + b"\n"
        if len(line) > _MAX_ROW:
            raise AuditError(f"a row of {len(line)} bytes for {action}; allowed are {_MAX_ROW}")
        size = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) < len(line):
                raise OSError("the disk is full")
            os.fsync(self._file)
        except OSError as error:
            # Half a row would be taken for a forged one.
            os.ftruncate(self._file, size)
            raise AuditError(f"{self.path} cannot be written: {error.strerror or error}") from None
        self._seq, self._hash = self._seq + 1, row["hash"]

    def _drop_torn_row(self) -> int:
        """A power cut may leave the beginning of a row, which nobody has relied on. How many bytes there were."""
        size = os.fstat(self._file).st_size
        tail = os.pread(self._file, _MAX_ROW, max(0, size - _MAX_ROW))
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        if torn:
            os.ftruncate(self._file, size - torn)
        return torn


def rows(path: Path) -> Iterator[Row]:
    """The rows of a log, each verified. Raises AuditError that names the first one that is not as it was written."""
    previous = _START
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                row = _verified(line, number, previous, path)
                previous = row.hash
                yield row
    except OSError as error:
        raise AuditError(f"{path} cannot be read: {error.strerror}") from None


def _verified(line: bytes, number: int, previous: str, path: Path) -> Row:
    def wrong(why: str) -> AuditError:
        return AuditError(f"{path}, row {number}: {why}")

    if not line.endswith(b"\n"):
        raise wrong("it has no end")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise wrong("it is no JSON") from None
    if not isinstance(row, dict) or tuple(sorted(row)) != _NAMES or _dumps(row) + b"\n" != line:
        raise wrong("it was not written by this log")
    claimed = row.pop("hash")
    if claimed != _hash(row):
        raise wrong("it was altered")
    if row["seq"] != number or row["previous"] != previous:
        raise wrong("rows before it are missing, were put in, or are in another order")
    return Row(row["seq"], row["at"], row["action"], row["object"], row["fields"], claimed)


def _hash(row: dict[str, Any]) -> str:
    return hashlib.sha256(_dumps(row)).hexdigest()


def _dumps(row: dict[str, Any]) -> bytes:
    """For rows of texts and numbers the same as RFC 8785 (names are ASCII)."""
    return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
