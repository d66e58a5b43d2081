"""Canaries in every store, used for everything they are for, against peers that say back what they were told.

Then all that was written is searched: the home with every Git object in it, what was printed, every answer.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest

from reconciler import alerts, app, config, daily, founding, tokens
from reconciler import home as homes
from reconciler.alerting.heartbeat import Heartbeat
from reconciler.cli import main
from reconciler.core.target import TargetError
from reconciler.git.starter import plant
from reconciler.git.store import Store
from reconciler.gitea.webhook import Delivery
from reconciler.ports import Disk
from reconciler.serve import Reconciler
from reconciler.setting import ConfigError
from reconciler.world import World
from shards.oauth import METADATA
from tests import plain_http
from tests.reconciler.secret_stores.vault import FakeVault, serving
from tests.stories.written import written_below

CANARY = "cAnArY"
SHAPES = [CANARY, base64.b64encode(CANARY.encode()).decode().rstrip("="), CANARY.encode().hex()]
SOPS = f"""#!{sys.executable}
import sys
print("decrypting {CANARY}", file=sys.stderr)
if "gone" in sys.argv[3]:
    print("{CANARY}"); sys.exit(1)
print("{CANARY}-sops")
"""


TABLE = """\
[lab]
kind = "authentik"
url = "{url}"
token = "file:{stores}/kept"
read_token = "file:{stores}/LAB_ID"
"""


READ = ("GITEA", "KOMODO_SECRET", "AUTHENTIK", "LAB_ID", "DOZZLE")
"""What the gateway looks with, beside the key of Komodo, which stands in its environment."""

ODD = (f"{CANARY}é", f"{CANARY}\nX-Evil: {CANARY}", f"\x00{CANARY}", f"ada:{CANARY}:@\t{CANARY}")
"""Secrets that no header can carry, and that libraries quote when they say so."""

DESIRED = {
    "waypost.yaml": b"version: 1\ntargets:\n  lab: {kind: authentik, directory: lab}\n",
    "traefik/small.yaml": b"http: {middlewares: {small: {compress: {}}}}\n",
    "komodo/media/stack.toml": b'[[stack]]\nname = "media"\n[stack.config]\nserver = "nas"\n',
    "komodo/media/compose.yaml": b"services:\n  web: {image: jellyfin}\n",
    "authentik/news.yaml": b"version: 1\nmetadata: {name: news}\nentries: []\n",
    "lab/news.yaml": b"version: 1\nmetadata: {name: news}\nentries: []\n",
}


@dataclass
class Echo:
    """A peer that refuses everything and repeats what it was told, as some do in their error pages."""

    url: str = ""
    heard: list[str] = field(default_factory=list)


@pytest.fixture
def echo() -> Iterator[Echo]:
    told = Echo()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
            told.heard.append(f"{self.path} {dict(self.headers)} {body}")
            said = json.dumps({"message": f"no: {dict(self.headers)} {self.path} {body} {CANARY}"}).encode()
            self.send_response(401, f"no {CANARY}")
            self.send_header("WWW-Authenticate", f'Basic realm="{CANARY}"')
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _any

        def log_message(self, format: str, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture
def place(tmp_path: Path, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that keeps nothing but references, to canaries in every store there is."""
    (stores := tmp_path / "stores").mkdir()
    (stores / "sops").write_text(SOPS)
    (stores / "sops").chmod(0o755)
    (stores / "kept.yaml").write_text("a: ENC[AES256_GCM,data:w==,type:str]\n")
    (stores / "kept").write_text(f"{CANARY}-file\n")
    (stores / "vault").write_text(f"{CANARY}-vault-token")
    monkeypatch.setenv("PATH", f"{stores}:/usr/bin:/bin")
    monkeypatch.setenv("LAB_ALERT", f"{echo.url.replace('http', 'json')}/{CANARY}?+X-Key={CANARY}")
    monkeypatch.setenv("LAB_HOOK", f"{CANARY}-env")
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    (tmp_path / "dynamic").mkdir()
    token = f"{CANARY}-vault-token"
    with serving(
        FakeVault({"house/waypost": {"beat": f"{echo.url}/{CANARY}-beat", "pair": f"ada:{CANARY}"}}, token)
    ) as v:
        chosen = {
            "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(tmp_path / "dynamic"),
            "WAYPOST_TRAEFIK_API_URL": echo.url,
            "WAYPOST_TRAEFIK_API_AUTH": "vault:house/waypost#pair",
            "WAYPOST_VAULT_URL": v.url,
            "WAYPOST_VAULT_TOKEN": f"file:{stores}/vault",
            "WAYPOST_ALERT_URLS": "phone=env:LAB_ALERT",
            "WAYPOST_ALERTMANAGER_URL": echo.url,
            "WAYPOST_ALERTMANAGER_AUTH": "vault:house/waypost#pair",
            "WAYPOST_HEARTBEAT_URL": "vault:house/waypost#beat",
            "WAYPOST_WEBHOOK_SECRETS": f"env:LAB_HOOK file:{stores}/kept sops:{stores}/kept.yaml#a",
            "WAYPOST_GITEA_URL": echo.url,
            "WAYPOST_GITEA_TOKEN": f"file:{stores}/kept",
            "WAYPOST_DESIRED_REPO": f"{echo.url}/house/desired.git",
            "WAYPOST_GIT_TOKEN": f"sops:{stores}/kept.yaml#a",
            "WAYPOST_GITEA_READ_TOKEN": f"file:{stores}/GITEA",
            "WAYPOST_KOMODO_URL": echo.url,
            "WAYPOST_KOMODO_KEY": f"sops:{stores}/kept.yaml#a",
            "WAYPOST_KOMODO_SECRET": f"file:{stores}/kept",
            "WAYPOST_KOMODO_READ_KEY": "env:LAB_KOMODO_KEY",
            "WAYPOST_KOMODO_READ_SECRET": f"file:{stores}/KOMODO_SECRET",
            "WAYPOST_AUTHENTIK_URL": echo.url,
            "WAYPOST_AUTHENTIK_TOKEN": f"file:{stores}/kept",
            "WAYPOST_AUTHENTIK_READ_TOKEN": f"file:{stores}/AUTHENTIK",
            "WAYPOST_AUTHENTIK_CONTEXT": f"mail=file:{stores}/kept",
            "WAYPOST_DOZZLE_URL": echo.url,
            "WAYPOST_DOZZLE_AUTH": f"file:{stores}/DOZZLE",
            "WAYPOST_OAUTH_ISSUER": f"{echo.url}/application/o/waypost/",
        }
        for name in READ:
            (stores / name).write_text(f"ada:{CANARY}-{name}" if name == "DOZZLE" else f"{CANARY}-{name}")
        monkeypatch.setenv("LAB_KOMODO_KEY", f"{CANARY}-KOMODO_KEY")
        founding.create(tmp_path / "home", chosen=chosen, environ={}, now=lambda: datetime.now(UTC))
        (tmp_path / "home" / "targets.toml").write_text(TABLE.format(url=echo.url, stores=stores))
        store = Store.create(tmp_path / "home" / "mirror.git")  # what was fetched while the peer still let us
        plant(store, DESIRED, branch="main", subject="first", at=datetime.now(UTC))
        yield tmp_path / "home"


