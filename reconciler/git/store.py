"""A bare repository read and written object by object: no work tree, no hooks, no configuration obeyed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import pygit2
from pygit2.enums import ConfigLevel, ObjectType, RepositoryOpenFlag

from reconciler.git import trees
from reconciler.git.commits import WAYPOST, Commit, Identity, read_commit
from reconciler.git.draft import Draft
from reconciler.git.errors import GitError, RefMoved, plain_words
from reconciler.git.making import make, sweep
from reconciler.git.names import Names
from reconciler.git.trees import Leaf

__all__ = ["WAYPOST", "Anchored", "Commit", "Entry", "GitError", "Identity", "RefMoved", "Store"]

REVISIONS = "refs/waypost/revisions/"
NOTES = "refs/notes/waypost"
READ_LIMIT = 1 << 20
"""Bytes: how much of one file `read` takes unless told otherwise."""

DIRECTORIES_KEPT, COMMITS_KEPT = 4096, 256
"""How many of each a store remembers. An object's id is its content, so none of it is ever out of date."""

_ID = re.compile(r"[0-9a-f]{40}")
_NAMEABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/#+-]*(?:[~^][0-9]*)*")


class Entry(NamedTuple):
    """One path of a commit that is no directory. `mode` tells a file (0o100644, 0o100755) from a link (0o120000)
    and a submodule (0o160000); `size` is in bytes, 0 for a submodule."""

    path: str
    id: str
    mode: int
    size: int


class Directory(NamedTuple):
    """One directory at a path: what is in it, and the path and tree of each directory below."""

    files: tuple[Entry, ...]
    below: tuple[tuple[str, str], ...]


class Anchored(NamedTuple):
    """The head of the event log as it was noted beside a commit."""

    commit: str
    seq: int
    hash: str


