"""Log-mel features on disk: flat half-precision frames in one file, what was said beside it in another.

What a shard holds follows from the seed and its number (but for the noise in Piper's voices), so that generation can
be broken off, resumed and shared by processes, and the training can begin with the shards that are ready.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.training.stt.plan import utterances
from scripts.training.stt.speech import BANDS, MAX_SECONDS, UnspokenError, log_mel, sound

SHARD = 1000
_FRAMES_PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class Example:
    """mel: [frames, 80], log10 of mel power as half-precision, on disk until it is read."""

    mel: NDArray[np.float16]
    text: str
    language: str
    kind: str


def write_shard(folder: Path, seed: int, number: int, size: int = SHARD) -> Path:
    """Make one shard unless it is there. Sentences longer than the window are left out.

    Returns its index file. Raises UnspokenError when more than one in twenty has no sound.
    """
    index = folder / f"{number:04d}.json"
    if index.is_file():
        return index
    folder.mkdir(parents=True, exist_ok=True)
    items: list[dict[str, object]] = []
    frames: list[NDArray[np.float16]] = []
    complaints: list[str] = []
    for utterance in utterances(seed * 100_003 + number, size):
        try:
            mel = log_mel(sound(utterance))
        except UnspokenError as error:
            complaints.append(str(error))
            continue
        if len(mel) > MAX_SECONDS * _FRAMES_PER_SECOND:
            continue
        frames.append(mel)
        items.append(
            {"text": utterance.text, "language": utterance.language, "kind": utterance.kind, "frames": len(mel)}
        )
    if len(complaints) > size / 20:
        raise UnspokenError(f"{len(complaints)} of {size} sentences have no sound; the last: {complaints[-1]}")
    np.concatenate(frames).tofile(folder / f"{number:04d}.f16")
    # The index is written last and whole: a shard that has one is complete.
    partial = index.with_suffix(".part")
    partial.write_text(json.dumps(items, ensure_ascii=False), encoding="utf-8")
    partial.replace(index)
    return index


def read_shards(folder: Path, known: Sequence[Path] = ()) -> tuple[list[Example], list[Path]]:
    """The examples of all complete shards but those in ``known``, and the index files of all."""
    examples: list[Example] = []
    indices = sorted(folder.glob("*.json"))
    for index in indices:
        if index in known:
            continue
        frames = np.memmap(index.with_suffix(".f16"), np.float16, "r").reshape(-1, BANDS)
        start = 0
        for item in json.loads(index.read_text(encoding="utf-8")):
            end = start + item["frames"]
            examples.append(Example(frames[start:end], item["text"], item["language"], item["kind"]))
            start = end
    return examples, indices
