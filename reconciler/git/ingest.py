"""Takes proposals over from the gateway's clone, object by object, believing nothing that stands there.

The clone belongs to the process that talks to models. Nothing of it is opened as a repository: no
configuration, pack or alternate is read, only plain files of loose objects, whose hash is checked. One
commit at a time, on top of a commit of the branch, within the bounds of a proposal.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import re
import stat
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pygit2.enums import ObjectType

from reconciler.git import trees
from reconciler.git.bounds import BRANCHES, ROOTS, id_fault, path_fault, shown, size_fault
from reconciler.git.errors import GitError, plain_words
from reconciler.git.proposals import point_to, proposals
from reconciler.git.store import Store
from reconciler.git.trees import Difference

WAITING_LIMIT = 1000
"""Undecided proposals of a clone that are looked at; of more only the newest are, so that a new one never waits."""

CHANGE_LIMIT = 1000
"""Files that one proposal may change."""

_META_LIMIT = 1 << 20
"""Bytes of one commit or tree."""

_HEX = re.compile(r"[0-9a-f]{40}")
_KINDS = {b"commit": ObjectType.COMMIT, b"tree": ObjectType.TREE, b"blob": ObjectType.BLOB}


@dataclass(slots=True)
class Ingestion:
    """What came over: id -> commit; and what did not: id -> the reason, a sentence.

    `trouble` is "", or what is wrong with the clone as a whole.
    """

    taken: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    trouble: str = ""


class _Refusal(Exception):
    """This proposal is not taken over, and why."""


def ingest_proposals(
    store: Store,
    clone: Path | str,
    *,
    branch: str = "main",
    known: Collection[str] = (),
    roots: Sequence[str] = ROOTS,
    secrets: Callable[[], Collection[str]] = frozenset,
) -> Ingestion:
    """Take over every proposal of the gateway's clone that is neither here nor `known` (decided before).

    One that holds any of the `secrets`, which are asked for when there is something to take, stays where it is.
    Only `refs/heads/proposals/*` is looked at, so nothing else there has an effect here. Nothing in the clone
    raises; a GitError means that our own repository fails.
    """
    found = Ingestion()
    present = proposals(store)
    names, found.trouble = _undecided(Path(clone), known)
    for id, commit in _commits(Path(clone), names).items():
        if present.get(id) == commit:
            continue
        try:
            _take(store, _Clone(Path(clone), secrets), id, commit, branch, roots)
            found.taken[id] = commit
        except (_Refusal, GitError) as fault:
            if isinstance(fault, GitError) and fault.retry:
                raise
            found.refused[id] = str(fault)
    return found


def _take(store: Store, clone: _Clone, id: str, commit: str, branch: str, roots: Sequence[str]) -> None:
    if fault := id_fault(id):
        raise _Refusal(fault)
    parent, tree = _single(clone, commit)
    head = store.head(branch)
    if head is None or not store.is_ancestor(parent, head):
        raise _Refusal(f"its parent {parent} is not in the history of {branch}")
    clone.copy(store, commit, ObjectType.COMMIT, _META_LIMIT)
    before = store.commit(parent).tree
    _copy_trees(store, clone, before, tree)
    changes = _bounded(store, before, tree)
    if faults := [fault for change in changes for fault in _faults(change, roots)]:
        raise _Refusal("; ".join(faults[:10]))
    for change in changes:
        _copy_file(store, clone, change)
    point_to(store, id, store.commit(commit).id)


def _single(clone: _Clone, commit: str) -> tuple[str, str]:
    """The one parent of a commit, and its tree."""
    header = clone.read(commit, ObjectType.COMMIT, _META_LIMIT).partition(b"\n\n")[0].decode("utf-8", "replace")
    lines = [line.partition(" ") for line in header.split("\n")]
    roots = [value for key, _, value in lines if key == "tree"]
    parents = [value for key, _, value in lines if key == "parent"]
    if len(roots) != 1 or len(parents) != 1 or not all(map(_HEX.fullmatch, roots + parents)):
        raise _Refusal(f"commit {commit} has {len(parents)} parents; a proposal is one commit on one parent")
    return parents[0], roots[0]


def _copy_trees(store: Store, clone: _Clone, old: str, new: str) -> None:
    """The directories that differ from the parent's. Until the bounds are checked nothing points to them."""
    pending = [(old, new, 0)]
    looked_at = 0
    while pending:
        before, after, depth = pending.pop()
        looked_at += 1
        if depth > trees.DEPTH_LIMIT or looked_at > CHANGE_LIMIT:
            raise _Refusal("it changes too many directories")
        if after not in store.repository:
            clone.copy(store, after, ObjectType.TREE, _META_LIMIT)
        with plain_words(f"cannot read directory {after} of the proposal"):
            here = trees.listing(store.repository, before)
            there = trees.listing(store.repository, after)
        changed = {name: leaf.id for name, leaf in there.items() if leaf.mode == trees.TREE and leaf != here.get(name)}
        pending += [(trees.directory(here.get(name)), below, depth + 1) for name, below in changed.items()]


def _bounded(store: Store, old: str, new: str) -> list[Difference]:
    changes: list[Difference] = []
    with plain_words("cannot compare the proposal with its parent"):
        for change in trees.differences(store.repository, old, new):
            changes.append(change)
            if len(changes) > CHANGE_LIMIT:
                raise _Refusal(f"it changes more than {CHANGE_LIMIT} files")
    if not changes:
        raise _Refusal("it changes nothing")
    return changes


