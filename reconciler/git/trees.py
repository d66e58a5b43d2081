"""Trees without a work tree: look into them, compare them, build a changed one. Cost follows what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import pygit2
from pygit2.enums import FileMode, MergeFlag, ObjectType

from reconciler.git.errors import GitError

DEPTH_LIMIT = 32
FILE_LIMIT = 100_000
"""A tree may name the same subtree many times over, so few bytes can spell out millions of files."""

BLOB = int(FileMode.BLOB)
TREE = int(FileMode.TREE)
_TREE_MODE = b"%o" % TREE  # Git orders a directory as if its name ended with a slash

_ENTRY = re.compile(rb"([^ \0]*) ([^\0]*)\0(.{20})", re.DOTALL)
"""A tree is, for each entry: mode in octal, a space, the name, a zero byte, the id in twenty bytes."""

Write = Callable[[bytes], str]
"""Takes the bytes of a tree, answers its id."""


class Leaf(NamedTuple):
    """What stands at a path: object id and mode (a subtree included)."""

    id: str
    mode: int


class Difference(NamedTuple):
    """One path that differs between two trees; None on the side where nothing stands."""

    path: str
    old: Leaf | None
    new: Leaf | None


def differences(repository: pygit2.Repository, old: str, new: str) -> Iterator[Difference]:
    """The paths that differ between two trees ("" is the empty one); equal subtrees are never opened."""
    pending = [("", old, new, 0)]
    seen = 0
    while pending:
        prefix, left, right, depth = pending.pop()
        before, after = listing(repository, left), listing(repository, right)
        for name in sorted(before.keys() | after.keys()):
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            seen += 1
            path = join(prefix, name)
            refuse_endless(path, seen, depth)
            if directory(was) or directory(now):
                pending.append((path, directory(was), directory(now), depth + 1))
            if _file(was) != _file(now):
                yield Difference(path, _file(was), _file(now))


def merged(repository: pygit2.Repository, *, base: str, ours: str, theirs: str) -> str | tuple[str, ...]:
    """The tree in which the changes of both sides since `base` are made; or the paths at which they conflict.

    Renames are not guessed: a file that moved away under an edit is a conflict for a person.
    """
    ancestor, left, right = (pygit2.Oid(hex=tree) for tree in (base, ours, theirs))
    index = repository.merge_trees(ancestor, left, right, flags=MergeFlag(0))
    if index.conflicts is None:
        return str(index.write_tree(repository))
    sides = [side for conflict in index.conflicts for side in conflict if side is not None]
    return tuple(sorted({side.path for side in sides}))


def refuse_endless(path: str, seen: int, depth: int) -> None:
    """Raise GitError once a walk has come too deep or seen too much."""
    if depth > DEPTH_LIMIT or seen > FILE_LIMIT:
        raise GitError(
            f"the tree is deeper than {DEPTH_LIMIT} directories or holds more than {FILE_LIMIT} files and directories "
            f"(at '{path[:200]}'); a desired repo is not that large: take that directory out of it"
        )


def listing(repository: pygit2.Repository, tree: str) -> dict[str, Leaf]:
    """The entries of one tree by name, in Git's order; bytes that are not UTF-8 are shown escaped. "" has none.

    Takes the tree's own bytes apart, which is many times faster than an object of the library for each entry.
    """
    entries = _entries(repository, tree)
    names = {name.decode("utf-8", "backslashreplace"): Leaf(id.hex(), _mode(mode)) for mode, name, id in entries}
    if len(names) != len(entries) or any("/" in name or not name for name in names):
        raise _improper(repository, tree)
    return names


def _entries(repository: pygit2.Repository, tree: str) -> list[tuple[bytes, bytes, bytes]]:
    """Mode, name and id of each entry, as they are stored; "" has none."""
    if not tree:
        return []
    kind, raw = repository.odb.read(tree)
    if kind != ObjectType.TREE:
        raise _improper(repository, tree)
    entries: list[tuple[bytes, bytes, bytes]] = []
    at = 0
    # Each where the last one ended. To look for them in what is none takes a minute, and more, for every megabyte.
    while found := _ENTRY.match(raw, at):
        entries.append((found[1], found[2], found[3]))
        at = found.end()
    if at != len(raw):
        raise _improper(repository, tree)
    return entries


def _improper(repository: pygit2.Repository, tree: str) -> GitError:
    return GitError(f"object {tree} in {repository.path} is no proper directory; run `git fsck` there")


@lru_cache(64)
def _mode(octal: bytes) -> int:
    """Old writers left other permissions on files; only whether a file can run was ever meant."""
    mode = int(octal, 8)
    return (0o100755 if mode & 0o111 else BLOB) if mode & 0o170000 == 0o100000 else mode


def at(repository: pygit2.Repository, tree: str, path: str) -> Leaf | None:
    """What stands at a path, or None."""
    return along(repository, tree, path)[-1] if path else Leaf(tree, TREE)


def along(repository: pygit2.Repository, tree: str, path: str) -> list[Leaf | None]:
    """What stands at each step of a path, None where nothing does."""
    leaf: Leaf | None = Leaf(tree, TREE)
    found: list[Leaf | None] = []
    for name in path.split("/"):
        leaf = listing(repository, leaf.id).get(name) if leaf and leaf.mode == TREE else None
        found.append(leaf)
    return found


def grafted(
    repository: pygit2.Repository, tree: str, changes: Mapping[str, Leaf | None], write: Write | None = None
) -> str:
    """The id of a tree that differs from this one in exactly these paths; None takes a path away.

    Directories on the way are made, emptied ones vanish. A file in the place of a directory gives way. `write`
    takes the bytes of a new tree and answers its id; without it they go to the repository at once.
    """
    here: dict[str, Leaf | None] = {}
    below: dict[str, dict[str, Leaf | None]] = {}
    for path, leaf in changes.items():
        name, _, rest = path.partition("/")
        if rest:
            below.setdefault(name, {})[rest] = leaf
        else:
            here[name] = leaf
    present = listing(repository, tree) if below else {}
    for name, inner in below.items():
        under = here.get(name, present.get(name))
        grown = grafted(repository, directory(under), inner, write)
        if grown or directory(under):
            here[name] = Leaf(grown, TREE) if grown else None
    return _written(repository, tree, here, write or _writer(repository))


def rooted(
    repository: pygit2.Repository, tree: str, changes: Mapping[str, Leaf | None], write: Write | None = None
) -> str:
    """As `grafted`, for the tree of a commit, which is there even when it is empty."""
    return grafted(repository, tree, changes, write) or (write or _writer(repository))(b"")


def directory(leaf: Leaf | None) -> str:
    """The tree that stands there, "" where something else or nothing does."""
    return leaf.id if leaf and leaf.mode == TREE else ""


def join(prefix: str, name: str) -> str:
    """A path from its parts."""
    return f"{prefix}/{name}" if prefix else name


def _written(repository: pygit2.Repository, tree: str, changes: Mapping[str, Leaf | None], write: Write) -> str:
    """The tree with other entries; those that stay keep their very bytes, whatever a person's Git wrote there."""
    entries = {name: (mode, id) for mode, name, id in _entries(repository, tree)}
    for name, leaf in changes.items():
        if leaf is None:
            entries.pop(name.encode(), None)
        else:
            entries[name.encode()] = b"%o" % leaf.mode, bytes.fromhex(leaf.id)
    ordered = sorted(entries.items(), key=lambda entry: entry[0] + b"/" * (entry[1][0].lstrip(b"0") == _TREE_MODE))
    return write(b"".join(b"%s %s\0%s" % (mode, name, id) for name, (mode, id) in ordered)) if entries else ""


def _writer(repository: pygit2.Repository) -> Write:
    return lambda raw: str(repository.write(ObjectType.TREE, raw))


def _file(leaf: Leaf | None) -> Leaf | None:
    return None if leaf is None or leaf.mode == TREE else leaf
