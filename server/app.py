"""Composition root: the only file that knows every room. From Settings to a running server, and back down."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.params import Depends
from starlette.exceptions import HTTPException

from models import catalog
from models.base import ChatMessage, ChatModel, ChatRequest, Priority, VoiceError
from models.gpu import check_fits
from models.offline import stay_offline
from server import listening, phones
from server.agents.client_servers import ClientServers
from server.core.events import SessionConfig
from server.core.turns import TurnPolicy
from server.draining import DrainingServer, drain
from server.errors import SettingsError
from server.policy.access import Access
from server.policy.audit import Audit
from server.policy.egress import Egress
from server.policy.keys import Keys
from server.policy.secrets import Secrets
from server.policy.usage import UsageFile
from server.runtime.admission import Admission
from server.runtime.health import Health
from server.runtime.live import start_here
from server.runtime.runner import Engines
from server.runtime.tools import Toolbox
from server.settings import Settings
from server.telemetry.logs import log_events
from server.telemetry.metrics import Metrics
from server.transports import audio, chat, client_secrets, openai_realtime, status, web
from server.transports.auth import Gate
from server.transports.base import DoorSettings
from server.transports.bounded_websocket import bounded
from server.transports.rest import not_served
from server.transports.status import ModelEntry

if TYPE_CHECKING:
    from server.agents.agent import Agent
    from server.casting import Stage
    from server.hosted import Hosted, Providers

_log = logging.getLogger(__name__)

_MAX_FRAME = 32 * 1024 * 1024
"""Over the largest append that a client may send (15 MiB of base64), so that a larger one is answered, not cut off."""
_CLOSE_S = 5
"""For what is still open when the server has waited long enough."""
_REMEMBERED_EVERY_S = 10
"""What is not counted when the process is killed."""


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, and then until nothing is under way (see ``drain``). With TLS, SIGHUP has the
    certificate read again, for new connections.

    Raises CatalogError or WeightsError when the models cannot be run, OSError when the port cannot be had,
    SettingsError when keys or TLS are missing or cannot be used, or an agent's file is wrong, AuditError when a log is
    needed and cannot be written; all of them before anything is loaded.
    """
    stay_offline()
    resolved = catalog.resolve(settings.profile, settings.weights_dir)
    egress = _egress(settings)
    agents = _examine(settings, resolved, egress) if settings.agents.folder else {}
    hosted = _providers(settings)
    keys = Keys(settings.auth.keys_file, settings.auth.key.get_secret_value())
    tls = listening.tls_context(settings.tls)
    with listening.bind(settings.server.host, settings.server.port) as listener:
        listening.refuse_exposure(listener, settings, has_key=keys.usable)
        check_fits(catalog.profiles()[resolved.name])
        catalog.verify(resolved)
        audit = Audit(settings.audit.file) if hosted else None
        engines = catalog.load(
            resolved,
            threads={"stt": settings.engines.stt_threads, "llm": settings.engines.llm_threads},
            workers={"tts": settings.engines.tts_workers},
            batching=settings.engines.batching,
        )
        models = _load_models(settings, resolved, agents) if agents else {}
        address = listening.address(listener, tls)
        _log.info("listening", extra={"address": address, "profile": resolved.name, "why": resolved.reason})
        app = build(
            settings,
            engines,
            resolved,
            keys,
            open_metrics=not listening.exposed(listener),
            models=models,
            hosted=(hosted, audit) if hosted and audit else None,
        )
        config = uvicorn.Config(
            app,
            # Of uvicorn's two HTTP parsers the one that bounds the length of headers.
            http="h11",
            ws=bounded(stalled_s=settings.server.stalled_s, unsent_bytes=settings.server.unsent_kib * 1024),
            ws_max_size=_MAX_FRAME,
            ws_ping_interval=settings.server.ping_s,
            ws_ping_timeout=settings.server.ping_s,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=_CLOSE_S,
            log_config=None,
            access_log=False,
        )
        config.load()
        # Given as it is, and not as file names: the same context gets the renewed certificate.
        config.ssl = tls
        # uvicorn raises the signal that ended it once more when it is done: by then it has had its effect.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        DrainingServer(config, app.state.drain).run([listener])


