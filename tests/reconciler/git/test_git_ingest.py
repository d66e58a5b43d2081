"""Taking proposals over from the gateway's clone, which may hold anything at all."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.git import trees
from reconciler.git.commits import Identity
from reconciler.git.ingest import ingest_proposals, trouble
from reconciler.git.proposals import follow, proposals
from reconciler.git.store import Store
from tests.reconciler.git.persons import (
    ADA,
    AT,
    FILES,
    Person,
    damage,
    files_of,
    main_of,
    object_file,
    proposed,
    run_git,
)

SIGNED = Identity.parse(ADA).signed(AT)


@pytest.fixture
def gateway(store: Store, tmp_path: Path) -> Store:
    """The gateway's clone, which follows main."""
    made = Store.create(tmp_path / "gateway" / "clone.git")
    follow(made, store.path)
    return made


def forged(gateway: Store, id: str, files: Mapping[str, tuple[bytes | str, int]], *parents: str) -> str:
    """A proposal that no tool of ours would write: path -> content (or an id) and mode."""
    repository = gateway.repository
    leaves = {
        path: trees.Leaf(what if isinstance(what, str) else str(repository.create_blob(what)), mode)
        for path, (what, mode) in files.items()
    }
    tree = trees.rooted(repository, gateway.commit(main_of(gateway)).tree, leaves)
    commit = gateway.write_commit(tree=tree, parents=parents, author=SIGNED, committer=SIGNED, text="forged")
    point(gateway, id, commit)
    return commit


def point(gateway: Store, id: str, to: str) -> None:
    file = gateway.path / "refs" / "heads" / "proposals" / id
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{to}\n")


def refusal(store: Store, gateway: Store, id: str = "x") -> str:
    head = main_of(store)
    found = ingest_proposals(store, gateway.path)
    assert found.taken == {}
    assert id not in proposals(store)
    assert main_of(store) == head
    return found.refused[id]


def test_a_proposal_comes_over_whole_and_sound(store: Store, gateway: Store) -> None:
    commit = proposed(gateway, "a", {"traefik/deep/er/a.yaml": b"a", "traefik/first.yaml": b"b"})
    found = ingest_proposals(store, gateway.path)
    assert (found.taken, found.refused) == ({"a": commit}, {})
    assert proposals(store) == {"a": commit}
    assert files_of(store, commit) == FILES | {"traefik/deep/er/a.yaml": b"a", "traefik/first.yaml": b"b"}
    checked = run_git(store.path, "Ada", "fsck", "--strict", "--full")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_what_is_here_or_decided_is_not_taken_again(store: Store, gateway: Store) -> None:
    proposed(gateway, "a", {"traefik/a.yaml": b"a"})
    proposed(gateway, "b", {"traefik/b.yaml": b"b"})
    assert set(ingest_proposals(store, gateway.path, known={"b"}).taken) == {"a"}
    again = ingest_proposals(store, gateway.path, known={"b"})
    assert (again.taken, again.refused) == ({}, {})


def test_a_proposal_on_an_older_main_comes_over(store: Store, gateway: Store, ada: Person) -> None:
    commit = proposed(gateway, "a", {"traefik/a.yaml": b"a"})
    ada.write("README.md", b"moved on")
    ada.push()
    assert ingest_proposals(store, gateway.path).taken == {"a": commit}


def test_one_bad_proposal_does_not_stop_the_others(store: Store, gateway: Store) -> None:
    point(gateway, "bad", "1" * 40)
    commit = proposed(gateway, "good", {"traefik/a.yaml": b"a"})
    found = ingest_proposals(store, gateway.path)
    assert found.taken == {"good": commit}
    assert set(found.refused) == {"bad"}


def test_a_branch_of_two_commits_is_refused(store: Store, gateway: Store) -> None:
    first = proposed(gateway, "a", {"traefik/a.yaml": b"a"})
    forged(gateway, "x", {"traefik/b.yaml": (b"b", 0o100644)}, first)
    found = ingest_proposals(store, gateway.path)
    assert set(found.taken) == {"a"}
    assert "is not in the history of main" in found.refused["x"]


