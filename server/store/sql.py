"""The side store in a database: an SQLite file, or PostgreSQL for several machines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from server.errors import StoreError
from server.runtime.tools import MAY_HAVE_HAPPENED, Earlier, ToolCall, ToolContext
from server.store.base import CallRecord

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}

_SAME_DEED_S = 3600.0
"""A deed that the caller was never told about (the line dropped) is the same deed for so long; then it is the past."""

_metadata = sa.MetaData()

_sessions = sa.Table(
    "sessions",
    _metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("agent", sa.String(128), nullable=False),
    sa.Column("began_at", sa.Double, nullable=False, index=True),
)
_facts = sa.Table(
    "facts",
    _metadata,
    sa.Column("session_id", sa.ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("changed_at", sa.Double, nullable=False),
)
_calls = sa.Table(
    "tool_calls",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(256), nullable=False, index=True),
    sa.Column("session_id", sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("tool", sa.String(128), nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("outcome", sa.String(32)),
    sa.Column("output", sa.Text),
    sa.Column("begun_at", sa.Double, nullable=False),
    sa.Column("seconds", sa.Double),
    sa.Column("told_at", sa.Double),
)
_untold = _calls.c.told_at.is_(None)
_one_deed = sa.Index("tool_calls_one_deed", _calls.c.key, unique=True, sqlite_where=_untold, postgresql_where=_untold)
"""One identical call at a time: the next may begin when the caller has been told of the first."""


def connect(url: str, clock: Callable[[], float] = time.time) -> SqlStore:
    """A store at this address; nothing is asked of the database yet. clock: Unix seconds.

    url: ``sqlite:///file`` (``~`` is the home folder; the file is made for its owner alone) or
    ``postgresql://user@host/database``. Raises StoreError for any other, and for a file that cannot be written.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        # It may hold a password, and where that ends cannot be told: that is what is wrong with it.
        raise StoreError("the store's address is no address of a database: sqlite:///FILE, postgresql://...") from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        known = " or ".join(f"{name}://" for name in _DRIVERS)
        raise StoreError(f"the store's address must begin with {known}, not {parsed.drivername}://")
    if parsed.drivername == "sqlite":
        parsed = parsed.set(database=str(_own_file(parsed.database)))
    # What is written are callers' words: no error of the database may quote them.
    engine = create_async_engine(parsed.set(drivername=driver), pool_pre_ping=True, hide_parameters=True)
    if parsed.drivername == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _set_pragmas)
    return SqlStore(engine, clock)


def _own_file(name: str | None) -> Path:
    """The file, made if need be: it holds what callers have told."""
    if not name:
        raise StoreError("the store's address must name a file: sqlite:///FILE")
    path = Path(name).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreError(f"cannot write the store's file {path}: {error.strerror or error}") from None
    return path


