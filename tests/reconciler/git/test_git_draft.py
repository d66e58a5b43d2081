"""A draft: objects named as Git names them, and all there once it is written."""

from __future__ import annotations

import errno
import os
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pygit2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.git import trees
from reconciler.git.commits import Identity
from reconciler.git.draft import Draft
from reconciler.git.errors import GitError
from reconciler.git.proposals import propose
from reconciler.git.store import WAYPOST, Store
from reconciler.git.trees import BLOB, Leaf
from tests.reconciler.git.persons import AT, desired

NAMES = st.text(st.sampled_from("ab-.é"), min_size=1, max_size=3).filter(lambda name: name.strip("."))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return desired(Path(tmp_path_factory.mktemp("draft")) / "library.git")


def libgit2s_tree(repository: pygit2.Repository, files: dict[str, bytes], folders: set[str]) -> str:
    below = repository.TreeBuilder()
    below.insert("x", repository.create_blob(b"x"), BLOB)
    folder, builder = below.write(), repository.TreeBuilder()
    for name, content in files.items():
        builder.insert(name, repository.create_blob(content), BLOB)
    for name in folders:
        builder.insert(name, folder, trees.TREE)
    return str(builder.write())


@settings(max_examples=60, deadline=None)
@given(files=st.dictionaries(NAMES, st.binary(max_size=3), max_size=4), folders=st.sets(NAMES, max_size=3))
def test_a_tree_is_the_one_that_libgit2_would_write(library: Store, files: dict[str, bytes], folders: set[str]) -> None:
    repository, draft = library.repository, Draft(library.repository)
    changes: dict[str, Leaf | None] = {name: Leaf(draft.blob(content), BLOB) for name, content in files.items()}
    folders -= files.keys()
    changes |= {f"{name}/x": Leaf(draft.blob(b"x"), BLOB) for name in folders}
    assert trees.rooted(repository, "", changes, draft.tree) == libgit2s_tree(repository, files, folders)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=9))])
def test_a_commit_is_the_one_that_libgit2_would_write(library: Store, zone: timezone) -> None:
    offset = int(zone.utcoffset(None).total_seconds() // 60)
    author = pygit2.Signature("Zoë Ångström", "zoe@home", int(AT.timestamp()), offset)
    head = library.head()
    assert head
    text = "A title\n\nA body: ümlaut\n\nWaypost-Request: r1\n"
    committer, tree = WAYPOST.signed(AT), library.commit(head).tree
    theirs = library.write_commit(tree=tree, parents=(head,), author=author, committer=committer, text=text)
    drafted = Draft(library.repository)
    assert drafted.commit(tree=tree, parents=(head,), author=author, committer=committer, text=text) == theirs


def test_nothing_is_there_before_it_is_written_and_all_is_afterwards(library: Store) -> None:
    repository, draft = library.repository, Draft(library.repository)
    blob = draft.blob(b"a new route %d" % datetime.now(UTC).microsecond)
    tree = trees.rooted(repository, "", {"traefik/new.yaml": Leaf(blob, BLOB)}, draft.tree)
    who = Identity.parse("a model <model@localhost>").signed(AT)
    commit = draft.commit(tree=tree, parents=(), author=who, committer=who, text="new\n")
    assert not any(id in repository.odb for id in (blob, tree, commit))
    draft.write()
    library.move(f"refs/heads/{commit[:12]}", commit, was=None)
    assert [entry.path for entry in Store.open(library.path).entries(commit)] == ["traefik/new.yaml"]
    assert not list(library.path.glob("objects/tmp_obj_*"))
    subprocess.run(["git", "-C", str(library.path), "fsck", "--strict", "--full"], check=True, capture_output=True)


def test_a_full_disk_is_told_in_words_leaves_nothing_and_the_same_draft_can_be_written_later(
    library: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write() -> None:
        edits: dict[str, bytes | None] = {"traefik/late.yaml": b"late\n"}
        head, who = library.head() or "", "a <a@b>"
        propose(library, parent=head, edits=edits, id="p9", title="a", body="", trailers={}, author=who, at=AT)

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(GitError, match=r"cannot write proposal p9 .*: No space left on device; free some") as told:
            write()
    assert told.value.retry
    assert not list(library.path.glob("objects/tmp_obj_*"))
    write()


def test_what_is_there_already_is_not_written_again(library: Store) -> None:
    draft = Draft(library.repository)
    known = draft.blob(b"known to all")
    draft.write()
    place = library.path / "objects" / known[:2] / known[2:]
    before = place.stat().st_ino
    again = Draft(library.repository)
    assert again.blob(b"known to all") == known
    again.write()
    assert place.stat().st_ino == before
