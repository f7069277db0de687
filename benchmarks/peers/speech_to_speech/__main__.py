"""Starts the peer and prints its URL, until Ctrl-C."""

from __future__ import annotations

from benchmarks.peers import command
from benchmarks.peers.speech_to_speech.process import VARIANTS, run


def main() -> None:
    parser = command.parser("speech_to_speech", VARIANTS)
    parser.add_argument("--callers", type=int, default=1, help="so many at once, each with models of its own")
    arguments = parser.parse_args()
    command.serve(run(arguments.variant, arguments.callers))


if __name__ == "__main__":
    main()
