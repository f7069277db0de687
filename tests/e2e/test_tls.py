"""TLS on a running server that other machines can reach: the SDK over it, and a certificate renewed in place."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import websockets
from openai import AsyncOpenAI
from openai.types.websocket_connection_options import WebSocketConnectionOptions

from server.talk.client import TalkOptions, open_client
from server.talk.wire import TalkStartError
from tests.e2e.call import Caller
from tests.models.speech import speak
from tests.server_process import Server, start, stop

KEY = "a key for the tests only"


def make_certificate(folder: Path) -> None:
    """A self-signed certificate for this machine, and its key, in place of those in the folder."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True, timeout=240)


@dataclass(frozen=True)
class Encrypted:
    """A server behind TLS on every address of this machine."""

    server: Server
    folder: Path

    @property
    def port(self) -> int:
        return int(self.server.base_url.rpartition(":")[2])

    @property
    def socket(self) -> str:
        return f"wss://127.0.0.1:{self.port}/v1/realtime"

    def trust(self) -> ssl.SSLContext:
        """What a client needs who knows the present certificate and no other."""
        return ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))

    def shown(self) -> str:
        """The certificate that a new connection is shown."""
        return ssl.get_server_certificate(("127.0.0.1", self.port), timeout=30).strip()

    def log(self, message: str) -> int:
        return sum(json.loads(line)["message"] == message for line in self.server.log)

    def renew(self, message: str) -> None:
        """SIGHUP, and wait until the log says so."""
        before = self.log(message)
        self.server.process.send_signal(signal.SIGHUP)
        while self.log(message) == before:
            self.shown()


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder)
    server = start(
        KAMMERTON_SERVER__HOST="0.0.0.0",
        KAMMERTON_AUTH__KEY=KEY,
        KAMMERTON_TLS__CERTIFICATE=str(folder / "certificate.pem"),
        KAMMERTON_TLS__KEY=str(folder / "key.pem"),
    )
    yield Encrypted(server, folder)
    assert stop(server) == 0


async def test_the_talk_client_says_what_is_wrong_with_a_certificate_and_what_to_do(
    encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(TalkStartError, match=r"not trusted \(self-signed certificate\).* SSL_CERT_FILE"):
        async with open_client(TalkOptions(url=encrypted.socket, key=KEY)):
            pass
    monkeypatch.setenv("SSL_CERT_FILE", str(encrypted.folder / "certificate.pem"))
    async with open_client(TalkOptions(url=encrypted.socket, key=KEY)) as client:
        assert client.hold_ms
    with pytest.raises(TalkStartError, match=r"not valid for '127\.0\.0\.2'.* name"):
        async with open_client(TalkOptions(url=encrypted.socket.replace("127.0.0.1", "127.0.0.2"), key=KEY)):
            pass


async def test_the_talk_client_tells_a_server_without_tls_from_none(server: Server):
    with pytest.raises(TalkStartError, match=r"no encrypted connection .* begins with ws://"):
        async with open_client(TalkOptions(url=server.base_url.replace("http:", "wss:") + "/v1/realtime")):
            pass


async def test_the_sdk_speaks_to_it_over_tls(encrypted: Encrypted):
    assert encrypted.server.base_url == f"https://0.0.0.0:{encrypted.port}"
    trust = encrypted.trust()
    http = httpx2.AsyncClient(verify=trust)
    base = f"https://127.0.0.1:{encrypted.port}/v1"
    async with AsyncOpenAI(base_url=base, api_key=KEY, http_client=http, max_retries=0) as client:
        made = await client.realtime.client_secrets.create(session={"type": "realtime", "instructions": "Be brief."})
    over_tls: WebSocketConnectionOptions = {"ssl": trust}
    async with (
        AsyncOpenAI(base_url=base, api_key=made.value) as client,
        client.realtime.connect(model="kammerton", websocket_connection_options=over_tls) as connection,
    ):
        created = await connection.recv()
        assert created.type == "session.created"
        assert created.session.type == "realtime"
        assert created.session.instructions == "Be brief."


async def test_plain_text_gets_no_answer(encrypted: Encrypted):
    with pytest.raises((websockets.InvalidMessage, ConnectionError)):
        await websockets.connect(encrypted.socket.replace("wss", "ws"))
    assert encrypted.shown()


async def test_old_protocol_versions_are_refused(encrypted: Encrypted):
    old = encrypted.trust()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", encrypted.port)) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname="localhost")


async def test_sighup_changes_the_certificate_and_open_sessions_go_on(encrypted: Encrypted):
    trust = encrypted.trust()
    async with websockets.connect(
        encrypted.socket, ssl=trust, additional_headers={"Authorization": f"Bearer {KEY}"}
    ) as old:
        assert json.loads(await old.recv())["type"] == "session.created"
        make_certificate(encrypted.folder)
        await asyncio.to_thread(encrypted.renew, "certificate read again")
        assert encrypted.shown() == (encrypted.folder / "certificate.pem").read_text().strip()
        async with websockets.connect(encrypted.socket, ssl=encrypted.trust()) as new:
            assert json.loads(await new.recv())["error"]["code"] == "invalid_api_key"
        with pytest.raises(ssl.SSLCertVerificationError):
            await websockets.connect(encrypted.socket, ssl=trust)
        await old.send("{")
        assert json.loads(await old.recv())["error"]["code"] == "invalid_json"


async def test_a_renewal_that_went_wrong_changes_nothing(encrypted: Encrypted):
    before = encrypted.shown()
    files = {path: path.read_text() for path in encrypted.folder.iterdir()}
    key = encrypted.folder / "key.pem"
    make_certificate(encrypted.folder)
    for broken in (files[key], "no key at all", ""):
        key.write_text(broken)
        await asyncio.to_thread(encrypted.renew, "the certificate stays as it was")
        assert encrypted.shown() == before
    for path, text in files.items():
        path.write_text(text)


def test_the_metrics_need_a_key_where_others_can_connect(encrypted: Encrypted):
    with httpx2.Client(base_url=f"https://127.0.0.1:{encrypted.port}", verify=encrypted.trust()) as client:
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        assert client.get("/metrics").status_code == 401
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 200
        assert "kammerton_sessions_active" in answer.text


async def test_told_by_name_a_server_is_open_to_all_without_tls():
    server = start(
        KAMMERTON_SERVER__HOST="0.0.0.0",
        KAMMERTON_AUTH__ALLOW_OPEN="true",
        KAMMERTON_TLS__ALLOW_PLAINTEXT="true",
        KAMMERTON_METRICS__OPEN="true",
    )
    base = server.base_url.replace("0.0.0.0", "127.0.0.1")
    async with Caller(base, {}) as caller:
        turn = await caller.ask(speak("Are you a real person?"))
        assert turn.done.status == "completed"
    assert server.get("/metrics")[0] == 200
    assert stop(server) == 0
