"""How long a caller waits when a tool has to be asked: `python -m benchmarks.tools`.

An agent asks a tool over HTTP that takes 0, 200 and 2000 ms. The server runs it, so that filler, tool and answer
overlap; beside that the same tool is the client's, which does one after the other: nothing is prepared, the filler is
heard out, the tool is asked, the answer is made. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.client import Caller, call
from benchmarks.process import machine, serve
from benchmarks.speech import RATE, Question, first_audible, speak

_QUESTION = ("en-us", "What time do you open on Friday?")
_FILLER = "One moment please, I will look that up for you."
_INSTRUCTIONS = "You are the receptionist of a hair salon."
_TOOL: dict[str, Any] = {
    "name": "get_opening_hours",
    "description": "Opening hours for a day.",
    "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
}
_RESULT = {"day": "friday", "open": "09:00", "close": "18:00"}
_AGENT = """
instructions = "{instructions}"

[[tools]]
name = "{name}"
description = "{description}"
http.url = "http://127.0.0.1:{port}/"
parameters = {{ type = "object", properties = {{ day = {{ type = "string" }} }}, required = ["day"] }}
safe = true
filler = "{filler}"
"""
_console = Console()


@dataclass(slots=True)
class Wait:
    """One question as the caller lived it, in milliseconds after the end of speech. filler: first audible sample of
    all. result: first audible sample of the last response, when it is its turn to be played."""

    filler: float | None = None
    result: float | None = None
    calls: int = 0
    _free_at: float = field(default=0.0, repr=False)

    def hear(self, arrived: float, event: dict[str, Any], spoken_at: float, *, first: bool) -> None:
        """A piece of speech; what comes while another plays is heard behind it."""
        pcm = np.frombuffer(base64.b64decode(event["delta"]), np.int16)
        starts = max(arrived, self._free_at)
        offset = first_audible(pcm)
        if offset is not None:
            heard = (starts + offset / RATE - spoken_at) * 1000
            self.filler = heard if self.filler is None else self.filler
            if first and self.result is None:
                self.result = heard
        self._free_at = starts + len(pcm) / RATE

    @property
    def plays_until(self) -> float:
        """When all that has come so far is played, by the clock of the events."""
        return self._free_at


async def ask(caller: Caller, question: Question, delay_s: float | None) -> Wait:
    """Ask, and listen to the end of the answer. delay_s: how long the client's own tool takes; None where the server
    runs it."""
    spoken_at = await caller.say_at(question) + question.end / RATE
    wait, response = Wait(), ""
    async with asyncio.timeout(60):
        while True:
            arrived, event = await caller.next()
            match event["type"]:
                case "response.created":
                    response = event["response"]["id"]
                case "response.output_audio.delta":
                    wait.hear(arrived, event, spoken_at, first=wait.calls > 0 and event["response_id"] == response)
                case "error":
                    raise RuntimeError(event["error"]["message"])
                case "response.done":
                    made = [item for item in event["response"]["output"] if item["type"] == "function_call"]
                    if not made:
                        return wait
                    wait.calls += len(made)
                    if delay_s is not None:
                        await asyncio.sleep(max(0.0, wait.plays_until - time.perf_counter()) + delay_s)
                        await _answer(caller, made)


async def _answer(caller: Caller, calls: list[dict[str, Any]]) -> None:
    for made in calls:
        item = {"type": "function_call_output", "call_id": made["call_id"], "output": json.dumps(_RESULT)}
        await caller.send({"type": "conversation.item.create", "item": item})
    await caller.send({"type": "response.create"})


@contextmanager
def endpoint(delay_s: float) -> Iterator[int]:
    """The tool, as an HTTP endpoint on this port."""

    class Hours(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(delay_s)
            body = json.dumps(_RESULT).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the table is the output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hours) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


async def overlapping(delay_s: float, turns: int) -> list[Wait]:
    """The server runs the tool."""
    question = speak(_QUESTION[1], _QUESTION[0])
    with endpoint(delay_s) as port, tempfile.TemporaryDirectory() as folder:
        agent = _AGENT.format(port=port, filler=_FILLER, instructions=_INSTRUCTIONS, **_TOOL)
        (Path(folder) / "salon.toml").write_text(agent)
        store = f"sqlite:///{folder}/store.db"
        with serve(KAMMERTON_AGENTS__FOLDER=folder, KAMMERTON_STORE__URL=store) as server:
            return [await _one(f"{server.url}?agent=salon", {}, question, None) for _ in range(turns)]


async def one_after_the_other(delay_s: float, turns: int) -> list[Wait]:
    """The client runs the tool when it has heard the filler out, and nothing is made ahead."""
    question = speak(_QUESTION[1], _QUESTION[0])
    session = {"instructions": _INSTRUCTIONS, "tools": [{"type": "function", **_TOOL}]}
    with serve(KAMMERTON_TURNS__PREPARE="false") as server:
        return [await _one(server.url, session, question, delay_s) for _ in range(turns)]


async def _one(url: str, session: dict[str, Any], question: Question, delay_s: float | None) -> Wait:
    async with call(url, session) as caller:
        return await ask(caller, question, delay_s)


def row(name: str, delay_s: float, waits: list[Wait]) -> str:
    """A line of the table, over the questions for which the model did ask the tool."""
    asked = [wait for wait in waits if wait.calls and wait.filler is not None and wait.result is not None]
    cells = [name, f"{delay_s * 1000:.0f}", f"{len(asked)} of {len(waits)}"]
    for values in ([wait.filler for wait in asked], [wait.result for wait in asked]):
        known = [value for value in values if value is not None]
        cells.append(f"{statistics.median(known):.0f}" if known else "-")
    return f"| {' | '.join(cells)} |"


async def main(turns: int, delays: list[float]) -> None:
    _console.print(f"Machine: {machine()}. {time.strftime('%Y-%m-%d')}. Milliseconds after the end of speech, p50.\n")
    _console.print("| | tool takes | asked it | first sound | the result is spoken |\n| --- | --- | --- | --- | --- |")
    for delay_s in delays:
        _console.print(row("overlapping, run by the server", delay_s, await overlapping(delay_s, turns)))
        _console.print(row("one after the other", delay_s, await one_after_the_other(delay_s, turns)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, help="questions for each line of the table")
    parser.add_argument("--delays", type=float, nargs="+", default=[0.0, 0.2, 2.0], help="seconds that the tool takes")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.turns, arguments.delays))
