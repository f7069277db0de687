"""Calls over Twilio's wire, on good lines and bad ones: `python -m benchmarks.phone_lines`.

A simulated carrier rings a real server (`scripts/phone_line`). Each caller asks questions that need a tool, one after
the other, and speaks over the last answer. The tools are HTTP endpoints in this program, so it knows what was asked
for; what was understood is in the server's log. Times are samples of the line, as the caller hears them. Last, many
calls at once on a clean line. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.process import Server, machine, serve
from benchmarks.recording import rms_dbfs, speak
from benchmarks.summary import percentiles
from benchmarks.tool_scoring import CallScore, ToolCall, score, word_errors
from scripts.phone_line.caller import begun_after, quiet_after
from scripts.phone_line.line import NO_TROUBLE, Line, Trouble
from scripts.phone_line.measure import answer_after_ms, speech_bounds, stop_of
from scripts.phone_line.twilio import TwilioAccount, twilio_call

_TOKEN, _PUBLIC = "the token of no account", "https://voice.example.org"
_PHONE = 8_000
_SNR_DB = 10.0
_ECHO_DB = 20.0
LINES = ("clean", "loss", "jitter", "both", "heavy", "noise", "echo")
NAMES = {
    "clean": "clean",
    "loss": "5 % of the frames lost",
    "jitter": "jitter up to 80 ms",
    "both": "5 % lost and 80 ms jitter",
    "heavy": "20 % of the frames lost",
    "noise": f"noise {_SNR_DB:.0f} dB below the voice",
    "echo": f"our voice comes back, {_ECHO_DB:.0f} dB softer",
}
QUESTIONS = (
    ("en-us", "What time do you open on Friday?", ToolCall("get_opening_hours", {"day": "friday"})),
    ("en-gb", "Do you have anything free on Tuesday?", ToolCall("check_availability", {"day": "tuesday"})),
    ("en-us", "How much is a haircut?", ToolCall("get_price", {"service": "haircut"})),
    ("en-gb", "When do you close on Saturday?", ToolCall("get_opening_hours", {"day": "saturday"})),
    ("en-us", "What are your opening hours on Monday?", ToolCall("get_opening_hours", {"day": "monday"})),
    ("en-us", "Do you have anything free on Wednesday?", ToolCall("check_availability", {"day": "wednesday"})),
    ("en-gb", "What time do you open on Sunday?", ToolCall("get_opening_hours", {"day": "sunday"})),
    ("en-us", "Is there anything free on Thursday?", ToolCall("check_availability", {"day": "thursday"})),
)
STORY = ("en-us", "Tell me a story.")
OVER = (("en-us", "Stop please."), ("en-gb", "No, on Friday please."), ("en-us", "Wait a moment please."))
_STOPPED_S = 1.5
_TOOLS = {
    "get_opening_hours": ("Opening hours for a day.", "day"),
    "check_availability": ("Check free appointments.", "day"),
    "get_price": ("Price of a service.", "service"),
}
_AGENT = 'instructions = "You are the receptionist of a hair salon."\ngreeting = "Hello."\n'
_TOOL = """
[[tools]]
name = "{name}"
description = "{description}"
http.url = "http://127.0.0.1:{port}/{call}/{name}"
parameters = {{ type = "object", properties = {{ {argument} = {{ type = "string" }} }}, required = ["{argument}"] }}
safe = true
"""
_console = Console(width=200)
_status = Console(stderr=True)


@dataclass(slots=True)
class Caller:
    """What one call came to. tools: of each question. words: wrong and said. waits: in ms, as heard. stops: in ms, from
    the first sound of what is said over an answer to the moment when nothing more of that is heard.
    """

    tools: list[CallScore] = field(default_factory=list)
    words: list[tuple[int, int]] = field(default_factory=list)
    waits: list[float | None] = field(default_factory=list)
    stops: list[float | None] = field(default_factory=list)
    underruns: int = 0
    late_ms: float = 0.0
    findings: int = 0
    failed: str = ""


class Desk:
    """The tools of all calls, as HTTP endpoints that write down who asked for what."""

    def __init__(self) -> None:
        self._asked: dict[int, list[ToolCall]] = {}
        self._lock = threading.Lock()

    def note(self, call: int, tool: ToolCall) -> None:
        with self._lock:
            self._asked.setdefault(call, []).append(tool)

    def take(self, call: int) -> list[ToolCall]:
        """What this call has asked for since the last time."""
        with self._lock:
            return self._asked.pop(call, [])

    @contextmanager
    def open(self) -> Iterator[int]:
        """Serve until the end; the port."""
        note, numbers = self.note, itertools.count()

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                call, name = self.path.strip("/").split("/")
                note(int(call), ToolCall.read(name, body))
                answer = json.dumps({**json.loads(body), **found(name, next(numbers))}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the table is the output."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_port
            server.shutdown()


@dataclass(slots=True)
class House:
    """A server under measurement, its tools and its log. Calls are numbered by who asks for one."""

    server: Server
    desk: Desk
    log: Path
    first: int = 0

    @contextmanager
    def heard(self) -> Iterator[list[str]]:
        """Filled, at the end, with what the server has understood meanwhile, turn by turn; for one call at a time."""
        begins = self.log.stat().st_size
        turns: list[str] = []
        yield turns
        with self.log.open("rb") as file:
            file.seek(begins)
            entries = [json.loads(line) for line in file.read().decode().splitlines() if line.startswith("{")]
        last = {entry["item"]: entry["pii.transcript"] for entry in entries if entry["message"] == "turn transcribed"}
        turns += last.values()

    def account(self, call: int) -> TwilioAccount:
        return TwilioAccount(f"http://127.0.0.1:{self.server.port}", _PUBLIC, _TOKEN, f"+49{call}")


@contextmanager
def house(calls: int, profile: str, level: str = "info") -> Iterator[House]:
    """A server with an agent for each call, and a log of this level."""
    desk = Desk()
    with desk.open() as port, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for call in range(calls):
            tools = "".join(
                _TOOL.format(name=tool, description=text, port=port, call=call, argument=argument)
                for tool, (text, argument) in _TOOLS.items()
            ).replace("http.url", 'http.method = "POST"\nhttp.url')
            (folder / f"call_{call}.toml").write_text(_AGENT + tools)
        log = folder / "server.log"
        settings = {
            "AGENTS__FOLDER": name,
            "STORE__URL": f"sqlite:///{name}/store.db",
            "PHONE__AGENTS": " ".join(f"+49{call}=call_{call}" for call in range(calls)),
            "PHONE__PUBLIC_URL": _PUBLIC,
            "TWILIO__AUTH_TOKEN": _TOKEN,
            "SERVER__MAX_SESSIONS": str(calls + 4),
            "LOG__FORMAT": "json",
            "LOG__LEVEL": level,
            "LOG__PII": "true",
        }
        with (
            log.open("wb") as file,
            serve(
                profile, None, sys.executable, file, **{f"KAMMERTON_{key}": value for key, value in settings.items()}
            ) as server,
        ):
            yield House(server, desk, log)


def found(name: str, number: int) -> dict[str, Any]:
    """What a tool gives: another thing each time, so that no answer is kept ready from the one before."""
    morning, evening = (f"{hour + number % 4:02d}:{number // 4 % 4 * 15:02d}" for hour in (7, 14))
    match name:
        case "get_opening_hours":
            return {"open": morning, "close": evening}
        case "check_availability":
            return {"slots": [morning, evening]}
    return {"price": 20 + number % 60}


def spoken(voice: str, text: str) -> NDArray[np.int16]:
    """At the rate of a phone."""
    return speak(text, voice).at_rate(_PHONE).pcm


def trouble(line: str, seed: int) -> Trouble:
    """What is wrong with a line of this name."""
    level = rms_dbfs(spoken(*QUESTIONS[0][:2]))
    return {
        "clean": Trouble(seed=seed),
        "loss": Trouble(loss=0.05, seed=seed),
        "jitter": Trouble(jitter_ms=80, seed=seed),
        "both": Trouble(loss=0.05, jitter_ms=80, seed=seed),
        "heavy": Trouble(loss=0.2, seed=seed),
        "noise": Trouble(noise_dbfs=level - _SNR_DB, seed=seed),
        "echo": Trouble(echo_db=_ECHO_DB, seed=seed),
    }[line]


async def converse(house: House, call: int, questions: Sequence[tuple[str, str, ToolCall]], bad: Trouble) -> Caller:
    """Ask all of them, then speak over a story."""
    came = Caller()
    house.desk.take(call)
    async with twilio_call(house.account(call), bad) as line:
        await quiet_after(line, 0)
        for voice, text, tool in questions:
            end = await _say(line, spoken(voice, text))
            await quiet_after(line, end, 1.2)
            came.waits.append(answer_after_ms(line.recording.heard_from(end), 0, _PHONE))
            came.tools.append(score([tool], house.desk.take(call)))
        for voice, text in OVER:
            came.stops.append(await _speak_over(line, spoken(voice, text)))
        came.underruns, came.late_ms = line.recording.underruns, line.recording.late_ms
        came.findings = len(line.recording.findings)
    return came


async def _speak_over(line: Line, over: NDArray[np.int16]) -> float | None:
    """Have a story told and speak into it; when it was stopped, in ms."""
    end = await _say(line, spoken(*STORY))
    await begun_after(line, end)
    await line.after(line.samples + _PHONE // 2)
    begins = line.say(over, _PHONE) + speech_bounds(over)[0]
    await line.after(begins + int(_STOPPED_S * _PHONE))
    stop = stop_of(line.recording.cleared, line.recording.played, begins)
    await quiet_after(line, line.samples, 1.2)
    return None if stop.silent is None else (stop.silent - begins) * 1000 / _PHONE


async def _say(line: Line, speech: NDArray[np.int16]) -> int:
    """Speak to the end; the sample behind the last that is speech."""
    end = line.say(speech, _PHONE) + speech_bounds(speech)[1]
    await line.after(end)
    return end


async def on_line(house: House, line: str, calls: int) -> list[Caller]:
    """One call after the other, so that what was understood is known to be this call's."""
    callers = []
    for number in range(calls):
        _status.print(f"{NAMES[line]}, call {number + 1} of {calls}")
        with house.heard() as turns:
            caller = await converse(house, 0, QUESTIONS, trouble(line, number + 1))
        said = [text for _, text, _ in QUESTIONS] + [text for _, over in OVER for text in (STORY[1], over)]
        caller.words.append(word_errors(" ".join(said), " ".join(turns)))
        callers.append(caller)
    return callers


