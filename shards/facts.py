"""What is known about one request and its route when somebody asks why it fails: facts, each with its source. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field

from shards import untrusted
from shards.backends import Backend
from shards.certificates import HostCertificate
from shards.knowing import About, Heard, certain_cause
from shards.reading import objects, texts
from state.sparing import dataclass

Source = Literal[
    "request", "desired", "live", "history", "drift", "backends", "certificate", "proposals", "target", "main",
    "containers", "deploys", "identity",
]  # fmt: skip

NOT_FOUND = 404


class Evidence(BaseModel):
    """What one source says. `missing`: it could not be asked, and `said` is why."""

    source: Source
    outcome: Literal["fine", "trouble", "unknown", "missing"]
    said: str
    details: list[str] = Field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is asked about. `route` is "" where a host or an address was named; `status`: what somebody was answered."""

    url: str = ""
    host: str = ""
    path: str = "/"
    https: bool = False
    route: str = ""
    status: int | None = None


@dataclass(frozen=True, kw_only=True)
class Explained:
    """Who serves the request, as the rules of all providers say."""

    router: str = ""
    service: str = ""
    middlewares: tuple[str, ...] = ()
    status: int | None = None
    taken_by: str = "http"
    tied: tuple[str, ...] = ()
    unknown: str = ""
    reason: str = ""
    entry_point: str = ""
    tls: bool = False
    words: tuple[str, ...] = ()

    @property
    def disabled(self) -> tuple[str, ...]:
        """Routers that would match if they served, with Traefik's words."""
        return tuple(one.strip().removeprefix("! ") for one in self.words if "would match and serves nothing" in one)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A desired router that names the host, or that was named; `live` is how Traefik's directory holds it."""

    address: str
    rule: str
    file: str
    live: Literal["as desired", "differs", "missing", "unknown"]
    service: str = ""
    middlewares: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A live router that names the host."""

    router: str
    entry_points: tuple[str, ...] = ()
    tls: bool = False
    disabled: bool = False


@dataclass(frozen=True, kw_only=True)
class Instance:
    """How the target is, as the last pass found it."""

    lost: str = ""
    poison: Mapping[str, str] = field(default_factory=dict)
    disabled: Mapping[str, str] = field(default_factory=dict)
    unserved: str = ""
    failure: str = ""
    write_failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Main:
    """What the last pass came to."""

    state: str = ""
    said: str = ""
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An open proposal that touches the route or names it."""

    id: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything gathered. `missing`: source -> why it could not be asked."""

    subject: Subject
    explained: Explained | None = None
    wanted: Sequence[Wanted] = ()
    claimed: Sequence[Claimed] = ()
    drifted: Mapping[str, str] = field(default_factory=dict)  # address -> what differs, since when
    quarantined: Sequence[str] = ()
    instance: Instance = Instance()
    main: Main = Main()
    waiting: Sequence[Waiting] = ()
    backends: Sequence[Backend] = ()
    certificates: Sequence[HostCertificate] = ()
    changes: Sequence[str] = ()
    heard: Sequence[Heard] = ()  # what other shards know about it
    missing: Mapping[Source, str] = field(default_factory=dict)

    @property
    def unserved(self) -> list[Wanted]:
        """Desired routes of this request that are not live as they should be."""
        return [one for one in self.wanted if one.live in ("missing", "differs")]

    @property
    def nobody_takes_it(self) -> bool:
        one = self.explained
        return one is not None and not one.router and one.status == NOT_FOUND

    @property
    def dead(self) -> list[Backend]:
        return [one for one in self.backends if not one.answers]

    def cause(self, about: About) -> str:
        """What another part of the house says that would explain it; "" where it says nothing of the kind."""
        return certain_cause([one for one in self.heard if one.of == about])

    @property
    def unasked(self) -> dict[str, str]:
        """Everybody who may know something and could not be asked, and why."""
        found: dict[str, str] = dict(self.missing.items())
        return found | {_whose(one): one.said for one in self.heard if isinstance(one.said, str)}


def evidences(facts: Facts) -> list[Evidence]:
    """What every source said, or why it said nothing."""
    told = {
        "request": _request,
        "desired": _desired,
        "live": _live,
        "target": _target,
        "main": _main,
        "drift": _drift,
        "backends": _backends,
        "certificate": _certificate,
        "proposals": _proposals,
        "history": _history,
    }
    own = [
        Evidence(source=source, outcome="missing", said=facts.missing[source])  # type: ignore[index, arg-type]
        if source in facts.missing
        else tell(facts)
        for source, tell in told.items()
    ]
    return [*own, *_from_others(facts)]


def _from_others(facts: Facts) -> Iterator[Evidence]:
    """Only of those who were asked: not every house has all of them. Of several of a kind each says who it is."""
    for one in sorted(facts.heard, key=lambda one: get_args(About).index(one.of)):
        whose, said = f"{one.instance}: " if one.instance else "", one.said
        if isinstance(said, str):
            yield Evidence(source=one.of, outcome="missing", said=f"{whose}{said}")
        else:
            details = list(said.details)[:20]
            yield Evidence(source=one.of, outcome=said.outcome, said=f"{whose}{said.said}", details=details)


def _whose(one: Heard) -> str:
    return f"{one.of} of {one.instance}" if one.instance else one.of


def _evidence(source: Source, trouble: bool, said: str, details: Sequence[str] = ()) -> Evidence:
    return Evidence(source=source, outcome="trouble" if trouble else "fine", said=said, details=list(details)[:20])


def _request(facts: Facts) -> Evidence:
    one = facts.explained
    if one is None:
        return Evidence(source="request", outcome="unknown", said="no address is known to ask about")
    if one.unknown:
        return Evidence(source="request", outcome="unknown", said=f"nobody can tell who serves it: {one.unknown}")
    said = f"goes to router {one.router}: {one.reason}" if one.router else f"Traefik answers {one.status}: {one.reason}"
    return _evidence("request", not one.router or bool(one.tied), said, one.words)


def _desired(facts: Facts) -> Evidence:
    if not facts.wanted:
        return _evidence("desired", True, "the desired repo holds no route for it")
    details = [f"{one.address} in {one.file}: {one.rule}" for one in facts.wanted]
    return _evidence("desired", False, f"desired: {', '.join(one.name for one in facts.wanted)}", details)


def _live(facts: Facts) -> Evidence:
    if unserved := facts.unserved:
        return _evidence("live", True, "; ".join(f"{one.address} is {_words(one)}" for one in unserved))
    details = [
        f"{one.router} at {', '.join(one.entry_points)}{' with TLS' if one.tls else ''}" for one in facts.claimed
    ]
    said = f"live for this host: {', '.join(one.router for one in facts.claimed) or 'no router'}"
    return _evidence("live", not facts.claimed, said, details)


def _words(one: Wanted) -> str:
    return "not live" if one.live == "missing" else "live otherwise than desired"


def _target(facts: Facts) -> Evidence:
    one = facts.instance
    said = [
        *([f"the last look failed: {one.lost}"] if one.lost else ()),
        *(f"{file} keeps Traefik from loading anything: {why}" for file, why in one.poison.items()),
        *(f"{address} is disabled: {why}" for address, why in one.disabled.items()),
        *(text for text in (one.unserved, one.failure, one.write_failed) if text),
        *(f"{address} is in quarantine: its last apply was refuted" for address in facts.quarantined),
    ]
    return _evidence("target", bool(said), said[0] if said else "Traefik answers and serves our file", said[1:])


def _main(facts: Facts) -> Evidence:
    one = facts.main
    if one.failed:
        return _evidence("main", True, f"the last pass failed: {one.failed}")
    return _evidence("main", one.state in ("held", "refuted", "lost"), f"the last pass: {one.said or one.state}")


def _drift(facts: Facts) -> Evidence:
    if not facts.drifted:
        return _evidence("drift", False, "none of it was changed by hand")
    return _evidence("drift", True, "; ".join(f"{one} {what}" for one, what in facts.drifted.items()))


def _backends(facts: Facts) -> Evidence:
    if not facts.backends:
        return Evidence(source="backends", outcome="unknown", said="no backend is known for it")
    details = [
        f"{one.url}: {f'answers {one.status}' if one.answers else one.error}"
        f"{f', Traefik says {one.traefik_says}' if one.traefik_says else ''}"
        for one in facts.backends
    ]
    said = f"{len(facts.backends) - len(facts.dead)} of {len(facts.backends)} backends answer"
    return _evidence("backends", bool(facts.dead), said, details)


def _certificate(facts: Facts) -> Evidence:
    if not facts.certificates:
        return Evidence(source="certificate", outcome="unknown", said="none was asked for: it is not served over TLS")
    troubles = [f"{one.host} at {one.entry_point}: {each.said}" for one in facts.certificates for each in one.trouble]
    good = ", ".join(f"{one.host}: {one.subject}, {one.days_left} days left" for one in facts.certificates)
    return _evidence("certificate", bool(troubles), troubles[0] if troubles else good, troubles[1:])


def _proposals(facts: Facts) -> Evidence:
    if not facts.waiting:
        return _evidence("proposals", False, "no open proposal touches it")
    return _evidence(
        "proposals", False, f"{len(facts.waiting)} open", [f"{one.id}: {one.title}" for one in facts.waiting]
    )


def _history(facts: Facts) -> Evidence:
    if not facts.changes:
        return Evidence(source="history", outcome="unknown", said="the log knows nothing of it")
    return _evidence("history", False, f"last: {facts.changes[-1]}", list(reversed(facts.changes))[1:])


def read_explained(told: Mapping[str, Any]) -> Explained:
    """The reconciler's answer about a request."""
    return Explained(
        router=str(told.get("router") or ""),
        service=str(told.get("service") or ""),
        middlewares=texts(told.get("middlewares")),
        status=status if isinstance(status := told.get("status"), int) else None,
        taken_by=str(told.get("taken_by") or "http"),
        tied=texts(told.get("tied")),
        unknown=str(told.get("unknown") or ""),
        reason=str(told.get("reason") or ""),
        entry_point=str(told.get("entrypoint") or ""),
        tls=bool(told.get("tls")),
        words=texts(told.get("words")),
    )


