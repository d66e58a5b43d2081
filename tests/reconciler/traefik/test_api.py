"""The API client: Traefik's answers become values, anything else becomes one plain sentence."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.traefik import api as api_module
from reconciler.traefik.api import ApiError, EntryPoint, TraefikApi
from tests import dripping

Make = Callable[..., TraefikApi]


class _Server(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, bytes, dict[str, str]]]] = {}
    asked: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        status, body, headers = self.answers.get(self.path, self.answers.get("*", (404, b"{}", {})))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def answer() -> Iterator[Callable[..., None]]:
    """`answer(path, body, status=200, headers)`: what the server says; "*" stands for every other path."""
    _Server.answers, _Server.asked = {}, []

    def say(path: str, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        whole = body if isinstance(body, bytes) else json.dumps(body).encode()
        _Server.answers[path] = (status, whole, headers or {})

    yield say


@pytest.fixture
def connect(address: str) -> Iterator[Make]:
    made: list[TraefikApi] = []

    def make(url: str = "", **more: Any) -> TraefikApi:
        made.append(TraefikApi(url or address, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_real_traefik_says_what_it_is_and_has(traefik: Any, connect: Make) -> None:
    api = connect(traefik.url)
    assert api.version().version[0].isdigit() and api.version().started
    assert {"web", "websecure", "traefik"} == {door.name for door in api.entry_points()}
    assert "File" in api.overview()["providers"]
    assert api.rawdata().of("http.services")["noop@internal"].status == "enabled"
    assert api.middleware("nowhere@file") is None
    assert [one["sans"] for one in api.certificates()] == [["localhost"]]
    dump = api.support_dump()
    assert dump is not None and dump["providers"]["file"]["directory"] == str(traefik.directory)


def test_a_real_traefiks_lists_come_whole_over_all_pages(
    traefik: Any, connect: Make, until: Callable[..., None]
) -> None:
    routers = {f"r{n}": {"rule": f"Host(`{n}.test`)", "service": "noop@internal"} for n in range(1_050)}
    traefik.drop("many.yml", json.dumps({"http": {"routers": routers}}))
    api = connect(traefik.url)
    until(lambda: len(api.routers()) >= 1_050, "the routers")
    names = [router["name"] for router in api.routers()]
    assert len(names) == len(set(names))
    assert {f"{name}@file" for name in routers} <= set(names)
    assert api.services("udp") == [] and len(api.middlewares()) >= 1


def test_a_name_with_awkward_characters_is_asked_for_whole(
    traefik: Any, connect: Make, until: Callable[..., None]
) -> None:
    name = "a b/ü%?#"
    document = {"http": {"middlewares": {name: {"compress": {"minResponseBodyBytes": 1}}}}}
    traefik.drop("odd.yml", json.dumps(document))
    api = connect(traefik.url)
    until(lambda: f"{name}@file" in api.rawdata().of("http.middlewares"), "the middleware")
    found = api.middleware(f"{name}@file")
    assert found is not None and found["name"] == f"{name}@file"


@pytest.mark.parametrize("suffix", ["", "/", "/api", "/api/", "/dashboard/"])
def test_an_address_may_end_as_people_copy_it(
    connect: Make, answer: Callable[..., None], address: str, suffix: str
) -> None:
    answer("/api/version", {"Version": "3.7.15", "startDate": "now"})
    assert connect(address + suffix).version().version == "3.7.15"


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://", "/api"])
def test_what_is_no_address_is_named(url: str) -> None:
    with pytest.raises(ApiError, match="is not the address") as caught:
        TraefikApi(url)
    assert "WAYPOST_TRAEFIK_API_URL" in caught.value.remedy and not caught.value.retry


@pytest.mark.parametrize(
    ("auth", "header"), [("user:pass", "Basic dXNlcjpwYXNz"), ("Bearer x", "Bearer x"), ("", None)]
)
def test_credentials_are_sent_as_they_were_meant(
    connect: Make, answer: Callable[..., None], auth: str, header: str | None
) -> None:
    answer("/api/version", {"Version": "3"})
    connect(auth=auth).version()
    assert _Server.asked[-1][1].get("Authorization") == header


def test_credentials_that_were_rotated_are_asked_for_with_every_request(
    connect: Make, answer: Callable[..., None]
) -> None:
    answer("/api/version", {"Version": "3"})
    api, told = connect(auth=iter(("Bearer a", "Bearer b")).__next__), []
    for _ in range(2):
        api.version()
        told.append(_Server.asked[-1][1].get("Authorization"))
    assert told == ["Bearer a", "Bearer b"]


CALLS: dict[str, Callable[[TraefikApi], Any]] = {
    "version": TraefikApi.version,
    "overview": TraefikApi.overview,
    "entry points": TraefikApi.entry_points,
    "rawdata": TraefikApi.rawdata,
    "routers": TraefikApi.routers,
    "services": TraefikApi.services,
    "middlewares": TraefikApi.middlewares,
    "middleware": lambda api: api.middleware("x@file"),
    "certificates": TraefikApi.certificates,
    "support dump": TraefikApi.support_dump,
}
NONSENSE = {
    "a login page": b"<html>log in</html>",
    "a number": b"7",
    "nothing": b"",
    "broken JSON": b'{"a":',
    "no UTF-8": b"\xff\xfe",
    "a list of numbers": b"[1, 2]",
    "routers that are none": b'{"routers": [1], "name": 7}',
}


@pytest.mark.parametrize("what", NONSENSE)
@pytest.mark.parametrize("call", CALLS)
def test_nonsense_is_an_error_or_harmless_and_never_a_crash(
    connect: Make, answer: Callable[..., None], call: str, what: str
) -> None:
    answer("*", NONSENSE[what])
    try:
        CALLS[call](connect())
    except ApiError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
    else:
        assert (call, what) == ("overview", "routers that are none")  # an object, shown as it is


@pytest.mark.parametrize("status", [301, 302, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("call", ["version", "rawdata", "entry points", "routers"])
def test_a_refusal_says_what_to_do(connect: Make, answer: Callable[..., None], call: str, status: int) -> None:
    answer("*", b"{}", status, {"Location": "http://elsewhere.test/"})
    with pytest.raises(ApiError) as caught:
        CALLS[call](connect())
    assert caught.value.remedy or str(status) in str(caught.value)


def test_a_redirect_is_not_followed(connect: Make, answer: Callable[..., None], address: str) -> None:
    answer("/api/version", b"", 302, {"Location": f"{address}/elsewhere"})
    answer("/elsewhere", {"Version": "3"})
    with pytest.raises(ApiError, match="does not follow"):
        connect().version()
    assert [path for path, _ in _Server.asked] == ["/api/version"]


def test_an_answer_that_came_before_is_not_read_again(connect: Make, answer: Callable[..., None]) -> None:
    api = connect()
    answer("/api/rawdata", {"routers": {"a@file": {"status": "enabled"}}})
    before = api.rawdata()
    assert api.rawdata() is before
    answer("/api/rawdata", {"routers": {"a@file": {"status": "disabled"}}})
    assert api.rawdata().of("http.routers")["a@file"].status == "disabled"


def test_a_huge_answer_is_cut_off(connect: Make, answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "_MOST_BYTES", 1024 * 1024)
    answer("/api/rawdata", b" " * (1024 * 1024 + 1))
    with pytest.raises(ApiError, match="more than 1 MiB"):
        connect().rawdata()


def test_an_answer_that_unpacks_without_end_is_cut_off(
    connect: Make, answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "_MOST_BYTES", 1024 * 1024)
    answer("/api/rawdata", gzip.compress(b" " * 50_000_000), 200, {"Content-Encoding": "gzip"})
    with pytest.raises(ApiError, match="more than 1 MiB"):
        connect().rawdata()


@pytest.mark.parametrize("begin", dripping.PARTS.values(), ids=dripping.PARTS)
def test_an_answer_that_drips_is_left_when_its_time_is_over(
    connect: Make, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(api_module, "_PATIENCE", 0.1)
    with dripping.dripping(begin) as peer, pytest.raises(ApiError, match="/api/version answers too slowly") as caught:
        connect(peer.url).version()
    assert (caught.value.retry, peer.outlasted) == (True, 0)


def test_pages_that_never_end_are_given_up(connect: Make, answer: Callable[..., None]) -> None:
    answer("*", b"[]", 200, {"X-Next-Page": "2"})  # page 2 says that page 2 follows
    assert connect().routers() == []
    answer("*", b"[]", 200, {"X-Next-Page": "9" * 5_000})
    with pytest.raises(ApiError, match="never comes to a last page"):
        connect().routers()


def test_nobody_there_is_said_with_what_to_do(connect: Make) -> None:
    with pytest.raises(ApiError, match="does not answer") as caught:
        connect("http://127.0.0.1:9").version()
    assert caught.value.retry and "WAYPOST_TRAEFIK_API_URL" in caught.value.remedy


class _HangingUp(BaseHTTPRequestHandler):
    """Answers once on each connection, and closes it when it is asked again; not even once while it is `gone`."""

    protocol_version = "HTTP/1.1"
    gone: ClassVar[bool] = False
    connections: ClassVar[int] = 0

    def setup(self) -> None:
        super().setup()
        type(self).connections += 1
        self.answered = False

    def do_GET(self) -> None:
        self.close_connection = self.answered or self.gone
        if self.close_connection:
            return
        body = b'{"Version": "3.7.15"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.answered = True

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def hanging_up() -> Iterator[str]:
    _HangingUp.gone, _HangingUp.connections = False, 0
    with ThreadingHTTPServer(("127.0.0.1", 0), _HangingUp) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_kept_connection_that_is_closed_at_a_question_is_no_outage(connect: Make, hanging_up: str) -> None:
    api = connect(hanging_up)
    assert [api.version().version for _ in range(3)] == ["3.7.15"] * 3
    assert _HangingUp.connections == 3, "each of them was closed at its second question"


def test_who_hangs_up_again_at_once_is_not_asked_a_third_time(connect: Make, hanging_up: str) -> None:
    _HangingUp.gone = True
    with pytest.raises(ApiError, match="does not answer"):
        connect(hanging_up).version()
    assert _HangingUp.connections == 2


def test_a_missing_authorities_file_is_named(tmp_path: Any) -> None:
    with pytest.raises(ApiError, match="cannot be read"):
        TraefikApi("https://127.0.0.1:9", ca_file=str(tmp_path / "missing.pem"))


def an_archive(name: str, content: bytes) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return whole.getvalue()


def test_a_support_dump_is_read_from_its_archive(connect: Make, answer: Callable[..., None]) -> None:
    answer("/api/support-dump", an_archive("static-config.json", b'{"certificatesResolvers": {"le": {}}}'))
    assert connect().support_dump() == {"certificatesResolvers": {"le": {}}}
    answer("/api/support-dump", an_archive("other.json", b"{}"))
    with pytest.raises(ApiError, match="static-config"):
        connect().support_dump()
    answer("/api/support-dump", an_archive("static-config.json", b"{}")[:40])
    with pytest.raises(ApiError):
        connect().support_dump()


def test_an_older_traefik_without_dump_and_certificates_is_fine(connect: Make, answer: Callable[..., None]) -> None:
    answer("*", b"404 page not found", 404)
    assert connect().support_dump() is None
    assert connect().certificates() == []


def test_an_entry_point_with_options_of_its_own_renames_routers() -> None:
    assert EntryPoint(name="a", http={"tls": {}}).renames
    assert EntryPoint(name="a", http={"middlewares": ["m@file"]}).renames
    assert not EntryPoint(name="a", http={"sanitizePath": True}).renames
    assert EntryPoint(name="d", address="xxxx:53/udp").udp


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_an_item_or_an_error(value: Any) -> None:
    try:
        items = api_module._items(value, "routers")
    except ApiError:
        return
    assert all(isinstance(error, str) for item in items.values() for error in item.errors)
