"""X-Twilio-Signature: the published forms, and agreement with Twilio's own validator."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from server.transports.twilio_signature import SETTINGS, SIGNATURE, Validator, signature

TOKEN = "test_token_0123456789abcdef"
SHARED = "another_secret_of_the_account"
VALIDATOR = Validator(TOKEN, {"sk_1": SHARED, "sk_2": TOKEN})
FORM = (
    ("CallSid", "CA00000000000000000000000000000001"),
    ("From", "+4915112345678"),
    ("To", "+4930123456"),
    ("Direction", "inbound"),
)
MEDIA = "wss://voice.example.org/twilio/media"
VOICE = "https://voice.example.org/twilio/voice"
EVENTS = "https://voice.example.org/twilio/events?bodySHA256=" + hashlib.sha256(b'{"a":1}').hexdigest()
SHA256 = "key=sk_2,algorithm=HMAC_SHA256"


def signed(value: str, settings: str | None = None) -> dict[str, str]:
    return {SIGNATURE: value} if settings is None else {SIGNATURE: value, SETTINGS: settings}


@pytest.mark.parametrize(
    ("url", "headers", "form", "body"),
    [
        (MEDIA, signed("zHGsu5s0wlD0Dvworh6Z/MqotUk="), (), b""),
        (MEDIA + "/", signed("tXtUUo0zfKOO6twQ581juF/q74s="), (), b""),
        (MEDIA, signed("2wMCmjbXtsmilCcTkxwSieh2yqU="), (), b""),
        (VOICE, signed("NG4m4Qrlx3Xge3rtkiZ1lgL1Y4Y="), FORM, b""),
        (EVENTS, signed("rJkPwQfTwKQUabmqBBkSJD/013s="), (), b'{"a":1}'),
        (VOICE, signed("xhGcEmezitzE/nh6STru/x0Lh+eFEnq0Ua/5u2ti21A=", SHA256), FORM[:1], b""),
    ],
    ids=["upgrade", "trailing slash", "with port", "form", "json", "sha256"],
)
def test_what_twilio_signs_is_valid(url: str, headers: dict[str, str], form: tuple[tuple[str, str], ...], body: bytes):
    assert VALIDATOR.valid(url, headers, form, body)


@pytest.mark.parametrize(
    ("url", "headers", "form", "body"),
    [
        (MEDIA, {}, (), b""),
        (MEDIA, signed(""), (), b""),
        (MEDIA, signed("zHGsu5s0wlD0Dvworh6Z/MqotUl="), (), b""),
        (MEDIA, signed("tXtUUo0zfKOO6twQ581juF/q74s="), (), b""),
        ("wss://other.example.org/twilio/media", signed("zHGsu5s0wlD0Dvworh6Z/MqotUk="), (), b""),
        (VOICE, signed("NG4m4Qrlx3Xge3rtkiZ1lgL1Y4Y="), FORM[:3], b""),
        (VOICE, signed("NG4m4Qrlx3Xge3rtkiZ1lgL1Y4Y="), (*FORM[:3], ("Direction", "outbound")), b""),
        (EVENTS, signed("rJkPwQfTwKQUabmqBBkSJD/013s="), (), b'{"a":2}'),
        (VOICE, signed(signature(VOICE, (), TOKEN)), (), b'{"a":1}'),
        (VOICE, signed("xhGcEmezitzE/nh6STru/x0Lh+eFEnq0Ua/5u2ti21A="), FORM[:1], b""),
        (VOICE, signed(signature(VOICE, (), TOKEN, "md5"), "key=sk_2,algorithm=HMAC_MD5"), (), b""),
        (VOICE, signed(signature(VOICE, (), "", "sha256"), "key=nobody,algorithm=HMAC_SHA256"), (), b""),
        (VOICE, signed(signature(VOICE, (), SHARED, "sha256"), "key=sk_2,algorithm=HMAC_SHA256"), (), b""),
        (VOICE, signed("é" * 28), (), b""),
    ],
    ids=[
        *("missing", "empty", "one bit", "another path", "another host", "a field less", "a field changed"),
        *("body changed", "body unsigned", "sha256 as sha1", "md5", "unknown key", "another key", "not ascii"),
    ],
)
def test_anything_else_is_not(url: str, headers: dict[str, str], form: tuple[tuple[str, str], ...], body: bytes):
    assert not VALIDATOR.valid(url, headers, form, body)


NAMES = st.text("abcXYZ_0", min_size=1, max_size=6)
FORMS = st.dictionaries(NAMES, st.text(max_size=12), max_size=5)
URLS = st.builds(
    "{}://{}{}/{}{}".format,
    st.sampled_from(["https", "wss", "http"]),
    st.sampled_from(["voice.example.org", "a.example", "10.0.0.1"]),
    st.sampled_from(["", ":443", ":8443", ":80"]),
    st.text("abc/", max_size=8),
    st.sampled_from(["", "?a=1", "?x=%20y&z="]),
)


@given(URLS, FORMS, st.text("abcdef0123456789", min_size=1, max_size=32), st.booleans())
def test_signatures_are_those_of_twilios_own_library(url: str, form: dict[str, str], secret: str, new: bool):
    theirs = RequestValidator(secret).compute_signature(url, form, "HMAC_SHA256" if new else None)
    assert signature(url, tuple(form.items()), secret, "sha256" if new else "sha1") == theirs


@given(URLS, URLS, FORMS, st.booleans())
def test_what_is_valid_agrees_with_twilios_own_validator(called: str, asked: str, form: dict[str, str], same: bool):
    asked = called if same else asked
    given_signature = RequestValidator(TOKEN).compute_signature(called, form)
    theirs = RequestValidator(TOKEN).validate(asked, form, given_signature)
    ours = VALIDATOR.valid(asked, signed(given_signature), tuple(form.items()))
    # Their validator takes 80 for the port of a wss URL; Twilio itself connects to 443.
    assert ours == theirs or (asked.startswith("wss") and (":443" in called or ":80" in called))
