"""What the voice learns from, on disk: sentences spoken by the teacher, aligned and analysed, and batches of them.

What a shard holds follows from the seed and its number, so that generation can be broken off, resumed and shared by
processes: a fresh one for each shard, because what espeak-ng has said before leaves traces of a few milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.training.stt.plan import LANGUAGES, held_out, sentence
from scripts.training.tts.alignment import MOST_MISMATCHES, align
from scripts.training.tts.analysis import CHANNELS, analyse
from scripts.training.tts.teacher import VOICES, Teacher, TeacherError, teacher

SHARD = 100
MOST_FRAMES = 1000
"""11.6 s."""
KINDS = {"assistant": 0.26, "caller": 0.18, "everyday": 0.18, "words": 0.24, "numbers": 0.08, "spelling": 0.06}
DESCRIPTIONS = Path(__file__).parents[3] / "models" / "bundled" / "tts"
NAMES = tuple(VOICES)
"""The number of a language is its place."""


@dataclass(frozen=True, slots=True)
class Example:
    """ids: [n] of begin mark, symbols and end mark. frames: [n] of each. targets: [sum(frames), CHANNELS]."""

    language: int
    ids: NDArray[np.int64]
    frames: NDArray[np.int64]
    targets: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Batch:
    """ids, frames: [rows, n], padded with 0. targets: [rows, CHANNELS, longest]. lengths: [rows] symbols."""

    languages: NDArray[np.int64]
    ids: NDArray[np.int64]
    frames: NDArray[np.int64]
    lengths: NDArray[np.int64]
    targets: NDArray[np.float32]


def description(voice: str) -> dict[str, Any]:
    """Piper's description of a voice: its table of symbols and how its texts are read."""
    found: dict[str, Any] = json.loads((DESCRIPTIONS / f"{voice}.onnx.json").read_text(encoding="utf-8"))
    return found


@lru_cache(maxsize=len(VOICES))
def _reader(voice: str) -> Any:
    from piper import PiperConfig, PiperVoice

    return PiperVoice(session=None, config=PiperConfig.from_dict(description(voice)))


def example(text: str, voice: str, speaker: Teacher) -> Example | None:
    """One sentence, or None for what is not to be learnt from: two sentences, too long, or spoken otherwise than it is
    spelt. Raises TeacherError."""
    read = _reader(voice).phonemize(text)
    known = description(voice)["phoneme_id_map"]
    if len(read) != 1 or not (symbols := [symbol for symbol in read[0] if symbol in known]):
        return None
    spoken = speaker.speak(text, voice)
    aligned = align(symbols, spoken.events, len(spoken.samples))
    targets = analyse(spoken.samples)
    if aligned.mismatches > MOST_MISMATCHES or len(targets) > MOST_FRAMES:
        return None
    ids = [known[symbol][0] for symbol in ("^", *symbols, "$")]
    return Example(NAMES.index(voice), np.array(ids), aligned.frames, targets.astype(np.float16))


def sentences(seed: int) -> Iterator[tuple[str, str]]:
    """(text, voice) without end; none is held out."""
    rng = Random(seed)
    codes = {voice: voice.split("_")[0] for voice in VOICES}
    while True:
        voice = rng.choice(NAMES)
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        text = sentence(LANGUAGES[codes[voice]], kind, rng)
        if not held_out(text):
            yield text, voice


def write_shard(folder: Path, seed: int, number: int, size: int = SHARD) -> Path:
    """Make one shard of so many sentences unless it is there. Raises TeacherError when most cannot be used."""
    path = folder / f"{number:04d}.npz"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Example] = []
    with teacher() as speaker:
        for tried, (text, voice) in enumerate(sentences(seed * 100_003 + number), 1):
            found = example(text, voice, speaker)
            if found is not None:
                made.append(found)
            if len(made) == size:
                break
            if tried > 5 * size:
                raise TeacherError(f"of {tried} sentences {len(made)} could be used")
    # Whole when it has its name.
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(
            file,
            languages=np.array([one.language for one in made]),
            lengths=np.array([len(one.ids) for one in made]),
            ids=np.concatenate([one.ids for one in made]),
            frames=np.concatenate([one.frames for one in made]),
            targets=np.concatenate([one.targets for one in made]),
        )
    partial.replace(path)
    return path


def read_shards(folder: Path) -> list[Example]:
    """All complete shards, in order. Raises FileNotFoundError when there is none."""
    examples: list[Example] = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as found:
            ends = np.cumsum(found["lengths"])
            all_ids, all_frames, targets = found["ids"], found["frames"], found["targets"]
            start = frame = 0
            for language, end in zip(found["languages"], ends, strict=True):
                frames = all_frames[start:end]
                count = int(frames.sum())
                examples.append(Example(int(language), all_ids[start:end], frames, targets[frame : frame + count]))
                start, frame = int(end), frame + count
    if not examples:
        raise FileNotFoundError(f"{folder} holds no examples yet")
    return examples


def statistics(examples: Sequence[Example]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(mean, deviation) of each channel; voicing stays as it is."""
    every = np.concatenate([one.targets for one in examples]).astype(np.float32)
    mean, deviation = every.mean(0), every.std(0)
    mean[-1], deviation[-1] = 0, 1
    return mean, np.maximum(deviation, 1e-3)


def batches(examples: Sequence[Example], rows: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Each example once, those of like length together, in random order."""
    jitter = rng.uniform(0.9, 1.1, len(examples))
    order = np.argsort([len(one.targets) * share for one, share in zip(examples, jitter, strict=True)])
    groups = [order[start : start + rows] for start in range(0, len(order), rows)]
    for index in rng.permutation(len(groups)):
        yield _batch([examples[int(place)] for place in groups[int(index)]])


def _batch(group: Sequence[Example]) -> Batch:
    lengths = np.array([len(one.ids) for one in group])
    longest = max(len(one.targets) for one in group)
    ids, frames = (np.zeros((len(group), int(lengths.max())), np.int64) for _ in range(2))
    targets = np.zeros((len(group), CHANNELS, longest), np.float32)
    for row, one in enumerate(group):
        ids[row, : len(one.ids)] = one.ids
        frames[row, : len(one.ids)] = one.frames
        targets[row, :, : len(one.targets)] = one.targets.T
    return Batch(np.array([one.language for one in group]), ids, frames, lengths, targets)
