"""The door for OpenAI Realtime clients: one WebSocket, one Session."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from server.core import events as e
from server.errors import AccessError, CapacityError, ClientError, DrainingError, EngineError, innermost
from server.runtime.admission import HERE, Admission, Place
from server.runtime.live import SessionPlan
from server.runtime.runner import Engines
from server.transports.auth import Gate, Grant, caller_scope
from server.transports.base import AudioAppend, Casting, DoorSettings, SessionObserver
from server.transports.opening import Opening
from server.transports.rest import DRAINING, error_response
from server.transports.wire import RealtimeCodec, new_id
from server.transports.wire_beta import codec_for
from server.transports.wire_session import transcribing

_log = logging.getLogger(__name__)

PATHS = ("/v1/realtime", "/realtime", "/openai/v1/realtime", "/openai/realtime")
"""The API's own path, and where clients with another idea of the base URL look for it."""
_DOOR = "realtime"
_MODEL = "kammerton"
_SUBPROTOCOL = "realtime"
_SESSION_S = 3600
_TOKEN_S = 0.1
"""Audio is told in tokens of 100 ms: clients know limits of requests and of tokens, none of minutes."""
_INTERNAL_ERROR, _TRY_AGAIN_LATER, _GOING_AWAY, _POLICY_VIOLATION, _NO_ACCESS = 1011, 1013, 1001, 1008, 3000


def router(
    engines: Engines, settings: DoorSettings, admission: Admission, observer: SessionObserver, gate: Gate
) -> APIRouter:
    """The WebSocket route under each of PATHS."""
    routes = APIRouter()

    async def realtime(
        websocket: WebSocket, model: str = "", deployment: str = "", intent: str = "", agent: str = "", caller: str = ""
    ) -> None:
        try:
            gate.check_origin(websocket)
        except AccessError as error:
            await websocket.send_denial_response(error_response(error))
            return
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(subprotocol=_SUBPROTOCOL if _SUBPROTOCOL in offered else None)
        try:
            grant = gate.realtime(websocket)
            with grant.session(), admission.admit() as place:
                config = transcribing(settings.config) if intent == "transcription" else settings.config
                started = replace(settings, config=grant.config or config)
                shown = model or deployment or agent or _MODEL
                wanted = _wanted(settings.agents, agent, shown)
                scope = caller_scope(websocket, caller)
                connection = _Connection(websocket, engines, started, observer, shown, grant, wanted, scope, place)
                await connection.serve(admission)
        except AccessError as error:
            # Told on the open socket: clients retry what is refused before the upgrade.
            await _refuse(websocket, _NO_ACCESS, e.Error(error.code, str(error)))
        except ClientError as error:
            await _refuse(websocket, _POLICY_VIOLATION, e.Error(error.code, error.message, error.param))
        except CapacityError as error:
            observer.session_refused(_DOOR)
            await _refuse(websocket, _TRY_AGAIN_LATER, _limit_error(error))

    for path in PATHS:
        routes.websocket(path)(realtime)
    return routes


def _wanted(agents: Casting | None, agent: str, model: str) -> str:
    """Name of the agent that is asked for, by its own parameter or as the model; "" for none. Raises ClientError."""
    names = agents.names() if agents else ()
    if agent and agent not in names:
        known = f"this server has {', '.join(names)}" if names else "this server has no agents"
        raise ClientError("agent_not_found", f"There is no agent '{agent}': {known}.", "agent")
    return agent or (model if model in names else "")


def _limit_error(error: BaseException) -> e.Error:
    if isinstance(error, DrainingError):
        return e.Error(DRAINING, str(error), type="server_error")
    return e.Error("rate_limit_exceeded", str(error), type="rate_limit_error")


def _seconds(audio: bytes, wire: e.AudioFormat) -> float:
    return len(audio) / (wire.width * wire.rate)


async def _refuse(websocket: WebSocket, code: int, error: e.Error) -> None:
    try:
        for frame in RealtimeCodec("", 0).encode(error):
            await websocket.send_text(frame.decode())
        await websocket.close(code, f"{error.type}.{error.code}")
    except (RuntimeError, WebSocketDisconnect):
        _log.debug("the client had left already")


