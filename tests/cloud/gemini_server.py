"""A stand-in for Gemini Live on the loopback: the protocol of BidiGenerateContent, with a script in the model's place.

What it answers is real speech, sent faster than real time; a turn is over when it would have been played. Turns by
voice activity are found in the sound that comes in, in samples, so that a test may send it as fast as it likes.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from models.audio import Pcm16, resample
from tests.cloud.gemini_turns import Activity, Scene, Turns
from tests.cloud.gemini_wire import INTERNAL, INVALID, POLICY, Json, RefusedError, read, samples

KEY = "gemini-key"


@dataclass(frozen=True)
class Model:
    """What differs between models. typed: clientContent starts turns, else it is for the history before the first one.
    updates: takes contextUpdate. tells_activity: sends voiceActivity."""

    typed: bool
    updates: bool
    tells_activity: bool


MODELS = {
    "gemini-live-2.5-flash-native-audio": Model(typed=True, updates=False, tells_activity=False),
    "gemini-3.8-live": Model(typed=False, updates=True, tells_activity=True),
}


@dataclass
class Habits:
    """How the server behaves; may be changed while it runs. binary: frames are binary. played: share of an answer's
    length that turnComplete waits for. late_words: the words of an answer come after its turnComplete. no_resuming: why
    a handle is refused, "" if it is not. thinks: thoughts come before words."""

    binary: bool = True
    played: float = 1.0
    late_words: bool = False
    no_resuming: str = ""
    thinks: bool = False


@dataclass
class Talk:
    """What the model remembers, and what of the script is left: it outlives a connection, by a handle."""

    history: list[Json] = field(default_factory=list)

    def words(self, role: str) -> list[str]:
        """Everything that this side has said or typed, in order."""
        texts = [(turn, part.get("text")) for turn in self.history for part in turn["parts"]]
        return [text for turn, text in texts if turn["role"] == role and text]


class GeminiServer:
    """``async with`` it: listens at ``url``. sessions: one for each connection so far, in order; ready: those that were
    set up, in the order of that."""

    def __init__(
        self, scenes: Sequence[Scene], habits: Habits | None = None, certificate: tuple[Path, Path] | None = None
    ) -> None:
        """certificate: with its key, for TLS."""
        self.scenes = list(scenes)
        self.habits = habits or Habits()
        self.sessions: list[Session] = []
        self.ready: list[Session] = []
        self.handles: dict[str, Talk] = {}
        self.numbers = count(1)
        self._changed = asyncio.Condition()
        self._tls: ssl.SSLContext | None = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)

    async def __aenter__(self) -> GeminiServer:
        self._server: Server = await serve(self._serve, "127.0.0.1", 0, max_size=None, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"wss://localhost:{port}" if self._tls else f"ws://127.0.0.1:{port}"

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait for something to become of a session."""
        async with self._changed:
            await self._changed.wait_for(fact)

    async def changed(self) -> None:
        """Something has become of a session."""
        async with self._changed:
            self._changed.notify_all()

    def next_scene(self) -> Scene:
        """What the model does next; the last scene comes again and again."""
        return self.scenes.pop(0) if len(self.scenes) > 1 else self.scenes[0]

    async def _serve(self, connection: ServerConnection) -> None:
        session = Session(self, connection)
        self.sessions.append(session)
        try:
            await session.run()
        except RefusedError as refused:
            await connection.close(refused.code, refused.reason[:120])
        except ConnectionClosed:
            pass
        finally:
            session.over = True
            session.turns.close()
            await self.changed()


