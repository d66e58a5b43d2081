"""What a Komodo knows of a failing request: whether the stack behind the route runs, and how its last deploy went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import urlsplit

from reconciler.komodo.reading import Reader, Service, StackLine, UpdateLine
from reconciler.ports import Chance
from shards import untrusted
from shards.containers import Line
from shards.knowing import About, Known, Question
from shards.komodo_access import Looking
from shards.masking import masked

_DEPLOYS: Final = frozenset({"DeployStack", "DeployStackIfChanged", "RestartStack", "DestroyStack", "StopStack"})
_WORKING: Final = frozenset({"running", "deploying", "restarting", "unknown"})


@dataclass(frozen=True)
class Deploys:
    """Knows stacks by what Komodo tells."""

    looking: Looking
    chance: Chance
    instance: str = ""

    of: ClassVar[About] = "deploys"

    def about(self, question: Question) -> Known:
        return self.looking.ask(lambda komodo: self._known(komodo, question))

    def _known(self, komodo: Reader, question: Question) -> Known:
        behind = _behind(komodo, question)
        if behind is None:
            return Known(outcome="unknown", said="no stack that Komodo knows is behind it", found=False)
        line, services = behind
        name, state = untrusted.short(line.name, 100), untrusted.short(line.info.state, 40)
        last = next((one for one in komodo.updates(line.id) if one.operation in _DEPLOYS), None)
        failed = last is not None and last.status == "Complete" and not last.success
        down = line.info.state not in _WORKING
        return Known(
            outcome="trouble" if down or failed else "fine",
            said=f"stack {name} is {state}{_told(last)}",
            details=(*map(_of_service, services), *self._why(komodo, last if failed else None)),
            cause=f"stack {name} is {state}{_told(last)}" if down else "",
        )

    def _why(self, komodo: Reader, failed: UpdateLine | None) -> tuple[str, ...]:
        if failed is None:
            return ()
        [line] = masked([Line(text=untrusted.short(komodo.update(failed.id).fault, 500))])
        return (untrusted.wrapped(line.text, "Komodo's last deploy", self.chance),)


def _behind(komodo: Reader, question: Question) -> tuple[StackLine, list[Service]] | None:
    """The stack that serves a route: named like it or like its host, or with a container that is its backend."""
    words = {question.router.partition("@")[0], question.service.partition("@")[0], question.host.partition(".")[0]}
    backends = {urlsplit(address).hostname or "" for address in question.backends} - {""}
    lines = komodo.stacks()
    named = [line for line in lines if line.name in words]
    for line in [*named, *(one for one in lines if one not in named)]:
        services = komodo.services(line.name) if line in named or backends else []
        if line in named or any(backends & _names(one) for one in services):
            return line, services
    return None


def _names(service: Service) -> set[str]:
    return {service.service, service.container.name if service.container else ""} - {""}


def _told(last: UpdateLine | None) -> str:
    if last is None:
        return ""
    result = "is under way" if last.status != "Complete" else "succeeded" if last.success else "failed"
    return f", and its last {untrusted.short(last.operation, 40)} {result}"


def _of_service(service: Service) -> str:
    container = service.container
    how = f"{container.state} ({container.status})" if container else "without a container"
    return untrusted.short(f"service {service.service} is {how}", 200)
