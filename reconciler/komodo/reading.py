"""What Komodo tells: stacks, servers, services, logs, and how far an update is. Reads only; shapes are checked.

Komodo has no specification that may be used here: the calls are those that are known from its public documentation and
from looking at one. A list without `"limit": 0` is only its first page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from reconciler.komodo import environment
from reconciler.komodo.wire import KomodoError, Wire

_Answer = TypeVar("_Answer")

BUSY: Final = "resource is busy"


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class _Id(_Read):
    oid: str = Field(alias="$oid")


class _StackInfo(_Read):
    state: str = "unknown"
    status: str | None = None
    deployed_hash: str | None = None
    latest_hash: str | None = None
    missing_files: list[str] = Field(default_factory=list)
    project_missing: bool = False


class StackLine(_Read):
    """One stack in a list; `info.state` is running, stopped, unhealthy, down, …"""

    id: str
    name: str
    info: _StackInfo = _StackInfo()


class _Contents(_Read):
    path: str = ""
    contents: str = ""


class _Deployed(_Read):
    deployed_hash: str | None = None
    deployed_contents: list[_Contents] | None = None
    remote_errors: list[_Contents] | None = None


class Stack(_Read):
    """One stack whole. Its `config` may hold secrets: it is compared and covered, and never told as it is."""

    id: _Id = Field(alias="_id")
    name: str
    config: dict[str, Any] = Field(repr=False)
    info: _Deployed = Field(default=_Deployed(), repr=False)


class Server(_Read):
    id: str
    name: str


class Container(_Read):
    name: str = ""
    state: str = ""
    status: str | None = None
    image: str | None = None


class Service(_Read):
    """One service of a stack, and its container where there is one."""

    service: str
    image: str | None = None
    container: Container | None = None


class Log(_Read):
    stage: str = ""
    command: str = ""
    stdout: str = ""
    stderr: str = ""
    success: bool = True


class Update(_Read):
    """Something that Komodo does, and how far it is. Only "Complete" and `success` together mean that it was done."""

    id: _Id | None = Field(default=None, alias="_id")
    operation: str = ""
    status: Literal["Queued", "InProgress", "Complete"]
    success: bool = False
    logs: list[Log] = Field(default_factory=list)

    @property
    def key(self) -> str:
        return self.id.oid if self.id else ""

    @property
    def over(self) -> bool:
        return self.status == "Complete"

    @property
    def busy(self) -> bool:
        """Whether nothing was done because something else was being done to the same stack."""
        return self.over and not self.success and any(BUSY in f"{one.stdout}{one.stderr}".lower() for one in self.logs)

    @property
    def fault(self) -> str:
        """What it failed by, in Komodo's words, short and on one line."""
        failed = [one for one in self.logs if not one.success] or self.logs
        if not failed:
            return "Komodo says nothing of why"
        words = environment.covered_words(" ".join((failed[-1].stderr or failed[-1].stdout)[-2_000:].split()))
        return f"{failed[-1].stage}: {words[-300:]}" if words else failed[-1].stage


class UpdateLine(_Read):
    """One update in a list, the newest first."""

    id: str
    operation: str
    status: str = ""
    success: bool = False
    start_ts: int = Field(default=0, ge=0, lt=1 << 43)  # milliseconds since 1970, and no more than a calendar has
    username: str = ""


class _Updates(_Read):
    updates: list[UpdateLine] = Field(default_factory=list)


class _ActionState(_Read):
    deploying: bool = False
    starting: bool = False
    restarting: bool = False
    pausing: bool = False
    unpausing: bool = False
    stopping: bool = False
    destroying: bool = False


class Key(_Read):
    """One key of the user who asks; its secret is not told. `expires` in milliseconds since 1970, 0 for never."""

    key: str = Field(repr=False)
    expires: int = Field(default=0, ge=0)


class Reader:
    """Looks at one Komodo."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.url = wire.url

    def close(self) -> None:
        self._wire.close()

    def version(self) -> str:
        return self._wire.version()

    def stacks(self) -> list[StackLine]:
        return self._read("ListStacks", {"query": {}, "limit": 0}, list[StackLine])

    def stack(self, name: str) -> Stack:
        return self._read("GetStack", {"stack": name}, Stack)

    def servers(self) -> list[Server]:
        return self._read("ListServers", {"query": {}, "limit": 0}, list[Server])

    def services(self, stack: str) -> list[Service]:
        return self._read("ListStackServices", {"stack": stack}, list[Service])

    def log(self, stack: str, services: list[str], tail: int) -> Log:
        """The last lines of a stack's services; `tail` is how many."""
        return self._read("GetStackLog", {"stack": stack, "services": services, "tail": tail, "timestamps": True}, Log)

    def update(self, id: str) -> Update:
        return self._read("GetUpdate", {"id": id}, Update)

    def updates(self, stack_id: str) -> list[UpdateLine]:
        """The newest updates of one stack; `stack_id` is Komodo's own, never text of a model."""
        query = {"target.type": "Stack", "target.id": stack_id}
        return self._read("ListUpdates", {"query": query, "page": 0}, _Updates).updates

    def own_keys(self) -> list[Key]:
        """The keys of the user whose key is used."""
        return self._read("ListApiKeys", {}, list[Key])

    def at_work(self, stack: str) -> str:
        """What Komodo is doing to a stack at this moment, "" where nothing."""
        state = self._read("GetStackActionState", {"stack": stack}, _ActionState)
        return next((name for name, under_way in state.model_dump().items() if under_way), "")

    def _read(self, request: str, params: Mapping[str, Any], shape: type[_Answer]) -> _Answer:
        return read(self._wire.call("read", request, params), shape, f"{self.url}: {request}")


def read(answer: Any, shape: type[_Answer], asked: str) -> _Answer:
    """An answer in its shape. Raises KomodoError, which repeats nothing of it: it may hold secrets."""
    try:
        return TypeAdapter(shape).validate_python(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise KomodoError(f"{asked} is not answered as Komodo does: {where}: {first['msg']}") from None
