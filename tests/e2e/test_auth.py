"""Keys on a running server: who comes in by the socket and beside it, with how much, and what is told to the others."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import websockets
from openai import APIStatusError, AsyncOpenAI, AuthenticationError, BadRequestError
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from models.audio import write_wav
from server.policy.keys import KeyFile
from tests.e2e.call import Caller
from tests.models.speech import speak
from tests.server_process import ROOT, Server, start, stop

PAGE = "https://app.example"


@dataclass(frozen=True)
class Keyed:
    """A server that asks for keys, and the text of a key."""

    server: Server
    file: KeyFile
    key: str

    @property
    def socket(self) -> str:
        return self.server.base_url.replace("http", "ws") + "/v1/realtime"

    def sdk(self, key: str) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.server.base_url}/v1", api_key=key, max_retries=0)

    async def secret(self, **session: Any) -> str:
        async with self.sdk(self.key) as client:
            made = await client.realtime.client_secrets.create(session={"type": "realtime", **session})  # type: ignore[misc]
        return made.value


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    file = KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")
    key = file.create("tests")
    server = start(
        KAMMERTON_AUTH__KEYS_FILE=str(file.path), KAMMERTON_AUTH__ALLOWED_ORIGINS=PAGE, KAMMERTON_LOG__LEVEL="debug"
    )
    yield Keyed(server, file, key)
    assert stop(server) == 0


async def first(socket: ClientConnection) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(await socket.recv())
    return event


async def refused(socket: ClientConnection, code: str, close: int, type: str = "invalid_request_error") -> str:
    """One error, then the end; the error's message."""
    event = await first(socket)
    assert (event["type"], event["error"]["code"], event["error"]["type"]) == ("error", code, type)
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (close, f"{type}.{code}")
    return str(event["error"]["message"])


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# -------------------------------------------------------------------------------------- the socket


@pytest.mark.parametrize("path", ["/v1/realtime?model=gpt-realtime", "/realtime", "/openai/v1/realtime"])
@pytest.mark.parametrize("header", ["Authorization", "api-key"])
async def test_a_key_comes_in_by_either_header(keyed: Keyed, header: str, path: str):
    headers = bearer(keyed.key) if header == "Authorization" else {header: keyed.key}
    url = keyed.socket.replace("/v1/realtime", path)
    async with websockets.connect(url, additional_headers=headers) as socket:
        assert (await first(socket))["type"] == "session.created"
        assert socket.subprotocol is None


async def test_a_browser_brings_its_key_as_a_subprotocol(keyed: Keyed):
    offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{keyed.key}")]
    async with websockets.connect(keyed.socket, subprotocols=offered, origin=PAGE) as socket:  # type: ignore[arg-type]
        assert socket.subprotocol == "realtime"
        assert (await first(socket))["type"] == "session.created"


@pytest.mark.parametrize(
    ("headers", "offered"),
    [
        ({}, []),
        (bearer("kammerton_wrong"), []),
        ({"api-key": "kammerton_wrong"}, []),
        (bearer("ek_wrong"), []),
        ({}, ["realtime", "openai-insecure-api-key.ek_wrong"]),
    ],
)
async def test_a_wrong_or_missing_key_is_told_on_the_open_socket(
    keyed: Keyed, headers: dict[str, str], offered: list[str]
):
    names = [Subprotocol(name) for name in offered] or None
    async with websockets.connect(keyed.socket, additional_headers=headers, subprotocols=names) as socket:
        message = await refused(socket, "invalid_api_key", 3000)
        assert "wrong" not in message


async def test_the_sdk_sees_the_error_event(keyed: Keyed):
    async with keyed.sdk("sk-wrong") as client, client.realtime.connect(model="kammerton") as connection:
        event = await connection.recv()
        assert event.type == "error"
        assert event.error.code == "invalid_api_key"


async def test_pages_of_other_origins_do_not_get_as_far_as_a_socket(keyed: Keyed):
    for origin in ("https://elsewhere.example", "null"):
        with pytest.raises(websockets.InvalidStatus) as answer:
            await websockets.connect(keyed.socket, additional_headers=bearer(keyed.key), origin=origin)  # type: ignore[arg-type]
        assert answer.value.response.status_code == 403
        assert json.loads(answer.value.response.body or b"{}")["error"]["code"] == "origin_not_allowed"
    own = keyed.server.base_url
    async with websockets.connect(keyed.socket, additional_headers=bearer(keyed.key), origin=own) as socket:  # type: ignore[arg-type]
        assert (await first(socket))["type"] == "session.created"


