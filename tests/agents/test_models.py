"""Chat models of agents: checked, made once, and changed with the agent in the middle of a call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Header
from fastapi.params import Depends

from models import catalog
from models.base import ChatModel, ChatRequest, EngineError
from server.agents.files import ModelEntry
from server.agents.models import ChatModels
from server.casting import Stage, examine, load_models
from server.core import events as e
from server.errors import SettingsError
from server.policy.egress import Egress
from server.settings import Settings
from server.transports import chat
from tests.agents.test_calls_of_agents import Model, ask, handed, role, write
from tests.agents.test_library import BOOKING
from tests.runtime.session import call
from tests.transports.http_server import serving

OWN = "receptionist-tiny"


def settings(folder: Path, **more: Any) -> Settings:
    store = {"url": f"sqlite:///{folder}/store.db"}
    agents = {"folder": str(folder), "secrets_file": folder / "own" / "secrets.toml"}
    return Settings(agents=agents, store=store, **more)


def engines(llm: ChatModel) -> Any:
    stt = SimpleNamespace(name="deaf", languages=())
    return SimpleNamespace(vad=None, stt=stt, llm=llm, tts=SimpleNamespace(voices=catalog.voices(RESOLVED)))


RESOLVED = catalog.resolve("tiny", Path("nowhere"))


@asynccontextmanager
async def stage(folder: Path, llm: ChatModel, models: Mapping[str, ChatModel]) -> AsyncIterator[Stage]:
    found = Stage(settings(folder), engines(llm), OWN, models, Egress(), None)
    try:
        await found.open()
        yield found
    finally:
        await found.close()


async def test_the_model_changes_with_the_agent_and_back(tmp_path: Path) -> None:
    small = Model("Hello.", handed("booking", '{"service": "haircut"}'), "Anything else?")
    large = Model("For which day?", handed("router"))
    small.context, large.context = 1_000, 9_000
    models = ChatModels(small, {"large": large}, lambda wanted: small)
    folder = write(tmp_path, booking=BOOKING.replace("[accepts]", 'model.name = "large"\n[accepts]'))
    cast = role(folder, "router", small, models)
    async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
        assert runner.config.context_tokens == 1_000
        assert await ask(runner, client, "Hello?") == "Hello."
        assert await ask(runner, client, "I want a haircut.") == "For which day?"
        assert (runner.config.agent, runner.config.context_tokens) == ("booking", 9_000)
        assert await ask(runner, client, "I changed my mind.") == "Anything else?"
        assert (runner.config.agent, runner.config.context_tokens) == ("router", 1_000)
    assert [request.agent for request in small.asked] == ["router", "router", "router"]
    assert [request.agent for request in large.asked] == ["booking", "booking"]
    assert {request.agent for request in large.warmed} == {"booking"}


async def test_a_model_is_made_once_for_all_agents_that_name_it() -> None:
    made: list[ModelEntry] = []

    def reach(wanted: ModelEntry) -> ChatModel:
        made.append(wanted)
        return Model()

    own, large = Model(), Model()
    models = ChatModels(own, {"large": large}, reach)
    assert models.of(None) is own
    assert models.of(ModelEntry(name="large")) is large
    here, again, other = (ModelEntry(name=name, url="http://localhost/v1") for name in ("a", "a", "b"))
    assert models.of(here) is models.of(again)
    assert models.of(other) is not models.of(here)
    assert made == [here, other]
    with pytest.raises(SettingsError, match="huge was not loaded when the server started"):
        models.of(ModelEntry(name="huge"))


async def test_an_agent_is_answered_by_the_server_that_its_file_names_with_the_key_of_a_secret(tmp_path: Path) -> None:
    shown: list[str | None] = []
    # It is warmed up by the server, and again by the call.
    elsewhere = Model(*["We are open."] * 3)

    async def look(authorization: str | None = Header(None)) -> None:
        shown.append(authorization)

    secrets = tmp_path / "own" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.write_text('crm = "sesame"')
    secrets.chmod(0o600)
    async with serving(chat.router(elsewhere, [Depends(look)])) as url:
        model = f'[model]\nurl = "{url}/v1"\nname = "large"\nkey = "${{crm}}"\ncontext = 4096\n'
        (tmp_path / "front.toml").write_text(f'instructions = "You are Anna."\n{model}')
        own = Model()
        async with stage(tmp_path, own, {}) as found:
            cast = found.agents.cast("front", e.SessionConfig(turn_detection=None), engines(own), "sess_1")
            assert cast is not None
            assert cast.config.context_tokens == 4096
            async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
                assert await ask(runner, client, "Are you open?") == "We are open."
    assert set(shown) == {"Bearer sesame"}
    assert own.asked == []
    assert elsewhere.asked[-1].messages[0].text == "You are Anna."


async def test_a_server_that_is_down_is_told_and_the_other_agents_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path)
    (tmp_path / "front.toml").write_text('instructions = "A."\nmodel = { url = "http://127.0.0.1:9/v1", name = "m" }\n')
    own = Model("Hello.")
    async with stage(tmp_path, own, {}) as found:
        assert "an agent's model does not answer" in caplog.text
        cast = found.agents.cast("router", e.SessionConfig(turn_detection=None), engines(own), "sess_1")
        assert cast is not None
        async with call(cast.engines.llm, cast.config, cast.toolbox) as (runner, client):
            assert await ask(runner, client, "Hello?") == "Hello."


async def test_a_model_of_this_machine_that_cannot_answer_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "front.toml").write_text('instructions = "A."\nmodel.name = "large"\n')
    with pytest.raises(EngineError, match="no memory"):
        async with stage(tmp_path, Model(), {"large": Model(EngineError("large", "no memory"))}):
            pass


def test_the_profiles_own_model_is_not_loaded_twice(tmp_path: Path) -> None:
    (tmp_path / "front.toml").write_text(f'instructions = "A."\nmodel.name = "{OWN}"\n')
    agents = examine(settings(tmp_path), RESOLVED, Egress())
    assert load_models(settings(tmp_path), RESOLVED, agents) == {}
    (tmp_path / "front.toml").write_text('instructions = "A."\n')
    assert examine(settings(tmp_path), RESOLVED, Egress())["front"].file.model is None


async def test_an_entry_of_the_catalogue_is_loaded_beside_the_profiles(tmp_path: Path) -> None:
    (tmp_path / "front.toml").write_text(f'instructions = "A."\nmodel.name = "{OWN}"\n')
    # As if the profile had another one: there is only one chat model that comes with the source.
    there = catalog.resolve("cpu", tmp_path).models["llm"]
    other = catalog.ResolvedProfile("other", "", "", {**RESOLVED.models, "llm": there})
    agents = examine(settings(tmp_path), other, Egress())
    [(name, model)] = load_models(settings(tmp_path), other, agents).items()
    assert (name, model.name, model.context) == (OWN, OWN, 1024)
    await model.warm(ChatRequest([]))
    await model.close()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('model.name = "giant"', "front.toml:2: model: 'giant' is no llm entry of the catalogue; there are: rec"),
        ('model.name = "qwen3-1.7b"', "front.toml:2: model: the weights of qwen3-1.7b are missing; get them with"),
        ('model.key = "${x}"', "front.toml:2: model.name: field required"),
        ('model = { name = "m", key = "${x}" }', "front.toml:2: model: key and context are those of a server"),
        ('model = { name = "m", url = "ftp://x" }', "front.toml:2: model.url: string should match"),
        ('model = { name = "m", url = "http://localhost", key = "abc" }', "front.toml:2: model.key: string should"),
        ('model = { name = "m", url = "https://llm.example/v1" }', "front.toml:2: model: llm.example:443 is not among"),
        ('model = { name = "m", url = "http://localhost", key = "${x}" }', "front.toml:2: model: cannot read the sec"),
        ('voices.en = "en_GB"', "front.toml:2: voices.en: there is no voice 'en_GB', but en_US, de_DE"),
        ('[[tools]]\npython = "gone.py"', "front.toml:2: tools.0: "),
    ],
)
def test_what_cannot_be_had_is_told_before_anything_is_loaded(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "front.toml").write_text(f'instructions = "A."\n{line}\n')
    with pytest.raises(SettingsError) as caught:
        examine(settings(tmp_path, weights_dir=tmp_path / "none"), RESOLVED, Egress())
    assert told in str(caught.value)


def test_a_number_whose_agent_does_not_exist_is_told_at_the_start(tmp_path: Path) -> None:
    write(tmp_path)
    examine(settings(tmp_path, phone={"agents": "+4930123=booking *=router"}), RESOLVED, Egress())
    with pytest.raises(SettingsError, match=r"phone\.agents: \* is for 'front', which is no agent of"):
        examine(settings(tmp_path, phone={"agents": "+4930123=booking *=front"}), RESOLVED, Egress())
