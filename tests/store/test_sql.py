"""The side store on SQLite and on PostgreSQL: both must behave alike."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from server.errors import StoreError
from server.runtime.tools import Earlier, ToolCall, ToolContext
from server.store.sql import SqlStore, connect
from tests.store.database import cluster


class Clock:
    """Unix seconds that pass only when told."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[SqlStore]:
    store = connect(url, clock)
    await store.open()
    await store.forget_before(float("inf"))
    yield store
    await store.close()


CALL = ToolCall("call_1", "book", {"day": "friday"}, "deed", "resp_1")


def context(store: SqlStore, session_id: str = "s") -> ToolContext:
    return ToolContext(session_id, session_id, "reception", "en", store.state(session_id, "reception"))


async def test_facts_are_kept_by_session_and_replaced_by_name(store: SqlStore) -> None:
    mine, other = store.state("s", "reception"), store.state("other", "reception")
    await mine.set("party", {"size": 4, "names": ["Zoë", None]})
    await mine.set("day", "friday")
    await mine.set("day", "saturday")
    assert await mine.all() == {"day": "saturday", "party": {"size": 4, "names": ["Zoë", None]}}
    assert await mine.get("price", 0) == 0
    assert await other.all() == {}
    await other.delete("day")
    await mine.delete("day")
    assert await mine.get("day") is None


async def test_a_deed_is_begun_once_and_its_output_is_found_again(store: SqlStore) -> None:
    assert await store.begin("k", CALL, context(store)) is None
    assert await store.begin("k", CALL, context(store)) == Earlier(None)
    await store.finish("k", "ok", '{"ok":true}', 0.25)
    assert await store.begin("k", CALL, context(store, "after the line dropped")) == Earlier('{"ok":true}')


async def test_of_many_who_begin_a_deed_at_once_one_may_run_it(store: SqlStore) -> None:
    answers = await asyncio.gather(*(store.begin("k", CALL, context(store)) for _ in range(8)))
    assert answers.count(None) == 1
    assert answers.count(Earlier(None)) == 7


async def test_what_the_caller_was_told_of_may_be_done_anew_and_both_stay_on_record(
    store: SqlStore, clock: Clock
) -> None:
    await store.begin("k", CALL, context(store))
    await store.finish("k", "ok", "1", 0.5)
    clock.now += 3
    await store.told("k")
    assert await store.begin("k", CALL, context(store)) is None
    await store.told("no such deed")
    first, second = await store.calls("s")
    assert (first.tool, first.arguments, first.outcome, first.output) == ("book", '{"day":"friday"}', "ok", "1")
    assert (first.begun_at, first.seconds, first.told_at) == (1_000.0, 0.5, 1_003.0)
    assert (second.outcome, second.output, second.told_at) == (None, None, None)


async def test_what_was_set_last_is_told_last(store: SqlStore, clock: Clock) -> None:
    state = store.state("s", "reception")
    for name in ("b", "c", "a", "b"):
        clock.now += 1
        await state.set(name, 1)
    assert list(await state.all()) == ["c", "a", "b"]


@pytest.mark.parametrize("unknown", ["timeout", "uncertain"])
async def test_a_deed_done_anew_has_a_new_key_but_one_that_may_have_happened_keeps_it(
    store: SqlStore, clock: Clock, unknown: str
) -> None:
    keys = [await store.key("k")]
    for outcome in ("ok", unknown, "ok"):
        await store.begin("k", CALL, context(store))
        assert await store.key("k") == keys[-1]
        await store.finish("k", outcome, "1", 0.5)
        clock.now += 3
        await store.told("k")
        keys.append(await store.key("k"))
    assert keys[1] == keys[2]
    assert len(set(keys)) == 3
    assert await store.key("other") != keys[0]


async def test_an_outcome_that_stands_is_not_changed(store: SqlStore) -> None:
    await store.begin("k", CALL, context(store))
    await store.finish("k", "ok", "1", 0.5)
    await store.finish("k", "failed", "2", 0.5)
    assert [call.output for call in await store.calls("s")] == ["1"]


async def test_an_abandoned_deed_may_be_begun_again(store: SqlStore) -> None:
    await store.begin("k", CALL, context(store))
    await store.abandon("k")
    assert await store.begin("k", CALL, context(store)) is None


async def test_nobody_was_told_but_it_is_long_past_so_the_same_wish_is_a_new_one(store: SqlStore, clock: Clock) -> None:
    await store.begin("k", CALL, context(store))
    await store.finish("k", "ok", "1", 0.5)
    clock.now += 3_500
    assert await store.begin("k", CALL, context(store)) == Earlier("1")
    clock.now += 200
    assert await store.begin("k", CALL, context(store)) is None


async def test_a_forgotten_session_leaves_nothing(store: SqlStore, clock: Clock) -> None:
    await store.state("s", "reception").set("day", "friday")
    await store.begin("k", CALL, context(store))
    clock.now = 2_000
    young = store.state("young", "reception")
    await young.set("day", "monday")
    assert await store.forget_before(1_500) == 1
    assert await store.state("s", "reception").all() == {}
    assert await store.calls("s") == []
    assert await young.all() == {"day": "monday"}
    await store.forget("young")
    assert await young.all() == {}


async def test_all_is_still_there_for_the_next_process(store: SqlStore, url: str) -> None:
    await store.state("s", "reception").set("day", "friday")
    await store.close()
    reopened = connect(url)
    assert await reopened.state("s", "reception").all() == {"day": "friday"}
    await reopened.close()


_BEGINS_AND_DIES = """
import asyncio, os, signal, sys
from server.runtime.tools import ToolCall, ToolContext
from server.store.sql import connect

async def main():
    store = connect(sys.argv[1])
    context = ToolContext("s", "s", "reception", "en", store.state("s", "reception"))
    assert await store.begin("crash", ToolCall("c", "book", {}, "crash", "r"), context) is None
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_call_during_which_the_process_was_killed_is_known_to_have_been_begun(
    store: SqlStore, url: str
) -> None:
    died = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _BEGINS_AND_DIES, url], env={**os.environ}, timeout=240
    )
    assert died.returncode == -signal.SIGKILL
    assert await store.begin("crash", CALL, context(store)) == Earlier(None)


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.db"
    store = connect(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await store.close()


async def _opened(url: str) -> None:
    store = connect(url)
    try:
        await store.open()
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://localhost/x", "sqlite:// or postgresql://, not mysql://"),
        ("store.db", "no address of a database"),
        ("postgresql://user:pass:word@db:port/x", "no address of a database"),
        ("sqlite://", "must name a file"),
        ("sqlite:////proc/none/store.db", "cannot write the store's file"),
        ("postgresql://nobody@/x?host=/nonexistent", "store"),
    ],
)
async def test_an_address_that_cannot_be_used_is_told(url: str, told: str) -> None:
    with pytest.raises(StoreError, match=told) as error:
        await _opened(url)
    assert "word" not in str(error.value)


async def test_an_error_of_the_database_quotes_nothing_of_what_was_written(tmp_path: Path) -> None:
    said = "".join(("Mr ", "Smith"))
    never_opened = connect(f"sqlite:///{tmp_path}/store.db")
    with pytest.raises(StoreError, match="no such table") as error:
        await never_opened.state("sess_1", "").set("name", said)
    await never_opened.close()
    assert said not in "".join(traceback.format_exception(error.value))
