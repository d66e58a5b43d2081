"""Objects on their way into a repository: named at once, and all brought to the disk together.

libgit2 waits for the disk twice for each object it writes, once for the file and once for its name. Asked about all of
them at the same time, a disk needs hardly longer than for one: a proposal is six objects.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pygit2

from reconciler.git.names import flush

_READABLE = 0o444


class Draft:
    """What is to be added to one repository. Nothing of it is there before `write`."""

    def __init__(self, repository: pygit2.Repository) -> None:
        self._repository = repository
        self._objects = Path(repository.path) / "objects"
        self._new: dict[str, bytes] = {}

    def blob(self, content: bytes) -> str:
        """The id of a file with this content."""
        return self._add("blob", content)

    def tree(self, content: bytes) -> str:
        """The id of a directory, given as Git stores it."""
        return self._add("tree", content)

    def commit(
        self, *, tree: str, parents: Iterable[str], author: pygit2.Signature, committer: pygit2.Signature, text: str
    ) -> str:
        """The id of a commit."""
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {_signed(author)}", f"committer {_signed(committer)}", "", text]
        return self._add("commit", "\n".join(lines).encode())

    def write(self) -> None:
        """Put all of it there. A name appears only once its content is on the disk; all is, when this returns.

        But for the names of directories made for it: those come with the first reference (`Names.settle`).
        """
        if not self._new:
            return
        places = [self._objects / id[:2] / id[2:] for id in self._new]
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(len(places)))
            staged = [stack.enter_context(_Staged(self._objects, content)) for content in self._new.values()]
            _at_once(pool, os.fsync, [one.descriptor for one in staged])
            for one, place in zip(staged, places, strict=True):
                self._put(one, place)
            _at_once(pool, flush, sorted({place.parent for place in places}))
        self._new.clear()

    def _put(self, staged: _Staged, place: Path) -> None:
        place.parent.mkdir(exist_ok=True)
        staged.put(place)

    def _add(self, kind: str, content: bytes) -> str:
        whole = b"%s %d\0%s" % (kind.encode(), len(content), content)
        id = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        if id not in self._new and id not in self._repository.odb:
            self._new[id] = whole
        return id


class _Staged:
    """The file of one object under a name that Git takes for a stranger's, and tidies away if it is left behind."""

    def __init__(self, objects: Path, content: bytes) -> None:
        self.descriptor, path = tempfile.mkstemp(prefix="tmp_obj_", dir=objects)
        self._path = Path(path)
        with os.fdopen(self.descriptor, "wb", closefd=False) as file:
            file.write(zlib.compress(content, 1))
        os.fchmod(self.descriptor, _READABLE)

    def __enter__(self) -> _Staged:
        return self

    def put(self, place: Path) -> None:
        self._path.replace(place)

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        self._path.unlink(missing_ok=True)


def _signed(who: pygit2.Signature) -> str:
    hours, minutes = divmod(abs(who.offset), 60)
    return f"{who.name} <{who.email}> {who.time} {'-' if who.offset < 0 else '+'}{hours:02}{minutes:02}"


def _at_once(pool: ThreadPoolExecutor, flushing: Callable[[Any], object], those: Iterable[Any]) -> None:
    """Each wait is one of the kernel's, outside of Python's lock, and the disk makes one of them all."""
    list(pool.map(flushing, those))
