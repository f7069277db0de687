"""A server in this process, on an event loop of its own whose every callback is watched."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ctranslate2
import onnxruntime
import uvicorn

from models import catalog
from server import app
from server.policy.keys import Keys
from server.settings import Settings
from server.transports.bounded_websocket import bounded
from tests.e2e.call import Caller

LIMIT = 100_000
"""Calls of functions in one callback: some 10 ms of them. The most is what FastAPI does for a route's first request, a
fifth of it."""

_MODELS: tuple[tuple[Any, str], ...] = (
    (onnxruntime.InferenceSession, "run"),
    (ctranslate2.models.Whisper, "encode"),
    (ctranslate2.models.Whisper, "generate"),
    (ctranslate2.Generator, "generate_tokens"),
    (ctranslate2.Generator, "generate_batch"),
    (ctranslate2.Generator, "forward_batch"),
)


@dataclass
class Watched:
    """What happened on one thread's event loop. long: callbacks over the limit, with the calls they made. callbacks:
    how many there were. longest: calls made by one. elsewhere, here: runs of models on other threads and on this one,
    by the method's name."""

    thread: int = 0
    callbacks: int = 0
    longest: int = 0
    long: list[tuple[str, int]] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)
    here: set[str] = field(default_factory=set)
    base_url: str = ""

    def caller(self, **session: object) -> Caller:
        return Caller(self.base_url, session)


@contextmanager
def watching(thread: int) -> Iterator[Watched]:
    """Watch all callbacks of the loop that runs on this thread, and where models are run. Work is counted in calls of
    functions, Python's and C's: the same on every machine, however busy."""
    watched = Watched(thread)
    run_callback = asyncio.events.Handle._run
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    def run(handle: asyncio.Handle) -> None:
        nonlocal calls
        if threading.get_ident() != watched.thread:
            run_callback(handle)
            return
        calls = 0
        sys.setprofile(count)
        try:
            run_callback(handle)
        finally:
            sys.setprofile(None)
        watched.callbacks += 1
        watched.longest = max(watched.longest, calls)
        if calls > LIMIT:
            watched.long.append((repr(handle), calls))

    def noting(name: str, original: Any) -> Any:
        def noted(*arguments: Any, **named: Any) -> Any:
            (watched.here if threading.get_ident() == watched.thread else watched.elsewhere).add(name)
            return original(*arguments, **named)

        return noted

    patches = [patch.object(asyncio.events.Handle, "_run", run)]
    patches += [patch.object(owner, name, noting(name, getattr(owner, name))) for owner, name in _MODELS]
    for each in patches:
        each.start()
    try:
        yield watched
    finally:
        for each in patches:
            each.stop()


@contextmanager
def watched_server(tmp_path: Path) -> Iterator[Watched]:
    """The application over the bundled models, as `kammerton serve` runs it, in a thread with asyncio's own loop."""
    resolved = catalog.resolve("tiny", tmp_path)
    engines = catalog.load(resolved)
    settings = Settings()
    application = app.build(settings, engines, resolved, Keys(tmp_path / "keys.json", ""), open_metrics=True)
    config = uvicorn.Config(
        application,
        port=0,
        loop="asyncio",
        http="h11",
        ws=bounded(stalled_s=settings.server.stalled_s, unsent_bytes=settings.server.unsent_kib * 1024),
        ws_max_size=app._MAX_FRAME,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="watched-server")
    thread.start()
    assert thread.ident is not None
    try:
        while not server.started:
            assert thread.is_alive()
            os.sched_yield()
        with watching(thread.ident) as watched:
            watched.base_url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            yield watched
    finally:
        server.should_exit = True
        thread.join(60)
