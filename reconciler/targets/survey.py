"""What surrounds our file: the neighbours' files, Traefik's own view, and what a fresh start would make of both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.core.target import Observation
from reconciler.ports import Clock
from reconciler.targets import proof
from reconciler.targets.owned import NAME
from reconciler.targets.shadow import Shadow, ShadowError, ShadowVerdict
from reconciler.targets.surroundings import DANGLING, Listing, Surroundings
from reconciler.traefik import render
from reconciler.traefik.api import ApiError, EntryPoint, Runtime, TraefikApi, Version
from reconciler.traefik.foreign import Neighbours
from state.model import Address, Problem, Snapshot, digest_bytes

_CATCH_UP: Final = 3.5  # seconds within which a Traefik of default throttle serves what was just written
_ASK_AGAIN: Final = 0.1
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PARTS: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")
ROUTERS: Final = ("http.routers", "tcp.routers", "udp.routers")


@dataclass(frozen=True, kw_only=True)
class Witness:
    """What the API said in one round; `outage` is "" or why it said nothing."""

    outage: str = ""
    version: Version = Version(version="", started="")
    runtime: Runtime = Runtime(items={})
    doors: tuple[EntryPoint, ...] = ()
    static: Mapping[str, Any] | None = None  # Traefik's static configuration, where it lets us read it


class Survey:
    """Looks at one instance's directory and API; changes nothing."""

    def __init__(
        self,
        instance: str,
        surroundings: Surroundings,
        api: TraefikApi,
        clock: Clock,
        shadow: Shadow | None,
    ) -> None:
        self._instance = instance
        self._surroundings = surroundings
        self._api = api
        self._clock = clock
        self._shadow = shadow
        self._confirmed: tuple[str, Version, tuple[str, ...]] | None = None
        self._parsed: tuple[bytes | None, Snapshot, str] | None = None
        self.witness = Witness(outage="not asked yet")

    def observe(self, content: bytes | None) -> Observation:
        """Everything about this instance, given the bytes of our own file (None: there is none)."""
        live, broken = self._ours(content)
        listing = self._surroundings.listing()
        neighbours = self._surroundings.neighbours(listing)
        witness = self._ask()
        verdict, excuse = self._examined(listing)
        poison = self._certain(listing, verdict, broken)
        problems = (
            *_taken(self._instance, live, neighbours.names),
            *(problem for problem in neighbours.problems if problem.file not in poison),
            *(() if witness.outage else _standing(live, content, witness)),
            *([Problem(message=excuse, severity="warning")] if excuse else ()),
        )
        return Observation(
            live=live,
            file="" if content is None else digest_bytes(content),
            own_file=NAME,
            taken_over=_taken_over(self._instance, live, neighbours),
            foreign=self._foreign(neighbours.names, witness.runtime),
            problems=problems,
            poison=poison,
            restart_losses=self._losses(listing, witness, verdict, poison),
            witness=witness.outage,
            version=witness.version.version,
            served=witness.runtime.items,
        )

    def poison(self, content: bytes | None) -> dict[str, str]:
        """The files that may keep the directory, as it is now, from being loaded -> what their decoder says."""
        listing = self._surroundings.listing()
        verdict, _ = self._examined(listing)
        return self._suspected(listing, verdict, self._ours(content)[1])

    def restarted(self) -> bool:
        """Has Traefik started anew since it was observed? Then its other providers may still be loading."""
        try:
            return self._api.version().started != self.witness.version.started
        except ApiError:
            return True

    def throttle(self) -> float:
        """Seconds for which Traefik may hold a change back; 0 where it does not say."""
        return _seconds(str(_section(self.witness.static, "providers").get("providersThrottleDuration", "")))

    def setup(self) -> str:
        """What in Traefik's own settings explains that it does not notice our directory, "" where nothing does."""
        if self.witness.static is None:
            return ""
        file = _section(_section(self.witness.static, "providers"), "file")
        if not file:
            return "Traefik's file provider is off: set providers.file.directory in its static configuration. "
        if not file.get("directory"):
            return "Traefik's file provider reads a single file: give it providers.file.directory instead. "
        if file.get("watch") is not True:
            return "Traefik's file provider does not watch: set providers.file.watch to true. "
        return f"Traefik watches {file['directory']} (a path on its own machine). "

    def _ours(self, content: bytes | None) -> tuple[Snapshot, str]:
        """What our file holds, and why it holds nothing that can be read; parsed again only when it changed."""
        if self._parsed is None or self._parsed[0] != content:
            try:
                live = {} if content is None else render.parse(content, self._instance)[0]
                self._parsed = (content, live, "")
            except render.Unreadable as error:
                self._parsed = (content, {}, str(error))
        return self._parsed[1:]

    def _ask(self) -> Witness:
        known = self.witness
        try:
            version = self._api.version()
            self.witness = Witness(
                version=version,
                runtime=self._api.rawdata(),
                doors=self._api.entry_points(),
                static=known.static if version == known.version else self._static(),
            )
        except ApiError as error:
            # The doors stay known, so that the shadow can go on judging while the API is out.
            self.witness = Witness(outage=str(error), version=known.version, doors=known.doors, static=known.static)
        return self.witness

    def _static(self) -> Mapping[str, Any] | None:
        try:
            return self._api.support_dump()
        except ApiError:
            return None  # a convenience of newer versions; everything else works without it

    def _examined(self, listing: Listing) -> tuple[ShadowVerdict | None, str]:
        if self._shadow is None:
            return None, ""
        try:
            return self._shadow.examine(listing.contents, self.witness.doors), ""
        except ShadowError as error:
            return None, str(error)

    def _suspected(self, listing: Listing, verdict: ShadowVerdict | None, broken: str) -> dict[str, str]:
        found = dict.fromkeys(listing.dangling, DANGLING)
        if verdict is not None:
            return found | dict(verdict.poison)
        for problem in self._surroundings.neighbours(listing).problems:
            if problem.severity == "error" and problem.file in listing.contents:
                found.setdefault(problem.file, _where(problem))
        return found | ({NAME: broken} if broken else {})

    def _certain(self, listing: Listing, verdict: ShadowVerdict | None, broken: str) -> dict[str, str]:
        """Without the files whose templates the live Traefik may execute with another result."""
        suspected = self._suspected(listing, verdict, broken)
        return {file: reason for file, reason in suspected.items() if file not in listing.templated}

    def _losses(
        self, listing: Listing, witness: Witness, verdict: ShadowVerdict | None, poison: Mapping[str, str]
    ) -> tuple[str, ...]:
        """The routers that run now and would not after a restart."""
        if witness.outage:
            return ()
        if poison:
            return _served(witness.runtime)  # the whole file provider would stay empty
        if verdict is None or listing.templated or listing.unreadable:
            return ()  # nobody here knows what a restart would load
        lost = _missing(witness.runtime, verdict)
        known = (listing.digest, witness.version, lost)
        if lost and known != self._confirmed:
            lost = self._still_missing(lost, verdict)
            self._confirmed = (listing.digest, witness.version, lost)
        return lost

    def _still_missing(self, lost: tuple[str, ...], verdict: ShadowVerdict) -> tuple[str, ...]:
        """A file that was just removed is served a little longer: give Traefik the time to catch up."""
        deadline = self._clock.monotonic() + max(_CATCH_UP, self.throttle() * 1.5)
        while lost and self._clock.monotonic() < deadline:
            self._clock.sleep(_ASK_AGAIN)
            try:
                lost = _missing(self._api.rawdata(), verdict)
            except ApiError:
                return ()
        return lost

    def _foreign(self, names: Mapping[tuple[str, str], str], runtime: Runtime) -> dict[Address, str]:
        found = {Address(self._instance, kind, name): file for (kind, name), file in names.items()}
        for kind, items in runtime.items.items():
            for qualified in items:
                provider = qualified.rpartition("@")[2]
                if provider != "file":
                    found[Address(self._instance, kind, qualified)] = provider
        return found


