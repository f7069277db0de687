"""`python -m benchmarks compare`: this project's server beside others on this machine, in one run, and the report.

All servers are up for the whole run and get the same calls in turns, so that whatever else the machine does hits all of
them. Then each is filled with callers until it is late, the others idle. Writes a result file for each, and
report.html and report.md, into a folder.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks import density, peer, results, run, scenario
from benchmarks.dialects import DIALECTS
from benchmarks.dialects.base import Target
from benchmarks.peer import Peer, UsageError
from benchmarks.peers.known import PEERS, Known
from benchmarks.report import command as report
from benchmarks.scenario import Scenario

_OURS = "kammerton"
_status = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", default=",".join(PEERS), help=f"with commas between, of {', '.join(PEERS)}")
    parser.add_argument("--hold-ms", type=int, default=500, help="silence that ends a turn, where it can be set")
    parser.add_argument("--scenarios", nargs="+", default=["question", "tools", "interruptions"], metavar="NAME")
    parser.add_argument("--conditions", nargs="+", choices=results.CONDITIONS, default=["clean"])
    parser.add_argument("--calls", type=int, default=1, help="of each scenario under each condition, to each server")
    parser.add_argument("--most", type=int, default=0, help="fill each server with up to so many callers; 0: do not")
    parser.add_argument(
        "--limit-ms", type=float, default=800, help="for the p95 of voice to voice beyond the hold, then"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder, e.g. results/")


def main(arguments: argparse.Namespace) -> int:
    """0, or 1 when a call could not be made. Raises UsageError, ScenarioError."""
    names = [_OURS, *filter(None, arguments.peers.split(","))]
    unknown = sorted({*names} - {*PEERS, _OURS})
    if unknown:
        raise UsageError(f"--peers: {unknown[0]!r} is none of {', '.join(PEERS)}")
    scenarios = scenario.find(arguments.scenarios)
    with ExitStack() as stack:
        servers = [stack.enter_context(_server(name, arguments)) for name in names]
        found = [run.begin(name, server, scenarios) for name, server in zip(names, servers, strict=True)]
        asyncio.run(in_turns(found, servers, scenarios, arguments))
        for one in found:
            one.notes += [PEERS[one.name].note] if one.name in PEERS else []
            # Before the ramps, so that one that fails takes no calls with it.
            results.write(one, arguments.out / f"{one.name}.json")
        for one, server in zip(found, servers, strict=True) if arguments.most else ():
            _status.print(f"{one.name}: callers at once")
            one.density = asyncio.run(density.ramp(server, _ramp(arguments)))
            results.write(one, arguments.out / f"{one.name}.json")
    for path in report.write(report.report(found), arguments.out / "report.html"):
        print(path)
    return 1 if any(call.errors for one in found for call in one.calls) else 0


async def in_turns(
    found: Sequence[results.Results],
    servers: Sequence[Peer],
    scenarios: Sequence[Scenario],
    arguments: argparse.Namespace,
) -> None:
    """Each call to all servers, one after the other, before the next call; each time another server is first."""
    plan = [
        (each, condition) for _ in range(arguments.calls) for condition in arguments.conditions for each in scenarios
    ]
    for server in servers:
        # What a process does for the first time is slow, and no caller's everyday.
        await run.one_call(server, _first_turn(scenarios[0]), "clean", 0)
    for number, (each, condition) in enumerate(plan):
        _status.print(f"call {number + 1} of {len(plan)}: {each.name}, {condition}")
        for place in range(len(servers)):
            which = (number + place) % len(servers)
            turns, call = await run.one_call(servers[which], each, condition, number)
            found[which].turns += turns
            found[which].calls.append(call)


def _first_turn(whole: Scenario) -> Scenario:
    return replace(whole, turns=whole.turns[:1], recordings=whole.recordings[:1])


def _server(name: str, arguments: argparse.Namespace) -> AbstractContextManager[Peer]:
    if name == _OURS:
        parser = argparse.ArgumentParser()
        peer.add_arguments(parser)
        room = f"KAMMERTON_SERVER__MAX_SESSIONS={max(arguments.most, 32)}"
        return peer.peer(parser.parse_args(["--name", name, "--hold-ms", str(arguments.hold_ms), "--set", room]))
    return _stranger(name, PEERS[name], arguments.hold_ms, max(arguments.most, 1))


@contextmanager
def _stranger(name: str, known: Known, hold_ms: int, callers: int) -> Iterator[Peer]:
    """Another project's server."""
    try:
        with known.start(hold_ms, callers) as server:
            record = results.Server(name, "openai", server.url, "kammerton", versions=known.versions())
            yield Peer(Target(server.url), DIALECTS["openai"], record, server, known.setup(hold_ms))
    except FileNotFoundError as missing:
        raise UsageError(str(missing)) from None


def _ramp(arguments: argparse.Namespace) -> argparse.Namespace:
    """Short levels: enough to see where each server's end is."""
    parser = argparse.ArgumentParser()
    density.add_arguments(parser)
    limit = ["--limit-ms", str(arguments.limit_ms), "--most", str(arguments.most)]
    return parser.parse_args([*limit, "--start", "1", "--turns", "2"])
