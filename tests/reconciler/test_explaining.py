"""`waypost explain`: requests in, answers out, one line for one line, and never a traceback."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reconciler import explaining
from reconciler.cli import waypost
from reconciler.traefik.api import TraefikApi

FILE = """
http:
  routers:
    gitea: {rule: Host(`git.lab`), service: gitea, middlewares: [auth]}
    admin: {rule: Host(`git.lab`) && PathPrefix(`/admin`), service: gitea, middlewares: [nope]}
    one: {rule: Host(`tie.lab`), service: gitea}
    two: {rule: Host(`tie.lab`), service: gitea}
    old: {rule: "Host(`old.lab`, `older.lab`)", service: gitea, ruleSyntax: v2}
  services:
    gitea: {loadBalancer: {servers: [{url: "http://127.0.0.1:1"}]}}
  middlewares:
    auth: {basicAuth: {users: ["a:b"]}}
    secure: {headers: {stsSeconds: 1}}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "dynamic").mkdir()
    (tmp_path / "dynamic" / "b.yml").write_text(FILE)
    return tmp_path / "dynamic"


def add(directory: Path, name: str, rule: str, **more: Any) -> None:
    """One more file with one router, whose answer is noop@internal."""
    routers = {name: {"rule": rule, "service": "noop@internal", **more}}
    (directory / f"{name}.yml").write_text(json.dumps({"http": {"routers": routers}}))


def run(*arguments: str | Path, lines: str = "") -> Result:
    return CliRunner().invoke(waypost, ["explain", *map(str, arguments)], input=lines)


