"""`python -m benchmarks run | density | compare | report`: Realtime servers measured from outside."""

from __future__ import annotations

import argparse
import sys
from types import ModuleType

from rich.console import Console

from benchmarks import compare, density, run
from benchmarks.peer import UsageError
from benchmarks.prices import PriceError
from benchmarks.report import command as report
from benchmarks.results import ResultError
from benchmarks.scenario import ScenarioError

COMMANDS: dict[str, ModuleType] = {"run": run, "density": density, "compare": compare, "report": report}
"""Each has ``add_arguments(parser)`` and ``main(arguments)``, which gives the exit code."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        description = (module.__doc__ or "").partition(": ")[2]
        module.add_arguments(commands.add_parser(name, description=description, help=description.splitlines()[0]))
    arguments = parser.parse_args()
    try:
        code: int = COMMANDS[arguments.command].main(arguments)
    except (UsageError, ScenarioError, PriceError, ResultError) as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