def _set_pragmas(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    # A call that is begun must be on the disk before it is run: full synchronisation, also of the log ahead.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class SqlStore:
    """See Store."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        # Both dialects have "insert ... on conflict", under the same names.
        self._insert: Any = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    async def open(self) -> None:
        """Make the tables that are not there. Raises StoreError when the database cannot be had."""
        async with self._transaction() as connection:
            await connection.run_sync(_metadata.create_all)

    def state(self, session_id: str, agent: str) -> SqlState:
        """See Store."""
        return SqlState(self, session_id, agent)

    async def key(self, deed: str) -> str:
        """See CallLedger."""
        outcome = sa.func.coalesce(_calls.c.outcome, "")
        last = sa.select(sa.func.max(_calls.c.told_at)).where(_calls.c.key == deed, outcome.not_in(MAY_HAVE_HAPPENED))
        async with self._transaction() as connection:
            told_at = (await connection.execute(last)).scalar_one()
        return f"{deed}.{round((told_at or 0) * 1000)}"

    async def begin(self, deed: str, call: ToolCall, context: ToolContext) -> Earlier | None:
        """See CallLedger."""
        now = self._clock()
        row = {
            "key": deed,
            "session_id": context.session_id,
            "tool": call.name,
            "arguments": orjson.dumps(dict(call.arguments)).decode(),
            "begun_at": now,
        }
        write = self._insert(_calls).values(row)
        write = write.on_conflict_do_nothing(index_elements=[_calls.c.key], index_where=_untold)
        past = sa.update(_calls).where(_calls.c.key == deed, _untold, _calls.c.begun_at < now - _SAME_DEED_S)
        async with self._transaction() as connection:
            await self._know_session(connection, context.session_id, context.agent)
            await connection.execute(past.values(told_at=now))
            if (await connection.execute(write)).rowcount:
                return None
            found = await connection.execute(sa.select(_calls.c.output).where(_calls.c.key == deed, _untold))
            return Earlier(found.scalar_one())

    async def finish(self, deed: str, outcome: str, output: str, seconds: float) -> None:
        """See CallLedger. An outcome that stands is not changed."""
        ended = sa.update(_calls).where(_calls.c.key == deed, _untold, _calls.c.outcome.is_(None))
        async with self._transaction() as connection:
            await connection.execute(ended.values(outcome=outcome, output=output, seconds=seconds))

    async def abandon(self, deed: str) -> None:
        """See CallLedger."""
        async with self._transaction() as connection:
            await connection.execute(sa.delete(_calls).where(_calls.c.key == deed, _untold))

    async def told(self, deed: str) -> None:
        """See CallLedger."""
        async with self._transaction() as connection:
            await connection.execute(
                sa.update(_calls).where(_calls.c.key == deed, _untold).values(told_at=self._clock())
            )

    async def calls(self, session_id: str) -> Sequence[CallRecord]:
        """See Store."""
        columns = [column for column in _calls.c if column.name != "id"]
        wanted = sa.select(*columns).where(_calls.c.session_id == session_id).order_by(_calls.c.id)
        async with self._transaction() as connection:
            return [CallRecord(**row._asdict()) for row in await connection.execute(wanted)]

    async def forget(self, session_id: str) -> None:
        """See Store."""
        async with self._transaction() as connection:
            await connection.execute(sa.delete(_sessions).where(_sessions.c.id == session_id))

    async def forget_before(self, moment: float) -> int:
        """See Store."""
        async with self._transaction() as connection:
            gone = await connection.execute(sa.delete(_sessions).where(_sessions.c.began_at < moment))
            return gone.rowcount

    async def close(self) -> None:
        """Let go of all connections."""
        await self._engine.dispose()

    async def facts(self, session_id: str) -> dict[str, Any]:
        """All facts of a session by name, what was set last at the end."""
        wanted = sa.select(_facts.c.name, _facts.c.value).where(_facts.c.session_id == session_id)
        wanted = wanted.order_by(_facts.c.changed_at)
        async with self._transaction() as connection:
            rows = (await connection.execute(wanted)).all()
        return {name: orjson.loads(value) for name, value in rows}

    async def set_fact(self, session_id: str, agent: str, name: str, value: Any) -> None:
        """Write a fact, over an older one of the same name. Raises TypeError for what JSON cannot say."""
        row = {
            "session_id": session_id,
            "name": name,
            "value": orjson.dumps(value).decode(),
            "changed_at": self._clock(),
        }
        write = self._insert(_facts).values(row)
        write = write.on_conflict_do_update(
            index_elements=["session_id", "name"],
            set_={"value": write.excluded.value, "changed_at": write.excluded.changed_at},
        )
        async with self._transaction() as connection:
            await self._know_session(connection, session_id, agent)
            await connection.execute(write)

    async def delete_fact(self, session_id: str, name: str) -> None:
        """Forget a fact, if there is one of that name."""
        gone = sa.delete(_facts).where(_facts.c.session_id == session_id, _facts.c.name == name)
        async with self._transaction() as connection:
            await connection.execute(gone)

    async def _know_session(self, connection: AsyncConnection, session_id: str, agent: str) -> None:
        row = {"id": session_id, "agent": agent, "began_at": self._clock()}
        await connection.execute(self._insert(_sessions).values(row).on_conflict_do_nothing())

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection that commits at the end. The database's errors become a StoreError without what was written."""
        try:
            async with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise StoreError(f"the store failed: {str(cause).splitlines()[0]}") from error
        except OSError as error:
            raise StoreError(f"the store cannot be reached: {error}") from error


class SqlState:
    """See SharedState: the facts of one session."""

    def __init__(self, store: SqlStore, session_id: str, agent: str) -> None:
        self._store = store
        self._session_id = session_id
        self._agent = agent

    async def get(self, name: str, default: Any = None) -> Any:
        """See SharedState."""
        return (await self._store.facts(self._session_id)).get(name, default)

    async def set(self, name: str, value: Any) -> None:
        """See SharedState."""
        await self._store.set_fact(self._session_id, self._agent, name, value)

    async def delete(self, name: str) -> None:
        """See SharedState."""
        await self._store.delete_fact(self._session_id, name)

    async def all(self) -> Mapping[str, Any]:
        """See SharedState."""
        return await self._store.facts(self._session_id)
