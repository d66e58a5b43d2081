"""Which shards run elsewhere: declared by a person in `shards.toml`, never by the shards themselves."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Final, Protocol
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from reconciler.setting import ConfigError, Secret
from shards import catalogue
from shards.health import Patience
from state.sparing import dataclass

FILE: Final = "shards.toml"

OURS: Final = catalogue.OURS | {"own"}
"""Names that no shard elsewhere may take."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_TOOL = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BEGINNING = re.compile(r"[a-z][a-z0-9+.-]*://\S*")
_REFERENCE = re.compile(r"env:\w+|file:/.+")


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much time and how many further tries a call is worth."""

    seconds: float = 30.0  # that it may take, all tries together
    retries: int = 2  # further tries where it did not get through


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A shard elsewhere. `tools` are those that models may call: whatever else it offers stays hidden.

    All of them only read. What writes is a proposal, and those are made here.
    """

    name: str
    url: str
    tools: frozenset[str]
    token: Secret | None = None
    seconds: float = 30.0
    retries: int = 2
    tool: Mapping[str, Effort] = field(default_factory=dict)  # tools whose calls are worth something else than that
    at_once: int = 8  # calls that it gets at the same time
    patience: Patience = field(default_factory=Patience)
    prefix: str = ""
    prompts: frozenset[str] = frozenset()  # that are passed on; like tools, whatever else there is stays hidden
    resources: frozenset[str] = frozenset()  # beginnings of addresses whose contents are passed on

    @property
    def public_prefix(self) -> str:
        return self.prefix or f"{self.name.replace('-', '_')}_"

    def effort(self, tool: str) -> Effort:
        return self.tool.get(tool) or Effort(seconds=self.seconds, retries=self.retries)

    @property
    def longest(self) -> float:
        """Seconds that a call of any of its tools may take."""
        return max(self.seconds, *(effort.seconds for effort in self.tool.values()), 0.0)


class Discovery(Protocol):
    """Where it stands which shards there should be."""

    def declared(self) -> Mapping[str, Declared]:
        """All of them, by name. Raises ConfigError where that cannot be told."""
        ...


@dataclass(frozen=True)
class Listed:
    """A list that never changes."""

    shards: tuple[Declared, ...] = ()

    def declared(self) -> Mapping[str, Declared]:
        return {shard.name: shard for shard in self.shards}


class Watched:
    """A file that is read again when it changed. No file: no shards elsewhere."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._known: Mapping[str, Declared] = {}

    def declared(self) -> Mapping[str, Declared]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._seen, self._known = None, {}
            return self._known
        except OSError as fault:
            raise ConfigError(f"{self._path} cannot be read: {fault.strerror}") from fault
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen != self._seen:
            self._known, self._seen = read(self._path), seen
        return self._known


# ── the file ─────────────────────────────────────────────────────────────────────────────────────


def _an_address(text: str) -> str:
    if not _can_be_asked(text):
        raise ValueError("right would be the shard's MCP address, such as http://weather:9200/mcp")
    return text


def _can_be_asked(url: str) -> bool:
    try:
        parts = urlsplit(url)
        whole = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        )  # of one beyond it raises
    except ValueError:
        return False
    return whole and parts.username is None and not parts.fragment


def _a_reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise ValueError("right would be a reference to the secret: env:NAME or file:/path")
    return text


def _a_tool(text: str) -> str:
    if not _TOOL.fullmatch(text):
        raise ValueError("a tool's name is letters, digits, '_', '.' and '-', 64 at most")
    return text


def _a_beginning(text: str) -> str:
    if not _BEGINNING.fullmatch(text):
        raise ValueError("right would be how addresses of resources begin, such as weather://reports/")
    return text


_Seconds = Annotated[float, Field(gt=0, le=600)]
_Retries = Annotated[int, Field(ge=0, le=5)]


class _ToolEntry(BaseModel):
    """One `[shards.NAME.tool.TOOL]` of the file: what it leaves out is as for the whole shard."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seconds: _Seconds | None = None
    retries: _Retries | None = None


