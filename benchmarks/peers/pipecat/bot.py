"""Pipecat's cascade of local services behind a WebSocket. Runs in the peers' environment only.

Two variants. ``default``: every setting is Pipecat's own (a turn ends when Silero has heard 0.2 s of silence and
smart-turn takes the turn for complete, else after 3 s). ``tuned``: a turn ends after a fixed silence, the hold that the
measured server has, too: 0.2 s by VAD, during the rest of it the transcriber works already; weights are shared between
calls, and Whisper's window is cut from 30 s to 10 s.

In both, Whisper is told not to write timestamps, which the bundled weights were never taught.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from faster_whisper import WhisperModel  # type: ignore[import-untyped]
from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.piper.tts import PiperTTSService
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from benchmarks.peers.pipecat.dialect import Dialect, Events

_BUNDLED = Path(__file__).resolve().parents[3] / "models" / "bundled"
_VAD_STOP_S = 0.2


class Transcriber(WhisperModel):
    """faster-whisper with other defaults. options: of ``transcribe``."""

    def __init__(self, folder: str, options: Mapping[str, Any]) -> None:
        super().__init__(folder, device="cpu")
        self._options = options

    def transcribe(self, audio: Any, **options: Any) -> Any:
        return super().transcribe(audio, **self._options, **options)


@cache
def shared_transcriber(folder: str) -> Transcriber:
    return Transcriber(folder, {"without_timestamps": True, "chunk_length": 10})


class Stt(WhisperSTTService):
    """tuned: one model for all calls."""

    def __init__(self, *, tuned: bool) -> None:
        self._tuned = tuned
        super().__init__(settings=WhisperSTTService.Settings(model=str(_BUNDLED / "stt" / "tiny")))

    def _load(self) -> None:
        folder = str(self._settings.model)
        alone = {"without_timestamps": True}
        self._model = shared_transcriber(folder) if self._tuned else Transcriber(folder, alone)


class Bot:
    """One call. Its session's configuration is what the client's first ``session.update`` says."""

    def __init__(self, socket: WebSocket, session: Mapping[str, Any], arguments: argparse.Namespace) -> None:
        tuned = arguments.variant == "tuned"
        stop = SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=arguments.hold_ms / 1000 - _VAD_STOP_S)
        strategies = UserTurnStrategies(stop=[stop]) if tuned else UserTurnStrategies()
        context = LLMContext(tools=ToolsSchema([_schema(tool) for tool in session.get("tools", [])]))
        aggregators = LLMContextAggregatorPair(
            context,
            user_params=LLMUserAggregatorParams(user_turn_strategies=strategies, vad_analyzer=SileroVADAnalyzer()),
        )
        instructions = session.get("instructions", arguments.instructions)
        llm = OpenAILLMService(
            api_key="none",
            base_url=arguments.chat,
            settings=OpenAILLMService.Settings(model=arguments.model, system_instruction=instructions),
        )
        tts = PiperTTSService(download_dir=_BUNDLED / "tts", settings=PiperTTSService.Settings(voice=arguments.voice))
        dialect = Dialect()
        params = FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            serializer=dialect,
        )
        transport = FastAPIWebsocketTransport(socket, params)
        events = Events(socket, dialect)
        llm.register_function(None, events.ask_client)
        hearing = [transport.input(), Stt(tuned=tuned), events.heard, aggregators.user()]
        answering = [llm, events.thought, tts, events.said, transport.output(), aggregators.assistant()]
        self.worker = PipelineWorker(Pipeline([*hearing, *answering]), enable_rtvi=False)
        self._transport = transport

    async def run(self) -> None:
        """Until the client hangs up."""

        @self._transport.event_handler("on_client_disconnected")
        async def hung_up(*_: object) -> None:
            await self.worker.cancel()

        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        await runner.run()


def _schema(tool: Mapping[str, Any]) -> FunctionSchema:
    parameters = tool.get("parameters", {})
    return FunctionSchema(
        name=tool["name"],
        description=tool.get("description", ""),
        properties=parameters.get("properties", {}),
        required=parameters.get("required", []),
    )


async def configure(socket: WebSocket, kind: str, hold_ms: int) -> dict[str, Any]:
    """Shake hands as a Realtime server does; the session that the client asked for.

    The only settings taken are instructions and tools; all others are those of the variant.
    """
    detection = {"type": kind, "silence_duration_ms": hold_ms}
    session: dict[str, Any] = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    await socket.send_text(json.dumps({"type": "session.created", "session": session}))
    while (event := json.loads(await socket.receive_text()))["type"] != "session.update":
        pass
    asked = {key: event["session"][key] for key in ("instructions", "tools") if key in event["session"]}
    await socket.send_text(json.dumps({"type": "session.updated", "session": session | asked}))
    return asked


def application(arguments: argparse.Namespace) -> FastAPI:
    """The server: ``/v1/realtime``, and ``/readyz``."""
    app = FastAPI()
    tuned = ("silero, then a fixed silence", arguments.hold_ms)
    kind, hold_ms = tuned if arguments.variant == "tuned" else ("silero and smart-turn", round(_VAD_STOP_S * 1000))

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.websocket("/v1/realtime")
    async def realtime(socket: WebSocket) -> None:
        await socket.accept()
        try:
            session = await configure(socket, kind, hold_ms)
        except WebSocketDisconnect:
            return
        await Bot(socket, session, arguments).run()

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", choices=("default", "tuned"), default="default")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chat", required=True, help="URL of the chat completions API, up to /v1")
    parser.add_argument("--model", default="kammerton", help="chat model, as that API names it")
    parser.add_argument("--voice", default="en_US", help="name of a bundled voice")
    parser.add_argument("--hold-ms", type=int, default=500, help="silence that ends a turn of the tuned variant")
    parser.add_argument("--instructions", default="You are a friendly phone assistant. Answer in short sentences.")
    arguments = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    uvicorn.run(
        application(arguments), host="127.0.0.1", port=arguments.port, log_level="warning", ws_per_message_deflate=False
    )


if __name__ == "__main__":
    main()