def _taken(instance: str, live: Snapshot, names: Mapping[tuple[str, str], str]) -> Iterator[Problem]:
    for (kind, name), file in sorted(names.items()):
        if (address := Address(instance, kind, name)) in live:
            first = "it is read first and wins" if _reads_before(file, NAME) else "ours is read first and wins"
            message = f"{kind} {name} is in {file} too: {first}"
            yield Problem(message=message, file=file, address=str(address), severity="warning")


def _taken_over(instance: str, live: Snapshot, neighbours: Neighbours) -> dict[Address, str]:
    """What a neighbour's file serves in our place: the same name with other content, in a file that is read first."""
    found = {Address(instance, *key): (file, neighbours.specs.get(key, ())) for key, file in neighbours.names.items()}
    return {
        address: file
        for address, (file, specs) in found.items()
        if address in live and _reads_before(file, NAME) and live[address] not in specs
    }


def _reads_before(one: str, other: str) -> bool:
    """Traefik reads a directory in the byte order of its entries, going into folders as they come."""
    return one.encode().split(b"/") < other.encode().split(b"/")


def _standing(live: Snapshot, content: bytes | None, witness: Witness) -> Iterable[Problem]:
    marker = _marker(content)
    if marker and f"{marker}@file" not in witness.runtime.of(render.MARKER_KIND):
        message = "Traefik does not serve this file as it stands on disk: its generation marker is not listed"
        yield Problem(message=message, file=NAME, severity="warning")
        return
    for address, fault in sorted(proof.faults(live, witness.runtime, witness.doors).items()):
        yield Problem(message=fault, address=str(address), severity="warning")


def _marker(content: bytes | None) -> str:
    try:
        return render.marker_of(content) if content is not None else ""
    except render.Unreadable:
        return ""


def _section(static: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    section = (static or {}).get(name)
    return section if isinstance(section, Mapping) else {}


def _seconds(duration: str) -> float:
    """A duration as Go writes it: 2s, 1m30s, 100ms."""
    return sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(duration))


def _served(runtime: Runtime) -> tuple[str, ...]:
    return tuple(sorted(name for kind in ROUTERS for name in runtime.of(kind) if name.endswith("@file")))


def _missing(runtime: Runtime, verdict: ShadowVerdict) -> tuple[str, ...]:
    survivors = verdict.routers()
    return tuple(name for name in _served(runtime) if name not in survivors)


def _where(problem: Problem) -> str:
    place = ":".join(str(part) for part in (problem.line, problem.column) if part)
    return f"line {place}: {problem.message}" if place else problem.message
