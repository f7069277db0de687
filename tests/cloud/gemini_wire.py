"""What a Gemini Live server takes from its clients: field names in either style, one member a message, and the reasons
it closes with."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

INVALID, POLICY, INTERNAL = 1007, 1008, 1011
"""Close codes: invalid argument; policy, or what is not there; internal, quota and deadlines."""

Json = dict[str, Any]

ANYTHING: Mapping[str, Any] = {}
_VOICE = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": str}}, "languageCode": str}
_PART = {
    "text": str,
    "thought": bool,
    "inlineData": {"mimeType": str, "data": str},
    "functionCall": ANYTHING,
    "functionResponse": ANYTHING,
}
_CONTENT = {"role": str, "parts": [_PART]}
_FUNCTION = {
    "name": str,
    "description": str,
    "parameters": ANYTHING,
    "parametersJsonSchema": ANYTHING,
    "behavior": str,
}
_TOOL = {"functionDeclarations": [_FUNCTION], "googleSearch": ANYTHING, "codeExecution": ANYTHING}
_TRANSCRIPTION = {
    "languageCodes": [str],
    "customVocabulary": ANYTHING,
    "wordTimestamp": bool,
    "diarization": bool,
    "mode": str,
}
_SETUP = {
    "model": str,
    "generationConfig": {
        "responseModalities": [str],
        "speechConfig": _VOICE,
        "temperature": float,
        "topP": float,
        "topK": float,
        "maxOutputTokens": int,
        "seed": int,
        "mediaResolution": str,
        "thinkingConfig": {"thinkingBudget": int, "includeThoughts": bool, "thinkingLevel": str},
        "enableAffectiveDialog": bool,
    },
    "systemInstruction": _CONTENT,
    "tools": [_TOOL],
    "realtimeInputConfig": {
        "automaticActivityDetection": {
            "disabled": bool,
            "startOfSpeechSensitivity": str,
            "endOfSpeechSensitivity": str,
            "prefixPaddingMs": int,
            "silenceDurationMs": int,
        },
        "activityHandling": str,
        "turnCoverage": str,
    },
    "inputAudioTranscription": _TRANSCRIPTION,
    "outputAudioTranscription": _TRANSCRIPTION,
    "sessionResumption": {"handle": str, "transparent": bool},
    "contextWindowCompression": {"triggerTokens": (int, str), "slidingWindow": {"targetTokens": (int, str)}},
    "proactivity": {"proactiveAudio": bool},
    "historyConfig": {"initialHistoryInClientContent": bool},
    "explicitVadSignal": bool,
    "safetySettings": [ANYTHING],
    "labels": ANYTHING,
    "avatarConfig": ANYTHING,
}
_BLOB = {"data": str, "mimeType": str}
_MESSAGES: Mapping[str, Mapping[str, Any]] = {
    "setup": _SETUP,
    "realtimeInput": {
        "audio": _BLOB,
        "video": _BLOB,
        "text": str,
        "activityStart": ANYTHING,
        "activityEnd": ANYTHING,
        "audioStreamEnd": bool,
        "mediaChunks": [_BLOB],
    },
    "clientContent": {"turns": [_CONTENT], "turnComplete": bool},
    "toolResponse": {
        "functionResponses": [
            {"id": str, "name": str, "response": ANYTHING, "scheduling": str, "willContinue": bool},
        ]
    },
    "contextUpdate": {"systemInstruction": _CONTENT, "tools": {"tools": [_TOOL]}},
}
_ENUMS = {
    "responseModalities": {"AUDIO", "TEXT"},
    "activityHandling": {"START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"},
    "startOfSpeechSensitivity": {"START_SENSITIVITY_HIGH", "START_SENSITIVITY_LOW"},
    "endOfSpeechSensitivity": {"END_SENSITIVITY_HIGH", "END_SENSITIVITY_LOW"},
    "turnCoverage": {
        "TURN_INCLUDES_ONLY_ACTIVITY",
        "TURN_INCLUDES_ALL_INPUT",
        "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
    },
}


class RefusedError(Exception):
    """The connection ends with this code and reason: the protocol has no error message."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


def read(frame: str | bytes) -> tuple[str, Json]:
    """The one member of a client's message, by its camelCase name, and its checked value."""
    try:
        message = json.loads(frame)
    except ValueError:
        raise RefusedError(INVALID, "Invalid JSON payload received. Unexpected token.") from None
    if not isinstance(message, dict):
        raise RefusedError(INVALID, "Invalid JSON payload received. Root element must be a message.")
    message = {_camel(name): value for name, value in message.items()}
    for name in message:
        if name not in _MESSAGES:
            raise _unknown(name, "")
    if len(message) != 1:
        raise RefusedError(INVALID, "Request contains an invalid argument: exactly one message type must be set.")
    ((name, value),) = message.items()
    return name, _checked(value, _MESSAGES[name], name)


def samples(blob: Json) -> tuple[bytes, int]:
    """PCM16 bytes and their rate."""
    found = re.fullmatch(r"audio/pcm(;rate=(\d+))?", blob.get("mimeType", ""))
    if not found:
        raise RefusedError(INVALID, f"Unsupported mime type: {blob.get('mimeType', '')!r}.")
    try:
        # As protobuf's JSON does: either alphabet, with its padding or without.
        text = blob.get("data", "").translate(str.maketrans("-_", "+/")).rstrip("=")
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise RefusedError(INVALID, "Invalid value at 'realtime_input.audio.data' (TYPE_BYTES): not base64.") from None
    if len(data) % 2:
        raise RefusedError(INVALID, "Request contains an invalid argument: an odd number of bytes of 16-bit audio.")
    return data, int(found[2] or 16_000)


def _checked(value: Any, shape: Any, path: str) -> Any:
    """The value with camelCase names. ANYTHING is any object, kept as it is."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise _invalid(value, path)
        return [_checked(one, shape[0], f"{path}[{index}]") for index, one in enumerate(value)]
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            raise _invalid(value, path)
        if not shape:
            return value
        named = {_camel(name): one for name, one in value.items()}
        for name in named:
            if name not in shape:
                raise _unknown(name, path)
        return {name: _checked(one, shape[name], f"{path}.{name}") for name, one in named.items()}
    kinds = (int, float) if shape is float else shape
    if not isinstance(value, kinds) or (isinstance(value, bool) and shape is not bool):
        raise _invalid(value, path)
    names = _ENUMS.get(re.sub(r"\[\d+\]$", "", path).rpartition(".")[2])
    if names and value not in names:
        raise _invalid(value, path)
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _snake(path: str) -> str:
    return re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), path)


def _unknown(name: str, path: str) -> RefusedError:
    at = f" at '{_snake(path)}'" if path else ""
    return RefusedError(INVALID, f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.')


def _invalid(value: Any, path: str) -> RefusedError:
    return RefusedError(INVALID, f"Invalid value at '{_snake(path)}', {json.dumps(value)[:40]}")
