"""What Traefik would make of a wanted state, before it is written: every name found, every rule readable. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Any

from reconciler.routing import rules
from reconciler.traefik import insides, render
from reconciler.traefik.kinds import Named, dotted
from reconciler.traefik.references import Path, Reference, at, listed, references
from reconciler.traefik.rivals import copies, rival
from state.model import Address, Problem, Snapshot, Spec

HIGHEST_PRIORITY = 2**63 - 1001
FORBIDDEN_SERVICES = frozenset({"api@internal", "dashboard@internal", "rest@internal"})
_UNLISTED = frozenset({"http.serversTransports", "tcp.serversTransports", "tls.options"})
"""Kinds that Traefik's API does not list: another provider's are taken on trust."""


@dataclass(frozen=True, kw_only=True)
class LiveNames:
    """What surrounds our file in a running Traefik.

    `names` holds (kind, `name@provider`) of everything the API lists; without `entry_points` the API was not
    reached, and what only it can tell is not judged. `cert_resolvers` is None where Traefik does not tell.
    `foreign_files`: (kind, name) of what other files of the directory define -> that file. `foreign_specs`:
    what they write there, each file that has the name; unknown counts as different from ours. Of the entry
    points, `copying` have options of their own, and `by_default` serve a router that names none. `rule_syntax` is set
    where Traefik was told how to read a rule that does not say; its API tells that, and hides what ("xxxx").
    """

    entry_points: Collection[str] = frozenset()
    names: Collection[Named] = frozenset()
    cert_resolvers: Collection[str] | None = None
    foreign_files: Mapping[Named, str] = field(default_factory=dict)
    foreign_specs: Mapping[Named, Sequence[Spec]] = field(default_factory=dict)
    copying: Collection[str] = frozenset()
    by_default: Sequence[str] = ()
    rule_syntax: str = ""


Places = Mapping[Address, tuple[str, int]]
"""Where a resource stands in the desired repo: file and line."""


def check(
    wanted: Snapshot,
    *,
    desired_places: Places = MappingProxyType({}),
    live: LiveNames,
    only: Collection[Address] | None = None,
) -> list[Problem]:
    """Everything wrong with serving `wanted`, in address order. Warnings are notes; errors would cut routes off.

    With `only` the rest of it is what these refer to, and nothing is said of it.
    """
    world = _World(wanted, live)
    problems: list[Problem] = []
    for address in sorted(wanted if only is None else only):
        file, line = desired_places.get(address, ("", 0))
        for path, message, severity in _Checks(address, wanted[address], world).findings():
            where = f"{dotted(path)}: " if path else ""
            problems.append(
                Problem(message=where + message, file=file, line=line, address=str(address), severity=severity)
            )
    return problems


class _World:
    """All that will be there: what is wanted, and what surrounds it."""

    def __init__(self, wanted: Snapshot, live: LiveNames) -> None:
        self.live = live
        self._wanted = wanted
        self._instance = next(iter(wanted)).instance if wanted else ""
        self._references: dict[Named, tuple[Reference, ...]] = {}

    def has(self, named: Named) -> bool:
        """Whether that is ours."""
        return Address(self._instance, *named) in self._wanted

    def references(self, named: Named) -> tuple[Reference, ...]:
        """What a resource of ours refers to; each is worked out once."""
        if named not in self._references:
            self._references[named] = tuple(references(named[0], self._wanted.get(Address(self._instance, *named))))
        return self._references[named]

    @cached_property
    def parents(self) -> frozenset[str]:
        """HTTP routers that others name as their parent."""
        routers = (spec for one, spec in self._wanted.items() if one.kind == "http.routers" and isinstance(spec, dict))
        lists = [listed(spec, "parentRefs") for spec in routers if "parentRefs" in spec]
        return frozenset(str(name).removesuffix("@file") for names in lists for name in names)

    @cached_property
    def side_by_side(self) -> dict[str, list[str]]:
        """HTTP routers of other providers by their plain names -> those providers."""
        found: dict[str, list[str]] = {}
        for kind, qualified in sorted(self.live.names):
            name, _, provider = qualified.rpartition("@")
            if kind == "http.routers" and provider != "file":
                found.setdefault(name, []).append(provider)
        return found

    @cached_property
    def copied(self) -> dict[str, list[str]]:
        """Names that Traefik's own copies of HTTP routers in files take -> what each is a copy of."""
        if not self.live.copying:
            return {}
        theirs = ((named, specs[0]) for named, specs in self.live.foreign_specs.items() if specs)
        ours = (((one.kind, one.name), spec) for one, spec in self._wanted.items())
        routers = {name: spec for (kind, name), spec in (*theirs, *ours) if kind == "http.routers"}
        asked = ((name, _entry_points(spec)) for name, spec in routers.items())
        return copies(asked, self.live.by_default, self.live.copying)

    @cached_property
    def lost_copies(self) -> dict[str, list[str]]:
        """HTTP routers in files -> the names that their copies would share with other routers."""
        found: dict[str, list[str]] = {}
        for name, origins in self.copied.items():
            if self.has(("http.routers", name)) or ("http.routers", name) in self.live.foreign_files:
                for origin in origins:
                    found.setdefault(origin, []).append(name)
        return found

    def offered(self, kind: str) -> set[str]:
        """Every name of a kind that could be meant, for hints."""
        ours = {address.name for address in self._wanted if address.kind == kind}
        others = (*self.live.foreign_files, *self.live.names)
        return ours | {name for of, name in others if of == kind}

    def circle(self, kind: str, name: str) -> bool:
        """Whether a service or a chain comes back to itself."""
        seen: set[Named] = set()
        waiting = [(kind, name)]
        while waiting:
            key = waiting.pop()
            for reference in self.references(key):
                following = _own_name(reference)
                if following == (kind, name):
                    return True
                if following not in seen and following[0] == kind:
                    seen.add(following)
                    waiting.append(following)
        return False


