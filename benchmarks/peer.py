"""The server under measurement: one that listens at a URL, or this project's own, started for the run."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import results
from benchmarks.dialects import DIALECTS
from benchmarks.dialects.base import Dialect, Ready, Setup, Target
from benchmarks.process import Server, serve
from benchmarks.scenario import Scenario

_ROOT = Path(__file__).parents[1]
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s\"']+")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)


class UsageError(ValueError):
    """The command line makes no sense."""


@dataclass(slots=True)
class Peer:
    """local: the process, where it can be weighed. record: what goes into the result file."""

    target: Target
    dialect: Callable[[], Dialect]
    record: results.Server
    local: Server | None
    setup: Setup

    @property
    def is_here(self) -> bool:
        return urlsplit(self.target.url).hostname in ("127.0.0.1", "localhost", "::1")

    def setup_for(self, scenario: Scenario) -> Setup:
        """The run's settings with the scenario's agent."""
        return replace(self.setup, instructions=scenario.instructions, tools=scenario.tools, speed=scenario.speed)

    def told(self, ready: Ready) -> None:
        """What the server says of itself, once a session is open."""
        self.record.hold_ms, self.record.vad = ready.hold_ms, ready.vad
        self.record.model = self.record.model or ready.model
        self.record.settings |= ready.settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `run` and `density` share."""
    parser.add_argument(
        "--url", help="ws:// or wss:// address; without it this project's server is started for the run"
    )
    parser.add_argument("--dialect", choices=sorted(DIALECTS), default="openai", help="what the server speaks")
    parser.add_argument("--key-env", metavar="NAME", help="environment variable with the key")
    parser.add_argument("--model", default="", help="model or deployment to ask for")
    parser.add_argument("--name", help="of the server in reports; default: its host, or kammerton")
    parser.add_argument("--profile", default="tiny", help="models of the own server, without --url")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="setting of the own server,"
                        " e.g. KAMMERTON_TURNS__PREPARE=false; may be repeated")  # fmt: skip
    parser.add_argument("--pid", type=int, help="process of a server on this machine, to weigh it")
    parser.add_argument("--hold-ms", type=float, help="silence that ends a turn; default: the server's own")
    parser.add_argument("--turn-detection", type=_json, help="turn detection as the dialect writes it, JSON")
    parser.add_argument("--voice", default="", help="default: the server's own")
    parser.add_argument("--language", default="", help="hint for the transcriber; default: the server finds it out")
    parser.add_argument("--session", type=_json, default={}, help="JSON merged into the session that is asked for")


@contextmanager
def peer(arguments: argparse.Namespace) -> Iterator[Peer]:
    """Raises UsageError."""
    key = ""
    if arguments.key_env:
        key = os.environ.get(arguments.key_env, "")
        if not key:
            raise UsageError(f"--key-env: the environment has no variable {arguments.key_env}")
    setup = Setup(
        hold_ms=arguments.hold_ms,
        turn_detection=arguments.turn_detection,
        voice=arguments.voice,
        language=arguments.language,
        extra=arguments.session,
    )
    with ExitStack() as stack:
        if arguments.url:
            if urlsplit(arguments.url).scheme not in ("ws", "wss"):
                raise UsageError(f"--url: {arguments.url!r} does not begin with ws:// or wss://")
            local = Server(arguments.pid, urlsplit(arguments.url).port or 0, 0.0) if arguments.pid else None
            url, record = arguments.url, _stranger(arguments)
        else:
            local = stack.enter_context(serve(arguments.profile, **_own_settings(arguments)))
            url, record = local.url, _own(arguments, local)
        target = Target(url, key, arguments.model)
        yield Peer(target, DIALECTS[arguments.dialect], record, local, setup)


def commit() -> str:
    """Of this repository, with a + where it has changes; empty outside of one."""
    head = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, cwd=_ROOT)
    return head.stdout.strip() if head.returncode == 0 else ""


def without_secrets(text: str) -> str:
    """Addresses in it are without their user and without their query, and a setting whose name says that it is secret
    (NAME=VALUE) is without its value."""
    name, equals, value = text.partition("=")
    if equals and value and name.isidentifier() and _SECRET.search(name):
        return f"{name}=***"
    return _ADDRESS.sub(lambda found: _without_key(found[0]), text)


def _without_key(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(query="", netloc=parts.netloc.rpartition("@")[2]).geturl()


def _stranger(arguments: argparse.Namespace) -> results.Server:
    name = arguments.name or urlsplit(arguments.url).hostname or arguments.url
    return results.Server(name, arguments.dialect, without_secrets(arguments.url), arguments.model)


def _own(arguments: argparse.Namespace, server: Server) -> results.Server:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/v1/models", timeout=10) as answer:
        models = [entry["id"] for entry in json.load(answer)["data"]]
    shown = (without_secrets(f"{name}={value}").partition("=") for name, value in _own_settings(arguments).items())
    settings = {"profile": arguments.profile, "models": models, **{name: value for name, _, value in shown}}
    versions = {"kammerton": commit() or metadata.version("kammerton")}
    for library in ("ctranslate2", "faster-whisper", "onnxruntime", "piper-tts", "uvicorn"):
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return results.Server(
        arguments.name or "kammerton",
        arguments.dialect,
        server.url,
        arguments.model,
        settings=settings,
        versions=versions,
    )


def _own_settings(arguments: argparse.Namespace) -> dict[str, str]:
    pairs = [setting.partition("=") for setting in arguments.set]
    for name, equals, _ in pairs:
        if not equals:
            raise UsageError(f"--set: {name!r} is not NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("is not a JSON object")
    return value
