"""What ``kammerton models fetch`` shows while weights come in."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from models.fetch import fetch


def fetch_profile(profile: str, weights_dir: Path, endpoint: str | None) -> list[str]:
    """Fetch with a progress bar a file; returns the names of the models that were fetched. Raises as ``fetch`` does."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=Console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def show(file: str, done: int, total: int) -> None:
        bars.start()
        if file not in tasks:
            tasks[file] = bars.add_task(file.rpartition("/")[2])
        bars.update(tasks[file], completed=done, total=total)

    try:
        return fetch(profile, weights_dir, show, endpoint=endpoint)
    finally:
        if tasks:
            bars.stop()
