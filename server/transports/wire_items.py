"""``conversation.item.create`` and ``response.create`` of the Realtime API (GA), as core values."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from server.core.events import ContentPart, Item, ItemKind, ItemStatus, ResponseOverrides
from server.transports.wire_extras import read_prompt, read_reasoning
from server.transports.wire_fields import Fields
from server.transports.wire_session import (
    MAX_OUTPUT_TOKENS,
    read_format,
    read_max_output_tokens,
    read_modality,
    read_temperature,
    read_voice,
)
from server.transports.wire_tools import read_tool_choice, read_tools

MAX_ID = 64
"""Characters of an id that a client may choose."""

_MAX_PARTS = 256
_MAX_TEXT = 1024 * 1024
_MAX_INPUT_ITEMS = 4096
_MAX_METADATA, _MAX_KEY, _MAX_VALUE = 16, 64, 512

_PARTS = {
    "system": ("input_text",),
    "user": ("input_text", "input_audio"),
    "assistant": ("output_text",),
}

_KINDS = (
    *(ItemKind.MESSAGE, ItemKind.FUNCTION_CALL, ItemKind.FUNCTION_CALL_OUTPUT),
    ItemKind.MCP_APPROVAL_RESPONSE,
)
"""What a client may create; the other kinds are the server's to make."""
_MAX_REASON = 4096

_REFUSED = {
    "input_image": "the model cannot see images; send 'input_text'.",
    "output_audio": "assistant audio cannot be created; send its words as 'output_text'.",
}


def read_item(item: Fields, new_id: Callable[[str], str], *, hears: bool = False) -> Item:
    """An item that the client wants in the conversation. Its id is "" if the client did not choose one.

    new_id: makes the id of a call that the client did not name. hears: a user's message may be audio without words
    (see ``audio_part``). Raises ClientError.
    """
    kind = ItemKind(item.needed("type", item.choice("type", _KINDS)))
    item_id = item.text("id", MAX_ID) or ""
    status = item.choice("status", tuple(ItemStatus))
    # What a client adds is complete, whatever was going on where it comes from; only a cut answer stays cut.
    done = ItemStatus.INCOMPLETE if status == ItemStatus.INCOMPLETE else ItemStatus.COMPLETED
    if kind is ItemKind.MESSAGE:
        role = item.needed("role", item.choice("role", tuple(_PARTS)))
        return Item(item_id, kind, done, role=role, content=_read_content(item, role, hears))
    if kind is ItemKind.FUNCTION_CALL:
        name = item.needed("name", item.text("name", MAX_ID))
        call_id = item.text("call_id", MAX_ID) or new_id("call")
        return Item(item_id, kind, done, call_id=call_id, name=name, arguments=_read_arguments(item))
    if kind is ItemKind.MCP_APPROVAL_RESPONSE:
        request = item.needed("approval_request_id", item.text("approval_request_id", MAX_ID))
        approve = item.needed("approve", item.flag("approve"))
        reason = item.text("reason", _MAX_REASON) or ""
        return Item(item_id, kind, approval_request_id=request, approve=approve, reason=reason)
    call_id = item.needed("call_id", item.text("call_id", MAX_ID))
    return Item(item_id, kind, done, call_id=call_id, output=item.needed("output", item.text("output", _MAX_TEXT)))


def audio_part(item: Fields) -> Fields | None:
    """The part of a user's message that is audio without words, None if there is none."""
    for part in item.objects("content") or ():
        if part.values.get("type") == "input_audio" and part.values.get("transcript") is None:
            return part
    return None


def _read_content(item: Fields, role: str, hears: bool) -> tuple[ContentPart, ...]:
    parts = list(item.needed("content", item.objects("content", _MAX_PARTS)))
    return tuple(_read_part(part, role, hears and len(parts) == 1) for part in parts)


def _read_part(part: Fields, role: str, hears: bool) -> ContentPart:
    kind = part.values.get("type")
    if isinstance(kind, str) and kind in _REFUSED:
        part.reject("type", _REFUSED[kind])
    kind = part.needed("type", part.choice("type", _PARTS[role]))
    if kind != "input_audio":
        return ContentPart(kind, part.needed("text", part.text("text", _MAX_TEXT)))
    audio, transcript = part.text("audio"), part.text("transcript", _MAX_TEXT)
    if transcript is None and hears:
        part.needed("audio", audio)
    elif transcript is None:
        part.reject("transcript", "is needed here: audio without words can only be a created message's one part.")
    return ContentPart(kind, transcript)


def _read_arguments(item: Fields) -> str:
    """Arguments go into the model's prompt as JSON, so one bad call would spoil every answer after it."""
    arguments = item.needed("arguments", item.text("arguments", _MAX_TEXT)).strip() or "{}"
    try:
        valid = isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        valid = False
    if not valid:
        item.reject("arguments", "must be the JSON text of an object.")
    return arguments


def read_overrides(response: Fields, unlimited: bool, new_id: Callable[[str], str]) -> ResponseOverrides:
    """What ``response.create`` asks for. unlimited: the session itself sets no limit to output tokens.

    Raises ClientError.
    """
    audio = response.object("audio") or Fields({}, response.at("audio"))
    target = audio.object("output") or Fields({}, audio.at("output"))
    tokens = read_max_output_tokens(response)
    if tokens == "inf":
        # An override cannot say "no limit"; the largest number that the API has comes to the same.
        tokens = None if unlimited else MAX_OUTPUT_TOKENS
    read_prompt(response)
    read_reasoning(response)
    return ResponseOverrides(
        conversation=response.choice("conversation", ("auto", "none")) or "auto",
        instructions=response.text("instructions"),
        modality=read_modality(response),
        voice=read_voice(target),
        output_format=read_format(target),
        tools=read_tools(response),
        tool_choice=read_tool_choice(response),
        parallel_tool_calls=response.flag("parallel_tool_calls"),
        max_output_tokens=int(tokens) if tokens is not None else None,
        temperature=read_temperature(response),
        input=_read_input(response, new_id),
        metadata=_read_metadata(response),
    )


def _read_input(response: Fields, new_id: Callable[[str], str]) -> tuple[Item | str, ...] | None:
    """Items, or ids of items of the conversation."""
    entries = response.objects("input", _MAX_INPUT_ITEMS)
    if entries is None:
        return None
    return tuple(
        entry.needed("id", entry.text("id", MAX_ID))
        if entry.values.get("type") == "item_reference"
        else read_item(entry, new_id)
        for entry in entries
    )


def _read_metadata(response: Fields) -> dict[str, str] | None:
    metadata = response.object("metadata")
    if metadata is None:
        return None
    pairs = metadata.values.items()
    if len(pairs) > _MAX_METADATA:
        response.reject("metadata", f"must have at most {_MAX_METADATA} pairs, not {len(pairs)}.")
    for key, value in pairs:
        if len(key) > _MAX_KEY:
            response.reject("metadata", f"a key must be at most {_MAX_KEY} characters long, not {len(key)}.")
        if not isinstance(value, str) or len(value) > _MAX_VALUE:
            metadata.reject(key, f"must be a string of at most {_MAX_VALUE} characters.")
    return dict(metadata.values)
