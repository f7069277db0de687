"""``python -m server`` is the ``kammerton`` command."""

from server.cli import main

main()
