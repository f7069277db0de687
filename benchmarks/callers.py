"""Many callers who talk at once: `python -m benchmarks.callers --callers 16`.

Real time, spoken questions, several turns each. The same load goes to a server as it is, to one with batching and
priorities off, and to as many servers as there are callers (a copy of the models for each, which is what a process
or a pipeline per session comes to). Callers are staggered, as in life, or all stop speaking at the same moment, which
is the worst that can happen. The tables say how long answers took beyond the hold, and what it cost in CPU and memory.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import websockets
from rich.console import Console
from rich.progress import Progress

from benchmarks.client import Answer, Caller, call
from benchmarks.process import Server, busy_cores, machine, serve
from benchmarks.speech import RATE, Question, many_questions, speak

_STAGES = ("stt_final", "llm_first_token", "tts_first_audio")
_PATIENCE_S = 60
_PAUSE_S = (0.3, 1.2)
"""How long a caller thinks between an answer and the next question."""
_console = Console()
_status = Console(stderr=True)

ONE, UNBATCHED, COPIES = "one server", "batching and priorities off", "a copy of the models for each"
SETUPS = {"one": ONE, "unbatched": UNBATCHED, "copies": COPIES}


Turn = tuple[Question, float]
"""What is asked, and the speed at which the answer is to be spoken: each its own, so that none is kept ready."""


@dataclass(slots=True)
class Load:
    """What happened under one load. beyond: voice to voice without the hold, ms. stages: ms after the end of speech.

    lost: questions that got no answer. parts: CPU seconds by part of the servers. wall_s: seconds it took.
    busy: share of all cores of the machine that worked, everything on it included. clients_s: CPU seconds of the
    callers themselves. memory_mb: of the servers.
    """

    beyond: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    lost: int = 0
    parts: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    busy: float = 0.0
    clients_s: float = 0.0
    memory_mb: float = 0.0

    def hear(self, answer: Answer, hold: float) -> None:
        if answer.voice_to_voice is None:
            _status.print(f"lost: no sound in the answer to {answer.question!r}")
            self.lost += 1
            return
        self.beyond.append(answer.voice_to_voice - hold)
        for stage, value in answer.stages.items():
            if value is not None:
                self.stages.setdefault(stage, []).append(value)


class Together:
    """All callers end their questions at the same moment, and the next round begins when everybody has heard."""

    def __init__(self, callers: int, longest: int) -> None:
        self._callers = callers
        self._longest = longest
        self._waiting = 0
        self._round = 0
        self._changed = asyncio.Condition()

    async def before(self, question: Question) -> None:
        async with self._changed:
            round_before = self._round
            self._waiting += 1
            self._begin_if_all_are_here()
            await self._changed.wait_for(lambda: self._round != round_before)
        await asyncio.sleep((self._longest - question.end) / RATE)

    async def gone(self) -> None:
        """The others do not wait for somebody who has hung up."""
        async with self._changed:
            self._callers -= 1
            self._begin_if_all_are_here()

    def _begin_if_all_are_here(self) -> None:
        if self._waiting and self._waiting >= self._callers:
            self._waiting = 0
            self._round += 1
            self._changed.notify_all()


class Staggered:
    """Each caller begins at a moment of its own, and goes on when it has heard and thought."""

    def __init__(self, callers: int, longest: int) -> None:
        self._random = random.Random(callers)
        self._first = iter(np.linspace(0, longest / RATE + 2, callers, endpoint=False))
        self._begun: set[int] = set()

    async def before(self, question: Question) -> None:
        me = id(asyncio.current_task())
        begun = me in self._begun
        self._begun.add(me)
        await asyncio.sleep(self._random.uniform(*_PAUSE_S) if begun else next(self._first))

    async def gone(self) -> None:
        """Nobody waits for anybody."""


@contextmanager
def running(setup: str, callers: int, profile: str) -> Iterator[list[Server]]:
    """The servers of a setup, one for each caller in order; started one after the other."""
    with ExitStack() as stack:
        if setup == COPIES:
            servers = []
            for number in range(callers):
                _status.print(f"starting copy {number + 1} of {callers}")
                servers.append(stack.enter_context(serve(profile, KAMMERTON_SERVER__MAX_SESSIONS="1")))
            yield servers
            return
        batching = "false" if setup == UNBATCHED else "true"
        server = stack.enter_context(
            serve(profile, KAMMERTON_SERVER__MAX_SESSIONS=str(callers), KAMMERTON_ENGINES__BATCHING=batching)
        )
        yield [server] * callers


async def converse(
    caller: Caller, turns: Sequence[Turn], rhythm: Together | Staggered, load: Load, progress: Progress
) -> None:
    """Ask, hear the answer to its end, ask again. A caller who is not answered hangs up."""
    bar = progress.task_ids[0]
    for number, (question, speed) in enumerate(turns):
        try:
            await caller.send({"type": "session.update", "session": _at_speed(speed)})
            await rhythm.before(question)
            answer = await caller.ask(question, _PATIENCE_S + len(question.pcm) / RATE)
        except (TimeoutError, RuntimeError, websockets.ConnectionClosed) as error:
            _status.print(f"lost: {error or type(error).__name__}")
            load.lost += len(turns) - number
            progress.advance(bar, len(turns) - number)
            await rhythm.gone()
            return
        load.hear(answer, caller.hold_ms)
        progress.advance(bar)
        await asyncio.sleep(answer.heard_s)


def _at_speed(speed: float) -> dict[str, object]:
    return {"type": "realtime", "audio": {"output": {"speed": speed}}}


def turns_of(number: int, turns: int, questions: Sequence[Question], fastest: float) -> list[Turn]:
    """What caller ``number`` asks. fastest: speed of the answers, but for a little."""
    places = range(number * turns, (number + 1) * turns)
    return [(questions[place % len(questions)], fastest - place / 10_000) for place in places]


async def measure(servers: Sequence[Server], questions: Sequence[Question], turns: int, together: bool) -> Load:
    """Put the load on the servers, one caller each."""
    load = Load()
    longest = max(question.end for question in questions)
    rhythm = (Together if together else Staggered)(len(servers), longest)
    different = list(dict.fromkeys(servers))
    async with Calls(servers) as callers:
        await asyncio.sleep(1)
        parts = [server.cpu_by_part() for server in different]
        before, own, machine_before = time.monotonic(), time.process_time(), busy_cores()
        with Progress(console=_status) as progress:
            progress.add_task("talking", total=len(servers) * turns)
            async with asyncio.TaskGroup() as group:
                for number, caller in enumerate(callers):
                    mine = turns_of(number, turns, questions, 1.1 if together else 1.0)
                    group.create_task(converse(caller, mine, rhythm, load, progress))
        load.wall_s = time.monotonic() - before
        load.clients_s = time.process_time() - own
        worked, possible = (now - then for now, then in zip(busy_cores(), machine_before, strict=True))
        load.busy = worked / possible
        load.memory_mb = sum(server.own_memory_mb() for server in different)
        after = [server.cpu_by_part() for server in different]
        load.parts = {part: sum(b[part] - a[part] for a, b in zip(parts, after, strict=True)) for part in parts[0]}
    return load


def questions_to_ask() -> list[Question]:
    """All different, in an order that is the same each time."""
    return [speak(text, voice) for voice, text in many_questions()]


class Calls:
    """A call to each server, opened one after the other, ended together."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._calls = [call(server.url) for server in servers]

    async def __aenter__(self) -> list[Caller]:
        return [await one.__aenter__() for one in self._calls]

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(one.__aexit__(None, None, None) for one in self._calls))


