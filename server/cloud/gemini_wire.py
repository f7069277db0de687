"""Frames of Gemini Live, read without trust: what is not as it should be counts as absent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pybase64

from models.base import Pcm16
from server.cloud.base import Ended, Send
from server.core import events as e

Json = dict[str, Any]

_RATES = {8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000}
_SPOKEN_RATE = 24_000
_MOST_TOKENS = 2**53

_NO_MODEL = "model_not_found"
# The codes say little: 1011 is a deadline as well as an empty account, 1007 a bad key as well as an old handle.
_FATAL = (
    ("invalid_api_key", ("api key", "api_key", "credential", "unauthenticated", "access token", "permission")),
    ("insufficient_quota", ("quota", "billing", "credit", "payment", "resource has been exhausted", "suspended")),
    (_NO_MODEL, ("is not found", "not supported for bidi", "model not found", "location is not supported")),
)
_BAD_REQUEST = ("invalid json payload", "unknown name", "invalid value", "invalid argument", "cannot find field")


def send(**message: Any) -> Send:
    """A message of the client: one member."""
    return Send(orjson.dumps(message, default=dict).decode())


def audio_frame(pcm: Pcm16, rate: int) -> Send:
    """realtimeInput with samples."""
    blob = {"data": pybase64.b64encode(pcm.astype("<i2").tobytes()).decode(), "mimeType": f"audio/pcm;rate={rate}"}
    return send(realtimeInput={"audio": blob})


def parse(frame: str | bytes) -> Json:
    """The message in a frame, text or binary; empty for what is none."""
    try:
        return as_object(orjson.loads(frame))
    except orjson.JSONDecodeError:
        return {}


def as_object(value: Any) -> Json:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The list, or an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """The string, or an empty one."""
    return value if isinstance(value, str) else ""


def parts(content: Json) -> Iterator[str | tuple[Pcm16, int]]:
    """What the model says in a serverContent: words, or samples and their rate. Thoughts are not said."""
    for part in map(as_object, as_list(as_object(content.get("modelTurn")).get("parts"))):
        if part.get("thought") is True:
            continue
        if text := as_text(part.get("text")):
            yield text
        blob = as_object(part.get("inlineData"))
        kind = as_text(blob.get("mimeType"))
        if kind.startswith("audio/pcm"):
            found = re.search(r"rate=(\d{4,6})", kind)
            rate = int(found[1]) if found else _SPOKEN_RATE
            pcm = _samples(as_text(blob.get("data")))
            if rate in _RATES and len(pcm):
                yield pcm, rate


def _samples(text: str) -> Pcm16:
    try:
        data = pybase64.b64decode(text)
    except ValueError:
        data = b""
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)


def seconds(value: Any) -> float | None:
    """A duration such as ``"50s"``; None for anything else."""
    found = re.fullmatch(r"(\d{1,9}(\.\d{1,9})?)s", as_text(value))
    return float(found[1]) if found else None


def usage(metadata: Json) -> e.TokenUsage:
    """usageMetadata: tokens by modality where they are told, else all of them as text."""
    heard = _tokens(_by_modality(metadata.get("promptTokensDetails"), "AUDIO"))
    spoken = _tokens(_by_modality(metadata.get("responseTokensDetails"), "AUDIO"))
    prompt, answer = _tokens(metadata.get("promptTokenCount")), _tokens(metadata.get("responseTokenCount"))
    return e.TokenUsage(
        input_text=max(0, prompt - heard) + _tokens(metadata.get("toolUsePromptTokenCount")),
        input_audio=heard,
        cached=min(prompt, _tokens(metadata.get("cachedContentTokenCount"))),
        output_text=max(0, answer - spoken) + _tokens(metadata.get("thoughtsTokenCount")),
        output_audio=spoken,
    )


def _by_modality(details: Any, modality: str) -> int:
    found = [as_object(one) for one in as_list(details)]
    return sum(_tokens(one.get("tokenCount")) for one in found if one.get("modality") == modality)


def _tokens(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS else 0


def ended(reason: str, key: str, *, new: bool = False, resumed: bool = False) -> Ended:
    """What the reason of a close, or the body of a refused handshake, means. new: the session was not set up yet, so
    that what it was set up with is at fault. resumed: nor was it, and what it was to resume may be at fault."""
    text = reason.lower()
    shown = (reason.replace(key, "***") if key else reason)[:200] or "the connection broke"
    for code, words in _FATAL:
        # "Deadline expired" is no expired key, and a handle that "is not found" no model.
        if any(word in text for word in words) and not (resumed and code == _NO_MODEL):
            return Ended(False, shown, code)
    return Ended(not (new and any(word in text for word in _BAD_REQUEST)), shown)