class Session:
    """One connection."""

    def __init__(self, server: GeminiServer, connection: ServerConnection) -> None:
        self._server = server
        self._connection = connection
        self.setup: Json = {}
        self.talk = Talk()
        self.turns = Turns(self.send, self._remember, server.next_scene, server.habits)
        self.received: list[str] = []
        self.instructions = ""
        self.tools: list[str] = []
        self.ready = False
        self.over = False
        self._activity: Activity | None = None
        self._awaits_history = False
        self._model = MODELS["gemini-3.8-live"]

    # --------------------------------------------------------------------------------- for tests

    async def go_away(self, left_s: float) -> None:
        """Tell the client that the connection will end."""
        await self.send({"goAway": {"timeLeft": f"{left_s:g}s"}})

    async def close(
        self, code: int = INTERNAL, reason: str = "Deadline expired before operation could complete."
    ) -> None:
        """End the connection."""
        await self._connection.close(code, reason)

    # ------------------------------------------------------------------------------------- wire

    async def send(self, message: Json) -> None:
        """One frame, of the kind that the server is set to."""
        text = json.dumps(message)
        with suppress(ConnectionClosed):
            await self._connection.send(text.encode() if self._server.habits.binary else text)

    async def run(self) -> None:
        """Until the connection ends. Raises RefusedError for what the client does wrong."""
        async for frame in self._connection:
            # As the service does, not before the setup has come: clients send it at once.
            self._check_key()
            kind, value = read(frame)
            self.received.append(kind if kind != "realtimeInput" else ".".join([kind, *value]))
            if not self.ready and kind != "setup":
                raise RefusedError(INVALID, "The first message must be a setup message.")
            match kind:
                case "setup":
                    await self._set_up(value)
                case "realtimeInput":
                    await self._hear(value)
                case "clientContent":
                    await self._read(value)
                case "toolResponse":
                    self._results(value)
                case "contextUpdate":
                    self._update(value)
            await self._server.changed()

    def _check_key(self) -> None:
        request = self._connection.request
        assert request is not None
        query = parse_qs(urlsplit(request.path).query)
        given = request.headers.get("x-goog-api-key") or "".join(query.get("key", []))
        if given != KEY:
            raise RefusedError(INVALID, "API key not valid. Please pass a valid API key.")

    async def _set_up(self, setup: Json) -> None:
        if self.ready:
            raise RefusedError(INVALID, "Request contains an invalid argument: setup was sent already.")
        name = setup.get("model", "").rpartition("/")[2]
        if name not in MODELS or not setup["model"].startswith(("models/", "projects/")):
            where = "is not found for API version v1beta, or is not supported for bidiGenerateContent."
            raise RefusedError(POLICY, f"{setup.get('model', '')} {where}")
        self._model = MODELS[name]
        generation = setup.get("generationConfig", {})
        if generation.get("responseModalities", ["AUDIO"]) != ["AUDIO"]:
            raise RefusedError(INVALID, "Request contains an invalid argument: this model answers in AUDIO only.")
        self.setup = setup
        detection = setup.get("realtimeInputConfig", {})
        automatic = detection.get("automaticActivityDetection", {})
        if not automatic.get("disabled", False):
            self._activity = Activity(automatic.get("prefixPaddingMs", 40), automatic.get("silenceDurationMs", 500))
        self.turns.interruptible = detection.get("activityHandling") != "NO_INTERRUPTION"
        self.turns.hears = "inputAudioTranscription" in setup
        self.turns.writes = "outputAudioTranscription" in setup
        self._awaits_history = setup.get("historyConfig", {}).get("initialHistoryInClientContent", False)
        self._context(setup.get("systemInstruction"), setup.get("tools"))
        handle = setup.get("sessionResumption", {}).get("handle")
        if handle:
            if self._server.habits.no_resuming or handle not in self._server.handles:
                raise RefusedError(INVALID, self._server.habits.no_resuming or "Invalid session resumption handle.")
            self.talk = self._server.handles[handle]
            self._awaits_history = False
        self.ready = True
        self._server.ready.append(self)
        await self.send({"setupComplete": {"sessionId": f"session-{next(self._server.numbers)}"}})
        await self._remember(None)

    def _context(self, instruction: Json | None, tools: list[Json] | None) -> None:
        if instruction is not None:
            self.instructions = "".join(part.get("text", "") for part in instruction["parts"])
        if tools is not None:
            self.tools = [f["name"] for tool in tools for f in tool.get("functionDeclarations", [])]

    async def _remember(self, turn: Json | None) -> None:
        """The model has this turn in mind; where the client asked for handles it gets one that has it, too."""
        if turn is not None:
            self.talk.history.append(turn)
        if "sessionResumption" not in self.setup:
            return
        if turn is not None and turn["role"] == "user":
            await self.send({"sessionResumptionUpdate": {"resumable": False}})
        else:
            handle = f"handle-{next(self._server.numbers)}"
            self._server.handles[handle] = Talk(list(self.talk.history))
            await self.send({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}})

    # ------------------------------------------------------------------------------------- input

    async def _hear(self, value: Json) -> None:
        if len(value) != 1:
            raise RefusedError(INVALID, "Request contains an invalid argument: one kind of realtime input at a time.")
        if self._awaits_history:
            raise RefusedError(INVALID, "Realtime input came before the initial history was complete.")
        match value:
            case {"audio": blob} | {"mediaChunks": [blob]}:
                await self._listen(blob)
            case {"activityStart": _} | {"activityEnd": _}:
                await self._told(start="activityStart" in value)
            case {"audioStreamEnd": _}:
                if self._activity is None:
                    raise RefusedError(INVALID, "audioStreamEnd needs automatic activity detection.")
                if self._activity.flush():
                    self.turns.begin(typed=False)
            case {"text": text}:
                self.talk.history.append({"role": "user", "parts": [{"text": text}]})
                # Within an activity it is a part of that turn.
                if not self.turns.open:
                    self.turns.interrupt_for_input()
                    self.turns.begin(typed=True)

    async def _listen(self, blob: Json) -> None:
        data, rate = samples(blob)
        pcm: Pcm16 = np.frombuffer(data, "<i2").astype(np.int16)
        pcm = pcm if rate == 16_000 else resample(pcm, rate, 16_000)
        self.turns.hear(len(pcm), manual=self._activity is None)
        if self._activity is None:
            return
        for started, at in self._activity.push(pcm):
            if self._model.tells_activity:
                kind = "ACTIVITY_START" if started else "ACTIVITY_END"
                offset = f"{at / 16_000:.3f}s"
                await self.send({"voiceActivity": {"voiceActivityType": kind, "audioOffset": offset}})
            if started:
                self.turns.interrupt_for_input()
            else:
                self.turns.begin(typed=False)

    async def _told(self, *, start: bool) -> None:
        if self._activity is not None:
            reason = "Explicit activity control is not supported when automatic activity detection is enabled."
            raise RefusedError(INVALID, reason)
        if start:
            self.turns.manual_start()
            self.turns.interrupt_for_input()
        elif self.turns.manual_end():
            self.turns.begin(typed=False)

    async def _read(self, value: Json) -> None:
        turns = value.get("turns", [])
        if not self._awaits_history:
            if not self._model.typed:
                raise RefusedError(INVALID, "Request contains an invalid argument.")
            self.turns.interrupt_for_input(always=True)
        for turn in turns:
            self.talk.history.append({"role": turn.get("role", "user"), "parts": turn.get("parts", [])})
        if not value.get("turnComplete", False):
            return
        if self._awaits_history:
            self._awaits_history = False
            await self._remember(None)
            return
        self.turns.begin(typed=True)

    def _results(self, value: Json) -> None:
        for result in value.get("functionResponses", []):
            if not result.get("id") or not result.get("name"):
                raise RefusedError(INVALID, "Request contains an invalid argument: a function response needs its id.")
            if not isinstance(result.get("response"), dict):
                path = "tool_response.function_responses[0].response"
                raise RefusedError(INVALID, f"Invalid value at '{path}' (type.googleapis.com/google.protobuf.Struct)")
            self.turns.result(result["id"], result["response"])

    def _update(self, value: Json) -> None:
        if not self._model.updates:
            raise RefusedError(POLICY, "Operation is not implemented, or supported, or enabled: contextUpdate.")
        self._context(value.get("systemInstruction"), value["tools"].get("tools", []) if "tools" in value else None)