def _entry_points(spec: Any) -> list[str]:
    asked = at(spec, "entryPoints")
    if isinstance(asked, str):  # Traefik takes "web,websecure" for a list
        return [part.strip() for part in asked.split(",") if part.strip()]
    return [str(name) for name in asked] if isinstance(asked, list) else []


def _own_name(reference: Reference) -> Named:
    return reference.kind, reference.name.removesuffix("@file")


_Finding = tuple[Path, str, str]


def _error(path: Path, message: str) -> _Finding:
    return path, message, "error"


def _note(path: Path, message: str) -> _Finding:
    return path, message, "warning"


class _Checks:
    """Every check of one resource."""

    def __init__(self, address: Address, spec: Any, world: _World) -> None:
        self._address = address
        self._kind = address.kind
        self._spec = spec
        self._world = world
        self._live = world.live

    def findings(self) -> Iterator[_Finding]:
        yield from self._taken()
        for reference in self._world.references((self._kind, self._address.name)):
            yield from self._resolved(reference)
        if self._kind.endswith(".routers") and isinstance(self._spec, dict):
            yield from self._router()
        yield from insides.faults(self._kind, self._spec)
        if self._kind.endswith((".services", ".middlewares")) and self._world.circle(self._kind, self._address.name):
            yield _error((), "comes back to itself, and Traefik would disable every router that uses it")
        yield from _file_notes(self._spec, ())

    # ── names ──

    def _taken(self) -> Iterator[_Finding]:
        name = self._address.name
        named = self._kind, name
        other = rival(named, self._spec, "", self._live.foreign_files, self._live.foreign_specs)
        if other and other.unanimous:
            yield _note((), f"{other.file} in Traefik's directory holds '{name}' too, with the same content; "
                            "a hand-over moves it aside: waypost adopt-traefik DIR --hand-over")  # fmt: skip
        elif other:
            yield _error((), f"{other.file} in Traefik's directory holds '{name}' too, and one of them would be "
                             "ignored; choose another name, or take it out there")  # fmt: skip
        if self._kind == render.MARKER_KIND and name.startswith(render.MARKER_PREFIX):
            yield _error((), f"names that begin with {render.MARKER_PREFIX} are Waypost's own markers; choose another")
        if self._kind == "http.routers":
            yield from self._beside(name)

    def _beside(self, name: str) -> Iterator[_Finding]:
        """Other routers of this name: of other providers, which is fine, and Traefik's own copies, which is not."""
        if elsewhere := self._world.side_by_side.get(name):
            yield _note((), f"{', '.join(elsewhere)} has a router '{name}' too; both are served, side by side")
        for origin in self._world.copied.get(name, ()):
            yield _error((), f"Traefik makes a copy of router '{origin}' under this very name for an entry point with "
                             "options of its own, and only one of the two would be served: rename it")  # fmt: skip
        for copy in self._world.lost_copies.get(name, ()):
            yield _error((), f"for an entry point with options of its own Traefik makes a copy of it named '{copy}', "
                             "and there is a router of that name: only one of the two would be served")  # fmt: skip

    def _resolved(self, reference: Reference) -> Iterator[_Finding]:
        provider = reference.name.rpartition("@")[2] if "@" in reference.name else "file"
        if reference.name in FORBIDDEN_SERVICES and reference.kind.endswith(".services"):
            message = "would open Traefik's own controls to whoever reaches this router; Waypost never routes to it"
            yield _error(reference.path, f"'{reference.name}' {message}")
        elif provider == "file":
            yield from self._of_files(reference)
        elif self._live.entry_points and reference.kind not in _UNLISTED:
            yield from self._of_provider(reference)

    def _of_provider(self, reference: Reference) -> Iterator[_Finding]:
        if (reference.kind, reference.name) not in self._live.names:
            near = _like(reference.name, self._world.offered(reference.kind))
            yield _error(reference.path, f"Traefik has no {_singular(reference.kind)} '{reference.name}' now{near}")

    def _of_files(self, reference: Reference) -> Iterator[_Finding]:
        name = _own_name(reference)
        if not self._world.has(name) and name not in self._live.foreign_files and name != ("tls.options", "default"):
            near = _like(reference.name, self._world.offered(reference.kind))
            yield _error(reference.path, f"there is no {_singular(reference.kind)} '{reference.name}'{near}")

    # ── routers ──

    def _router(self) -> Iterator[_Finding]:
        yield from self._entry_points()
        yield from self._resolver()
        priority = str(self._spec.get("priority") or 0)
        if re.fullmatch(r"[-+]?[0-9]+", priority) and int(priority[:40]) > HIGHEST_PRIORITY:
            yield _error(("priority",), f"higher than {HIGHEST_PRIORITY}, and Traefik would disable the router")
        if self._kind != "udp.routers":
            yield from self._rule()
        is_parent = self._kind == "http.routers" and self._address.name in self._world.parents
        if not self._spec.get("service") and not is_parent:
            yield _error((), "has no service, and Traefik would disable it")
        if self._spec.get("service") and is_parent:
            yield _error(("service",), "other routers name this one as their parent, and then it may have no service")

    def _entry_points(self) -> Iterator[_Finding]:
        for index, name in enumerate(listed(self._spec, "entryPoints")):
            if self._live.entry_points and str(name) not in self._live.entry_points:
                there = ", ".join(sorted(self._live.entry_points))
                yield _error(("entryPoints", index), f"Traefik has no entry point '{name}'; it has {there}")

    def _resolver(self) -> Iterator[_Finding]:
        known, name = self._live.cert_resolvers, at(self._spec, "tls", "certResolver")
        if known is not None and name and str(name) not in known:
            there = ", ".join(sorted(known)) or "none"
            message = f"Traefik has no certificate resolver '{name}' (it has {there}) and would serve its default one"
            yield _error(("tls", "certResolver"), message)

    def _rule(self) -> Iterator[_Finding]:
        rule = self._spec.get("rule")
        if rule in (None, ""):
            yield _error((), "has no rule, and Traefik would disable it")
            return
        if not self._spec.get("ruleSyntax") and self._live.rule_syntax not in ("", "v3"):
            yield _error(
                ("rule",),
                "does not say in which syntax it is written, and this Traefik's own settings choose one "
                "(core.defaultRuleSyntax): write `ruleSyntax: v3`, or take that option out where it says v3",
            )
            return
        if self._spec.get("ruleSyntax") == "v2":
            yield _note(("ruleSyntax",), "rules of version 2 are not checked")
            return
        try:
            node = rules.parse(str(rule), self._kind.split(".")[0])
        except rules.TooLarge as error:
            yield _note(("rule",), f"this rule is not read here: {error}")
            return
        except rules.ParseError as error:
            yield _error(("rule",), f"Traefik would not take this rule and disable the router: {error}")
            return
        for fault in rules.faults(node):
            yield _error(("rule",), fault)
        if self._kind == "tcp.routers" and self._spec.get("tls") is None and _names_server(node):
            yield _error(("rule",), "HostSNI with a name needs `tls`: without TLS no client says a server name")