def test_a_commit_without_a_parent_or_with_two_is_refused(store: Store, gateway: Store) -> None:
    forged(gateway, "x", {"traefik/a.yaml": (b"a", 0o100644)})
    assert "has 0 parents" in refusal(store, gateway)
    forged(gateway, "x", {"traefik/a.yaml": (b"a", 0o100644)}, main_of(gateway), main_of(gateway))
    assert "has 2 parents" in refusal(store, gateway)


@pytest.mark.parametrize(
    ("path", "content", "mode", "reason"),
    [
        ("waypost.yaml", b"allow: all\n", 0o100644, "is policy"),
        ("README.md", b"x", 0o100644, "outside the directories"),
        (".gitea/workflows/run.yaml", b"x", 0o100644, "not a plain path"),
        ("traefik/link.yaml", b"/etc/passwd", 0o120000, r"mode 120000"),
        ("traefik/module", "1" * 40, 0o160000, r"mode 160000"),
        ("traefik/run.yaml", b"x", 0o100755, r"mode 100755"),
        ("traefik/big.yaml", b"x" * ((1 << 20) + 1), 0o100644, "would have 1048577 bytes"),
    ],
)
def test_what_a_tool_may_not_write_is_refused(
    store: Store, gateway: Store, path: str, content: bytes | str, mode: int, reason: str
) -> None:
    forged(gateway, "x", {"traefik/fine.yaml": (b"x", 0o100644), path: (content, mode)}, main_of(gateway))
    assert reason in refusal(store, gateway)


def test_a_deleted_policy_is_refused(store: Store, gateway: Store) -> None:
    tree = trees.rooted(gateway.repository, gateway.commit(main_of(gateway)).tree, {"waypost.yaml": None})
    commit = gateway.write_commit(
        tree=tree, parents=(main_of(gateway),), author=SIGNED, committer=SIGNED, text="no policy"
    )
    point(gateway, "x", commit)
    assert "is policy" in refusal(store, gateway)


def test_a_name_that_leads_elsewhere_is_refused(store: Store, gateway: Store) -> None:
    repository = gateway.repository
    blob = repository.create_blob(b"x")
    raw = b"100644 ..\0" + blob.raw + b"100644 .git\0" + blob.raw
    inner = repository.odb.write(2, raw)
    root = trees.grafted(
        repository, gateway.commit(main_of(gateway)).tree, {"traefik/odd": trees.Leaf(str(inner), trees.TREE)}
    )
    commit = gateway.write_commit(tree=root, parents=(main_of(gateway),), author=SIGNED, committer=SIGNED, text="x")
    point(gateway, "x", commit)
    assert "not a plain path" in refusal(store, gateway)


@pytest.mark.parametrize("name", [b"traefik/b.yaml", b"waypost.yaml", b""], ids=["slash", "twice", "empty"])
def test_a_directory_that_hides_an_entry_is_refused(store: Store, gateway: Store, name: bytes) -> None:
    repository = gateway.repository
    _, root = repository.odb.read(gateway.commit(main_of(gateway)).tree)
    hidden = b"100644 " + name + b"\0" + repository.create_blob(b"mine").raw
    tree = repository.odb.write(2, hidden + root)
    commit = f"tree {tree}\nparent {main_of(gateway)}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n"
    point(gateway, "x", str(repository.odb.write(1, commit)))
    assert "is no proper directory" in refusal(store, gateway)


def test_a_bomb_is_refused_before_it_unfolds(store: Store, gateway: Store) -> None:
    forged(gateway, "x", {"traefik/bomb.yaml": (b"\0" * (1 << 26), 0o100644)}, main_of(gateway))
    assert "would have 67108864 bytes" in refusal(store, gateway)


def test_an_object_that_lies_about_its_size_is_refused(store: Store, gateway: Store) -> None:
    commit = proposed(gateway, "x", {"traefik/a.yaml": b"a"})
    entry = gateway.entry(commit, "traefik/a.yaml")
    assert entry is not None
    damage(gateway, entry.id, zlib.compress(b"blob 1\0" + b"x" * 10_000_000))
    assert "is damaged" in refusal(store, gateway)


