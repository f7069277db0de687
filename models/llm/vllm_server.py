"""The process of a vLLM server: started, watched, started again when it dies, ended."""

from __future__ import annotations

import http.client
import logging
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from models.base import EngineError
from models.llm.vllm_process import GuardedProcess

_log = logging.getLogger(__name__)

_LOOK_S = 0.25
_HEALTH_S = 5.0
_HEALTH_LIMIT_S = 10.0
_SICK_LOOKS = 3
_PROGRESS_S = 10.0
_GRACE_S = 10.0
_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 60.0
_STEADY_S = 120.0
"""A server that was up for so long has earned a quick restart."""


class VllmServer:
    """A server that listens on the Unix socket ``socket``, in a folder that only this user can enter: no port to race
    for, and nobody else on the machine can ask it anything.

    name: for errors. command: to run, without the socket. start_s: how long one start may take.
    One thread watches it, and must live as long as it does: the kernel ends the process with its parent thread.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], *, start_s: float) -> None:
        self._name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._start_s = start_s
        self._folder = tempfile.TemporaryDirectory(prefix="kammerton-vllm-")
        self.socket = Path(self._folder.name) / "http"
        self._process: GuardedProcess | None = None
        self._up = threading.Event()
        self._stopping = threading.Event()
        self._wake = threading.Event()  # the process has ended, or shall
        self._settled = threading.Event()  # the first start is over, one way or the other
        self._failure: EngineError | None = None
        self._thread = threading.Thread(target=self._run, name=f"vllm-{name}", daemon=True)

    @property
    def up(self) -> bool:
        """Whether it can be asked now."""
        return self._up.is_set()

    @property
    def pid(self) -> int | None:
        """Leader of the process group that runs now."""
        process = self._process
        return process.pid if process else None

    def start(self) -> None:
        """Block until the server answers. Raises EngineError, with what the server said last, when it does not; then
        nothing of it is left."""
        self._thread.start()
        try:
            self._settled.wait()
        except BaseException:
            self.stop()
            raise
        if self._failure is not None:
            self.stop()
            raise self._failure

    def stop(self) -> None:
        """Block until nothing of the server is left. May be called again."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._folder.cleanup()

    # ---------------------------------------------------------------------------- the watching thread

    def _run(self) -> None:
        delay = _FIRST_DELAY_S
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                reason = self._live()
            except OSError as error:
                reason = f"cannot be started ({error})"
            self._up.clear()
            if self._stopping.is_set():
                break
            if not self._settled.is_set():
                self._failure = EngineError(self._name, f"vLLM {reason}")
                break
            delay = _FIRST_DELAY_S if time.monotonic() - began > _STEADY_S else min(delay * 2, _LONGEST_DELAY_S)
            _log.error("vllm is started again", extra={"engine": self._name, "reason": reason, "delay_s": delay})
            self._stopping.wait(delay)
        self._settled.set()

    def _live(self) -> str:
        """Run the server once, to its end. Returns why it ended."""
        self.socket.unlink(missing_ok=True)
        scratch = self.socket.with_name("tmp")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        environment = self._environment | {"TMPDIR": str(scratch)}
        self._wake.clear()
        command = [*self._command, "--uds", str(self.socket)]
        with GuardedProcess(command, environment, scratch, _GRACE_S, self._wake.set) as process:
            self._process = process
            try:
                return self._come_up(process) or self._watch(process)
            finally:
                self._up.clear()
                self._process = None

    def _come_up(self, process: GuardedProcess) -> str | None:
        """Wait until the server is healthy. Returns why it will not be."""
        began = told = time.monotonic()
        while not self._stopping.is_set():
            if self._wake.wait(_LOOK_S):
                return "was stopped" if self._stopping.is_set() else process.obituary()
            now = time.monotonic()
            if _health(self.socket) == 200:
                self._up.set()
                _log.info("vllm is up", extra={"engine": self._name, "seconds": round(now - began, 1)})
                self._settled.set()
                return None
            if now - began > self._start_s:
                return f"did not come up within {self._start_s:g} s; the last it said: {process.last_line}"
            if now - told >= _PROGRESS_S:
                told = now
                progress = {"engine": self._name, "seconds": round(now - began), "last_line": process.last_line}
                _log.info("vllm is loading", extra=progress)
        return "was stopped"

    def _watch(self, process: GuardedProcess) -> str:
        sick = 0
        while not self._wake.wait(_HEALTH_S):
            status = _health(self.socket)
            sick = 0 if status == 200 else sick + 1
            if status == 503 or sick >= _SICK_LOOKS:  # 503: its engine has died
                return f"is not healthy (status {status})"
        self._up.clear()
        return "was stopped" if self._stopping.is_set() else process.obituary()


class _Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _health(path: Path) -> int | None:
    """Status of the server's answer, None when it gives none."""
    with closing(_Local(path, _HEALTH_LIMIT_S)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
