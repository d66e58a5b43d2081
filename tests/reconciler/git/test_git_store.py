"""The store: a repository read and written object by object."""

from __future__ import annotations

import os
import threading
import zlib
from pathlib import Path

import pytest

from reconciler.git.commits import Identity
from reconciler.git.store import Anchored, GitError, RefMoved, Store
from tests.reconciler.git.persons import (
    ADA,
    AT,
    FILES,
    Person,
    content,
    damage,
    files_of,
    main_of,
    proposed,
    run_git,
)

SIGNED = Identity.parse(ADA).signed(AT)


def test_every_file_of_a_commit_is_listed_with_mode_and_size(store: Store) -> None:
    listed = {entry.path: (entry.mode, entry.size) for entry in store.entries(main_of(store))}
    assert listed == {path: (0o100644, len(text)) for path, text in FILES.items()}


def test_only_what_is_under_a_directory_is_listed(store: Store) -> None:
    assert [entry.path for entry in store.entries(main_of(store), "traefik")] == ["traefik/first.yaml"]
    assert list(store.entries(main_of(store), "nowhere")) == []
    assert list(store.entries(main_of(store), "README.md")) == []


def test_links_submodules_and_programs_are_told_by_mode_and_never_followed(store: Store, ada: Person) -> None:
    (ada.work / "traefik" / "link.yaml").symlink_to("/etc/passwd")
    program = ada.work / "traefik" / "run.yaml"
    program.write_text("x")
    program.chmod(0o755)
    ada.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},traefik/module")
    (ada.work / "traefik" / "module").mkdir()
    head = ada.commit("oddities")
    ada.push()
    modes = {entry.path: (entry.mode, entry.size) for entry in store.entries(head, "traefik")}
    assert modes["traefik/link.yaml"] == (0o120000, len("/etc/passwd"))
    assert modes["traefik/module"] == (0o160000, 0)
    assert modes["traefik/run.yaml"] == (0o100755, 1)
    assert content(store, head, "traefik/link.yaml") == b"/etc/passwd"


def test_a_name_that_is_no_utf8_is_shown_escaped(store: Store, ada: Person) -> None:
    Path(os.fsdecode(os.fsencode(ada.work) + b"/traefik/\xff.yaml")).write_text("x")
    head = ada.commit("bytes")
    ada.push()
    paths = [entry.path for entry in store.entries(head, "traefik")]
    assert "traefik/\\xff.yaml" in paths
    assert store.changed(f"{ada.git('rev-parse', 'HEAD~1')}", head) == ["traefik/\\xff.yaml"]


def test_a_commit_tells_who_when_and_its_trailers(store: Store) -> None:
    commit = store.commit(proposed(store, "a", {"traefik/a.yaml": b"a"}))
    assert (commit.author, commit.author_email) == ("model", "model@example.org")
    assert (commit.committer, commit.at, commit.subject) == ("Waypost", AT, "Propose a")
    assert commit.trailers["Waypost-Request"] == "request-a"


def test_the_first_parent_line_reads_oldest_first_and_stops_at_what_is_known(store: Store, ada: Person) -> None:
    start = main_of(store)
    one, two = ada.write("a", b"1", "one"), ada.write("a", b"2", "two")
    ada.push()
    assert [commit.id for commit in store.first_parents(two, start)] == [one, two]
    assert [commit.id for commit in store.first_parents(two)] == [start, one, two]
    assert [commit.id for commit in store.first_parents(two, limit=1)] == [two]
    assert store.first_parents(two, two) == []


def test_after_a_forced_push_the_line_holds_only_what_is_new(store: Store, ada: Person) -> None:
    ada.write("a", b"1", "one")
    old = ada.write("a", b"2", "two")
    ada.push()
    ada.git("reset", "--quiet", "--hard", "HEAD~1")
    new = ada.write("a", b"3", "other")
    ada.push("--force", "origin", "main")
    assert store.head() == new
    assert not store.is_ancestor(old, new)
    assert [commit.id for commit in store.first_parents(new, old)] == [new]


