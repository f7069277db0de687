"""When callers begin to speak, in the benchmark of many."""

from __future__ import annotations

import asyncio

import numpy as np

from benchmarks.callers import Together, turns_of
from benchmarks.speech import Question

QUESTION = Question("What time is it?", np.zeros(10, np.int16), 10)


async def test_a_round_begins_when_all_are_ready_and_waits_for_nobody_who_has_hung_up() -> None:
    rhythm = Together(3, longest=10)
    first, second = (asyncio.create_task(rhythm.before(QUESTION)) for _ in range(2))
    await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    await rhythm.before(QUESTION)
    await asyncio.gather(first, second)

    left = [asyncio.create_task(rhythm.before(QUESTION)) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in left)
    await rhythm.gone()
    await asyncio.gather(*left)
    await rhythm.gone()
    await rhythm.before(QUESTION)


def test_no_two_answers_are_spoken_at_the_same_speed() -> None:
    turns = [turn for number in range(48) for turn in turns_of(number, 4, [QUESTION], 1.1)]
    assert len({speed for _, speed in turns}) == len(turns)
    assert all(1.0 < speed <= 1.1 for _, speed in turns)