@pytest.mark.parametrize("by", [b"", b"garbage", b"x" * 5_000_000], ids=["empty", "garbage", "huge"])
@pytest.mark.parametrize("part", ["file", "tree", "commit"])
def test_a_damaged_object_is_refused(store: Store, gateway: Store, by: bytes, part: str) -> None:
    commit = proposed(gateway, "x", {"traefik/a.yaml": b"a"})
    file = gateway.entry(commit, "traefik/a.yaml")
    assert file is not None
    id = {"file": file.id, "tree": gateway.commit(commit).tree, "commit": commit}[part]
    damage(gateway, id, by)
    assert f"object {id} is" in refusal(store, gateway)


def test_nothing_but_a_commit_is_a_proposal(store: Store, gateway: Store) -> None:
    point(gateway, "x", str(gateway.repository.create_blob(b"tree " + b"1" * 40)))
    assert "is a blob of" in refusal(store, gateway)


@pytest.mark.parametrize("id", ["a.b", "-a", "x" * 65, "a b"])
def test_a_branch_that_is_no_plain_word_is_refused(store: Store, gateway: Store, id: str) -> None:
    commit = forged(gateway, "fine", {"traefik/a.yaml": (b"a", 0o100644)}, main_of(gateway))
    point(gateway, id, commit)
    assert "cannot be the id" in ingest_proposals(store, gateway.path).refused[id]


def test_a_proposal_that_changed_after_it_was_taken_is_refused(store: Store, gateway: Store) -> None:
    first = proposed(gateway, "x", {"traefik/a.yaml": b"a"})
    ingest_proposals(store, gateway.path)
    forged(gateway, "x", {"traefik/a.yaml": (b"other", 0o100644)}, main_of(gateway))
    assert "a proposal never changes" in ingest_proposals(store, gateway.path).refused["x"]
    assert proposals(store) == {"x": first}


def test_other_references_of_the_clone_have_no_effect_here(store: Store, gateway: Store) -> None:
    commit = forged(gateway, "x", {"traefik/a.yaml": (b"a", 0o100644)}, main_of(gateway))
    before = store.references("refs/")
    gateway.move("refs/heads/main", commit, was=main_of(gateway))
    gateway.move("refs/waypost/revisions/1", commit, was=None)
    gateway.anchor(commit, 99, "forged")
    ingest_proposals(store, gateway.path)
    assert store.references("refs/") == before | {"refs/heads/proposals/x": commit}


def test_links_pipes_and_alternates_in_the_clone_lead_nowhere(store: Store, gateway: Store, tmp_path: Path) -> None:
    secret = Store.create(tmp_path / "secret.git")
    hidden = secret.repository.create_blob(b"secret")
    (gateway.path / "objects" / "info").mkdir(exist_ok=True)
    (gateway.path / "objects" / "info" / "alternates").write_text(f"{secret.path}/objects\n")
    forged(Store.open(gateway.path), "x", {"traefik/a.yaml": (str(hidden), 0o100644)}, main_of(gateway))
    assert str(hidden) in refusal(store, gateway)
    object_file(gateway, str(hidden)).parent.mkdir(exist_ok=True)
    object_file(gateway, str(hidden)).symlink_to(object_file(secret, str(hidden)))
    assert str(hidden) in refusal(store, gateway)
    object_file(gateway, str(hidden)).unlink()
    os.mkfifo(object_file(gateway, str(hidden)))
    assert str(hidden) in refusal(store, gateway)
    os.mkfifo(gateway.path / "refs" / "heads" / "proposals" / "pipe")
    (gateway.path / "refs" / "heads" / "proposals" / "link").symlink_to("/etc/passwd")
    (gateway.path / "refs" / "heads" / "proposals" / "directory").mkdir()
    point(gateway, "symbolic", "ref: refs/heads/main")
    assert set(ingest_proposals(store, gateway.path).refused) == {"x"}


def test_the_clones_configuration_is_not_even_read(store: Store, gateway: Store) -> None:
    commit = proposed(gateway, "a", {"traefik/a.yaml": b"a"})
    (gateway.path / "config").unlink()
    os.mkfifo(gateway.path / "config")
    assert ingest_proposals(store, gateway.path).taken == {"a": commit}


