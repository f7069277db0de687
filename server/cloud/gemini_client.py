"""What a client asks of a Gemini Live session: items, turns by hand, responses."""

from __future__ import annotations

from typing import Any

import orjson

from server.cloud import base as b
from server.cloud import gemini_setup as terms
from server.cloud import gemini_wire as wire
from server.cloud.gemini_caller import HEARD_RATE
from server.cloud.gemini_exchange import Exchange, Typed, turns
from server.core import events as e
from server.core.conversation import ROOT, text_of

_MIN_COMMIT_MS = 100
_SAY = "Say this to the caller, word for word, and nothing else:\n"
_GO_ON = "Please go on."
_BUSY = "conversation_already_has_active_response"


class ClientSide:
    """Carries out the commands of one session."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def tell(self, command: b.Command) -> list[b.Step]:
        """See ``Dialect``."""
        match command:
            case e.CreateItem():
                return self._create_item(command)
            case e.DeleteItem():
                return self._delete_item(command)
            case e.TruncateItem():
                return self._truncate(command)
            case e.CommitAudio():
                return self._commit(command)
            case e.ClearAudio():
                return self._clear(command)
            case e.CreateResponse():
                return self._create_response(command)
            case e.CancelResponse():
                return self._cancel(command)
            case e.Say():
                return self._say(command)

    def _commit(self, command: e.CommitAudio) -> list[b.Step]:
        exchange = self._exchange
        if exchange.config.turn_detection is not None:
            message = "Gemini ends turns by itself; set 'turn_detection' to null to commit them."
            return _refused(command, "invalid_event", message)
        length_ms = exchange.held.open_ms
        if length_ms < _MIN_COMMIT_MS:
            message = f"The input audio buffer holds {length_ms} ms; a turn has at least {_MIN_COMMIT_MS}."
            return _refused(command, "input_audio_buffer_commit_empty", message)
        exchange.held.commit()
        return list(exchange.caller.commit(length_ms, exchange.microphone.position_ms))

    def _clear(self, command: e.ClearAudio) -> list[b.Step]:
        exchange = self._exchange
        if exchange.config.turn_detection is not None and exchange.caller.speaking:
            return _refused(command, "invalid_event", "Gemini has the caller's words already and cannot forget them.")
        exchange.held.clear()
        return [e.AudioCleared()]

    # ---------------------------------------------------------------------------------------- items

    def _create_item(self, command: e.CreateItem) -> list[b.Step]:
        conversation = self._exchange.conversation
        item, after = command.item, command.previous_item_id
        if item.id in conversation:
            return _refused(command, "invalid_value", f"There is an item with the id '{item.id}' already.", "item.id")
        if after not in (None, ROOT) and after not in conversation:
            return _refused(command, "invalid_value", f"There is no item '{after}'.", "previous_item_id")
        if command.audio is not None:
            message = "Gemini takes the caller's sound from the input audio buffer only."
            return _refused(command, "invalid_value", message, "item.content")
        last = conversation.last_id
        previous = conversation.insert(item, after)
        self._exchange.trim()
        events: list[b.Step] = [e.ItemAdded(item, previous), e.ItemDone(item, previous)]
        own = command.event_id == b.OWN
        return [*events, *(self._told(item, own=own) if previous == last else self._tell_again(item))]

    def _told(self, item: e.Item, *, own: bool) -> list[b.Step]:
        """A new item at the end of the conversation: Gemini learns of it now, or when it is to answer. own: it is of
        the server, whose tools go on after a caller's interruption where that is what they are for."""
        exchange = self._exchange
        exchange.appended.add(item.id)
        if item.kind is e.ItemKind.FUNCTION_CALL_OUTPUT:
            if item.call_id in exchange.cancelled and not own:
                return []
            if item.call_id in exchange.calls:
                exchange.untold.results[item.call_id] = item.output
                # Results that belong together may come one by one, and the answer may have been asked for.
                return self._give_results("") if exchange.answers.active is not None else []
        if item.role == "system" and exchange.options.takes_updates:
            exchange.notes.append(text_of(item))
            return context_update(exchange, {"systemInstruction"})
        name = exchange.cancelled.get(item.call_id, "a function")
        told = ("user", f"(Note: {text_of(item)})") if item.role == "system" else terms.said(item, name)
        if told is not None:
            exchange.untold.typed.append(Typed(item.id, *told))
        return exchange.tell_typed()

    def _tell_again(self, changed: e.Item) -> list[b.Step]:
        """The conversation is another one than Gemini has: a new session is told it, unless it is yet to be told.
        Clients tidy up many items in a row."""
        self._exchange.handle = None
        return [] if self._exchange.replays and changed.role != "system" else [b.Reopen()]

    def _delete_item(self, command: e.DeleteItem) -> list[b.Step]:
        exchange = self._exchange
        if command.item_id not in exchange.conversation:
            return _unknown(command, "delet", command.item_id)
        deleted = exchange.conversation[command.item_id]
        exchange.conversation.delete(command.item_id)
        kept = [typed for typed in exchange.untold.typed if typed.item_id != command.item_id]
        untold = len(kept) < len(exchange.untold.typed)
        exchange.untold.typed = kept
        return [e.ItemDeleted(command.item_id), *([] if untold else self._tell_again(deleted))]

    def _truncate(self, command: e.TruncateItem) -> list[b.Step]:
        if command.item_id not in self._exchange.conversation:
            return _unknown(command, "truncat", command.item_id)
        if not self._exchange.answers.spoken(command.item_id):
            message = f"Item '{command.item_id}' is no answer with sound; only those can be truncated."
            return _refused(command, "invalid_value", message, "item_id")
        return list(self._exchange.answers.truncate(command))

    # ------------------------------------------------------------------------------------ responses

    def _create_response(self, command: e.CreateResponse) -> list[b.Step]:
        exchange, overrides = self._exchange, command.overrides
        wrong = _beyond(overrides, exchange.config)
        if wrong is not None:
            return _refused(command, "invalid_value", *wrong)
        if refusal := self._occupied(command):
            return refusal
        asks = bool(overrides.instructions or exchange.untold.typed or exchange.held.committed)
        if exchange.calls and not exchange.untold.results and not asks:
            return _refused(command, "invalid_event", "The model waits for the results of its function calls.")
        # The turn that the caller has just ended is being answered as it is.
        answered = exchange.caller.unanswered and exchange.config.turn_detection is not None
        begun = exchange.begin(overrides)
        return begun if answered and not asks else [*begun, *self._ask(overrides.instructions or "")]

    def _occupied(self, command: e.CreateResponse | e.Say) -> list[b.Step]:
        """Who asks for an answer has to wait; none if not."""
        exchange = self._exchange
        if exchange.answers.active is not None and not exchange.answers.generated:
            return _refused(command, _BUSY, "Conversation already has an active response in progress.")
        if exchange.caller.speaking:
            return _refused(command, _BUSY, "The caller is speaking; Gemini answers when they are done.")
        return []

    def _say(self, command: e.Say) -> list[b.Step]:
        exchange = self._exchange
        if refusal := self._occupied(command):
            return refusal
        if not exchange.may_say:
            return _refused(command, _BUSY, "The model waits for the results of its function calls.")
        begun = exchange.begin(e.ResponseOverrides())
        if exchange.untold.results:
            return [*begun, *self._give_results(_SAY + command.text)]
        return [*begun, *self._interrupt(), *self._turn([Typed("", "user", _SAY + command.text)])]

    def _ask(self, instructions: str) -> list[b.Step]:
        """Have Gemini answer what waits for it: results, the caller's sound, typed words."""
        exchange = self._exchange
        if exchange.untold.results:
            return self._give_results(instructions)
        typed, exchange.untold.typed = exchange.untold.typed, []
        if instructions:
            typed.append(Typed("", "user", instructions))
        sound = exchange.held.take()
        steps = self._interrupt()
        if not sound:
            return [*steps, *self._turn(typed)]
        early = exchange.options.takes_typed_turns
        if typed and early:
            steps += exchange.send(clientContent={"turns": turns(typed), "turnComplete": False})
        steps += exchange.send(realtimeInput={"activityStart": {}})
        if typed and not early:
            steps += exchange.send(realtimeInput={"text": _joined(typed)})
        steps += exchange.sent([wire.audio_frame(piece, HEARD_RATE) for piece in sound])
        exchange.caller.sent()
        return [*steps, *exchange.send(realtimeInput={"activityEnd": {}})]

    def _turn(self, typed: list[Typed]) -> list[b.Step]:
        """A turn of typed words. Without any, Gemini answers what it has."""
        exchange = self._exchange
        told, exchange.untold.told = exchange.untold.told, False
        if exchange.options.takes_typed_turns:
            content = typed or ([] if told else [Typed("", "user", self._nudge())])
            return exchange.send(clientContent={"turns": turns(content), "turnComplete": True})
        return exchange.send(realtimeInput={"text": _joined(typed) or self._nudge()})

    def _nudge(self) -> str:
        """After a replay the caller's last words are history: they are asked once more."""
        conversation = self._exchange.conversation
        last = conversation[conversation.last_id] if conversation.last_id is not None else None
        return (text_of(last) if last is not None and last.role == "user" else "") or _GO_ON

    def _interrupt(self) -> list[b.Step]:
        """What Gemini is still saying ends by the next input; what comes of it until then is not of the new answer."""
        exchange = self._exchange
        exchange.muted = exchange.muted or exchange.busy
        gone = exchange.call_off(list(exchange.calls))
        return [b.ToolsCancelled(gone)] if gone else []

    def _give_results(self, instructions: str) -> list[b.Step]:
        exchange = self._exchange
        responses = []
        for call_id, output in exchange.untold.results.items():
            call = exchange.calls.pop(call_id)
            response = {"output": _value(output), **({"instructions": instructions} if instructions else {})}
            responses.append({"id": call.provider_id, "name": call.name, "response": response})
        exchange.untold.results = {}
        return exchange.send(toolResponse={"functionResponses": responses})

    def _cancel(self, command: e.CancelResponse) -> list[b.Step]:
        active = self._exchange.answers.active
        if active is None or command.response_id not in (None, active.id):
            return _refused(command, "response_cancel_not_active", "Cancellation failed: no active response found.")
        self._exchange.muted = True
        return list(self._exchange.answers.finish(e.ResponseStatus.CANCELLED, reason="client_cancelled"))


