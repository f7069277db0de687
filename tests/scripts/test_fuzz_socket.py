"""The fuzzer itself, for a moment: the server takes what it sends, and it notices what it should."""

from __future__ import annotations

import json

import pytest
from hypothesis import strategies as st

from scripts import fuzz_socket
from scripts.fuzz_events import typed


async def test_a_short_run_leaves_the_server_as_it_was(capfd: pytest.CaptureFixture[str]):
    assert await fuzz_socket.main(events=200, raw=60, number=7) == 0
    told = dict(line.strip("| ").split(" | ") for line in capfd.readouterr().out.splitlines()[2:])
    assert told["events sent"] == "200"
    assert int(told["events refused with an error"]) > 50
    assert told["streams of raw bytes"] == "60"
    assert "1002" in told["connections closed by the server, by code"]
    assert told["a spoken question afterwards"] == "answered"


def test_one_seed_is_one_run():
    first, again, other = (fuzz_socket.examples(fuzz_socket.streams(), 20, number) for number in (1, 1, 2))
    assert first == again != other


def test_the_wires_types_give_every_kind_of_event():
    kinds = {json.loads(event)["type"] for event in fuzz_socket.examples(typed(), 200, 1)}
    assert len(kinds) == 11


def test_nothing_is_sent_where_nothing_is_asked_for():
    assert fuzz_socket.examples(st.integers(), 0, 1) == []
