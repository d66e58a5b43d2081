"""The audit of a running Traefik: evidence in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Final

from reconciler.audit.access import access
from reconciler.audit.evidence import ROUTERS, SEVERITIES, Evidence, Finding, provider, qualified, together, where
from reconciler.audit.files import files
from reconciler.audit.routes import Routes
from reconciler.traefik import validate
from reconciler.traefik.api import Item
from reconciler.traefik.references import Reference, at, references
from state.model import Address

__all__ = ["Evidence", "Finding", "audit"]

_PARTS: Final = ("http.services", "http.middlewares", "tcp.services", "tcp.middlewares", "udp.services")
_MOST_COMPARED: Final = 1000  # names; a slip of the pen is looked for among no more
_UNLISTED: Final = frozenset({"http.serversTransports", "tcp.serversTransports", "tls.options"})


def audit(evidence: Evidence) -> list[Finding]:
    """Everything worth a word, the gravest first; the same evidence gives the same findings."""
    routes = Routes(evidence)
    found = [
        *_routers(evidence, routes),
        *routes.findings(),
        *routes.ways_round(),
        *_broken(evidence),
        *_dangling(evidence),
        *_resolvers(evidence),
        *_across(evidence),
        *access(evidence),
        *files(evidence),
        *_language(evidence),
    ]
    return sorted(set(found), key=lambda one: (SEVERITIES.index(one.severity), one.kind, one.subject, one.message))


def _language(evidence: Evidence) -> Iterator[Finding]:
    version = evidence.version.version.removeprefix("v")
    if version[:2] in ("1.", "2."):
        message = "only version 3 is known here: what is said of rules may be wrong"
        yield Finding(severity="info", kind="not-checked", subject=f"Traefik {version}", message=message)


# ── what Traefik says itself ──


def _routers(evidence: Evidence, routes: Routes) -> Iterator[Finding]:
    for kind in ROUTERS:
        for name, family in evidence.families(kind):
            for listed_as, item in family.items():
                place = where([item]) if len(family) > 1 else ""
                if item.status == "disabled":
                    yield _disabled(evidence, routes, kind, listed_as, place)
                elif item.status == "warning":
                    message = f"works, with a fault{place}: {_words(item)}"
                    yield Finding(severity="warning", kind="warning", subject=f"{kind} {name}", message=message)


def _disabled(evidence: Evidence, routes: Routes, kind: str, name: str, place: str) -> Finding:
    item = evidence.runtime.of(kind)[name]
    near = [tip for reference in references(kind, item.spec) if (tip := _missing(evidence, name, reference))]
    return Finding(
        severity="error",
        kind="disabled-router",
        subject=f"{kind} {evidence.original(kind, name)}",
        message=f"disabled{place}: {_words(item)}; {routes.consequence(kind, name, item.spec)}",
        suggestion=near[0][1] if near and near[0][1] else "Correct it, or take it out",
    )


def _words(item: Item) -> str:
    return "; ".join(dict.fromkeys(item.errors)) or "Traefik gives no reason"


def _broken(evidence: Evidence) -> Iterator[Finding]:
    """Services and middlewares that cannot work, but for those that a disabled router tells of already."""
    told = {error for kind in ROUTERS for item in evidence.runtime.of(kind).values() for error in item.errors}
    for kind in _PARTS:
        for name, item in evidence.runtime.of(kind).items():
            if item.status in ("disabled", "warning") and not told.intersection(item.errors):
                yield _unusable(kind, name, item, _words(item))
            elif not item.spec.get("usedBy") and provider(name) != "internal":
                for fault in _shape_faults(kind, name, item):
                    yield _unusable(kind, name, item, fault)


def _unusable(kind: str, name: str, item: Item, words: str) -> Finding:
    used = item.spec.get("usedBy")
    message = words if used else f"{words} (nothing uses it yet, so Traefik has not looked)"
    return Finding(
        severity="error" if used else "warning",
        kind="broken",
        subject=f"{kind} {name}",
        message=message,
        suggestion="Correct it, or take it out",
    )


def _shape_faults(kind: str, name: str, item: Item) -> Iterator[str]:
    """What is wrong with something unused in itself, whatever it refers to."""
    spec, plain = item.written, name.rpartition("@")[0]
    trusted = {(one.kind, one.name.removesuffix("@file")): "elsewhere" for one in references(kind, spec)}
    trusted.pop((kind, plain), None)
    live = validate.LiveNames(foreign_files=trusted)
    for problem in validate.check({Address("", kind, plain): spec}, live=live):
        if problem.severity == "error":
            yield problem.message


# ── names that lead nowhere ──


def _dangling(evidence: Evidence) -> Iterator[Finding]:
    for kind in (*ROUTERS, *_PARTS):
        for name, item in evidence.runtime.of(kind).items():
            if provider(name) == "internal":
                continue
            for reference in references(kind, item.spec):
                missing = _missing(evidence, name, reference)
                if missing and not any(missing[0] in error for error in item.errors):
                    yield _dangles(evidence, kind, name, item, reference, missing)


def _dangles(
    evidence: Evidence, kind: str, name: str, item: Item, reference: Reference, missing: tuple[str, str]
) -> Finding:
    used = kind in ROUTERS or bool(item.spec.get("usedBy"))
    return Finding(
        severity="error" if used else "warning",
        kind="dangling",
        subject=f"{kind} {evidence.original(kind, name)}",
        message=f"refers to {_thing(reference.kind)} {missing[0]}, which does not exist"
        + ("" if used else " (nothing uses it yet; the first router that does will be disabled)"),
        suggestion=missing[1] or "Correct the name, or define it",
    )


def _missing(evidence: Evidence, holder: str, reference: Reference) -> tuple[str, str] | None:
    """The qualified name that leads nowhere and a hint, None where it leads somewhere or nobody can tell."""
    name = qualified(reference.name, holder)
    offered = _offered(evidence, reference.kind, name)
    if offered is None or name in offered:
        return None
    plain = name.rpartition("@")[0]
    near = sorted(one for one in offered if one.rpartition("@")[0] == plain)
    if not near and len(offered) <= _MOST_COMPARED:
        by_plain = {one.rpartition("@")[0]: one for one in sorted(offered)}
        near = [by_plain[one] for one in get_close_matches(plain, by_plain, n=2, cutoff=0.7)]
    return name, f"Did you mean {' or '.join(near)}?" if near else ""


def _offered(evidence: Evidence, kind: str, name: str) -> Collection[str] | None:
    """The names of a kind; None where nobody here can know them all."""
    if kind not in _UNLISTED:
        return evidence.runtime.of(kind)
    if provider(name) != "file" or evidence.directory is None or not evidence.directory.known:
        return None
    names = {f"{found}@file" for of, found in evidence.directory.winners if of == kind}
    return names | ({"default@file"} if kind == "tls.options" else set())


def _thing(kind: str) -> str:
    return {"tls.options": "the TLS options"}.get(kind, f"the {kind.split('.')[1].removesuffix('s')}")


def _resolvers(evidence: Evidence) -> Iterator[Finding]:
    """Certificate resolvers that do not exist: Traefik says nothing and serves its default certificate."""
    wanted = list(_wanted_resolvers(evidence))
    if evidence.static is None:
        if wanted:
            names = together(sorted({name for _, name in wanted}))
            message = f"this Traefik does not tell which certificate resolvers it has; {names} could not be looked up"
            yield Finding(severity="info", kind="not-checked", subject="certificate resolvers", message=message)
        return
    known = sorted(evidence.static.get("certificatesResolvers") or ())
    for subject, name in wanted:
        if name not in known:
            yield Finding(
                severity="error",
                kind="dangling",
                subject=subject,
                message=f"refers to the certificate resolver {name}, which does not exist: Traefik says nothing and "
                "serves its default certificate",
                suggestion=f"It has {', '.join(known)}" if known else "Traefik has no certificate resolver at all",
            )


def _wanted_resolvers(evidence: Evidence) -> Iterator[tuple[str, str]]:
    by_door = {door.name: at(door.http, "tls", "certResolver") for door in evidence.doors}
    for door, name in by_door.items():
        if name:
            yield f"entry point {door}", str(name)
    for kind in ("http.routers", "tcp.routers"):
        for router, family in evidence.families(kind):
            for item in family.values():
                name = at(item.spec, "tls", "certResolver")
                doors = item.spec.get("using") or ()
                if name and not any(by_door.get(door) == name for door in doors):
                    yield f"{kind} {router}", str(name)


# ── names taken twice ──


def _across(evidence: Evidence) -> Iterator[Finding]:
    for kind in (*ROUTERS, *_PARTS):
        holders: dict[str, list[str]] = {}
        for name in evidence.runtime.of(kind):
            plain, _, owner = name.rpartition("@")
            if owner != "internal":
                holders.setdefault(plain, []).append(owner)
        for plain, owners in sorted(holders.items()):
            if len(owners) > 1:
                yield _shared(kind, plain, sorted(owners))


def _shared(kind: str, plain: str, owners: Iterable[str]) -> Finding:
    both = ", ".join(f"{plain}@{owner}" for owner in owners)
    routers = kind in ROUTERS
    message = f"several providers have it ({both}); " + (
        "all of them are served, side by side" if routers else "one named without its provider is that of whoever asks"
    )
    return Finding(
        severity="warning",
        kind="name-taken",
        subject=f"{kind} {plain}",
        message=message,
        suggestion="Rename one of them" if routers else "Name it with its provider, or rename one of them",
    )
