"""What a piece of work takes: the clock's time, and the CPU's, which other work on the machine hardly changes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.progress import track

out = Console(soft_wrap=True)
status = Console(stderr=True)


@dataclass(slots=True)
class Cost:
    """Milliseconds of each run: wall by the clock, cpu of this process with all its threads."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def run(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall.append((time.perf_counter() - wall) * 1000)
        self.cpu.append((time.process_time() - cpu) * 1000)


def shown(values: Iterable[float], unit: str = "ms") -> str:
    """Median and 95th percentile."""
    p50, p95 = np.percentile(list(values), [50, 95])
    return f"{p50:.3g} / {p95:.3g} {unit}" if p95 < 100 else f"{p50:.0f} / {p95:.0f} {unit}"


def table(*columns: str) -> None:
    """The head of a Markdown table."""
    out.print(f"\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")


def row(*cells: object) -> None:
    out.print(f"| {' | '.join(map(str, cells))} |")


def rounds(count: int, what: str) -> Iterable[int]:
    """0 to count - 1, with a bar on standard error."""
    return track(range(count), what, console=status)
