"""A report as Markdown (GitHub's): the same sections and tables; charts are left out, tables hold their numbers."""

from __future__ import annotations

import re

from benchmarks.report.document import Block, Chart, Code, Document, Items, Table, Text


def render(document: Document) -> str:
    """Text of servers is shown as it is, and makes no markup."""
    lines = [f"# {escaped(document.title)}"]
    for section in document.sections:
        lines += ["", f"## {escaped(section.title)}"]
        for block in section.blocks:
            lines += _lines(block)
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Every character that could mean something to Markdown or HTML stands for itself."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|#~!])", r"\\\1", text)
    # A bare address would become a link.
    return re.sub(r"(https?|wss?|www)(?=[:.])", r"\1&#8203;", text)


def _lines(block: Block) -> list[str]:
    match block:
        case Table():
            return _table(block)
        case Text(text=text):
            return ["", escaped(text)]
        case Items(items=items):
            return ["", *(f"- {escaped(item)}" for item in items)]
        case Code(text=text):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            return ["", fence, text, fence]
        case Chart():
            return []


def _table(table: Table) -> list[str]:
    lines = ["", f"**{escaped(table.title)}**"] if table.title else []
    lines += ["", _row(table.head), "| --- |" + (" ---: |" if table.numeric else " --- |") * (len(table.head) - 1)]
    lines += [_row(row) for row in table.rows]
    return [*lines, "", escaped(table.note)] if table.note else lines


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"
