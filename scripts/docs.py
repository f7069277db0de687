"""Writes the parts of the documentation that are made from code: `python scripts/docs.py`; --check only compares."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from server.core.turns import TRANSITIONS  # noqa: E402  the project's root must be on the path first

_PAGE = ROOT / "docs" / "architecture.md"
_BEGIN, _END = "<!-- turn diagram: begin -->\n", "<!-- turn diagram: end -->"


def turn_diagram() -> str:
    """The life of a turn as a Mermaid state diagram."""
    rows = [f"    {old.value} --> {new.value}: {event.value}" for (old, event), new in TRANSITIONS.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> idle", *rows, "```", ""])


def written(page: str) -> str:
    """The page with its diagram made anew. Raises ValueError when the marks are not there."""
    before, found, rest = page.partition(_BEGIN)
    _, found_end, after = rest.partition(_END)
    if not found or not found_end:
        raise ValueError(f"{_PAGE.name} has lost the marks around its turn diagram")
    return f"{before}{_BEGIN}{turn_diagram()}{_END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the page is stale, write nothing")
    check = parser.parse_args().check
    page = _PAGE.read_text()
    new = written(page)
    if check and new != page:
        print("docs/architecture.md is stale: run scripts/docs.py", file=sys.stderr)
        return 1
    if not check:
        _PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
