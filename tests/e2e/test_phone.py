"""Calls over a carrier's own wire, from the first ring on: real server, real engines, what the caller hears."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator

import httpx2
import pytest
import websockets

from scripts.phone_line.caller import quiet_after
from scripts.phone_line.line import Line, Recording, Trouble
from scripts.phone_line.twilio import TwilioAccount, TwilioEnd, sign, twilio_call
from tests.e2e.conftest import ROOT, Server, start, stop
from tests.e2e.phone import ask, speak_over_the_answer, stopped_in, understood
from tests.transports.rest_api import RestApi, rest_api

TOKEN = "an auth token of nobody's account"
PUBLIC = "https://voice.example.org/phones"
GREETING = "Hello."
SALON = "+4930999"


@pytest.fixture(scope="module")
def twilio_api() -> Iterator[RestApi]:
    """Twilio's REST API."""
    with rest_api() as api:
        yield api


@pytest.fixture(scope="module")
def switchboard(tmp_path_factory: pytest.TempPathFactory, twilio_api: RestApi) -> Iterator[Server]:
    """A server that takes Twilio's calls; at one of its numbers, the reception of the examples answers."""
    folder = tmp_path_factory.mktemp("agents")
    for path in (ROOT / "examples" / "reception").iterdir():
        if path.suffix in (".toml", ".py"):
            shutil.copy(path, folder)
    server = start(
        KAMMERTON_AGENTS__FOLDER=str(folder),
        KAMMERTON_STORE__URL=f"sqlite:///{folder}/store.db",
        KAMMERTON_PHONE__AGENTS=f"{SALON}=reception",
        KAMMERTON_TWILIO__AUTH_TOKEN=TOKEN,
        KAMMERTON_TWILIO__ACCOUNT_SID="AC1",
        KAMMERTON_TWILIO__API_URL=twilio_api.url,
        KAMMERTON_PHONE__TRANSFERS="human=+49302",
        KAMMERTON_PHONE__VOICEMAIL="Please call us back.",
        KAMMERTON_PHONE__PUBLIC_URL=PUBLIC,
        KAMMERTON_PHONE__GREETING=GREETING,
        KAMMERTON_LOG__LEVEL="debug",
        KAMMERTON_LOG__PII="true",
    )
    yield server
    stop(server)


@pytest.fixture
def account(switchboard: Server) -> TwilioAccount:
    return TwilioAccount(switchboard.base_url, PUBLIC, TOKEN)


async def test_a_spoken_question_is_answered_over_good_lines_and_bad_ones(switchboard: Server, account: TwilioAccount):
    async def call(trouble: Trouble) -> tuple[Trouble, set[str], Recording]:
        async with twilio_call(account, trouble) as line:
            await quiet_after(line, 0)
            answer = await ask(line, "Are you a real person?")
            return trouble, await understood(switchboard, answer), line.recording

    lines = (
        Trouble(),
        Trouble(loss=0.05, jitter_ms=80),
        Trouble(noise_dbfs=-45, stall=(60, 80)),
        Trouble(echo_db=20),
    )
    for trouble, words, recording in await asyncio.gather(*map(call, lines)):
        assert words & {"assistant", "person"}, (trouble, words)
        assert recording.findings == []
        # Nobody speaks over the answer, its own echo least of all.
        assert recording.clears == 0, trouble


async def test_whoever_speaks_over_the_answer_is_listened_to_at_once(switchboard: Server, account: TwilioAccount):
    before = stopped_in(switchboard)
    async with twilio_call(account) as line:
        await quiet_after(line, 0)
        begins = await speak_over_the_answer(line)
        assert [at >= begins for at in line.recording.cleared] == [True]
    # It was not silent for a moment only.
    assert len(stopped_in(switchboard) - before) == 1


async def test_the_number_that_was_called_says_which_agent_answers_and_its_tools_run(switchboard: Server):
    salon = TwilioAccount(switchboard.base_url, PUBLIC, TOKEN, SALON)
    async with twilio_call(salon) as line:
        await quiet_after(line, 0, 1.2)
        opening = await understood(switchboard, line.recording.heard_pcm)
        assert opening & {"assistant", "help", "salon"}, opening
        answer = await ask(line, "What time do you open on Friday?")
        assert await understood(switchboard, answer)
    assert 'kammerton_tool_calls_total{outcome="ok"}' in switchboard.get("/metrics")[1]


