"""`python -m benchmarks report`: make one page of result files, with servers side by side, and the same as Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import html, markdown
from benchmarks.report.columns import columns
from benchmarks.report.document import Document
from benchmarks.report.sections import document
from benchmarks.results import ResultError, Results, read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", type=Path, help="result files, e.g. results/*.json")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="page to write; .md comes beside it")


def main(arguments: argparse.Namespace) -> int:
    """0. Raises ResultError for a file that cannot be read."""
    try:
        runs = [read(path) for path in arguments.results]
    except OSError as error:
        raise ResultError(f"{error.filename}: {error.strerror}") from None
    for path in write(report(runs), arguments.out):
        print(path)
    return 0


def report(runs: Sequence[Results]) -> Document:
    """Side by side, in the order given."""
    return document(runs, columns(runs))


def write(made: Document, page: Path) -> tuple[Path, Path]:
    """The page, and the Markdown beside it; whatever ending the page's name has, it gets .html."""
    page = page.with_suffix(".html")
    page.parent.mkdir(parents=True, exist_ok=True)
    beside = page.with_suffix(".md")
    page.write_text(html.render(made))
    beside.write_text(markdown.render(made))
    return page, beside
