"""What an audit of a running Traefik looks at, and what it says: plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from reconciler.traefik.api import EntryPoint, Item, Runtime, Version
from reconciler.traefik.kinds import Named
from state.model import Spec

Severity = Literal["error", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")
ROUTERS: Final = ("http.routers", "tcp.routers", "udp.routers")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that an audit found: `kind` groups it, `subject` is what it is about, `suggestion` what to do."""

    severity: Severity
    kind: str
    subject: str
    message: str
    suggestion: str = ""


@dataclass(frozen=True, kw_only=True)
class Directory:
    """A dynamic directory as it lies on the disk; files are named relative to `path`.

    `files`: what each file defines, in the order in which Traefik reads them. `poison`: file -> why Traefik refuses
    the whole directory for it. `losses`: routers that run and would not after a restart. `fresh`: what a
    throw-away Traefik of version `tried` made of the directory, None where none could be asked, for the reason
    `untried`.
    """

    path: str
    files: Mapping[str, Mapping[Named, Spec]] = field(default_factory=dict)
    poison: Mapping[str, str] = field(default_factory=dict)
    losses: tuple[str, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)  # file -> what in it is ignored, or could not be read
    templated: frozenset[str] = frozenset()
    unreadable: tuple[str, ...] = ()
    links: tuple[str, ...] = ()  # files that are links to somewhere outside
    linked_folders: tuple[str, ...] = ()
    fresh: Runtime | None = None
    tried: str = ""
    untried: str = ""

    @property
    def known(self) -> bool:
        """Whether all that it defines is known here."""
        return not (self.poison or self.templated or self.unreadable)

    @property
    def winners(self) -> dict[Named, tuple[str, Spec]]:
        """Each name -> the file that wins it and what stands there: the first that is read."""
        found: dict[Named, tuple[str, Spec]] = {}
        for file, resources in self.files.items():
            for name, spec in resources.items():
                found.setdefault(name, (file, spec))
        return found


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything about one running Traefik. `static` is None where it does not tell its static configuration."""

    version: Version
    runtime: Runtime
    doors: tuple[EntryPoint, ...] = ()
    static: Mapping[str, Any] | None = None
    directory: Directory | None = None

    def door(self, name: str) -> EntryPoint | None:
        """The entry point of this name."""
        return next((door for door in self.doors if door.name == name), None)

    def families(self, kind: str) -> Iterator[tuple[str, dict[str, Item]]]:
        """Every router with the copies that Traefik made of it, under the name that its owner gave it."""
        found: dict[str, dict[str, Item]] = {}
        for name, item in sorted(self.runtime.of(kind).items()):
            found.setdefault(self.original(kind, name), {})[name] = item
        yield from sorted(found.items())

    def original(self, kind: str, name: str) -> str:
        """The router of which this one is the copy for an entry point with options of its own; else itself."""
        listed = self.runtime.of(kind)
        for door in self.doors:
            base = name.removeprefix(f"{door.name}-")
            if base != name and door.renames and base in listed and _alike(listed[base], listed[name]):
                return base
        return name


def _alike(one: Item, other: Item) -> bool:
    return all(one.spec.get(field) == other.spec.get(field) for field in ("rule", "service", "parentRefs"))


def provider(qualified: str) -> str:
    """`docker` of `auth@docker`."""
    return qualified.rpartition("@")[2]


def qualified(name: str, holder: str) -> str:
    """A name as its holder means it: one without a provider is of the holder's own."""
    return name if "@" in name else f"{name}@{provider(holder)}"


def entry_points(item: Item) -> list[str]:
    """Where a router listens, else where it wants to."""
    using, wanted = item.spec.get("using"), item.spec.get("entryPoints")
    names = using if isinstance(using, list) and using else wanted
    return [str(name) for name in names] if isinstance(names, list) else []


def where(items: Iterable[Item]) -> str:
    """The entry points of a few routers, as the end of a phrase; "" where there are none."""
    doors = sorted({door for item in items for door in entry_points(item)})
    return f" on {', '.join(doors)}" if doors else ""


def together(words: Iterable[str], most: int = 3) -> str:
    """A few words in a row, and how many more there are."""
    listed = list(words)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
