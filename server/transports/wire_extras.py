"""Fields of ``session.update`` that are accepted, echoed and not used, kept in ``SessionConfig.extras``.

Clients send them as a matter of course, and some read them back. What strict clients could not parse in the echo
is refused all the same, as an error that names the field is easier to mend than a client that goes silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from server.transports.wire_fields import Fields

NOISE_REDUCTION = "audio.input.noise_reduction"
LOGPROBS = "item.input_audio_transcription.logprobs"

# The server's own fields count as known too: a client that sends back what it was told must not change the echo.
_KNOWN = {
    "": frozenset(
        (
            *("type", "object", "id", "expires_at", "client_secret", "model", "output_modalities", "instructions"),
            *("tools", "tool_choice", "parallel_tool_calls", "max_output_tokens", "reasoning", "tracing"),
            *("truncation", "prompt", "include", "audio"),
        )
    ),
    "audio.input.": frozenset(("format", "transcription", "noise_reduction", "turn_detection")),
    "audio.output.": frozenset(("format", "voice", "speed")),
}
_MAX_EXTRAS = 48
_MAX_EXTRA_BYTES = 1024


def keep_extras(
    session: Fields, source: Fields, target: Fields, before: Mapping[str, Any], kind: str
) -> dict[str, Any]:
    """All extras after an update, by dotted path.

    source, target: ``audio.input`` and ``audio.output``. before: the extras so far. kind: the session's type, kept
    where it is not "realtime" or has been something else. Raises ClientError.
    """
    kept = dict(before)
    if kind != before.get("type", "realtime"):
        kept["type"] = kind
    read_prompt(session)
    for name, read in _READERS.items():
        if name in session.values:
            kept[name] = read(session, name)
    if "noise_reduction" in source.values:
        kept[NOISE_REDUCTION] = _read_noise_reduction(source, "noise_reduction")
    for prefix, fields in (("", session), ("audio.input.", source), ("audio.output.", target)):
        for path, value in _unknown(prefix, fields):
            if path in kept or len(kept) < _MAX_EXTRAS:
                kept[path] = value
    return kept


def unknown_extras(extras: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The kept fields below ``prefix`` ("", "audio.input." or "audio.output.") that the API does not have, by name."""
    found = {path.removeprefix(prefix): value for path, value in extras.items() if path.startswith(prefix)}
    return {name: value for name, value in found.items() if "." not in name and name not in _KNOWN[prefix]}


def _unknown(prefix: str, fields: Fields) -> Iterator[tuple[str, Any]]:
    """Fields that the API does not have; small ones only, so that a client cannot fill the memory with them."""
    for name, value in fields.values.items():
        # A dot would let a name pass for the path of another field.
        if name not in _KNOWN[prefix] and "." not in name and len(orjson.dumps({name: value})) <= _MAX_EXTRA_BYTES:
            yield prefix + name, value


def read_prompt(owner: Fields) -> None:
    """``prompt``: one that is stored at another vendor cannot be had here; null is fine."""
    if owner.values.get("prompt") is not None:
        owner.reject("prompt", "stored prompts are not available on this server; send 'instructions'.")


def read_reasoning(owner: Fields, name: str = "reasoning") -> Mapping[str, Any] | None:
    """``reasoning``: checked; the model thinks as much as it does."""
    reasoning = owner.object(name)
    if reasoning is None:
        return None
    reasoning.choice("effort", ("minimal", "low", "medium", "high", "xhigh"))
    return reasoning.values


def _read_tracing(session: Fields, name: str) -> Any:
    if session.values[name] == "auto":
        return "auto"
    tracing = session.object(name)
    if tracing is None:
        return None
    for field in ("workflow_name", "group_id"):
        tracing.text(field)
    return tracing.values


def _read_truncation(session: Fields, name: str) -> Any:
    if not isinstance(session.values[name], dict):
        return session.choice(name, ("auto", "disabled"))
    truncation = Fields(session.values[name], session.at(name))
    truncation.needed("type", truncation.choice("type", ("retention_ratio",)))
    truncation.needed("retention_ratio", truncation.number("retention_ratio", 0, 1))
    limits = truncation.object("token_limits")
    tokens = None if limits is None else limits.integer("post_instructions", 0, 10_000_000)
    kept = {name: value for name, value in truncation.values.items() if name != "token_limits"}
    return kept if tokens is None else {**kept, "token_limits": {"post_instructions": tokens}}


def _read_include(session: Fields, name: str) -> list[str] | None:
    wanted = session.array(name, 1)
    if wanted is not None and any(entry != LOGPROBS for entry in wanted):
        session.reject(name, f"may hold '{LOGPROBS}' only.")
    return wanted


def _read_noise_reduction(source: Fields, name: str) -> Mapping[str, Any] | None:
    reduction = source.object(name)
    if reduction is None:
        return None
    reduction.choice("type", ("near_field", "far_field"))
    reduction.number("strength", 0, 1_000)
    return reduction.values


_READERS: Mapping[str, Callable[[Fields, str], Any]] = {
    "tracing": _read_tracing,
    "truncation": _read_truncation,
    "include": _read_include,
    "reasoning": read_reasoning,
}
