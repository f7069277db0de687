"""What the training commands share: options, progress bars, processes that speak, errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from scripts.training import loop

Made = TypeVar("Made")

WriteShard = Callable[[Path, int, int, int], Any]
"""Called with a folder, a seed, the shard's number and its length; leaves alone what is there."""


def add_training_options(parser: argparse.ArgumentParser, shards: str) -> None:
    """Where to, how long, with which seed. shards: what --shards counts."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--work", type=Path, help="folder for what is spoken and checkpoints (default: beside --out)")
    parser.add_argument("--quick", action="store_true", help="a minute's run that shows that all parts work")
    parser.add_argument("--minutes", type=float, default=600.0, help="end the training after this time")
    parser.add_argument("--steps", type=int, help="end the training after that many steps")
    parser.add_argument("--shards", type=int, help=f"{shards} to speak before the training")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=1, help="processes that speak")


def work_folder(arguments: argparse.Namespace) -> Path:
    """Where a training keeps what it has made so far; it is there afterwards."""
    work: Path = arguments.work or arguments.out.with_name(arguments.out.name + "-work")
    work.mkdir(parents=True, exist_ok=True)
    return work


def bars(count: ProgressColumn) -> Progress:
    """Progress bars on standard error."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn(), console=Console(stderr=True)
    )


def speak_shards(
    write: WriteShard, folder: Path, *, seed: int, shards: int, length: int, workers: int, fresh: bool = False
) -> None:
    """Write all shards that are missing. fresh: a process of its own for each, for synthesisers that keep memory.
    Raises what ``write`` raises."""
    each = 1 if fresh else None
    with (
        bars(MofNCompleteColumn()) as display,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=each) as pool,
    ):
        task = display.add_task("speaking", total=shards)
        jobs = [pool.submit(write, folder, seed, number, length) for number in range(shards)]
        for job in as_completed(jobs):
            job.result()
            display.advance(task)


def watched(training: Callable[[Callable[[loop.Progress, float], None]], Made]) -> Made:
    """Run a training with a progress bar. training: gets what it is to call after each step, with the share done."""
    with bars(TaskProgressColumn()) as display:
        task = display.add_task("training", total=1.0)

        def report(progress: loop.Progress, share: float) -> None:
            losses = "  ".join(f"{name} {loss:.3f}" for name, loss in progress.losses.items())
            display.update(task, completed=share, description=f"training  step {progress.step}  {losses}")

        return training(report)


def run(parser: argparse.ArgumentParser) -> int:
    """Carry out the command line; the exit status. What cannot be done is one line."""
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        return 2
    return 0