def build(
    settings: Settings,
    engines: Engines,
    resolved: catalog.ResolvedProfile,
    keys: Keys,
    *,
    open_metrics: bool,
    models: Mapping[str, ChatModel] = MappingProxyType({}),
    hosted: tuple[Providers, Audit] | None = None,
) -> FastAPI:
    """The application over loaded engines. Its lifespan warms them up, and closes them at the end.

    open_metrics: /metrics needs no key. models: of the catalogue, that agents name beside the profile's. hosted: those
    that the operator allows, and the log in which their use is written down; it is closed at the end.
    """
    names = {"vad": engines.vad.name, "stt": engines.stt.name, "llm": engines.llm.name, "tts": engines.tts.name}
    version = importlib.metadata.version("kammerton")
    metrics = Metrics(version, names)
    usage = UsageFile(settings.auth.keys_file)
    access = Access(keys, Secrets(), usage.read())
    egress = _egress(settings)
    servers = ClientServers(lambda headers: egress.client(headers=dict(headers)))
    mcp = servers if settings.egress.client_mcp else None
    own = resolved.models["llm"].entry.name
    stage = _stage(settings, engines, own, models, egress, mcp) if settings.agents.folder else None
    elsewhere = _hosted(hosted, metrics)

    health = Health(lambda: _warm_up(engines, settings))
    fallback = settings.residency.max_sessions if hosted and hosted[0].fallbacks else 0
    admission = Admission(settings.server.max_sessions, fallback, lambda: health.ill)
    waiting_for = {"agents": "agents are getting ready"} if stage else {}

    async def open_stage() -> None:
        try:
            if stage:
                await stage.open()
        except VoiceError as error:
            waiting_for["agents"] = f"agents cannot work: {error}"
            _log.exception("agents cannot work")
        else:
            waiting_for.clear()

    async def remember() -> None:
        while True:
            await asyncio.sleep(_REMEMBERED_EVERY_S)
            usage.write(access.used)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        beside = [asyncio.create_task(one) for one in (open_stage(), health.watch(), remember(), metrics.watch_loop())]
        async with phones.running(calls, settings):
            yield
            for task in beside:
                task.cancel()
            usage.write(access.used)
            admission.draining = True
        if stage:
            await stage.close()
        if elsewhere:
            await elsewhere.close()
        for engine in (engines.vad, engines.stt, engines.llm, engines.tts):
            await engine.close()

    def missing() -> str | None:
        if admission.draining:
            return "draining"
        return waiting_for.get("agents") or health.missing

    app = FastAPI(title="Kammerton", version=version, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(HTTPException, not_served)
    door = DoorSettings(
        config=SessionConfig(
            instructions=settings.agent.instructions,
            voice=settings.agent.voice,
            language=settings.agent.language or None,
            language_floor=settings.agent.language_floor,
            voices=settings.agent.voice_by_language(),
            apologies=settings.apology.model_dump(),
            context_tokens=engines.llm.context,
        ),
        policy=TurnPolicy(**settings.turns.model_dump()),
        taps=(metrics, health, log_events),
        agents=stage.agents if stage else None,
        toolbox=lambda session_id: Toolbox(mcp=mcp),
        start=elsewhere.start if elsewhere else start_here,
        notice=settings.residency.notice,
    )
    origins = settings.auth.allowed_origins.split()
    gate = Gate(access, origins, metrics.access_refused)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"])
    guards = [Depends(gate.http)]
    served = [Depends(admission.request), *guards]
    started = int(time.time())
    loaded = [ModelEntry(name, started, kind) for kind, name in names.items()]
    loaded += [ModelEntry(name, started, "llm") for name in models]

    def listed() -> list[ModelEntry]:
        agents = stage.agents.names() if stage else ()
        return [ModelEntry(name, started, "kammerton") for name in ("kammerton", *agents)] + loaded

    page = metrics.page if settings.metrics.enabled else None
    open_metrics = open_metrics or settings.metrics.open
    app.include_router(status.router(missing, listed, page, guards, open_metrics=open_metrics))
    app.include_router(openai_realtime.router(engines, door, admission, metrics, gate))
    app.include_router(client_secrets.router(gate, door.config, openai_realtime.PATHS))

    def text_agent(name: str, caller: str) -> ChatModel | None:
        return stage.text_agent(name, caller, door.config, engines) if stage else None

    app.include_router(chat.router(engines.llm, served, text_agent))
    app.include_router(audio.router(engines, settings.agent.voice, settings.agent.language or None, served, gate.http))
    app.include_router(web.router(engines.tts.voices))
    calls = phones.open_doors(app, settings, engines, door, admission, metrics, egress)
    app.state.drain = partial(drain, admission, calls, settings.server.drain_s, settings.phone.drain_s)
    return app


def _egress(settings: Settings) -> Egress:
    try:
        return Egress(settings.egress.hosts.split())
    except ValueError as error:
        raise SettingsError(f"egress.hosts: {error}") from None


# What there is for agents takes a database library and the SDK of MCP: seconds and memory that a server without agents
# does not need.


def _examine(settings: Settings, resolved: catalog.ResolvedProfile, egress: Egress) -> Mapping[str, Agent]:
    from server.casting import examine

    return examine(settings, resolved, egress)


def _load_models(
    settings: Settings, resolved: catalog.ResolvedProfile, agents: Mapping[str, Agent]
) -> Mapping[str, ChatModel]:
    from server.casting import load_models

    return load_models(settings, resolved, agents)


def _stage(
    settings: Settings,
    engines: Engines,
    own: str,
    models: Mapping[str, ChatModel],
    egress: Egress,
    mcp: ClientServers | None,
) -> Stage:
    from server.casting import Stage

    return Stage(settings, engines, own, models, egress, mcp)


def _providers(settings: Settings) -> Providers | None:
    """Without the operator's word there is no code that could reach one. Raises SettingsError."""
    if not settings.residency.allow_cloud:
        return None
    from server.hosted import providers

    return providers(settings)


def _hosted(hosted: tuple[Providers, Audit] | None, metrics: Metrics) -> Hosted | None:
    if hosted is None:
        return None
    from server.hosted import Hosted

    return Hosted(*hosted, metrics.served_elsewhere, metrics.observe_elsewhere)


async def _warm_up(engines: Engines, settings: Settings) -> None:
    """Have every engine answer once, and the default instructions read, so that the first caller waits for none of
    that. Raises the error of the engine that does not answer."""
    second = (np.random.default_rng(0).standard_normal(16_000) * 300).astype(np.int16)
    await engines.vad.open(16_000).push(second)
    utterance = engines.stt.open()
    utterance.push(second)
    await utterance.final()
    utterance.close()
    request = ChatRequest(
        [ChatMessage("system", settings.agent.instructions), ChatMessage("user", "Hello")], max_tokens=1
    )
    # Kept by engines that keep prompts: every caller's begins with it until a client sets its own.
    await engines.llm.warm(ChatRequest(request.messages[:1], priority=Priority.BACKGROUND))
    async with aclosing(engines.llm.stream(request)) as deltas:
        async for _ in deltas:
            pass
    for voice in engines.tts.voices:
        async with aclosing(engines.tts.synthesize("Hello.", voice)) as chunks:
            async for _ in chunks:
                pass