def _names_server(node: rules.Node) -> bool:
    return any(isinstance(part, rules.HostSNI) and part.value != "*" for part in rules.conditions(node))


def _singular(kind: str) -> str:
    return {"options": "TLS options", "serversTransports": "servers transport"}.get(
        kind.split(".")[1], kind.split(".")[1].removesuffix("s")
    )


def _like(name: str, offered: Collection[str]) -> str:
    """A hint at names that differ only by case, provider or a slip of the pen."""
    plain = name.rpartition("@")[0] or name
    same = sorted(other for other in offered if (other.rpartition("@")[0] or other) == plain)
    near = same or get_close_matches(name, sorted(offered), n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


_FILE_FIELDS = frozenset({"usersFile", "certFile", "keyFile", "caFiles", "rootCAs", "ca", "cert", "key"})


def _file_notes(spec: Any, path: Path) -> Iterator[_Finding]:
    """Files that Traefik itself will read; nobody here can see whether they are there."""
    if isinstance(spec, dict):
        for key, value in spec.items():
            if key in _FILE_FIELDS:
                yield from _file_note((*path, key), value)
            elif key not in ("plugin", "headers"):
                yield from _file_notes(value, (*path, key))
    elif isinstance(spec, list):
        for index, value in enumerate(spec):
            yield from _file_notes(value, (*path, index))


def _file_note(path: Path, value: Any) -> Iterator[_Finding]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str) and one and "-----BEGIN" not in one:
            yield _note(path, f"Traefik reads the file {one} on its own machine; it must be there")
