"""compose.yaml keeps to the compose specification, each service to its rights, and nobody reaches more than it must.

The schema is the specification's own, as check-jsonschema brings it along; no engine is asked.
"""

from __future__ import annotations

import contextlib
import copy
import http.client
import http.server
import re
import ssl
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
import re2
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from reconciler import config
from reconciler.founding import starter_files
from shards.containers import Wanted
from shards.docker_engine import Engine
from tests.conftest import wait_until
from tests.dozzle.containers_told import Box, Containers, house
from tests.ports import free_ports

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SCHEMA = get_builtin_schema("vendor.compose-spec")
SPECIFICATION = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
DOCKERFILE = (ROOT / "Dockerfile").read_text()

OURS = ["reconciler", "gateway"]
EVERY = list(COMPOSE["services"])
PROFILES = {
    "traefik": {"traefik"},
    "demo-traefik": {"traefik", "whoami"},
    "gitea": {"gitea", "reads"},
    "dozzle": {"dozzle", "dozzle-docker"},
    "loki": {"alloy", "alloy-docker"},
    "reads": {"reads"},
    "komodo": {"komodo", "komodo-database", "komodo-periphery", "reads"},
    "authentik": {"authentik", "authentik-worker", "authentik-database", "reads"},
}

AS_ROOT = {"komodo-periphery": "it deploys through the Engine's socket, which is root by another name"}
UNCHECKED = {"whoami": "there is nothing in its image that could ask it"}
WRITABLE = ["gitea", "komodo", "komodo-periphery", "authentik", "authentik-worker"]
"""Whose interface changes something."""


def service(name):
    return COMPOSE["services"][name]


def mounts(name):
    """target -> (source, writable)"""
    found = {}
    for mount in service(name).get("volumes", []):
        if isinstance(mount, str):
            source, target, *options = mount.split(":")
            found[target] = (source, "ro" not in options)
        else:
            found[mount["target"]] = (mount["source"], not mount.get("read_only", False))
    return found


def faults(compose):
    """What the specification's own schema, and what it says beside it in prose, has against a compose file."""
    return [error.message for error in SPECIFICATION.iter_errors(compose)] + list(beside_the_schema(compose))


def beside_the_schema(compose):
    """Text that the schema takes as any text."""
    if not re.fullmatch("[a-z0-9][a-z0-9_-]*", compose.get("name", "waypost")):
        yield "the name of the project"
    for name, content in compose.get("services", {}).items():
        if not re.fullmatch(r"no|always|unless-stopped|on-failure(:\d+)?", content.get("restart", "no")):
            yield f"restart of {name}"
        lengths = {
            key: content.get("healthcheck", {}).get(key, "1s") for key in ("interval", "timeout", "start_period")
        }
        yield from (
            f"{key} of {name}" for key, text in lengths.items() if not re.fullmatch(r"(\d+(us|ms|s|m|h))+", text)
        )


def test_it_keeps_to_the_specification():
    assert faults(COMPOSE) == []


BREAKS = {
    "a part that there is not": lambda compose: compose.update(service={}),
    "a service without its name": lambda compose: compose["services"].update({"a b": {}}),
    "a key that no service has": lambda compose: compose["services"]["gateway"].update(imag="waypost"),
    "waiting for nothing certain": lambda compose: compose["services"]["gateway"].update(depends_on={"reconciler": {}}),
    "a mount of no type": lambda compose: compose["services"]["gateway"]["volumes"].append({"target": "/x"}),
    "the same right dropped twice": lambda compose: compose["services"]["gateway"].update(cap_drop=["ALL", "ALL"]),
    "a list for a switch": lambda compose: compose["services"]["gateway"].update(read_only=[]),
    "a network with a key of its own": lambda compose: compose["networks"].update(inside={"inner": True}),
    "a restart that there is not": lambda compose: compose["services"]["gateway"].update(restart="sometimes"),
    "a time that is none": lambda compose: compose["services"]["gateway"]["healthcheck"].update(interval="soon"),
    "a project with a space": lambda compose: compose.update(name="way post"),
}


@pytest.mark.parametrize("spoil", BREAKS.values(), ids=BREAKS)
def test_a_broken_copy_is_refused(spoil):
    compose = copy.deepcopy(COMPOSE)
    assert faults(compose) == []
    spoil(compose)
    assert faults(compose)


