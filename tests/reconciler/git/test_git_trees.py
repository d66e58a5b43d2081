"""Trees: grafting and comparing agree with a plain dictionary of paths."""

from __future__ import annotations

from pathlib import Path

import pygit2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygit2.enums import ObjectType

from reconciler.git import trees
from reconciler.git.errors import GitError
from reconciler.git.store import WAYPOST, Store
from reconciler.git.trees import BLOB, Leaf
from tests.reconciler.git.persons import AT, desired, files_of

PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
EDITS = st.dictionaries(PATHS, st.none() | st.sampled_from(["1", "2", "3"]), max_size=6)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return desired(Path(tmp_path_factory.mktemp("trees")) / "trees.git")


def leaf(repository: pygit2.Repository, text: str | None) -> Leaf | None:
    return None if text is None else Leaf(str(repository.create_blob(text.encode())), BLOB)


def edited(files: dict[str, str], edits: dict[str, str | None]) -> dict[str, str]:
    """What a person who makes these edits in a directory would be left with."""
    kept = {path: text for path, text in files.items() if path not in edits}
    written = {path: text for path, text in edits.items() if text is not None}
    gone = [path for path in kept for new in written if path.startswith(f"{new}/") or new.startswith(f"{path}/")]
    return {path: text for path, text in kept.items() if path not in gone} | written


def fits(edits: dict[str, str | None]) -> bool:
    """No path is a file and a directory at once."""
    return not any(other.startswith(f"{path}/") for path in edits for other in edits)


def tree_of(repository: pygit2.Repository, files: dict[str, str]) -> str:
    return trees.rooted(repository, "", {path: leaf(repository, text) for path, text in files.items()})


@settings(max_examples=60, deadline=None)
@given(first=EDITS.filter(fits), then=EDITS.filter(fits))
def test_grafting_is_editing_a_directory(
    store: Store, first: dict[str, str | None], then: dict[str, str | None]
) -> None:
    repository = store.repository
    files = edited({}, first)
    before = tree_of(repository, files)
    after = trees.rooted(repository, before, {path: leaf(repository, text) for path, text in then.items()})
    # A directory that is deleted by its name goes with all that is in it; a person would do the same.
    deleted = [path for path in files for gone, text in then.items() if text is None and path.startswith(f"{gone}/")]
    expected = edited({path: text for path, text in files.items() if path not in deleted}, then)
    assert after == tree_of(repository, expected)
    signed = WAYPOST.signed(AT)
    commit = store.write_commit(tree=after, parents=(), author=signed, committer=signed, text="")
    assert {path: text.decode() for path, text in files_of(store, commit).items()} == expected


@settings(max_examples=60, deadline=None)
@given(first=EDITS.filter(fits), then=EDITS.filter(fits))
def test_differences_are_those_of_the_two_listings(
    store: Store, first: dict[str, str | None], then: dict[str, str | None]
) -> None:
    repository = store.repository
    old, new = edited({}, first), edited(edited({}, first), then)
    found = {one.path for one in trees.differences(repository, tree_of(repository, old), tree_of(repository, new))}
    assert found == {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


@pytest.mark.parametrize("kind", [ObjectType.BLOB, ObjectType.TREE])
def test_what_is_no_directory_is_refused_at_once_however_large(store: Store, kind: ObjectType) -> None:
    """Looked through for entries this would take an hour: the suite would not come to its end."""
    odd = str(store.repository.odb.write(kind, b"40000 " * 1_000_000))
    with pytest.raises(GitError, match="is no proper directory"):
        trees.listing(store.repository, odd)
