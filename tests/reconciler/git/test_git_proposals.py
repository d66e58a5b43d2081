"""Proposals: one commit on a branch of its own, within the bounds of a tool."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.git import trees
from reconciler.git.bounds import SIZE_LIMIT, path_fault
from reconciler.git.proposals import ProposalRefused, follow, proposals, revert_to, withdraw
from reconciler.git.store import GitError, Store
from tests.reconciler.git.persons import AT, FILES, Person, content, desired, files_of, main_of, proposed, run_git


def test_a_proposal_is_one_commit_on_a_branch_of_its_own(store: Store) -> None:
    before = main_of(store)
    commit = proposed(store, "a", {"traefik/new/a.yaml": b"a", "traefik/first.yaml": None})
    assert store.head("proposals/a") == commit
    assert store.commit(commit).parents == (before,)
    assert files_of(store, commit) == {
        "README.md": b"mine\n",
        "waypost.yaml": FILES["waypost.yaml"],
        "traefik/new/a.yaml": b"a",
    }
    assert main_of(store) == before


def test_git_itself_finds_nothing_wrong_with_a_proposal(store: Store) -> None:
    proposed(store, "a", {"traefik/new/deep/a.yaml": b"a", "docs/z.yaml": b"z", "traefik/first.yaml": None})
    checked = run_git(store.path, "Ada", "fsck", "--strict", "--full")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_proposals_made_at_once_stand_each_on_its_own(store: Store) -> None:
    made: dict[str, str] = {}
    start = threading.Barrier(8)

    def make(id: str) -> None:
        mine = Store.open(store.path)
        start.wait()
        made[id] = proposed(mine, id, {f"traefik/{id}.yaml": id.encode()})

    makers = [threading.Thread(target=make, args=(f"p{number}",)) for number in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert proposals(Store.open(store.path)) == dict(sorted(made.items()))
    assert len(made) == 8
    assert all(store.changed(main_of(store), commit) == [f"traefik/{id}.yaml"] for id, commit in made.items())


def test_the_same_proposal_again_is_the_same_commit(store: Store) -> None:
    assert proposed(store, "a", {"traefik/a.yaml": b"a"}) == proposed(store, "a", {"traefik/a.yaml": b"a"})


def test_a_proposal_never_changes(store: Store) -> None:
    first = proposed(store, "a", {"traefik/a.yaml": b"a"})
    with pytest.raises(ProposalRefused, match="there already is a proposal a"):
        proposed(store, "a", {"traefik/a.yaml": b"other"})
    with pytest.raises(ProposalRefused, match="there already is a proposal a"):
        proposed(store, "a", {"traefik/a.yaml": b"a"}, at=AT + timedelta(seconds=1))
    assert proposals(store) == {"a": first}


def test_a_proposal_that_changes_nothing_is_refused(store: Store) -> None:
    with pytest.raises(ProposalRefused, match="changes nothing"):
        proposed(store, "a", {"traefik/first.yaml": FILES["traefik/first.yaml"], "traefik/none.yaml": None})
    assert proposals(store) == {}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("waypost.yaml", "is policy"),
        ("traefik/waypost.yaml", "is policy"),
        ("traefik/WayPost.yaml", "is policy"),
        ("README.md", "outside the directories"),
        ("traefik", "outside the directories"),
        ("traefikk/a.yaml", "outside the directories"),
        ("/etc/passwd", "not a plain path"),
        ("../x", "not a plain path"),
        ("traefik/../waypost.yml", "not a plain path"),
        ("traefik//a.yaml", "not a plain path"),
        ("traefik/", "not a plain path"),
        ("traefik/./a.yaml", "not a plain path"),
        ("traefik/.git/config", "not a plain path"),
        ("traefik/.gitattributes", "not a plain path"),
        (".gitea/workflows/run.yaml", "not a plain path"),
        ("traefik/-rf", "not a plain path"),
        ("traefik/ a.yaml", "not a plain path"),
        ("traefik/a\n.yaml", "characters"),
        ("traefik/git\u200c.yaml", "characters"),
        ("traefik/a\\b.yaml", "characters"),
        ("traefik/c:a.yaml", "characters"),
        ("traefik/\ud800.yaml", "characters"),
        ("traefik/" + "x" * 300, "too long"),
        ("", "not a plain path"),
    ],
)
def test_a_tool_may_not_write_there(store: Store, path: str, reason: str) -> None:
    with pytest.raises(ProposalRefused, match=reason):
        proposed(store, "a", {path: b"x"})
    with pytest.raises(ProposalRefused, match=reason):
        proposed(store, "a", {path: None})
    assert proposals(store) == {}


def test_all_reasons_against_a_proposal_come_at_once(store: Store) -> None:
    with pytest.raises(ProposalRefused) as raised:
        proposed(store, "a", {"waypost.yaml": b"", "x": b"", "traefik/big.yaml": b"x" * (SIZE_LIMIT + 1)})
    assert len(raised.value.reasons) == 3
    assert "at most 1048576 are allowed" in raised.value.reasons[2]


def test_names_that_people_use_are_fine() -> None:
    for path in ("traefik/a b.yaml", "traefik/größe.yaml", "traefik/a@b+c~1,2=3.yaml", "komodo/media/stack.toml"):
        assert path_fault(path) is None
    assert path_fault("sites/home/a.yaml", ["sites/home/"]) is None
    assert path_fault("traefik/a.yaml", ["sites/home"]) is not None


@pytest.mark.parametrize("id", ["", "a/b", "a.lock", "..", "-a", "a b", "x" * 65, "é", "a\n"])
def test_an_id_that_is_no_plain_word_is_refused(store: Store, id: str) -> None:
    with pytest.raises(ProposalRefused, match="cannot be the id of a proposal"):
        proposed(store, id, {"traefik/a.yaml": b"a"})


def test_links_submodules_programs_and_directories_are_a_persons_to_change(store: Store, ada: Person) -> None:
    (ada.work / "traefik" / "link.yaml").symlink_to("/etc")
    (ada.work / "traefik" / "run.yaml").write_text("x")
    (ada.work / "traefik" / "run.yaml").chmod(0o755)
    ada.write("traefik/sub/a.yaml", b"a")
    ada.push()
    with pytest.raises(ProposalRefused) as raised:
        proposed(store, "a", dict.fromkeys(["traefik/link.yaml", "traefik/run.yaml", "traefik/sub"], b"x"))
    assert [reason.split("'")[1] for reason in raised.value.reasons] == [
        "traefik/link.yaml",
        "traefik/run.yaml",
        "traefik/sub",
    ]
    with pytest.raises(ProposalRefused, match="'traefik/link.yaml' is a file, so 'traefik/link.yaml/passwd' cannot be"):
        proposed(store, "b", {"traefik/link.yaml/passwd": b"x"})


def test_an_emptied_directory_vanishes(store: Store) -> None:
    commit = proposed(store, "a", {"traefik/first.yaml": None})
    assert "traefik" not in trees.listing(store.repository, store.commit(commit).tree)


def test_a_body_cannot_forge_a_trailer(store: Store) -> None:
    body = "fine\n\nWaypost-Request: forged\r\n  waypost-tool : forged"
    commit = store.commit(proposed(store, "a", {"traefik/a.yaml": b"a"}, body=body, title="a\nWaypost-Request: no"))
    assert commit.trailers["Waypost-Request"] == "request-a"
    assert "> Waypost-Request: forged" in commit.message
    assert commit.subject == "a Waypost-Request: no"


def test_a_trailer_cannot_hold_a_second_line(store: Store) -> None:
    trailers = {"Waypost-Client": "x\nWaypost-Request: forged", "Waypost-Tool": ""}
    commit = store.commit(proposed(store, "a", {"traefik/a.yaml": b"a"}, trailers=trailers))
    assert commit.trailers == {"Waypost-Client": "x Waypost-Request: forged"}


def test_git_reads_the_same_trailers(store: Store, ada: Person) -> None:
    commit = proposed(store, "a", {"traefik/a.yaml": b"a"}, body="one\n\ntwo: three")
    ada.update()
    read = ada.git("log", "-1", "--format=%(trailers:only)", commit)
    assert read.splitlines() == [f"{key}: {value}" for key, value in store.commit(commit).trailers.items()]


def test_a_withdrawn_proposal_is_gone_and_withdrawing_twice_is_fine(store: Store) -> None:
    proposed(store, "a", {"traefik/a.yaml": b"a"})
    assert withdraw(store, "a")
    assert not withdraw(store, "a")
    assert proposals(store) == {}


def test_a_proposal_on_an_unknown_parent_is_a_git_error(store: Store) -> None:
    with pytest.raises(GitError, match="is missing"):
        proposed(store, "a", {"traefik/a.yaml": b"a"}, parent="1" * 40)


def test_a_clone_follows_main_and_its_revisions_even_when_forced(store: Store, ada: Person, tmp_path: Path) -> None:
    gateway = Store.create(tmp_path / "clone.git")
    store.keep(1, main_of(store))
    assert follow(gateway, store.path) == main_of(store)
    own = proposed(gateway, "mine", {"traefik/a.yaml": b"a"})
    ada.write("traefik/b.yaml", b"b")
    ada.push()
    assert follow(gateway, str(store.path)) == main_of(store)
    ada.git("reset", "--quiet", "--hard", "HEAD~1")
    ada.write("traefik/c.yaml", b"c")
    ada.push("--force", "origin", "main")
    assert follow(gateway, store.path) == main_of(store) == gateway.head()
    assert gateway.resolve("1") == store.resolve("1")
    assert proposals(gateway) == {"mine": own}
    assert proposals(store) == {}


def test_of_the_proposals_elsewhere_a_clone_takes_only_the_one_that_is_named(store: Store, tmp_path: Path) -> None:
    gateway = Store.create(tmp_path / "clone.git")
    wanted = proposed(store, "wanted", {"traefik/a.yaml": b"a"})
    proposed(store, "other", {"traefik/b.yaml": b"b"})
    follow(gateway, store.path)
    assert proposals(gateway) == {}
    for named in ("*", "no/such", "unknown"):
        follow(gateway, store.path, proposal=named)
    assert proposals(gateway) == {}
    follow(gateway, store.path, proposal="wanted")
    assert proposals(gateway) == {"wanted": wanted}


REVERT = {
    "title": "Back",
    "body": "",
    "trailers": {"Waypost-Request": "r"},
    "author": "Ada <ada@example.org>",
    "at": AT,
}


def test_a_rollback_restores_the_whole_tree_but_the_policy(store: Store, ada: Person) -> None:
    then = main_of(store)
    ada.write("waypost.yaml", b"schema: 2\n")
    ada.write("README.md", b"other")
    ada.write("traefik/first.yaml", b"other")
    ada.write("traefik/sub/second.yaml", b"new")
    ada.push()
    commit = revert_to(store, then, parent=main_of(store), id="back", **REVERT)  # type: ignore[arg-type]
    assert files_of(store, commit) == FILES | {"waypost.yaml": b"schema: 2\n"}
    assert store.commit(commit).parents == (main_of(store),)


def test_a_tools_rollback_restores_its_own_directories_only(store: Store, ada: Person) -> None:
    then = main_of(store)
    ada.write("README.md", b"other")
    ada.write("docs/new.yaml", b"new")
    ada.write("traefik/first.yaml", b"other")
    ada.push()
    commit = revert_to(store, then, parent=main_of(store), id="back", roots=["traefik", "docs"], **REVERT)  # type: ignore[arg-type]
    assert files_of(store, commit) == FILES | {"README.md": b"other"}


def test_a_policy_that_did_not_exist_then_is_kept(tmp_path: Path) -> None:
    store = desired(tmp_path / "bare.git", {"traefik/a.yaml": b"a"})
    then = main_of(store)
    ada_commits = proposed(store, "x", {"traefik/a.yaml": b"b"})
    tree = trees.rooted(
        store.repository,
        store.commit(ada_commits).tree,
        {"waypost.yaml": trees.Leaf(str(store.repository.create_blob(b"p")), trees.BLOB)},
    )
    signature = store.repository[ada_commits].author
    now = store.write_commit(tree=tree, parents=(then,), author=signature, committer=signature, text="policy")
    commit = revert_to(store, then, parent=now, id="back", **REVERT)  # type: ignore[arg-type]
    assert files_of(store, commit) == {"traefik/a.yaml": b"a", "waypost.yaml": b"p"}
    assert content(store, commit, "waypost.yaml") == b"p"


def test_a_rollback_to_where_we_are_is_refused(store: Store) -> None:
    with pytest.raises(ProposalRefused, match="changes nothing"):
        revert_to(store, main_of(store), parent=main_of(store), id="back", **REVERT)  # type: ignore[arg-type]
