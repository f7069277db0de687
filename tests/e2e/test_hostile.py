"""Clients that mean no good, or do not know what they do, against a real server beside a caller who notices nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.models.speech import speak
from tests.raw_socket import CLOSE, CONTINUATION, PING, TEXT, RawSocket, frame, text
from tests.server_process import Server, start, stop

_MB = 1e6
_QUESTION = "Are you a real person?"
_BY_HAND = text(
    "session.update",
    session={"type": "realtime", "output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}},
)
_SECOND = text("input_audio_buffer.append", audio=base64.b64encode(bytes(48_000)).decode())


def message(words: str, **fields: object) -> bytes:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}
    return text("conversation.item.create", item=item, **fields)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that is quick to lose its patience, and ends without a fault after all of this."""
    running = start(KAMMERTON_SERVER__STALLED_S="2", KAMMERTON_SERVER__PING_S="2", KAMMERTON_SERVER__MAX_SESSIONS="64")
    yield running
    assert stop(running) == 0
    levels = {json.loads(line)["level"] for line in running.log}
    assert "error" not in levels


def metric(server: Server, name: str) -> int:
    found = re.search(rf"^kammerton_{name}(?:{{.*}})? ([\d.]+)$", server.get("/metrics")[1], re.MULTILINE)
    return int(float(found[1])) if found else 0


def memory_mb(server: Server) -> float:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB


