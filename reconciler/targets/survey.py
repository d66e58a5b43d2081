"""What surrounds our file: the neighbours' files, Traefik's own view, and what a fresh start would make of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.core.snapshots import Kept, kept
from reconciler.core.target import Observation
from reconciler.ports import Clock
from reconciler.targets.owned import NAME
from reconciler.targets.shadow import Shadow, ShadowError, ShadowVerdict
from reconciler.targets.standing import Ours, Standing, Watch
from reconciler.targets.surroundings import Listing, Surroundings
from reconciler.targets.witness import Glance, Witness
from reconciler.traefik import render
from reconciler.traefik.api import ApiError, EntryPoint, Runtime, TraefikApi, Version
from reconciler.traefik.rivals import Rival
from state.model import Address, Problem, Snapshot, digest_bytes

__all__ = ["ROUTERS", "Survey", "Witness"]

_CATCH_UP: Final = 3.5  # seconds within which a Traefik of default throttle serves what was just written
_ASK_AGAIN: Final = 0.1
_GLANCES: Final = 300.0  # seconds for which a glance is enough after a whole look
ROUTERS: Final = ("http.routers", "tcp.routers", "udp.routers")


@dataclass(frozen=True, kw_only=True)
class _Look:
    """A whole look that found nothing amiss: what was there, and what a glance showed just before."""

    observation: Observation
    content: bytes | None
    listing: Listing
    marker: str
    glance: Glance
    at: float


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
        self._confirmed: tuple[Listing, Version, tuple[str, ...]] | None = None
        self._parsed: tuple[bytes | None, Snapshot, str, str] | None = None
        self._examination: tuple[Listing, tuple[EntryPoint, ...], ShadowVerdict] | None = None
        self._last: _Look | None = None
        self._watch = Watch(api, clock)
        self.witness = Witness(outage="not asked yet")

    def observe(self, content: bytes | None, strange: str = "") -> Observation:
        """Everything about this instance, given the bytes of our own file (None: there is none).

        `strange` says what stands in the place of our file where it is no file of ours.
        """
        self._last, at = None, self._clock.monotonic()
        live, broken, marker = self._ours(content)
        listing = self._surroundings.listing(content)
        neighbours = self._surroundings.neighbours(listing)
        rivals = self._surroundings.rivals(live, neighbours)
        counts = self._counts()
        self._ask()
        verdict, excuse = self._examined(listing)
        freezing = self._certain(listing, verdict, broken)
        # What nobody here can read is not nothing, even where it is a template that Traefik may make something of.
        poison = ({NAME: broken} if broken else {}) | freezing | ({NAME: strange} if strange else {})
        taken_over = {address: one.file for address, one in rivals.items() if one.takes_over}
        standing = self._standing(
            Ours(
                marker=marker,
                live=live,
                elsewhere={address: one.file for address, one in rivals.items()},
                taken_over=taken_over,
                poison=poison,
                folder_is_link=self._surroundings.folder_is_link(),
            )
        )
        witness = self.witness  # as it is now: Traefik may have had to catch up first
        problems = (
            *self._surroundings.oddities(),
            *_shared(rivals),
            *(problem for problem in neighbours.problems if problem.file not in poison),
            *standing.problems,
            *([Problem(message=excuse, severity="warning")] if excuse else ()),
        )
        observation = Observation(
            live=live,
            file="" if content is None else digest_bytes(content),
            own_file=NAME,
            taken_over=taken_over,
            disabled=standing.disabled,
            unserved=standing.unserved,
            foreign=self._foreign(neighbours.names, witness.runtime),
            beside=neighbours.specs,
            problems=problems,
            poison=poison,
            restart_losses=self._losses(listing, witness, verdict, freezing),
            witness=witness.outage,
            version=witness.version.version,
            served=witness.runtime.items,
            doors=tuple(door.options for door in witness.doors),
            precedence=witness.precedence,
        )
        if counts is not None and not _amiss(observation):  # so our marker is listed
            glance = Glance(witness.version, counts, lists_ours=True)
            self._last = _Look(
                observation=observation, content=content, listing=listing, marker=marker, glance=glance, at=at
            )
        return observation

    def unmoved(self, seen: Observation, content: bytes | None) -> bool:
        """Whether all is as it was seen then, given the bytes of our own file.

        The files are compared byte by byte. Of Traefik only a few short answers are asked for: whether it started
        anew, what it counts, and whether it lists our marker. What others serve may change without any of these, so
        after a while only a whole look will do.
        """
        last = self._last
        return (
            last is not None
            and last.observation is seen
            and self._clock.monotonic() - last.at < _GLANCES
            and content == last.content
            and self._surroundings.listing(content) is last.listing
            and self._glance(last.marker) == last.glance
        )

    def written(self, content: bytes, live: Snapshot, marker: str) -> None:
        """These bytes were made of that: where they still stand, nobody needs to read them."""
        self._parsed = (content, kept(live), "", marker)

    def poison(self, content: bytes | None) -> dict[str, str]:
        """The files that may keep the directory, as it is now, from being loaded -> what their decoder says."""
        listing = self._surroundings.listing()
        verdict, _ = self._examined(listing)
        return self._suspected(listing, verdict, self.broken(content))

    def broken(self, content: bytes | None) -> str:
        """Why nothing can be read from these bytes of our own file; "" where it can be read, or there is none."""
        return self._ours(content)[1]

    def restarted(self) -> bool:
        """Has Traefik started anew since it was observed? Then its other providers may still be loading."""
        try:
            return self._api.version().started != self.witness.version.started
        except ApiError:
            return True

    def _ours(self, content: bytes | None) -> tuple[Snapshot, str, str]:
        """What our file holds, why it holds nothing that can be read, its marker; parsed again when it changed."""
        if self._parsed is None or self._parsed[0] != content:
            try:
                held = render.Held({}, {}, "") if content is None else render.read(content, self._instance)
                self._parsed = (content, Kept(held.resources), "", held.marker)
            except render.Unreadable as error:
                self._parsed = (content, {}, str(error), "")
        return self._parsed[1:]

    def _standing(self, ours: Ours) -> Standing:
        try:
            return self._watch.settle(ours, self.witness, self._ask, self._patience())
        except ApiError as error:
            self.witness = self._out(error)
            return Standing()

    def _patience(self) -> float:
        return max(_CATCH_UP, self.witness.throttle * 1.5)

    def _counts(self) -> Mapping[str, Any] | None:
        """What Traefik counts, asked before all the rest: what changes meanwhile is seen at the next glance."""
        try:
            return self._api.overview()
        except ApiError:
            return None

    def _glance(self, marker: str) -> Glance | None:
        try:
            lists_ours = not marker or self._api.middleware(f"{marker}@file") is not None
            return Glance(self._api.version(), self._api.overview(), lists_ours)
        except ApiError:
            return None

    def _ask(self) -> Witness:
        known = self.witness
        try:
            version = self._api.version()
            self.witness = Witness(
                version=version,
                runtime=self._api.rawdata(),
                doors=known.doors if known.doors and version == known.version else self._api.entry_points(),
                static=known.static if version == known.version else self._static(),
            )
        except ApiError as error:
            self.witness = self._out(error)
        return self.witness

    def _out(self, error: ApiError) -> Witness:
        """The doors stay known, so that the shadow can go on judging while the API is out."""
        known = self.witness
        return Witness(outage=str(error), version=known.version, doors=known.doors, static=known.static)

    def _static(self) -> Mapping[str, Any] | None:
        try:
            return self._api.support_dump()
        except ApiError:
            return None  # a convenience of newer versions; everything else works without it

    def _examined(self, listing: Listing) -> tuple[ShadowVerdict | None, str]:
        if self._shadow is None:
            return None, ""
        doors, known = self.witness.doors, self._examination
        if known and known[0] is listing and known[1] == doors:
            return known[2], ""
        try:
            verdict = self._shadow.examine(listing.contents, doors)
        except ShadowError as error:
            return None, str(error)
        self._examination = listing, doors, verdict
        return verdict, ""

    def _suspected(self, listing: Listing, verdict: ShadowVerdict | None, broken: str) -> dict[str, str]:
        found = dict(listing.strays)
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
        known = (listing, witness.version, lost)
        if lost and known != self._confirmed:
            lost = self._still_missing(lost, verdict)
            self._confirmed = (listing, witness.version, lost)
        return lost

    def _still_missing(self, lost: tuple[str, ...], verdict: ShadowVerdict) -> tuple[str, ...]:
        """A file that was just removed is served a little longer: give Traefik the time to catch up."""
        deadline = self._clock.monotonic() + self._patience()
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


def _amiss(seen: Observation) -> bool:
    """Whether anything may mend by itself, so that the next look has to be a whole one too."""
    return bool(seen.witness or seen.poison or seen.unserved or seen.disabled or seen.restart_losses)


def _shared(rivals: Mapping[Address, Rival]) -> Iterator[Problem]:
    for address, one in sorted(rivals.items()):
        first = "it is read first and wins" if one.first else "ours is read first and wins"
        message = f"{address.kind} {address.name} is in {one.file} too: {first}"
        yield Problem(message=message, file=one.file, address=str(address), severity="warning")


def _served(runtime: Runtime) -> tuple[str, ...]:
    return tuple(sorted(name for kind in ROUTERS for name in runtime.of(kind) if name.endswith("@file")))


def _missing(runtime: Runtime, verdict: ShadowVerdict) -> tuple[str, ...]:
    survivors = verdict.routers()
    return tuple(name for name in _served(runtime) if name not in survivors)


def _where(problem: Problem) -> str:
    place = ":".join(str(part) for part in (problem.line, problem.column) if part)
    return f"line {place}: {problem.message}" if place else problem.message
