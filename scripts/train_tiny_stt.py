"""Make the bundled tiny Whisper: from the speech of espeak-ng, flite and the bundled voices alone, on one CPU thread.

    python scripts/train_tiny_stt.py train --out FOLDER                  # from nothing
    python scripts/train_tiny_stt.py train --start GIVEN --out FOLDER    # go on from a narrower or equal model
    python scripts/train_tiny_stt.py train --out FOLDER --quick          # about a minute: loads, understands nothing
    python scripts/train_tiny_stt.py examine FOLDER ...                  # held-out figures, one column a model

Needs espeak-ng, flite and the extra "train" (torch). What was begun goes on when started again with the same --work.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from scripts.training import command
from scripts.training.stt.evaluate import Figures, Recogniser, Score, evaluate, evaluation_set
from scripts.training.stt.plan import sentences_in, utterances
from scripts.training.stt.shards import SHARD, read_shards, write_shard
from scripts.training.stt.tokens import CHARACTERS, PIECES, sentences_only, train_tokenizer, trained_rows

_SENTENCES_FOR_PIECES = 40_000


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything: the real thing, or --quick."""

    shards: int = 24
    shard: int = SHARD
    pieces: int = PIECES
    sentences: int = _SENTENCES_FOR_PIECES
    width: int = 192
    heads: int = 3
    encoder_layers: int = 4
    decoder_layers: int = 2
    steps: int = 3000
    frames: int = 12_000


QUICK = Scale(
    shards=2,
    shard=60,
    pieces=400,
    sentences=500,
    width=64,
    heads=1,
    encoder_layers=1,
    decoder_layers=1,
    steps=40,
    frames=3000,
)


def make_tokenizer(path: Path, seed: int, scale: Scale, start: Path | None) -> Tokenizer:
    """The tokenizer of the model to start from, that of the work folder, or a new one. Raises FileNotFoundError."""
    if start is not None:
        if not (start / "tokenizer.json").is_file():
            raise FileNotFoundError(f"--start {start}: no tokenizer.json is there")
        return Tokenizer.from_file(str(start / "tokenizer.json"))
    if not path.is_file():
        texts = (utterance.text for utterance in utterances(seed, scale.sentences))
        train_tokenizer(sentences_only(texts), scale.pieces).save(str(path))
    return Tokenizer.from_file(str(path))


def train(arguments: argparse.Namespace) -> None:
    """Speak, train, export."""
    import torch

    from scripts.training.stt import train as stt
    from scripts.training.stt.export import export
    from scripts.training.stt.given import mix_in, read_weights, start_from
    from scripts.training.stt.network import Size, Whisper

    torch.set_num_threads(1)
    scale = QUICK if arguments.quick else Scale()
    scale = replace(scale, shards=arguments.shards or scale.shards)
    work = command.work_folder(arguments)
    tokenizer = make_tokenizer(work / "tokenizer.json", arguments.seed, scale, arguments.start)
    size = Size(
        scale.width,
        scale.heads,
        scale.encoder_layers,
        scale.decoder_layers,
        trained_rows(tokenizer),
        len(CHARACTERS) + 1,
    )
    settings = stt.Settings(
        steps=arguments.steps or scale.steps,
        minutes=arguments.minutes,
        frames=scale.frames,
        seed=arguments.seed,
        matrix_rate=arguments.rate,
        other_rate=arguments.rate,
    )
    start: Callable[[Whisper], None] | None = None
    if arguments.start:
        weights = read_weights(arguments.start / "model.bin")

        def start(network: Whisper) -> None:
            start_from(network, weights, arguments.seed)

    command.speak_shards(
        write_shard,
        work / "data",
        seed=arguments.seed,
        shards=scale.shards,
        length=scale.shard,
        workers=arguments.workers,
    )
    network = command.watched(lambda report: stt.train(work / "data", work, tokenizer, size, settings, report, start))
    if arguments.start and arguments.keep:
        mix_in(network, weights, arguments.keep, arguments.seed)
    export(network, tokenizer, arguments.out)
    heard, _ = read_shards(work / "data")
    print(f"{arguments.out}: trained on {len(heard)} utterances, {sum(len(e.mel) for e in heard) / 360_000:.1f} h")


def examine(arguments: argparse.Namespace) -> None:
    """Print the figures of each model side by side."""
    trained = {
        one
        for folder in arguments.without
        for example in read_shards(folder)[0]
        for one in long_sentences(example.text)
    }
    sentences = list(evaluation_set(arguments.seed, arguments.count, trained))
    figures = {folder: evaluate(Recogniser(folder), sentences) for folder in arguments.models}
    Console().print(table(figures))
    if arguments.show:
        for (said, *_), *heard in zip(*[[*one.samples] for one in figures.values()], strict=False):
            print(said, *(text for _, text in heard), sep="\n    ")


def long_sentences(text: str) -> list[str]:
    """Those that may be held out; shorter ones are in every training."""
    return [one for one in sentences_in(text) if one.count(" ") >= 5]


def table(figures: dict[Path, Figures]) -> Table:
    """Word error rates, languages, time and false words: a row each, a column a model."""
    made = Table("set", "language", "line", *(f"{folder.parent.name}/{folder.name}" for folder in figures))
    first = next(iter(figures.values()))
    for key in first.scores:
        made.add_row(*key, *(f"{one.scores[key].rate:.1%}" for one in figures.values()))
    scores = [list(one.scores.values()) for one in figures.values()]
    made.add_row(
        "language right", "", "", *(f"{_mean(one, lambda score: score.languages_right):.1%}" for one in scores)
    )
    made.add_row("ms a decode", "", "", *(f"{_mean(one, lambda score: score.seconds) * 1000:.0f}" for one in scores))
    for sound in first.false_words:
        made.add_row("false words in 80 s", "", sound, *(str(one.false_words[sound]) for one in figures.values()))
    return made


def _mean(scores: Sequence[Score], part: Callable[[Score], float]) -> float:
    return sum(map(part, scores)) / sum(score.utterances for score in scores)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="make a model folder")
    command.add_training_options(one, "thousands of utterances")
    one.add_argument("--start", type=Path, help="model folder to begin with")
    one.add_argument("--keep", type=float, default=0.0, help="share of --start's weights in the result, 0 to 1")
    one.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate; less with --start")
    one.set_defaults(run=train)
    one = commands.add_parser("examine", help="held-out figures")
    one.add_argument("models", type=Path, nargs="+", help="model folders")
    one.add_argument("--count", type=int, default=40, help="sentences of each kind and language")
    one.add_argument("--seed", type=int, default=1_000_003)
    one.add_argument(
        "--without",
        type=Path,
        nargs="*",
        default=[],
        help="data folders whose sentences are left out of the evaluation",
    )
    one.add_argument("--show", action="store_true", help="print what was said and heard")
    one.set_defaults(run=examine)
    return command.run(parser)


if __name__ == "__main__":
    sys.exit(main())