async def test_a_call_that_was_made_from_here_has_its_agent_in_the_signed_address(account: TwilioAccount):
    parameters = await account.ask("CA" + "6" * 32, "+49301", "/twilio/voice?agent=reception")
    assert parameters is not None
    assert parameters["agent"] == "reception"


async def test_keys_are_collected_and_answered(switchboard: Server, account: TwilioAccount):
    async with twilio_call(account) as line:
        await quiet_after(line, 0)
        since = line.samples
        await line.press("4711#")
        await quiet_after(line, since)
        assert await understood(switchboard, line.recording.heard_pcm[since:])


async def test_a_call_whose_connection_is_lost_goes_on_where_it_was(switchboard: Server, account: TwilioAccount):
    sid = "CA" + "7" * 32
    parameters = await account.ask(sid, "+49301")
    assert parameters is not None
    async with account.connect() as socket:
        line = Line(TwilioEnd(sid, parameters), socket, Trouble())
        running = asyncio.create_task(line.run())
        await quiet_after(line, 0)
        socket.transport.abort()
        await running
    async with twilio_call(account, call_sid=sid) as again:
        await quiet_after(again, 0)
        words = await understood(switchboard, again.recording.heard_pcm)
        assert {"moment", "again", "please"} & words, words
        await ask(again, "Are you a real person?")
    assert sum("call goes on over a new stream" in line for line in switchboard.log if sid in line) == 1


async def test_a_caller_who_asks_for_a_human_is_told_and_handed_on(
    switchboard: Server, account: TwilioAccount, twilio_api: RestApi
):
    sid = "CA" + "9" * 32
    async with twilio_call(account, call_sid=sid) as line:
        await quiet_after(line, 0)
        answer = await ask(line, "Can I speak to a real person please?")
        await asyncio.to_thread(twilio_api.news.wait, 30)
        words = await understood(switchboard, answer)
    assert words & {"moment", "connecting"}, words
    asked = twilio_api.only()
    assert (asked.method, asked.path) == ("POST", f"/2010-04-01/Accounts/AC1/Calls/{sid}.json")
    assert asked.body == {"Twiml": f'<Response><Dial action="{PUBLIC}/twilio/dialled">+49302</Dial></Response>'}
    assert asked.user == f"AC1:{TOKEN}"


async def signed(server: Server, path: str, form: dict[str, str] | str) -> httpx2.Response:
    """A request as Twilio makes it. form: a str is a body that is no form, which only its URL is signed of."""
    headers = {"X-Twilio-Signature": sign(TOKEN, PUBLIC + path, {} if isinstance(form, str) else form)}
    headers["content-type"] = "application/x-www-form-urlencoded"
    async with httpx2.AsyncClient(base_url=server.base_url) as client:
        if isinstance(form, str):
            return await client.post(path, content=form, headers=headers)
        return await client.post(path, data=form, headers=headers)


