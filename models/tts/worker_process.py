"""The server's end of one speech worker: starts the process, talks to it, notices its death."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import models
from models.base import EngineError
from models.tts.frames import Frame, FramePipe
from models.tts.voice_files import damaged

_log = logging.getLogger(__name__)

_START_S = 60.0
_ROOT = Path(models.__file__).parents[1]
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class WorkerProcess:
    """A running ``python -m module SOCKET PATH ...`` that has said ``ready``. What it prints is logged.

    Must be made in a thread that lives as long as the process shall: the kernel ends the process with that thread.
    engine: name for errors. at_end: called from another thread when the process has closed its output.
    Raises WeightsError when a voice cannot be loaded, EngineError when the process does not come up.
    """

    def __init__(self, module: str, paths: Sequence[Path], engine: str, at_end: Callable[[], None]) -> None:
        self._at_end = at_end
        try:
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module, str(theirs.fileno()), *map(str, paths)],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    bufsize=0,
                    env={**os.environ, **_ONE_THREAD, "PYTHONPATH": _search_path()},
                )
        except OSError as error:
            self._socket.close()
            raise EngineError(engine, f"the speech worker did not start ({error})", retryable=True) from error
        self.pid = self._process.pid
        self._pipe = FramePipe(self._socket.fileno())
        self._send_lock = threading.Lock()
        self._ended = threading.Event()
        self._reaped = False
        self._last_line = ""
        self._chatter = threading.Thread(target=self._log_chatter, name=f"{engine}-log", daemon=True)
        self._chatter.start()
        try:
            self._greet(engine)
        except BaseException:
            self.reap()
            raise

    def _greet(self, engine: str) -> None:
        try:
            first = self._pipe.receive(_START_S).header
        except (EOFError, OSError, ValueError) as error:
            self._process.kill()
            self._chatter.join()
            reason = self._last_line or error
            raise EngineError(engine, f"the speech worker did not start ({reason})", retryable=True) from error
        if first["op"] == "failed":
            raise damaged(engine, Path(first["file"]), f"it cannot be loaded ({first['reason']})")

    @property
    def alive(self) -> bool:
        return not self._ended.is_set() and self._process.poll() is None

    def send(self, header: Mapping[str, Any]) -> None:
        """Write a request, from any thread. Raises OSError when the process is gone."""
        with self._send_lock:
            if self._reaped:
                raise BrokenPipeError("the speech worker has ended")
            self._pipe.send(header)

    def receive(self, timeout_s: float) -> Frame:
        """The next answer. Raises what FramePipe.receive does."""
        return self._pipe.receive(timeout_s)

    def kill(self) -> None:
        """End the process, from any thread; who made it still has to reap it."""
        self._process.kill()

    def reap(self) -> None:
        """End the process and wait until nothing of it is left."""
        self._process.kill()
        self._process.wait()
        self._chatter.join()
        with self._send_lock:
            self._reaped = True
            self._socket.close()

    def _log_chatter(self) -> None:
        """Whatever the process and its libraries print; the end of it is the end of the process."""
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self._last_line = line.decode("utf-8", "replace").rstrip()
                _log.warning("speech worker: %s", self._last_line)
        self._ended.set()
        self._at_end()


def _search_path() -> str:
    """Where the worker finds this package, installed or not."""
    inherited = os.environ.get("PYTHONPATH")
    return f"{_ROOT}{os.pathsep}{inherited}" if inherited else str(_ROOT)
