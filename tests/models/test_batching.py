"""The batcher: order, grouping, failure, cancellation, overload, closing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import CapacityError, EngineError, Priority, Urgency
from models.batching import Batcher

CLASSES = list(Priority)


class Device:
    """A stand-in for a model: notes its batches, and can be held up so that requests pile up behind it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.started = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def run(self, requests: list[str]) -> list[str]:
        self.batches.append(list(requests))
        self.started.set()
        assert self.free.wait(60)
        if any(request.startswith("bad") for request in requests):
            raise ArithmeticError("no luck")
        return [request.upper() for request in requests]


@contextmanager
def batching(
    device: Device, *, max_batch: int = 4, capacity: int = 100, by_priority: bool = True
) -> Iterator[Batcher[str, str]]:
    batcher = Batcher(
        device.run,
        name="device",
        max_batch=max_batch,
        capacity=capacity,
        by_priority=by_priority,
        group=lambda request: request.split("/")[0],
    )
    try:
        yield batcher
    finally:
        device.free.set()
        batcher.close()


async def until_started(device: Device) -> None:
    assert await asyncio.to_thread(device.started.wait, 10)


async def occupy(device: Device, batcher: Batcher[str, str]) -> asyncio.Task[str]:
    """Have one request running and held up, so that all later ones queue."""
    device.free.clear()
    task = asyncio.create_task(batcher.submit("first/0"))
    await until_started(device)
    return task


