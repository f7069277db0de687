"""Many callers at once, in real time: in this process, or in several where one would be at its end."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

from benchmarks import judgement, results
from benchmarks.conditions import Channel
from benchmarks.conversation import Conversation
from benchmarks.dialects.base import Ready
from benchmarks.line import LineError, dial
from benchmarks.peer import Peer
from benchmarks.recording import speak
from benchmarks.scenario import Scenario, Utterance
from benchmarks.speech import many_questions

CALLERS_A_PROCESS = 64
"""A third of a core or so: 20 ms pieces are encoded and sent in time, and answers are noted as they come."""
_PAUSE_S = (0.3, 1.2)
_SPREAD_S = 6.0


@dataclass(slots=True)
class Taken:
    """What callers lived through. late_s: how late their pieces of audio left. cpu_s: of the callers themselves.
    ready: what the server said of itself."""

    turns: list[results.Turn] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    cpu_s: float = 0.0
    ready: Ready | None = None

    def add(self, other: Taken) -> None:
        self.turns += other.turns
        self.late_s += other.late_s
        self.errors += other.errors
        self.cpu_s += other.cpu_s
        self.ready = self.ready or other.ready


@dataclass(frozen=True, slots=True)
class Load:
    """What the callers do. spread_s: within which they begin, each at a moment of its own."""

    callers: int
    turns: int
    condition: str = "clean"

    @property
    def spread_s(self) -> float:
        return min(_SPREAD_S, 1.0 + self.callers / 8)


def processes_for(callers: int) -> int:
    return -(-callers // CALLERS_A_PROCESS)


async def talk(server: Peer, load: Load, pool: ProcessPoolExecutor | None) -> Taken:
    """All callers, from the first hello to the last goodbye. pool: for more than one process; None for this one."""
    taken = Taken()
    if pool is None:
        taken.add(await _some(server, load, range(load.callers)))
        return taken
    count = processes_for(load.callers)
    shares = [range(first, load.callers, count) for first in range(count)]
    loop = asyncio.get_running_loop()
    for part in await asyncio.gather(*(loop.run_in_executor(pool, _process, server, load, each) for each in shares)):
        taken.add(part)
    return taken


def process_pool(callers: int) -> ProcessPoolExecutor:
    """Processes of their own for so many callers, started and warm."""
    pool = ProcessPoolExecutor(processes_for(callers), multiprocessing.get_context("spawn"))
    list(pool.map(all_questions_of, range(processes_for(callers))))
    return pool


def all_questions_of(_number: int) -> int:
    """Makes a process load what it needs; how many questions there are."""
    return len(all_questions())


def _process(server: Peer, load: Load, numbers: Sequence[int]) -> Taken:
    return asyncio.run(_some(server, load, numbers))


async def _some(server: Peer, load: Load, numbers: Sequence[int]) -> Taken:
    """The callers with these numbers."""
    questions, taken = all_questions(), Taken()
    scenarios = {number: conversation_of(number, load.turns, questions) for number in numbers}
    channel = Channel(load.condition, server.dialect().input_rate)
    before = time.process_time()
    async with asyncio.TaskGroup() as group:
        for number, scenario in scenarios.items():
            group.create_task(_caller(server, scenario, number / load.callers * load.spread_s, channel, taken))
    taken.cpu_s = time.process_time() - before
    return taken


async def _caller(server: Peer, scenario: Scenario, starts_in: float, channel: Channel, taken: Taken) -> None:
    """One call; what is missing at its end is lost."""
    await asyncio.sleep(starts_in)
    setup = replace(server.setup_for(scenario), tools=())
    try:
        async with dial(server.dialect(), server.target, setup, channel) as line:
            taken.ready = line.ready
            conversation = Conversation(line, scenario)
            await conversation.play()
    except LineError as error:
        taken.errors.append(str(error))
        return
    taken.turns += judgement.turns(conversation, 0, channel.condition)
    taken.late_s += line.late_s
    if conversation.broken:
        taken.errors.append(conversation.broken)


def all_questions() -> list[Utterance]:
    """As turns of a scenario."""
    return [Utterance(say=text, voice=voice) for voice, text in many_questions()]


def conversation_of(caller: int, turns: int, questions: Sequence[Utterance]) -> Scenario:
    """What caller number ``caller`` asks."""
    chance = random.Random(caller)
    mine = [questions[(caller * turns + number) % len(questions)] for number in range(turns)]
    asked = [each.model_copy(update={"pause_s": chance.uniform(*_PAUSE_S)}) for each in mine]
    spoken = [speak(str(each.say), str(each.voice)).at_rate(24_000) for each in asked]
    agent = "You are the receptionist of a hair salon."
    return Scenario("density", "Questions", "en", tuple(asked), tuple(spoken), agent, max_turns=turns)