class _Entry(BaseModel):
    """One `[shards.NAME]` of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: Annotated[str, AfterValidator(_an_address)]
    tools: Annotated[list[Annotated[str, AfterValidator(_a_tool)]], Field(min_length=1)]
    token: Annotated[str, AfterValidator(_a_reference)] = ""
    seconds: _Seconds = 30.0
    retries: _Retries = 2
    tool: dict[str, _ToolEntry] = {}
    at_once: Annotated[int, Field(ge=1, le=64)] = 8
    check_every: Annotated[float, Field(ge=1, le=3600)] = 15.0
    check_within: Annotated[float, Field(gt=0, le=60)] = 5.0
    failures: Annotated[int, Field(ge=1, le=100)] = 3
    successes: Annotated[int, Field(ge=1, le=100)] = 2
    prompts: list[Annotated[str, AfterValidator(_a_tool)]] = []
    resources: list[Annotated[str, AfterValidator(_a_beginning)]] = []

    @field_validator("tool")
    @classmethod
    def _of_its_tools(cls, tool: dict[str, _ToolEntry], entry: ValidationInfo) -> dict[str, _ToolEntry]:
        if strange := sorted(tool.keys() - set(entry.data.get("tools", tool))):
            raise ValueError(f"{', '.join(strange)}: not among its tools")
        return tool

    def _effort(self, of: _ToolEntry) -> Effort:
        return Effort(
            seconds=self.seconds if of.seconds is None else of.seconds,
            retries=self.retries if of.retries is None else of.retries,
        )

    def shard(self, name: str, place: str) -> Declared:
        return Declared(
            name=name,
            url=self.url,
            tools=frozenset(self.tools),
            token=Secret(self.token, f"{place}: token") if self.token else None,
            seconds=self.seconds,
            retries=self.retries,
            tool={name: self._effort(of) for name, of in self.tool.items()},
            at_once=self.at_once,
            prompts=frozenset(self.prompts),
            resources=frozenset(self.resources),
            patience=Patience(
                every=self.check_every, within=self.check_within, failures=self.failures, successes=self.successes
            ),
        )


def read(path: Path) -> Mapping[str, Declared]:
    """The shards that a file declares. Raises ConfigError with every fault there is."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as fault:
        raise ConfigError(f"{path} cannot be read: {fault.strerror}") from fault
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"{path} is not TOML: {fault}") from fault
    entries = content.pop("shards", {})
    faults = [f"{path}: '{name}' means nothing here; a shard is written as [shards.NAME]" for name in content]
    if not isinstance(entries, dict):
        raise ConfigError(*faults, f"{path}: a shard is written as [shards.NAME]")
    found = {}
    for name, entry in entries.items():
        shard = _shard(f"{path}: shards.{name}", name, entry)
        if isinstance(shard, Declared):
            found[name] = shard
        else:
            faults += shard
    ours = {tool: "a tool of Waypost's own" for tools in catalogue.GENERATIONS for tool in tools}
    faults += _alike(path, "tools", ours, [(shard, shard.tools) for shard in found.values()])
    faults += _alike(path, "prompts", {}, [(shard, shard.prompts) for shard in found.values()])
    if faults:
        raise ConfigError(*faults)
    return found


def _alike(
    path: Path, kind: str, known: dict[str, str], offered: Sequence[tuple[Declared, frozenset[str]]]
) -> Iterator[str]:
    """What clients could not tell apart by its name: a call would go to one of them, and nobody says to which."""
    for shard, names in offered:
        for name in sorted(names):
            public = shard.public_prefix + name
            if public in known:
                yield f"{path}: shards.{shard.name}: {kind}: '{name}' would be called {public}, as {known[public]} is"
            known[public] = f"'{name}' of shards.{shard.name}"


def _shard(place: str, name: str, entry: Any) -> Declared | list[str]:
    """The shard, or what is wrong with its entry."""
    if name in OURS or not _NAME.fullmatch(name):
        taken = "is the name of one of Waypost's own" if name in OURS else "is no name for a shard (a-z, 0-9 and '-')"
        return [f"{place}: '{name}' {taken}"]
    try:
        return _Entry.model_validate(entry).shard(name, place)
    except ValidationError as error:
        return [
            f"{place}: {'.'.join(str(part) for part in fault['loc']) or 'the entry'}: {_words(fault['msg'])}"
            for fault in error.errors(include_url=False, include_input=False, include_context=False)
        ]


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")
