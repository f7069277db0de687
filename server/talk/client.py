"""The Realtime protocol from the caller's side, over one WebSocket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from server.talk.microphone import Microphone
from server.talk.playback import Playback
from server.talk.turn import Call
from server.talk.wire import FORMATS, TalkError, TalkStartError, WireFormat

DEFAULT_URL = "ws://127.0.0.1:8080/v1/realtime"
_START_TIMEOUT_S = 10.0
_OTHER_NAME = (62, 64)
"""OpenSSL's X509_V_ERR_OTHER_NAME and X509_V_ERR_IP_ADDRESS_MISMATCH."""


@dataclass(frozen=True, slots=True)
class TalkOptions:
    """What the caller wants. key: "" where none is asked for. agent: who is to answer, "" for the server's own
    settings. tools: Realtime function tools. tool_results: what a tool says, as JSON text by name."""

    url: str = DEFAULT_URL
    key: str = field(default="", repr=False)
    agent: str = ""
    format: str = "pcm"
    instructions: str | None = None
    voice: str | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    tool_results: Mapping[str, str] = field(default_factory=dict)
    manual: bool = False
    text: bool = False

    @property
    def wire(self) -> WireFormat:
        return FORMATS[self.format]

    @property
    def address(self) -> str:
        """Where to connect: the agent is part of it."""
        if not self.agent:
            return self.url
        return f"{self.url}{'&' if '?' in self.url else '?'}agent={quote(self.agent, safe='')}"

    def session(self) -> dict[str, Any]:
        """The ``session`` object of session.update."""
        given: dict[str, Any] = {"format": dict(self.wire.session), "transcription": {"model": "whisper-1"}}
        if self.manual:
            given["turn_detection"] = None
        spoken: dict[str, Any] = {"format": dict(self.wire.session)}
        if self.voice:
            spoken["voice"] = self.voice
        session: dict[str, Any] = {
            "type": "realtime",
            "output_modalities": ["text" if self.text else "audio"],
            "audio": {"input": given, "output": spoken},
        }
        if self.instructions is not None:
            session["instructions"] = self.instructions
        if self.tools:
            session["tools"] = [dict(tool) for tool in self.tools]
        return session


class RealtimeClient:
    """One open session. hold_ms: the silence after which the server takes a turn for ended; 0 when turns are manual."""

    def __init__(self, socket: ClientConnection, options: TalkOptions, playback: Playback) -> None:
        self.options = options
        self.playback = playback
        self.hold_ms: float | None = None
        self._socket = socket
        self._forgivable: set[str] = set()

    async def send(self, type: str, **fields: Any) -> None:
        try:
            await self._socket.send(json.dumps({"type": type, **fields}))
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def event(self, timeout: float | None = None) -> dict[str, Any]:
        """The next server event. Raises TalkError for an ``error`` event or a closed connection, TimeoutError when
        none comes in time."""
        while True:
            event = await self._receive(timeout)
            if event["type"] != "error":
                return event
            error = event["error"]
            if error.get("event_id") not in self._forgivable:
                raise TalkError(f"the server says: {error['message']} ({error.get('code')})")

    async def start(self) -> None:
        """Set the session up as wanted."""
        await self._await_type("session.created")
        await self.send("session.update", session=self.options.session())
        updated = await self._await_type("session.updated")
        detection = updated["session"].get("audio", {}).get("input", {}).get("turn_detection")
        self.hold_ms = detection.get("silence_duration_ms") if detection else 0

    async def speak(self, microphone: Microphone) -> None:
        """Send what the microphone gives, for ever."""
        async with contextlib.aclosing(microphone.pieces()) as pieces:
            async for piece in pieces:
                audio = base64.b64encode(self.options.wire.encode(piece)).decode()
                await self.send("input_audio_buffer.append", audio=audio)

    async def commit(self) -> None:
        """Say that the question is complete and ask for the answer (manual turns)."""
        await self.send("input_audio_buffer.commit")
        await self.send("response.create")

    async def interrupt(self, at: float) -> None:
        """The caller speaks: stop playing, and tell the server how much was heard."""
        cut = self.playback.interrupt(at)
        if cut:
            item_id, ms = cut
            # A server that has cut the item by itself may refuse to do it again.
            event_id = f"event_truncate_{len(self._forgivable)}"
            self._forgivable.add(event_id)
            fields = {"item_id": item_id, "content_index": 0, "audio_end_ms": ms, "event_id": event_id}
            await self.send("conversation.item.truncate", **fields)

    def own(self, calls: Sequence[Call]) -> list[Call]:
        """Those of the calls that this client is to answer; the others are of tools that the server runs."""
        if not self.options.agent:
            return list(calls)
        offered = {tool.get("name") for tool in self.options.tools}
        return [call for call in calls if call.name in offered]

    async def answer_calls(self, calls: Sequence[Call]) -> None:
        """Give the results of these calls, all known, and ask for the answer that follows from them."""
        for call in calls:
            call.output = self.options.tool_results[call.name]
            item = {"type": "function_call_output", "call_id": call.call_id, "output": call.output}
            await self.send("conversation.item.create", item=item)
        await self.send("response.create")

    async def _receive(self, timeout: float | None) -> dict[str, Any]:
        try:
            async with asyncio.timeout(timeout):
                event: dict[str, Any] = json.loads(await self._socket.recv())
        except ConnectionClosed as error:
            raise _closed(error) from None
        return event

    async def _await_type(self, type: str) -> dict[str, Any]:
        try:
            while (event := await self.event(_START_TIMEOUT_S))["type"] != type:
                pass
        except TimeoutError:
            raise TalkError(f"no {type} from {self.options.url} in {_START_TIMEOUT_S:.0f} s") from None
        return event


