"""What a run was made on: processors, memory, GPUs; and how busy a GPU is."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.results import Machine

_SAMPLE_S = 1.0


def describe(*, server_is_here: bool) -> Machine:
    """Linux (/proc)."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return Machine(
        names[0] if names else platform.machine(),
        os.cpu_count() or 1,
        round(memory, 1),
        f"{platform.system()} {platform.release()}",
        platform.python_version(),
        round(os.getloadavg()[0], 2),
        server_is_here,
        [row[0] for row in _nvidia("name")],
    )


@dataclass(slots=True)
class GpuUse:
    """Means over the time watched and over the GPUs; None without a GPU. share: of the time that it worked."""

    shares: list[float] = field(default_factory=list)
    memory_gib: list[float] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        return statistics.fmean(self.shares) if self.shares else None

    @property
    def memory(self) -> float | None:
        return max(self.memory_gib) if self.memory_gib else None


@contextmanager
def watched_gpus() -> Iterator[GpuUse]:
    """Ask once a second, in a thread, for as long as the context lasts."""
    use, over = GpuUse(), threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLE_S):
            rows = _nvidia("utilization.gpu,memory.used")
            if not rows:
                return
            # A GPU that is divided up (MIG) does not tell how busy it is: "[N/A]".
            with suppress(ValueError):
                use.shares.append(statistics.fmean(float(row[0]) for row in rows) / 100)
            with suppress(ValueError):
                use.memory_gib.append(sum(float(row[1]) for row in rows) / 1024)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield use
    finally:
        over.set()
        thread.join()


def _nvidia(fields: str) -> list[list[str]]:
    """A row for each GPU; none where there is no driver."""
    if shutil.which("nvidia-smi") is None:
        return []
    told = subprocess.run(
        ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"], capture_output=True, text=True
    )
    return [line.split(", ") for line in told.stdout.splitlines()] if told.returncode == 0 else []
