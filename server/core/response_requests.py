"""Which ``response.create`` events of a client can be carried out."""

from __future__ import annotations

from server.core import events as e
from server.core.generations import takes_server_tools
from server.core.response import Response
from server.core.state import State
from server.core.tools import name_taken

_MAX_BESIDE = 8
"""Out-of-band responses that one session may have under way."""


def refusal(fact: e.CreateResponse, active: Response | None, beside: int, state: State) -> e.Error | None:
    """The error that answers the event; None if a response can be made.

    active: the response of the default conversation that is being made. beside: how many out-of-band ones are.
    """
    overrides = fact.overrides
    in_band = overrides.conversation == "auto"
    # The client has not asked for an apology, so it need not wait until it is said.
    if in_band and active is not None and not active.apology:
        message = (
            f"Conversation already has an active response in progress: {active.id}. "
            "Wait until the response is finished before creating a new one."
        )
        return e.Error("conversation_already_has_active_response", message, None, fact.event_id)
    if not in_band and beside >= _MAX_BESIDE:
        message = f"{_MAX_BESIDE} responses outside the conversation are in progress; wait until one is finished."
        return e.Error("rate_limit_exceeded", message, None, fact.event_id, "rate_limit_error")
    for entry in overrides.input or ():
        if isinstance(entry, str) and entry not in state.conversation:
            message = f"Item '{entry}' in 'response.input' does not exist in this conversation."
            return e.Error("invalid_value", message, "response.input", fact.event_id)
    own = state.server_tools if takes_server_tools(overrides) else ()
    if taken := name_taken((tool.name for tool in overrides.tools or ()), own):
        return e.Error("invalid_value", taken, "response.tools", fact.event_id)
    return None
