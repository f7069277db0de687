"""The server with a transcriber that fails when it is asked to: `python -m tests.clients.troubled_server serve`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models import catalog
from models.base import EngineError, Pcm16, Priority, Transcriber, Transcript, Utterance
from server.__main__ import main

FAILS = "fail"
"""The prompt of a transcription that does."""


class _Failing:
    def push(self, pcm: Pcm16) -> None: ...
    def close(self) -> None: ...

    async def partial(self) -> Transcript:
        raise EngineError("troubled", "out of ears")

    async def final(self, priority: Priority = Priority.CONFIRMED) -> Transcript:
        raise EngineError("troubled", "out of ears")


class _Troubled:
    def __init__(self, stt: Transcriber) -> None:
        self._stt = stt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stt, name)

    def open(self, **options: Any) -> Utterance:
        return _Failing() if options.get("prompt") == FAILS else self._stt.open(**options)


if __name__ == "__main__":
    load = catalog.load

    def load_troubled(*arguments: Any, **options: Any) -> catalog.Engines:
        engines = load(*arguments, **options)
        return replace(engines, stt=_Troubled(engines.stt))

    catalog.load = load_troubled
    main()
