"""Agent files: what they hold, and what is told when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.agents.files import read_agents
from server.agents.toml_lines import line_of
from server.errors import SettingsError

WHOLE = '''\
instructions = """
You are the receptionist.
[not a table]
"""
greeting = "Hello."
hands_to = ["booking"]

[disclosure]
en = "I am a machine."
de = "Ich bin eine Maschine."

[limits]
turns = 3

[[tools]]
python = "tools.py"

[[tools]]
name = "look_up"
description = "Looks up."
timeout_s = 2.5
parameters = { type = "object", properties = { name = { type = "string" } }, required = ["name"] }
[tools.http]
url = "http://localhost/{name}"
headers.Authorization = "Bearer ${crm}"

[script]
start = "day"
[script.states.day]
say = "For which day?"
slot = "day"
next = "end"
[script.states.end]
say.en = "Somebody will call you."
'''
BOOKING = 'instructions = "You book."\n'


def write(folder: Path, **agents: str) -> Path:
    for name, text in agents.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def test_a_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    agents = read_agents(write(tmp_path, front=WHOLE, booking=BOOKING))
    front = agents["front"]
    assert front.instructions == "You are the receptionist.\n[not a table]"
    assert front.greeting == {"": "Hello."}
    assert front.disclosure["de"] == "Ich bin eine Maschine."
    assert (front.limits.turns, front.limits.tool_calls_a_turn) == (3, 8)
    assert front.tools[1].policy == {"timeout_s": 2.5}
    assert front.script is not None
    assert front.script.states["day"].next == "end"
    assert agents["booking"].language == "en"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("turns = 3", "turns = 0", "front.toml:13: limits.turns: input should be greater than"),
        ("turns = 3", "trns = 3", "front.toml:13: limits.trns: extra inputs"),
        ('greeting = "Hello."', "greeting = 5", "front.toml:5: greeting: input should be a valid dictionary"),
        ('de = "Ich', 'deutsch = "Ich', "front.toml:10: disclosure.deutsch"),
        ("timeout_s = 2.5", "timeout_s = -1", "front.toml:21: tools.1.timeout_s"),
        ("http://localhost", "localhost", "front.toml:24: tools.1.http.url"),
        ('python = "tools.py"', "safe = true", "front.toml:15: tools.0: give exactly one of python, http and mcp"),
        ('description = "Looks up."', "", "front.toml:18: tools.1: an http tool needs a name and a description"),
        ('required = ["name"]', "required = []", "18: tools.1: the url has a place for {name}, which is no required"),
        (
            "properties = { name",
            "properties = { nam",
            "18: tools.1: the url has a place for {name}, which is no required",
        ),
        (
            '"string" } }',
            '"text" } }',
            "front.toml:22: tools.1.parameters: is no JSON Schema: properties.name.type: 'text'",
        ),
        ('{ type = "object", p', "{ p", "tools.1.parameters: is no JSON Schema of an argument object"),
        (
            "turns = 3",
            'turns = 3\n[accepts]\nday = { enum = "x" }',
            "front.toml:15: accepts.day: is no JSON Schema: enum",
        ),
        ('"tools.py"', '"tools.py"\nname = "x"', "15: tools.0: name comes from the function itself: leave it out"),
        (
            'python = "tools.py"',
            'name = "x"\nmcp.url = "http://localhost/"\ndescription = "X."',
            "description comes from",
        ),
        ('next = "end"', 'next = "ende"', "front.toml:27: script: states.day.next names 'ende'"),
        ('hands_to = ["booking"]', 'hands_to = ["x"]', "front.toml:6: hands_to.0: 'x' is no other agent"),
        ("instructions = ", "instruction = ", "front.toml:1: instructions: field required"),
        ("turns = 3", "turns = ", "front.toml: is not valid TOML"),
        ("turns = 3", 'turns = 3\n[escalation]\nwords = ["human"]', "front.toml:14: escalation.say: field required"),
        ("turns = 3", 'turns = 3\n[escalation]\nsay = "x"\nmisunderstandings = 2', "front.toml:14: escalation: misund"),
    ],
)
def test_a_fault_is_told_with_file_line_and_field(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in WHOLE
    with pytest.raises(SettingsError) as caught:
        read_agents(write(tmp_path, front=WHOLE.replace(old, new), booking=BOOKING))
    assert told in str(caught.value)


def test_the_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read_agents(write(tmp_path, a="x = 1", b="instructions = 2"))
    assert len(str(caught.value).splitlines()) == 3


def test_a_folder_without_agents_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no agent file"):
        read_agents(tmp_path)
    with pytest.raises(SettingsError, match="is no folder"):
        read_agents(tmp_path / "none")
    with pytest.raises(SettingsError, match="lower-case letters"):
        read_agents(write(tmp_path, **{"My Agent": BOOKING}))


@pytest.mark.parametrize(
    ("place", "line"),
    [(("tools", 0, "python"), 16), (("tools", 1), 18), (("script", "states", "end", "say"), 34), (("none",), 1)],
)
def test_the_line_of_a_field(place: tuple[str | int, ...], line: int) -> None:
    assert line_of(WHOLE, place) == line
