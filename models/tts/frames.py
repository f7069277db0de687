"""Frames on a socket between the server and a speech worker: one JSON object each, with bytes behind it.

Layout: two big-endian uint32 (length of the JSON text, length of the payload), the JSON text in ASCII, the payload.
Both sides read through poll, so that neither waits for ever on a peer that hangs.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

_LENGTHS = struct.Struct(">II")
_READ_BYTES = 1 << 16


class Frame(NamedTuple):
    """header: the JSON object. payload: what came behind it, often PCM16."""

    header: dict[str, Any]
    payload: bytes


class FramePipe:
    """One end of a stream socket, given by its file descriptor, which the caller owns and closes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def send(self, header: Mapping[str, Any], payload: bytes = b"") -> None:
        """Write one frame, blocking while the socket is full. Raises OSError when the peer is gone."""
        text = json.dumps(header).encode("ascii")
        data = memoryview(_LENGTHS.pack(len(text), len(payload)) + text + payload)
        while data:
            data = data[os.write(self._fd, data) :]

    def receive(self, timeout_s: float | None = None) -> Frame:
        """The next frame. Raises EOFError or OSError when the peer is gone, TimeoutError (an OSError) when it says
        nothing in time, ValueError for what is no frame."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._fill(_LENGTHS.size, deadline)
        text_length, payload_length = _LENGTHS.unpack_from(self._buffer)
        start = _LENGTHS.size + text_length
        end = start + payload_length
        self._fill(end, deadline)
        header = json.loads(self._buffer[_LENGTHS.size : start])
        payload = bytes(self._buffer[start:end])
        del self._buffer[:end]
        return Frame(header, payload)

    def pending(self) -> bool:
        """Whether something has arrived (a frame, a part of one, or the end) that is not read yet."""
        return bool(self._buffer) or bool(self._poll.poll(0))

    def _fill(self, size: int, deadline: float | None) -> None:
        while len(self._buffer) < size:
            wait_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            if not self._poll.poll(wait_ms):
                raise TimeoutError("no frame in time")
            data = os.read(self._fd, _READ_BYTES)
            if not data:
                raise EOFError("the other side has gone")
            self._buffer += data
