"""Tools that are typed async Python functions: the schema comes from the signature, the description from the docstring.

@tool(safe=True)
async def get_price(service: str) -> dict[str, float]:
    "Price of a service."
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

from models.base import ToolSpec
from server.agents.files import PolicyEntry
from server.core.tools import ToolPolicy
from server.errors import SettingsError, ToolError
from server.runtime.tools import Partial, Result, ToolCall, ToolContext

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "__kammerton_tool__"
_SOURCE = "__kammerton_source__"

Digits = Annotated[str, Field(json_schema_extra={"format": "digits"})]
"""A parameter that callers dictate: "zero three, double one" comes as 0311. See server/runtime/dictation.py."""
Letters = Annotated[str, Field(json_schema_extra={"format": "letters"})]
"""A spelled name: "A for apple, N, N, A" comes as ANNA."""
Code = Annotated[str, Field(json_schema_extra={"format": "code"})]
"""Letters and digits."""
Email = Annotated[str, Field(json_schema_extra={"format": "email"})]
"""An e-mail address: "anna dot may at example dot com" comes as anna.may@example.com."""


def tool(**policy: Any) -> Callable[[Function], Function]:
    """Mark a function as a tool. policy: how it is run, with the names and values of a ``[[tools]]`` table, such as
    ``safe``, ``timeout_s`` or ``filler`` (words, or words by language). Raises SettingsError for any other."""
    try:
        said = PolicyEntry.model_validate(policy).policy
    except ValidationError as error:
        raise SettingsError("; ".join(map(_misplaced, error.errors()))) from None

    def mark(function: Function) -> Function:
        setattr(function, _MARK, ToolPolicy(**said))
        return function

    return mark


def _misplaced(fault: Mapping[str, Any]) -> str:
    """What is wrong with a word of the mark."""
    name = ".".join(map(str, fault["loc"]))
    known = ", ".join(PolicyEntry.model_fields)
    told = f"there is no such word, but {known}" if fault["type"] == "extra_forbidden" else fault["msg"]
    return f"@tool: {name}: {told[:1].lower()}{told[1:]}"


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
        try:
            self._arguments = self._read_signature()
            parameters = _schema(self._arguments)
        except (NameError, TypeError, PydanticUserError) as error:
            told = str(error).splitlines()[0]
            raise SettingsError(f"{function.__qualname__}: its types cannot be told to a model: {told}") from None
        description = inspect.cleandoc(function.__doc__ or "").split("\n\n")[0]
        self._spec = ToolSpec(function.__name__, description, parameters)
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
    relative to the folder. It is run once for all who want it, and again when its text has changed. Raises
    SettingsError."""
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
    """The module of this file, as its text is now. Two agents that name the file share what it holds: connections,
    caches. Dataclasses and pydantic look their own types up in ``sys.modules``, so it is entered there, under a name
    that is the file's alone."""
    path = path.resolve()
    try:
        source = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} is no Python file") from error
    name = f"agent_tools_{path.stem}_{hashlib.sha256(bytes(path)).hexdigest()[:16]}"
    before = sys.modules.get(name)
    if before is not None and getattr(before, _SOURCE) == source:
        return before
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(path)
    setattr(module, _SOURCE, source)
    try:
        # Compiled here: Python's cache takes an edit within the same second that keeps the length for no edit.
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        told = str(error) if isinstance(error, SettingsError) else f"{type(error).__name__}: {error}"
        raise SettingsError(f"{_place(path, error)}: cannot be loaded: {told}") from error
    return module


def _place(path: Path, error: BaseException) -> str:
    """The file, and the line of it that has failed, if it was one."""
    if isinstance(error, SyntaxError):
        return f"{path}:{error.lineno}" if error.lineno and error.filename == str(path) else str(path)
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


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
