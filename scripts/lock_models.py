"""Write models/bundled/models.lock: size and SHA-256 of the bundled weights. Run it after changing one of them.

python scripts/lock_models.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.catalog import BUNDLED, entries
from models.lock import LockedEntry, measure, write_lock

TEXTS = {".md", ""}
"""Model cards, recipes and licences beside the weights may be edited without making anybody's weights invalid."""


def weights_of(bundled: str) -> list[str]:
    """Paths below the bundled folder."""
    place = BUNDLED / bundled
    found = [place] if place.is_file() else place.rglob("*")
    return [path.relative_to(BUNDLED).as_posix() for path in found if path.is_file() and path.suffix not in TEXTS]


def main() -> int:
    locked = {}
    for entry in entries().values():
        if entry.bundled is not None:
            files = weights_of(entry.bundled)
            if not files:
                raise SystemExit(f"models/bundled/{entry.bundled} holds no weights")
            locked[entry.name] = LockedEntry(None, measure(BUNDLED, files))
    write_lock(BUNDLED, locked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
