"""Starts the peer and prints its URL, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys

from benchmarks.peers.pipecat.process import VARIANTS, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.pipecat", description=__doc__)
    parser.add_argument("--variant", choices=VARIANTS, default="default", help="Pipecat's settings, or ours by hand")
    parser.add_argument("--hold-ms", type=int, default=500, help="silence that ends a turn of the tuned variant")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with run(arguments.variant, arguments.hold_ms) as peer:
            print(peer.url, flush=True)
            signal.pause()
    except FileNotFoundError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
