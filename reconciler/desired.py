"""The desired state of one commit: every resource with its file and line, or everything that is wrong with it."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from threading import Lock
from typing import Any, Generic, TypeVar

from reconciler import document, languages
from reconciler.core import policy as policies
from reconciler.core.policy import Policy
from reconciler.core.snapshots import Kept, changed
from reconciler.git.store import Entry, GitError, Store
from reconciler.language import Content, Language
from state.model import Address, Problem, Snapshot, Spec

_FILE, _EXECUTABLE, _LINK, _SUBMODULE = 0o100644, 0o100755, 0o120000, 0o160000
_MODES = {
    _LINK: "a symbolic link, which is never followed; commit the file itself",
    _SUBMODULE: "a submodule, which is never fetched; commit the files themselves",
    _EXECUTABLE: "marked executable; take the mark off: git update-index --chmod=-x",
}


@dataclass(frozen=True)
class Instance:
    """A target as `waypost.yaml` declares it: its name, its kind, and its directory in the desired repo."""

    name: str
    kind: str = "traefik"
    directory: str = "traefik"


@dataclass(frozen=True)
class Resource:
    """One resource as the desired repo wants it. `line` is where its name stands, from 1."""

    address: Address
    spec: Spec
    file: str
    line: int


@dataclass(frozen=True)
class Preset:
    """Middlewares ready for use, in one file below `presets/`, and what that file says about itself."""

    name: str
    file: str
    resources: tuple[Address, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Desired:
    """All that a commit wants. With `problems` it is partial and must not be applied."""

    commit: str
    tree: str
    resources: Mapping[Address, Resource] = field(default_factory=dict)
    policy_text: bytes | None = None
    presets: Mapping[str, Preset] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    snapshot: Snapshot = field(default_factory=dict)  # the same as `resources`, without their places
    instances: frozenset[str] = frozenset()  # those that have resources


class Cache:
    """What was read before: files by path and blob, and the latest commits as a whole.

    A blob never changes and neither does a commit, so a commit costs what differs from one that is known.
    """

    def __init__(self, files: int = 20_000, commits: int = 8) -> None:
        self._files: _Latest[tuple[str, str, str], Content] = _Latest(files)
        self._policies: _Latest[tuple[str, str], bytes | None] = _Latest(2 * commits)
        self._commits: _Latest[tuple[str, tuple[Instance, ...], str], tuple[Desired, _Gathered]] = _Latest(commits)
        self._lock, self._policies_lock = Lock(), Lock()  # who asks for a policy waits for no reading of all files

    def load(self, store: Store, commit: str, instances: tuple[Instance, ...]) -> Desired:
        place = (str(store.path), instances)
        with self._lock:
            known = self._commits.get((*place, commit))
            if known is None:
                gathered = self._gathered(store, commit, place)
                known = _desired(store, commit, gathered), gathered
                self._commits.put((*place, commit), known)
            return known[0]

    def policy_text(self, store: Store, commit: str) -> bytes | None:
        """What `waypost.yaml` says in a commit, None where it has none. A pass asks again and again."""
        key = (str(store.path), commit)
        with self._policies_lock:
            if key not in self._policies:
                self._policies.put(key, _policy_text(store, commit))
            return self._policies.get(key)

    def content(self, store: Store, entry: Entry, kind: str) -> Content:
        key = (kind, entry.path, entry.id)
        known = self._files.get(key)
        if known is None:
            known = _read(store, entry, languages.of(kind))
            self._files.put(key, known)
        return known

    def _gathered(self, store: Store, commit: str, place: tuple[str, tuple[Instance, ...]]) -> _Gathered:
        for (*elsewhere, base), (_, gathered) in self._commits.newest_first():
            if tuple(elsewhere) == place:
                try:
                    return self._derived(store, base, commit, gathered)
                except GitError:
                    break  # the known one may be gone from the repository: read all of this one
        fresh = _Gathered(place[1])
        for entry in store.entries(commit):
            fresh.take(entry, store, self)
        return fresh

    def _derived(self, store: Store, base: str, commit: str, gathered: _Gathered) -> _Gathered:
        derived = gathered.copy()
        for path in store.changed(base, commit):
            derived.drop(path)
            if entry := store.entry(commit, path):
                derived.take(entry, store, self)
        return derived


Key = TypeVar("Key")
Value = TypeVar("Value")


class _Latest(Generic[Key, Value]):
    """The values used last, up to a number of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: OrderedDict[Key, Value] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._known

    def get(self, key: Key) -> Value | None:
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    def put(self, key: Key, value: Value) -> None:
        self._known[key] = value
        while len(self._known) > self._size:
            self._known.popitem(last=False)

    def newest_first(self) -> list[tuple[Key, Value]]:
        return list(reversed(self._known.items()))


_CACHE = Cache()


def load(store: Store, commit: str, instances: Sequence[Instance], *, cache: Cache = _CACHE) -> Desired:
    """Read what a commit wants of these instances. Expected faults come back as `problems`, all at once.

    Raises GitError only where the repository itself cannot be read.
    """
    return cache.load(store, commit, tuple(instances))


def _desired(store: Store, commit: str, gathered: _Gathered) -> Desired:
    return Desired(
        commit=commit,
        tree=store.commit(commit).tree,
        resources=gathered.resources,
        policy_text=_policy_text(store, commit),
        presets={preset.name: preset for preset in gathered.presets.values()},
        problems=gathered.problems(),
        snapshot=gathered.snapshot(),
        instances=frozenset(+gathered.counts),
    )


