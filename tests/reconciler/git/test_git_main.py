"""Moving main: fast-forward or rebase, never a merge commit, never over somebody else's work."""

from __future__ import annotations

import pytest

from reconciler.git.main import MergeConflict, Merged, rebased
from reconciler.git.proposals import proposals
from reconciler.git.store import GitError, RefMoved, Store
from tests.reconciler.git.persons import ADA, AT, FILES, Person, content, files_of, main_of, merge, proposed

LINES = FILES["traefik/first.yaml"]


def test_a_proposal_on_top_of_main_is_fast_forwarded(store: Store) -> None:
    commit = proposed(store, "a", {"traefik/a.yaml": b"a"})
    assert merge(store, commit) == Merged(commit, "fast-forward")
    assert main_of(store) == commit


def test_a_proposal_on_an_older_main_is_rebased_with_author_message_and_trailers(store: Store) -> None:
    one = proposed(store, "one", {"traefik/one.yaml": b"1"})
    two = proposed(store, "two", {"traefik/two.yaml": b"2"})
    merge(store, one)
    merged = merge(store, two)
    assert isinstance(merged, Merged)
    assert merged.how == "rebase"
    commit, original = store.commit(merged.commit), store.commit(two)
    assert commit.parents == (one,)
    assert (commit.author, commit.author_email, commit.message) == ("model", "model@example.org", original.message)
    assert commit.trailers["Waypost-Request"] == "request-two"
    assert (commit.committer, commit.committer_email) == ("Ada", "ada@example.org")
    assert {"traefik/one.yaml", "traefik/two.yaml"} <= files_of(store, main_of(store)).keys()


def test_changes_to_different_lines_of_one_file_are_both_kept(store: Store, ada: Person) -> None:
    commit = proposed(store, "a", {"traefik/first.yaml": LINES.replace(b"one", b"ONE")})
    ada.write("traefik/first.yaml", LINES.replace(b"seven", b"SEVEN"))
    ada.push()
    assert isinstance(merge(store, commit), Merged)
    expected = LINES.replace(b"one", b"ONE").replace(b"seven", b"SEVEN")
    assert content(store, main_of(store), "traefik/first.yaml") == expected


def test_changes_to_the_same_lines_are_a_conflict_that_names_the_file(store: Store, ada: Person) -> None:
    commit = proposed(store, "a", {"traefik/first.yaml": LINES.replace(b"one", b"ONE"), "traefik/fine.yaml": b"x"})
    ada.write("traefik/first.yaml", LINES.replace(b"one", b"uno"))
    head = ada.push()
    assert merge(store, commit) == MergeConflict(("traefik/first.yaml",))
    assert main_of(store) == head


def test_an_edit_of_a_file_that_is_gone_or_moved_is_a_conflict(store: Store, ada: Person) -> None:
    commit = proposed(store, "a", {"traefik/first.yaml": LINES + b"more\n"})
    ada.git("mv", "traefik/first.yaml", "traefik/moved.yaml")
    ada.commit("move")
    ada.push()
    assert merge(store, commit) == MergeConflict(("traefik/first.yaml",))


def test_the_same_new_file_twice_is_a_conflict(store: Store, ada: Person) -> None:
    commit = proposed(store, "a", {"traefik/new.yaml": b"a"})
    ada.write("traefik/new.yaml", b"b")
    ada.push()
    assert merge(store, commit) == MergeConflict(("traefik/new.yaml",))


def test_a_proposal_that_is_on_main_already_changes_nothing(store: Store, ada: Person) -> None:
    commit = proposed(store, "a", {"traefik/a.yaml": b"a"})
    merge(store, commit)
    assert merge(store, commit) == Merged(commit, "already")
    other = proposed(store, "b", {"traefik/b.yaml": b"b"})
    ada.update()
    ada.write("traefik/b.yaml", b"b")
    head = ada.push()
    assert merge(store, other) == Merged(head, "already")
    assert main_of(store) == head


def test_main_is_never_moved_over_a_push_that_came_first(store: Store, ada: Person) -> None:
    commit = proposed(store, "a", {"traefik/a.yaml": b"a"})
    seen = main_of(store)
    prepared = rebased(store, commit, onto=seen, person=ADA, at=AT)
    assert isinstance(prepared, Merged)
    ada.write("traefik/b.yaml", b"b")
    head = ada.push()
    with pytest.raises(RefMoved, match="was moved by somebody else") as raised:
        store.move("refs/heads/main", prepared.commit, was=seen)
    assert raised.value.retry
    assert main_of(store) == head
    assert isinstance(merge(store, commit), Merged)
    assert {"traefik/a.yaml", "traefik/b.yaml"} <= files_of(store, main_of(store)).keys()


def test_rebasing_alone_moves_nothing(store: Store) -> None:
    commit = proposed(store, "a", {"traefik/a.yaml": b"a"})
    head = main_of(store)
    assert rebased(store, commit, onto=head, person=ADA, at=AT) == Merged(commit, "fast-forward")
    assert main_of(store) == head


def test_what_has_two_parents_is_no_proposal(store: Store, ada: Person) -> None:
    ada.git("switch", "--quiet", "--create", "side")
    ada.write("x", b"x")
    ada.git("switch", "--quiet", "main")
    ada.write("y", b"y")
    ada.git("merge", "--quiet", "--no-edit", "side")
    ada.push("origin", "HEAD:refs/heads/proposals/odd")
    with pytest.raises(GitError, match="it has 2 parents, a proposal has one"):
        merge(store, proposals(store)["odd"])


def test_a_person_can_plainly_revert_what_was_merged(store: Store, ada: Person) -> None:
    first = proposed(store, "a", {"traefik/a.yaml": b"a"})
    second = proposed(store, "b", {"traefik/b.yaml": b"b"})
    merge(store, first)
    merge(store, second)
    ada.update()
    ada.git("revert", "--no-edit", "HEAD")
    ada.git("revert", "--no-edit", first)
    ada.push()
    assert files_of(store, main_of(store)) == FILES
