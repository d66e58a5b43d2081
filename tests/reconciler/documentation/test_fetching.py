"""Fetching goes to official sources at public addresses and nowhere else, and takes no more than it can bear."""

from __future__ import annotations

import datetime
import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reconciler.documentation import fetching, sources
from reconciler.documentation.fetching import Failed, Fetched, Fetcher, Gone, Reach, Refused, Unchanged, Validators
from reconciler.documentation.sources import OFFICIAL, Source
from reconciler.ports import SystemClock

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"


def source(base: str) -> Source:
    return Source(system="lab", bases=(base,), homes=(base,), indexes=(), releases="")


@contextmanager
def saying(
    answer: bytes | Callable[[str], bytes], context: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[str]]]:
    """A server that says this to everybody; its port, and the requests that reached it."""
    listening, heard = socket.create_server(("127.0.0.1", 0)), list[str]()

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            try:
                connection = context.wrap_socket(plain, server_side=True) if context else plain
                with connection:
                    request = connection.recv(64_000).decode("latin-1")
                    heard.append(request)
                    connection.sendall(answer if isinstance(answer, bytes) else answer(request.split(" ")[1]))
            except OSError:
                plain.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def fetch(answer: bytes | Callable[[str], bytes], path: str = "page/", **bounds: object) -> object:
    """What comes of fetching from a server that answers so."""
    with saying(answer) as (port, _):
        base = f"http://docs.lab:{port}/lab/"
        reach = replace(
            Reach(sources=(source(base),), resolve=lambda host, port: ["127.0.0.1"], permitted=lambda _: True), **bounds
        )
        return Fetcher(reach, SystemClock()).fetch(base + path)


PRIVATE = (
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:a9fe:a9fe::", "2001:db8::1", "2001:0:7f00:1::", "2130706433", "0x7f.1", "localhost", "",
)  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_this_machine_this_house_or_its_metadata_is_not_public(address: str) -> None:
    assert not fetching.public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "185.199.108.133", "2606:4700::1111", "64:ff9b::101:101"])
def test_an_address_of_the_world_is_public(address: str) -> None:
    assert fetching.public(address)


@pytest.mark.parametrize("found", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["::ffff:10.0.0.1"], []])
def test_an_official_name_that_resolves_to_a_private_address_is_not_connected_to(found: list[str]) -> None:
    with saying(OK + b"\r\n") as (_, heard):
        reach = Reach(resolve=lambda host, port: found)
        outcome = Fetcher(reach, SystemClock()).fetch("https://doc.traefik.io/traefik/")
        assert isinstance(outcome, Refused) and "not public" in outcome.reason
        assert heard == []


UNOFFICIAL = (
    "https://example.com/", "http://doc.traefik.io/traefik/", "https://doc.traefik.io/", "https://doc.traefik.io/other/",
    "https://doc.traefik.io:8443/traefik/", "https://doc.traefik.io@example.com/traefik/",
    "https://doc.traefik.io.example.com/traefik/", "https://doc.traefik.io/traefik/../../x", "file:///etc/passwd",
    "https://doc.traefik.io/traefik/%2e%2e/x", "https://doc.traefik.io/traefik/\\..\\x", "https://169.254.169.254/traefik/",
    "https://raw.githubusercontent.com/somebody/else/", "https://doc.traefik.io/traefik/?u=1", "gopher://doc.traefik.io/traefik/",
    "https://version-x.goauthentik.io/", "https://version-1.evil.goauthentik.io/", "https://DOC.traefik.io/traefik/",
    "", "https://doc.traefik.io/traefik/\r\nHost: x", "//doc.traefik.io/traefik/", "https://[::1/traefik/",
)  # fmt: skip


@pytest.mark.parametrize("address", UNOFFICIAL)
def test_what_is_no_official_source_is_neither_resolved_nor_asked(address: str) -> None:
    def never(host: str, port: int) -> list[str]:
        raise AssertionError(f"{host} was resolved")

    assert sources.source_of(address, OFFICIAL) is None
    assert isinstance(Fetcher(Reach(resolve=never), SystemClock()).fetch(address), Refused)


@pytest.mark.parametrize(
    "address", ["https://doc.traefik.io/traefik/v3.7/routing/", "https://version-2026-8.goauthentik.io/llms.txt"]
)
def test_what_is_official_is_known_as_such(address: str) -> None:
    assert sources.source_of(address, OFFICIAL) is not None


@pytest.mark.parametrize("one", OFFICIAL, ids=lambda one: one.system)
def test_every_source_points_to_release_notes_of_the_same_people(one: Source) -> None:
    """On their own site, or on GitHub under the name under which their sources are fetched from there."""
    assert one.releases.startswith("https://") and sources.fault(one.releases) == ""
    host, owner = sources.host_and_port(one.releases)[0], one.releases.split("/")[3]
    theirs = [base for base in one.bases if base.startswith(f"https://raw.githubusercontent.com/{owner}/")]
    assert one.publishes(one.releases) or (host == "github.com" and theirs and one.releases.endswith("/releases"))


def test_the_connection_goes_to_the_address_that_was_checked_whatever_the_name_says_later() -> None:
    answers = iter([["127.0.0.1"], ["192.0.2.1"]])
    with saying(OK + b"\r\nhello") as (port, heard):
        base = f"http://docs.lab:{port}/lab/"
        reach = Reach(sources=(source(base),), resolve=lambda host, port: next(answers), permitted=lambda _: True)
        outcome = Fetcher(reach, SystemClock()).fetch(base)
    assert isinstance(outcome, Fetched) and outcome.content == b"hello"
    assert f"Host: docs.lab:{port}\r\n" in heard[0]


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "https://example.com/", ""]
)
def test_a_redirect_that_leads_out_of_the_sources_is_not_followed(to: str) -> None:
    outcome = fetch(f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())
    assert isinstance(outcome, Refused)


