"""A WebSocket under uvicorn that costs a bounded amount of memory, whatever its client does or leaves undone.

uvicorn holds the server back while a client does not read, but goes on reading from it, answers its pings, and waits
for ever for its last bytes to be taken. Here a client that does not take what it is told is not heard either, and one
that takes nothing for too long is cut off.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

_log = logging.getLogger(__name__)

_MAX_FRAGMENTS = 16_384
"""Of one message. Each costs more memory than its few bytes, and an empty one costs the client next to nothing."""
_GOODBYE_S = 15.0
"""For the last bytes and the closing handshake; then the connection is cut."""
_MAX_AFTER_CLOSE = 1 << 20
"""Bytes that a client may have on their way when it is told that the connection is over."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """stalled_s: seconds in which a client that lags must have taken something. unsent_bytes: what may wait for it
    before the session is held back."""

    stalled_s = 30.0
    unsent_bytes = 256 * 1024

    _stalled: asyncio.TimerHandle | None = None
    _cut: asyncio.TimerHandle | None = None
    _gone = False
    _left = False
    _after_close = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=self.unsent_bytes)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        for timer in (self._stalled, self._cut):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.close_sent:
            self._after_close += len(data)
            if self._after_close > _MAX_AFTER_CLOSE:
                self.conn.fail(CloseCode.GOING_AWAY)  # from now on what comes is not looked at
        super().data_received(data)

    async def run_asgi(self) -> None:
        session = self.app

        async def then_goodbye(scope: Any, receive: Any, send: Any) -> None:
            try:
                await session(scope, receive, send)
            finally:
                self._answer_goodbye()
            # A client that was told why it may not come in has had its answer: the base class would log a fault.
            self.handshake_complete = self.handshake_complete or self.close_sent

        self.app = then_goodbye
        await super().run_asgi()
        self._let_go()

    # ------------------------------------------------------------------------- who does not read

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()
        # Its pongs are not read now; what it takes is the sign of life.
        self.stop_keepalive()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if not (self.close_sent or self.transport.is_closing()):
            self.start_keepalive()
            if not self.read_paused:
                self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        await self.writable.wait()
        message = await super().receive()
        if not self.writable.is_set():  # the base class reads on as soon as it has nothing more to give
            self.transport.pause_reading()
        return message

    def _watch(self) -> None:
        self._stalled = self.loop.call_later(self.stalled_s, self._look, self.transport.get_write_buffer_size())

    def _look(self, unsent: int) -> None:
        if self.transport.get_write_buffer_size() < unsent:
            self._watch()
        elif not self.transport.is_closing():
            _log.info("a client that does not read is cut off", extra={"unsent": unsent})
            self._fail(CloseCode.POLICY_VIOLATION, "what was sent is not being read")

    # --------------------------------------------------------------------------- who is not there

    def keepalive_timeout(self) -> None:
        if self.read_paused:
            # Its answer may be there, behind a message that the session has not taken yet.
            self.pong_timer = None
            self.schedule_ping()
        elif not (self.close_sent or self.transport.is_closing()):
            self._fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")

    # ---------------------------------------------------------------------- who sends crumbs only

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < _MAX_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"a message may have {_MAX_FRAGMENTS} fragments")

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError as error:  # which the base class would log as a fault of the server
                self._fail(CloseCode.INVALID_DATA, f"{error.reason} at byte {error.start}")
                return
        super().send_receive_event_to_app()

    # ------------------------------------------------------------------------------------ the end

    def handle_close(self, event: Frame) -> None:
        """A client's goodbye is answered when its session has let go of everything: one that comes back at once finds
        its place free."""
        if self.close_sent or self.transport.is_closing() or self.conn.close_rcvd is None:
            super().handle_close(event)
            return
        close = self.conn.close_rcvd
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self._left = True
        self.stop_keepalive()
        self._let_go()

    def _answer_goodbye(self) -> None:
        if self._left and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close without asking whether the client takes part."""
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """The connection has failed. What the client still sends is read and thrown away: hung up on, it might never
        see why."""
        self.frames = []
        close = self.conn.close_sent
        if close is not None and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
            self.transport.write(b"".join(self.conn.data_to_send()))
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self.close_sent = True
        self.read_paused = False
        self.transport.resume_reading()
        # Whoever is sending learns it at once, not when the last byte is out.
        self.disconnected = True
        self.writable.set()
        self._let_go()
        # Told that a timer runs, the base class does not hang up when the session is over.
        self.close_timer = self._cut

    def _let_go(self) -> None:
        """The connection is over; it need not be waited for."""
        if self._cut is None and not self._gone:
            self._cut = self.loop.call_later(_GOODBYE_S, self.transport.abort)


def bounded(*, stalled_s: float, unsent_bytes: int) -> type[BoundedWebSocket]:
    """The class with these limits: its instances are uvicorn's to make."""
    return type("BoundedWebSocket", (BoundedWebSocket,), {"stalled_s": stalled_s, "unsent_bytes": unsent_bytes})
