"""Throws events and raw bytes at a server of its own, and says what became of it.

`python -m scripts.fuzz_socket --events 20000 --streams 2000 --seed 1`. Events come from the wire's types and from
valid events that are changed in a few places; raw bytes are frames of any kind, whole, cut or altered. A session that
ends by a bug, a session that hangs, a task that is left over or a spoken question that is not answered afterwards
makes the exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import websockets
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from benchmarks.client import call
from benchmarks.process import Server, serve
from benchmarks.speech import speak
from scripts.fuzz_events import EVENTS, nearly_valid, typed

_console = Console()
Example = TypeVar("Example")

_SESSION = 25
"""Events of one session."""
_AT_ONCE = 4
_HANGS_S = 60
_BUG = 1011


@dataclass(slots=True)
class Report:
    """What has happened. closed: sessions by the code that the server closed them with."""

    events: int = 0
    errors: int = 0
    streams: int = 0
    closed: Counter[str] = field(default_factory=Counter)
    hung: int = 0


@dataclass(frozen=True, slots=True)
class Weight:
    """What a server holds. bugs: sessions that ended by one."""

    tasks: int
    sessions: int
    memory_mb: float
    bugs: int


# ------------------------------------------------------------------------------------- what is sent


def examples(strategy: st.SearchStrategy[Example], count: int, number: int) -> list[Example]:
    """The same for the same number."""
    found: list[Example] = []
    if not count:
        return found

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Example) -> None:
        found.append(example)

    collect()
    return found


def frames() -> st.SearchStrategy[bytes]:
    """Any frame: reserved bits and kinds, wrong lengths, with and without a mask."""
    payload = st.binary(max_size=60) | st.sampled_from(EVENTS).map(lambda event: json.dumps(event).encode())

    def frame(head: int, masked: bool, data: bytes, lie: int | None) -> bytes:
        size = len(data) if lie is None else lie
        mask = 0x80 if masked else 0
        if size < 126:
            length = bytes([mask | size])
        elif size < 65_536:
            length = bytes([mask | 126]) + size.to_bytes(2, "big")
        else:
            length = bytes([mask | 127]) + size.to_bytes(8, "big")
        return bytes([head]) + length + (b"\0\0\0\0" if masked else b"") + data

    # Mostly text that is whole and masked, so that many streams get further than their first frame.
    heads = st.sampled_from([0x81] * 6 + [0x01, 0x80, 0x82, 0x89, 0x8A, 0x88]) | st.integers(0, 255)
    return st.builds(
        frame,
        heads,
        st.sampled_from([True] * 8 + [False]),
        payload,
        st.sampled_from([None] * 12 + [0, 3, 125, 65_535, 2**31, 2**63 - 1]),
    )


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A few frames, of which some bytes may be others and the end may be missing."""
    data = bytearray(b"".join(draw(st.lists(frames(), min_size=1, max_size=6))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.sampled_from([len(data)] * 4 + [len(data) // 2]))])


# ------------------------------------------------------------------------------------- who sends it


async def send_events(url: str, events: Sequence[str], report: Report) -> None:
    """One session. Behind its events it must still be there, and answer what is asked of it."""
    async with websockets.connect(url, max_size=None) as socket:
        try:
            async with asyncio.timeout(_HANGS_S), asyncio.TaskGroup() as both:
                both.create_task(_write(socket, events))
                both.create_task(_read(socket, report))
        except* TimeoutError:
            report.hung += 1
        except* websockets.ConnectionClosed:
            report.closed[str(socket.close_code)] += 1
    report.events += len(events)


async def _write(socket: websockets.ClientConnection, events: Sequence[str]) -> None:
    for event in (*events, '{"type": "over"}'):
        await socket.send(event)


async def _read(socket: websockets.ClientConnection, report: Report) -> None:
    async for frame in socket:
        event = json.loads(frame)
        if event["type"] == "error":
            if "'over'" in event["error"]["message"]:
                return
            report.errors += 1


async def send_bytes(url: str, data: bytes, report: Report) -> None:
    """A connection that is a WebSocket up to its first frame, and ends where the bytes do."""
    async with websockets.connect(url, max_size=None) as socket:
        socket.transport.write(data)
        socket.transport.write_eof()
        try:
            async with asyncio.timeout(_HANGS_S):
                async for _ in socket:
                    pass
        except TimeoutError:
            report.hung += 1
        except websockets.ConnectionClosed:
            pass
        closing = socket.protocol.close_rcvd
        report.closed["none" if closing is None else str(int(closing.code))] += 1
    report.streams += 1


async def _all(work: Sequence[Callable[[], Awaitable[None]]]) -> None:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(start: Callable[[], Awaitable[None]]) -> None:
        async with places:
            await start()

    await asyncio.gather(*(one(start) for start in work))


async def answers(url: str) -> bool:
    """Whether a spoken question is understood and answered."""
    async with call(url, {}) as caller:
        answer = await caller.ask(speak("Are you a real person?", "en-us"))
        return bool(answer.heard_s and answer.transcript)


# -------------------------------------------------------------------------------------- what it did


def weigh(server: Server) -> Weight:
    """By the server's own metrics, and by what the system says of it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as page:
        families = list(text_string_to_metric_families(page.read().decode()))
    total: Counter[str] = Counter()
    for sample in (sample for family in families for sample in family.samples):
        total[sample.name] += int(sample.value)
        if sample.labels.get("outcome") == "failed":
            total["bugs"] += int(sample.value)
    return Weight(total["kammerton_tasks"], total["kammerton_sessions_active"], server.memory_mb(), total["bugs"])


async def settled(server: Server) -> Weight:
    """Once every session has let go."""
    async with asyncio.timeout(_HANGS_S):
        while (weight := await asyncio.to_thread(weigh, server)).sessions:
            pass
    return weight


async def main(events: int, raw: int, number: int) -> int:
    """The exit code."""
    sent = examples(typed(), events // 2, number)
    sent += [json.dumps(event) for event in examples(nearly_valid(EVENTS), events - len(sent), number)]
    data = examples(streams(), raw, number)
    report = Report()
    with serve() as server:
        answered_before = await answers(server.url)
        before = await settled(server)
        sessions = [sent[start :: _stride(sent)] for start in range(_stride(sent))]
        await _all([partial(send_events, server.url, some, report) for some in sessions])
        between = await settled(server)
        await _all([partial(send_bytes, server.url, some, report) for some in data])
        answered = await answers(server.url)
        after = await settled(server)
    _tell(report, before, between, after, answered)
    good = answered_before and answered and not report.hung and not after.bugs and after.tasks <= before.tasks
    return 0 if good else 1


def _stride(sent: Sequence[str]) -> int:
    """How many sessions share the events: each gets some of every kind."""
    return max(1, len(sent) // _SESSION)


def _tell(report: Report, before: Weight, between: Weight, after: Weight, answered: bool) -> None:
    closed = ", ".join(f"{code}: {count}" for code, count in sorted(report.closed.items()))
    rows = (
        ("events sent", report.events),
        ("events refused with an error", report.errors),
        ("streams of raw bytes", report.streams),
        ("connections closed by the server, by code", closed),
        ("sessions that ended by a bug", after.bugs),
        ("sessions that hung", report.hung),
        ("tasks before, between, after", f"{before.tasks}, {between.tasks}, {after.tasks}"),
        ("MB before, between, after", f"{before.memory_mb:.0f}, {between.memory_mb:.0f}, {after.memory_mb:.0f}"),
        ("a spoken question afterwards", "answered" if answered else "NOT answered"),
    )
    _console.print("| | |\n| --- | --- |")
    for name, value in rows:
        _console.print(f"| {name} | {value} |", soft_wrap=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    sys.exit(asyncio.run(main(wanted.events, wanted.streams, wanted.seed)))
