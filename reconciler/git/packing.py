"""A whole repository as two files and a list of references, and back; and a look at every object it should hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType

from reconciler.git import trees
from reconciler.git.errors import GitError, plain_words
from reconciler.git.store import Store
from reconciler.ports import Disk

PACK, INDEX = "repository.pack", "repository.idx"

LARGEST = 100 << 20
"""Bytes of one file or directory: what hosts of Git take, and what can be read whole."""

_SUBMODULE = 0o160000


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How much a repository holds that its references lead to."""

    references: int
    commits: int
    directories: int
    files: int


def pack(store: Store, references: Mapping[str, str], into: Path) -> Counted:
    """Write everything that these references lead to into a directory, as PACK and INDEX, if it is anything."""
    with plain_words(f"cannot pack the repository {store.path}"):
        builder, found = pygit2.PackBuilder(store.repository), dict[ObjectType, int]()
        for id, kind in _reachable(store.repository, references.values()):
            builder.add(pygit2.Oid(hex=id))
            found[kind] = found.get(kind, 0) + 1
        if len(builder):
            builder.write(into)
            for suffix, name in ((".pack", PACK), (".idx", INDEX)):
                (written,) = into.glob(f"pack-*{suffix}")
                written.replace(into / name)
    return _counted(references, found)


def unpack(path: Path, branch: str, references: Mapping[str, str], source: Path) -> Store:
    """A new bare repository at `path` of what `pack` wrote into `source`. What is in it is not believed yet."""
    Store.create(path, branch)
    with plain_words(f"cannot put the repository {path} together"):
        for suffix, name in (("pack", PACK), ("idx", INDEX)):
            if (source / name).exists():
                (source / name).replace(path / "objects" / "pack" / f"pack-{'0' * 40}.{suffix}")
        listed = "".join(f"{target} {name}\n" for name, target in sorted(references.items()))
        Disk().write(path / "packed-refs", f"# pack-refs with: sorted \n{listed}".encode())
    return Store.open(path)


def examine(store: Store, references: Mapping[str, str]) -> Counted:
    """Read every object that these references lead to. Raises GitError where one is missing or not what it was."""
    with plain_words(f"the repository {store.path} is not whole"):
        if store.references("refs/") != dict(references):
            raise GitError(f"the repository {store.path} does not have the references that it should have")
        found = dict[ObjectType, int]()
        for _, kind in _reachable(store.repository, references.values(), files=True):
            found[kind] = found.get(kind, 0) + 1
    return _counted(references, found)


def refuse_strange_references(references: Mapping[str, str]) -> None:
    """Raises GitError for a name or target that no repository of ours would have."""
    for name, target in references.items():
        if not name.startswith("refs/") or not pygit2.reference_is_valid_name(name):
            raise GitError(f"{name!r:.80} is no name of a reference")
        if len(target) != 40 or target.strip("0123456789abcdef"):
            raise GitError(f"{name!r:.80} leads to {target!r:.80}, which is no object")


def _counted(references: Mapping[str, str], found: Mapping[ObjectType, int]) -> Counted:
    return Counted(
        references=len(references),
        commits=found.get(ObjectType.COMMIT, 0),
        directories=found.get(ObjectType.TREE, 0),
        files=found.get(ObjectType.BLOB, 0),
    )


def _reachable(
    repository: pygit2.Repository, tips: Iterable[str], *, files: bool = False
) -> Iterator[tuple[str, ObjectType]]:
    """Every object that these lead to, once. The library checks what it reads against its id; `files`: those too."""
    seen: set[str] = set()
    pending = list(tips)
    while pending:
        id = pending.pop()
        if id in seen:
            continue
        seen.add(id)
        number, size = repository.odb.read_header(id)
        if size > LARGEST:
            raise GitError(f"object {id} takes {size:,} bytes, more than the {LARGEST:,} that Waypost reads at once")
        kind = ObjectType(number)
        yield id, kind
        if kind != ObjectType.BLOB:
            pending += [child for child in _children(repository, id, kind) if child not in seen]
        elif files:
            repository.odb.read(id)


def _children(repository: pygit2.Repository, id: str, kind: ObjectType) -> list[str]:
    if kind == ObjectType.TREE:
        return [leaf.id for leaf in trees.listing(repository, id).values() if leaf.mode != _SUBMODULE]
    found = repository[id]
    if isinstance(found, pygit2.Commit):
        return [str(found.tree_id), *map(str, found.parent_ids)]
    if isinstance(found, pygit2.Tag):
        return [str(found.target)]
    raise GitError(f"object {id} is of a strange kind")
