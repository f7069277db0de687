"""One run of a command and all of its children: what it prints is logged, and nothing of it is left behind."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

_log = logging.getLogger(__name__)

_GUARD = Path(__file__).with_name("vllm_guard.py")
_LEVEL = re.compile(r"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_LEVEL_WITHIN = 60
_LOGGED_AS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.DEBUG,  # a hundred lines at each start
    "WARNING": logging.INFO,  # a dozen, whatever the settings
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}
_FAULT = re.compile(r"\b[A-Za-z_.]*(?:Error|Exception): .+")
_RECENT_S = 30.0
_LAST_WORDS_S = 2.0


class GuardedProcess:
    """Runs while the ``with`` block does.

    folder: where it runs. grace_s: from SIGTERM to SIGKILL. at_end: called from another thread when it has ended.
    Must be entered in a thread that lives longer: the kernel ends the process with that thread (see vllm_guard.py).
    last_line: the last that it printed. Raises OSError when it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        grace_s: float,
        at_end: Callable[[], None],
    ) -> None:
        self.last_line = ""
        self._ending = False
        self._grace_s = grace_s
        self._at_end = at_end
        self._ended = threading.Event()
        self._faults: deque[tuple[float, str]] = deque(maxlen=50)
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_GUARD), str(os.getpid()), str(grace_s), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder,
            env=environment,
        )
        self.pid = self._process.pid
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._wait)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> GuardedProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process, and with SIGKILL whatever is left of its group."""
        self._ending = True
        # Popen's own methods might reap it, and its number would no longer be sure to be that of its group.
        os.kill(self.pid, signal.SIGTERM)
        self._ended.wait(self._grace_s + _LAST_WORDS_S)
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for thread in self._threads:
            thread.join(_LAST_WORDS_S)

    def obituary(self) -> str:
        """Why the process has ended, as far as what it printed tells. Ends its children too: they keep its output
        open."""
        os.killpg(self.pid, signal.SIGKILL)
        self._threads[0].join(_LAST_WORDS_S)
        since = time.monotonic() - _RECENT_S
        reason = next((fault for when, fault in self._faults if when > since), self.last_line)
        return f"has ended: {reason or 'it said nothing'}"

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for raw in lines:
                if line := raw.decode("utf-8", "replace").rstrip():
                    self._log(line)

    def _log(self, line: str) -> None:
        self.last_line = line
        if fault := _FAULT.search(line):
            self._faults.append((time.monotonic(), fault[0]))
        found = _LEVEL.search(line, 0, _LEVEL_WITHIN)
        # When it is told to end, vLLM complains of errors that are none.
        level = _LOGGED_AS[found[1]] if found and not self._ending else logging.DEBUG
        _log.log(level, "vllm says", extra={"line": line})

    def _wait(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self._ended.set()
        self._at_end()
