"""A WebSocket echo in a process of its own: under uvicorn with one of its implementations and event loops, or on
picows, which speaks no ASGI, to compare."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from benchmarks.idle import Listener, frame
from benchmarks.process import Server, held_port

PICOWS = "picows"
PROTOCOLS = ("websockets-sansio", "wsproto", "websockets", PICOWS)
LOOPS = ("uvloop", "asyncio")
_PIECE_S = 0.02
_FRAME = frame(b'{"type":"input_audio_buffer.append","audio":"' + base64.b64encode(bytes(range(240)) * 4) + b'"}')


async def echo(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
    """The ASGI application: the first message says that it is open, then each one comes back."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "session.created"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})


async def serve_picows(port: int) -> None:
    """The same echo, until the process is ended."""
    import picows

    class Echo(picows.WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: Any) -> None:
            transport.send(picows.WSMsgType.TEXT, b"session.created")

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())

    server = await picows.ws_create_server(lambda request: Echo(), "127.0.0.1", port)
    await server.serve_forever()


class Echoed(Listener):
    """A socket that sends 50 appends a second and lets what comes back pass."""

    async def listen(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        end = due + seconds
        while due < end:
            await asyncio.sleep(due - loop.time())
            self._transport.write(_FRAME)
            due += _PIECE_S


async def echo_cost(protocol: str, loop_name: str, sockets: int, seconds: float) -> float | None:
    """CPU seconds of the server for one message in and the same out; None where the implementation is not installed."""
    if importlib.util.find_spec(protocol.partition("-")[0]) is None:
        return None
    with _running(protocol, loop_name) as server:
        loop = asyncio.get_running_loop()
        callers: list[Echoed] = []
        for _ in range(sockets):
            _, caller = await loop.create_connection(lambda: Echoed(server.port), "127.0.0.1", server.port)
            await caller.open
            callers.append(caller)
        await asyncio.gather(*(caller.listen(1) for caller in callers))
        before = server.cpu_s()
        await asyncio.gather(*(caller.listen(seconds) for caller in callers))
        spent = server.cpu_s() - before
        for caller in callers:
            caller.close()
    return spent / (sockets * seconds / _PIECE_S)


@contextmanager
def _running(protocol: str, loop_name: str) -> Iterator[Server]:
    with held_port() as port:
        command = [sys.executable, "-m", "benchmarks.sockets", str(port), loop_name]
        if protocol != PICOWS:
            # uvicorn's older implementation warns of its own end.
            command = [sys.executable, "-W", "ignore", "-m", "uvicorn", "benchmarks.sockets:echo", "--port", str(port)]
            command += ["--ws", protocol, "--loop", loop_name, "--log-level", "error", "--no-access-log"]
            command += ["--ws-per-message-deflate", "false"]
        process = subprocess.Popen(command)
        try:
            started = time.monotonic()
            while not _answers(port):
                if process.poll() is not None:
                    raise RuntimeError(f"the echo ended with exit code {process.returncode}")
                time.sleep(0.05)
            yield Server(process.pid, port, time.monotonic() - started)
        finally:
            process.terminate()
            process.wait(30)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, TimeoutError):
        return False


if __name__ == "__main__":
    if sys.argv[2] == "uvloop":
        uvloop.run(serve_picows(int(sys.argv[1])))
    else:
        asyncio.run(serve_picows(int(sys.argv[1])))