def read_status(told: Mapping[str, Any], instance: str) -> tuple[Instance, Main]:
    """The reconciler's answer about itself and its targets."""
    targets = told.get("targets")
    found = targets.get(instance) if isinstance(targets, dict) else None
    one = found if isinstance(found, dict) else {}
    held = Instance(
        lost=str(one.get("lost") or ""),
        poison=_texts(one.get("poison")),
        disabled=_texts(one.get("disabled")),
        unserved=str(one.get("unserved") or ""),
        failure=str(one.get("failure") or ""),
        write_failed=str(one.get("write_failed") or ""),
    )
    state, said = str(told.get("state") or ""), str(told.get("said") or "")
    return held, Main(state=state, said=said, failed=str(told.get("pass_failed") or ""))


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}


def read_drift(told: Mapping[str, Any]) -> dict[str, str]:
    """Address -> what differs, of all open drift."""
    return {str(one.get("address")): _of_drift(one) for one in objects(told.get("drift"))}


def _of_drift(one: Mapping[str, Any]) -> str:
    fields = ", ".join(texts(one.get("fields")))
    by = untrusted.short(str(one.get("by") or ""), 60)
    return f"differs live since {one.get('since')}{f' in {fields}' if fields else ''}{f', by {by}' if by else ''}"


def read_proposals(told: Mapping[str, Any], concerned: Sequence[str], host: str) -> Iterator[Waiting]:
    """The open proposals that touch one of these addresses, or name the host."""
    for one in objects(told.get("proposals")):
        touched, title = set(texts(one.get("resources"))), str(one.get("title"))
        about = touched & set(concerned) or (host and host in title.replace(",", " ").split())
        if one.get("status") == "open" and about:
            yield Waiting(id=str(one.get("id")), title=title)


def read_changes(told: Mapping[str, Any], most: int) -> list[str]:
    """The last events, oldest first, each in a line."""
    return [f"{one.get('at')} {one.get('said')} ({one.get('actor')})" for one in objects(told.get("events"))][-most:]
