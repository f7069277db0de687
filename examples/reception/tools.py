"""What the reception can do, on a database of its own: reception.db, beside this file, made on the first call.

The names, descriptions and arguments are those that the bundled chat model was trained with.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

from server.agents.python_tools import tool
from server.runtime.tools import ToolContext

T = TypeVar("T")

DATABASE = Path(__file__).with_name("reception.db")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SLOT_MINUTES = 30
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS hours (day TEXT PRIMARY KEY, open TEXT, close TEXT);
CREATE TABLE IF NOT EXISTS services (name TEXT PRIMARY KEY, euros REAL NOT NULL);
CREATE TABLE IF NOT EXISTS appointments (
    id INTEGER PRIMARY KEY, date TEXT NOT NULL, time TEXT NOT NULL, service TEXT NOT NULL, name TEXT NOT NULL,
    UNIQUE (date, time)
);
"""
_HOURS = [*((day, "09:00", "18:00") for day in DAYS[:5]), ("saturday", "10:00", "14:00"), ("sunday", None, None)]
_SERVICES = [("haircut", 25.0), ("beard trim", 15.0), ("colouring", 60.0), ("massage", 45.0), ("facial", 55.0)]
_SERVICES += [("manicure", 30.0), ("pedicure", 35.0)]


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    """One transaction; the tables are made and filled where there are none."""
    connection = sqlite3.connect(DATABASE, timeout=5)
    try:
        with connection:
            connection.executescript(_SCHEMA)
            connection.executemany("INSERT OR IGNORE INTO hours VALUES (?, ?, ?)", _HOURS)
            connection.executemany("INSERT OR IGNORE INTO services VALUES (?, ?)", _SERVICES)
        with connection:
            yield connection
    finally:
        connection.close()


async def _ask(work: Callable[[sqlite3.Connection], T]) -> T:
    """SQLite blocks, so it is asked in a thread."""

    def in_thread() -> T:
        with _database() as connection:
            return work(connection)

    return await asyncio.to_thread(in_thread)


def _date(day: str) -> date | None:
    """The next date that a caller means by a day's name; None for what is none."""
    today = date.today()
    day = day.strip().lower()
    near = {"today": 0, "tomorrow": 1}
    if day in near:
        return today + timedelta(near[day])
    if day not in DAYS:
        return None
    return today + timedelta((DAYS.index(day) - today.weekday()) % 7)


def _hours(connection: sqlite3.Connection, when: date) -> tuple[str | None, str | None]:
    found = connection.execute("SELECT open, close FROM hours WHERE day = ?", (DAYS[when.weekday()],)).fetchone()
    return (found[0], found[1]) if found else (None, None)


def _free(connection: sqlite3.Connection, when: date) -> list[str]:
    """Free times of a day, HH:MM, in order."""
    start, end = _hours(connection, when)
    if start is None or end is None:
        return []
    taken = {time for (time,) in connection.execute("SELECT time FROM appointments WHERE date = ?", (str(when),))}
    slots = range(_minutes(start), _minutes(end), _SLOT_MINUTES)
    return [time for time in map(_clock, slots) if time not in taken]


