"""A carrier's media connection that is a WebSocket."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from fastapi import WebSocket, WebSocketDisconnect

from server.transports.carrier import CarrierCodec, Frame

_log = logging.getLogger(__name__)


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

    async def close(self) -> None:
        """See ``Leg``."""
        try:
            await self._websocket.close()
        except (RuntimeError, WebSocketDisconnect):
            _log.debug("the carrier had left already")