def test_every_volume_network_and_service_that_is_used_is_declared():
    for name, content in COMPOSE["services"].items():
        assert set(content.get("networks", [])) <= set(COMPOSE["networks"]), name
        assert set(content.get("depends_on", {})) <= set(COMPOSE["services"]), name
        sources = [source for source, _ in mounts(name).values()]
        assert all(source in COMPOSE["volumes"] or source.startswith(("$", "/", "./")) for source in sources), name


SECRETS, SOCKET = "${WAYPOST_SECRETS:-./secrets}", "${WAYPOST_DOCKER_SOCKET:-/var/run/docker.sock}"
KOMODO_ROOT = "${WAYPOST_KOMODO_ROOT:-/var/lib/waypost-komodo}"
HELD = {
    "home": {("reconciler", True), ("gateway", False)},
    "gateway": {("reconciler", True), ("gateway", True)},
    "${WAYPOST_TRAEFIK_DYNAMIC_DIR:?set it to the directory that your Traefik watches}": {
        ("reconciler", True), ("traefik", False),
    },
    f"{SECRETS}/reconciler": {("reconciler", False)},
    f"{SECRETS}/gateway": {("gateway", False)},
    f"{SECRETS}/reading": {("reconciler", False), ("gateway", False)},
    f"{SECRETS}/authentik-database": {(name, False) for name in EVERY if name.startswith("authentik")},
    f"{SECRETS}/authentik-key": {("authentik", False), ("authentik-worker", False)},
    f"{SECRETS}/dozzle-users.yml": {("dozzle", False)},
    f"{SECRETS}/komodo-database": {("komodo", False), ("komodo-database", False)},
    f"{SECRETS}/komodo-jwt": {("komodo", False)},
    f"{SECRETS}/komodo-webhook": {("komodo", False)},
    f"{SECRETS}/komodo-core.key": {("komodo", False)},
    f"{SECRETS}/komodo-periphery.pub": {("komodo", False)},
    f"{SECRETS}/komodo-periphery.key": {("komodo-periphery", False)},
    f"{SECRETS}/komodo-core.pub": {("komodo-periphery", False)},
    SOCKET: {("docker", False), ("dozzle-docker", False), ("alloy-docker", False), ("komodo-periphery", True)},
    KOMODO_ROOT: {("komodo-periphery", True)},
    "gitea-data": {("gitea", True)},
    "gitea-config": {("gitea", True)},
    "alloy-data": {("alloy", True)},
    "komodo-data": {("komodo-database", True)},
    "komodo-config": {("komodo-database", True)},
    "authentik-data": {("authentik", True), ("authentik-worker", True)},
    "authentik-database": {("authentik-database", True)},
    "./monitoring/loki.alloy": {("alloy", False)},
    "./docker/reads.yaml": {("reads", False)},
    "${WAYPOST_READS_CA:-/dev/null}": {("reads", False)},
}  # fmt: skip
"""Everything that lasts, or lies outside of the containers: who gets it, and whether it may be written to there."""


SHORT = re.compile(r"((?:\$\{[^}]*\}|[^:$])+):((?:\$\{[^}]*\}|[^:$])+)(?::(\w+))?")
"""SOURCE:TARGET:OPTION; the default of a variable begins with a colon as well."""


def held(compose):
    """The same of a compose file, by whatever name it hands something on."""
    found = {}
    for name, content in compose["services"].items():
        for source, may_write in handed_on(compose, content):
            found.setdefault(source, set()).add((name, may_write))
    return found


def handed_on(compose, content):
    """(source, writable), once for each mount."""
    for mount in content.get("volumes", []):
        if isinstance(mount, str):
            source, _, option = SHORT.fullmatch(mount).groups()
            yield source, option != "ro"
        else:
            yield mount.get("source", ""), not mount.get("read_only", False)
    for kind in ("secrets", "configs"):
        for one in content.get(kind, []):
            yield compose[kind][one if isinstance(one, str) else one["source"]]["file"], False


def test_every_mount_is_one_that_was_thought_of():
    assert held(COMPOSE) == HELD
    assert not [name for name in EVERY if {"volumes_from", "extends", "env_file", "develop"} & set(service(name))]
    assert not any(COMPOSE["volumes"].values())  # a volume with options may be any directory of the machine


