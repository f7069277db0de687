"""The progress bars of ``kammerton models``: one for each file that comes in, or goes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from models.fetch import Progress as Report


@contextmanager
def progress_bars() -> Iterator[Report]:
    """On standard error, from the first report on."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=Console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def show(file: str, done: int, total: int) -> None:
        bars.start()
        if file not in tasks:
            tasks[file] = bars.add_task(file.rpartition("/")[2])
        bars.update(tasks[file], completed=done, total=total)

    try:
        yield show
    finally:
        if tasks:
            bars.stop()
