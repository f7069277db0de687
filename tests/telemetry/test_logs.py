"""The log: fields, and personal data only on demand."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.core.events import (
    AudioFormat,
    ClearPlayout,
    ContentPart,
    Error,
    InputClock,
    Item,
    ItemKind,
    Output,
    PausePlayout,
    ResponseDone,
    ResponseFailed,
    ResponseStatus,
    ResponseView,
    SessionConfig,
    SessionCreated,
    SpeechProbability,
    SpeechStarted,
    ToolFinished,
    ToolOutcome,
    TranscriptFailed,
    TranscriptionCompleted,
)
from server.serving_settings import LogSettings
from server.store.sql import connect
from server.telemetry.logs import Allowance, configure, log_events


@pytest.fixture(autouse=True)
def _restored_root() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    named = [logging.getLogger(name) for name in ("kammerton", "server", "models", "httpx2", "httpcore2", "uvicorn")]
    levels = [one.level for one in named]
    yield
    root.handlers[:], root.level = before
    for one, level in zip(named, levels, strict=True):
        one.setLevel(level)


def logged(settings: LogSettings, *steps: Any) -> list[str]:
    stream = io.StringIO()
    configure(settings, stream)
    for step in steps:
        step()
    return stream.getvalue().splitlines()


def say(message: str, level: int = logging.INFO, **fields: object) -> Any:
    return lambda: logging.getLogger("kammerton.test").log(level, message, extra=fields)


ANSWER = ResponseDone(
    ResponseView(
        "resp_1",
        ResponseStatus.COMPLETED,
        "auto",
        "audio",
        "",
        AudioFormat.PCM,
        None,
        None,
        output=(Item("item_2", ItemKind.MESSAGE, content=(ContentPart("output_audio", "Good day Mr Smith"),)),),
    )
)
CALL: list[Output] = [
    SessionCreated("sess_1", SessionConfig()),
    SpeechStarted("item_1", 0),
    TranscriptionCompleted("item_1", "my name is Smith", 1.0),
    ANSWER,
]


def test_a_json_line_holds_message_and_fields() -> None:
    [line] = logged(LogSettings(format="json"), say("door opened", door="front", width=2))
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "info",
        "logger": "kammerton.test",
        "message": "door opened",
        "door": "front",
        "width": 2,
    }


def test_a_console_line_shows_message_and_fields() -> None:
    [line] = logged(LogSettings(), say("door opened", door="front gate", width=2, nothing=None))
    assert line.endswith('info    door opened  door="front gate"  width=2')


def test_a_value_cannot_break_out_of_its_line() -> None:
    steps = [say("heard", text="a\nb\x1b[2J", other="x=1")]
    [line] = logged(LogSettings(), *steps)
    assert "\x1b" not in line
    assert '"x=1"' in line


def test_the_level_is_kept() -> None:
    lines = logged(LogSettings(level="warning"), say("quiet"), say("loud", logging.WARNING))
    assert [line.endswith("warning loud") for line in lines] == [True]


def test_peers_addresses_stay_out_of_the_log() -> None:
    def accept() -> None:
        logging.getLogger("uvicorn.error").info("192.0.2.7:50000 - accepted")
        logging.getLogger("uvicorn.error").error("no more sockets")

    [line] = logged(LogSettings(), accept)
    assert "no more sockets" in line


async def test_no_library_writes_down_what_a_caller_said_even_at_the_level_of_debug(tmp_path: Path) -> None:
    stream = io.StringIO()
    configure(LogSettings(level="debug"), stream)
    store = connect(f"sqlite:///{tmp_path}/store.db")
    await store.open()
    await store.state("sess_1", "").set("name", "Mr Smith")
    await store.close()
    logging.getLogger("server.cloud.link").debug("this server's own lines are there")
    assert "Smith" not in stream.getvalue()
    assert "own lines are there" in stream.getvalue()


def test_an_exception_is_part_of_its_json_line() -> None:
    def fail() -> None:
        try:
            raise ValueError("broken pipe organ")
        except ValueError:
            logging.getLogger("kammerton.test").exception("failed")

    [line] = logged(LogSettings(format="json"), fail)
    assert "broken pipe organ" in json.loads(line)["exception"]


@pytest.mark.parametrize("format", ["json", "console"])
def test_what_callers_say_is_logged_on_demand_only(format: Any) -> None:
    def call() -> None:
        log_events("sess_1", InputClock(0), CALL)

    hidden = "\n".join(logged(LogSettings(format=format), call))
    assert "caller heard" in hidden
    assert "response done" in hidden
    assert "Smith" not in hidden
    shown = "\n".join(logged(LogSettings(format=format, pii=True), call))
    assert "my name is Smith" in shown
    assert "Good day Mr Smith" in shown


def test_the_tap_tells_of_failures_and_client_errors() -> None:
    lines = logged(
        LogSettings(format="json"),
        lambda: log_events("sess_1", TranscriptFailed("item_1", 1, "worker died"), []),
        lambda: log_events("sess_1", ResponseFailed("resp_1", "server_error", "worker died"), []),
        lambda: log_events("sess_1", InputClock(0), [Error("invalid_value", "no", "session.voice")]),
    )
    entries = [json.loads(line) for line in lines]
    assert [(entry["level"], entry["message"]) for entry in entries] == [
        ("error", "transcription failed"),
        ("error", "response failed"),
        ("warning", "client error"),
    ]
    assert entries[0]["reason"] == entries[1]["reason"] == "worker died"
    assert entries[2]["param"] == "session.voice"


def test_frames_and_deltas_leave_no_trace() -> None:
    assert (
        logged(LogSettings(level="debug"), lambda: log_events("sess_1", InputClock(0), [SpeechStarted("i", 0)])) == []
    )


def test_an_answer_that_was_stopped_in_its_pause_is_not_said_to_go_on() -> None:
    def call() -> None:
        log_events("sess_1", None, [PausePlayout(True)])
        log_events("sess_1", None, [PausePlayout(False)])
        log_events("sess_1", None, [PausePlayout(True)])
        log_events("sess_1", SpeechProbability(16_000, 0.9), [ClearPlayout("item_1"), PausePlayout(False)])

    told = [json.loads(line) for line in logged(LogSettings(format="json", level="debug"), call)]
    assert [line["message"] for line in told] == [
        *("answer pauses", "answer goes on", "answer pauses", "answer stopped"),
    ]
    assert told[-1]["at_ms"] == 1000


def test_a_flood_of_one_kind_of_line_is_cut_down_and_counted():
    now = 0.0
    allowance = Allowance(burst=3, per_second=2, clock=lambda: now)
    assert [allowance.take() for _ in range(10)] == [0, 0, 0, *[None] * 7]
    now = 1.0
    assert [allowance.take() for _ in range(3)] == [7, 0, None]
    now = 100.0
    assert [allowance.take() for _ in range(4)] == [1, 0, 0, None]


def test_a_tool_is_logged_by_how_it_ended_and_never_by_what_it_said() -> None:
    fact = ToolFinished("call_1", ToolOutcome.TIMEOUT, "Mr Smith", 2.5)
    (line,) = logged(LogSettings(format="json"), lambda: log_events("sess_1", fact, []))
    entry = json.loads(line)
    assert (entry["message"], entry["outcome"], entry["seconds"]) == ("tool finished", "timeout", 2.5)
    assert "Smith" not in line