def test_a_proposal_interrupted_halfway_comes_over_the_next_time(store: Store, gateway: Store) -> None:
    commit = proposed(gateway, "x", {"traefik/deep/er/a.yaml": b"a"})
    entry = gateway.entry(commit, "traefik/deep/er/a.yaml")
    assert entry is not None
    sound = object_file(gateway, entry.id).read_bytes()
    damage(gateway, entry.id, b"")
    refusal(store, gateway)
    damage(gateway, entry.id, sound)
    assert ingest_proposals(store, gateway.path).taken == {"x": commit}


def test_a_tree_of_endless_depth_is_refused(store: Store, gateway: Store) -> None:
    forged(gateway, "x", {"traefik/" + "d/" * 40 + "a.yaml": (b"x", 0o100644)}, main_of(gateway))
    assert "too many directories" in refusal(store, gateway)


def test_too_many_changes_are_refused(store: Store, gateway: Store) -> None:
    files = {f"traefik/{number}.yaml": (b"x", 0o100644) for number in range(1001)}
    forged(gateway, "x", files, main_of(gateway))
    assert "more than 1000 files" in refusal(store, gateway)


def test_a_gateway_that_was_never_there_proposes_nothing(store: Store, tmp_path: Path) -> None:
    found = ingest_proposals(store, tmp_path / "nowhere")
    assert (found.taken, found.refused) == ({}, {})


def test_a_clone_that_cannot_be_read_is_a_trouble_and_no_error(store: Store, tmp_path: Path) -> None:
    (tmp_path / "refs").write_text("x")
    found = ingest_proposals(store, tmp_path)
    assert (found.taken, found.refused) == ({}, {})
    assert "cannot be read" in found.trouble


def aged(gateway: Store, id: str, seconds: int) -> None:
    os.utime(gateway.path / "refs" / "heads" / "proposals" / id, (seconds, seconds))


def test_a_flood_of_proposals_is_a_trouble_and_the_newest_come_over(
    store: Store, gateway: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.git.ingest.WAITING_LIMIT", 2)
    for number, id in enumerate(("z", "b", "a")):
        proposed(gateway, id, {f"traefik/{id}.yaml": b"x"})
        aged(gateway, id, number)
    found = ingest_proposals(store, gateway.path)
    assert set(found.taken) == {"a", "b"}
    assert "holds more than 2 undecided proposals" in found.trouble
    assert trouble(gateway.path) == found.trouble


def test_what_was_decided_takes_no_place_from_what_waits(
    store: Store, gateway: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.git.ingest.WAITING_LIMIT", 2)
    for id in ("a", "b", "zlast"):
        proposed(gateway, id, {f"traefik/{id}.yaml": b"x"})
    found = ingest_proposals(store, gateway.path, known={"a", "b"})
    assert (set(found.taken), found.trouble) == ({"zlast"}, "")


def test_a_new_proposal_comes_over_however_many_stand_before_it(
    store: Store, gateway: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.git.ingest.WAITING_LIMIT", 3)
    for number in range(5):
        point(gateway, f"a{number}", "1" * 40)
        aged(gateway, f"a{number}", number)
    commit = proposed(gateway, "zlast", {"traefik/z.yaml": b"z"})
    assert ingest_proposals(store, gateway.path).taken == {"zlast": commit}


def test_what_holds_a_secret_in_use_stays_where_it_is(store: Store, gateway: Store) -> None:
    proposed(gateway, "a", {"traefik/a.yaml": b"x: quiet-as-a-mouse"})
    proposed(gateway, "b", {"traefik/b.yaml": b"x: nothing"})
    found = ingest_proposals(store, gateway.path, secrets=lambda: {"quiet-as-a-mouse"})
    assert set(found.taken) == set(proposals(store)) == {"b"}
    assert "a secret that Waypost itself uses" in found.refused["a"] and "mouse" not in found.refused["a"]
    for path in (store.path / "objects").rglob("*"):
        assert not path.is_file() or b"quiet-as" not in (path.read_bytes() if path.suffix else unpacked(path))


def unpacked(path: Path) -> bytes:
    try:
        return zlib.decompress(path.read_bytes())
    except zlib.error:
        return path.read_bytes()
