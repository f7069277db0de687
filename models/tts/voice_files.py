"""Piper voices as they lie on disk: ``NAME.onnx`` and its description ``NAME.onnx.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.base import Voice, WeightsError

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Samples a second that a voice may have: those for which there is a resampler to every rate on the wire."""
_KEYS = ("audio", "espeak", "phoneme_id_map", "num_symbols", "num_speakers")


@dataclass(frozen=True, slots=True)
class VoiceFile:
    """A voice and the graph it is in; its description lies beside it."""

    voice: Voice
    path: Path


def find_voices(folder: Path, engine: str) -> list[VoiceFile]:
    """The voices in a folder, by name, English ones first: the first voice speaks to callers whose language nobody
    knows yet. Raises WeightsError, which names the file at fault."""
    models = sorted(folder.glob("*.onnx"))
    if not models:
        raise damaged(engine, folder, "there is no *.onnx voice in it")
    return sorted((_read(model, engine) for model in models), key=lambda file: file.voice.language != "en")


def damaged(engine: str, path: Path, reason: str) -> WeightsError:
    """The error that says what is wrong with a file of a voice."""
    return WeightsError(engine, f"{path}: {reason}")


def read_description(model: Path) -> dict[str, Any]:
    """The description of a voice. Raises OSError or ValueError."""
    found = json.loads(Path(f"{model}.json").read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    if missing := [key for key in _KEYS if key not in found]:
        raise ValueError(f"no {missing[0]!r} in it")
    return found


def language_of(description: dict[str, Any]) -> str:
    """ISO 639-1 of the voice: its own word, else that of the espeak voice that reads for it."""
    said = description.get("language", {}).get("code") or description["espeak"]["voice"]
    return str(said).replace("_", "-").split("-")[0].lower()


def _read(model: Path, engine: str) -> VoiceFile:
    described = Path(f"{model}.json")
    try:
        description = read_description(model)
        rate = description["audio"]["sample_rate"]
        if rate not in RATES:
            raise damaged(engine, described, f"a sample rate of {rate!r} is none of {', '.join(map(str, RATES))}")
        return VoiceFile(Voice(model.name.removesuffix(".onnx"), language_of(description), rate), model)
    except FileNotFoundError:
        raise damaged(engine, described, "it is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(engine, described, f"it cannot be read ({error})") from error