def policy(store: Store, commit: str) -> tuple[Policy, tuple[Problem, ...]]:
    """The policy in a commit and everything wrong with it; the default one where there is none or it is wrong."""
    try:
        text = _CACHE.policy_text(store, commit)
    except GitError as error:
        return _DEFAULT, (Problem(message=str(error), file=policies.FILE),)
    return (_DEFAULT, ()) if text is None else _policy(text)


_DEFAULT = Policy()


@lru_cache(16)
def _policy(text: bytes) -> tuple[Policy, tuple[Problem, ...]]:
    read = document.read(policies.FILE, text)
    if read.problems:
        return _DEFAULT, read.problems
    return policies.parse(read.value, {path: line for path, (line, _) in read.places.items()})


class _Gathered:
    """What has been found in the files of a commit, kept by file so that another commit can be made from it."""

    def __init__(self, instances: tuple[Instance, ...]) -> None:
        # The longest directory first: traefik/edge may be an instance of its own inside traefik.
        self._instances = sorted(instances, key=lambda one: -len(one.directory))
        self._found: dict[str, tuple[Problem, ...]] = {}
        self._addresses: dict[str, tuple[Address, ...]] = {}
        self._places: dict[Address, dict[str, Resource]] = {}
        self._clashing: frozenset[Address] = frozenset()
        self.resources: dict[Address, Resource] = {}
        self.presets: dict[str, Preset] = {}
        self.counts: Counter[str] = Counter()  # of resources, by instance
        self._origin = Kept({})
        self._settled: set[Address] = set()  # since the origin

    def copy(self) -> _Gathered:
        """The same, to be made into another: its snapshot will be one that was made from this one's."""
        origin, other = self.snapshot(), _Gathered(())
        other.__dict__.update({name: copy(value) for name, value in vars(self).items() if name != "_origin"})
        other._origin, other._settled = origin, set()
        return other

    def snapshot(self) -> Kept:
        """What is wanted. Ask when all is taken."""
        if self._settled:
            put = {one: self.resources[one].spec for one in self._settled if one in self.resources}
            self._origin = changed(self._origin, put, frozenset(self._settled - put.keys()))
            self._settled = set()
        return self._origin

    def take(self, entry: Entry, store: Store, cache: Cache) -> None:
        """Add a file. One that cannot be read is a problem that names it."""
        instance = self._owner(entry.path)
        language = languages.of(instance.kind) if instance else None
        is_ours = bool(instance and language and language.reads(entry.path.removeprefix(instance.directory + "/")))
        if fault := _mode_fault(entry, is_ours or bool(language and language.strict) or entry.path == policies.FILE):
            self._found[entry.path] = (Problem(message=fault, file=entry.path),)
        elif instance and is_ours:
            try:
                self._add(instance, entry.path, cache.content(store, entry, instance.kind))
            except GitError as error:
                self._found[entry.path] = (Problem(message=str(error), file=entry.path),)

    def drop(self, path: str) -> None:
        """Take a file out again."""
        self._found.pop(path, None)
        self.presets.pop(path, None)
        for address in self._addresses.pop(path, ()):
            self._settle(address, {file: one for file, one in self._places[address].items() if file != path})

    def problems(self) -> tuple[Problem, ...]:
        found = [problem for problems in self._found.values() for problem in problems]
        return tuple(sorted([*found, *self._clashes()], key=lambda one: (one.file, one.line, one.column)))

    def _owner(self, path: str) -> Instance | None:
        return next((one for one in self._instances if path.startswith(one.directory + "/")), None)

    def _add(self, instance: Instance, path: str, content: Content) -> None:
        if content.problems:
            self._found[path] = content.problems
        for kind, name, spec, line in content.resources:
            address = Address(instance.name, kind, name)
            self._settle(address, {**self._places.get(address, {}), path: Resource(address, spec, path, line)})
        addresses = tuple(Address(instance.name, kind, name) for kind, name, _, _ in content.resources)
        self._addresses[path] = addresses
        if path.startswith(f"{instance.directory}/presets/"):
            self.presets[path] = Preset(PurePosixPath(path).stem, path, addresses, content.notes)

    def _settle(self, address: Address, places: dict[str, Resource]) -> None:
        """Where a resource stands now: nowhere, in one file, or (a problem) in several; the first is shown."""
        self._clashing = self._clashing | {address} if len(places) > 1 else self._clashing - {address}
        self._settled.add(address)
        self.counts[address.instance] += (1 if places else 0) - (1 if address in self.resources else 0)
        if places:
            self._places[address] = places
            self.resources[address] = places[min(places)]
        else:
            del self._places[address], self.resources[address]

    def _clashes(self) -> Iterator[Problem]:
        for address in self._clashing:
            places = self._places[address]
            for file, resource in places.items():
                others = ", ".join(f"{other}:{one.line}" for other, one in sorted(places.items()) if other != file)
                message = f"also stands in {others}; keep one of them"
                yield Problem(message=message, file=file, line=resource.line, address=str(address))


def _mode_fault(entry: Entry, is_read: bool) -> str:
    """Links and submodules have no place anywhere in a desired repo; other modes only matter where we read."""
    if entry.mode == _FILE or (entry.mode not in (_LINK, _SUBMODULE) and not is_read):
        return ""
    return f"this is {_MODES.get(entry.mode, f'of an unknown sort (mode {entry.mode:o})')}"


def _policy_text(store: Store, commit: str) -> bytes | None:
    entry = store.entry(commit, policies.FILE)
    return store.read(entry.id, document.LARGEST) if entry and entry.mode == _FILE else None


def _read(store: Store, entry: Entry, language: Language) -> Content:
    if entry.size > document.LARGEST:
        return Content(problems=(document.too_large(entry.path, entry.size),))
    return language.parse(entry.path, store.read(entry.id, document.LARGEST))
