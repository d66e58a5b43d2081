"""The neighbours' files are read in Traefik's order, as far as they can be, and never stop anything."""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.ports import Disk
from reconciler.traefik.foreign import Neighbours, neighbours, read_neighbours

ROUTER = "http:\n  routers:\n    {name}: {{rule: 'Path(`/`)', service: s}}\n"


def read(directory: Path, files: dict[str, str | bytes]) -> Neighbours:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_neighbours(Disk(), directory, directory / "mcp-managed/waypost.yml")


def test_names_are_found_in_every_file_that_traefik_loads_but_ours(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "a.yml": ROUTER.format(name="a"),
            ".hidden.yaml": ROUTER.format(name="b"),
            "deep/er/c.YML": ROUTER.format(name="c"),
            "d.toml": "[udp.services.d.loadBalancer]\n[[udp.services.d.loadBalancer.servers]]\naddress = 'x:1'\n",
            "e.json": ROUTER.format(name="e"),
            "f.yml.bak": ROUTER.format(name="f"),
            "mcp-managed/waypost.yml": ROUTER.format(name="g"),
        },
    )
    assert found.names == {
        ("http.routers", "a"): "a.yml",
        ("http.routers", "b"): ".hidden.yaml",
        ("http.routers", "c"): "deep/er/c.YML",
        ("udp.services", "d"): "d.toml",
    }
    assert found.problems == []
    assert found.files["a.yml"] == {("http.routers", "a"): {"rule": "Path(`/`)", "service": "s"}}


def test_the_first_file_in_byte_order_has_the_name(tmp_path: Path) -> None:
    router = ROUTER.format(name="r")
    found = read(tmp_path, {"b.yml": router, "Z.yml": router, "A/z.yml": router})
    assert found.names == {("http.routers", "r"): "A/z.yml"}
    assert [(problem.file, problem.severity) for problem in found.problems] == [
        ("Z.yml", "warning"),
        ("b.yml", "warning"),
    ]


def test_what_poisons_the_directory_is_an_error_and_what_traefik_takes_is_not(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "syntax.yml": "http: [",
            "unknown.yml": "http:\n  routers:\n    a: {colour: red}\n",
            "empty.yml": "http: {}\n",
            "bytes.yml": b"\xff",
            "typo.yml": "htpp: 1\n",
            "numbers.yml": "http:\n  routers:\n    404: {rule: x}\n",
            "aliases.yml": "x: &x {rule: r}\nhttp:\n  routers:\n    al: {<<: *x, service: s}\n",
            "second.yml": ROUTER.format(name="two") + "---\nignored\n",
        },
    )
    errors = {problem.file for problem in found.problems if problem.severity == "error"}
    assert errors == {"syntax.yml", "unknown.yml", "empty.yml", "bytes.yml"}
    assert found.files["aliases.yml"]["http.routers", "al"] == {"rule": "r", "service": "s"}
    assert ("http.routers", "two") in found.names


def test_a_file_with_templates_is_only_noted(tmp_path: Path) -> None:
    found = read(tmp_path, {"t.yml": "http: {{ env `X` }}\n"})
    assert [(problem.file, problem.severity) for problem in found.problems] == [("t.yml", "warning")]


def test_a_directory_that_is_not_there_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    found = read_neighbours(Disk(), tmp_path / "gone", tmp_path / "gone/mcp-managed/waypost.yml")
    assert found.names == {}
    assert len(found.problems) == 1


def test_a_pipe_or_a_dangling_link_in_the_directory_stops_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yml")
    (tmp_path / "dangling.yml").symlink_to("nowhere")
    assert read(tmp_path, {"a.yml": ROUTER.format(name="a")}).names == {("http.routers", "a"): "a.yml"}


def test_what_could_not_be_read_is_a_warning_with_its_reason() -> None:
    found = neighbours({"a.yml": ROUTER.format(name="a").encode()}, {"b.yml": "Permission denied"})
    assert found.names == {("http.routers", "a"): "a.yml"}
    assert [(one.file, one.severity, one.message) for one in found.problems] == [
        ("b.yml", "warning", "cannot be read: Permission denied")
    ]
