"""Make the bundled voices: one network that learns from espeak-ng how English and German sound, on one CPU thread.

    python scripts/train_tiny_tts.py train --out FOLDER              # both voices, in Piper's format
    python scripts/train_tiny_tts.py train --out FOLDER --quick      # less than a minute: it loads and mumbles
    python scripts/train_tiny_tts.py examine FOLDER ...              # speed, and words read back by the transcriber

Needs espeak-ng, with its library, and the extra "train" (torch). What was begun goes on when started again with the
same --work.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table

from scripts.training import command
from scripts.training.tts.examples import SHARD, read_shards, write_shard

if TYPE_CHECKING:
    from scripts.training.tts.evaluate import Score

TRANSCRIBER = Path(__file__).resolve().parents[1] / "models" / "bundled" / "stt" / "tiny"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything: the real thing, or --quick. size: what the network has otherwise than Size says."""

    shards: int = 30
    shard: int = SHARD
    steps: int = 1800
    rows: int = 16
    size: dict[str, int | tuple[int, ...]] = field(default_factory=dict)


QUICK = Scale(
    shards=2, shard=20, steps=60, rows=8, size={"width": 48, "encoder": (1, 2), "durations": (1,), "decoder": (1, 2, 4)}
)


def train(arguments: argparse.Namespace) -> None:
    """Speak, train, export."""
    import torch

    from scripts.training.tts import train as tts
    from scripts.training.tts.export import export
    from scripts.training.tts.network import Size

    torch.set_num_threads(1)
    scale = QUICK if arguments.quick else Scale()
    scale = replace(scale, shards=arguments.shards or scale.shards)
    work = command.work_folder(arguments)
    command.speak_shards(
        write_shard,
        work / "data",
        seed=arguments.seed,
        shards=scale.shards,
        length=scale.shard,
        workers=arguments.workers,
        fresh=True,
    )
    examples = read_shards(work / "data")
    settings = tts.Settings(
        steps=arguments.steps or scale.steps, minutes=arguments.minutes, rows=scale.rows, seed=arguments.seed
    )
    size = Size(**scale.size)  # type: ignore[arg-type]
    network, progress = command.watched(lambda report: tts.train(examples, work, size, settings, report))
    export(network, {int(one) for example in examples for one in example.ids}, arguments.out)
    parameters = sum(one.numel() for one in network.parameters())
    minutes = sum(len(one.targets) for one in examples) * 256 / 22_050 / 60
    print(f"{arguments.out}: {parameters:,} parameters, trained on {len(examples)} sentences, {minutes:.1f} minutes")
    for step, losses in progress.held_out:
        print(f"held out, step {step}:", "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items()))


def examine(arguments: argparse.Namespace) -> None:
    """Print the figures of each folder's voices, and the teacher's."""
    from scripts.training.stt.evaluate import Recogniser
    from scripts.training.tts.evaluate import evaluation_sentences, read_back, teachers, voices_in
    from scripts.training.tts.teacher import teacher

    recogniser = Recogniser(arguments.transcriber)
    texts = list(evaluation_sentences(arguments.seed, arguments.count))
    with teacher() as speaker:
        scores = {"espeak-ng": read_back(teachers(speaker), recogniser, texts)}
    for folder in arguments.voices:
        scores[str(folder)] = read_back(voices_in(folder), recogniser, texts)
    Console().print(table(scores))


def table(scores: dict[str, dict[str, Score]]) -> Table:
    """A row for each voice of each folder."""
    made = Table("voices", "voice", "words read back wrong", "of", "processor time for a second of speech")
    for folder, voices in scores.items():
        for voice, score in voices.items():
            made.add_row(folder, voice, f"{score.rate:.1%}", str(score.words), f"{score.factor * 1000:.1f} ms")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="make a folder of voices")
    command.add_training_options(one, "hundreds of sentences")
    one.set_defaults(run=train)
    one = commands.add_parser("examine", help="held-out figures")
    one.add_argument("voices", type=Path, nargs="*", help="folders of voices")
    one.add_argument("--transcriber", type=Path, default=TRANSCRIBER, help="Whisper folder that reads back")
    one.add_argument("--count", type=int, default=20, help="sentences of each kind and language")
    one.add_argument("--seed", type=int, default=1_000_003)
    one.set_defaults(run=examine)
    return command.run(parser)


if __name__ == "__main__":
    sys.exit(main())