MORE_MOUNTS = {
    "the socket for the gateway": ("gateway", "volumes", f"{SOCKET}:/var/run/docker.sock:ro"),
    "the machine for Dozzle": ("dozzle", "volumes", "/:/host:ro"),
    "the home for Alloy": ("alloy", "volumes", {"type": "volume", "source": "home", "target": "/home"}),
    "a volume of no name": ("whoami", "volumes", {"type": "volume", "target": "/data"}),
    "the home once more, to write to": ("gateway", "volumes", "home:/elsewhere"),
    "a key of another's": ("gitea", "secrets", "komodo-core.key"),
    "a file of another's": ("gitea", "configs", {"source": "reads", "target": "/x"}),
}


@pytest.mark.parametrize(("name", "kind", "mount"), MORE_MOUNTS.values(), ids=MORE_MOUNTS)
def test_a_mount_that_somebody_adds_is_seen(name, kind, mount):
    compose = copy.deepcopy(COMPOSE)
    compose["services"][name].setdefault(kind, []).append(mount)
    assert held(compose) != HELD


def test_what_is_waited_for_can_become_healthy():
    for content in COMPOSE["services"].values():
        for other, how in content.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or service(other)["healthcheck"]["test"]


def test_variables_are_written_so_that_compose_understands_them():
    text = "\n".join(line for line in (ROOT / "compose.yaml").read_text().splitlines() if "#" not in line)
    assert text.count("$") == len(re.findall(r"\$\{[A-Z_]+(:[-?+][^}]*)?\}", text))


@pytest.mark.parametrize("name", EVERY)
def test_no_container_has_more_rights_than_it_needs(name):
    content = service(name)
    assert content["read_only"] is True
    assert content["cap_drop"] == ["ALL"]
    assert content["security_opt"] == ["no-new-privileges:true"]
    account = content["user"].split(":")[0]
    assert (int(account) == 0) == (name in AS_ROOT)
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "userns_mode"} & set(content)


@pytest.mark.parametrize("name", EVERY)
def test_no_container_can_take_the_whole_machine(name):
    content = service(name)
    assert re.fullmatch(r"[0-9]+[mg]", content["mem_limit"])
    assert content["cpus"] <= 1  # an Engine refuses more than there are
    assert content["pids_limit"] <= 256
    assert all("size=" in one for one in content.get("tmpfs", []))


@pytest.mark.parametrize("name", EVERY)
def test_every_service_is_asked_how_it_is(name):
    assert ("healthcheck" in service(name)) == (name not in UNCHECKED)


@pytest.mark.parametrize("name", EVERY)
def test_every_image_is_ours_or_of_one_version(name):
    assert service(name)["image"] == "waypost" or re.search(r":v?\d[\w.-]*$", service(name)["image"])


# ── beside what a homelab already runs ───────────────────────────────────────────────────────────

USUAL = {
    80, 443, 3000, 3001, 5000, 5432, 6379, 8000, 8006, 8080, 8081, 8088, 8096, 8123, 8443, 9000, 9090, 9093, 9100,
    9120, 9443, 27017, 32400,
}  # fmt: skip
"""Ports on which something of a homelab may well listen already."""

TAKEN_ALL_THE_SAME = {"gateway": 9100}
"""The one door that may collide, with Prometheus's node exporter: it is the port that every client is shown in README,
in containers and without. Where it is taken Docker says so at the first start, and README says what moves it."""


@pytest.mark.parametrize("name", EVERY)
def test_doors_to_the_outside_are_on_loopback_and_can_be_moved(name):
    for port in service(name).get("ports", []):
        host, default, _ = re.fullmatch(r"(127\.0\.0\.1):\$\{WAYPOST_[A-Z_]+_PORT:-(\d+)\}:(\d+)", port).groups()
        assert int(default) not in USUAL - {TAKEN_ALL_THE_SAME.get(name)}, port


def test_the_door_that_may_be_taken_is_the_one_that_clients_are_shown_and_readers_are_told_how_to_move_it():
    assert {name: number for name, number in TAKEN_ALL_THE_SAME.items() if number in USUAL} == {"gateway": 9100}
    assert service("gateway")["ports"] == ["127.0.0.1:${WAYPOST_GATEWAY_PORT:-9100}:9100"]
    readme = (ROOT / "README.md").read_text()
    assert "http://127.0.0.1:9100/mcp" in readme
    assert re.search(r"9100 on loopback, which Prometheus's node exporter.*`WAYPOST_GATEWAY_PORT` moves it", readme)


