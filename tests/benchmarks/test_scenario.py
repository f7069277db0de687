"""Scenario files are checked before anybody is called, and say where they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scenario import FOLDER, ScenarioError, find, read
from benchmarks.tool_scoring import ANYTHING

HEAD = 'title = "x"\nlanguage = "en"\nvoice = "en-us"\n'
TURN = '[[turns]]\nsay = "Hello."\n'


def test_all_that_come_with_the_benchmark_can_be_played() -> None:
    scenarios = {scenario.name: scenario for scenario in find([])}
    assert set(scenarios) == {path.stem for path in FOLDER.glob("*.toml")}
    assert all(len(each.turns) == len(each.recordings) for each in scenarios.values())
    booking = scenarios["booking"]
    assert booking.goal is not None
    assert booking.goal.arguments["name"] is ANYTHING
    assert {tool["name"] for tool in booking.tools} >= {"book_appointment"}
    assert booking.result("no_such_tool") == {"error": "no_such_tool is not available"}


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("title = \n", None, "at line 1"),
        (f"{HEAD}{TURN}colour = 1\n", 6, "turns.0.colour: Extra inputs"),
        (f"{HEAD}{TURN}{TURN}pause_s = -1\n", 8, "turns.1.pause_s: Input should be greater"),
        (f'{HEAD}[[turns]]\nlanguage = "en"\n', 4, "turns.0: a turn has one of 'say', 'wav' and 'sound'"),
        (f'{HEAD}{TURN}sound = "cough"\n', 4, "one of 'say', 'wav' and 'sound'"),
        (f'{HEAD}[[turns]]\nsound = "sneeze"\n', 4, "no sound 'sneeze'; there are cough"),
        (f'{HEAD}[[turns]]\nwav = "none.wav"\ntext = "Hi."\n', 5, "turns.0.wav: "),
        (f'{HEAD}[[turns]]\nwav = "none.wav"\n', 4, "'wav' needs 'text'"),
        (f"{HEAD}{TURN}over_s = 1.0\n", 6, "turns.0.over_s: the turn before it has no answer"),
        (f'{HEAD}{TURN}[[turns]]\nsound = "click"\n{TURN}over_s = 1.0\n', 10, "turns.2.over_s: the turn before it"),
        (f'{HEAD}{TURN}when = "("\n', 6, "turns.0.when: "),
        (f'{HEAD}{TURN}voice = "xx-none"\n', 5, "turns.0.say: espeak-ng cannot say 'Hello.' with voice 'xx-none'"),
        (f"{HEAD}[[turns]]\nsay = [1.0]\n", 5, "turns.0.say: there are no words"),
        (f'{HEAD}speed = 9\n{TURN}', 4, "speed: Input should be less"),
        (f'{HEAD}tools = ["x"]\n{TURN}', 4, "tools: 'tools' names tools of 'tools_file'"),
        (f'{HEAD}tools_file = "none.json"\n{TURN}', 4, "tools_file: is no JSON list"),
        ('title = "x"\nvoice = "en-us"\n' + TURN, 1, "language: Field required"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_with_file_line_and_field(text: str, line: int | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as error:
        read(path)
    assert told in str(error.value)
    assert str(error.value).startswith(f"{path}:{line}: " if line else f"{path}: ")


def test_a_scenario_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ScenarioError, match="there is no scenario 'bookings'; there are booking, "):
        find(["bookings"])