async def at_once(house: House, calls: int, turns: int) -> list[Caller]:
    """All of them together, each with questions of its own in its own order."""

    async def one(number: int) -> Caller:
        # Real calls do not begin in the same millisecond.
        await asyncio.sleep(number * 0.137)
        places = [(number * turns + turn) % len(QUESTIONS) for turn in range(turns)]
        try:
            return await converse(house, number, [QUESTIONS[at] for at in places], replace(NO_TROUBLE, seed=number + 1))
        except Exception as error:  # a call that breaks is a result, too
            return Caller(failed=repr(error))

    _status.print(f"{calls} calls at once")
    return await asyncio.gather(*map(one, range(calls)))


def row(name: str, callers: Sequence[Caller]) -> str:
    """A line of the table."""
    tools = [one for caller in callers for one in caller.tools]
    wrong, said = (sum(pair[at] for caller in callers for pair in caller.words) for at in (0, 1))
    waits = percentiles(wait for caller in callers for wait in caller.waits)
    lost = sum(wait is None for caller in callers for wait in caller.waits)
    stops = percentiles(stop for caller in callers for stop in caller.stops)
    went_on = sum(stop is None for caller in callers for stop in caller.stops)
    gaps = [caller.underruns for caller in callers]
    arguments, of_arguments = sum(one.arguments for one in tools), sum(one.of_arguments for one in tools)
    cells = [
        name,
        f"{sum(one.whole for one in tools)} of {len(tools)}",
        f"{arguments} of {of_arguments}",
        f"{wrong / said:.1%}" if said else "-",
        f"{waits.p50:.0f}" if waits.p50 is not None else "-",
        f"{waits.p95:.0f}" if waits.p95 is not None else "-",
        str(lost),
        f"{stops.p50:.0f}" if stops.p50 is not None else "-",
        f"{stops.p95:.0f}" if stops.p95 is not None else "-",
        str(went_on),
        f"{sum(gaps)}" + (f" in {sum(gap > 0 for gap in gaps)} calls" if sum(gaps) else ""),
        f"{max((caller.late_ms for caller in callers), default=0):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


_HEAD = ("line", "tool calls right", "arguments", "WER", "answer p50 ms", "p95", "unanswered",
         "stopped p50 ms", "p95", "went on", "gaps", "own clock late ms")  # fmt: skip


async def main(lines: Sequence[str], calls: int, many: int, turns: int, profile: str) -> None:
    _console.print(f"Machine: {machine()}, profile {profile}. {time.strftime('%Y-%m-%d')}.\n")
    _console.print(f"| {' | '.join(_HEAD)} |\n|{' --- |' * len(_HEAD)}")
    if lines:
        with house(1, profile, "debug") as one:
            for line in lines:
                _console.print(row(NAMES[line], await on_line(one, line, calls)))
    if many:
        with house(many, profile) as all_of_them:
            before, began = all_of_them.server.cpu_by_part(), time.monotonic()
            callers = await at_once(all_of_them, many, turns)
            took, after = time.monotonic() - began, all_of_them.server.cpu_by_part()
        _console.print(row(f"{many} calls at once", callers))
        for caller in callers:
            if caller.failed:
                _console.print(f"\nA call broke: {caller.failed}")
        parts = ", ".join(f"{part} {(after[part] - before[part]) / took:.2f}" for part in after)
        _console.print(f"\nCores that the {many} calls took over {took:.0f} s: {parts}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", nargs="*", choices=LINES, default=LINES, help="which lines; none for none")
    parser.add_argument("--calls", type=int, default=2, help="calls on each line, one after the other")
    parser.add_argument("--at-once", type=int, default=20, help="calls at once on a clean line; 0 for none")
    parser.add_argument("--turns", type=int, default=4, help="questions in each of those")
    parser.add_argument("--profile", default="tiny")
    given = parser.parse_args()
    asyncio.run(main(given.lines, given.calls, given.at_once, given.turns, given.profile))