async def test_a_revoked_key_opens_nothing_new_and_its_session_goes_on(keyed: Keyed):
    key = keyed.file.create("visitor")
    async with Caller(keyed.server.base_url, {}, key=key) as caller:
        keyed.file.revoke("visitor")
        async with websockets.connect(keyed.socket, additional_headers=bearer(key)) as socket:
            await refused(socket, "invalid_api_key", 3000)
        turn = await caller.ask(speak("Are you a real person?"))
        assert turn.done.status == "completed"


@pytest.mark.parametrize("known", [True, False])
async def test_the_talk_command_takes_its_key_from_the_environment(keyed: Keyed, tmp_path: Path, known: bool):
    write_wav(tmp_path / "question.wav", speak("Are you a real person?"), 16_000)
    talk = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "talk", tmp_path / "question.wav", "--url", keyed.socket),
        cwd=ROOT,
        env={**os.environ, **({"KAMMERTON_AUTH__KEY": keyed.key} if known else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, complaint = await talk.communicate()
    assert talk.returncode == (0 if known else 1), complaint
    assert (b"answer" in out) is known
    assert (b"invalid_api_key" in complaint) is not known


# ------------------------------------------------------------------------------------------ limits


async def test_the_session_over_a_keys_limit_is_refused(keyed: Keyed):
    headers = bearer(keyed.file.create("narrow", max_sessions=1))
    async with websockets.connect(keyed.socket, additional_headers=headers) as socket:
        await first(socket)
        async with websockets.connect(keyed.socket, additional_headers=headers) as second:
            await refused(second, "rate_limit_exceeded", 1013, "rate_limit_error")
        async with websockets.connect(keyed.socket, additional_headers=bearer(keyed.key)) as other:
            assert (await first(other))["type"] == "session.created"


async def test_a_session_ends_when_its_keys_audio_is_used_up(keyed: Keyed):
    key = keyed.file.create("short", audio_minutes_a_day=0.01)
    async with websockets.connect(keyed.socket, additional_headers=bearer(key)) as socket:
        await first(socket)
        half_a_second = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 32_000})
        await socket.send(half_a_second)
        await socket.send(json.dumps({"type": "input_audio_buffer.clear"}))
        assert (await first(socket))["type"] == "input_audio_buffer.cleared"
        await socket.send(half_a_second)
        assert "0.01 minutes" in await refused(socket, "rate_limit_exceeded", 1013, "rate_limit_error")
    async with websockets.connect(keyed.socket, additional_headers=bearer(key)) as socket:
        await refused(socket, "rate_limit_exceeded", 1013, "rate_limit_error")


async def test_what_is_left_of_a_keys_audio_is_told_behind_each_answer(keyed: Keyed):
    key = keyed.file.create("told", audio_minutes_a_day=1)
    async with keyed.sdk(key) as client, client.realtime.connect(model="kammerton") as connection:
        spoken, told = 0, []
        for _ in range(2):
            await connection.response.create()
            async for event in connection:
                if event.type == "response.output_audio.delta":
                    spoken += len(base64.b64decode(event.delta))
                if event.type == "rate_limits.updated":
                    told.append(event.rate_limits)
                    break
        (first_left,), (second_left,) = told
        assert (first_left.name, first_left.limit) == ("tokens", 600)
        assert second_left.remaining == int(600 - spoken / 4_800)
        assert second_left.remaining < first_left.remaining < 600
        assert 0 < second_left.reset_seconds <= 86_400


async def test_a_key_without_such_a_limit_is_told_of_none(keyed: Keyed):
    async with keyed.sdk(keyed.key) as client, client.realtime.connect(model="kammerton") as connection:
        await connection.response.create(response={"output_modalities": ["text"]})
        kinds = []
        async for event in connection:
            kinds.append(event.type)
            if event.type == "response.done":
                await connection.input_audio_buffer.clear()
            if event.type == "input_audio_buffer.cleared":
                break
        assert kinds[-2:] == ["response.done", "input_audio_buffer.cleared"]


async def test_spoken_answers_count_too(keyed: Keyed):
    key = keyed.file.create("listener", audio_minutes_a_day=0.02)
    async with keyed.sdk(key) as client, client.realtime.connect(model="kammerton") as connection:
        await connection.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Are you a real person?"}],
            }
        )
        await connection.response.create()
        spoken = 0
        async for event in connection:
            if event.type == "response.output_audio.delta":
                spoken += len(base64.b64decode(event.delta))
            if event.type == "response.done":
                assert event.response.status == "completed"
                await connection.input_audio_buffer.clear()
            if event.type == "error":
                assert event.error.code == "rate_limit_exceeded"
                break
        assert spoken > 0.02 * 60 * 48_000


