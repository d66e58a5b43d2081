"""Which files can be adopted, decided from values alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.handover import adoption
from reconciler.handover.adoption import Ground
from reconciler.handover.ground import neighbours
from reconciler.ports import Disk
from reconciler.traefik import language
from state.model import Address


def router(name, rule="Path(`/`)"):
    return f"    {name}: {{rule: '{rule}', service: noop@internal}}\n"


def routers(*names, **more):
    return "http:\n  routers:\n" + "".join(router(name, **more) for name in names)


@pytest.fixture
def sort_out(tmp_path):
    def sort(files, ground=None, unfit=None):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        contents = {name: content.encode() for name, content in files.items()}
        found = neighbours(tmp_path, Disk())
        return adoption.sort_out(contents, found, ground or Ground(directory="traefik"), unfit or {})

    return sort


def reasons(found):
    return {stays.file: stays.reason for stays in found.staying}


def test_files_keep_their_names_and_their_text(sort_out):
    found = sort_out({"a.yml": routers("a") + "# mine\n", "deep/er/b.yaml": routers("b")})
    assert {one.path: one.content.decode() for one in found.adopted} == {
        "traefik/a.yml": routers("a") + "# mine\n",
        "traefik/deep/er/b.yaml": routers("b"),
    }
    assert found.file_of(Address("traefik", "http.routers", "b")) == "deep/er/b.yaml"
    assert set(found.snapshot("edge")) == {Address("edge", "http.routers", name) for name in "ab"}


def test_toml_becomes_yaml_beside_a_yaml_file_of_the_same_name(sort_out):
    toml = '[http.routers.t]\nrule = "Path(`/t`)"\nservice = "noop@internal"\n'
    found = sort_out({"x.toml": toml, "x.yaml": routers("x")})
    paths = {one.file: (one.path, one.converted) for one in found.adopted}
    assert paths == {"x.toml": ("traefik/x.yaml", True), "x.yaml": ("traefik/x-2.yaml", False)}


def test_what_our_own_folder_holds_is_nobodys_original(sort_out):
    found = sort_out({"mcp-managed/waypost.yml": routers("a"), "mcp-managed/other.yml": routers("b")})
    assert (found.adopted, found.staying) == ((), ())


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("http: {routers: {a: &x {rule: 'Path(`/`)', service: s}}}", "anchor"),
        (routers("a") + "# {{ env `HOME` }}\n", "Go templates"),
        ("http: {middlewares: {m: {basicAuth: {users: ['u:$apr1$abcdefgh$abcdefghijklmnopqrstu.']}}}}", "secret"),
        ("# nothing yet\n", "defines nothing"),
        ("# ghp_0123456789abcdefghijklmnopqrstuvwxyz" * 30_000, "at most 1048576"),
        ("http: {routers: {a: {bogus: 1}}}", "bogus"),
    ],
)
def test_what_a_desired_file_may_not_hold_stays(sort_out, content, word):
    assert word in reasons(sort_out({"a.yml": content}))["a.yml"]


def test_two_files_that_disagree_about_a_name_both_stay(sort_out):
    found = sort_out({"a.yml": routers("x"), "b.yml": routers("x", "y", rule="Path(`/b`)"), "c.yml": routers("z")})
    assert [one.file for one in found.adopted] == ["c.yml"]
    assert "a.yml's" in reasons(found)["b.yml"]


def test_of_two_files_that_say_the_same_the_first_is_adopted_and_the_second_needs_nothing(sort_out):
    found = sort_out({"a.yml": routers("x", "y"), "b.yml": routers("x"), "c.yml": routers("x", "z")})
    assert ([one.file for one in found.adopted], found.settled) == (["a.yml"], ("b.yml",))
    assert "a.yml" in reasons(found)["c.yml"]


def test_what_main_says_already_is_settled_and_what_it_says_otherwise_stays(sort_out):
    spec = {"rule": "Path(`/`)", "service": "noop@internal"}
    ground = Ground(
        directory="traefik",
        main={("http.routers", "a"): ("traefik/a.yml", spec), ("http.routers", "b"): ("traefik/b.yml", {"rule": "x"})},
        paths=frozenset({"traefik/a.yml", "traefik/b.yml", "traefik/c.yml"}),
    )
    found = sort_out({"a.yml": routers("a"), "b.yml": routers("b"), "c.yml": routers("c")}, ground)
    assert found.settled == ("a.yml",)
    assert [one.path for one in found.adopted] == ["traefik/c-2.yml"]
    assert "traefik/b.yml" in reasons(found)["b.yml"]


def test_what_is_unfit_for_the_reason_given_leaves_its_names_to_nobody(sort_out):
    assert reasons(sort_out({"a.yml": routers("a")}, unfit={"a.yml": "a link"})) == {"a.yml": "a link"}


names = st.text("abc{}-", min_size=1, max_size=5)


@given(st.dictionaries(names, st.text("ab`{}'\" :#\n", max_size=8), min_size=1, max_size=4))
def test_what_is_written_out_reads_as_the_same_and_is_never_a_template(headers):
    wanted = {
        ("http.middlewares", name): {"headers": {"customResponseHeaders": {"X": value}}}
        for name, value in headers.items()
    }
    text = adoption.written(wanted)
    assert b"{{" not in text
    assert language.read_file("x.yaml", text) == (wanted, ())


def test_lines_name_every_file(sort_out):
    found = sort_out({"a.yml": routers("a"), "b.yml": routers("a"), "c.yml": "# {{"})
    assert [line.split()[1].rstrip(":") for line in adoption.lines(found)] == ["a.yml", "b.yml", "c.yml"]
