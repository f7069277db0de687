"""Start, readiness, the pages beside the socket, capacity, and the end."""

from __future__ import annotations

import asyncio
import json
import re
import signal

import pytest
import websockets
from openai import APIStatusError, AsyncOpenAI, NotFoundError

from tests.e2e.conftest import Server, start, stop
from tests.models.speech import speak


def test_the_pages_beside_the_socket(server: Server):
    assert server.get("/healthz") == (200, '{"status":"ok"}')
    assert server.get("/readyz") == (200, '{"status":"ready"}')
    status, body = server.get("/v1/models/nobody")
    assert status == 404
    assert "kammerton" in json.loads(body)["error"]["message"]


async def test_what_is_not_served_is_told_with_what_is(server: Server):
    async with AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="sk-test", max_retries=0) as client:
        with pytest.raises(NotFoundError) as refused:
            await client.embeddings.create(model="any", input="hello")
        assert refused.value.code == "unknown_url"
        assert "This server has no POST /v1/embeddings." in refused.value.message
        assert "POST /v1/chat/completions" in refused.value.message
        with pytest.raises(APIStatusError, match=r"no DELETE /v1/models/kammerton") as not_allowed:
            await client.models.delete("kammerton")
        assert (not_allowed.value.status_code, not_allowed.value.response.headers["allow"]) == (405, "GET")


async def test_the_sdk_lists_the_models(server: Server):
    async with AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="sk-test") as client:
        names = [model.id async for model in client.models.list()]
        assert "kammerton" in names
        assert (await client.models.retrieve("kammerton")).object == "model"


async def test_the_stages_of_a_turn_are_in_the_metrics(server: Server):
    def count(stage: str) -> float:
        lines = server.get("/metrics")[1].splitlines()
        name = f'kammerton_turn_latency_seconds_count{{stage="{stage}"}} '
        return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    stages = ("stt_final", "llm_first_token", "first_segment", "tts_first_audio")
    before = [count(stage) for stage in stages]
    async with server.caller() as caller:
        turn = await caller.ask(speak("Are you a real person?"))
        # One that has just ended may be counted still.
        active = re.search(r'kammerton_sessions_active{door="realtime"} (\d)', server.get("/metrics")[1])
        assert active is not None
        assert int(active[1]) >= 1
    assert [count(stage) for stage in stages] == [number + 1 for number in before]
    timings = turn.done.kammerton["timings_ms"]
    assert timings["prepared"] is True
    assert (
        0 < timings["stt_final"] < timings["llm_first_token"] <= timings["first_segment"] < timings["tts_first_audio"]
    )


async def test_the_log_tells_of_each_session(server: Server):
    async with server.caller() as caller:
        session = caller.of("session.created")[0].session.id

        def told() -> list[str]:
            entries = [json.loads(line) for line in list(server.log)]
            return [entry["message"] for entry in entries if entry.get("session") == session]

        async with asyncio.timeout(60):
            while not told():  # noqa: ASYNC110  another thread reads it
                await asyncio.sleep(0.01)
        assert told() == ["session opened"]


async def test_the_next_caller_over_the_limit_is_told_so():
    server = start(KAMMERTON_SERVER__MAX_SESSIONS="1")
    url = server.base_url.replace("http", "ws") + "/v1/realtime"
    async with websockets.connect(url) as first:
        await first.recv()
        async with websockets.connect(url) as second:
            assert json.loads(await second.recv())["error"]["code"] == "rate_limit_exceeded"
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await second.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
    told = "rate_limit_exceeded"
    async with asyncio.timeout(60):
        while told == "rate_limit_exceeded":  # the first one's end takes the server a moment
            async with websockets.connect(url) as third:
                event = json.loads(await third.recv())
                told = event.get("error", event).get("code", event["type"])
    assert told == "session.created"
    assert stop(server) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly_in_the_middle_of_a_call(number: signal.Signals):
    server = start()
    workers = server.children()
    async with server.caller() as caller:
        caller.say(speak("Are you a real person?"))
        await caller.until("input_audio_buffer.speech_started")
        server.process.send_signal(number)
        code = await asyncio.to_thread(stop, server)
    assert code == 0
    assert not [pid for pid in workers if Server.alive(pid)]
