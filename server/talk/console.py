"""What ``kammerton talk`` prints: the words as they come, and the times; or one JSON object a turn."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.audio import read_wav, write_wav
from models.base import Pcm16
from server.talk.client import TalkOptions
from server.talk.session import ask, listen
from server.talk.turn import TurnReport
from server.talk.wire import TalkStartError

_LABELS = {
    "hold": "hold (silence the server waits for)",
    "stt_final": "transcript",
    "llm_first_token": "first token",
    "first_segment": "first clause",
    "tts_first_audio": "first audio made",
    "voice_to_voice": "voice to voice (first audio here)",
}
_TRANSCRIPTION = "conversation.item.input_audio_transcription."
_ANSWER = ("response.output_audio_transcript.delta", "response.output_text.delta")


class Screen:
    """Shows a conversation as it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._line: tuple[str, str] | None = None
        self._shown: dict[str, str] = {}

    def show(self, event: Mapping[str, Any]) -> None:
        kind, item_id = event["type"], event.get("item_id", "")
        if kind == _TRANSCRIPTION + "delta":
            delta = event.get("delta", "")
            self._shown[item_id] = self._shown.get(item_id, "") + delta
            self._write("caller", item_id, delta)
        elif kind == _TRANSCRIPTION + "completed":
            self._complete(item_id, event["transcript"])
        elif kind in _ANSWER:
            self._write("answer", item_id, event["delta"])
        elif kind == "response.function_call_arguments.done":
            self._write("call", event["call_id"], f"{event.get('name', '')} {event['arguments']}")

    def tell(self, report: TurnReport) -> None:
        self._end_line()
        for call in report.tool_calls:
            if call["output"] is None:
                self._console.print(f"[yellow]No result is known for {escape(call['name'])}: --tool-result NAME=JSON")
        if report.error:
            self._console.print(f"[red]The answer failed: {escape(report.error)}")
        self._console.print(times(report.timings_ms))

    def _complete(self, item_id: str, transcript: str) -> None:
        """Add what the deltas left out; say it all again if they were not its beginning."""
        shown = self._shown.pop(item_id, "")
        if not transcript.startswith(shown):
            self._end_line()
            shown = ""
        if len(transcript) > len(shown):
            self._write("caller", item_id, transcript[len(shown) :])

    def _write(self, who: str, item_id: str, text: str) -> None:
        if self._line != (who, item_id):
            self._end_line()
            self._console.print(f"[bold]{who:<7}[/bold]", end=" ")
            self._line = (who, item_id)
        self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)

    def _end_line(self) -> None:
        if self._line is not None:
            self._console.print()
            self._line = None


def times(timings_ms: Mapping[str, float | None]) -> Table:
    """Times of one turn, in ms after the end of speech."""
    table = Table("after the end of speech", "ms", box=None, padding=(0, 2, 0, 0))
    table.columns[1].justify = "right"
    for stage, label in _LABELS.items():
        value = timings_ms.get(stage)
        table.add_row(label, "-" if value is None else f"{value:.0f}")
    hold, heard = timings_ms.get("hold"), timings_ms.get("voice_to_voice")
    if hold is not None and heard is not None:
        table.add_row("voice to voice beyond the hold", f"{heard - hold:.0f}")
    return table


def talk(recordings: Sequence[Path], options: TalkOptions, *, out: Path | None, as_json: bool) -> bool:
    """Have the conversation and print it. Returns whether every answer came. Raises TalkError.

    recordings: WAV files, one question each; none at all means microphone and loudspeaker, until Ctrl-C.
    """
    screen = Screen(Console(highlight=False))
    reports: list[TurnReport] = []

    def tell(report: TurnReport) -> None:
        reports.append(report)
        if as_json:
            print(json.dumps(_as_object(report), ensure_ascii=False), flush=True)
        else:
            screen.tell(report)

    def show(event: Mapping[str, Any]) -> None:
        if not as_json:
            screen.show(event)

    if not recordings:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(listen(options, show, tell))
    else:
        heard = asyncio.run(ask(_read_all(recordings), options, show, tell))
        if out is not None:
            write_wav(out, heard, options.wire.rate)
    return not any(report.error for report in reports)


def _as_object(report: TurnReport) -> dict[str, Any]:
    fields = {"user": report.user, "assistant": report.assistant, "tool_calls": report.tool_calls}
    return {**fields, "timings_ms": report.timings_ms, **({"error": report.error} if report.error else {})}


def _read_all(paths: Sequence[Path]) -> list[tuple[Pcm16, int]]:
    recordings = []
    for path in paths:
        try:
            recordings.append(read_wav(path))
        except OSError as error:
            raise TalkStartError(f"cannot read {path}: {error.strerror or error}") from None
        except ValueError as error:
            raise TalkStartError(str(error)) from None
    return recordings