def peak_mb(server: Server) -> float:
    """The most that it ever held."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / _MB


def open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


async def let_go(server: Server, left: int = 0) -> None:
    """Wait until no more sessions than these are left."""
    async with asyncio.timeout(60):
        while await asyncio.to_thread(metric, server, "sessions_active") > left:
            pass


@asynccontextmanager
async def undisturbed(server: Server, *, memory: float = 100) -> AsyncIterator[None]:
    """Around an attack: a caller's question is answered beside it; the server takes no more than that much memory
    (MB) on top, and has let go of everything afterwards."""
    await let_go(server)
    tasks, before = metric(server, "tasks"), peak_mb(server)
    async with server.caller() as bystander:
        asking = asyncio.create_task(bystander.ask(speak(_QUESTION)))
        yield
        turn = await asking
        assert (turn.heard, turn.done.status) == (_QUESTION, "completed")
        assert bystander.of("error") == []
    await let_go(server)
    assert metric(server, "tasks") == tasks
    assert peak_mb(server) < before + memory


async def push(socket: RawSocket, data: bytes, limit: int = 2000, *, patience_s: float = 60) -> int:
    """Send it again and again until the server takes no more for so long, or has hung up; how often it was taken."""
    for sent in range(limit):
        try:
            await socket.send(data, timeout_s=patience_s)
        except (TimeoutError, OSError):
            return sent
    return limit


# -------------------------------------------------------------------------------------- who does not read

FLOODS: dict[str, bytes] = {
    "pings": frame(PING, b"x" * 125) * 500,
    "errors": text("nonsense") * 500,
    "echoes": text("session.update", session={"type": "realtime", "instructions": "open " * 1000}) * 10,
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_who_sends_and_never_reads_is_not_heard_and_then_cut_off(server: Server, flood: str):
    async with undisturbed(server), RawSocket(server.base_url, receive_buffer=4096) as socket:
        await socket.event("session.created")  # from here on there is a session to be let go of
        assert await push(socket, FLOODS[flood], patience_s=1) < 2000
        await let_go(server, left=1)
        assert await socket.closed(timeout_s=60) == 1008


async def test_audio_of_who_never_reads_is_bounded_too(server: Server):
    async with undisturbed(server), RawSocket(server.base_url, receive_buffer=4096) as socket:
        await socket.send(_BY_HAND)
        await push(socket, _SECOND, limit=1200)
        refused = await socket.event("error", timeout_s=60)
        assert refused["error"]["code"] == "input_audio_buffer_full"


async def test_a_slow_reader_gets_everything(server: Server):
    async with undisturbed(server), RawSocket(server.base_url, receive_buffer=4096) as socket:
        sending = asyncio.create_task(push(socket, FLOODS["echoes"], limit=20))
        for _ in range(200):
            await asyncio.sleep(0)
            updated = await socket.event("session.updated", timeout_s=60)
            assert len(updated["session"]["instructions"]) == 5000
        assert await sending == 20


async def test_a_client_that_is_gone_without_a_word_is_noticed(server: Server):
    async with undisturbed(server), RawSocket(server.base_url) as socket:
        await socket.event("session.created")
        while (last := await socket.anything())[0] == PING:
            pass  # and no pong: its other half is there no more
        opcode, reason = last
        assert (opcode, int.from_bytes(reason[:2])) == (CLOSE, 1011)


# ------------------------------------------------------------------------------------ who sends too much


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("!BBQ", 0x81, 0xFF, 33 * 2**20),
        struct.pack("!BBQ", 0x81, 0xFF, 2**40),
        struct.pack("!BBQ", 0x82, 0xFF, 2**62),
    ],
    ids=["33-MiB", "1-TiB", "4-EiB"],
)
async def test_an_oversized_frame_is_refused_before_it_comes(server: Server, head: bytes):
    async with RawSocket(server.base_url) as socket:
        await socket.send(head + bytes(4))
        assert await socket.closed() == 1009


async def test_a_message_of_endless_fragments_is_ended(server: Server):
    async with undisturbed(server), RawSocket(server.base_url) as socket:
        await socket.send(frame(TEXT, b"{", fin=False))
        await push(socket, frame(CONTINUATION, b"", fin=False) * 1000)
        assert await socket.closed() == 1009


async def test_large_frames_that_are_no_events_are_one_error_each(server: Server):
    bodies = ['{"a":[' + "[]," * 5_000_000 + "[]]}", "[" * 3_000_000, '"' + "x" * 20_000_000 + '"']
    async with undisturbed(server, memory=150), RawSocket(server.base_url) as socket:
        for body in bodies:
            await socket.send(frame(TEXT, body.encode()))
            assert (await socket.event("error"))["error"]["code"] in ("invalid_event", "invalid_json")


async def test_ten_thousand_items_are_taken_and_answered(server: Server):
    async with undisturbed(server), RawSocket(server.base_url) as socket:
        await socket.send(_BY_HAND)
        items = b"".join(message(f"This is remark number {number} of very many.") for number in range(10_000))
        sending = asyncio.create_task(socket.send(items, timeout_s=120))
        for _ in range(10_000):
            await socket.event("conversation.item.done")
        await sending
        await socket.send(message(_QUESTION) + text("response.create"))
        done = (await socket.event("response.done", timeout_s=60))["response"]
        assert done["status"] == "completed"
        await socket.send(message("Before all others.", previous_item_id="root"))
        assert (await socket.event("conversation.item.done"))["previous_item_id"] is None


async def test_floods_of_answers_and_formats_by_one_who_reads(server: Server):
    async with undisturbed(server), RawSocket(server.base_url) as socket:
        await socket.send(message(_QUESTION))
        sent = 0
        for number in range(100):
            kind = ("audio/pcm", "audio/pcmu", "audio/pcma")[number % 3]
            audio = {"input": {"format": {"type": kind}}, "output": {"format": {"type": kind}}}
            await socket.send(
                text("session.update", session={"type": "realtime", "audio": audio})
                + text("input_audio_buffer.append", audio=base64.b64encode(os.urandom(9600)).decode())
                + text("response.create", response={"conversation": "none"})
                + text("response.cancel")
            )
            sent += 1
        for _ in range(sent):
            await socket.event("session.updated", timeout_s=60)


# --------------------------------------------------------------------------------------- who is no client

BROKEN: dict[str, tuple[bytes, int]] = {
    "a reserved bit": (b"\xc1" + frame(TEXT, b"")[1:], 1002),
    "an unmasked frame": (b"\x81\x05hello", 1002),
    "an unknown kind": (frame(3, b""), 1002),
    "the end of nothing": (frame(CONTINUATION, b"x"), 1002),
    "half a ping": (frame(PING, b"x", fin=False), 1002),
    "half a goodbye": (frame(CLOSE, b"\x01"), 1002),
    "no UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
}


async def test_bytes_that_are_no_protocol_are_closed_with_a_code(server: Server):
    async def closed(data: bytes) -> int | None:
        async with RawSocket(server.base_url) as socket:
            await socket.send(data)
            return await socket.closed()

    async with undisturbed(server):
        codes = {case: await closed(data) for case, (data, _) in BROKEN.items()}
    assert codes == {case: code for case, (_, code) in BROKEN.items()}


async def _reset_at_once(socket: RawSocket) -> None:
    socket.reset()


async def _reset_with_work(socket: RawSocket) -> None:
    await socket.send(message(_QUESTION) + text("response.create"))
    socket.reset()


async def _reset_while_spoken_to(socket: RawSocket) -> None:
    await socket.send(message(_QUESTION) + text("response.create"))
    await socket.event("response.output_audio.delta")
    socket.reset()


async def _half_a_frame(socket: RawSocket) -> None:
    await socket.send(_SECOND[:1000])
    socket.socket.close()


@pytest.mark.parametrize("leave", [_reset_at_once, _reset_with_work, _reset_while_spoken_to, _half_a_frame])
async def test_clients_that_vanish_leave_nothing_behind(server: Server, leave: Callable[[RawSocket], Awaitable[None]]):
    await let_go(server)
    before = open_files(server)
    async with undisturbed(server):
        for _ in range(15):
            async with RawSocket(server.base_url) as socket:
                await leave(socket)
    assert open_files(server) <= before + 2


async def test_after_all_that_memory_has_not_grown_with_it(server: Server):
    async with undisturbed(server):
        held = memory_mb(server)
    assert held < 700