async def logged(server: Server, *words: str) -> None:
    """Wait for a line of its log with all of these."""
    async with asyncio.timeout(60):
        while not any(all(word in line for word in words) for line in list(server.log)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_twilio_reports_of_calls_and_streams_is_in_the_log_and_the_metrics(switchboard: Server):
    over = {"CallSid": "CA5", "CallStatus": "completed", "CallDuration": "42", "SipResponseCode": "200"}
    error = {"CallSid": "CA5", "StreamEvent": "stream-error", "StreamError": "no answer to the handshake"}
    for report in (over, error):
        assert (await signed(switchboard, "/twilio/status", report)).status_code == 204
    await logged(switchboard, '"CA5"', "stream-error")
    entries = [json.loads(line) for line in list(switchboard.log) if '"CA5"' in line]
    assert [(entry["report"], entry["level"], entry.get("seconds"), entry.get("error")) for entry in entries] == [
        ("completed", "info", "42", None),
        ("stream-error", "warning", None, "no answer to the handshake"),
    ]
    metrics = switchboard.get("/metrics")[1]
    assert 'kammerton_carrier_reports_total{door="twilio",report="stream-error"} 1.0' in metrics


@pytest.mark.parametrize(
    ("form", "status", "reason"),
    [
        ({"CallStatus": "completed"}, 400, "no CallSid"),
        ({"CallSid": "CA6", "CallStatus": "exploded"}, 400, "neither StreamEvent nor CallStatus"),
        ("%%%", 400, "no form"),
        ("CallSid=" + "x" * 70_000, 413, "larger than"),
    ],
)
async def test_a_report_that_is_none_is_refused_with_a_logged_reason(
    switchboard: Server, form: dict[str, str] | str, status: int, reason: str
):
    refused = await signed(switchboard, "/twilio/status", form)
    assert (refused.status_code, reason in refused.text) == (status, True)
    await logged(switchboard, reason, "/twilio/status")


async def test_a_replayed_report_is_refused(switchboard: Server):
    report = {"CallSid": "CA7", "CallStatus": "ringing", "SequenceNumber": "1"}
    answers = [await signed(switchboard, "/twilio/status", report) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 400]
    assert (await signed(switchboard, "/twilio/status", {**report, "SequenceNumber": "2"})).status_code == 204


async def test_a_caller_whom_nobody_answers_after_the_transfer_is_told_so(switchboard: Server):
    for outcome, told in (("no-answer", "nobody answers there"), ("completed", "")):
        answer = await signed(switchboard, "/twilio/dialled", {"CallSid": "CA9", "DialCallStatus": outcome})
        assert ("<Say" in answer.text, told in answer.text, "<Hangup/>" in answer.text) == (bool(told), True, True)


async def test_a_machine_that_answers_our_call_gets_a_message_and_a_person_gets_the_agent(switchboard: Server):
    form = {"CallSid": "CA" + "5" * 32, "Direction": "outbound-api", "From": SALON, "To": "+49307", "AnsweredBy": ""}
    for machine in ("machine_end_beep", "machine_start", "fax"):
        answer = await signed(switchboard, "/twilio/voice", {**form, "AnsweredBy": machine})
        said = '<Response><Say language="en-US">Please call us back.</Say><Hangup/></Response>'
        assert answer.text.endswith(said)
    for person in ("human", "unknown"):
        answer = await signed(switchboard, "/twilio/voice", {**form, "AnsweredBy": person})
        assert '<Parameter name="caller" value="+49307"/>' in answer.text


async def test_a_call_that_has_ended_is_hung_up(account: TwilioAccount):
    sid = "CA" + "8" * 32
    async with twilio_call(account, call_sid=sid) as line:
        await quiet_after(line, 0)
    async with asyncio.timeout(60):
        while await account.ask(sid, "+49301") is not None:  # noqa: ASYNC110  Twilio asks again, too
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("signature", [None, "", "c2lnbmF0dXJl", sign("another token", f"{PUBLIC}/twilio/voice")])
async def test_a_webhook_without_the_right_signature_is_refused(switchboard: Server, signature: str | None):
    headers = {} if signature is None else {"X-Twilio-Signature": signature}
    async with httpx2.AsyncClient(base_url=switchboard.base_url) as client:
        for path in ("/twilio/voice", "/twilio/status", "/twilio/dialled"):
            refused = await client.post(path, data={"CallSid": "CA1"}, headers=headers)
            assert refused.status_code == 403


async def test_a_stream_without_the_right_signature_starts_nothing(switchboard: Server):
    url = "ws" + switchboard.base_url.removeprefix("http") + "/twilio/stream"
    for headers in ({}, {"X-Twilio-Signature": sign(TOKEN, url)}):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url, additional_headers=headers, proxy=None)
        assert refused.value.response.status_code == 403
    assert 'kammerton_sessions_active{door="twilio"} 1.0' not in switchboard.get("/metrics")[1]
    assert [entry for entry in map(json.loads, list(switchboard.log)) if entry["level"] == "error"] == []


async def test_hostile_streams_are_refused_with_a_reason_while_another_call_goes_on(
    switchboard: Server, account: TwilioAccount
):
    async with twilio_call(account) as line:
        await quiet_after(line, 0)
        for hostile in (["nonsense"], [b"\xff" * 160], ["x" * 70_000], TwilioEnd("CA1", {"proof": "made up"}).hello()):
            async with account.connect() as socket:
                for frame in hostile:
                    await socket.send(frame)
                if len(hostile) > 1:
                    await socket.wait_closed()
                    assert (socket.close_code, socket.close_reason) == (
                        1008,
                        "its parameters are not signed for this call",
                    )
        answer = await ask(line, "Are you a real person?")
        assert "person" in await understood(switchboard, answer)
    log = "\n".join(switchboard.log)
    for reason in ("not JSON", "a binary frame", "longer than", "not signed for this call"):
        assert reason in log
