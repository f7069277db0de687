"""Whatever Gemini sends and a client asks, the events keep the protocol's order."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.cloud import base as b
from server.core import events as e
from tests.cloud.gemini_dialect import BY_HAND, NEW, OLD, PCM, Session, message

_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_SOUND = base64.b64encode(PCM[:960]).decode()
_PART = st.sampled_from(
    [
        {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": _SOUND}},
        {"inlineData": {"mimeType": "audio/pcm;rate=16000", "data": _SOUND}},
        {"inlineData": {"mimeType": "audio/pcm;rate=7", "data": "!"}},
        {"text": "word"},
        {"text": "hm", "thought": True},
    ]
)
_WORDS = st.fixed_dictionaries({"text": st.sampled_from(["", " yes", "no"])}, optional={"finished": st.booleans()})
_CONTENT = st.fixed_dictionaries(
    {},
    optional={
        "modelTurn": st.fixed_dictionaries({"parts": st.lists(_PART, max_size=2)}) | _JUNK,
        "inputTranscription": _WORDS | _JUNK,
        "outputTranscription": _WORDS | _JUNK,
        "generationComplete": st.booleans(),
        "interrupted": st.booleans(),
        "turnComplete": st.booleans(),
    },
)
_IDS = st.sampled_from(["f1", "f2", "f3", ""])
_CALL = st.fixed_dictionaries({"name": st.sampled_from(["a", ""])}, optional={"id": _IDS | _JUNK, "args": _JUNK})
_ACTIVITY = st.sampled_from(["ACTIVITY_START", "ACTIVITY_END", "?"])
_MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "serverContent": _CONTENT,
        "toolCall": st.fixed_dictionaries({"functionCalls": st.lists(_CALL, max_size=2)}) | _JUNK,
        "toolCallCancellation": st.fixed_dictionaries({"ids": st.lists(_IDS, max_size=2)}) | _JUNK,
        "voiceActivity": st.fixed_dictionaries({"voiceActivityType": _ACTIVITY, "audioOffset": st.just("0.1s")}),
        "usageMetadata": _JUNK,
        "goAway": _JUNK,
        "sessionResumptionUpdate": _JUNK,
    },
)
_FRAME = st.one_of(
    _MESSAGE.map(lambda value: json.dumps(value).encode()),
    _JUNK.map(json.dumps),
    st.binary(max_size=20),
    st.text(max_size=20),
)


def _commands() -> st.SearchStrategy[b.Command]:
    ids = st.sampled_from(["i1", "i2", "i3"])
    typed = ids.map(lambda item_id: message(item_id, "user", "Hello"))
    output = _IDS.map(lambda call: e.Item(f"o{call}", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id=call, output="{}"))
    return st.one_of(
        (typed | output).map(lambda item: e.CreateItem("e", item, None)),
        ids.map(lambda item_id: e.DeleteItem("e", item_id)),
        ids.map(lambda item_id: e.TruncateItem("e", item_id, 0, 10)),
        st.builds(e.CommitAudio, st.just("e"), st.just(0)),
        st.builds(e.ClearAudio, st.just("e"), st.just(0)),
        st.just(e.CreateResponse("e")),
        st.just(e.CreateResponse("e", e.ResponseOverrides(instructions="Greet."))),
        st.just(e.CancelResponse("e")),
        st.just(e.Say("Good day.")),
    )


def _carried_out(session: Session, action: object) -> None:
    match action:
        case int():
            session.hear(action)
        case str() | bytes():
            session.see(session.dialect.read(action))
        case _:
            session.tell(action)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [NEW, OLD])
@pytest.mark.parametrize("by_hand", [False, True])
@settings(max_examples=60, deadline=None)
@given(actions=st.lists(st.one_of(_FRAME, _FRAME, _commands(), st.sampled_from([100, 300])), max_size=30))
def test_whatever_comes_the_events_keep_their_order(model: str, by_hand: bool, actions: list[object]):
    session = Session(model, BY_HAND if by_hand else e.SessionConfig())
    for action in actions:
        _carried_out(session, action)
    for _ in range(2):
        session.content(turnComplete=True)
    assert not session.order.open


@pytest.mark.parametrize(
    "frame", ['{"serverContent": {"modelTurn": 3}}', '{"toolCall": null}', "[]", "nonsense", '{"a":']
)
def test_what_is_not_understood_is_passed_over(frame: str):
    assert Session().dialect.read(frame) == []