def _faults(change: Difference, roots: Sequence[str]) -> Iterator[str]:
    if fault := path_fault(change.path, roots):
        yield fault
    for leaf in (change.old, change.new):
        if leaf and leaf.mode != trees.BLOB:
            yield f"'{shown(change.path)}' is no plain file (mode {leaf.mode:o})"


def _copy_file(store: Store, clone: _Clone, change: Difference) -> None:
    if change.new is None or change.new.id in store.repository:
        return
    if fault := size_fault(change.path, clone.size(change.new.id)):
        raise _Refusal(fault)
    clone.copy(store, change.new.id, ObjectType.BLOB, clone.size(change.new.id))


# ── the clone, as plain files ────────────────────────────────────────────────────────────────────


def trouble(clone: Path | str, known: Collection[str] = ()) -> str:
    """What is wrong with the gateway's clone as a whole, in a sentence; "" where nothing is."""
    return _undecided(Path(clone), known)[1]


def _undecided(clone: Path, known: Collection[str]) -> tuple[list[str], str]:
    """The names under proposals/ in the clone that are not `known`, and what hindered us."""
    directory = _proposals_of(clone)
    try:
        names = [path.name for path in directory.iterdir() if path.suffix != ".lock" and path.name not in known]
    except FileNotFoundError:
        return [], ""
    except OSError as fault:
        return [], f"the gateway's proposals in {directory} cannot be read: {fault.strerror}; see `waypost doctor`"
    if len(names) <= WAITING_LIMIT:
        return sorted(names), ""
    newest = heapq.nlargest(WAITING_LIMIT, names, key=lambda name: _changed_at(directory / name))
    return sorted(newest), (
        f"{directory} holds more than {WAITING_LIMIT} undecided proposals, so only the newest are looked at; "
        "reject, withdraw or approve some"
    )


def _changed_at(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0  # it just went away


def _commits(clone: Path, names: Sequence[str]) -> dict[str, str]:
    """Name and commit of those branches that are plain files with an id in them."""
    read = {name: _plain_file(_proposals_of(clone) / name, 64) for name in names}
    found = {name: (content or b"").decode("ascii", "replace").strip() for name, content in read.items()}
    return {name: commit for name, commit in found.items() if _HEX.fullmatch(commit)}


def _proposals_of(clone: Path) -> Path:
    return clone / "refs" / "heads" / BRANCHES.rstrip("/")


class _Clone:
    """Loose objects of a repository that is not trusted."""

    def __init__(self, path: Path, secrets: Callable[[], Collection[str]]) -> None:
        self._objects = path / "objects"
        self._secrets = [secret.encode() for secret in secrets()]

    def size(self, id: str) -> int:
        """Bytes that an object claims to have."""
        return self._header(self._packed(id), id)[1]

    def copy(self, store: Store, id: str, kind: ObjectType, limit: int) -> None:
        content = self.read(id, kind, limit)
        if any(secret in content for secret in self._secrets):
            raise _Refusal("it holds a secret that Waypost itself uses: change that secret, and propose a reference")
        with plain_words(f"cannot write object {id} to {store.path}"):
            store.repository.odb.write(int(kind), content)

    def read(self, id: str, kind: ObjectType, limit: int) -> bytes:
        """The content of an object whose kind, size and hash are what they should be."""
        packed = self._packed(id)
        said, size, start = self._header(packed, id)
        if said != kind or size > limit:
            is_, expected = f"a {said.name.lower()} of {size} bytes", f"a {kind.name.lower()} of at most {limit}"
            raise _Refusal(f"object {id} is {is_}, not {expected}")
        whole = _inflated(packed, id, start + size + 1)
        if len(whole) != start + size or hashlib.sha1(whole, usedforsecurity=False).hexdigest() != id:
            raise _Refusal(f"object {id} is damaged: its content does not have this hash")
        return whole[start:]

    def _packed(self, id: str) -> bytes:
        packed = _plain_file(self._objects / id[:2] / id[2:], 2 * _META_LIMIT)
        if packed is None:
            raise _Refusal(f"object {id} is not in the gateway's clone as a plain loose object; propose it again")
        return packed

    def _header(self, packed: bytes, id: str) -> tuple[ObjectType, int, int]:
        """Kind, size and where the content starts."""
        begin, separator, _ = _inflated(packed, id, 64).partition(b"\0")
        kind, _, size = begin.partition(b" ")
        if not separator or kind not in _KINDS or not re.fullmatch(rb"[0-9]{1,18}", size):
            raise _Refusal(f"object {id} is damaged: it does not begin as an object does")
        return _KINDS[kind], int(size), len(begin) + 1


def _inflated(packed: bytes, id: str, limit: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, limit)
    except zlib.error as fault:
        raise _Refusal(f"object {id} is damaged: {fault}") from fault


def _plain_file(path: Path, limit: int) -> bytes | None:
    """The content of a regular file of at most that many bytes; None for everything else.

    Links are not followed and a pipe does not make us wait: whoever can write there must not stop us.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
        return content if len(content) <= limit else None
    finally:
        os.close(descriptor)