def _minutes(time: str) -> int:
    hour, minute = time.split(":")
    return int(hour) * 60 + int(minute)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _near(times: list[str], wanted: str | None) -> list[str]:
    """Two of them: those next to the wanted time, else one in the morning and one later."""
    if wanted is None:
        return [times[0], times[len(times) // 2]] if len(times) > 1 else times
    return sorted(sorted(times, key=lambda time: abs(_minutes(time) - _minutes(wanted)))[:2])


def _normal(time: str) -> str | None:
    found = _TIME.fullmatch(time.strip())
    return f"{int(found[1]):02d}:{found[2]}" if found else None


_NO_DAY = {"error": "unknown day"}


@tool(safe=True)
async def get_opening_hours(day: str) -> dict[str, Any]:
    """Opening hours for a day."""
    when = _date(day)
    if when is None:
        return _NO_DAY
    start, end = await _ask(lambda connection: _hours(connection, when))
    return {"day": day, "open": start, "close": end} if start else {"day": day, "closed": True}


@tool(safe=True)
async def check_availability(day: str, service: str | None = None, time: str | None = None) -> dict[str, Any]:
    """Check free appointments. day in lower-case English, time as HH:MM."""
    when = _date(day)
    if when is None:
        return _NO_DAY
    wanted = _normal(time) if time else None
    free = await _ask(lambda connection: _free(connection, when))
    if wanted in free:
        return {"available": True, "day": day, "time": wanted}
    if wanted:
        return {"available": False, "alternatives": _near(free, wanted)}
    return {"day": day, "slots": _near(free, None)}


@tool(on_interrupt="finish")
async def book_appointment(service: str, day: str, time: str, name: str, context: ToolContext) -> dict[str, Any]:
    """Book an appointment. day in lower-case English, time as HH:MM."""
    when, slot = _date(day), _normal(time)
    if when is None or slot is None:
        return _NO_DAY if when is None else {"error": "unknown time"}

    def book(connection: sqlite3.Connection) -> dict[str, Any]:
        row = (str(when), slot, service, name)
        same = "SELECT 1 FROM appointments WHERE date = ? AND time = ? AND service = ? AND name = ?"
        if connection.execute(same, row).fetchone():
            # Asked again after the line dropped: it is booked, once.
            return {"status": "booked", "day": day, "time": slot}
        if _hours(connection, when)[0] is None:
            return {"status": "closed", "day": day}
        free = _free(connection, when)
        if slot not in free:
            return {"status": "taken", "alternatives": _near(free, slot)}
        connection.execute("INSERT INTO appointments (date, time, service, name) VALUES (?, ?, ?, ?)", row)
        return {"status": "booked", "day": day, "time": slot}

    booked = await _ask(book)
    if booked["status"] == "booked":
        await context.state.set("appointment", {"service": service, "day": day, "time": slot, "name": name})
    return booked


@tool(on_interrupt="finish")
async def cancel_appointment(day: str, name: str | None = None) -> dict[str, Any]:
    """Cancel an appointment."""
    when = _date(day)
    if when is None:
        return _NO_DAY

    def cancel(connection: sqlite3.Connection) -> int:
        found = _found(connection, when, name)
        connection.executemany("DELETE FROM appointments WHERE id = ?", [(row,) for row in found[:1]])
        return len(found)

    return {"status": "cancelled", "day": day} if await _ask(cancel) else {"error": "not found"}


@tool(on_interrupt="finish")
async def move_appointment(from_day: str, to_day: str) -> dict[str, Any]:
    """Move an appointment to another day."""
    old, new = _date(from_day), _date(to_day)
    if old is None or new is None:
        return _NO_DAY

    def move(connection: sqlite3.Connection) -> dict[str, Any]:
        found = _found(connection, old, None)
        if not found:
            return {"error": "not found"}
        (time,) = connection.execute("SELECT time FROM appointments WHERE id = ?", found[:1]).fetchone()
        if time not in _free(connection, new):
            return {"status": "taken", "alternatives": _near(_free(connection, new), time)}
        connection.execute("UPDATE appointments SET date = ? WHERE id = ?", (str(new), found[0]))
        return {"status": "moved", "to_day": to_day}

    return await _ask(move)


def _found(connection: sqlite3.Connection, when: date, name: str | None) -> list[int]:
    """Appointments of a day, of that name if one is given, the latest booked first."""
    rows = connection.execute("SELECT id, name FROM appointments WHERE date = ? ORDER BY id DESC", (str(when),))
    return [row for row, booked in rows if name is None or booked.casefold() == name.casefold()]


@tool(safe=True)
async def get_price(service: str) -> dict[str, Any]:
    """Price of a service."""
    asked = "SELECT euros FROM services WHERE name = ?"
    found = await _ask(lambda connection: connection.execute(asked, (service.strip().lower(),)).fetchone())
    return {"price": found[0], "currency": "EUR"} if found else {"error": "unknown service"}


@tool(safe=True)
async def get_directions() -> dict[str, Any]:
    """Address and parking of the business."""
    return {"address": "Lindenallee 12", "parking": "behind the building"}
