"""Which router serves a request: the tables for that, from files, from a running Traefik, or from the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol

from reconciler import app
from reconciler.config import Place
from reconciler.home import Home
from reconciler.ports import Disk
from reconciler.routing import explain, reading
from reconciler.routing.asking import Asked, BadRequest, asked, entry_points, inferred, of_url, release, release_of
from reconciler.routing.explain import as_json
from reconciler.routing.request import NEWEST
from reconciler.routing.routers import EntryPoint
from reconciler.routing.table import Answer, Table, UnknownEntryPoint
from reconciler.routing.urls import Release
from reconciler.session import CommandError
from reconciler.targets.surroundings import Listing, Surroundings
from reconciler.traefik import foreign, insides
from reconciler.traefik.api import ApiError, Runtime
from reconciler.traefik.consequences import table_of
from reconciler.traefik.kinds import Named
from reconciler.world import World
from state import views
from state.model import Spec
from state.record import Recorded

__all__ = [
    "NEWEST", "Answer", "Asked", "Ground", "answers", "as_json", "entry_points", "lines", "of_api", "of_directory",
    "of_home", "of_past", "question", "release",
]  # fmt: skip

_LONGEST: Final = 1024 * 1024  # bytes of one request's line
_LARGEST: Final = 64 * 1024 * 1024  # bytes of one file of a directory that is not ours to refuse


@dataclass(frozen=True)
class Past:
    """What answers about an earlier moment rest on: our own file as it was `when`, and `ours`, the routers in it.

    `lost` says why others' routers are not considered at all, "" where they are, as they are now.
    """

    when: str
    ours: frozenset[str]
    lost: str = ""

    def others_in(self, answer: Answer) -> list[str]:
        """The routers of others that have a part in an answer; nobody knows whether they were there then."""
        named = dict.fromkeys((*filter(None, (answer.router,)), *answer.tied, *answer.candidates))
        return [name for name in named if name not in self.ours]

    def as_json(self, answer: Answer) -> dict[str, Any]:
        others = {"others": "not considered", "why": self.lost} if self.lost else {"others": "as they are now"}
        return {"ours": f"as our file was {self.when}", **others, "others_involved": self.others_in(answer)}

    def lines(self, answer: Answer) -> Iterator[str]:
        """The same for people."""
        if self.lost:
            yield f"this rests on our own file as it was {self.when}, and on nothing else: {self.lost}"
            return
        yield f"this rests on our own file as it was {self.when}, and on other files and providers as they are now"
        if involved := self.others_in(answer):
            yield f"! nobody recorded whether {', '.join(involved)} served then"


@dataclass(frozen=True)
class Ground:
    """What questions are asked about: a table, what a person should know of it, and why it may know too little.

    With `blind` no answer can be told: something that Traefik reads is not known here. `past`: of which moment.
    """

    table: Table
    notes: tuple[str, ...] = ()
    blind: str = ""
    past: Past | None = None

    def answer(self, question: Asked) -> Answer:
        """Who serves it. Raises UnknownEntryPoint."""
        found = self.table.answer(question.request, question.server_name)
        if unknown := self.blind or self._unseen(found):
            return replace(found, router=None, service="", middlewares=(), tied=(), status=None, unknown=unknown)
        return found

    def _unseen(self, found: Answer) -> str:
        """Why nobody can tell who takes what none of our routers takes."""
        lost = self.past.lost if self.past else ""
        is_free = found.status == HTTPStatus.NOT_FOUND and not found.path
        return f"none of our routers takes it, and what others serve is not known: {lost}" if lost and is_free else ""

    def as_json(self, answer: Answer) -> dict[str, Any]:
        """An answer for programs, with what it rests on where that is not the present."""
        rests = {"rests_on": self.past.as_json(answer)} if self.past else {}
        return {**as_json(answer), **rests}


# ── a directory ──────────────────────────────────────────────────────────────────────────────────


def of_directory(path: Path, doors: Iterable[EntryPoint] | None = None, version: Release = NEWEST) -> Ground:
    """A dynamic directory (or one file), as Traefik reads it; entry points as given, else those that routers name.

    Raises CommandError where it is not there, TargetError where it cannot be listed.
    """
    if not path.exists():
        raise CommandError(f"{path} is not there; name the directory that Traefik's file provider reads")
    if path.is_dir():
        listing = Surroundings("traefik", path.absolute(), Disk()).listing()
        return _of_listing(listing, doors, version)
    contents, unread = dict[str, bytes](), dict[str, str]()
    foreign.read_into(Disk(), path, path.name, contents, unread)
    return _of_listing(Listing(contents=contents, unread=unread), doors, version)


def _of_listing(listing: Listing, doors: Iterable[EntryPoint] | None, version: Release) -> Ground:
    read = foreign.neighbours(listing.contents, listing.unread, largest=_LARGEST)
    specs = _by_kind(read.specs)
    routers = reading.from_files(specs, faults=insides.disabling)
    found = inferred(routers) if doors is None else reading.judged(doors, specs, faults=insides.disabling)
    poison = [f"{name}: {why}" for name, why in listing.strays.items()]
    poison += [str(problem) for problem in read.problems if problem.severity == "error"]
    notes = tuple(str(problem) for problem in read.problems if problem.severity != "error")
    table = Table(routers, found, release=version)
    return Ground(table, notes, _blind(poison, listing.unread, listing.templated))


def _blind(poison: Iterable[str], unread: Mapping[str, str], templated: Iterable[str]) -> str:
    for words in poison:
        return f"Traefik refuses the whole directory because of {words}"
    for name, why in unread.items():
        return f"{name} cannot be read here: {why}"
    for name in sorted(templated):
        return f"{name} holds Go templates, which only Traefik can execute"
    return ""


def _by_kind(specs: Mapping[Named, tuple[Spec, ...]]) -> dict[str, dict[str, Any]]:
    """What wins each name, by kind."""
    found: dict[str, dict[str, Any]] = {}
    for (kind, name), held in specs.items():
        found.setdefault(kind, {})[name] = held[0]
    return found


# ── a running Traefik ────────────────────────────────────────────────────────────────────────────


class Listed(Protocol):
    """What TraefikApi tells; anything that tells the same will do."""

    def version(self) -> Any: ...
    def rawdata(self) -> Runtime: ...
    def entry_points(self) -> Iterable[Any]: ...
    def support_dump(self) -> Mapping[str, Any] | None: ...


def of_api(api: Listed) -> Ground:
    """A running Traefik, all providers. Raises TargetError where it does not answer."""
    doors = doors_of(api)
    runtime = api.rawdata()
    items = {kind: {name: item.spec for name, item in listed.items()} for kind, listed in runtime.items.items()}
    known = release_of(str(api.version().version))
    table = Table(reading.from_api(items, doors), doors, release=known or NEWEST, precedence=_precedence(api))
    notes = () if known else (f"this Traefik's version is not known here; it is taken for {_told(NEWEST)}",)
    return Ground(table, notes)


def doors_of(api: Listed) -> list[EntryPoint]:
    """The entry points of a running Traefik."""
    return [reading.entry_point(door.options) for door in api.entry_points()]


def _precedence(api: Listed) -> tuple[str, ...]:
    try:
        static = api.support_dump()
    except ApiError:
        return ()
    return reading.texts(reading.value_at(reading.value_at(static, "providers"), "precedence"))


def _told(version: Release) -> str:
    return ".".join(map(str, version))


def of_home(home: Home, instance: str = "") -> Ground:
    """The Traefik of a home, by its settings. Raises CommandError and TargetError."""
    with closing(app.api(home, place_of(home, instance))) as api:
        return of_api(api)


def place_of(home: Home, instance: str) -> Place:
    """The target of that name; the first where none is named."""
    places = {place.name: place for place in home.settings.places}
    if not places:
        raise CommandError(
            "this home knows no Traefik: set WAYPOST_TRAEFIK_DYNAMIC_DIR and WAYPOST_TRAEFIK_API_URL, "
            "or ask about files with --config DIR"
        )
    if instance and instance not in places:
        raise CommandError(f"there is no target '{instance}'; there are: {', '.join(places)}")
    return places[instance] if instance else next(iter(places.values()))


# ── the log ──────────────────────────────────────────────────────────────────────────────────────


def of_past(world: World, home: Home, at: str, instance: str = "") -> Ground:
    """What served at a revision or a time: our files as the log has them, everything else as it is now.

    Nobody records what other files and providers serve. Without them an answer would miss every route that is not
    ours, so those of now are taken, and each answer says so; where Traefik does not tell them, what none of ours
    takes is unknown. Raises CommandError and TargetError.
    """
    place = place_of(home, instance)
    seq, when = _moment(world, at)
    ours = views.Applied.empty().fold_all(world.log.read(until=seq)).base(place.name)
    observed = world.targets[place.name].observe()
    names = frozenset(address.name for address in ours if address.kind.endswith(".routers"))
    return Ground(table_of(place.name, observed, ours), past=Past(when, names, observed.witness))


def _moment(world: World, at: str) -> tuple[int, str]:
    """The last event that counts, and the moment in words."""
    if at.isdecimal() and len(at) < 19:
        made = world.log.view(views.Revisions).by_number.get(int(at))
        if made is None:
            latest = world.log.view(views.Revisions).latest
            there = f"the latest is {latest.number}" if latest else "there is none yet"
            raise CommandError(f"there is no revision {at}; {there}")
        return made.seq, f"at revision {made.number} ({made.at:%Y-%m-%d %H:%M} UTC)"
    moment = _time(at)
    if moment > world.clock.now():
        raise CommandError(f"{moment:%Y-%m-%d %H:%M} UTC is still to come; without --at the answer is about now")
    seq = 0
    for recorded in _until(world.log.read(), moment):
        seq = recorded.seq
    if not seq:
        raise CommandError(f"the log begins after {moment:%Y-%m-%d %H:%M} UTC")
    return seq, f"at {moment:%Y-%m-%d %H:%M} UTC"


def _until(records: Iterable[Recorded], moment: datetime) -> Iterator[Recorded]:
    for recorded in records:
        if recorded.at > moment:
            return
        yield recorded


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise CommandError(
            f"'{text}' is neither a revision nor a time; write a number, or a time like 2026-03-01T18:30 (UTC)"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# ── one request ──────────────────────────────────────────────────────────────────────────────────


def question(method: str, url: str, headers: Iterable[str], client_ip: str, entry_point: str) -> Asked:
    """A request as a person types it; headers are `Name: value`. Raises BadRequest."""
    pairs: list[tuple[str, str]] = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise BadRequest(f"'{header}' is no header; write one like 'X-Name: value'")
        pairs.append((name.strip(), value.strip()))
    return Asked(of_url(method, url, pairs, client_ip, entry_point))


def lines(ground: Ground, answer: Answer, question: Asked) -> Iterator[str]:
    """An answer for people."""
    yield from explain.lines(answer, ground.table, question.request)
    yield from (f"  {line}" for line in (ground.past.lines(answer) if ground.past else ()))


# ── many requests ────────────────────────────────────────────────────────────────────────────────


class Lines(Protocol):
    """A file of lines."""

    def readline(self, limit: int, /) -> bytes: ...


def answers(file: Lines, ground: Ground) -> Iterator[tuple[bool, dict[str, Any]]]:
    """For each line of a file whether it could be answered, and the answer, or what is wrong and where.

    Blank lines are passed over. One line at a time is held, however many there are.
    """
    number = 0
    while line := file.readline(_LONGEST):
        number += 1
        if len(line) >= _LONGEST and not line.endswith(b"\n"):
            _skip(file)
            yield False, _wrong(number, f"the line is longer than {_LONGEST:,} bytes")
        elif text := line.strip().removeprefix(b"\xef\xbb\xbf"):
            yield _answered(text, number, ground)


def _skip(file: Lines) -> None:
    while (rest := file.readline(_LONGEST)) and not rest.endswith(b"\n"):
        pass


def _answered(line: bytes, number: int, ground: Ground) -> tuple[bool, dict[str, Any]]:
    try:
        return True, ground.as_json(ground.answer(asked(line)))
    except (BadRequest, UnknownEntryPoint) as error:
        return False, _wrong(number, str(error))


def _wrong(number: int, words: str) -> dict[str, Any]:
    return {"line": number, "error": words}