def test_no_two_doors_are_one():
    doors = [port for name in EVERY for port in service(name).get("ports", [])]
    assert len({re.search(r":-(\d+)", door)[1] for door in doors}) == len({*doors}) == len(doors)


def test_names_are_the_projects_own():
    assert not [
        name for name in EVERY if {"container_name", "hostname", "external_links", "links"} & set(service(name))
    ]
    for kind in ("networks", "volumes"):
        assert not [one for one in COMPOSE[kind].values() if {"name", "external"} & set(one)]


def test_what_is_not_asked_for_does_not_run():
    assert [name for name in EVERY if not service(name).get("profiles")] == ["reconciler", "gateway", "docker"]
    brought = {
        profile: {name for name in EVERY if profile in service(name).get("profiles", [])} for profile in PROFILES
    }
    assert brought == PROFILES
    assert {one for name in EVERY for one in service(name).get("profiles", [])} == set(PROFILES)


def test_a_service_waits_only_for_what_its_profiles_bring():
    for name in EVERY:
        for other in service(name).get("depends_on", {}):
            there = service(other).get("profiles")
            assert not there or set(service(name)["profiles"]) <= set(there), (name, other)


def test_a_profile_that_is_off_asks_for_nothing():
    required = re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "compose.yaml").read_text())
    assert set(required) == {
        "WAYPOST_TRAEFIK_DYNAMIC_DIR"
    }  # Compose fills in every service, also of a profile that is off


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────

TELLING = re.compile("PASS|SECRET|TOKEN|KEY|_DOZZLE_AUTH$|LOGIN")


@pytest.mark.parametrize("name", EVERY)
def test_no_secret_stands_in_an_environment(name):
    for key, value in service(name).get("environment", {}).items():
        if TELLING.search(key) and "TTL" not in key:
            reference = key.endswith("_FILE") or str(value).startswith("file:") or value == f"${{{key}:-}}"
            assert reference, key
    assert "env_file" not in service(name)


def test_every_secret_is_a_file_that_somebody_uses():
    used = {
        one if isinstance(one, str) else one["source"] for name in EVERY for one in service(name).get("secrets", [])
    }
    assert used == set(COMPOSE["secrets"])
    assert all(one["file"].startswith("${WAYPOST_SECRETS:-./secrets}/") for one in COMPOSE["secrets"].values())
    for name in EVERY:
        named = re.findall("/run/secrets/([a-z.-]+)", str(service(name).get("environment", {})))
        assert set(named) <= {one for one in service(name).get("secrets", []) if isinstance(one, str)}, name


def test_each_process_has_secrets_of_its_own_and_cannot_change_them():
    places = {name: mounts(name)["/run/secrets"] for name in OURS}
    assert places == {name: (f"${{WAYPOST_SECRETS:-./secrets}}/{name}", False) for name in OURS}


def test_what_only_reads_is_known_to_both_and_what_writes_to_the_reconciler_alone():
    shared = {target: source for target, (source, may) in mounts("gateway").items() if target.startswith("/run/")}
    assert set(shared.values()) == {f"${{WAYPOST_SECRETS:-./secrets}}/{one}" for one in ("gateway", "reading")}
    assert mounts("gateway")["/run/reading"] == mounts("reconciler")["/run/reading"]
    reading = {key for key in service("gateway")["environment"] if "_READ_" in key and TELLING.search(key)}
    assert reading == {key for key in service("reconciler")["environment"] if "_READ_" in key and TELLING.search(key)}
    assert reading == {declared.name for declared in config.SETTINGS if "_READ_" in declared.name} - {
        "WAYPOST_READ_ONLY"
    }


# ── the Engine's socket ──────────────────────────────────────────────────────────────────────────


def test_the_socket_is_in_the_proxies_for_reading_and_in_what_deploys():
    holding = {name: mounts(name)["/var/run/docker.sock"] for name in EVERY if "docker.sock" in str(service(name))}
    socket = "${WAYPOST_DOCKER_SOCKET:-/var/run/docker.sock}"
    looking = dict.fromkeys(("docker", "dozzle-docker", "alloy-docker"), (socket, False))
    assert holding == {**looking, "komodo-periphery": (socket, True)}
    assert not set(OURS) & set(holding)