def test_an_unknown_commit_is_nobodys_ancestor(store: Store) -> None:
    assert not store.is_ancestor("1" * 40, main_of(store))
    assert store.is_ancestor(main_of(store), main_of(store))


def test_has_is_true_for_commits_only(store: Store) -> None:
    head = main_of(store)
    assert store.has(head)
    assert not any(store.has(other) for other in ("1" * 40, "", "zz", store.commit(head).tree))


def test_changed_names_added_changed_and_deleted_paths(store: Store, ada: Person) -> None:
    before = main_of(store)
    (ada.work / "README.md").unlink()
    (ada.work / "traefik" / "first.yaml").write_text("other")
    after = ada.write("traefik/deep/er/new.yaml", b"n")
    ada.push()
    assert store.changed(before, after) == ["README.md", "traefik/deep/er/new.yaml", "traefik/first.yaml"]
    assert store.changed(after, after) == []


def test_a_file_that_became_a_directory_differs_at_both_paths(store: Store, ada: Person) -> None:
    before = main_of(store)
    (ada.work / "README.md").unlink()
    after = ada.write("README.md/inner", b"x")
    ada.push()
    assert store.changed(before, after) == ["README.md", "README.md/inner"]


def test_a_file_larger_than_the_limit_is_refused_unread(store: Store) -> None:
    entry = store.entry(main_of(store), "traefik/first.yaml")
    assert entry is not None
    with pytest.raises(GitError, match=f"has {entry.size} bytes; at most 10 are read"):
        store.read(entry.id, limit=10)


@pytest.mark.parametrize("by", [b"", b"garbage", zlib.compress(b"blob 3\0abc"), zlib.compress(b"blob 99\0abc")])
def test_a_damaged_object_is_an_error_that_says_what_to_do(store: Store, by: bytes) -> None:
    entry = store.entry(main_of(store), "README.md")
    assert entry is not None
    damage(store, entry.id, by)
    with pytest.raises(GitError, match=r"git fsck") as raised:
        Store.open(store.path).read(entry.id)
    assert not raised.value.retry


def test_a_damaged_commit_tree_or_reference_is_a_git_error(store: Store) -> None:
    head = main_of(store)
    tree = store.commit(head).tree
    damage(store, tree, b"no tree")
    fresh = Store.open(store.path)
    with pytest.raises(GitError, match="git fsck"):
        list(fresh.entries(head))
    damage(store, head, b"no commit")
    with pytest.raises(GitError, match="git fsck"):
        Store.open(store.path).commit(head)
    (store.path / "refs" / "heads" / "main").write_text("nonsense\n")
    with pytest.raises(GitError, match="refs/heads/main"):
        Store.open(store.path).head()


def test_a_missing_object_is_a_git_error(store: Store) -> None:
    with pytest.raises(GitError, match=r"object 1{40} is missing"):
        store.commit("1" * 40)


def test_a_place_without_a_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(GitError, match=f"{tmp_path}.*check the path"):
        Store.open(tmp_path)


def test_a_branch_that_is_not_there_is_none(store: Store) -> None:
    assert store.head("nothing") is None
    assert store.head("no..such name") is None


def test_branches_are_found_by_prefix(store: Store) -> None:
    commit = proposed(store, "a", {"traefik/a.yaml": b"a"})
    assert store.branches("proposals/") == {"proposals/a": commit}
    assert set(store.branches()) == {"main", "proposals/a"}


def test_a_commit_is_resolved_by_branch_revision_and_short_id(store: Store, ada: Person) -> None:
    first = main_of(store)
    ada.write("a", b"1")
    head = ada.push()
    store.keep(1, first)
    for text in ("main", head, head[:8], "HEAD"):
        assert store.resolve(text) == head
    for text in ("1", "main~1", "main^"):
        assert store.resolve(text) == first


