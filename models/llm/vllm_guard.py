"""Runs a command and ends it with the process that asked for it: ``vllm_guard.py PARENT_PID GRACE_S COMMAND...``.

vLLM is several processes, and those behind its first one outlive it, with all of the GPU's memory, when it is killed.
This file is their parent instead. It learns from the kernel that the server is gone (prctl(2), PR_SET_PDEATHSIG), or
from the server that it shall end (SIGTERM); then the command gets SIGTERM, and when that has ended, or the grace has,
all that is left gets SIGKILL. For that it is to be started as the leader of a process group of its own. When the
command ends by itself, whoever started it ends the group. Standard library only, Linux only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_ENDS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def main(parent: int, grace_s: float, command: list[str]) -> int:
    """Returns the command's exit status, as a shell would give it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_ENDS, signal.SIGCHLD})
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # gone before the kernel was asked to tell
        return 1

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_ENDS, signal.SIGCHLD})

    child = subprocess.Popen(command, preexec_fn=in_child)
    while child.poll() is None and signal.sigwait({*_ENDS, signal.SIGCHLD}) == signal.SIGCHLD:
        pass
    told_to = child.poll() is None
    if told_to:
        child.terminate()
        deadline = time.monotonic() + grace_s
        while child.poll() is None and (left := deadline - time.monotonic()) > 0:
            signal.sigtimedwait({signal.SIGCHLD}, left)
    if told_to or os.getppid() != parent:
        os.killpg(os.getpgrp(), signal.SIGKILL)  # there may be nobody left to do it
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