HEAD = (
    "| callers | setup | rhythm | answers | lost | beyond the hold p50 | p95 | transcript p95 | first token p95 "
    "| first audio p95 | CPU a turn | server cores | event loop / models / speech | callers' own | machine busy "
    "| memory |\n|" + " --- |" * 16
)


def row(callers: int, setup: str, together: bool, load: Load) -> str:
    """A line under HEAD. Milliseconds, CPU seconds a turn, MB."""
    turns = max(1, len(load.beyond))
    p50, p95 = np.percentile(load.beyond or [np.nan], [50, 95])
    cells = [str(callers), setup, "together" if together else "staggered", str(len(load.beyond)), str(load.lost)]
    cells += [f"{p50:.0f}", f"{p95:.0f}"]
    cells += [f"{np.percentile(load.stages.get(stage, [np.nan]), 95):.0f}" for stage in _STAGES]
    spent = sum(load.parts.values())
    cells += [f"{spent / turns:.2f} s", f"{spent / load.wall_s:.2f}"]
    cells.append(" / ".join(f"{max(0.0, part) / load.wall_s:.2f}" for part in load.parts.values()))
    cells += [f"{load.clients_s / load.wall_s:.2f}", f"{load.busy:.0%}", f"{load.memory_mb:.0f} MB"]
    return "| " + " | ".join(cells) + " |"


async def main(arguments: argparse.Namespace) -> None:
    questions = questions_to_ask()
    load_now = f" Load average at the start {os.getloadavg()[0]:.1f}."
    _console.print(f"Machine: {machine()}.{load_now} {time.strftime('%Y-%m-%d')}. Milliseconds.\n", soft_wrap=True)
    _console.print(HEAD, soft_wrap=True)
    for callers in arguments.callers:
        for setup in (SETUPS[name] for name in arguments.setups):
            if setup == COPIES and callers > arguments.most_copies:
                _status.print(f"{callers} copies are more than --most-copies allows")
                continue
            with running(setup, callers, arguments.profile) as servers:
                for together in (False, True):
                    load = await measure(servers, questions, arguments.turns, together)
                    _console.print(row(callers, setup, together, load), soft_wrap=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 48], help="how many at once, in turn")
    parser.add_argument("--most-copies", type=int, default=16, help="servers side by side, of 230 MB each")
    parser.add_argument("--turns", type=int, default=4, help="questions of each caller")
    parser.add_argument("--setups", nargs="+", choices=SETUPS, default=list(SETUPS))
    parser.add_argument("--profile", default="tiny", help="models to run")
    asyncio.run(main(parser.parse_args()))