def rules(name):
    """Method -> patterns, as the proxy reads them from its command: nothing is allowed that no rule names."""
    found = {}
    for argument in service(name)["command"]:
        if match := re.fullmatch(r"-allow([A-Z]+)=(.*)", argument):
            found.setdefault(match[1], []).append(match[2])
    return found


def lets_through(name, method, path):
    """As the proxy does it: a regular expression of Go's, put between ^ and $ as it stands, over the path alone."""
    return any(re2.compile(f"^{pattern}$").search(path) for pattern in rules(name).get(method, ()))


ID = "4f66ad9a0b2e"
LOOKING = ["/version", "/containers/json", f"/containers/{ID}/logs", "/containers/house-gitea-1/stats"]
FORBIDDEN = [
    *(("GET", path) for path in (
        "/", "/info", "/events", "/system/df", "/images/json", "/networks", "/volumes", "/secrets", "/configs",
        "/swarm",
        "/services", "/tasks", "/plugins", "/session", "/grpc", "/exec/1/json",
        f"/containers/{ID}/json", f"/containers/{ID}/archive", f"/containers/{ID}/export", f"/containers/{ID}/top",
        f"/containers/{ID}/changes", f"/containers/{ID}/attach/ws", f"/containers/{ID}/logs/",
        f"/containers/{ID}/logsx",
        f"/containers/{ID}/../{ID}/json", f"/containers/{ID}/archive/logs", "/containers/../info/logs/stats",
        f"/containers/{ID}/logs\n/archive", "/containers//logs", "/containers/./logs/json", "/containers/.hidden/logs",
        "/images/x/get", "//containers/json", "/v1.44/../containers/json", "/v1./containers/json", "/v2.44/version",
        "/v1.44/v1.44/version", "/V1.44/version", "/containers/json/x", "/x/containers/json", "/version/x", "/_ping",
    )),
    *((method, path) for method in ("POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE", "OPTIONS", "UPGRADE")
      for path in (*LOOKING, f"/containers/{ID}/start", f"/containers/{ID}/exec", "/containers/create", "/build",
                   "/images/create", f"/containers/{ID}", "/auth", "/session", "/commit", "/_ping")),
    *(("HEAD", path) for path in (f"/containers/{ID}/archive", "/containers/json", "/version", "/v1.44/_ping")),
]  # fmt: skip


@pytest.mark.parametrize("path", [*LOOKING, *(f"/v1.51{path}" for path in LOOKING)])
def test_the_proxy_lets_through_what_the_shard_asks(path):
    assert lets_through("docker", "GET", path)


def test_everything_that_the_shard_really_asks_gets_through():
    with house() as told:
        told.containers.boxes = [Box("gitea")]
        engine = Engine(told.docker)
        [gitea] = engine.containers()
        wanted = Wanted(most=10, since=datetime(2026, 1, 1, tzinfo=UTC))
        engine.read(gitea, wanted)
        engine.read(gitea, replace(wanted, text="x"))
        engine.usage(gitea)
        engine.close()
        asked = [one.split()[1].partition("?")[0] for one in told.containers.asked]
    assert len(asked) == 5
    assert all(lets_through("docker", "GET", path) for path in asked)


@pytest.mark.parametrize(("method", "path"), FORBIDDEN)
def test_the_proxy_lets_nothing_else_through(method, path):
    assert not lets_through("docker", method, path)


@pytest.mark.parametrize(("name", "wider"), [
    ("dozzle-docker", {"/info", "/events", "/_ping", f"/containers/{ID}/json"}),
    ("alloy-docker", {"/networks", "/_ping", f"/containers/{ID}/json"}),
])  # fmt: skip
def test_the_proxies_of_others_let_only_reads_through_as_well(name, wider):
    assert set(rules(name)) == {"GET", "HEAD"}
    more = {("HEAD", "/v1.44/_ping"), *(("GET", path) for path in wider)}
    for method, path in FORBIDDEN:
        assert lets_through(name, method, path) == ((method, path) in more), (method, path)
    assert lets_through(name, "GET", "/v1.51/containers/json") and lets_through(name, "GET", f"/containers/{ID}/logs")


