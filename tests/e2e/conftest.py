"""The server's fixtures are shared with other rooms: they are in tests/conftest.py."""

from tests.server_process import ROOT, Server, start, stop

__all__ = ["ROOT", "Server", "start", "stop"]
