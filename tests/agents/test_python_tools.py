"""Typed functions as tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from server.agents.python_tools import Digits, Email, PythonTool, load_tools, tool
from server.core.tools import in_language
from server.errors import SettingsError, ToolError
from server.runtime.tools import Partial, Result, ToolCall, ToolContext
from tests.agents.calls import context, pieces, run


async def check_availability(
    day: Literal["monday", "friday"],
    context: ToolContext,
    call: ToolCall,
    service: str | None = None,
    people: Annotated[int, Field(ge=1, description="How many come")] = 1,
) -> dict[str, Any]:
    """Free times of a day.

    Not shown to the model.
    """
    await context.state.set("day", day)
    return {"day": day, "service": service, "people": people, "key": call.idempotency_key}


def test_the_schema_comes_from_the_signature_and_the_docstring() -> None:
    spec = PythonTool(check_availability).spec
    assert (spec.name, spec.description) == ("check_availability", "Free times of a day.")
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "day": {"type": "string", "enum": ["monday", "friday"]},
            "service": {"type": "string"},
            "people": {"type": "integer", "minimum": 1, "default": 1, "description": "How many come"},
        },
        "required": ["day"],
    }


def test_what_callers_dictate_has_a_format_in_the_schema() -> None:
    async def find(number: Digits, mail: Email | None = None) -> None: ...

    properties = PythonTool(find).spec.parameters["properties"]
    assert properties == {
        "number": {"type": "string", "format": "digits"},
        "mail": {"type": "string", "format": "email"},
    }


async def test_a_function_gets_its_arguments_the_session_and_the_call() -> None:
    around = context()
    value = await run(PythonTool(check_availability), around, day="friday", people=2)
    assert value == {"day": "friday", "service": None, "people": 2, "key": "deed-1"}
    assert await around.state.get("day") == "friday"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [({"day": "sunday"}, "day"), ({"day": "friday", "people": 0}, "people"), ({"day": "friday", "pets": 1}, "pets")],
)
async def test_arguments_that_do_not_fit_are_told_by_name(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ToolError, match=told):
        await run(PythonTool(check_availability), **arguments)


async def test_a_function_that_yields_speaks_as_it_goes() -> None:
    async def count() -> AsyncIterator[Partial | Result]:
        """Count."""
        yield Partial("One.")
        yield Result(2)

    assert await pieces(PythonTool(count)) == [Partial("One."), Result(2)]


def _not_async(day: str) -> str:
    return day


async def _untyped(day) -> None:  # type: ignore[no-untyped-def]
    """Nothing."""


async def _any_number(*days: str) -> None:
    """Nothing."""


@pytest.mark.parametrize(
    ("function", "told"), [(_not_async, "async"), (_untyped, "day needs a type"), (_any_number, "days needs")]
)
def test_what_cannot_be_a_tool_is_told(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        PythonTool(function)


FILE = '''
from server.agents.python_tools import tool

@tool(safe=True, timeout_s=2)
async def get_price(service: str) -> int:
    """Price of a service."""
    return len(service)

async def helper(a: int) -> int:
    """No tool unless it is named."""
    return a
'''


async def test_a_file_gives_its_marked_functions_or_one_by_name(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(FILE)
    marked = load_tools(tmp_path, "tools.py")
    assert list(marked) == ["get_price"]
    assert (marked["get_price"].policy.safe, marked["get_price"].policy.timeout_s) == (True, 2)
    assert await run(marked["get_price"], service="haircut") == 7
    assert list(load_tools(tmp_path, "tools.py:helper")) == ["helper"]
    (tmp_path / "tools.py").write_text(FILE.replace("len(service)", "9_000"))
    assert await run(load_tools(tmp_path, "tools.py")["get_price"], service="haircut") == 9_000


@pytest.mark.parametrize(
    ("wanted", "text", "told"),
    [
        ("none.py", "", "is no Python file"),
        ("tools.py", "async def f() -> None: ...", "no function marked"),
        ("tools.py:gone", FILE, "no function gone"),
        ("tools.py", "import nothing_of_this_name", "ModuleNotFoundError"),
        ("tools.py", "def f(:", "SyntaxError"),
    ],
)
def test_a_file_that_gives_no_tool_is_told(tmp_path: Path, wanted: str, text: str, told: str) -> None:
    (tmp_path / "tools.py").write_text(text)
    with pytest.raises(SettingsError, match=told):
        load_tools(tmp_path, wanted)


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ("timout_s=2", r"tools\.py:4: .*@tool: timout_s: there is no such word, but timeout_s, on_interrupt, safe"),
        ("timeout_s=0", "@tool: timeout_s: input should be greater than 0"),
        ("filler=5", "@tool: filler: input should be a valid dictionary"),
        ('filler={"english": "Wait."}', "@tool: filler.english"),
    ],
)
def test_a_mark_that_cannot_be_is_told_with_its_line(tmp_path: Path, mark: str, told: str) -> None:
    (tmp_path / "tools.py").write_text(FILE.replace("safe=True, timeout_s=2", mark))
    with pytest.raises(SettingsError, match=told):
        load_tools(tmp_path, "tools.py")


def test_a_filler_is_words_for_all_languages_or_words_by_language() -> None:
    @tool(filler="One moment.", second_filler={"en": "Still looking.", "de": "Ich suche noch."})
    async def slow() -> None:
        """Nothing."""

    policy = PythonTool(slow).policy
    assert [in_language(policy.filler, language) for language in ("en", "de", None)] == ["One moment."] * 3
    assert in_language(policy.second_filler, "de") == "Ich suche noch."


TYPED = '''
from __future__ import annotations
from dataclasses import dataclass
from pydantic import BaseModel
from server.agents.python_tools import tool

seen = []

@dataclass
class Guest:
    name: str
    seat: Seat | None = None

@dataclass
class Seat:
    row: int

class Meal(BaseModel):
    dish: Dish

class Dish(BaseModel):
    name: str

@tool()
async def book(guest: Guest, meal: Meal) -> list[str]:
    """Books."""
    seen.append(guest.name)
    return [*seen, type(guest.seat).__name__, meal.dish.name]
'''


async def test_types_of_the_file_itself_may_be_named_before_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TYPED)
    book = load_tools(tmp_path, "tools.py")["book"]
    assert book.spec.parameters["$defs"]["Guest"]["properties"]["name"]["type"] == "string"
    assert await run(book, guest={"name": "May", "seat": {"row": 2}}, meal={"dish": {"name": "soup"}}) == [
        "May",
        "Seat",
        "soup",
    ]


async def test_a_file_is_run_once_for_all_who_name_it_and_again_when_it_has_changed(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TYPED)
    meal = {"dish": {"name": "soup"}}
    first, second = (load_tools(tmp_path, wanted)["book"] for wanted in ("tools.py", "tools.py:book"))
    await run(first, guest={"name": "May"}, meal=meal)
    assert (await run(second, guest={"name": "June"}, meal=meal))[:2] == ["May", "June"]
    (tmp_path / "tools.py").write_text("nothing_of_this_name")
    with pytest.raises(SettingsError, match=r"tools\.py:1: cannot be loaded: NameError"):
        load_tools(tmp_path, "tools.py")
    (tmp_path / "tools.py").write_text(TYPED)
    assert (await run(load_tools(tmp_path, "tools.py")["book"], guest={"name": "July"}, meal=meal))[2] == "July"
    (tmp_path / "tools.py").write_text(TYPED + "# edited\n")
    edited = load_tools(tmp_path, "tools.py")["book"]
    assert (await run(edited, guest={"name": "May"}, meal=meal))[0] == "May"
    # Calls that began before the edit keep what they had.
    assert (await run(first, guest={"name": "May"}, meal=meal))[:4] == ["May", "June", "July", "May"]


@pytest.mark.parametrize("kind", ["Nowhere", "Opaque"])
def test_a_type_that_no_schema_can_tell_is_a_fault_of_the_file(tmp_path: Path, kind: str) -> None:
    (tmp_path / "tools.py").write_text(
        f"from __future__ import annotations\nclass Opaque: ...\nasync def book(guest: {kind}) -> None: ...\n"
    )
    with pytest.raises(SettingsError, match=f"book: its types cannot be told to a model: .*{kind}"):
        load_tools(tmp_path, "tools.py:book")


def test_a_policy_of_the_agent_file_goes_before_that_of_the_function() -> None:
    @tool(timeout_s=2)
    async def quick() -> None:
        """Nothing."""

    assert PythonTool(quick).policy.timeout_s == 2
    assert PythonTool(quick, PythonTool(check_availability).policy).policy.timeout_s == 10
