"""The server's end of one speech worker: starts the process, talks to it, notices its death."""

from __future__ import annotations

import logging
import os
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
    """A running ``python -m module`` that has said ``ready``.

    Must be made in a thread that lives as long as the process shall: the kernel ends the process with that thread.
    engine: name for errors. at_end: called from another thread when the process has closed its output.
    Raises WeightsError when a voice cannot be loaded, EngineError when the process does not come up.
    """

    def __init__(self, module: str, paths: Sequence[Path], engine: str, at_end: Callable[[], None]) -> None:
        self._at_end = at_end
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, paths)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": _search_path()},
            )
        except OSError as error:
            raise EngineError(engine, f"the speech worker did not start ({error})", retryable=True) from error
        assert self._process.stdin
        assert self._process.stdout
        self.pid = self._process.pid
        self._pipe = FramePipe(self._process.stdout.fileno(), self._process.stdin.fileno())
        self._send_lock = threading.Lock()
        self._ended = threading.Event()
        self._reaped = False
        self._errors = threading.Thread(target=self._forward_errors, name=f"{engine}-stderr", daemon=True)
        self._errors.start()
        try:
            self._greet(engine)
        except BaseException:
            self.reap()
            raise

    def _greet(self, engine: str) -> None:
        try:
            first = self._pipe.receive(_START_S).header
        except (EOFError, TimeoutError, OSError) as error:
            raise EngineError(engine, f"the speech worker did not start ({error})", retryable=True) from error
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
        """The next answer. Raises EOFError, TimeoutError."""
        return self._pipe.receive(timeout_s)

    def kill(self) -> None:
        """End the process, from any thread; who made it still has to reap it."""
        self._process.kill()

    def reap(self) -> None:
        """End the process and wait until nothing of it is left."""
        self._process.kill()
        self._process.wait()
        self._errors.join()
        with self._send_lock:
            self._reaped = True
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()

    def _forward_errors(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            _log.warning("speech worker: %s", line.decode("utf-8", "replace").rstrip())
        self._ended.set()
        self._at_end()


def _search_path() -> str:
    """Where the worker finds this package, installed or not."""
    inherited = os.environ.get("PYTHONPATH")
    return f"{_ROOT}{os.pathsep}{inherited}" if inherited else str(_ROOT)