@pytest.mark.parametrize(
    "text", ["", "nothing", "-x", "a..b", ":/message", "main:README.md", "main@{1}", "x" * 5000, "9" * 5000]
)
def test_what_names_no_commit_is_refused_in_words(store: Store, text: str) -> None:
    with pytest.raises(GitError, match=r"does not name a commit|nothing is called|cannot find"):
        store.resolve(text)


def test_a_reference_moves_only_from_where_it_was_seen(store: Store) -> None:
    first = main_of(store)
    one = proposed(store, "a", {"traefik/a.yaml": b"a"})
    two = proposed(store, "b", {"traefik/b.yaml": b"b"})
    Store.open(store.path).move("refs/heads/main", one, was=first)
    with pytest.raises(RefMoved) as raised:
        store.move("refs/heads/main", two, was=first)
    assert raised.value.retry
    with pytest.raises(RefMoved):
        store.move("refs/heads/main", two, was=None)
    assert store.head() == one


def test_of_many_who_move_a_branch_at_once_exactly_one_wins(store: Store) -> None:
    first = main_of(store)
    commits = [proposed(store, f"p{number}", {"traefik/a.yaml": b"%d" % number}) for number in range(8)]
    won: list[str] = []
    start = threading.Barrier(len(commits))

    def race(commit: str) -> None:
        mine = Store.open(store.path)
        start.wait()
        try:
            mine.move("refs/heads/main", commit, was=first)
            won.append(commit)
        except GitError as lost:
            assert lost.retry

    racers = [threading.Thread(target=race, args=(commit,)) for commit in commits]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [store.head()] == won


def test_a_revision_survives_a_forced_push_and_a_garbage_collection(store: Store, ada: Person) -> None:
    ada.write("traefik/a.yaml", b"precious")
    applied = ada.push()
    store.keep(7, applied)
    ada.git("reset", "--quiet", "--hard", "HEAD~1")
    ada.push("--force", "origin", "main")
    run_git(store.path, "Ada", "reflog", "expire", "--expire=now", "--all")
    assert run_git(store.path, "Ada", "gc", "--quiet", "--prune=now").returncode == 0
    after = Store.open(store.path)
    assert after.revisions() == {7: applied}
    assert content(after, applied, "traefik/a.yaml") == b"precious"


def test_a_revision_number_is_given_once(store: Store) -> None:
    first = main_of(store)
    store.keep(1, first)
    store.keep(1, first)
    with pytest.raises(GitError, match="revision 1 .* already is commit"):
        store.keep(1, proposed(store, "a", {"traefik/a.yaml": b"a"}))


def test_the_logs_head_is_anchored_beside_a_commit(store: Store, ada: Person) -> None:
    first, second = main_of(store), proposed(store, "a", {"traefik/a.yaml": b"a"})
    assert store.anchors() == []
    store.anchor(first, 10, "aa", revision=1)
    store.anchor(second, 20, "bb", revision=2)
    store.anchor(first, 30, "cc", revision=3)
    store.anchor(first, 30, "cc", revision=3)
    expected = [Anchored(first, 10, "aa"), Anchored(second, 20, "bb"), Anchored(first, 30, "cc")]
    assert Store.open(store.path).anchors() == expected
    ada.git("fetch", "--quiet", "origin", "refs/notes/waypost:refs/notes/waypost")
    assert '{"seq": 20, "hash": "bb", "revision": 2}' in ada.git("notes", "--ref", "waypost", "show", second)


def test_a_note_that_somebody_scribbled_into_is_read_past(store: Store, ada: Person) -> None:
    head = main_of(store)
    store.anchor(head, 1, "aa")
    ada.git("fetch", "--quiet", "origin", "refs/notes/waypost:refs/notes/waypost")
    ada.git("notes", "--ref", "waypost", "append", "--message", "hello\n[1]\n{}", head)
    ada.push("origin", "refs/notes/waypost")
    store.anchor(head, 2, "bb")
    assert [anchor.seq for anchor in store.anchors()] == [1, 2]


