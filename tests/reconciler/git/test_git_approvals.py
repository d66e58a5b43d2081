"""Approval is presence on main's first-parent line: every way to come there is read, and told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.git.main import Approval, approvals
from reconciler.git.proposals import proposals
from reconciler.git.store import Store
from tests.reconciler.git.persons import ADA, FILES, Person, clone, main_of, merge, proposed

LINES = FILES["traefik/first.yaml"]


def read(store: Store, since: str | None, known: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
    found = approvals(store, since, main_of(store), proposals(store) if known is None else known)
    return [(approval.via, approval.proposal, approval.by) for approval in found]


@pytest.fixture
def start(store: Store) -> str:
    return main_of(store)


@pytest.fixture
def proposal(store: Store, start: str) -> str:
    return proposed(store, "a", {"traefik/first.yaml": LINES.replace(b"one", b"ONE")})


@pytest.fixture
def fetched(ada: Person, proposal: str) -> Person:
    """Ada, with the proposal in her clone as origin/proposals/a."""
    ada.update()
    return ada


def test_the_first_look_takes_main_as_it_is(store: Store, start: str) -> None:
    assert approvals(store, None, start, {}) == [Approval(start, "first", "", "unknown", "first")]


def test_nothing_new_is_nothing_approved(store: Store, start: str) -> None:
    assert approvals(store, start, start, {}) == []


def test_a_fast_forward_by_a_person_is_read_but_not_whose_it_was(store: Store, start: str, fetched: Person) -> None:
    fetched.git("merge", "--quiet", "--ff-only", "origin/proposals/a")
    fetched.push()
    assert read(store, start) == [("fast-forward", "a", "unknown")]


def test_a_merge_commit_is_read_with_who_merged(store: Store, start: str, fetched: Person) -> None:
    fetched.git("merge", "--quiet", "--no-ff", "--no-edit", "origin/proposals/a")
    fetched.push()
    assert read(store, start) == [("merge", "a", ADA)]


def test_a_squash_is_read_by_its_change_where_the_message_tells_nothing(
    store: Store, start: str, fetched: Person
) -> None:
    fetched.git("merge", "--quiet", "--squash", "origin/proposals/a")
    fetched.commit("all mine")
    fetched.push()
    assert read(store, start) == [("squash", "a", ADA)]


def test_a_squash_is_read_by_its_change_on_a_main_that_moved_too(store: Store, start: str, fetched: Person) -> None:
    fetched.write("traefik/first.yaml", LINES.replace(b"seven", b"SEVEN"), "mine")
    fetched.git("merge", "--quiet", "--squash", "origin/proposals/a")
    fetched.commit("all mine")
    fetched.push()
    assert read(store, start) == [("push", "", ADA), ("squash", "a", ADA)]


def test_a_squash_with_a_changed_content_is_read_by_its_trailers(store: Store, start: str, fetched: Person) -> None:
    fetched.git("merge", "--quiet", "--squash", "origin/proposals/a")
    fetched.write("traefik/first.yaml", b"improved", "Title (#12)\n\n* Propose a\n\nWaypost-Request: request-a\n\nEnd.")
    fetched.push()
    assert read(store, start) == [("squash", "a", ADA)]


def test_a_rebase_is_read_by_its_trailers(store: Store, start: str, fetched: Person) -> None:
    fetched.write("README.md", b"mine too")
    fetched.git("cherry-pick", "origin/proposals/a")
    fetched.push()
    assert read(store, start) == [("push", "", ADA), ("rebase", "a", ADA)]


def test_our_own_merge_is_read_just_the_same(store: Store, start: str, proposal: str) -> None:
    other = proposed(store, "b", {"traefik/b.yaml": b"b"})
    for commit in (proposal, other):
        merge(store, commit)
    assert read(store, start) == [("fast-forward", "a", "unknown"), ("rebase", "b", ADA)]


def test_a_push_by_a_person_is_read_without_any_proposal(store: Store, start: str, fetched: Person) -> None:
    fetched.write("traefik/new.yaml", b"x", "by hand")
    fetched.push()
    assert read(store, start) == [("push", "", ADA)]


def test_the_same_file_changed_otherwise_is_no_proposal(store: Store, start: str, fetched: Person) -> None:
    fetched.write("traefik/first.yaml", LINES.replace(b"two", b"TWO"))
    fetched.push()
    assert read(store, start) == [("push", "", ADA)]


def test_a_revert_by_a_person_is_a_push_and_not_the_proposal_again(store: Store, start: str, fetched: Person) -> None:
    fetched.git("merge", "--quiet", "--ff-only", "origin/proposals/a")
    fetched.git("revert", "--no-edit", "HEAD")
    fetched.push()
    assert read(store, start) == [("fast-forward", "a", "unknown"), ("push", "", ADA)]


def test_a_revert_of_the_revert_is_the_change_of_the_proposal_again(store: Store, start: str, fetched: Person) -> None:
    fetched.git("merge", "--quiet", "--ff-only", "origin/proposals/a")
    fetched.git("revert", "--no-edit", "HEAD")
    fetched.git("revert", "--no-edit", "HEAD")
    fetched.push()
    assert read(store, start)[-1] == ("squash", "a", ADA)


def test_two_merges_at_once_are_each_read(store: Store, start: str, fetched: Person) -> None:
    proposed(store, "b", {"traefik/b.yaml": b"b"}, parent=start)
    fetched.git("fetch", "--quiet", "origin")
    for branch in ("a", "b"):
        fetched.git("merge", "--quiet", "--no-ff", "--no-edit", f"origin/proposals/{branch}")
    fetched.push()
    assert read(store, start) == [("merge", "a", ADA), ("merge", "b", ADA)]


def test_one_merge_of_two_is_an_approval_of_each(store: Store, start: str, fetched: Person) -> None:
    proposed(store, "b", {"traefik/b.yaml": b"b"}, parent=start)
    fetched.git("fetch", "--quiet", "origin")
    fetched.git("merge", "--quiet", "--no-ff", "--no-edit", "origin/proposals/a", "origin/proposals/b")
    fetched.push()
    assert sorted(read(store, start)) == [("merge", "a", ADA), ("merge", "b", ADA)]


def test_one_squash_of_two_is_an_approval_of_each(store: Store, start: str, fetched: Person) -> None:
    proposed(store, "b", {"traefik/b.yaml": b"b"}, parent=start)
    fetched.git("fetch", "--quiet", "origin")
    for branch in ("a", "b"):
        fetched.git("merge", "--quiet", "--squash", f"origin/proposals/{branch}")
    fetched.commit("Both\n\nWaypost-Request: request-a\n\nand\n\nWaypost-Request: request-b")
    fetched.push()
    assert sorted(read(store, start)) == [("squash", "a", ADA), ("squash", "b", ADA)]


def test_a_proposal_rebased_on_a_merged_side_branch_is_found(store: Store, start: str, fetched: Person) -> None:
    fetched.git("switch", "--quiet", "--create", "side")
    fetched.write("README.md", b"side")
    fetched.git("cherry-pick", "origin/proposals/a")
    fetched.git("switch", "--quiet", "main")
    fetched.git("merge", "--quiet", "--no-ff", "--no-edit", "side")
    fetched.push()
    assert read(store, start) == [("merge", "a", ADA)]


def test_main_merged_into_the_proposal_and_pushed_is_still_its_approval(
    store: Store, start: str, fetched: Person
) -> None:
    fetched.write("README.md", b"meanwhile")
    since = fetched.push()
    fetched.git("switch", "--quiet", "--detach", "origin/proposals/a")
    fetched.git("merge", "--quiet", "--no-ff", "--no-edit", "main")
    fetched.push("origin", "HEAD:main")
    assert read(store, since) == [("fast-forward", "a", "unknown"), ("merge", "", ADA)]


def test_a_commit_on_top_of_a_proposal_in_review_is_merged_with_it(store: Store, start: str, fetched: Person) -> None:
    known = proposals(store)
    fetched.git("switch", "--quiet", "--detach", "origin/proposals/a")
    fetched.write("traefik/first.yaml", LINES + b"reviewed\n", "in review")
    fetched.push("origin", "HEAD:proposals/a")
    fetched.git("switch", "--quiet", "main")
    fetched.git("merge", "--quiet", "--no-ff", "--no-edit", "origin/proposals/a")
    fetched.push()
    assert read(store, start, known) == [("merge", "a", ADA)]


def test_pushes_by_two_people_keep_their_names(store: Store, start: str, ada: Person, tmp_path: Path) -> None:
    ada.write("README.md", b"a")
    ada.push()
    bob = clone(store, tmp_path / "people" / "bob", "Bob")
    bob.write("traefik/x.yaml", b"b")
    bob.push()
    assert [by for _, _, by in read(store, start)] == [ADA, "Bob <bob@example.org>"]


def test_who_a_forge_committed_for_is_unknown(store: Store, start: str, tmp_path: Path) -> None:
    forge = clone(store, tmp_path / "people" / "gitea", "Gitea")
    forge.write("README.md", b"web edit")
    forge.push()
    assert read(store, start) == [("push", "", "unknown")]


def test_after_a_forced_push_only_the_new_line_is_read(store: Store, ada: Person) -> None:
    ada.write("README.md", b"1")
    was = ada.push()
    ada.git("reset", "--quiet", "--hard", "HEAD~1")
    ada.write("README.md", b"2", "rewritten")
    ada.push("--force", "origin", "main")
    assert [approval.subject for approval in approvals(store, was, main_of(store), {})] == ["rewritten"]


def test_where_the_last_known_commit_is_gone_the_way_is_unknown(store: Store) -> None:
    found = approvals(store, "1" * 40, main_of(store), {})
    assert [(approval.commit, approval.via) for approval in found] == [(main_of(store), "unknown")]


def test_a_proposal_whose_commit_never_came_is_passed_over(store: Store, start: str, ada: Person) -> None:
    ada.write("README.md", b"1")
    ada.push()
    tree = store.commit(start).tree
    assert read(store, start, {"x": "1" * 40, "y": "nonsense", "z": tree}) == [("push", "", ADA)]
