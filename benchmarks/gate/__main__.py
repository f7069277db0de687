"""Compares this tree with the baseline: `scripts/bench-gate`. Exit code 1 when it is worse by more than a margin."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.gate.builds import NoBaselineError, baseline_tree, python_for
from benchmarks.gate.load import Load, burst, questions, warm_up
from benchmarks.gate.margins import Baseline, Verdict, judge, read
from benchmarks.process import serve

ROOT = Path(__file__).resolve().parents[2]
_console = Console(soft_wrap=True, highlight=False, markup=False)


async def compare(before: Load, here: Load, plan: Baseline) -> tuple[list[Verdict], int]:
    """In turns, the first one changing (A B, B A, ...), until the plan's rounds are over; a failure gets more of them,
    for a machine has bad moments. The verdicts, and how many rounds there were."""
    asked = questions()
    for load in (before, here):
        await warm_up(load, asked, plan.hold_ms)
    verdicts: list[Verdict] = []
    for number in range(1, plan.most_rounds + 1):
        for load in (before, here) if number % 2 else (here, before):
            await burst(load, asked, plan.hold_ms)
        if number >= plan.rounds:
            verdicts = judge(before.so_far(), here.so_far(), plan.margins)
            if all(verdict.passed for verdict in verdicts):
                return verdicts, number
    return verdicts, plan.most_rounds


def run(before: Path, python: str, here: Path, plan: Baseline) -> tuple[list[Verdict], int]:
    """Both trees' servers, side by side for the whole run."""
    with serve("tiny", before, python) as first, serve("tiny", here) as second:
        return asyncio.run(compare(Load(first), Load(second), plan))


def table(verdicts: Sequence[Verdict], name: str) -> str:
    """For people, in Markdown."""
    lines = [f"| measure | {name} | here | ratio | allowed | |", "| --- | --- | --- | --- | --- | --- |"]
    for one in verdicts:
        said = "" if one.passed else "worse"
        lines.append(
            f"| {one.measure} | {one.baseline:.3g} | {one.here:.3g} | {one.ratio:.2f} | {one.allowed:.2f} | {said} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench-gate", description=__doc__)
    parser.add_argument(
        "--baseline", type=Path, default=ROOT / "benchmarks" / "baseline.json", help="commit and margins"
    )
    parser.add_argument("--tree", type=Path, default=ROOT, help="checkout that is judged; default: this one")
    arguments = parser.parse_args()
    plan = read(arguments.baseline)
    try:
        with baseline_tree(ROOT, plan.commit) as before, python_for(before) as python:
            verdicts, rounds = run(before, python, arguments.tree.resolve(), plan)
    except NoBaselineError as reason:
        _console.print(f"bench-gate: not compared: {reason}")
        return 0
    _console.print(table(verdicts, plan.commit[:12]))
    worse = [one.measure for one in verdicts if not one.passed]
    told = f"worse in {', '.join(worse)}" if worse else "no worse than the baseline"
    _console.print(f"bench-gate: {told}, {rounds} rounds of 5 calls to each, hold {plan.hold_ms} ms")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
