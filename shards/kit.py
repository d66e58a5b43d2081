"""What a shard is made of: typed tools, and refusals that a model can act on. Knows no protocol and no target."""

from __future__ import annotations

import inspect
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from functools import cache
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from state.model import Problem
from state.sparing import dataclass

_TRAITS = "_waypost_traits"
_MOST_FAULTS = 50
_LONGEST_NAME = 100
_DEEPEST = 20
"""Of faults in arguments: how many are told, how much of a name, how far in."""

_MOST_VALUES = 10_000
"""Of one call, at any depth: each may be a fault, and all faults are collected before a list is found too long."""

_Function = TypeVar("_Function", bound=Callable[..., BaseModel])


class Refused(Exception):
    """A tool did not do what was asked, and says why in words for a model.

    `code` is stable; `retry` says whether the same call may succeed later, `after` in how many seconds where that
    is known; `problems` are all the places to mend, never only the first.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry: bool = False,
        after: float | None = None,
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry
        self.after = after
        self.problems = problems


class Made(BaseModel):
    """The answer of a tool that made a proposal."""

    proposal: str = Field(description="id of the proposal")


Tell = Callable[[float, float | None, str], None]
"""Tells the client how far its call is: done, of how much, in words. Quick, from any thread."""


def _silent(done: float, total: float | None, words: str) -> None:
    """For a client that does not want to hear of it."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """Who asks for what: travels with every tool call into commits, audit and log lines."""

    request_id: str
    client: str
    tool: str
    caller: str = ""  # the name under which it was let in, to which limits are kept; "" where nobody was asked
    tell: Tell = field(default=_silent, compare=False, repr=False)

    @contextmanager
    def waiting(self, words: str) -> Iterator[None]:
        """While this lasts, the client hears every second that it is waited for something, and for how long."""
        if self.tell is _silent:
            yield
            return
        over = threading.Event()
        telling = threading.Thread(target=self._tell_until, args=(over, words), name="progress", daemon=True)
        telling.start()
        try:
            yield
        finally:
            over.set()
            telling.join()

    def _tell_until(self, over: threading.Event, words: str) -> None:
        for seconds in itertools.count(1):
            if over.wait(1.0):
                return
            self.tell(seconds, None, words)


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What the gateway vouches for about a tool. Class and grants follow from here, never from a hint.

    `destructive` is said of what a tool proposes: by itself none of them takes anything away.
    """

    title: str
    writes: bool = False
    destructive: bool = False
    idempotent: bool = False  # said of tools that write; reading always is
    seconds: float = 30.0  # that reading may take; what writes is always finished


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool of one shard, ready to be listed and called. `name` is the shard's own, without its prefix."""

    shard: str
    name: str
    description: str
    traits: Traits
    arguments: type[BaseModel]
    answer: type[BaseModel]
    function: Callable[..., BaseModel]

    def run(self, call: Call, arguments: Mapping[str, Any]) -> BaseModel:
        """The tool's answer. Raises Refused, for arguments that do not fit its schema as well."""
        _require_few(arguments)
        try:
            given = self.arguments.model_validate(arguments)
        except ValidationError as error:
            raise _unfit(error) from error
        return self.function(call, **{name: getattr(given, name) for name in self.arguments.model_fields})


def tool(traits: Traits) -> Callable[[_Function], _Function]:
    """Mark a method of a shard as a tool: `(self, call, **typed arguments) -> pydantic model`.

    Its docstring is the description, its annotations are the input schema, its return type is the output
    schema.
    """

    def mark(function: _Function) -> _Function:
        setattr(function, _TRAITS, traits)
        return function

    return mark


class Shard:
    """A narrow set of tools over one system. `name` is its path; its tools are offered as `prefix + tool`."""

    name: str
    title: str
    prefix: str

    def tools(self) -> Iterator[Tool]:
        """Every method marked with `tool`, in the order in which the class writes them."""
        for name, function in type(self).__dict__.items():
            traits = getattr(function, _TRAITS, None)
            if isinstance(traits, Traits):
                yield _bind(self, name, traits)


def _bind(shard: Shard, name: str, traits: Traits) -> Tool:
    function = getattr(shard, name)
    arguments, answer = _models(type(shard).__dict__[name])
    return Tool(
        shard=shard.name,
        name=name,
        description=inspect.getdoc(function) or traits.title,
        traits=traits,
        arguments=arguments,
        answer=answer,
        function=function,
    )


@cache
def _models(function: Callable[..., BaseModel]) -> tuple[type[BaseModel], type[BaseModel]]:
    """What a tool takes and what it answers, worked out once for all shards of its class: that is slow."""
    hints = get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())[2:]  # before them: the shard, and the call
    fields: dict[str, Any] = {
        parameter.name: (
            hints[parameter.name],
            ... if parameter.default is inspect.Parameter.empty else parameter.default,
        )
        for parameter in parameters
    }
    return create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields), hints["return"]


def _require_few(arguments: Mapping[str, Any]) -> None:
    left = _MOST_VALUES
    unseen: list[Any] = [arguments]
    while unseen:
        one = unseen.pop()
        members = one.values() if isinstance(one, Mapping) else one
        left -= len(members)
        if left < 0:
            fault = Problem(message=f"arguments: more than {_MOST_VALUES:,} values")
            raise Refused("bad-arguments", "These arguments are too many; nothing was done.", problems=(fault,))
        unseen += [each for each in members if isinstance(each, Mapping | list | tuple)]


def _unfit(error: ValidationError) -> Refused:
    """The faults without the values: an argument may hold a secret. No more of them than anybody would read."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    faults = [Problem(message=f"{_place(fault['loc'])}: {fault['msg']}") for fault in found[:_MOST_FAULTS]]
    more = [Problem(message="and more of them")] if len(found) > _MOST_FAULTS else []
    return Refused(
        "bad-arguments",
        "These arguments do not fit the tool's schema; nothing was done.",
        problems=(*faults, *more),
    )


def _place(parts: tuple[str | int, ...]) -> str:
    return ".".join(str(part)[:_LONGEST_NAME] for part in parts[:_DEEPEST]) or "arguments"