def answered(directory: Path, *requests: Any, options: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    lines = "".join((request if isinstance(request, str) else json.dumps(request)) + "\n" for request in requests)
    result = run("--config", directory, "--requests", "-", *options, lines=lines)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_line_is_answered_in_order(directory: Path) -> None:
    found = answered(
        directory,
        {"method": "GET", "url": "https://git.lab/"},
        {"url": "http://tie.lab/x"},
        {"url": "http://nobody.lab/"},
        {"target": "/a%20b", "host": "GIT.lab:80", "tls": False},
        {"target": "/a b", "host": "git.lab"},
    )
    assert [one["router"] for one in found] == ["gitea", None, None, "gitea", None]
    assert [one["status"] for one in found] == [None, None, 404, None, 400]
    assert found[0] | {"reason": ""} == {
        "router": "gitea",
        "service": "gitea",
        "middlewares": ["auth"],
        "candidates": ["gitea"],
        "ambiguous": False,
        "tied": [],
        "status": None,
        "entrypoint": "websecure",
        "tls": True,
        "taken_by": "http",
        "unknown": None,
        "reason": "",
    }
    assert (found[1]["ambiguous"], found[1]["tied"], found[1]["service"]) == (True, ["one", "two"], None)


def test_headers_are_a_mapping_or_pairs_and_the_host_header_counts(directory: Path) -> None:
    add(directory, "h", "Header(`X-A`, `v`)", priority=500)
    found = answered(
        directory,
        {"url": "http://x/", "headers": {"x-a": "v"}},
        {"url": "http://x/", "headers": [["X-A", "w"], ["x-A", "v"]]},
        {"url": "http://x/", "headers": {"X-A": ["w", "v"]}},
        {"url": "http://x/", "headers": {"Host": "git.lab"}},
        {"target": "/", "headers": [["Host", "git.lab"]]},
        {"target": "/", "host": "git.lab", "headers": [["Host", "git.lab"]]},
    )
    assert [one["router"] for one in found] == ["h", "h", "h", "gitea", "gitea", None]
    assert found[-1]["status"] == 400


WRONG = (
    ("nonsense", "not JSON"),
    ("[1]", "no JSON object"),
    ("{}", "neither 'url' nor 'target'"),
    ('{"url": "ftp://x/"}', "no address"),
    ('{"url": "http://[x/"}', ""),
    ('{"url": 1}', "'url' must be text"),
    ('{"url": "http://x/", "headers": ["a"]}', "'headers' must be"),
    ('{"url": "http://x/", "headers": {"a": 1}}', "'headers' must be"),
    ('{"url": "http://x/", "client_ip": "here"}', "no IP address"),
    ('{"url": "http://x/", "entrypoint": "nowhere"}', "no entry point 'nowhere'"),
    ('{"url": "http://x/", "target": "/"}', "both"),
    ('{"target": "/", "host": 1}', "'host' must be"),
    ('{"target": "/", "tls": "yes"}', "'tls' must be"),
    ('{"target": "/\\ud800", "host": "x"}', "surrogate"),
    ("[" * 100_000, "not JSON"),
    ('{"url": "http://x/", "sni": 1}', "'sni' must be"),
)


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_a_line_that_is_no_request_says_so_and_the_others_are_answered(directory: Path, line: str, words: str) -> None:
    result = run(
        "--config",
        directory,
        "--requests",
        "-",
        lines=f'{{"url": "http://git.lab/"}}\n{line}\n\n{{"url": "http://git.lab/"}}',
    )
    first, wrong, last = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 1 and first == last and first["router"] == "gitea"
    assert wrong["line"] == 2 and words in wrong["error"] and "\n" not in wrong["error"]


def test_a_line_without_end_is_skipped_and_named(directory: Path) -> None:
    file = io.BytesIO(b'{"url": "http://x/' + b"a" * (3 << 20) + b'"}\n{"url": "http://x/"}')
    ground = explaining.of_directory(directory)
    wrong, fine = explaining.answers(file, ground)
    assert (wrong[0], wrong[1]["line"], fine[0]) == (False, 1, True)


def test_many_lines_are_answered_in_flat_memory(directory: Path) -> None:
    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self.left = 3000

        def readline(self, limit: int | None = -1, /) -> bytes:
            self.left -= 1
            return b'{"url": "http://h%d.lab/"}\n' % self.left if self.left >= 0 else b""

    ground = explaining.of_directory(directory)
    stream = explaining.answers(Endless(), ground)
    for _ in range(1000):
        next(stream)
    tracemalloc.start()
    try:
        remaining = sum(1 for _ in stream)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert remaining == 2000 and peak < 1 << 20


def test_entry_points_are_read_as_the_static_configuration_has_them(directory: Path) -> None:
    doors = "web=:80:redirect=websecure,websecure=[::]:8443:tls:middleware=secure:default,dns=:53/udp"
    options = ("--entrypoints", doors)
    found = answered(directory, {"url": "http://git.lab/"}, {"url": "https://git.lab:8443/"}, options=options)
    assert [one["router"] for one in found] == ["web-to-websecure@internal", "gitea"]
    assert found[1]["middlewares"] == ["secure", "auth"]


@pytest.mark.parametrize(
    "doors", ["web", "web=80", "web=:x", "web=:80:nothing", "web=:80,web=:81", ",", "=:80", "web=:99999"]
)
def test_entry_points_that_are_none_are_refused_in_words(directory: Path, doors: str) -> None:
    result = run("--config", directory, "GET", "http://x/", "--entrypoints", doors)
    assert result.exit_code == 1 and "entry point" in result.stderr + str(result.exception)


def test_an_older_traefik_is_asked_for_by_its_release(directory: Path) -> None:
    add(directory, "w", "Host(`*.wild.lab`)")
    question = {"url": "http://x.wild.lab/"}
    assert answered(directory, question)[0]["router"] == "w"
    assert answered(directory, question, options=("--release", "3.6"))[0]["router"] is None
    assert run("--config", directory, "GET", "http://x/", "--release", "2.11").exit_code == 1


def test_a_person_reads_who_won_who_lost_and_who_is_missing(directory: Path) -> None:
    assert "answers 404: no router matches" in run("--config", directory, "GET", "https://nobody.lab/").stdout
    add(directory, "all", "PathPrefix(`/`)", priority=1)
    told = run("--config", directory, "GET", "https://git.lab/admin").stdout
    assert "goes to router gitea, service gitea" in told and "through auth" in told
    assert "also matches: all (priority 1, set; lower than 15)" in told
    assert "admin would match and serves nothing: there is no middleware 'nope'" in told
    tie = run("--config", directory, "GET", "https://tie.lab/").stdout
    assert "chance decides at every reload" in tie and "priority of its own" in tie
    assert "version 2" in run("--config", directory, "GET", "https://old.lab/").stdout


def test_the_first_file_in_byte_order_wins_a_name(directory: Path) -> None:
    other = "http: {routers: {gitea: {rule: 'Host(`git.lab`)', service: noop@internal}}}"
    (directory / "A").mkdir()
    (directory / "A" / "z.yml").write_text(other)
    (directory / "c.yml").write_text(other)
    result = run("--config", directory, "GET", "http://git.lab/", "--json")
    assert json.loads(result.stdout)["service"] == "noop@internal"
    assert "read first" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.yml", "http: {routers: {}}", "refuses the whole directory"),
        ("x.yml", "http: {routers: {r: {rule: '{{ env `X` }}', service: s}}}", "Go templates"),
        ("x.toml", "nonsense", "refuses the whole directory"),
    ],
)
def test_a_directory_that_cannot_be_known_gives_no_answer(directory: Path, name: str, content: str, words: str) -> None:
    (directory / name).write_text(content)
    (found,) = answered(directory, {"url": "http://git.lab/"})
    assert found["router"] is None and words in found["unknown"] and name in found["unknown"]