def told(place: Path, *arguments: str) -> str:
    """What a command prints and complains of."""
    written, complained = io.BytesIO(), io.StringIO()
    said = io.TextIOWrapper(written, "utf-8")
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained), contextlib.suppress(SystemExit):
        main(["--home", str(place), *arguments])
    said.flush()
    return f"{arguments}\n{written.getvalue().decode()}\n{complained.getvalue()}"


def test_nothing_that_is_written_or_said_holds_a_secret(
    place: Path, echo: Echo, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    answers = [told(place, "reconcile", "--once")]
    home, complaints = homes.open(place), list[str]()
    with app.locked(home) as world:
        assert isinstance(world, World)
        reconciler = Reconciler(home, world)
        answers += [
            str(reconciler.pass_now()),
            str(reconciler.hooked(Delivery(body=b"{}", signature="00"))),
            repr(home.settings),
            repr(world),
        ]
        daily.look(home, world, lambda instance: reconciler.encryption(instance))
        receivers = app.sender(home)
        alerts.announce(world, receivers)
        complaints += receivers.complaints()
        heartbeat = Heartbeat(home.settings.heartbeat_url, None, complaints.append)
        heartbeat.after("nothing")
        heartbeat.stop()
        answers += [json.dumps(reconciler.status()), json.dumps(reconciler.history("", 500))]
        answers += [reconciler.metrics().decode(errors="replace"), json.dumps(reconciler.plan_ref(""))]
        answers += [answer_of(reconciler, name) for name in world.targets]
    for command in (["doctor", "--json"], ["plan"], ["history", "--json"], ["log", "export"], ["proposals", "--json"]):
        answers.append(told(place, *command))
    # Every one of them was really used, or this would show nothing.
    heard = "\n".join(echo.heard)
    pair = base64.b64encode(f"ada:{CANARY}".encode()).decode()
    komodo, authentik = f"'X-Api-Key': '{CANARY}-sops', 'X-Api-Secret': '{CANARY}-file'", f"Bearer {CANARY}-file"
    gitea, alert = f"token {CANARY}-file", f"'X-Key': '{CANARY}'"
    for use in (alert, f"/{CANARY}-beat", gitea, komodo, authentik, "/api/v2/alerts", f"Basic {pair}"):
        assert use.lower() in heard.lower(), (use, heard[:5000])
    assert any("takes no messages" in one for one in complaints) and any("heartbeat" in one for one in complaints)
    captured = capfd.readouterr()
    search("\n".join([*answers, *complaints, captured.out, captured.err, caplog.text]), place)


def answer_of(reconciler: Reconciler, instance: str) -> str:
    """What is said about a target, or about why it cannot be looked at."""
    try:
        return json.dumps(reconciler.live(instance))
    except TargetError as fault:
        return f"{fault} {fault.__cause__}"


@pytest.fixture
def gateway(place: Path, free_port: Callable[[], int], tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A gateway of that home as a process of its own, with the secrets in its environment: address, what it prints."""
    url, said = f"http://127.0.0.1:{free_port()}", tmp_path / "printed"
    environment = {**os.environ, "WAYPOST_LISTEN": url.removeprefix("http://")}
    with said.open("wb") as stream:
        command = [sys.executable, "-m", "shards", "--home", str(place)]
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        try:
            deadline = time.monotonic() + 60
            while b"gateway listens" not in said.read_bytes() and time.monotonic() < deadline:
                assert process.poll() is None, said.read_text()
                time.sleep(0.02)
            yield url, said
        finally:
            process.terminate()
            process.wait(20)


CALLS: dict[str, dict[str, Any]] = {
    "komodo_list_stacks": {},
    "komodo_get_stack": {"stack": "media"},
    "komodo_get_stack_log": {"stack": "media"},
    "komodo_recent_updates": {"stack": "media"},
    "authentik_list_applications": {"instance": "lab"},
    "authentik_get_blueprint": {"name": "news"},
    "gitea_list_repositories": {},
    "gitea_list_pull_requests": {},
    "gitea_list_webhooks": {},
    "gitea_list_deployments": {},
    "dozzle_list_containers": {},
    "dozzle_tail_logs": {"container": "media"},
    "dozzle_search_logs": {"container": "media", "text": "x"},
    "dozzle_get_container_stats": {"container": "media"},
    "traefik_diagnose": {"what": "media.lab", "status": 502},
    "traefik_list_routes": {},
    "gateway_status": {},
    "komodo_restart_stack": {"stack": "media", "reason": "stuck"},
    "authentik_create_application": {
        "slug": "wiki",
        "title": "Wiki",
        "external_host": "https://wiki.lab",
        "reason": "people write",
    },
}


def test_no_answer_page_or_line_of_a_running_gateway_holds_a_secret(
    place: Path, echo: Echo, gateway: tuple[str, Path]
) -> None:
    url, printed = gateway
    bearer = {"Authorization": f"Bearer {a_token(place)}", "Accept": "application/json, text/event-stream"}
    with plain_http.Client(timeout=60) as http:
        calls = [call(tool, arguments) for tool, arguments in CALLS.items()]
        answers = [http.post(f"{url}/mcp", json=one, headers=bearer).text for one in calls]
        for secret in ODD:
            for name in READ:
                (place.parent / "stores" / name).write_text(secret)
            answers += [http.post(f"{url}/mcp", json=one, headers=bearer).text for one in calls]
        assert not [one for one in answers if '"forbidden"' in one or "bad-arguments" in one or "There is no" in one]
        for nobodys in (f"waypost_0123456789ab_{CANARY}", f"{CANARY}.{CANARY}.{CANARY}", signed_by_nobody()):
            shown = http.post(f"{url}/mcp", json={}, headers={**bearer, "Authorization": f"Bearer {nobodys}"})
            assert shown.status_code in (401, 503)
            answers.append(f"{shown.text} {shown.headers}")
        answers += [http.get(f"{url}{page}").text for page in ("/health", "/metrics", METADATA, "/mcp", "/nowhere")]
    # Every one of them was really used, or this would show nothing.
    heard = "\n".join(echo.heard)
    for name in ("KOMODO_KEY", *READ):
        assert f"{CANARY}-{name}" in heard, (name, heard[:5000])
    assert "openid-configuration" in heard
    search("\n".join([*answers, printed.read_text()]), place)


def search(spoken: str, place: Path) -> None:
    """There is no secret in what was said, nor in what was written."""
    for shape in SHAPES:
        assert shape not in spoken, spoken[max(0, spoken.find(shape) - 500) :][:700]
        for name, data in written_below(place):
            assert shape.encode() not in data, (name, data[max(0, data.find(shape.encode()) - 300) :][:500])


def call(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def a_token(place: Path) -> str:
    token, raw = tokens.mint("claude", "propose", now=datetime.now(UTC), lasts=None, chance=os.urandom)
    tokens.Keyring(place / "tokens.json", Disk()).change(lambda known: [*known, token])
    return raw


def signed_by_nobody() -> str:
    """An access token whose every claim is a canary, by a key that no issuer has."""
    claims = {"iss": CANARY, "sub": CANARY, "aud": CANARY, "scope": CANARY, "exp": 4102444800}
    return jwt.encode(claims, CANARY * 8, algorithm="HS256", headers={"kid": CANARY})


@pytest.mark.parametrize("reference", ["sops:{}/kept.yaml#gone", "vault:house/none#x", "file:{}/gone", "env:LAB_GONE"])
def test_an_error_about_a_secret_names_its_place_and_nothing_of_it(place: Path, reference: str) -> None:
    lines = (place / "waypost.env").read_text().splitlines()
    there = reference.format(place.parent / "stores")
    changed = [f"WAYPOST_GITEA_TOKEN={there}" if one.startswith("WAYPOST_GITEA_TOKEN") else one for one in lines]
    (place / "waypost.env").write_text("\n".join(changed))
    settings: Any = config.load({"PATH": str(place.parent / "stores")}, place)
    with pytest.raises(ConfigError) as fault:
        settings.gitea_token.reveal()
    assert CANARY not in f"{fault.value}{fault.value.__cause__}" and "WAYPOST_GITEA_TOKEN" in str(fault.value)
    assert CANARY not in told(place, "doctor", "--json")
