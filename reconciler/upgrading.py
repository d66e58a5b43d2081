"""What an upgrade of Traefik would change: its files tried in that very program, its rules read as it reads them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from reconciler import app, explaining
from reconciler.core.policy import Guards
from reconciler.core.target import TargetError
from reconciler.home import Home
from reconciler.ports import Disk, SystemClock
from reconciler.routing import reading
from reconciler.routing.asking import release_of
from reconciler.routing.changes import Change, Changes, diff
from reconciler.routing.definitions import Definitions
from reconciler.routing.request import NEWEST
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving
from reconciler.routing.wording import as_json as change_json
from reconciler.routing.wording import told
from reconciler.targets.shadow import Shadow, ShadowError, ShadowVerdict, find_binary, version_of
from reconciler.targets.surroundings import Surroundings
from reconciler.traefik.api import EntryPoint, Runtime
from reconciler.traefik.exposure import Judge

_MOST: Final = 50


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One Traefik beside another version of it. `files`: those that the other refuses -> why; with one such file it
    loads none. `routers`: those that only the other disables -> its words. `requests`: what would be treated otherwise.
    """

    now: str
    then: str
    files: Mapping[str, str]
    routers: Mapping[str, str]
    requests: tuple[Change, ...]
    notes: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        return bool(self.files or self.routers or self.requests)

    def as_json(self) -> dict[str, Any]:
        return {
            "now": self.now,
            "then": self.then,
            "refused_files": dict(self.files),
            "disabled_routers": dict(self.routers),
            "requests": [change_json(change) for change in self.requests],
            "notes": list(self.notes),
        }

    def lines(self) -> Iterator[str]:
        yield f"Traefik {self.now} → {self.then}"
        for file, why in sorted(self.files.items()):
            yield f"  refused: {file}: {why} (and with it every file of the directory)"
        for name, why in sorted(self.routers.items()):
            yield f"  disabled: {name}: {why}"
        for change in self.requests[:_MOST]:
            yield f"  {told(change)}"
        if len(self.requests) > _MOST:
            yield f"  … and {len(self.requests) - _MOST} more sorts of requests"
        if not self.differs:
            yield "  nothing that is served now would be treated otherwise, as far as it was tried"
        for note in self.notes:
            yield f"  note: {note}"


def preview(home: Home, binary: str, instance: str = "", say: Callable[[str], None] = lambda words: None) -> Preview:
    """Try the files of a home's Traefik in another one. Changes nothing. Raises CommandError and TargetError.

    `say` is told what is being done, now and then.
    """
    place = explaining.place_of(home, instance)
    other = find_binary(binary)
    if other is None:
        raise TargetError(f"there is no program {binary}", retry=False, remedy="Name a traefik program")
    with closing(app.api(home, place)) as api:
        runtime, doors, version = api.rawdata(), api.entry_points(), api.version().version
    then = version_of(other)
    contents = Surroundings(place.name, place.dynamic_dir, Disk()).listing().contents
    say(f"Traefik {then} reads the files")
    tried = _tried(other, contents, doors)
    before, note = _baseline(home, version, contents, doors, runtime)
    disabled = _disabled(before, tried.runtime)
    changes = _differing(runtime, disabled, doors, (version, then), say)
    return Preview(
        now=version,
        then=then,
        files=tried.poison,
        routers=disabled,
        requests=changes.known,
        notes=(*note, *_notes(changes, then)),
    )


def _tried(binary: Path, contents: Mapping[str, bytes], doors: tuple[EntryPoint, ...]) -> ShadowVerdict:
    with tempfile.TemporaryDirectory(prefix="waypost-upgrade-") as scratch, _shadow(binary, Path(scratch)) as shadow:
        return shadow.examine(contents, doors)


def _shadow(binary: Path, scratch: Path) -> closing[Shadow]:
    return closing(Shadow(binary, files=Disk(), clock=SystemClock(), workdir=scratch / "shadow"))


def _baseline(
    home: Home, version: str, contents: Mapping[str, bytes], doors: tuple[EntryPoint, ...], runtime: Runtime
) -> tuple[Runtime, tuple[str, ...]]:
    """The same files in the program that runs now, where it is at hand: only so are the two alike in all else."""
    binary = find_binary(str(home.settings.traefik_binary or ""))
    try:
        if binary is not None and version_of(binary) == version:
            return _tried(binary, contents, doors).runtime, ()
    except ShadowError:
        pass
    return runtime, (f"Traefik {version} itself is not at hand here; what runs now was taken for comparison",)


def _disabled(before: Runtime, after: Runtime) -> dict[str, str]:
    return {
        name: "; ".join(item.errors) or "Traefik gives no reason"
        for kind in ("http.routers", "tcp.routers", "udp.routers")
        for name, item in after.of(kind).items()
        if item.status == "disabled" and name in before.of(kind) and before.of(kind)[name].status != "disabled"
    }


def _differing(
    runtime: Runtime,
    disabled: Mapping[str, str],
    doors: Iterable[EntryPoint],
    versions: tuple[str, str],
    say: Callable[[str], None],
) -> Changes:
    """Requests of every sort that either version treats differently; what the other disables serves nothing there."""
    items = {kind: {name: item.spec for name, item in held.items()} for kind, held in runtime.items.items()}
    entry_points = [reading.entry_point(door.options) for door in doors]
    routers = reading.from_api(items, entry_points)
    without = [replace(one, disabled=disabled.get(one.name, one.disabled), accepted=False) for one in routers]
    now, then = (release_of(version) or NEWEST for version in versions)
    judge = Judge({}, Guards().authentication, items.get("http.middlewares", {}))
    was = Serving(
        Table(routers, entry_points, release=now),
        Definitions(items),
        partial(judge.asks, ""),
        partial(judge.redirects, ""),
    )
    return diff(was, replace(was, table=Table(without, entry_points, release=then)), progress=say)


def _notes(changes: Changes, then: str) -> Iterator[str]:
    known = release_of(then)
    if known is None or known > NEWEST:
        newest = ".".join(map(str, NEWEST))
        yield f"Traefik {then} is newer than all that Waypost knows: requests were judged as {newest} treats them"
    yield f"Traefik {then} itself loaded the files; no request was sent: what becomes of them was worked out"
    for why, count in Counter(change.unknown for change in changes.unknown if change.region).items():
        yield f"nobody can tell of {count} sorts of requests: {why}"