@pytest.mark.parametrize(
    ("name", "clients"), [("docker", "gateway,reconciler"), ("dozzle-docker", "dozzle"), ("alloy-docker", "alloy")]
)
def test_a_proxy_answers_only_to_those_it_is_for(name, clients):
    assert f"-allowfrom={clients}" in service(name)["command"]
    [network] = service(name)["networks"]
    assert {one for one in EVERY if network in service(one)["networks"]} == {name, *clients.split(",")}
    assert COMPOSE["networks"][network] == {"internal": True}
    assert "ports" not in service(name)


def test_dozzle_shows_and_does_nothing():
    told = service("dozzle")["environment"]
    assert (told["DOZZLE_ENABLE_ACTIONS"], told["DOZZLE_ENABLE_SHELL"]) == ("false", "false")
    assert told["DOZZLE_AUTH_PROVIDER"] == "simple"


def test_the_dozzle_that_is_brought_is_the_one_that_the_tests_speak():
    assert service("dozzle")["image"].rpartition(":")[2] == Containers().version


def test_whoever_brings_logs_to_loki_asks_a_door_that_there_is_and_gets_the_example_that_is_shipped():
    assert COMPOSE["configs"]["alloy"]["file"] == "./monitoring/loki.alloy"
    example = (ROOT / "monitoring" / "loki.alloy").read_text()
    asked = set(re.findall(r'host +?= "tcp://([\w-]+):(\d+)"', example))
    assert asked == {("alloy-docker", "2375")} == {(name, "2375") for name in neighbours("alloy")}
    assert set(re.findall(r'sys\.env\("(\w+)"\)', example)) == set(service("alloy")["environment"])
    assert {"gateway", "reconciler"} <= set(re.search(r'regex +?= "([\w|]+)"', example)[1].split("|"))


# ── who reaches whom ─────────────────────────────────────────────────────────────────────────────


def neighbours(name):
    """Everybody who shares a network with it."""
    return {
        other for other in EVERY if other != name and set(service(name)["networks"]) & set(service(other)["networks"])
    }


@pytest.mark.parametrize("name", WRITABLE)
def test_of_ours_only_the_reconciler_reaches_what_writes(name):
    assert neighbours(name) & set(OURS) == ({"reconciler"} if name != "komodo-periphery" else set())


@pytest.mark.parametrize("name", WRITABLE)
def test_what_writes_is_reached_by_its_own_parts_the_way_in_and_the_way_to_read(name):
    own = {other for other in EVERY if other.split("-")[0] == name.split("-")[0]}
    assert neighbours(name) <= own | {"reconciler", "traefik", "reads"}


@pytest.mark.parametrize(("name", "users"), [
    ("komodo-database", {"komodo"}), ("authentik-database", {"authentik", "authentik-worker"}),
    ("komodo-periphery", {"komodo"}),
])  # fmt: skip
def test_a_database_and_what_deploys_are_reached_by_those_they_belong_to(name, users):
    assert neighbours(name) == users
    assert "ports" not in service(name)


def test_the_gateway_reaches_the_reconciler_what_visitors_see_and_what_only_reads():
    assert neighbours("gateway") == {"reconciler", "traefik", "whoami", "docker", "dozzle", "reads"}


def test_every_service_says_on_which_networks_it_is():
    assert all(service(name)["networks"] for name in EVERY)


