"""`waypost check` as a person calls it: against a real Traefik, and against what is none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reconciler import cli
from reconciler.audit import checking
from reconciler.core.target import TargetError

Start = Callable[..., Any]
Until = Callable[..., None]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.waypost, ["check", *arguments])


def found(traefik: Any, kind: str, *, dynamic: bool = True) -> dict[str, str]:
    report = checking.check(traefik.url, dynamic=traefik.directory if dynamic else None)
    return {one.subject: one.message for one in report.findings if one.kind == kind}


def route(name: str, rule: str, **spec: Any) -> str:
    whole = {"rule": rule, "service": "noop@internal", "entryPoints": ["web"], **spec}
    return json.dumps({"http": {"routers": {name: whole}}})


def listed(traefik: Any, name: str) -> Callable[[], bool]:
    return lambda: f"{name}@file" in traefik.names("routers")


# ── a real Traefik ──


def test_a_traefik_without_routes_has_nothing_but_notes(traefik: Any) -> None:
    result = run(traefik.url)
    assert result.exit_code == 0
    assert result.output.startswith("Traefik 3.") and "0 errors, 0 warnings" in result.output


def test_the_router_that_takes_the_requests_of_a_disabled_one_really_serves_them(traefik: Any, until: Until) -> None:
    reveal = {"who": {"headers": {"customResponseHeaders": {"X-Router": "broad"}}}}
    traefik.drop("who.yml", json.dumps({"http": {"middlewares": reveal}}))
    traefik.drop("broad.yml", route("broad", "Host(`f.test`)", middlewares=["who"]))
    traefik.drop("admin.yml", route("admin", "Host(`f.test`) && PathPrefix(`/admin`)", middlewares=["auht"]))
    until(lambda: traefik.get("f.test")[1] == "broad" and "admin@file" in traefik.names("routers"))
    result = run(traefik.url)
    assert result.exit_code == 2
    assert 'middleware "auht@file" does not exist' in result.output
    assert "`GET http://f.test/admin` falls through to broad, which asks for no authentication" in result.output
    assert traefik.get("f.test", "/admin/x") == (418, "broad")


def test_the_url_may_be_copied_from_the_dashboard(traefik: Any) -> None:
    assert checking.check(f"{traefik.url}/dashboard/#/http/routers").url == traefik.url


def test_json_holds_every_finding_with_the_same_five_fields(traefik: Any, until: Until) -> None:
    routers = {f"r{n}": {"rule": f"Host(`r{n}.test`)", "service": "noop@internal"} for n in range(20)}
    traefik.drop("many.yml", json.dumps({"http": {"routers": routers}}))
    until(listed(traefik, "r19"))
    told = json.loads(run(traefik.url, "--json").output)
    assert told["counts"]["warning"] == 20 and told["directory"] is None
    assert {frozenset(one) for one in told["findings"]} == {
        frozenset({"severity", "kind", "subject", "message", "suggestion"})
    }
    text = run(traefik.url).output
    assert "no-authentication: and 8 more (20 in all" in text


def test_authentication_at_an_entry_point_and_in_a_chain_is_seen(start_traefik: Start, until: Until) -> None:
    traefik = start_traefik(static={"entryPoints": {"websecure": {"http": {"middlewares": ["auth@file"]}}}})
    middlewares = {
        "auth": {"basicAuth": {"users": ["u:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]}},
        "outer": {"chain": {"middlewares": ["auth@file"]}},
    }
    common = {"service": "noop@internal"}
    routers = {
        "chained": {**common, "rule": "Host(`c.test`)", "entryPoints": ["web"], "middlewares": ["outer"]},
        "guarded": {**common, "rule": "Host(`g.test`)", "entryPoints": ["websecure"]},
        "both": {**common, "rule": "Host(`b.test`)", "entryPoints": ["web", "websecure"]},
    }
    traefik.drop("a.yml", json.dumps({"http": {"middlewares": middlewares, "routers": routers}}))
    until(listed(traefik, "both"))
    assert found(traefik, "no-authentication") == {
        "http.routers both@file": "Host(`b.test`) on web has no authentication middleware"
    }


def test_an_unknown_certificate_resolver_is_found_though_traefik_is_silent(traefik: Any, until: Until) -> None:
    traefik.drop("t.yml", route("t", "Host(`t.test`)", tls={"certResolver": "nope"}))
    until(listed(traefik, "t"))
    assert "certificate resolver nope" in found(traefik, "dangling", dynamic=False)["http.routers t@file"]


def test_passwords_that_traefik_repeats_in_its_errors_are_covered(traefik: Any, until: Until) -> None:
    middlewares = {"a": {"basicAuth": {"users": ["hunter2"]}}}
    router = {"rule": "Host(`p.test`)", "service": "noop@internal", "middlewares": ["a"]}
    traefik.drop("p.yml", json.dumps({"http": {"middlewares": middlewares, "routers": {"p": router}}}))
    until(listed(traefik, "p"))
    for result in (run(traefik.url), run(traefik.url, "--json")):
        assert "disabled-router" in result.output and "hunter2" not in result.output


# ── its directory ──


@pytest.fixture(params=["with a shadow", "without a shadow"])
def maybe_shadow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "without a shadow":
        monkeypatch.setenv("WAYPOST_TRAEFIK_BINARY", "no-such-program")
    return bool(request.param == "with a shadow")


def test_a_poison_file_is_named_with_what_a_restart_would_lose(traefik: Any, until: Until, maybe_shadow: bool) -> None:
    traefik.drop("good.yml", route("good", "Host(`g.test`)"))
    until(listed(traefik, "good"))
    traefik.drop("bad.yml", "http: {}\n")
    result = run(traefik.url, "--dynamic", str(traefik.directory))
    assert result.exit_code == 2
    assert "poison: bad.yml" in result.output and "restart-loss: http.routers good@file" in result.output
    assert ("there is no traefik program" in result.output) is not maybe_shadow


def test_a_name_in_two_files_is_won_by_the_file_that_traefik_serves(traefik: Any, until: Until) -> None:
    traefik.drop("b.yml", route("x", "Host(`b.test`)"))
    traefik.drop("Z.yml", route("x", "Host(`z.test`)"))
    until(lambda: traefik.get("z.test")[0] == 418)
    assert "Z.yml comes first" in found(traefik, "name-taken")["http.routers x"]
    assert traefik.get("b.test")[0] == 404


def test_a_change_in_a_folder_that_traefik_did_not_notice_is_found(
    start_traefik: Start, tmp_path: Path, maybe_shadow: bool, until: Until
) -> None:
    directory = tmp_path / "dynamic"
    (directory / "sub").mkdir(parents=True)
    file = directory / "sub" / "r.yml"
    file.write_text(route("r", "Host(`old.test`)"))
    traefik = start_traefik(directory=directory)
    until(lambda: traefik.get("old.test")[0] == 418)
    file.write_text(route("r", "Host(`new.test`)"))
    assert set(found(traefik, "unwatched")) == {"sub/"}
    assert "stands in sub/r.yml" in found(traefik, "not-loaded")["http.routers r"]
    assert traefik.get("old.test")[0] == 418


def test_a_router_whose_file_is_gone_would_be_lost_at_a_restart(
    start_traefik: Start, tmp_path: Path, traefik_binary: Path, until: Until
) -> None:
    directory = tmp_path / "dynamic"
    (directory / "sub").mkdir(parents=True)
    file = directory / "sub" / "r.yml"
    file.write_text(route("r", "Host(`old.test`)"))
    traefik = start_traefik(directory=directory)
    until(lambda: traefik.get("old.test")[0] == 418)
    file.unlink()
    assert set(found(traefik, "restart-loss")) == {"http.routers r@file"}


def test_templates_are_named_and_nothing_is_claimed_about_a_restart(traefik: Any, until: Until) -> None:
    traefik.drop("t.yml", route("t", "Host(`t.test`)") + '\n# {{ env "HOME" }}\n')
    until(listed(traefik, "t"))
    assert set(found(traefik, "template")) == {"t.yml"} and found(traefik, "not-checked")
    assert not found(traefik, "restart-loss")


def test_links_to_directories_and_to_files_elsewhere_are_named(traefik: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.yml").write_text("# nothing\n")
    (traefik.directory / "folder").symlink_to(elsewhere)
    (traefik.directory / "x.yml").symlink_to(elsewhere / "x.yml")
    assert set(found(traefik, "not-loaded")) == {"folder/"} and set(found(traefik, "unwatched")) == {"x.yml"}


def test_the_audit_changes_nothing_in_the_directory(traefik: Any) -> None:
    traefik.drop("sub/a.yml", "# nothing\n")
    before = {path: path.stat().st_mtime_ns for path in [traefik.directory, *traefik.directory.rglob("*")]}
    run(traefik.url, "--dynamic", str(traefik.directory))
    assert {path: path.stat().st_mtime_ns for path in [traefik.directory, *traefik.directory.rglob("*")]} == before


def test_a_directory_that_is_not_there_is_one_message(traefik: Any, tmp_path: Path) -> None:
    for place in (tmp_path / "absent", Path(traefik.home, "traefik.log")):
        result = run(traefik.url, "--dynamic", str(place))
        assert result.exit_code == 1 and str(place) in result.output and "--dynamic" in result.output


# ── what is no Traefik, or does not let us in ──


class _Answers(BaseHTTPRequestHandler):
    """A server that answers everything in the way that its path's first part says."""

    def do_GET(self) -> None:
        status, kind, body = self.server.answer(self)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Location", "http://elsewhere.test/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], tuple[int, str, bytes]]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
        server.answer = answer  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>welcome</html>", "not JSON"),
        (200, b"{}", "no Traefik API"),
        (401, b"", "--auth env:NAME"),
        (302, b"", "redirects to http://elsewhere.test/"),
        (404, b"", "no Traefik API, or the API is off"),
        (500, b"", "status 500"),
    ],
)
def test_what_is_no_traefik_is_one_clear_message(
    serve: Callable[..., str], status: int, body: bytes, words: str
) -> None:
    result = run(serve(lambda _: (status, "text/html", body)))
    assert result.exit_code == 1 and words in result.output
    assert "WAYPOST_" not in result.output and len(result.output.splitlines()) <= 2


