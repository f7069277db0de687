"""A report as one HTML page: no file besides it, no script; light or dark as the reader's system is."""

from __future__ import annotations

from html import escape
from pathlib import Path

from benchmarks.report.document import Block, Chart, Code, Document, Items, Section, Table, Text

_STYLE = Path(__file__).with_name("report.css")
# Nothing is loaded and nothing runs, whatever a server's words may try.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render(document: Document) -> str:
    """Text of servers is shown as it is, and makes no markup."""
    sections = "".join(_section(number, section) for number, section in enumerate(document.sections))
    links = "".join(
        f'<a href="#s{number}">{escape(section.title)}</a>' for number, section in enumerate(document.sections)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(document.title)}</title><style>{_STYLE.read_text()}</style></head>"
        f"<body><main><h1>{escape(document.title)}</h1><nav>{links}</nav>{sections}</main></body></html>\n"
    )


def _section(number: int, section: Section) -> str:
    blocks = "".join(_block(block) for block in section.blocks)
    return f'<section id="s{number}"><h2>{escape(section.title)}</h2>{blocks}</section>\n'


def _block(block: Block) -> str:
    match block:
        case Table():
            return _table(block)
        case Text(text=text):
            return f"<p>{escape(text)}</p>"
        case Items(items=items):
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
        case Code(text=text):
            return f"<pre><code>{escape(text)}</code></pre>"
        case Chart():
            return _chart(block)


def _chart(chart: Chart) -> str:
    key = "".join(f'<span><i class="{kind}"></i>{escape(name)}</span>' for kind, name in chart.key)
    return (
        f'<figure><figcaption>{escape(chart.title)}</figcaption><div class="key">{key}</div>'
        f'<div class="scroll">{chart.svg}</div></figure>'
    )


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    rows = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in table.rows
    )
    title = f"<h3>{escape(table.title)}</h3>" if table.title else ""
    note = f"<p>{escape(table.note)}</p>" if table.note else ""
    kind = "numbers" if table.numeric else "words"
    whole = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'{title}<div class="scroll">{whole}</div>{note}'
