"""The reception of the examples: what its tools do on their database, and that the bundled model knows them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.agents.files import read_agents
from server.agents.python_tools import PythonTool, load_tools
from tests.agents.calls import context, run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "reception"
BOOKING = {"service": "haircut", "day": "friday", "time": "10:00", "name": "Paul"}


class Reception:
    """The tools on a database of their own."""

    def __init__(self, folder: Path) -> None:
        shutil.copy(EXAMPLE / "tools.py", folder)
        self._folder = folder
        self._tools: dict[str, PythonTool] = load_tools(folder, "tools.py")
        self.context = context()

    async def __call__(self, name: str, /, **arguments: Any) -> Any:
        return await run(self._tools[name], self.context, **arguments)

    def appointments(self) -> list[tuple[str, str, str, str]]:
        connection = sqlite3.connect(self._folder / "reception.db")
        rows = connection.execute("SELECT date, time, service, name FROM appointments ORDER BY id").fetchall()
        connection.close()
        return rows


@pytest.fixture
def reception(tmp_path: Path) -> Reception:
    return Reception(tmp_path)


def next_day(weekday: int) -> str:
    today = date.today()
    return str(today + timedelta((weekday - today.weekday()) % 7))


def test_the_tools_are_word_for_word_those_of_the_bundled_model() -> None:
    trained = {
        entry["function"]["name"]: entry["function"]
        for entry in json.loads((ROOT / "models" / "bundled" / "llm" / "tiny" / "tools.json").read_text())
    }
    for name, tool in load_tools(EXAMPLE, "tools.py").items():
        spec = tool.spec
        told = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
        assert told == trained[name]


def test_its_agents_are_read() -> None:
    assert set(read_agents(EXAMPLE)) == {"reception", "empfang"}


async def test_a_booking_is_a_row_and_the_same_booking_again_is_the_same_row(reception: Reception) -> None:
    for _ in range(2):
        assert await reception("book_appointment", **BOOKING) == {"status": "booked", "day": "friday", "time": "10:00"}
    assert reception.appointments() == [(next_day(4), "10:00", "haircut", "Paul")]
    assert (await reception.context.state.get("appointment"))["name"] == "Paul"


async def test_a_time_that_is_taken_is_told_with_its_neighbours(reception: Reception) -> None:
    await reception("book_appointment", **BOOKING)
    taken = await reception("book_appointment", **{**BOOKING, "name": "Anna"})
    assert taken == {"status": "taken", "alternatives": ["09:30", "10:30"]}
    assert len(reception.appointments()) == 1
    assert await reception("check_availability", day="friday", time="10:00") == {
        "available": False,
        "alternatives": ["09:30", "10:30"],
    }
    assert (await reception("check_availability", day="friday", time="11:00"))["available"]
    assert (await reception("check_availability", day="friday"))["slots"] == ["09:00", "13:30"]


async def test_an_appointment_is_moved_and_cancelled(reception: Reception) -> None:
    await reception("book_appointment", **BOOKING)
    assert await reception("move_appointment", from_day="friday", to_day="monday") == {
        "status": "moved",
        "to_day": "monday",
    }
    assert reception.appointments()[0][0] == next_day(0)
    assert await reception("cancel_appointment", day="monday", name="Anna") == {"error": "not found"}
    assert await reception("cancel_appointment", day="monday", name="paul") == {"status": "cancelled", "day": "monday"}
    assert await reception("move_appointment", from_day="monday", to_day="friday") == {"error": "not found"}
    assert reception.appointments() == []


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("get_opening_hours", {"day": "friday"}, {"day": "friday", "open": "09:00", "close": "18:00"}),
        ("get_opening_hours", {"day": "sunday"}, {"day": "sunday", "closed": True}),
        ("get_opening_hours", {"day": "blueday"}, {"error": "unknown day"}),
        ("get_price", {"service": "haircut"}, {"price": 25.0, "currency": "EUR"}),
        ("get_price", {"service": "tattoo"}, {"error": "unknown service"}),
        ("book_appointment", {**BOOKING, "day": "sunday"}, {"status": "closed", "day": "sunday"}),
        ("book_appointment", {**BOOKING, "time": "ten"}, {"error": "unknown time"}),
        ("check_availability", {"day": "sunday"}, {"day": "sunday", "slots": []}),
    ],
)
async def test_questions_are_answered_from_the_database(
    reception: Reception, name: str, arguments: dict[str, Any], told: dict[str, Any]
) -> None:
    assert await reception(name, **arguments) == told
