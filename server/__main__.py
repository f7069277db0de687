"""The ``kammerton`` command, also as ``python -m server``."""

from __future__ import annotations

import os


def main() -> None:
    """Run the command."""
    # Read once, when numpy is imported. The matrix products of a live call are small: more threads make them no faster,
    # and wait for each other on a busy machine.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from server.cli import main as command

    command()


if __name__ == "__main__":
    main()
