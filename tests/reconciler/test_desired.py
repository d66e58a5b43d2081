"""A commit's desired state: every resource with its place, or everything that is wrong, by file and line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler import desired
from reconciler.core.policy import Policy
from reconciler.desired import Cache, Desired, Instance
from reconciler.git.errors import GitError
from reconciler.git.store import Store
from reconciler.traefik import language
from state.model import Address

HOME = (Instance("traefik"),)
ROUTER = "http:\n  routers:\n    {name}:\n      rule: Host(`{name}.test`)\n      service: s\n"


class Repo:
    """A repository whose commits are written as mappings of path to content."""

    def __init__(self, path: Path) -> None:
        self.store = Store.create(path)
        self._raw = pygit2.Repository(str(path))

    def commit(self, files: Mapping[str, str | bytes | tuple[int, bytes]]) -> str:
        index = pygit2.Index()
        for path, content in files.items():
            mode, data = content if isinstance(content, tuple) else (0o100644, content)
            blob = self._raw.create_blob(data.encode() if isinstance(data, str) else data)
            index.add(pygit2.IndexEntry(path, blob, pygit2.enums.FileMode(mode)))
        person = pygit2.Signature("Ada", "ada@example.org", 0, 0)
        tree = index.write_tree(self._raw)
        return str(self._raw.create_commit(None, person, person, "change", tree, []))

    def load(self, files: Mapping[str, str | bytes | tuple[int, bytes]], *instances: Instance) -> Desired:
        return desired.load(self.store, self.commit(files), instances or HOME, cache=Cache())


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "desired.git")


def places(found: Desired) -> list[tuple[str, int]]:
    return [(problem.file, problem.line) for problem in found.problems]


def test_every_resource_has_its_file_and_line(repo: Repo) -> None:
    text = "# mine\n" + ROUTER.format(name="a") + "    b: {rule: r, service: s}\n"
    found = repo.load({"traefik/deep/er/a.yaml": text, "README.md": "hello"})
    assert found.problems == ()
    by_name = {address.name: resource for address, resource in found.resources.items()}
    assert (by_name["a"].file, by_name["a"].line) == ("traefik/deep/er/a.yaml", 4)
    assert by_name["b"].line == 7
    assert found.snapshot[Address("traefik", "http.routers", "b")] == {"rule": "r", "service": "s"}


def test_an_empty_commit_wants_nothing(repo: Repo) -> None:
    assert repo.load({"README.md": "x"}).resources == {}


def test_each_instance_has_its_own_directory_even_inside_another(repo: Repo) -> None:
    files = {"traefik/a.yml": ROUTER.format(name="a"), "traefik/edge/a.yml": ROUTER.format(name="a")}
    found = repo.load(files, Instance("home"), Instance("edge", "traefik", "traefik/edge"))
    assert found.problems == ()
    assert {str(address) for address in found.resources} == {"home/http.routers/a", "edge/http.routers/a"}


def test_files_that_traefik_would_not_load_are_not_read(repo: Repo) -> None:
    assert repo.load({"traefik/a.json": "{", "traefik/notes.md": "{{", "traefik/b.yaml.orig": "x"}).problems == ()


def test_presets_are_middlewares_with_what_their_file_says_of_them(repo: Repo) -> None:
    text = "x-waypost:\n  title: Rate limit\nhttp:\n  middlewares:\n    limit: {rateLimit: {average: 5}}\n"
    found = repo.load({"traefik/presets/rate-limit.yaml": text})
    preset = found.presets["rate-limit"]
    assert preset.notes == {"title": "Rate limit"}
    assert preset.resources == (Address("traefik", "http.middlewares", "limit"),)
    assert preset.resources[0] in found.resources


def test_a_name_in_two_files_is_a_problem_of_both(repo: Repo) -> None:
    found = repo.load({"traefik/a.yaml": ROUTER.format(name="x"), "traefik/b.yaml": "\n" + ROUTER.format(name="x")})
    assert places(found) == [("traefik/a.yaml", 3), ("traefik/b.yaml", 4)]
    assert "traefik/b.yaml:4" in found.problems[0].message
    assert "traefik/a.yaml:3" in found.problems[1].message


def test_everything_wrong_in_every_file_is_named_at_once(repo: Repo) -> None:
    found = repo.load(
        {
            "traefik/a.yaml": "http:\n  routers:\n    a: {colour: red, size: 3}\n",
            "traefik/b.yaml": "http: [\n",
            "traefik/c.yaml": "a: &x 1\nb: *x\n",
            "traefik/d.yaml": "# {{ env `X` }}\n",
            "traefik/e.toml": "a = \n",
            "traefik/f.yaml": b"\xff",
        }
    )
    assert places(found) == [
        ("traefik/a.yaml", 3), ("traefik/a.yaml", 3), ("traefik/b.yaml", 2), ("traefik/c.yaml", 1),
        ("traefik/c.yaml", 2), ("traefik/d.yaml", 1), ("traefik/e.toml", 0), ("traefik/f.yaml", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "mode", "words"),
    [
        ("traefik/a.yaml", 0o120000, "symbolic link"),
        ("docs/link", 0o120000, "symbolic link"),
        ("traefik", 0o120000, "symbolic link"),
        ("vendor", 0o160000, "submodule"),
        ("traefik/a.yaml", 0o100755, "executable"),
        ("waypost.yaml", 0o120000, "symbolic link"),
    ],
)
def test_only_plain_files_are_read(repo: Repo, path: str, mode: int, words: str) -> None:
    found = repo.load({path: (mode, b"http:\n  routers: {}\n")})
    (problem,) = found.problems
    assert problem.file == path
    assert words in problem.message
    assert found.resources == {}


def test_scripts_outside_our_directories_are_nobodys_business(repo: Repo) -> None:
    assert repo.load({"bin/run": (0o100755, b"#!/bin/sh\n")}).problems == ()


def test_a_file_too_large_is_named_and_not_read(repo: Repo) -> None:
    (problem,) = repo.load({"traefik/a.yaml": b"#" * (1024 * 1024 + 1)}).problems
    assert "1,048,577 bytes" in problem.message


def test_a_corrupt_object_is_a_problem_that_names_the_file(repo: Repo, tmp_path: Path) -> None:
    text = ROUTER.format(name="a")
    commit = repo.commit({"traefik/a.yaml": text})
    blob = str(pygit2.hash(text.encode()))
    loose = tmp_path / "desired.git/objects" / blob[:2] / blob[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"rubbish")
    try:
        (problem,) = desired.load(Store.open(tmp_path / "desired.git"), commit, HOME, cache=Cache()).problems
    except GitError as error:  # where even its size cannot be told, the walk itself ends
        assert blob[:8] in str(error) or "desired.git" in str(error)
    else:
        assert problem.file == "traefik/a.yaml"


def test_the_policy_is_read_with_lines_and_its_absence_is_the_default(repo: Repo) -> None:
    assert desired.policy(repo.store, repo.commit({"a": "b"})) == (Policy(), ())
    commit = repo.commit({"waypost.yaml": "version: 1\nguards:\n  colour: red\n"})
    policy, (problem,) = desired.policy(repo.store, commit)
    assert policy == Policy()
    assert (problem.file, problem.line) == ("waypost.yaml", 3)
    assert desired.load(repo.store, commit, HOME).policy_text == b"version: 1\nguards:\n  colour: red\n"
    assert desired.policy(repo.store, repo.commit({"waypost.yaml": "a: [\n"}))[1][0].line == 2


def test_a_file_by_itself_is_read_as_in_a_commit() -> None:
    resources, problems = language.read_file("a.yaml", ROUTER.format(name="a").encode())
    assert (list(resources), problems) == ([("http.routers", "a")], ())
    assert language.read_file("a.yaml", b"htpp: 1\n")[1][0].line == 1


contents = st.sampled_from(
    [ROUTER.format(name="a"), ROUTER.format(name="b"), "http: {}\n", "", "http: [", "x-waypost: {a: 1}\n"]
)
paths = st.sampled_from(
    ["traefik/a.yaml", "traefik/b.yaml", "traefik/presets/p.yaml", "traefik/d/e.yml", "docs/x", "waypost.yaml"]
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(paths, contents), min_size=2, max_size=5))
def test_a_commit_reads_the_same_whatever_was_read_before(repo: Repo, history: list[dict[str, str]]) -> None:
    cache = Cache(files=3, commits=2)
    for files in history:
        commit = repo.commit(files)
        assert desired.load(repo.store, commit, HOME, cache=cache) == desired.load(
            repo.store, commit, HOME, cache=Cache()
        )


def test_a_known_commit_is_not_read_again(repo: Repo) -> None:
    commit, cache = repo.commit({"traefik/a.yaml": ROUTER.format(name="a")}), Cache()
    assert desired.load(repo.store, commit, HOME, cache=cache) is desired.load(repo.store, commit, HOME, cache=cache)
