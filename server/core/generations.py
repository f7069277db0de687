"""What a response is made from: the part of the conversation that the model reads, tools, voice and limits."""

from __future__ import annotations

from server.core import events as e
from server.core.conversation import context, text_of
from server.core.economy import Economy, characters_of, fixed_characters
from server.core.language import with_language
from server.core.response import Response
from server.core.state import State
from server.core.tools import in_language


class Generations:
    """Makes the Generation of each response of a Session, and learns from each how long a prompt may be."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._economy = Economy()

    def learn(self, response: Response, tokens: int) -> None:
        """The response's prompt was this many tokens long."""
        self._economy.learn(response.characters, tokens)

    def exceeded(self, response: Response, tokens: int | None) -> None:
        """The response's prompt was too long."""
        self._economy.exceeded(response.characters, tokens)

    def make(self, response: Response, said: e.Item | None = None, language: str | None = None) -> e.Generation | None:
        """All that the response is made from; None when the conversation does not fit and may not be cut.
        said: what the caller said last, where it is no item yet."""
        state, overrides, view = self._state, response.overrides, response.view
        config, conversation = state.config, state.conversation
        language = language or state.spoken_language
        instructions = config.instructions if overrides.instructions is None else overrides.instructions
        # What is asked beside the conversation need not be an answer to the caller: a summary, a label.
        if language is not None and response.default and state.expected_language not in (None, language):
            instructions = with_language(instructions, language)
        own = state.server_tools if takes_server_tools(overrides) else ()
        taken = {tool.tool.name for tool in own}
        clients = config.tools if overrides.tools is None else overrides.tools
        tools = (*(tool.tool for tool in own), *(tool for tool in clients if tool.name not in taken))
        response.said = said
        new = [] if said is None else [said]
        earlier_turns = 0
        if overrides.input is None:
            everything = [*conversation, *new]
            fitting = self._economy.fit(everything, instructions, tools, config)
            if fitting is None:
                return None
            items = fitting
            cut = everything[: len(everything) - len(items)]
            earlier_turns = sum(item.role == "user" and bool(text_of(item)) for item in cut)
        else:
            items = [conversation[entry] if isinstance(entry, str) else entry for entry in overrides.input] + new
        response.characters = fixed_characters(instructions, tools) + sum(map(characters_of, items))
        parallel = overrides.parallel_tool_calls
        return e.Generation(
            response_id=response.id,
            messages=context(items, instructions, state.heard_text, state.disowned),
            tools=tools,
            tool_choice=overrides.tool_choice or config.tool_choice,
            max_output_tokens=view.max_output_tokens,
            temperature=config.temperature if overrides.temperature is None else overrides.temperature,
            modality=view.modality,
            voice=view.voice,
            language=language,
            speed=config.speed,
            output_format=view.output_format,
            parallel_tool_calls=config.parallel_tool_calls if parallel is None else parallel,
            fillers={tool.tool.name: in_language(tool.policy.filler, language) for tool in own},
            script=response.script or None,
            house_voice=config.voices.get(language or "", ""),
            agent=config.agent,
            earlier_turns=earlier_turns,
        )


def opening_view(overrides: e.ResponseOverrides, state: State) -> e.ResponseView:
    """A new response as the client sees it first: the session's configuration with the overrides."""
    config = state.config
    return e.ResponseView(
        id=state.new_id("resp"),
        status=e.ResponseStatus.IN_PROGRESS,
        conversation=state.conversation_id if overrides.conversation == "auto" else "",
        modality=overrides.modality or config.modality,
        voice=overrides.voice or config.voice,
        output_format=overrides.output_format or config.output_format,
        max_output_tokens=overrides.max_output_tokens or config.max_output_tokens,
        metadata=overrides.metadata,
    )


def takes_server_tools(overrides: e.ResponseOverrides) -> bool:
    """Whether the response has a place where their results can go."""
    return overrides.conversation == "auto" and overrides.input is None


def said_by_caller(text: str) -> e.Item:
    """Words of the caller that are no item yet."""
    return e.Item("", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", text),))