class _Connection:
    """One client: reads its frames, writes the Session's events."""

    def __init__(
        self,
        websocket: WebSocket,
        engines: Engines,
        settings: DoorSettings,
        observer: SessionObserver,
        model: str,
        grant: Grant,
        agent: str,
        scope: str,
        place: Place = HERE,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._websocket = websocket
        self._observer = observer
        self._grant = grant
        self._formats: dict[str, e.AudioFormat] = {}
        session_id, agents = new_id("sess"), settings.agents
        role = agents.cast(agent, settings.config, engines, session_id, scope) if agents and agent else None
        config = role.config if role else settings.config
        self._codec = codec_for(websocket, RealtimeCodec(model, int(wall_clock()) + _SESSION_S))
        plan = SessionPlan(
            session_id,
            config,
            settings.policy,
            role.engines if role else engines,
            observer,
            new_id,
            settings.taps,
            role.toolbox if role else settings.toolbox(session_id),
            agent=agent,
            door=_DOOR,
            place=place,
            stays=role is not None and role.stays,
        )
        self._runner = settings.start(plan, self)
        self._opening = Opening(settings.first_words(self._runner, role, role.opening if role else ""))

    async def serve(self, admission: Admission) -> None:
        """Until the client leaves, its time is up, the server goes down and waits no longer, or a bug ends the
        session."""
        self._observer.session_opened(_DOOR)
        started = time.monotonic()
        outcome = "completed"
        try:
            async with asyncio.timeout(_SESSION_S), asyncio.TaskGroup() as both:
                both.create_task(self._runner.run())
                both.create_task(self._read())
                both.create_task(self._opening.say(self._runner.receive))
                both.create_task(admission.closed())
        except* WebSocketDisconnect:
            pass
        except* DrainingError as ended:
            outcome = "drained"
            await _refuse(self._websocket, _GOING_AWAY, _limit_error(innermost(ended)))
        except* CapacityError as used_up:
            outcome = "limited"
            await _refuse(self._websocket, _TRY_AGAIN_LATER, _limit_error(innermost(used_up)))
        except* TimeoutError:
            outcome = "expired"
            message = f"Your session hit the maximum duration of {_SESSION_S // 60} minutes."
            await _refuse(self._websocket, _GOING_AWAY, e.Error("session_expired", message))
        except* EngineError as broken:
            outcome = "failed"
            _log.error("session ended", extra={"reason": str(innermost(broken))})
            await self._close(_INTERNAL_ERROR)
        except* Exception:
            outcome = "failed"
            _log.exception("session ended by a bug")
            await self._close(_INTERNAL_ERROR)
        finally:
            self._observer.session_closed(_DOOR, outcome, time.monotonic() - started)

    async def _close(self, code: int) -> None:
        try:
            await self._websocket.close(code)
        except (RuntimeError, WebSocketDisconnect):
            _log.debug("the client had left already")

    async def _read(self) -> None:
        """Frames are taken as soon as the socket is open: most clients do not wait for session.created."""
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            frame = message.get("text")
            decoded = self._codec.decode(message["bytes"] if frame is None else frame, self._runner.position)
            audio = decoded.audio if isinstance(decoded, AudioAppend | e.CreateItem) else None
            self._grant.heard(_seconds(audio or b"", self._codec.input_format))
            if isinstance(decoded, AudioAppend):
                await self._runner.append(decoded.audio, decoded.event_id)
            else:
                await self._runner.receive(decoded)
            self._opening.client_did(decoded)
        raise WebSocketDisconnect(message["code"])

    async def send(self, event: e.Event) -> None:
        """See ``Peer``."""
        match event:
            case e.ItemRetrieved():
                frames = [await asyncio.to_thread(self._retrieved, event.item)]
            case e.ResponseDone():
                self._formats.pop(event.response.id, None)
                timings = self._runner.timings(event.response.id)
                frames = [self._codec.encode_done(event, timings.as_dict() if timings else None), *self._limits()]
            case e.ResponseCreated():
                self._formats[event.response.id] = event.response.output_format
                frames = self._codec.encode(event)
            case e.OutputAudioDelta():
                self._grant.spoken(_seconds(event.audio, self._formats[event.response_id]))
                frames = self._codec.encode(event)
            case _:
                frames = self._codec.encode(event)
        for frame in frames:
            await self._websocket.send_text(frame.decode())

    def _limits(self) -> list[bytes]:
        """rate_limits.updated, where the key has a limit. The real service sends it behind response.done, too."""
        audio = self._grant.audio_left
        if audio is None:
            return []
        limit_s, left_s, reset_s = audio
        tokens = e.RateLimit("tokens", round(limit_s / _TOKEN_S), int(left_s / _TOKEN_S), round(reset_s, 3))
        return self._codec.encode(e.RateLimits((tokens,)))

    def _retrieved(self, item: e.Item) -> bytes:
        """Minutes of audio take a while to convert and to write."""
        return self._codec.encode_retrieved(item, self._runner.audio(item))

    async def clear_playout(self, item_id: str) -> None:
        """See ``Peer``. On a WebSocket the client holds the audio and stops it itself."""

    async def pause_playout(self, paused: bool) -> None:
        """See ``Peer``. Nothing that was sent can be taken back and given out again."""