def context_update(exchange: Exchange, changed: set[str]) -> list[b.Step]:
    """Tell the model within the connection. changed: which of systemInstruction and tools."""
    update: terms.Json = {}
    if "systemInstruction" in changed:
        update["systemInstruction"] = {"parts": [{"text": terms.instructions(exchange.config, exchange.notes)}]}
    if "tools" in changed:
        update["tools"] = {"tools": terms.tools(exchange.config)}
    return exchange.send(contextUpdate=update)


def _refused(command: b.Command, code: str, message: str, param: str | None = None) -> list[b.Step]:
    return [b.Refused(command, e.Error(code, message, param))]


def _unknown(command: b.Command, stem: str, item_id: str) -> list[b.Step]:
    message = f"Error {stem}ing item: the item with id '{item_id}' does not exist in this conversation."
    return _refused(command, f"item_{stem}e_invalid_item_id", message, "item_id")


def _beyond(overrides: e.ResponseOverrides, config: e.SessionConfig) -> tuple[str, str] | None:
    """What of a single response's wishes Gemini cannot fulfil: a message and the field; None if it can all."""
    if overrides.conversation != "auto":
        return "Gemini answers within the conversation only.", "response.conversation"
    wishes = {
        "input": overrides.input is not None,
        "output_modalities": overrides.modality not in (None, config.modality),
        "tools": overrides.tools is not None and overrides.tools != config.tools,
        "tool_choice": overrides.tool_choice not in (None, config.tool_choice),
    }
    name = next((name for name, wished in wishes.items() if wished), None)
    return None if name is None else (f"Gemini cannot change '{name}' for one response.", f"response.{name}")


def _joined(typed: list[Typed]) -> str:
    return "\n".join(one.words if one.role == "user" else f"(You have said: {one.words})" for one in typed)


def _value(output: str) -> Any:
    """A result as the model reads it: JSON where it is some."""
    try:
        return orjson.loads(output)
    except orjson.JSONDecodeError:
        return output