# ---------------------------------------------------------------------------------- client secrets


async def test_the_sdk_makes_a_client_secret_that_opens_its_session(keyed: Keyed):
    async with keyed.sdk(keyed.key) as client:
        made = await client.realtime.client_secrets.create(
            expires_after={"anchor": "created_at", "seconds": 60},
            session={
                "type": "realtime",
                "model": "gpt-realtime",
                "instructions": "Speak like a pirate.",
                "output_modalities": ["text"],
                "audio": {"input": {"turn_detection": None}},
            },
        )
    assert made.value.startswith("ek_")
    assert made.session.type == "realtime"
    assert (made.session.instructions, made.session.model) == ("Speak like a pirate.", "gpt-realtime")
    async with keyed.sdk(made.value) as browser:
        for _ in range(2):
            async with browser.realtime.connect(model="gpt-realtime") as connection:
                created = await connection.recv()
                assert created.type == "session.created"
                begun = created.session.model_dump(exclude_unset=True)
                told = made.session.model_dump(exclude_unset=True)
                assert told["id"].startswith("sess_")
                for one in (begun, told):
                    del one["id"], one["expires_at"]
                assert begun == told
                await connection.conversation.item.create(
                    item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello?"}]}
                )
                await connection.response.create()
                async for event in connection:
                    if event.type == "response.done":
                        assert event.response.output_modalities == ["text"]
                        break


async def test_a_transcription_session_may_be_bound(keyed: Keyed):
    async with keyed.sdk(keyed.key) as client:
        made = await client.realtime.client_secrets.create(
            session={"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        )
    assert made.session.type == "transcription"
    async with websockets.connect(keyed.socket, additional_headers=bearer(made.value)) as socket:
        assert (await first(socket))["session"]["type"] == "transcription"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_sdks_beta_makes_secrets_that_open_its_flat_sessions(keyed: Keyed):
    async with keyed.sdk(keyed.key) as client:
        made = await client.beta.realtime.sessions.create(
            model="gpt-4o-realtime-preview",
            instructions="Speak like a pirate.",
            modalities=["text"],
            client_secret={"expires_after": {"anchor": "created_at", "seconds": 60}},
        )
        heard = await client.beta.realtime.transcription_sessions.create(input_audio_format="g711_ulaw")
        with pytest.raises(BadRequestError) as wrong:
            await client.beta.realtime.sessions.create(input_audio_format="mp3")  # type: ignore[arg-type]
    assert (wrong.value.param, "g711_ulaw" in wrong.value.message) == ("input_audio_format", True)
    assert (made.instructions, made.modalities) == ("Speak like a pirate.", ["text"])
    offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{made.client_secret.value}")]
    async with websockets.connect(
        keyed.socket, subprotocols=[*offered, Subprotocol("openai-beta.realtime-v1")]
    ) as page:
        session = (await first(page))["session"]
        assert (session["instructions"], session["modalities"]) == ("Speak like a pirate.", ["text"])
    async with websockets.connect(keyed.socket, additional_headers=bearer(heard.client_secret.value)) as socket:
        session = (await first(socket))["session"]
        assert (session["type"], session["audio"]["input"]["format"]) == ("transcription", {"type": "audio/pcmu"})


async def test_a_client_secret_opens_nothing_else(keyed: Keyed):
    async with keyed.sdk(await keyed.secret()) as client:
        with pytest.raises(AuthenticationError, match="Realtime sessions only"):
            await client.realtime.client_secrets.create()
        with pytest.raises(AuthenticationError):
            await client.models.list()


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"{", None, "invalid_json"),
        (b"[]", None, "invalid_value"),
        (b'{"expires_after": {"seconds": 9}}', "expires_after.seconds", "invalid_value"),
        (b'{"expires_after": {"seconds": 7201}}', "expires_after.seconds", "invalid_value"),
        (b'{"expires_after": {"anchor": "now"}}', "expires_after.anchor", "invalid_value"),
        (b'{"session": 7}', "session", "invalid_value"),
        (b'{"session": {}}', "session.type", "missing_required_parameter"),
        (
            b'{"session": {"type": "realtime", "audio": {"output": {"speed": 9}}}}',
            "session.audio.output.speed",
            "invalid_value",
        ),
        (b'{"x": ' + b"[" * 70 + b"]" * 70 + b"}", None, "invalid_value"),
    ],
)
async def test_a_body_that_cannot_be_accepted_is_named(keyed: Keyed, body: bytes, param: str | None, code: str):
    async with keyed.sdk(keyed.key) as client:
        with pytest.raises(BadRequestError) as answer:
            await client.post("/realtime/client_secrets", content=body, cast_to=object)
    assert (answer.value.param, answer.value.code) == (param, code)


