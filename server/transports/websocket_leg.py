"""A carrier's media connection that is a WebSocket."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from fastapi import WebSocket, WebSocketDisconnect

from server.transports.carrier import CarrierCodec, Close, Frame

_log = logging.getLogger(__name__)

_LONGEST_REASON = 123
"""Bytes of UTF-8 that a close frame has room for (RFC 6455 section 5.5)."""


class WebSocketLeg:
    """See ``Leg``. The socket is accepted already."""

    def __init__(self, websocket: WebSocket, codec: CarrierCodec) -> None:
        self._websocket = websocket
        self._codec = codec

    @property
    def codec(self) -> CarrierCodec:
        return self._codec

    async def frames(self) -> AsyncIterator[Frame]:
        """See ``Leg``."""
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            text = message.get("text")
            yield message["bytes"] if text is None else text

    async def send(self, frame: Frame) -> None:
        """See ``Leg``."""
        try:
            if isinstance(frame, str):
                await self._websocket.send_text(frame)
            else:
                await self._websocket.send_bytes(frame)
        except (RuntimeError, WebSocketDisconnect):
            _log.debug("the carrier had left already")

    async def close(self, why: Close = Close.OVER, reason: str = "") -> None:
        """See ``Leg``."""
        short = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        try:
            await self._websocket.close(why, short)
        except (RuntimeError, WebSocketDisconnect):
            _log.debug("the carrier had left already")
