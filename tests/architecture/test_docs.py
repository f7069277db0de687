"""Pages that are made from code say what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_turn_diagram_is_the_table():
    subprocess.run([sys.executable, ROOT / "scripts" / "docs.py", "--check"], check=True, timeout=240)
