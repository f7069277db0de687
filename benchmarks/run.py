"""`python -m benchmarks run`: play scenarios to a server, one call at a time, and write down what came of it."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks import judgement, machine, peer, prices, results, scenario, summary
from benchmarks.conditions import Channel
from benchmarks.conversation import Conversation
from benchmarks.line import LineError, dial
from benchmarks.peer import Peer
from benchmarks.scenario import Scenario

_console = Console()
_status = Console(stderr=True)
_BUSY_LOAD = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    peer.add_arguments(parser)
    parser.add_argument(
        "--scenarios", nargs="+", default=[], metavar="NAME", help="names, or paths of files; default: all"
    )
    parser.add_argument("--conditions", nargs="+", choices=results.CONDITIONS, default=["clean"])
    parser.add_argument("--calls", type=int, default=1, help="of each scenario under each condition")
    parser.add_argument("--prices", type=Path, default=prices.FILE, help="price table")
    parser.add_argument(
        "--gpu-cost-per-hour", type=float, help="of the own machine, for the cost of a call alone on it"
    )
    parser.add_argument("--out", type=Path, required=True, help="result file, e.g. results/ours.json")


def main(arguments: argparse.Namespace) -> int:
    """0, or 1 when a call could not be made. Raises UsageError, ScenarioError, PriceError."""
    scenarios = scenario.find(arguments.scenarios)
    table = prices.read(arguments.prices)
    with peer.peer(arguments) as server:
        found = begin(arguments.out.stem, server, scenarios)
        asyncio.run(play_all(found, server, scenarios, arguments.conditions, arguments.calls))
    table.price(found, arguments.gpu_cost_per_hour)
    results.write(found, arguments.out)
    _console.print(summary.markdown(found), soft_wrap=True, markup=False, highlight=False)
    broken = sum(bool(call.errors) for call in found.calls)
    if broken:
        _status.print(f"{broken} of {len(found.calls)} calls ended with an error: {arguments.out} has them")
    return 1 if broken else 0


def begin(name: str, server: Peer, scenarios: Sequence[Scenario]) -> results.Results:
    """An empty record of a run that starts now."""
    here = machine.describe(server_is_here=server.is_here)
    found = results.Results(
        name, datetime.now(UTC).isoformat(timespec="seconds"), command(), here, server.record, peer.commit(),
        scenarios={each.name: each.title for each in scenarios},
    )  # fmt: skip
    if here.load > _BUSY_LOAD * here.cores and server.is_here:
        found.notes.append(
            f"The machine was busy with other work (load {here.load} on {here.cores} cores): latencies are too high."
        )
    return found


async def play_all(
    found: results.Results, server: Peer, scenarios: Sequence[Scenario], conditions: Sequence[str], calls: int
) -> None:
    """Every scenario, ``calls`` times under each condition, one after the other."""
    plan = [(each, condition) for condition in conditions for each in scenarios for _ in range(calls)]
    with Progress(console=_status, transient=True) as progress:
        bar = progress.add_task("calling", total=len(plan))
        for number, (each, condition) in enumerate(plan):
            progress.update(bar, description=f"{each.name}, {condition}")
            turns, call = await one_call(server, each, condition, number)
            found.turns += turns
            found.calls.append(call)
            progress.advance(bar)


async def one_call(
    server: Peer, played: Scenario, condition: str, number: int
) -> tuple[list[results.Turn], results.Call]:
    """A scenario from hello to hang-up. A call that cannot be made is a record with an error."""
    dialect = server.dialect()
    channel = Channel(condition, dialect.input_rate)
    try:
        async with dial(dialect, server.target, server.setup_for(played), channel) as line:
            server.told(line.ready)
            conversation = Conversation(line, played)
            await conversation.play()
    except LineError as error:
        return [], results.Call(played.name, number, condition, 0.0, errors=[str(error)])
    turns = judgement.turns(conversation, number, condition)
    return turns, judgement.call_of(conversation, number, condition, turns)


def command() -> str:
    """As it was typed, but for what may be a secret."""
    return shlex.join(["python", "-m", "benchmarks", *map(peer.without_secrets, sys.argv[1:])])