def test_a_lock_left_by_a_killed_writer_is_swept(store: Store) -> None:
    locks = [store.path / name for name in ("refs/heads/main.lock", "packed-refs.lock", "HEAD.lock", "config.lock")]
    for lock in locks:
        lock.touch()
    commit = proposed(store, "a", {"traefik/a.yaml": b"a"})
    with pytest.raises(GitError, match="left a lock behind") as raised:
        store.move("refs/heads/main", commit, was=main_of(store))
    assert raised.value.retry
    assert sorted(store.sweep_stale_locks()) == sorted(locks)
    store.move("refs/heads/main", commit, was=main_of(store))
    assert store.head() == commit
    assert store.sweep_stale_locks() == []


def test_hooks_and_commands_that_a_repository_names_never_run(store: Store, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for hook in ("reference-transaction", "pre-receive", "update", "post-receive", "post-update", "post-commit"):
        file = store.path / "hooks" / hook
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\ntouch {trap}\n")
        file.chmod(0o755)
    with (store.path / "config").open("a") as file:
        file.write(f"[core]\n\tfsmonitor = touch {trap}\n\tsshCommand = touch {trap}\n\tpager = touch {trap}\n")
        file.write(
            f'[filter "x"]\n\tsmudge = touch {trap}\n\tclean = touch {trap}\n[uploadpack]\n\tpackObjectsHook = {trap}\n'
        )
    again = Store.open(store.path)
    commit = proposed(again, "a", {"traefik/a.yaml": b"a"})
    again.move("refs/heads/main", commit, was=main_of(again))
    again.anchor(commit, 1, "aa")
    files_of(again, commit)
    assert not trap.exists()


def test_a_repository_of_another_owner_can_be_read(store: Store) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a directory to another account")
    os.chown(store.path, 12345, 12345)
    assert Store.open(store.path).head()


@pytest.mark.parametrize("files", [0, 100], ids=["directories", "files"])
def test_a_tree_that_spells_out_millions_of_entries_is_refused(store: Store, files: int) -> None:
    repository = store.repository
    tree = repository.TreeBuilder().write()
    for count, file, mode in [(files, repository.create_blob(b"x"), 0o100644), *[(100, None, 0o040000)] * 4]:
        builder = repository.TreeBuilder()
        for number in range(count):
            builder.insert(f"n{number}", file or tree, mode)
        tree = builder.write()
    bomb = store.write_commit(tree=str(tree), parents=(main_of(store),), author=SIGNED, committer=SIGNED, text="bomb")
    with pytest.raises(GitError, match="more than 100000 files"):
        list(store.entries(bomb))
    with pytest.raises(GitError, match="more than 100000 files"):
        store.changed(main_of(store), bomb)


def test_a_tree_of_endless_depth_is_refused(store: Store) -> None:
    repository = store.repository
    tree = repository.TreeBuilder().write()
    for _ in range(100):
        builder = repository.TreeBuilder()
        builder.insert("d", tree, 0o040000)
        tree = builder.write()
    deep = store.write_commit(tree=str(tree), parents=(), author=SIGNED, committer=SIGNED, text="deep")
    with pytest.raises(GitError, match="deeper than 32 directories"):
        list(store.entries(deep))


def test_a_commit_of_any_claimed_time_is_read(store: Store, ada: Person) -> None:
    raw = ada.git("cat-file", "commit", "HEAD")
    head = store.commit(main_of(store))
    forged = raw.replace(str(int(head.at.timestamp())), str(10**17))
    (ada.work / "forged").write_text(forged + "\n")
    id = ada.git("hash-object", "-t", "commit", "-w", "--literally", "forged")
    ada.push("origin", f"{id}:refs/heads/odd")
    assert store.commit(id).at.year == 1970