def test_a_redirect_to_a_name_that_is_private_is_not_followed() -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    outcome = fetch(
        b"HTTP/1.1 302 Found\r\nLocation: other/\r\nContent-Length: 0\r\n\r\n",
        resolve=resolve,
        permitted=lambda address: address == "127.0.0.1",
    )
    assert isinstance(outcome, Refused) and len(asked) == 2


def test_a_redirect_inside_the_source_is_followed_and_the_last_place_is_told() -> None:
    def answer(path: str) -> bytes:
        moved = b"HTTP/1.1 301 Moved\r\nLocation: /lab/new/#part\r\nContent-Length: 0\r\n\r\n"
        return moved if path == "/lab/page/" else OK + b'ETag: W/"7"\r\n\r\n<p>here</p>'

    outcome = fetch(answer)
    assert isinstance(outcome, Fetched)
    assert (outcome.address.rpartition(":")[2].partition("/")[2], outcome.etag) == ("lab/new/", 'W/"7"')


ODD = {
    "an endless road": (b"HTTP/1.1 302 Found\r\nLocation: page/\r\nContent-Length: 0\r\n\r\n", Refused),
    "not found": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Gone),
    "a server in trouble": (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Failed),
    "no kind": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Refused),
    "a program": (b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\nMZ", Refused),
    "another packing": (OK + b"Content-Encoding: br\r\n\r\nx", Failed),
    "no packing at all": (OK + b"Content-Encoding: gzip\r\n\r\nplain", Failed),
    "a packing cut off": (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 999)[:-9], Failed),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", Failed),
    "nothing": (b"", Failed),
    "less than it said": (OK + b"Content-Length: 999\r\n\r\nx", Failed),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_an_answer_that_is_no_documentation_is_told_in_words(what: str) -> None:
    answer, kind = ODD[what]
    assert isinstance(fetch(answer), kind)


def test_a_few_bytes_that_unpack_to_very_many_are_not_unpacked_whole() -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    outcome = fetch(OK + b"Content-Encoding: gzip\r\n\r\n" + bomb, largest=1 << 20)
    assert isinstance(outcome, Failed) and "more than 1 MiB" in outcome.reason


def test_a_page_that_is_too_large_is_not_read_to_its_end() -> None:
    assert isinstance(fetch(OK + b"\r\n" + b"x" * 5000, largest=4096), Failed)


def test_of_several_addresses_one_that_takes_no_connection_is_passed_over() -> None:
    outcome = fetch(OK + b"\r\nhello", resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    assert isinstance(outcome, Fetched)


def test_packed_pages_are_unpacked() -> None:
    outcome = fetch(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"<p>hi</p>"))
    assert isinstance(outcome, Fetched) and outcome.content == b"<p>hi</p>"


def test_a_resolver_or_a_server_that_never_ends_is_left_behind() -> None:
    free = threading.Event()

    def stuck(host: str, port: int) -> list[str]:
        free.wait(30)
        return []

    outcome = fetch(OK, resolve=stuck, seconds=0.1)
    free.set()
    assert isinstance(outcome, Failed) and "did not answer within" in outcome.reason


def test_what_did_not_change_is_asked_for_with_its_validators() -> None:
    with saying(b"HTTP/1.1 304 Not Modified\r\n\r\n") as (port, heard):
        base = f"http://docs.lab:{port}/lab/"
        reach = Reach(sources=(source(base),), resolve=lambda host, port: ["127.0.0.1"], permitted=lambda _: True)
        for known, line in (
            (Validators(etag='"7"'), 'If-None-Match: "7"'),
            (Validators(last_modified="Tue, 03 Nov 2026"), "If-Modified-Since: Tue, 03 Nov 2026"),
        ):
            assert Fetcher(reach, SystemClock()).fetch(base, known) == Unchanged(base)
            assert line in heard[-1]


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A house's own authority: its certificate, and a server's context for docs.lab that it signed."""
    directory, key = tmp_path_factory.mktemp("authority"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "docs.lab")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("docs.lab")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "ca.pem", directory / "key.pem")
    return directory / "ca.pem", context


@pytest.mark.parametrize(("host", "trusted", "kind"), [
    ("docs.lab", True, Fetched), ("docs.lab", False, Failed), ("other.lab", True, Failed),
])  # fmt: skip
def test_the_name_is_what_a_certificate_must_be_for_and_the_house_may_add_an_authority(
    host: str, trusted: bool, kind: type, authority: tuple[Path, ssl.SSLContext]
) -> None:
    ca_file, context = authority
    with saying(OK + b"\r\nhello", context) as (port, _):
        base = f"https://{host}:{port}/lab/"
        reach = Reach(sources=(source(base),), resolve=lambda host, port: ["127.0.0.1"], permitted=lambda _: True)
        outcome = Fetcher(reach, SystemClock(), ca_file if trusted else None).fetch(base)
    assert isinstance(outcome, kind), outcome


def test_the_default_reach_is_the_strict_one() -> None:
    reach = Reach()
    assert (reach.sources, reach.permitted, reach.resolve) == (OFFICIAL, fetching.public, fetching.resolve)
    assert all(base.startswith("https://") for one in OFFICIAL for base in (*one.bases, *one.homes))
