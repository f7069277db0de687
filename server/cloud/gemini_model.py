"""Messages of Gemini Live in a session that is set up, as events of the Realtime API."""

from __future__ import annotations

from typing import Any

import orjson

from server.cloud import base as b
from server.cloud import gemini_wire as wire
from server.cloud.gemini_exchange import Call, Exchange
from server.core import events as e

_SYNTHESIZE_MS = 100
"""Sound since the last answer, without which an answer is to nothing that was said."""
_LONGEST_ID = 64
_CANCELLED = {"error": "cancelled"}


class ModelSide:
    """Reads the messages of one session, but for those that set it up."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._usage = e.TokenUsage()

    def read(self, message: wire.Json) -> list[b.Step]:
        """What follows from a message, whatever is in it."""
        steps: list[b.Step] = []
        if "usageMetadata" in message:
            self._usage = wire.usage(wire.as_object(message["usageMetadata"]))
        if "voiceActivity" in message:
            steps += self._activity(wire.as_object(message["voiceActivity"]))
        if "serverContent" in message:
            steps += self._content(wire.as_object(message["serverContent"]))
        if "toolCall" in message:
            steps += self._called(wire.as_list(wire.as_object(message["toolCall"]).get("functionCalls")))
        if "toolCallCancellation" in message:
            steps += self._calls_cancelled(wire.as_list(wire.as_object(message["toolCallCancellation"]).get("ids")))
        if "sessionResumptionUpdate" in message:
            self._resumable(wire.as_object(message["sessionResumptionUpdate"]))
        if "goAway" in message:
            left_s = wire.seconds(wire.as_object(message["goAway"]).get("timeLeft"))
            steps.append(b.GoingAway(left_s or 0.0))
        return steps

    def _resumable(self, update: wire.Json) -> None:
        handle = wire.as_text(update.get("newHandle"))
        if handle and update.get("resumable") is True:
            self._exchange.handle = handle, self._exchange.known

    # ---------------------------------------------------------------------------------- the caller

    def _activity(self, activity: wire.Json) -> list[b.Step]:
        caller, now_ms = self._exchange.caller, self._exchange.microphone.position_ms
        caller.tells_activity = True
        offset_s = wire.seconds(activity.get("audioOffset"))
        at_ms = now_ms if offset_s is None else min(now_ms, self._exchange.offset_ms + round(offset_s * 1000))
        match activity.get("voiceActivityType"):
            case "ACTIVITY_START":
                return list(caller.start(at_ms))
            case "ACTIVITY_END":
                return list(caller.end(at_ms))
            case _:
                return []

    def _heard(self, transcription: wire.Json) -> list[b.Step]:
        exchange = self._exchange
        answering = exchange.answers.active is not None or bool(exchange.calls) or exchange.muted
        finished = transcription.get("finished") is True
        text, now_ms = wire.as_text(transcription.get("text")), exchange.microphone.position_ms
        return list(exchange.caller.words(text, finished=finished, at_ms=now_ms, answering=answering))

    # ----------------------------------------------------------------------------------- the model

    def _content(self, content: wire.Json) -> list[b.Step]:
        exchange = self._exchange
        steps: list[b.Step] = []
        if "inputTranscription" in content:
            steps += self._heard(wire.as_object(content["inputTranscription"]))
        if "modelTurn" in content:
            exchange.busy = True
        if not exchange.muted:
            steps += self._answer(content)
        if content.get("turnComplete") is True:
            steps += self._turn_complete()
        return steps

    def _answer(self, content: wire.Json) -> list[b.Step]:
        answers, caller = self._exchange.answers, self._exchange.caller
        steps: list[b.Step] = []
        for part in wire.parts(content):
            steps += self._reply()
            steps += answers.words(part) if isinstance(part, str) else answers.say(*part)
        words = wire.as_text(wire.as_object(content.get("outputTranscription")).get("text"))
        # Words may come before the sound, and those of an answer that is over may still come.
        if words and (answers.active is not None or caller.speaking or caller.unanswered):
            steps += [*self._reply(), *answers.words(words)]
        if content.get("generationComplete") is True and answers.active is not None:
            # What is answered was understood: the end of the turn, when all is played, would be late for its words.
            steps += [*answers.made(), *caller.settle()]
        if content.get("interrupted") is True and answers.active is not None:
            answers.interrupted = True
            if not caller.tells_activity:
                steps += caller.start(self._exchange.microphone.position_ms)
        return steps

    def _reply(self) -> list[b.Step]:
        """Gemini answers: the turn that it answers is over, and a response begins, unless it has begun."""
        exchange = self._exchange
        answers, caller, now_ms = exchange.answers, exchange.caller, exchange.microphone.position_ms
        if answers.active is not None and not answers.interrupted:
            return []
        steps: list[b.Step] = list(answers.finish(e.ResponseStatus.CANCELLED, self._usage, "turn_detected"))
        told = caller.tells_activity or caller.unanswered or bool(exchange.calls)
        if not told and exchange.config.turn_detection and now_ms - exchange.answered_ms > _SYNTHESIZE_MS:
            steps += caller.start(now_ms)
        steps += caller.end(now_ms)
        exchange.trim()
        return [*steps, *exchange.begin(e.ResponseOverrides())]

    def _turn_complete(self) -> list[b.Step]:
        exchange, answers = self._exchange, self._exchange.answers
        usage, self._usage = self._usage, e.TokenUsage()
        exchange.busy = False
        settled = exchange.caller.settle()
        if not answers.interrupted:
            exchange.caller.forget_early()
        if exchange.muted:
            exchange.muted = False
            return [*settled, *exchange.tell_typed()]
        reason = "turn_detected" if answers.interrupted else None
        status = e.ResponseStatus.CANCELLED if reason else e.ResponseStatus.COMPLETED
        return [*settled, *answers.finish(status, usage, reason), *exchange.tell_typed()]

    # --------------------------------------------------------------------------------------- tools

    def _called(self, calls: list[Any]) -> list[b.Step]:
        """Gemini waits for results within its turn; for the client the response is done, so that it runs the tools."""
        exchange = self._exchange
        named = [call for call in map(wire.as_object, calls) if wire.as_text(call.get("name"))]
        if not named:
            return []
        exchange.busy = True
        if exchange.muted:
            refusals = [{"id": wire.as_text(call.get("id")), "name": call["name"]} for call in named]
            responses = [{**refusal, "response": _CANCELLED} for refusal in refusals]
            return exchange.send(toolResponse={"functionResponses": responses})
        steps = self._reply()
        for call in named:
            provider_id = wire.as_text(call.get("id"))
            usable = 0 < len(provider_id) <= _LONGEST_ID and provider_id not in exchange.calls
            call_id = provider_id if usable else exchange.new_id("call")
            exchange.calls[call_id] = Call(provider_id, call["name"])
            arguments = orjson.dumps(wire.as_object(call.get("args"))).decode()
            steps += exchange.answers.call(call_id, call["name"], arguments)
        return [*steps, *exchange.answers.finish(e.ResponseStatus.COMPLETED)]

    def _calls_cancelled(self, ids: list[Any]) -> list[b.Step]:
        calls = self._exchange.calls
        gone = self._exchange.call_off([call_id for call_id, call in calls.items() if call.provider_id in ids])
        return [b.ToolsCancelled(gone)] if gone else []