class Store:
    """A repository. Every method raises GitError where the repository is damaged, gone or out of reach.

    Cheap to open; give each thread its own. Ids are full hexadecimal object ids.
    """

    def __init__(self, repository: pygit2.Repository) -> None:
        self.repository = repository  # for the modules of this package only
        self.path = Path(repository.path)
        self._names = Names(self.path)
        self._directory = lru_cache(DIRECTORIES_KEPT)(self._read_directory)
        self._commit = lru_cache(COMMITS_KEPT)(self._read_commit)

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """The repository at this path, bare or with a work tree; parents of the path are not searched."""
        _tame_library()
        with plain_words(f"cannot open the repository {path}"):
            return cls(pygit2.Repository(os.fspath(path), RepositoryOpenFlag.NO_SEARCH))

    @classmethod
    def create(cls, path: Path | str, branch: str = "main") -> Store:
        """A new bare repository whose first branch has this name; one that is there is opened and kept.

        Never made again: that writes its configuration anew, and leaves it locked if it is killed meanwhile.
        """
        with suppress(GitError):
            return cls.open(path)
        with plain_words(f"cannot make the repository {path}"):
            make(Path(path), branch)
        return cls.open(path)

    # ── references ───────────────────────────────────────────────────────────────────────────────

    def head(self, branch: str = "main") -> str | None:
        """The commit that a branch points to, or None where there is no such branch."""
        return self._target(f"refs/heads/{branch}")

    def branches(self, prefix: str = "") -> dict[str, str]:
        """Branches whose names start so, and their commits, names in order."""
        start = "refs/heads/"
        return {name.removeprefix(start): commit for name, commit in self.references(start + prefix).items()}

    def references(self, prefix: str) -> dict[str, str]:
        """Full reference names that start so, and what they point to, names in order."""
        with plain_words(f"cannot list the references of {self.path}"):
            names = sorted(name for name in self.repository.references if name.startswith(prefix))
        return {name: target for name in names if (target := self._target(name))}

    def move(self, reference: str, to: str, *, was: str | None) -> None:
        """Point a reference at another commit if it still is where the caller saw it (None: not there).

        Raises RefMoved where somebody else came first. Durable when it returns.
        """
        with plain_words(f"cannot move {reference} in {self.path}"):
            self._names.settle(reference)
            try:
                self._swap(reference, to, was)
            except (pygit2.AlreadyExistsError, pygit2.GitError) as fault:
                if self._target(reference) != was:
                    raise RefMoved(f"{reference} in {self.path} was moved by somebody else; look again") from fault
                raise

    def remove(self, reference: str) -> bool:
        """Take a reference away; False where it is not there. Its commits stay until a `git gc`."""
        with plain_words(f"cannot remove {reference} from {self.path}"):
            found = self.repository.references.get(intern(reference))
            if found is not None:
                found.delete()
                self._names.forget()
            return found is not None

    def resolve(self, text: str) -> str:
        """The commit that a branch, a revision's number, or a full or shortened id names."""
        if text.isdecimal() and len(text) < 19 and (kept := self._target(f"{REVISIONS}{int(text)}")):
            return kept
        if not _NAMEABLE.fullmatch(text) or ".." in text:
            raise GitError(f"'{text[:80]}' does not name a commit; give a branch, a revision number or a commit id")
        with plain_words(f"cannot find '{text}' in {self.path}"):
            try:
                return str(self.repository.revparse_single(text).peel(pygit2.Commit).id)
            except (KeyError, pygit2.InvalidSpecError) as fault:
                where = "`waypost proposals` lists what waits, `git log` there the commits"
                raise GitError(f"nothing is called '{text}' in {self.path}; {where}") from fault

    def keep(self, revision: int, commit: str) -> None:
        """Keep a revision's commit alive under `refs/waypost/revisions/N`, whatever happens to the branch."""
        reference = f"{REVISIONS}{revision}"
        standing = self._target(reference)
        if standing == commit:
            return
        if standing is not None:
            raise GitError(f"revision {revision} in {self.path} already is commit {standing}, not {commit}")
        self.move(reference, commit, was=None)

    def forget(self, revision: int) -> None:
        """Let go of a number that no revision came to have."""
        self.remove(f"{REVISIONS}{revision}")

    def kept(self, revision: int) -> str | None:
        """The commit that is kept as this revision."""
        return self._target(f"{REVISIONS}{revision}")

    def revisions(self) -> dict[int, str]:
        """Number and commit of every revision that is kept."""
        kept = self.references(REVISIONS)
        numbered = {name.removeprefix(REVISIONS): commit for name, commit in kept.items()}
        return {int(name): commit for name, commit in numbered.items() if name.isdecimal()}

    def has(self, commit: str) -> bool:
        """Is this a commit that is here? False for anything that is not even an id."""
        with plain_words(f"cannot look for commit {commit} in {self.path}"):
            known = _ID.fullmatch(commit) is not None and commit in self.repository
            return known and self.repository.odb.read_header(commit)[0] == ObjectType.COMMIT

    # ── commits ──────────────────────────────────────────────────────────────────────────────────

    def commit(self, id: str) -> Commit:
        """One commit by its full id."""
        with plain_words(f"cannot read commit {id} in {self.path}"):
            return self._commit(id)

    def first_parents(self, head: str, until: str | None = None, limit: int = 1000) -> list[Commit]:
        """The newest commits of a first-parent line, oldest first, those that `until` holds left out."""
        line: list[Commit] = []
        with plain_words(f"cannot walk the history of {head} in {self.path}"):
            following: str | None = head
            while following and following != until and len(line) < limit:
                commit = self._commit(following)
                line.append(commit)
                following = commit.parents[0] if commit.parents else None
        if until and following != until:
            line = self._outside(line, until)
        return line[::-1]

    def is_ancestor(self, a: str, b: str) -> bool:
        """Is commit `a` commit `b` or in its history? False where `a` is not in this repository at all."""
        with plain_words(f"cannot compare {a} with {b} in {self.path}"):
            return a == b or (self.has(a) and self.repository.descendant_of(b, a))

    def draft(self) -> Draft:
        """Objects to be added together."""
        return Draft(self.repository)

    def write_commit(
        self,
        *,
        tree: str,
        parents: tuple[str, ...],
        author: pygit2.Signature,
        committer: pygit2.Signature,
        text: str,
    ) -> str:
        """Write a commit that no reference points to yet, and answer its id."""
        with plain_words(f"cannot write a commit to {self.path}"):
            return str(self.repository.create_commit(None, author, committer, text, tree, list(parents)))

    # ── trees and files ──────────────────────────────────────────────────────────────────────────

    def entries(self, commit_id: str, under: str = "") -> Iterator[Entry]:
        """Everything below a directory of a commit (all of it for "") that is not a directory itself.

        A directory's own files come before those of its directories, names in order. Links and submodules
        are reported by their mode and never followed. A path that is no UTF-8 is shown escaped. Directories
        that were read before and did not change cost next to nothing.
        """
        with plain_words(f"cannot list the files of {commit_id} in {self.path}"):
            place = trees.at(self.repository, self.commit(commit_id).tree, under)
            pending = [(under, trees.directory(place), 0)] if trees.directory(place) else []
            seen = 0
            while pending:
                path, tree, depth = pending.pop()
                here = self._directory(path, tree)
                seen += 1 + len(here.files)
                trees.refuse_endless(path, seen, depth)
                yield from here.files
                pending.extend((below, id, depth + 1) for below, id in reversed(here.below))

    def entry(self, commit_id: str, path: str) -> Entry | None:
        """The one file at a path, or None where there is none."""
        with plain_words(f"cannot look up {path} of {commit_id} in {self.path}"):
            leaf = trees.at(self.repository, self.commit(commit_id).tree, path)
            return (
                None if leaf is None or leaf.mode == trees.TREE else Entry(path, leaf.id, leaf.mode, self._size(leaf))
            )

    def changed(self, a: str, b: str) -> list[str]:
        """The paths that differ between two commits, in order. Equal directories cost nothing."""
        with plain_words(f"cannot compare {a} with {b} in {self.path}"):
            found = trees.differences(self.repository, self.commit(a).tree, self.commit(b).tree)
            return sorted(difference.path for difference in found)

    def read(self, blob_id: str, limit: int = READ_LIMIT) -> bytes:
        """The content of a file. One larger than `limit` bytes is refused before it is loaded."""
        with plain_words(f"cannot read object {blob_id} in {self.path}"):
            kind, size = self.repository.odb.read_header(blob_id)
            if kind != ObjectType.BLOB:
                raise GitError(f"object {blob_id} in {self.path} is no file")
            if size > limit:
                raise GitError(f"object {blob_id} in {self.path} has {size} bytes; at most {limit} are read")
            return self.repository.odb.read(blob_id)[1]

    # ── the log's anchors ────────────────────────────────────────────────────────────────────────

    def anchor(self, commit: str, seq: int, hash: str, revision: int = 0, at: datetime | None = None) -> None:
        """Note the head of the event log beside a commit. Noting the same twice is once.

        `at` dates the note; without it the note is as old as its commit.
        """
        line = json.dumps({"seq": seq, "hash": hash, "revision": revision})
        standing = self._note(commit)
        if line in standing.splitlines():
            return
        signature, noted = WAYPOST.signed(at or self.commit(commit).at), self._target(NOTES)
        with plain_words(f"cannot note the log's head beside {commit} in {self.path}"):
            note = Leaf(str(self.repository.create_blob(f"{standing}{line}\n")), trees.BLOB)
            before = self.commit(noted).tree if noted else ""
            place = self._noted_at(commit) if standing else commit
            tree = trees.rooted(self.repository, before, {place: note})
        above = (noted,) if noted else ()
        text = "The head of the event log, beside a revision\n"
        new = self.write_commit(tree=tree, parents=above, author=signature, committer=signature, text=text)
        # Not libgit2's own way to write a note: it would move the reference before all names are on the disk.
        self.move(NOTES, new, was=noted)

    def anchored(self, commit: str) -> bool:
        """Whether the head of the log was ever noted beside a commit."""
        return bool(self._note(commit))

    def anchors(self) -> list[Anchored]:
        """Every noted head of the log, lowest first. Lines that are not of this form are passed over."""
        noted = [(entry.path.replace("/", ""), self.read(entry.id)) for entry in self._notes()]
        found = [_anchored(commit, line) for commit, text in noted for line in text.splitlines()]
        return sorted((anchor for anchor in found if anchor), key=lambda anchor: anchor.seq)

    def set_anchors_aside(self, name: str) -> None:
        """Keep all anchors under `refs/notes/waypost-NAME`: they are of a log that is gone. Fine to repeat."""
        if noted := self._target(NOTES):
            aside = f"{NOTES}-{name}"
            if self._target(aside) is None:
                self.move(aside, noted, was=None)
            self.remove(NOTES)

    # ── after a crash ────────────────────────────────────────────────────────────────────────────

    def sweep_stale_locks(self) -> list[Path]:
        """Remove what a killed writer left locked, and say what it was.

        Only for the one who holds the home's lock: nothing of ours writes then. Should a person's push be
        in flight, it fails and can be repeated.
        """
        with plain_words(f"cannot remove a stale lock in {self.path}"):
            return sweep(self.path)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _target(self, reference: str) -> str | None:
        with plain_words(f"cannot read {reference} in {self.path}"):
            try:
                # The library never lets go of a name it was asked for: so it is always the same object.
                return str(self.repository.references[intern(reference)].resolve().target)
            except (KeyError, pygit2.InvalidSpecError):
                return None

    def _swap(self, reference: str, to: str, was: str | None) -> None:
        if was is None:
            self.repository.references.create(reference, to)
            return
        found = self.repository.references.get(intern(reference))
        if found is None or str(found.target) != was:
            raise pygit2.GitError("old reference value does not match")
        found.set_target(to)  # compares with the value this object was read with, under the lock

    def _read_commit(self, id: str) -> Commit:
        found = self.repository[id]
        if not isinstance(found, pygit2.Commit):
            raise GitError(f"object {id} in {self.path} is no commit")
        return read_commit(found)

    def _outside(self, line: list[Commit], until: str) -> list[Commit]:
        """The start of a line, newest first, up to where `until` already holds it: once held, all below is."""
        low, high = 0, len(line)
        while low < high:
            middle = (low + high) // 2
            if self.is_ancestor(line[middle].id, until):
                high = middle
            else:
                low = middle + 1
        return line[:low]

    def _read_directory(self, path: str, tree: str) -> Directory:
        names = trees.listing(self.repository, tree).items()
        placed = [(trees.join(path, name), leaf) for name, leaf in names]
        return Directory(
            tuple(Entry(at, leaf.id, leaf.mode, self._size(leaf)) for at, leaf in placed if leaf.mode != trees.TREE),
            tuple((at, leaf.id) for at, leaf in placed if leaf.mode == trees.TREE),
        )

    def _size(self, leaf: Leaf) -> int:
        return 0 if leaf.mode == 0o160000 else self.repository.odb.read_header(leaf.id)[1]

    def _notes(self) -> Iterator[Entry]:
        """The blobs under the notes' reference: their paths are the ids of what they annotate."""
        noted = self._target(NOTES)
        return self.entries(noted) if noted else iter(())

    def _noted_at(self, commit: str) -> str:
        """The path of the note beside a commit: a crowd of notes may stand in directories."""
        return next(one.path for one in self._notes() if one.path.replace("/", "") == commit)

    def _note(self, commit: str) -> str:
        if self._target(NOTES) is None:
            return ""
        with plain_words(f"cannot read the note beside {commit} in {self.path}"), suppress(KeyError):
            text = self.repository.lookup_note(commit, NOTES).message
            return text if text.endswith("\n") else text + "\n"
        return ""


@cache
def _tame_library() -> None:
    """Settings of the whole process: durable writes, nothing taken from the machine's own Git configuration.

    The owner of a repository need not be us (a home may be mounted, the gateway's clone is another account's):
    Git checks owners because it runs hooks and commands that a repository's configuration names. libgit2 runs
    neither, so the check would only get in the way.
    """
    pygit2.settings.enable_fsync_gitdir(True)
    pygit2.settings.owner_validation = False
    for level in (ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL, ConfigLevel.PROGRAMDATA):
        pygit2.settings.search_path[level] = ""


def _anchored(commit: str, line: bytes) -> Anchored | None:
    try:
        said: Any = json.loads(line)
        return Anchored(commit, int(said["seq"]), str(said["hash"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):  # endless numbers, lists in lists
        return None
