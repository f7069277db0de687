"""Writes docs/conformance.md and docs/asyncapi.yaml: `python scripts/conformance.py`; --check only compares.

What is in them comes from the code: the tables of the wire, and what the codec makes of probe events. The names of
the protocol come from the `openai` package, and what real clients did from docs/conformance.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import openai  # noqa: E402  the project's root must be on the path first

from scripts import conformance_probes as probes  # noqa: E402
from scripts.asyncapi import asyncapi  # noqa: E402
from server.core import events as ev  # noqa: E402
from server.transports import wire, wire_beta, wire_events  # noqa: E402

_DOCS = ROOT / "docs"

_NO_BUFFER = "for WebRTC and SIP only: on a WebSocket the client holds the audio"
_NOT_SENT: Mapping[str, str] = {
    "conversation.created": "optional, and no client needs it",
    "conversation.item.created": "an old name of `conversation.item.added`; sent in the beta dialect",
    "conversation.item.input_audio_transcription.segment": "for models that tell speakers apart; none is here",
    "input_audio_buffer.dtmf_event_received": "for SIP only",
    **{f"output_audio_buffer.{step}": _NO_BUFFER for step in ("started", "stopped", "cleared")},
}


def sent_types() -> set[str]:
    """Types of the server events that the codec writes."""
    (delta,) = wire.RealtimeCodec("m", 1).encode(ev.OutputAudioDelta("r", "i", 0, b"\0\0", 0, 1))
    return {shape.type for shape in wire_events._SHAPES.values()} | {json.loads(delta)["type"]}


def read_types() -> set[str]:
    """Types of the client events that the codec reads."""
    return {wire._APPEND, *wire._READERS}


def conformance() -> str:
    """The page. Raises ValueError for an event or field of the protocol of which the code says nothing."""
    _complete()
    clients = json.loads((_DOCS / "conformance.json").read_text())
    letters = dict(zip(clients, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", strict=False))
    return "\n".join([*_head(clients, letters), *_overview(clients, letters), *_fields(), *_errors(), *_beta(), ""])


def _complete() -> None:
    said = sent_types() | set(_NOT_SENT)
    wrong = {
        "fields without a probe": probes.unprobed(),
        "client events without a probe": set(probes.client_models()) ^ set(probes.EVENTS),
        "server events without a word": set(probes.server_models()) ^ said,
        "server events that are sent and said not to be": sent_types() & set(_NOT_SENT),
    }
    found = {what: sorted(names) for what, names in wrong.items() if names}
    if found:
        raise ValueError(f"the conformance page does not know: {found}")


def _head(clients: Mapping[str, Any], letters: Mapping[str, str]) -> Iterator[str]:
    yield "# Conformance to the OpenAI Realtime API\n"
    yield "Made by `scripts/conformance.py`, from the code; a test fails when it is stale. The names of events and"
    yield f"fields are those of `openai` {openai.__version__} (GA). What real clients did comes from their test run"
    yield "(`pytest tests/clients --record`), which fails when a client no longer sends or receives an event that it is"
    yield "listed with here.\n"
    yield from _table(
        ("", "Client", "Version", "Program in tests/clients"),
        ((letters[program], _client(program, it), it["version"], f"`{program}`") for program, it in clients.items()),
    )


def _client(program: str, client: Mapping[str, Any]) -> str:
    kind = "npm" if program.endswith(".mjs") else "Python"
    return f"{client['name']} ({kind}{', speech to text' if 'stt' in program else ''})"


def _overview(clients: Mapping[str, Any], letters: Mapping[str, str]) -> Iterator[str]:
    def by(what: str, kind: str) -> str:
        return " ".join(letters[program] for program, client in clients.items() if kind in client[what])

    def used(what: str, kinds: set[str]) -> int:
        return sum(bool(by(what, kind)) for kind in kinds)

    read, sent = read_types(), sent_types()
    mine, theirs = sorted(probes.client_models()), sorted(probes.server_models())
    counts = f"{len(read)} of {len(mine)} are read; real clients have sent {used('sent', read)} of these."
    yield f"## Client events\n\n{counts}\n"
    rows = ((f"`{kind}`", "read" if kind in read else _refusal(kind), by("sent", kind)) for kind in mine)
    yield from _table(("Event", "", "Sent by"), rows)
    counts = f"{len(sent)} of {len(theirs)} are sent; real clients have received {used('received', sent)} of these."
    yield f"## Server events\n\n{counts}\n"
    rows = ((f"`{kind}`", "sent" if kind in sent else _NOT_SENT[kind], by("received", kind)) for kind in theirs)
    yield from _table(("Event", "", "Received by"), rows)
    yield "`response.created` and `response.done` have one field more than the API, `response.kammerton`: `language` is"
    yield "the language that is spoken (ISO 639-1), `switched_from` the one before it in the first response after a"
    yield "change, in `response.done` `timings_ms` are the times of its stages, and `escalation` is what the agent"
    yield "told of a caller who goes to a human (`agent`, `to`, `trigger`, `reason`, `transferred`).\n"
    yield "A response that an engine gave up on ends as `failed`. Where the server answers by itself, that is with"
    yield "`create_response`, a response of its own follows that says so. It is in nobody's way: `response.create` ends"
    yield "it at once. Nothing follows when the voice is what failed.\n"
    yield "`rate_limits.updated` is sent behind `response.done` where the key has minutes of audio a day: as `tokens`,"
    yield "one of them for 100 ms of audio. Without such a limit there is nothing to tell.\n"


def _refusal(kind: str) -> str:
    ((_, (first, *_)),) = probes.verdicts(kind)
    return first.does


def _fields() -> Iterator[str]:
    yield "## Fields of client events\n"
    yield "*Wrong*: the error code for a value of a wrong type; none where the value is not looked at. *Missing*: the"
    yield "code for its absence; none where it may be absent. *Echoed*: `session.updated` shows the value.\n"
    for kind in sorted(read_types()):
        for name, verdicts in probes.verdicts(kind):
            yield f"### `{kind}`{f', {name}' if name else ''}\n"
            rows = ((_field(it.field), it.does, _code(it.wrong), _code(it.missing)) for it in verdicts)
            yield from _table(("Field", "", "Wrong", "Missing"), rows)


def _field(name: str) -> str:
    path, _, variant = name.partition(" ")
    return f"`{path}` {variant}".strip()


def _code(code: str) -> str:
    return f"`{code}`" if code else ""


def _errors() -> Iterator[str]:
    yield "## Errors\n"
    yield "The answer is an `error` event with the client's `event_id`, and the session goes on.\n"
    found = ((what, probes.error_in(what)) for what in probes.SITUATIONS)
    rows = ((what, _code(it.code), _code(it.param or ""), it.message) for what, it in found)
    yield from _table(("When", "Code", "Param", "Message"), rows)


def _beta() -> Iterator[str]:
    yield "## The beta dialect\n"
    yield "Spoken to clients that ask for it. Events and fields not named here are as above.\n"
    yield from _table(("GA event", "Beta"), ((f"`{ga}`", f"`{old}`") for ga, old in wire_beta._EVENTS.items()))
    rows = ((f"`{ga}`", f"`{old}`") for ga, old in wire_beta._FIELDS.items())
    yield from _table(("GA field", "Beta"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def pages() -> dict[Path, str]:
    """Both files, by path."""
    return {
        _DOCS / "conformance.md": conformance(),
        _DOCS / "asyncapi.yaml": asyncapi(read_types(), sent_types()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if a page is stale, write nothing")
    check = parser.parse_args().check
    for path, new in pages().items():
        if not check:
            path.write_text(new)
        elif not path.exists() or path.read_text() != new:
            print(f"docs/{path.name} is stale: run scripts/conformance.py", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
