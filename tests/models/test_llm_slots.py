"""Waiting for the chat model: bounded, and the urgent first."""

from __future__ import annotations

import asyncio

import pytest

from models.base import CapacityError, Priority, Urgency
from models.llm.slots import Slots


async def queue(slots: Slots, order: list[str], name: str, priority: Priority | Urgency) -> asyncio.Task[None]:
    async def wait() -> None:
        await slots.acquire(priority)
        order.append(name)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)  # let it take its place in the queue
    return task


async def test_urgent_requests_go_first_and_equals_in_order_of_arrival():
    slots, order = Slots(1, 8), list[str]()
    await slots.acquire(Priority.CONFIRMED)
    tasks = [
        await queue(slots, order, "summary", Priority.BACKGROUND),
        await queue(slots, order, "prepared 1", Priority.PREPARED),
        await queue(slots, order, "prepared 2", Priority.PREPARED),
        await queue(slots, order, "turn", Priority.CONFIRMED),
    ]
    assert order == []
    for _ in tasks:
        slots.release()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == ["turn", "prepared 1", "prepared 2", "summary"]


async def test_a_request_that_becomes_urgent_while_it_waits_overtakes():
    slots, order, urgency = Slots(1, 8), list[str](), Urgency(Priority.PREPARED)
    await slots.acquire(Priority.CONFIRMED)
    tasks = [
        await queue(slots, order, "prepared", Priority.PREPARED),
        await queue(slots, order, "adopted", urgency),
    ]
    urgency.priority = Priority.CONFIRMED
    for _ in tasks:
        slots.release()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == ["adopted", "prepared"]


async def test_as_many_run_at_once_as_there_are_slots():
    slots, order = Slots(2, 8), list[str]()
    first, second, third = [await queue(slots, order, name, Priority.CONFIRMED) for name in "abc"]
    assert order == ["a", "b"]
    assert first.done()
    assert second.done()
    slots.release()
    await third
    assert order == ["a", "b", "c"]


async def test_a_full_queue_refuses_at_once():
    slots = Slots(1, 1)
    await slots.acquire(Priority.CONFIRMED)
    waiting = await queue(slots, [], "a", Priority.CONFIRMED)
    with pytest.raises(CapacityError):
        await slots.acquire(Priority.CONFIRMED)
    slots.release()
    await waiting


async def test_a_full_queue_gives_up_its_least_urgent_place_to_a_more_urgent_request():
    slots, order = Slots(1, 2), list[str]()
    await slots.acquire(Priority.CONFIRMED)
    prepared = await queue(slots, order, "prepared", Priority.PREPARED)
    summary = await queue(slots, order, "summary", Priority.BACKGROUND)
    turn = await queue(slots, order, "turn", Priority.CONFIRMED)
    with pytest.raises(CapacityError, match="more urgent"):
        await summary
    slots.release()
    await turn
    slots.release()
    await prepared
    assert order == ["turn", "prepared"]


async def test_who_stops_waiting_leaves_the_queue():
    slots, order = Slots(1, 1), list[str]()
    await slots.acquire(Priority.CONFIRMED)
    gone = await queue(slots, order, "gone", Priority.CONFIRMED)
    gone.cancel()
    await asyncio.wait([gone])
    stays = await queue(slots, order, "stays", Priority.CONFIRMED)
    slots.release()
    await stays
    assert order == ["stays"]


@pytest.mark.parametrize("priority", [Priority.CONFIRMED, Priority.PREPARED])
async def test_the_place_of_someone_who_is_just_being_cancelled_is_free(priority: Priority):
    slots, order = Slots(1, 1), list[str]()
    await slots.acquire(Priority.CONFIRMED)
    gone = await queue(slots, order, "gone", Priority.PREPARED)
    comes = asyncio.create_task(slots.acquire(priority))
    gone.cancel()  # which leaves the queue after the other has come
    await asyncio.wait([gone])
    assert gone.cancelled()
    slots.release()
    await comes


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_a_slot_given_to_someone_who_is_just_being_cancelled_is_not_lost(cancel_first: bool):
    slots = Slots(1, 4)
    await slots.acquire(Priority.CONFIRMED)
    gone = await queue(slots, [], "gone", Priority.CONFIRMED)
    for step in (gone.cancel, slots.release) if cancel_first else (slots.release, gone.cancel):
        step()
    await asyncio.wait([gone])
    assert gone.cancelled()
    async with asyncio.timeout(60):
        await slots.acquire(Priority.CONFIRMED)
