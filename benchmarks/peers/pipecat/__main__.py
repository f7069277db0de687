"""Starts the peer and prints its URL, until Ctrl-C."""

from __future__ import annotations

from benchmarks.peers import command
from benchmarks.peers.pipecat.process import VARIANTS, run


def main() -> None:
    parser = command.parser("pipecat", VARIANTS)
    parser.add_argument("--hold-ms", type=int, default=500, help="silence that ends a turn of the tuned variant")
    arguments = parser.parse_args()
    command.serve(run(arguments.variant, arguments.hold_ms))


if __name__ == "__main__":
    main()
