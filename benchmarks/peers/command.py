"""`python -m benchmarks.peers.NAME`: starts a peer and prints its URL, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import AbstractContextManager

from benchmarks.process import Server


def serve(started: AbstractContextManager[Server]) -> None:
    """Leaves with the reason where the peer is not installed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with started as peer:
            print(peer.url, flush=True)
            signal.pause()
    except FileNotFoundError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        return


def parser(name: str, variants: tuple[str, ...]) -> argparse.ArgumentParser:
    """With what all peers take."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.peers.{name}", description=__doc__)
    parser.add_argument("--variant", choices=variants, default="default", help="its own settings, or ours by hand")
    return parser