@pytest.mark.parametrize(
    "url", ["", "nonsense", "localhost:8080", "ftp://h/", "http://", "http://[::1", "http://h:99999"]
)
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    result = run(url)
    assert result.exit_code == 1 and "waypost: check: URL is" in result.output


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    result = run("http://user:hunter2@127.0.0.1:1")
    assert result.exit_code == 1 and "hunter2" not in result.output


def test_a_refused_connection_is_one_clear_message() -> None:
    result = run("http://127.0.0.1:1")
    assert result.exit_code == 1 and "does not answer" in result.output and "WAYPOST_" not in result.output


def test_credentials_come_as_a_reference_and_reach_the_api(
    traefik: Any, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
        asked.append(request.headers.get("Authorization", ""))
        return 401, "text/plain", b""

    monkeypatch.setenv("TRAEFIK_LOGIN", "Bearer t0ken")
    result = run(serve(answer), "--auth", "env:TRAEFIK_LOGIN")
    assert result.exit_code == 1 and asked == ["Bearer t0ken"] and "t0ken" not in result.output
    assert "a secret is never written here" in run(traefik.url, "--auth", "user:pw").output
    assert "NO_SUCH_NAME, which is not set" in run(traefik.url, "--auth", "env:NO_SUCH_NAME").output


def test_https_needs_the_authority_and_works_with_it(
    start_traefik: Start, self_signed: Any, tmp_path: Path, until: Until
) -> None:
    traefik = start_traefik(certified=False)
    router = {"rule": "Host(`localhost`)", "service": "api@internal", "entryPoints": ["websecure"], "tls": {}}
    stores = {
        "default": {"defaultCertificate": {"certFile": str(self_signed.certificate), "keyFile": str(self_signed.key)}}
    }
    traefik.drop("api.yml", json.dumps({"http": {"routers": {"controls": router}}, "tls": {"stores": stores}}))
    until(listed(traefik, "controls"))
    url = f"https://localhost:{traefik.ports['websecure']}"
    refused = run(url)
    assert refused.exit_code == 1 and "--ca" in refused.output
    told = run(url, "--ca", str(self_signed.certificate))
    assert told.exit_code == 2 and "open-controls: http.routers controls@file" in told.output
    assert "cannot be read" in run(url, "--ca", str(tmp_path / "absent.pem")).output


def test_no_home_is_needed_and_none_is_made(traefik: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setenv("HOME", str(empty))
    assert run(traefik.url, "--dynamic", str(traefik.directory)).exit_code == 0
    assert not list(empty.iterdir())


def test_a_traefik_that_goes_away_during_the_audit_is_an_error(serve: Callable[..., str]) -> None:
    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
        known = request.path == "/api/version"
        return (200, "application/json", b'{"Version": "3.7.15"}') if known else (502, "text/plain", b"")

    with pytest.raises(TargetError, match="status 502"):
        checking.check(serve(answer))
