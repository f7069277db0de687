"""Programs that make calls with real client libraries, run side by side, and what they report."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server.policy.keys import KeyFile
from tests.agents.mcp_process import listening
from tests.clients.front import Events, in_front_of, make_certificate
from tests.models.speech import speak
from tests.server_process import ROOT, Server, start, stop

_HERE = Path(__file__).parent
_PYTHON = ROOT / ".venv-clients" / "bin" / "python"
_NODE_MODULES = _HERE / "node" / "node_modules"
_TLS_ONLY = {"openai_sdk.mjs"}
_TROUBLED = {"openai_sdk_edges.py"}
_AT_ONCE = 3
_LIMIT_S = 280
_RECORD = ROOT / "docs" / "conformance.json"
_RATE = 24_000

SPEECH = {
    "tool": "What time do you open on Friday?",
    "question": "Are you a real person?",
    "story": "Tell me a story.",
    "stop": "Stop please, one moment.",
}
RESULT = {"open": "09:00", "close": "17:00"}

# Clients that would tell somebody of their use do so neither here nor over a proxy.
_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "NO_PROXY": "*",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True)
class Turn:
    """One step of a call. heard: the caller's words. said: the answer's. audio: bytes of it. calls: tools that ran."""

    heard: str
    said: str
    audio: int
    calls: list[tuple[str, Any]]

    @property
    def words_heard(self) -> set[str]:
        return {word.strip(".,!?").lower() for word in self.heard.split()}


@dataclass(frozen=True)
class Report:
    """What a program says of its call; see programs/script.py. events: what went over its connections."""

    client: str
    version: str
    received: dict[str, int]
    errors: list[str]
    dropped: list[str]
    turns: dict[str, Turn]
    history: list[tuple[str, str]]
    facts: dict[str, Any]
    events: Events


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write what the clients send and receive into docs/")


@pytest.fixture(scope="session")
def tool() -> dict[str, Any]:
    """A function that the bundled chat model knows, in the API's flat shape."""
    tools = json.loads((ROOT / "models" / "bundled" / "llm" / "tiny" / "tools.json").read_text())
    return {"type": "function", **tools[0]["function"]}


@pytest.fixture(scope="session")
def run(server: Server, tool: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Report]:
    """Runs one program to its end."""
    folder = tmp_path_factory.mktemp("clients")
    speech = {}
    for name, text in SPEECH.items():
        speech[name] = str(folder / f"{name}.pcm")
        Path(speech[name]).write_bytes(speak(text, rate=_RATE).astype("<i2").tobytes())
    certificate = make_certificate(folder)

    def called(program: str) -> Report:
        job = folder / f"{program}.json"
        events = Events()
        with ExitStack() as servers:
            front = in_front_of(server.base_url, events, certificate if program in _TLS_ONLY else None)
            values = {"url": servers.enter_context(front), "speech": speech, "tool": tool, "tool_result": RESULT}
            values["troubled"] = servers.enter_context(_troubled(folder, events)) if program in _TROUBLED else {}
            job.write_text(json.dumps({**values, "certificate": str(certificate[0])}))
            return _run(program, job, folder, events)

    return called


@contextmanager
def _troubled(folder: Path, events: Events) -> Iterator[dict[str, str]]:
    """A server that fails when asked to, whose only key has a limit, and an MCP server that it may ask."""
    file = folder / "keys.json"
    made = KeyFile(file).create("edges", audio_minutes_a_day=60)
    settings = {"KAMMERTON_AUTH__KEYS_FILE": str(file), "KAMMERTON_EGRESS__CLIENT_MCP": "true"}
    server = start("tests.clients.troubled_server", **settings)
    try:
        with in_front_of(server.base_url, events, None) as url, listening() as mcp:
            yield {"url": url, "key": made, "mcp": mcp}
    finally:
        stop(server)


def _run(program: str, job: Path, home: Path, events: Events) -> Report:
    command = ["node", f"node/{program}"] if program.endswith(".mjs") else [str(_PYTHON), f"programs/{program}"]
    ended = subprocess.run(
        [*command, str(job)],
        cwd=_HERE,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **_ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
    )
    assert ended.returncode == 0, f"{program} failed:\n{ended.stderr[-4000:]}"
    report = json.loads(ended.stdout.splitlines()[-1])
    turns = {name: Turn(**turn) for name, turn in report["turns"].items()}
    return Report(**{**report, "turns": turns, "events": events})


@pytest.fixture(scope="module")
def calls(request: pytest.FixtureRequest, run: Callable[[str], Report]) -> Iterator[Callable[[str], Future[Report]]]:
    """All programs that the file's selected tests ask for, a few at a time: they mostly wait and listen."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    programs = [item.callspec.params.get("client") for item in items]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        started = {program: pool.submit(run, program) for program in dict.fromkeys(filter(None, programs))}
        yield started.__getitem__
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def report(client: str, calls: Callable[[str], Future[Report]]) -> Report:
    """What came of the call of the test's client."""
    return calls(client).result()


@pytest.fixture
def as_listed(client: str, report: Report, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Checks that the client sends and receives what the conformance page says of it; with ``--record`` that page's
    data are made anew."""

    def check() -> None:
        listed = json.loads(_RECORD.read_text())
        if request.config.getoption("--record", default=False):
            now = {"sent": sorted(report.events.sent), "received": sorted(report.events.delivered)}
            listed[client] = {"name": report.client, "version": report.version, **now}
            _RECORD.write_text(json.dumps(dict(sorted(listed.items())), indent=2) + "\n")
        assert set(listed[client]["sent"]) <= report.events.sent
        assert set(listed[client]["received"]) <= report.events.delivered

    return check


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the clients there is nothing to test with."""
    missing = {
        ".py": None if _PYTHON.exists() else "scripts/client-env",
        ".mjs": None if _NODE_MODULES.exists() else "scripts/node-clients",
    }
    for item in items:
        client = item.callspec.params.get("client") if hasattr(item, "callspec") else None
        script = missing.get(Path(client).suffix) if client else None
        if script:
            item.add_marker(pytest.mark.skip(f"needs {script}"))
