"""A whole small town: a Traefik with a neighbour's provider, certificates of its own, a reconciler, and a gateway."""

from __future__ import annotations

import contextlib
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from reconciler import app, founding, home, web
from reconciler.serve import Reconciler
from reconciler.world import World
from tests import plain_http
from tests.conftest import RunningTraefik, wait_until
from tests.ports import free_ports
from tests.shards.serving import Waypost, gateway_over, served
from tests.stories.conftest import House

DAY = timedelta(days=1)


@dataclass
class Authority:
    """A certificate authority of the town's own; `file` is what its people trust."""

    place: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Town CA")])
        limits = x509.BasicConstraints(ca=True, path_length=None)
        made = self._made(self.name, self.key, datetime.now(UTC) + 30 * DAY).add_extension(limits, critical=True)
        self.file.write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))

    @property
    def file(self) -> Path:
        return self.place / "town.pem"

    def issue(
        self, *hosts: str, until: timedelta = 90 * DAY, names: x509.ExtensionType | None = None
    ) -> dict[str, str]:
        """A certificate for these hosts and its key, as Traefik wants them in `tls.certificates`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        names = names or x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        made = self._made(name, key, datetime.now(UTC) + until).add_extension(names, critical=False)
        certificate, private = self.place / f"{hosts[0]}.pem", self.place / f"{hosts[0]}.key"
        certificate.write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return {"certFile": str(certificate), "keyFile": str(private)}

    def _made(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, end: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(subject_name=name, issuer_name=self.name, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - 10 * DAY)
            .not_valid_after(end)
        )


class Serving(http.server.ThreadingHTTPServer):
    """Answers every request with what `answer` says: a status and a body."""

    def __init__(self, answer: Any) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else body)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@dataclass
class Town:
    """Everything runs; a test changes something and asks the gateway."""

    house: House
    waypost: Waypost
    reconciler: Reconciler
    authority: Authority
    told: dict[str, Any]  # what the neighbour's provider gives to Traefik
    application: Serving

    client: httpx2.Client

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The result of a tool, over a connection that stays: a town is asked often, and clients cost much to make."""
        question = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
        answer = self.client.post(f"{self.waypost.url}/mcp", json=question, headers=headers)
        lines = [line.removeprefix("data:") for line in answer.text.splitlines() if line.startswith(("data:", "{"))]
        return dict(json.loads(lines[-1])["result"])

    def ask(self, tool: str, **arguments: Any) -> Any:
        """The answer of a call that must succeed."""
        result = self.call(tool, **arguments)
        assert not result.get("isError"), result
        return result["structuredContent"]

    def refusal(self, tool: str, **arguments: Any) -> Any:
        """The refusal of a call that must not succeed."""
        result = self.call(tool, **arguments)
        assert result["isError"], result
        return result["structuredContent"]

    def want(self, files: dict[str, Any]) -> None:
        """A person commits these files to main, and a pass brings them."""
        self.house.push(files)
        outcome = self.reconciler.pass_now()
        assert outcome.state in ("applied", "nothing", "drift"), outcome.said

    def approve(self, proposal: str) -> None:
        """A person takes a proposal over to main with git and agrees to what its plan shows; a pass brings it."""
        self.ask("traefik_plan_changes", proposal=proposal)  # so the reconciler has fetched it
        self.house.git("fetch", "--quiet", "origin", f"proposals/{proposal}")
        self.house.git("rebase", "--quiet", "origin/main", "FETCH_HEAD")
        self.house.git("push", "--quiet", "origin", "HEAD:main")
        self.house.git("checkout", "--quiet", "-B", "main", "origin/main")
        with self.house.session() as person:
            person.consent(person.plan().plan)
        outcome = self.reconciler.pass_now()
        assert outcome.state == "applied", outcome.said

    def neighbour(self, **sections: Any) -> None:
        """The neighbour's provider gives this instead, and Traefik has taken it: routers of other names tell."""
        self.told.update(http=sections, tcp=None, udp=None)
        names = {f"{name}@http" for name in sections.get("routers", {})}
        wait_until(lambda: names == {one for one in self.house.traefik.names("routers") if one.endswith("@http")})


@contextlib.contextmanager
def living(directory: Path, binary: Path, **static: Any) -> Iterator[Town]:
    """The town, for as long as this lasts."""
    authority = Authority(directory)
    told: dict[str, Any] = {"http": {}}
    with (
        Serving(lambda path: (404 if path == "/missing" else 200, b"hello")) as application,
        Serving(
            lambda path: (200, json.dumps({part: given or None for part, given in told.items()}).encode())
        ) as given,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(application.shutdown)
        stack.callback(given.shutdown)
        traefik = _traefik(directory, binary, given.url, static)
        stack.callback(traefik.stop)
        house = _house(directory, traefik)
        world = stack.enter_context(app.locked(house.home))
        assert isinstance(world, World)
        reconciler = Reconciler(house.home, world)
        assert reconciler.pass_now().state == "applied"
        url = stack.enter_context(served(web.build(reconciler, ["127.0.0.1"])))
        house.home = home.open(house.home.path, {"WAYPOST_RECONCILER_LISTEN": url.removeprefix("http://")})
        repo: Any = SimpleNamespace(path=house.home.desired_store_path)
        waypost = stack.enter_context(
            gateway_over(repo, house.home.gateway_path, reconciler_url=url, ca_file=authority.file, answer_within=30.0)
        )
        client = stack.enter_context(plain_http.Client(timeout=60))
        yield Town(house, waypost, reconciler, authority, told, application, client)


def _traefik(directory: Path, binary: Path, endpoint: str, more: dict[str, Any]) -> RunningTraefik:
    place = directory / "traefik"
    watched = place / "dynamic"
    watched.mkdir(parents=True)
    ports = dict(zip(("web", "websecure", "traefik", "names"), free_ports(4), strict=True))
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {
            name: {"address": f"127.0.0.1:{port}{'/udp' if name == 'names' else ''}"} for name, port in ports.items()
        },
        "api": {"insecure": True},
        "providers": {
            "providersThrottleDuration": "100ms",
            "file": {"directory": str(watched), "watch": True},
            "http": {"endpoint": endpoint, "pollInterval": "100ms"},
        },
        "log": {"level": "INFO", "format": "json", "filePath": str(place / "traefik.log")},
        **more,
    }
    traefik = RunningTraefik(binary=binary, directory=watched, home=place, ports=ports, static=static)
    traefik.start()
    wait_until(traefik.up, "Traefik")
    return traefik


def _house(directory: Path, traefik: RunningTraefik) -> House:
    chosen = {
        "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik.directory),
        "WAYPOST_TRAEFIK_API_URL": traefik.url,
        "WAYPOST_TRAEFIK_DEADLINE": "10s",
    }
    made = founding.create(directory / "home", chosen=chosen, environ={}, now=lambda: datetime.now(UTC))
    house = House(home.open(made.path, {}), traefik, directory / "clone", wait_until)
    subprocess.run(["git", "clone", "--quiet", str(made.desired_source), str(house.clone)], check=True)
    return house