async def test_a_body_may_be_left_out_and_may_not_be_huge(keyed: Keyed):
    async with keyed.sdk(keyed.key) as client:
        made: Any = await client.post("/realtime/client_secrets", cast_to=object)
        assert made["session"]["type"] == "realtime"
        with pytest.raises(APIStatusError) as answer:
            await client.post("/realtime/client_secrets", content=b" " * 300_000, cast_to=object)
        assert answer.value.status_code == 413


# --------------------------------------------------------------------------------- beside the socket


async def test_what_needs_a_key_and_what_does_not(keyed: Keyed):
    for path in ("/healthz", "/readyz", "/metrics", "/", "/voices"):
        assert keyed.server.get(path)[0] == 200, path
    for path in ("/v1/models", "/v1/models/kammerton"):
        status, body = keyed.server.get(path)
        assert status == 401
        error = json.loads(body)["error"]
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_api_key", None)
    async with keyed.sdk(keyed.key) as client:
        assert "kammerton" in [model.id async for model in client.models.list()]
    async with keyed.sdk("sk-wrong") as client:
        with pytest.raises(AuthenticationError):
            await client.models.list()


async def test_pages_of_listed_origins_may_read_the_answers(keyed: Keyed):
    async with keyed.sdk(keyed.key) as client:
        answer = await client.models.with_raw_response.list(extra_headers={"Origin": PAGE})
        assert answer.headers["access-control-allow-origin"] == PAGE
        with pytest.raises(Exception, match="origin") as refusal:
            await client.models.list(extra_headers={"Origin": "https://elsewhere.example"})
        assert getattr(refusal.value, "status_code", None) == 403


async def test_refusals_are_counted_by_reason(keyed: Keyed):
    def count(reason: str) -> float:
        lines = keyed.server.get("/metrics")[1].splitlines()
        name = f'kammerton_access_refused_total{{reason="{reason}"}} '
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    cases = {
        "key_missing": {},
        "key_unknown": bearer("kammerton_wrong"),
        "origin": {**bearer(keyed.key), "Origin": "https://elsewhere.example"},
    }
    for reason, headers in cases.items():
        before = count(reason)
        try:
            async with websockets.connect(keyed.socket, additional_headers=headers) as socket:
                await refused(socket, "invalid_api_key", 3000)
        except websockets.InvalidStatus:
            assert reason == "origin"
        assert count(reason) == before + 1
    before = count("secret_scope")
    async with keyed.sdk(await keyed.secret()) as client:
        with pytest.raises(AuthenticationError):
            await client.models.list()
    assert count("secret_scope") == before + 1


async def test_no_key_is_written_down(tmp_path: Path):
    file = KeyFile(tmp_path / "keys.json")
    wrong = "kammerton_" + "x" * 43
    keyed = Keyed(start(KAMMERTON_AUTH__KEYS_FILE=str(file.path), KAMMERTON_LOG__LEVEL="debug"), file, file.create("a"))
    secret = await keyed.secret(instructions="Be brief.")
    for token in (keyed.key, secret, wrong):
        offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{token}")]
        async with websockets.connect(keyed.socket, subprotocols=offered) as socket:
            if (await first(socket))["type"] == "session.created":
                await socket.send("{")
                assert (await first(socket))["error"]["code"] == "invalid_json"
        async with websockets.connect(keyed.socket, additional_headers=bearer(token)) as socket:
            await first(socket)
        async with keyed.sdk(token) as client:
            with contextlib.suppress(AuthenticationError):
                await client.models.list()
    page = keyed.server.get("/metrics")[1]
    stop(keyed.server)
    log = "".join(keyed.server.log)
    assert log.count("client error") == 2
    for token in (keyed.key, secret, wrong):
        assert token.partition("_")[2] not in log + page + file.path.read_text()


async def test_a_server_without_keys_takes_any_key_and_makes_secrets(server: Server):
    async with AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0) as client:
        made = await client.realtime.client_secrets.create(session={"type": "realtime", "instructions": "Be brief."})
        assert "kammerton" in [model.id async for model in client.models.list()]
    offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{made.value}")]
    socket = server.base_url.replace("http", "ws") + "/v1/realtime"
    async with websockets.connect(socket, subprotocols=offered, origin=server.base_url) as browser:  # type: ignore[arg-type]
        assert (await first(browser))["session"]["instructions"] == "Be brief."
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(socket, origin="https://elsewhere.example")  # type: ignore[arg-type]