def test_a_large_file_and_a_single_file_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "large.yml"
    path.write_text("#" + "x" * (2 << 20) + "\nhttp: {routers: {r: {rule: Path(`/`), service: noop@internal}}}")
    (found,) = answered(path, {"url": "http://h.lab/"})
    assert found["router"] == "r"


def test_wrong_use_is_explained(directory: Path) -> None:
    for arguments in (
        ("GET",),
        (),
        ("--requests", "-", "GET", "http://x/"),
        ("--entrypoints", "web=:80", "GET", "http://x/"),
        ("--config", directory, "--at", "1", "GET", "http://x/"),
    ):
        result = run(*arguments)
        assert result.exit_code != 0 and isinstance(result.exception, SystemExit)
    assert run("--config", directory, "--requests", directory / "missing.jsonl").exit_code == 1
    assert run("--config", directory, "GET", "nonsense").exit_code == 1
    assert run("--config", directory, "GET", "http://x/", "-H", "nonsense").exit_code == 1


# ── a running Traefik ──


def test_the_live_system_answers_as_it_serves(start_traefik: Callable[..., Any], until: Callable[..., None]) -> None:
    traefik = start_traefik(static={"entryPoints": {"websecure": {"http": {"tls": {}}}}})
    traefik.drop("b.yml", FILE)
    until(lambda: "gitea@file" in traefik.names("routers"), "the routers")
    with closing(TraefikApi(traefik.url)) as api:
        ground = explaining.of_api(api)
    asked = explaining.question("GET", f"http://git.lab:{traefik.ports['web']}/admin", (), "127.0.0.1", "")
    answer = ground.answer(asked)
    assert (answer.router, answer.entry_point, answer.middlewares) == ("gitea", "web", ("auth",))
    assert any("admin would match" in line for line in explaining.lines(ground, answer, asked))
    own = explaining.question("GET", f"http://x:{traefik.ports['traefik']}/api/version", (), "127.0.0.1", "")
    assert ground.answer(own).router == "api@internal"
    over_tls = explaining.question("GET", "https://git.lab/", (), "127.0.0.1", "websecure")
    assert ground.answer(over_tls).router == "gitea"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "home"
    dynamic = tmp_path / "watched"
    dynamic.mkdir()
    made = CliRunner().invoke(
        waypost, ["--home", str(place), "init", "--traefik-dir", str(dynamic), "--traefik-api", "http://127.0.0.1:9"]
    )
    assert made.exit_code == 0, made.output
    yield place


def test_a_revision_that_there_is_not_is_told(home: Path) -> None:
    for at in ("7", "9" * 5_000, "yesterday", "2001-01-01", ""):
        result = CliRunner().invoke(waypost, ["--home", str(home), "explain", "GET", "http://x/", "--at", at])
        assert result.exit_code == 1 and isinstance(result.exception, SystemExit), at
        assert "there is no revision 7" in result.stderr or "neither a revision" in result.stderr or at == "2001-01-01"
    result = CliRunner().invoke(waypost, ["--home", str(home), "explain", "GET", "http://x/"])
    assert result.exit_code == 1 and "does not answer" in result.stderr