class Behind(http.server.ThreadingHTTPServer):
    """Whatever gets through to what also writes; over TLS where there is a certificate."""

    def __init__(self, signed=None):
        reached = self.reached = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def _any(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reached.append((self.headers["Host"], f"{self.command} {self.path}"))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _any

            def log_message(self, *_): ...

        super().__init__(("127.0.0.1", 0), Handler)
        if signed:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(signed.certificate, signed.key)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


def filled(text, chosen):
    """What Compose makes of a value, where a person chose these variables."""

    def fill(found):
        name, how, other = found.groups()
        return other if (how == ":+") == bool(chosen.get(name)) else chosen.get(name, "")

    return re.sub(r"\$\{([A-Z_]+)(:[-+])([^}]*)\}", fill, text)


def told(name, **chosen):
    """The environment of a service, where a person chose these variables."""
    return {key: filled(str(value), chosen) for key, value in service(name)["environment"].items()}


@pytest.fixture
def reads(start_traefik, self_signed, tmp_path):
    """A real Traefik with the rules of `reads`, before one server of a person's own that stands for all.

    ask(door, method, path) -> what got through: the name that was asked for, and the request.
    """
    behind, ports = Behind(self_signed), dict(zip(("gitea", "komodo", "authentik"), free_ports(3), strict=True))
    theirs = {f"WAYPOST_{name.upper()}_URL": f"https://localhost:{behind.server_port}" for name in ports}
    environment = told("reads", **theirs, WAYPOST_READS_CA=str(self_signed.certificate))
    assert mounts("reads")[environment["SSL_CERT_FILE"]] == ("${WAYPOST_READS_CA:-/dev/null}", False)
    environment["SSL_CERT_FILE"] = str(self_signed.certificate)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "reads.yaml").write_text((ROOT / "docker" / "reads.yaml").read_text())
    doors = {name: {"address": f"127.0.0.1:{port}"} for name, port in ports.items()}
    traefik = start_traefik(static={"entryPoints": doors}, directory=tmp_path / "rules", environment=environment)
    wait_until(lambda: "komodo-version@file" in traefik.names("routers"))

    def ask(door, method, path):
        behind.reached.clear()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", ports[door], timeout=60)) as connection:
            connection.putrequest(method, path, skip_accept_encoding=True)
            connection.putheader("Content-Length", "0")
            connection.endheaders()
            connection.getresponse().read()
        return list(behind.reached)

    ask.name = f"localhost:{behind.server_port}"
    yield ask
    behind.shutdown()
    behind.server_close()


PASSED_ON = [
    ("gitea", "GET", "/api/v1/repos/house/desired/pulls?state=open"),
    ("authentik", "GET", "/api/v3/core/applications/?slug=x"),
    ("komodo", "POST", "/read/ListStacks"),
    ("komodo", "POST", "/read"),
    ("komodo", "GET", "/version"),
]
KEPT_OUT = [
    *(("gitea", method, "/api/v1/repos/house/desired/pulls") for method in ("POST", "PUT", "PATCH", "DELETE")),
    ("gitea", "GET", "/user/login"), ("gitea", "GET", "/house/desired/raw/branch/main/x"),
    *(("authentik", method, "/api/v3/core/applications/") for method in ("POST", "PUT", "PATCH", "DELETE")),
    ("authentik", "GET", "/if/admin/"), ("authentik", "GET", "/application/o/authorize/"),
    *(("komodo", "POST", path) for path in (
        "/execute/DeployStack", "/write/UpdateStack", "/execute", "/write", "/auth/LoginLocalUser",
        "/user/CreateApiKey",
        "/read/../execute/DeployStack", "/read/%2e%2e/execute/DeployStack", "/read/..%2fexecute/DeployStack",
        "/read//../execute/DeployStack", "/READ/ListStacks", "/read/ListStacks/../../execute/RunSync",
        "/terminal/execute", "/listener/github/stack/x/deploy",
    )),
    ("komodo", "GET", "/ws/update"), ("komodo", "GET", "/terminal"), ("komodo", "PUT", "/read/ListStacks"),
    ("gitea", "POST", "/read/ListStacks"), ("komodo", "GET", "/api/v1/version"),
]  # fmt: skip


def test_what_stands_between_passes_reading_on_and_nothing_else(reads):
    for door, method, path in PASSED_ON:
        assert reads(door, method, path) == [(reads.name, f"{method} {path}")]
    for door, method, path in KEPT_OUT:
        assert reads(door, method, path) == [], (door, method, path)


@pytest.mark.parametrize("system", ["gitea", "komodo", "authentik"])
def test_the_gateway_reads_those_that_are_brought_and_those_that_a_person_has_by_the_same_door(system):
    name, port = f"WAYPOST_{system.upper()}_URL", re.search(
        rf"--entrypoints\.{system}\.address=:(\d+)", " ".join(service("reads")["command"])
    )[1]  # fmt: skip
    for there in (f"http://{system}:{port}", "https://theirs.lab"):
        assert told("reads", **{name: there})[system.upper()] == there == told("reconciler", **{name: there})[name]
        assert told("gateway", **{name: there})[name] == f"http://reads:{port}"
    assert told("reads")[system.upper()] == f"http://{system}:{port}" and told("reads")["SSL_CERT_FILE"] == ""
    assert told("gateway")[name] == "" == told("reconciler")[name]