@asynccontextmanager
async def open_client(options: TalkOptions, playback: Playback | None = None) -> AsyncGenerator[RealtimeClient, None]:
    """A client whose session is set up. playback: where answers are played, else only reckoned.

    Raises TalkStartError when no server answers.
    """
    address = urlsplit(options.url)
    if address.scheme not in ("ws", "wss") or not address.hostname:
        raise TalkStartError(f"{options.url} is no WebSocket address; it looks like {DEFAULT_URL}")
    headers = {"Authorization": f"Bearer {options.key}"} if options.key else {}
    try:
        socket = await connect(
            options.address,
            additional_headers=headers,
            open_timeout=_START_TIMEOUT_S,
            compression=None,
            max_size=None,
            proxy=None,
        )
    except ssl.SSLError as error:
        raise TalkStartError(f"no encrypted connection to {options.url}: {_untrusted(error)}") from None
    except (OSError, TimeoutError):
        hint = "start one with: kammerton serve"
        raise TalkStartError(f"no server listens at {options.url}; {hint}") from None
    except (InvalidHandshake, InvalidURI) as error:
        raise TalkStartError(f"no Realtime server at {options.url}: {error}") from None
    async with socket:
        client = RealtimeClient(socket, options, playback or Playback(options.wire.rate))
        await client.start()
        yield client


def read_tools(path: Path) -> list[dict[str, Any]]:
    """Function tools of a JSON file, in the Realtime form or nested under ``function`` as chat APIs have them.

    Raises TalkStartError naming the file.
    """
    try:
        listed = json.loads(path.read_bytes())
    except OSError as error:
        raise TalkStartError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise TalkStartError(f"{path} is not JSON: {error}") from None
    if not isinstance(listed, list) or not all(isinstance(tool, dict) for tool in listed):
        raise TalkStartError(f"{path} must hold a JSON list of function tools")
    tools = [{"type": "function", **tool.get("function", tool)} for tool in listed]
    if unnamed := [index for index, tool in enumerate(tools) if not isinstance(tool.get("name"), str)]:
        raise TalkStartError(f"{path}: tool number {unnamed[0] + 1} has no name")
    return tools


def read_result(given: str) -> tuple[str, str]:
    """``name=json`` as (name, JSON text). Raises TalkStartError for anything else."""
    match = re.fullmatch(r"([^=\s]+)=(.*)", given, re.DOTALL)
    if not match:
        raise TalkStartError(f"--tool-result takes name=json, not {given!r}")
    try:
        json.loads(match[2])
    except json.JSONDecodeError as error:
        raise TalkStartError(f"--tool-result {match[1]}: not JSON: {error}") from None
    return match[1], match[2]


def _untrusted(error: ssl.SSLError) -> str:
    """What is wrong, and what to do."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.reason or error}; the address of a server without TLS begins with ws://"
    if error.verify_code in _OTHER_NAME:
        return f"{error.verify_message}; give the address by a name that the certificate has"
    return (
        f"its certificate is not trusted ({error.verify_message}); if it is your own, name its PEM file in the variable"
        " SSL_CERT_FILE"
    )


def _closed(error: ConnectionClosed) -> TalkError:
    close = error.rcvd
    why = f" ({close.code} {close.reason})".rstrip() if close else ""
    return TalkError(f"the server closed the connection{why}")
