"""Make the bundled tiny chat model again, from simulated phone calls alone, on one CPU thread.

    python scripts/train_tiny_llm.py train OUT                    # from nothing, tokenizer included
    python scripts/train_tiny_llm.py train OUT --start GIVEN      # go on from a model folder
    python scripts/train_tiny_llm.py train OUT --quick            # about a minute: it loads, and knows little
    python scripts/train_tiny_llm.py examine MODEL [...]         # held-out figures side by side

Needs the extra "train"; "examine" needs only what the server needs. Training that was stopped goes on when started
again with the same --work. OUT holds bfloat16 safetensors, and in OUT/ctranslate2 what the server runs (int8).
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from scripts.training.llm.trainer import State, Trainer

BUNDLED = ROOT / "models" / "bundled" / "llm" / "tiny"
QUICK_SECONDS = 40.0


def train(arguments: argparse.Namespace) -> None:
    """Train, save, convert."""
    import torch

    from scripts.convert_llm import convert
    from scripts.training.llm import store
    from scripts.training.llm.network import ChatNetwork, Shape
    from scripts.training.llm.render import Renderer
    from scripts.training.llm.trainer import Plan, Trainer

    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    quick: bool = arguments.quick
    arguments.work.mkdir(parents=True, exist_ok=True)
    companions = arguments.start or _tokenizer(arguments)
    renderer = Renderer(companions)
    if arguments.start:
        network = store.load(arguments.start, layers=arguments.layers)
    else:
        layers = arguments.layers or (2 if quick else 6)
        network = ChatNetwork(Shape(vocabulary=renderer.tokenizer.get_vocab_size(), layers=layers))
    plan = Plan(
        tokens=int(arguments.million_tokens * 1e6),
        seconds=min(arguments.minutes * 60, QUICK_SECONDS if quick else math.inf),
        matrix_rate=arguments.matrix_rate,
        other_rate=arguments.other_rate,
        batch_tokens=1024 if quick else 4096,
        warm_up=0.0 if arguments.start else 0.3,
        seed=arguments.seed,
    )
    trainer = Trainer(network, renderer, plan, arguments.work / "checkpoint.pt")
    if trainer.resume():
        print(f"going on from {arguments.work / 'checkpoint.pt'}")
    _watched(trainer, arguments.work / "log.txt")
    store.save(network, arguments.out, companions)
    convert(arguments.out, arguments.out / "ctranslate2", "int8")
    print(f"{sum(p.numel() for p in network.parameters()):,} parameters in {arguments.out}")


def _tokenizer(arguments: argparse.Namespace) -> Path:
    """The folder of a tokenizer learned for this training; one from an earlier start is kept."""
    from scripts.training.llm import wordpieces

    folder: Path = arguments.work / "tokenizer"
    if not (folder / "tokenizer.json").is_file():
        wordpieces.learn(arguments.template, folder, dialogues=400 if arguments.quick else 6000, seed=arguments.seed)
    return folder


def _watched(trainer: Trainer, log_file: Path) -> None:
    """Run the training with a progress bar, and a line in the log now and then."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns) as display, log_file.open("a", encoding="utf-8") as log:
        task = display.add_task("training", total=1.0)

        def report(state: State) -> None:
            display.update(task, completed=state.progress, description=str(state))
            if state.step % 50 == 0:
                log.write(f"{state}\n")
                log.flush()

        trainer.run(report)


def examine(arguments: argparse.Namespace) -> None:
    """Print one table for each of the held-out sets, one column for each model."""
    from rich.console import Console
    from rich.table import Table

    from scripts.training.llm import engine
    from scripts.training.llm.examination import SETS, by_turn, held_out, whole_calls

    models = {str(folder): engine.load(folder) for folder in arguments.models}
    console = Console(width=None if sys.stdout.isatty() else 150)
    for name in arguments.sets or SETS:
        dialogues = held_out(name, arguments.calls)
        table = Table("", *models, title=f"{name}, {len(dialogues)} calls")
        scores = []
        for model in models.values():
            whole, failures = whole_calls(dialogues, model)
            scores.append(by_turn(dialogues, model).counts | whole.counts)
            for dialogue, at, answer in failures[: arguments.failures]:
                console.print(f"heard {dialogue.turns[at - 1].text!r}, expected {dialogue.turns[at]}, got {answer}")
        for row in sorted(set().union(*scores)):
            cells = [score.get(row, (0, 0)) for score in scores]
            table.add_row(row, *(f"{good / max(1, count):.1%} ({good}/{count})" for good, count in cells))
        console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="train and write a model folder")
    training.set_defaults(run=train)
    training.add_argument("out", type=Path, help="folder to write")
    training.add_argument("--start", type=Path, help="model folder whose weights and tokenizer to go on from")
    training.add_argument("--template", type=Path, default=BUNDLED, help="folder of the chat template")
    training.add_argument("--work", type=Path, default=Path("train-tiny-llm"), help="checkpoint, log, tokenizer")
    training.add_argument("--layers", type=int, help="6 from nothing, those of --start otherwise; more can be added")
    training.add_argument("--million-tokens", type=float, default=60.0, help="stop after so many, in millions")
    training.add_argument("--minutes", type=float, default=240.0, help="stop after so many, earlier starts included")
    training.add_argument("--matrix-rate", type=float, default=0.008, help="Muon's rate; 0.006 with --start is good")
    training.add_argument("--other-rate", type=float, default=0.002, help="Adam's rate; 0.001 with --start is good")
    training.add_argument("--seed", type=int, default=20261121)
    training.add_argument("--quick", action="store_true", help="about a minute, to see that everything works")
    examining = commands.add_parser("examine", help="put held-out calls to converted models")
    examining.set_defaults(run=examine)
    examining.add_argument("models", type=Path, nargs="+", help="folders that scripts/convert_llm.py wrote")
    examining.add_argument("--calls", type=int, default=100, help="calls in each set")
    examining.add_argument("--sets", nargs="+", help="which sets; all by default")
    examining.add_argument("--failures", type=int, default=0, help="print so many of the calls that went wrong")
    arguments = parser.parse_args()
    arguments.run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