def test_what_stands_between_has_a_way_to_what_is_not_in_this_house():
    assert [one for one in service("reads")["networks"] if not COMPOSE["networks"][one].get("internal")]
    assert service("reads")["extra_hosts"] == service("reconciler")["extra_hosts"]


def test_what_stands_between_has_a_door_for_each_and_nothing_more():
    content = service("reads")
    doors = {match[1] for one in content["command"] if (match := re.match(r"--entrypoints\.(\w+)\.address=", one))}
    assert doors == {"gitea", "komodo", "authentik", "traefik"}
    assert "--entrypoints.traefik.address=127.0.0.1:8080" in content["command"]
    assert not [one for one in content["command"] if one.startswith("--api")]
    assert content["configs"] == [{"source": "reads", "target": "/etc/reads.yaml"}]
    assert COMPOSE["configs"]["reads"]["file"] == "./docker/reads.yaml"


# ── our two processes ────────────────────────────────────────────────────────────────────────────


def test_gateway_and_reconciler_are_two_accounts_in_one_group():
    accounts = [service(name)["user"].split(":") for name in OURS]
    assert accounts[0][0] != accounts[1][0]
    assert accounts[0][1] == accounts[1][1]
    for account, group in accounts:
        assert re.search(rf"useradd --uid {account} --gid {group} ", DOCKERFILE)


def test_one_image_for_both():
    assert service("gateway")["image"] == service("reconciler")["image"]
    assert service("gateway")["build"] == service("reconciler")["build"]


def test_the_gateway_writes_only_what_is_its_own():
    writable = {target for target, (_, may) in mounts("gateway").items() if may}
    assert writable == {"/var/lib/waypost/gateway"}


def test_the_gateway_sees_no_target_and_nothing_to_write_with():
    assert not {"targets", "gitea", "komodo", "authentik"} & set(service("gateway")["networks"])
    assert "/dynamic" not in mounts("gateway")
    given = service("gateway")["environment"]
    addresses = {
        key: value for key, value in given.items() if re.fullmatch("WAYPOST_(GITEA|KOMODO|AUTHENTIK)_URL", key)
    }
    assert len(addresses) == 3
    assert all(value.startswith(f"${{{key}:+http://reads:") for key, value in addresses.items())


def test_both_find_the_home_where_the_image_says_it_is():
    home = re.search(r"WAYPOST_HOME=(\S+)", DOCKERFILE)[1]
    for name in OURS:
        assert mounts(name)[home][0] == "home"
        assert mounts(name)[f"{home}/gateway"] == ("gateway", True)


@pytest.mark.parametrize("name", OURS)
def test_what_a_process_is_told_are_settings_that_exist_with_values_that_are_right(name, tmp_path):
    given = {key: value for key, value in service(name)["environment"].items() if not value.startswith("${")}
    config.load(given, tmp_path)
    known = {declared.name for declared in config.SETTINGS}
    assert set(service(name)["environment"]) <= known


@pytest.mark.parametrize(("name", "port"), [("reconciler", "9101"), ("gateway", "9100")])
def test_health_is_asked_where_the_process_listens(name, port):
    content = service(name)
    assert f"127.0.0.1:{port}/health" in str(content["healthcheck"]["test"])
    assert f"0.0.0.0:{port}" in content["environment"].values()
    assert content["ports"] == [f"127.0.0.1:${{WAYPOST_{name.upper()}_PORT:-{port}}}:{port}"]


def test_the_traefik_of_the_profile_watches_the_directory_that_the_reconciler_writes():
    assert "--providers.file.directory=/dynamic" in service("traefik")["command"]
    assert mounts("traefik")["/dynamic"] == (mounts("reconciler")["/dynamic"][0], False)
    assert service("reconciler")["environment"]["WAYPOST_TRAEFIK_DYNAMIC_DIR"] == "/dynamic"


def test_the_image_holds_every_package_and_the_starter():
    for package in ("state", "reconciler", "shards", "desired"):
        assert f"COPY {package} {package}\n" in DOCKERFILE
        assert f"!{package}\n" in (ROOT / ".dockerignore").read_text()
    assert starter_files()


def test_the_image_runs_as_nobody_special_unless_told():
    last = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("USER ")][-1]
    assert last == service("gateway")["user"]
