"""Tools that are typed async Python functions: the schema comes from the signature, the description from the docstring.

@tool(safe=True)
async def get_price(service: str) -> dict[str, float]:
    "Price of a service."
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from models.base import ToolSpec
from server.core.tools import ToolPolicy
from server.errors import SettingsError, ToolError
from server.runtime.tools import Partial, Result, ToolCall, ToolContext

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "__kammerton_tool__"

Digits = Annotated[str, Field(json_schema_extra={"format": "digits"})]
"""A parameter that callers dictate: "zero three, double one" comes as 0311. See server/runtime/dictation.py."""
Letters = Annotated[str, Field(json_schema_extra={"format": "letters"})]
"""A spelled name: "A for apple, N, N, A" comes as ANNA."""
Code = Annotated[str, Field(json_schema_extra={"format": "code"})]
"""Letters and digits."""
Email = Annotated[str, Field(json_schema_extra={"format": "email"})]
"""An e-mail address: "anna dot may at example dot com" comes as anna.may@example.com."""


def tool(**policy: Any) -> Callable[[Function], Function]:
    """Mark a function as a tool. policy: fields of ToolPolicy, such as ``safe``, ``timeout_s`` or ``filler``."""

    def mark(function: Function) -> Function:
        setattr(function, _MARK, ToolPolicy(**policy))
        return function

    return mark


class PythonTool:
    """See RunnableTool. The function is ``async def`` and returns its result (anything that JSON can say, or a Result),
    or yields Partials and then a Result. A parameter annotated as ToolContext or ToolCall gets that instead of an
    argument. Raises SettingsError for a function that cannot be a tool."""

    def __init__(self, function: Callable[..., Any], policy: ToolPolicy | None = None) -> None:
        self._function = function
        self._streams = inspect.isasyncgenfunction(function)
        if not (self._streams or inspect.iscoroutinefunction(function)):
            raise SettingsError(f"{function.__qualname__} is no async function")
        self._given: dict[str, type] = {}
        self._arguments = self._read_signature()
        self._spec = ToolSpec(
            function.__name__, inspect.cleandoc(function.__doc__ or "").split("\n\n")[0], _schema(self._arguments)
        )
        marked: ToolPolicy = getattr(function, _MARK, ToolPolicy())
        self._policy = policy or marked

    @property
    def spec(self) -> ToolSpec:
        """See RunnableTool."""
        return self._spec

    @property
    def policy(self) -> ToolPolicy:
        """See RunnableTool."""
        return self._policy

    def with_policy(self, policy: ToolPolicy) -> PythonTool:
        """The same function, run otherwise."""
        return PythonTool(self._function, policy)

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        """See RunnableTool."""
        try:
            checked = self._arguments.model_validate(dict(call.arguments))
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise ToolError("; ".join(faults)) from None
        values = {name: getattr(checked, name) for name in type(checked).model_fields}
        values |= {name: context if kind is ToolContext else call for name, kind in self._given.items()}
        if self._streams:
            async for piece in self._function(**values):
                yield piece
        else:
            value = await self._function(**values)
            yield value if isinstance(value, Result) else Result(value)

    def _read_signature(self) -> type[BaseModel]:
        function = self._function
        hints = get_type_hints(function, include_extras=True)
        fields: dict[str, Any] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise SettingsError(f"{function.__qualname__}: parameter {name} needs a type, and a value of its own")
            if hints[name] in (ToolContext, ToolCall):
                self._given[name] = hints[name]
            else:
                default = ... if parameter.default is parameter.empty else parameter.default
                fields[name] = (hints[name], default)
        return create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def load_tools(folder: Path, wanted: str) -> dict[str, PythonTool]:
    """Tools by name. wanted: ``file.py:function``, or ``file.py`` for all of its functions that are marked; the file is
    relative to the folder. Each call reads the file again. Raises SettingsError."""
    name, _, function = wanted.partition(":")
    module = _load(folder / name)
    if function:
        found: dict[str, Any] = {function: getattr(module, function, None)}
    else:
        found = {key: value for key, value in vars(module).items() if hasattr(value, _MARK)}
    if not found:
        raise SettingsError(f"{name} has no function marked with @tool")
    for key, value in found.items():
        if not inspect.isfunction(value):
            raise SettingsError(f"{name} has no function {key}")
    tools = [PythonTool(value) for value in found.values()]
    return {one.spec.name: one for one in tools}


def _load(path: Path) -> ModuleType:
    # Not entered in sys.modules: two agents may each have a file of this name, and an edited one is read anew. Compiled
    # here: Python's cache takes an edit within the same second that keeps the length for no edit.
    module = ModuleType(f"agent_tools_{path.stem}")
    module.__file__ = str(path)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} is no Python file") from error
    try:
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    except Exception as error:
        raise SettingsError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema of the argument object, as short as it can be: every word of it is a token that the model reads."""
    full = model.model_json_schema()
    schema = {
        "type": "object",
        "properties": {name: _plain(one) for name, one in full.get("properties", {}).items()},
        "required": full.get("required", []),
    }
    return schema | ({"$defs": full["$defs"]} if "$defs" in full else {})


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Without its title; what may be null because it may be left out is said by ``required`` alone."""
    plain = {key: value for key, value in schema.items() if key != "title"}
    if "default" in plain and plain["default"] is None:
        del plain["default"]
        kinds = [kind for kind in plain.get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            del plain["anyOf"]
            plain |= kinds[0]
    return plain