async def settle_in() -> None:
    """Let tasks that were just created reach their first wait."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_each_request_gets_its_own_answer() -> None:
    with batching(Device()) as batcher:
        wanted = [f"a/{n}" for n in range(50)]
        assert await asyncio.gather(*map(batcher.submit, wanted)) == [text.upper() for text in wanted]


async def test_a_request_on_a_free_device_runs_at_once_and_alone() -> None:
    device = Device()
    with batching(device) as batcher:
        assert await batcher.submit("a/1") == "A/1"
    assert device.batches == [["a/1"]]


async def test_what_queues_behind_a_busy_device_goes_together() -> None:
    device = Device()
    with batching(device, max_batch=4) as batcher:
        tasks = [await occupy(device, batcher)]
        tasks += [asyncio.create_task(batcher.submit(f"a/{n}")) for n in range(6)]
        await settle_in()
        device.free.set()
        await asyncio.gather(*tasks)
    assert device.batches[1:] == [["a/0", "a/1", "a/2", "a/3"], ["a/4", "a/5"]]


async def test_without_priorities_requests_go_in_order_of_arrival() -> None:
    device = Device()
    with batching(device, max_batch=1, by_priority=False) as batcher:
        tasks = [await occupy(device, batcher)]
        for number, priority in enumerate(reversed(CLASSES)):
            tasks.append(asyncio.create_task(batcher.submit(f"a/{number}", priority)))
            await settle_in()
        device.free.set()
        await asyncio.gather(*tasks)
    assert device.batches[1:] == [["a/0"], ["a/1"], ["a/2"], ["a/3"]]


async def test_work_that_becomes_urgent_while_it_waits_goes_before_what_came_earlier() -> None:
    device, urgency = Device(), Urgency(Priority.PREPARED)
    with batching(device, max_batch=2) as batcher:
        tasks = [await occupy(device, batcher)]
        tasks += [asyncio.create_task(batcher.submit(f"a/{n}", Priority.PREPARED)) for n in range(2)]
        tasks.append(asyncio.create_task(batcher.submit("a/confirmed", urgency)))
        await settle_in()
        urgency.priority = Priority.CONFIRMED
        device.free.set()
        await asyncio.gather(*tasks)
    assert device.batches[1:] == [["a/confirmed"], ["a/0", "a/1"]]


async def test_a_batch_that_fails_takes_no_other_batch_with_it() -> None:
    device = Device()
    with batching(device) as batcher:
        tasks = [await occupy(device, batcher)]
        tasks += [asyncio.create_task(batcher.submit(text)) for text in ("a/1", "bad/1", "bad/2", "a/2")]
        await settle_in()
        device.free.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[1] == "A/1"
        assert isinstance(answers[2], ArithmeticError)
        assert isinstance(answers[3], ArithmeticError)
        assert answers[4] == "A/2"
        assert await batcher.submit("a/3") == "A/3"


async def test_a_wrong_number_of_results_is_an_error() -> None:
    batcher: Batcher[str, str] = Batcher(lambda requests: [], name="device", max_batch=4)
    try:
        with pytest.raises(RuntimeError, match="0 results for 1 requests"):
            await batcher.submit("a")
    finally:
        batcher.close()


async def test_a_cancelled_request_is_never_run_and_frees_its_place() -> None:
    device = Device()
    with batching(device, capacity=2) as batcher:
        running = await occupy(device, batcher)
        kept, dropped = (asyncio.create_task(batcher.submit(text)) for text in ("a/kept", "a/dropped"))
        await settle_in()
        dropped.cancel()
        await asyncio.gather(dropped, return_exceptions=True)
        late = asyncio.create_task(batcher.submit("a/late"))
        await settle_in()
        device.free.set()
        assert await asyncio.gather(running, kept, late) == ["FIRST/0", "A/KEPT", "A/LATE"]
    assert device.batches[1:] == [["a/kept", "a/late"]]


async def test_cancelling_what_is_running_leaves_its_neighbours_alone() -> None:
    device = Device()
    with batching(device) as batcher:
        running = await occupy(device, batcher)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        left, right = (asyncio.create_task(batcher.submit(text)) for text in ("a/left", "a/right"))
        await settle_in()
        device.free.set()
        assert await asyncio.gather(left, right) == ["A/LEFT", "A/RIGHT"]
    assert device.batches == [["first/0"], ["a/left", "a/right"]]


async def test_a_full_queue_refuses_at_once() -> None:
    device = Device()
    with batching(device, capacity=2) as batcher:
        tasks = [await occupy(device, batcher)]
        tasks += [asyncio.create_task(batcher.submit(f"a/{n}")) for n in range(2)]
        await settle_in()
        with pytest.raises(CapacityError):
            await batcher.submit("a/9")
        device.free.set()
        assert len(await asyncio.gather(*tasks)) == 3


async def test_closing_fails_what_is_queued_and_finishes_what_runs() -> None:
    device = Device()
    with batching(device) as batcher:
        running = await occupy(device, batcher)
        queued = asyncio.create_task(batcher.submit("a/1"))
        await settle_in()
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        with pytest.raises(EngineError, match="closed"):
            await queued
        device.free.set()
        assert await running == "FIRST/0"
        await closing
        with pytest.raises(EngineError, match="closed"):
            await batcher.submit("a/2")
    assert device.batches == [["first/0"]]
    assert not [thread for thread in threading.enumerate() if thread.name == "batch-device"]


def test_loops_of_several_threads_share_a_batch() -> None:
    device = Device()
    answers: dict[str, str] = {}

    def caller(text: str) -> None:
        answers[text] = asyncio.run(batcher.submit(text))

    with batching(device) as batcher:
        device.free.clear()
        threads = [threading.Thread(target=caller, args=(f"a/{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        device.free.set()
        for thread in threads:
            thread.join(10)
    assert answers == {f"a/{n}": f"A/{n}" for n in range(3)}


async def test_a_loop_that_is_gone_harms_nobody() -> None:
    device = Device()
    with batching(device) as batcher:

        def leave_while_it_runs() -> None:
            async def briefly() -> None:
                await occupy(device, batcher)

            asyncio.run(briefly())

        await asyncio.to_thread(leave_while_it_runs)
        device.free.set()
        assert await batcher.submit("a/here") == "A/HERE"
    assert device.batches == [["first/0"], ["a/here"]]


@settings(max_examples=60, deadline=None)
@given(
    requests=st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from("ab"), st.booleans()), max_size=20),
    max_batch=st.integers(1, 5),
)
def test_order_and_make_up_of_batches(requests: list[tuple[Priority, str, bool]], max_batch: int) -> None:
    """Classes never mix and go in order; within a class the oldest request decides the group; FIFO in a group."""
    device = Device()
    named = [(f"{group}/{number}", priority, cancel) for number, (priority, group, cancel) in enumerate(requests)]
    ranks = {name: priority for name, priority, _ in named}

    async def drive() -> None:
        with batching(device, max_batch=max_batch) as batcher:
            tasks = [await occupy(device, batcher)]
            for name, priority, cancel in named:
                task = asyncio.create_task(batcher.submit(name, priority))
                await asyncio.sleep(0)
                if cancel:
                    task.cancel()
                tasks.append(task)
            await settle_in()
            device.free.set()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(drive())
    waiting = {name for name, _, cancel in named if not cancel}
    for batch in device.batches[1:]:
        assert len(batch) <= max_batch
        best = min(ranks[name] for name in waiting)
        oldest = min((name for name in waiting if ranks[name] == best), key=lambda name: int(name.split("/")[1]))
        group = [name for name in waiting if ranks[name] == best and name[0] == oldest[0]]
        assert batch == sorted(group, key=lambda name: int(name.split("/")[1]))[:max_batch]
        waiting -= set(batch)
    assert not waiting
