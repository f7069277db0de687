"""``POST /v1/realtime/client_secrets``: a short-lived key for a browser, with the session that it opens. In the older
dialect (beta) the same is asked for by ``/sessions`` and ``/transcription_sessions``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.core.events import SessionConfig
from server.errors import ClientError
from server.transports.auth import Gate
from server.transports.rest import ApiRoute, bounded
from server.transports.wire import new_id
from server.transports.wire_beta import beta_session, ga_session, in_beta
from server.transports.wire_fields import MAX_DEPTH, Fields, too_deep
from server.transports.wire_objects import Json, session_object
from server.transports.wire_session import read_session

_MAX_BODY = 256 * 1024
_TTL_S = 600
_MIN_TTL_S, _MAX_TTL_S = 10, 7200
_NOT_BEGUN = 0
"""``expires_at`` of a session that is only described: it is set when one begins."""

Show = Callable[[Json, str, int], Json]
"""The answer: of the session, the secret, and when that expires in Unix seconds."""


def router(gate: Gate, base: SessionConfig, paths: tuple[str, ...]) -> APIRouter:
    """base: what a session is configured as before its client says anything. paths: those of the sockets."""
    routes = APIRouter(route_class=ApiRoute)

    async def answered(request: Request, read: Callable[[Fields], tuple[SessionConfig, int]], show: Show) -> Response:
        grant = await gate.http(request)
        body = await bounded(request, _MAX_BODY).body()
        config, seconds = read(_parsed(body))
        value, expires_at = grant.issue(config, seconds, len(body))
        session = session_object(config, new_id("sess"), config.model or "kammerton", _NOT_BEGUN)
        content = orjson.dumps(show(session, value, expires_at), default=dict)
        return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def create(request: Request) -> Response:
        """A client secret."""

        def read(fields: Fields) -> tuple[SessionConfig, int]:
            seconds = _seconds(fields.object("expires_after"))
            session = fields.object("session")
            return base if session is None else _bound(session, base), seconds

        return await answered(request, read, _show)

    async def session(request: Request) -> Response:
        """A client secret, as the older dialect asks for one."""
        return await answered(request, lambda fields: _flat(fields, "realtime", base), _show_flat)

    async def transcription_session(request: Request) -> Response:
        """The same, of a session that only listens."""
        return await answered(request, lambda fields: _flat(fields, "transcription", base), _show_flat)

    for path in paths:
        routes.post(f"{path}/client_secrets")(create)
        routes.post(f"{path}/sessions")(session)
        routes.post(f"{path}/transcription_sessions")(transcription_session)
    return routes


def _show(session: Json, value: str, expires_at: int) -> Json:
    return {"value": value, "expires_at": expires_at, "session": session}


def _show_flat(session: Json, value: str, expires_at: int) -> Json:
    return {**beta_session(session), "client_secret": {"value": value, "expires_at": expires_at}}


def _flat(fields: Fields, kind: str, base: SessionConfig) -> tuple[SessionConfig, int]:
    """The body is the session itself, and how long its secret is to be good for stands in it. Raises ClientError in
    this dialect's words."""
    secret = fields.object("client_secret") or Fields({})
    # The API calls it so for the one kind of session, and so for the other.
    wish = secret.object("expires_after") or secret.object("expires_at")
    flat = {name: value for name, value in fields.values.items() if name != "client_secret"}
    try:
        return _bound(Fields(ga_session({**flat, "type": kind})), base), _seconds(wish)
    except ClientError as error:
        raise ClientError(error.code, in_beta(error.message), error.param and in_beta(error.param)) from None


def _parsed(body: bytes) -> Fields:
    try:
        values = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise ClientError("invalid_json", f"The body is not valid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise ClientError("invalid_value", "The body must be a JSON object.")
    if too_deep(values):
        raise ClientError("invalid_value", f"The body is nested more than {MAX_DEPTH} levels deep.")
    return Fields(values)


def _seconds(wish: Fields | None) -> int:
    """``expires_after``: 600 s if it says nothing."""
    wish = wish or Fields({})
    wish.choice("anchor", ("created_at",))
    return wish.integer("seconds", _MIN_TTL_S, _MAX_TTL_S) or _TTL_S


def _bound(session: Fields, base: SessionConfig) -> SessionConfig:
    changes: dict[str, Any] = read_session(session, base, base.extras)
    return replace(base, **changes, model=session.text("model") or base.model)
