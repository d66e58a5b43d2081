"""compose.yaml keeps to the compose specification, and the two processes to their privileges.

The specification's own schema is not vendored: SPECIFICATION below states, after the public text, the part of it
that this file uses, and refuses every key it does not state.
"""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from reconciler import config
from reconciler.founding import starter_files

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()

NAME = "^[a-zA-Z0-9._-]+$"
TEXTS = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
COMMAND = {"oneOf": [{"type": "null"}, {"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
SWITCH = {"type": ["boolean", "string"]}
DURATION = {"type": "string", "pattern": r"^(\d+(us|ms|s|m|h))+$"}


def table(**properties):
    """An object that has these keys, its extensions (x-…), and no others."""
    return {
        "type": "object",
        "properties": properties,
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }


def named(value):
    """An object whose keys are names of the specification's form."""
    return {"type": "object", "patternProperties": {NAME: value}, "additionalProperties": False}


VOLUME = {
    "oneOf": [
        {"type": "string"},
        table(
            type={"enum": ["bind", "volume", "tmpfs", "cluster", "npipe", "image"]},
            source={"type": "string"},
            target={"type": "string"},
            read_only=SWITCH,
            bind=table(create_host_path=SWITCH, propagation={"type": "string"}),
        )
        | {"required": ["type"]},
    ]
}

SERVICE = table(
    build={"oneOf": [{"type": "string"}, table(context={"type": "string"}, dockerfile={"type": "string"})]},
    cap_drop=TEXTS,
    command=COMMAND,
    depends_on=named(
        table(condition={"enum": ["service_started", "service_healthy", "service_completed_successfully"]})
        | {"required": ["condition"]}
    ),
    entrypoint=COMMAND,
    environment={
        "oneOf": [
            {
                "type": "object",
                "patternProperties": {".+": {"type": ["string", "number", "boolean", "null"]}},
                "additionalProperties": False,
            },
            TEXTS,
        ]
    },
    extra_hosts={"oneOf": [{"type": "object"}, TEXTS]},
    healthcheck=table(
        test={"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        interval=DURATION,
        timeout=DURATION,
        start_period=DURATION,
        retries={"type": ["number", "string"]},
    ),
    image={"type": "string"},
    networks={"oneOf": [TEXTS, named({"type": ["object", "null"]})]},
    pids_limit={"type": ["number", "string"]},
    ports={"type": "array", "items": {"type": ["number", "string"]}, "uniqueItems": True},
    profiles=TEXTS,
    read_only=SWITCH,
    restart={"type": "string", "pattern": r"^(no|always|unless-stopped|on-failure(:\d+)?)$"},
    security_opt=TEXTS,
    tmpfs={"oneOf": [{"type": "string"}, TEXTS]},
    user={"type": "string"},
    volumes={"type": "array", "items": VOLUME, "uniqueItems": True},
)

SPECIFICATION = table(
    name={"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
    services=named(SERVICE),
    networks=named({"type": ["object", "null"]}),
    volumes=named({"type": ["object", "null"]}),
)

OURS = ["reconciler", "gateway"]
EVERY = list(COMPOSE["services"])


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


def test_it_keeps_to_the_specification():
    jsonschema.Draft202012Validator.check_schema(SPECIFICATION)
    faults = jsonschema.Draft202012Validator(SPECIFICATION).iter_errors(COMPOSE)
    assert [f"{fault.json_path}: {fault.message}" for fault in faults] == []


@pytest.mark.parametrize(
    "broken",
    [
        {"service": {}},
        {"services": {"a": {"imag": "x"}}},
        {"services": {"a b": {}}},
        {"services": {"a": {"restart": "sometimes"}}},
        {"services": {"a": {"depends_on": {"b": {}}}}},
        {"services": {"a": {"volumes": [{"source": "x", "target": "/x"}]}}},
        {"services": {"a": {"healthcheck": {"interval": "soon"}}}},
        {"services": {"a": {"cap_drop": ["ALL", "ALL"]}}},
    ],
)
def test_what_the_specification_forbids_is_seen(broken):
    assert list(jsonschema.Draft202012Validator(SPECIFICATION).iter_errors(broken))


def test_every_volume_network_and_service_that_is_used_is_declared():
    for name, content in COMPOSE["services"].items():
        assert set(content.get("networks", [])) <= set(COMPOSE["networks"]), name
        assert set(content.get("depends_on", {})) <= set(COMPOSE["services"]), name
        sources = [source for source, _ in mounts(name).values()]
        assert all(source in COMPOSE["volumes"] or source.startswith(("$", "/", "./")) for source in sources), name


def test_what_is_waited_for_can_become_healthy():
    for content in COMPOSE["services"].values():
        for other, how in content.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or service(other)["healthcheck"]["test"]


def test_variables_are_written_so_that_compose_understands_them():
    text = "\n".join(line for line in (ROOT / "compose.yaml").read_text().splitlines() if "#" not in line)
    assert text.count("$") == len(re.findall(r"\$\{[A-Z_]+(:[-?][^}]*)?\}", text))


@pytest.mark.parametrize("name", EVERY)
def test_no_container_has_more_rights_than_it_needs(name):
    content = service(name)
    assert content["read_only"] is True
    assert content["cap_drop"] == ["ALL"]
    assert content["security_opt"] == ["no-new-privileges:true"]
    account, group = content["user"].split(":")
    assert int(account) > 0
    assert int(group) > 0
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc"} & set(content)
    assert "docker.sock" not in str(content)


@pytest.mark.parametrize("name", EVERY)
def test_doors_to_the_outside_are_on_loopback(name):
    assert all(port.startswith("127.0.0.1:") for port in service(name).get("ports", []))


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


def test_the_gateway_sees_no_target_and_no_credential():
    assert "targets" not in service("gateway")["networks"]
    assert "/dynamic" not in mounts("gateway")
    told = set(service("gateway")["environment"])
    assert told == {"WAYPOST_LISTEN", "WAYPOST_RECONCILER_URL", "WAYPOST_PUBLIC_URL", "WAYPOST_READ_ONLY"}


def test_both_find_the_home_where_the_image_says_it_is():
    home = re.search(r"WAYPOST_HOME=(\S+)", DOCKERFILE)[1]
    for name in OURS:
        assert mounts(name)[home][0] == "home"
        assert mounts(name)[f"{home}/gateway"] == ("gateway", True)


@pytest.mark.parametrize("name", OURS)
def test_what_a_process_is_told_are_settings_that_exist_with_values_that_are_right(name, tmp_path):
    told = {key: value for key, value in service(name)["environment"].items() if not value.startswith("${")}
    config.load(told, tmp_path)
    known = {declared.name for declared in config.SETTINGS}
    assert set(service(name)["environment"]) <= known


@pytest.mark.parametrize(("name", "port"), [("reconciler", "9101"), ("gateway", "9100")])
def test_health_is_asked_where_the_process_listens(name, port):
    content = service(name)
    assert f"127.0.0.1:{port}/health" in str(content["healthcheck"]["test"])
    assert f"0.0.0.0:{port}" in content["environment"].values()
    assert content["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_a_traefik_and_a_backend_come_only_with_the_profile():
    without = [name for name in EVERY if not service(name).get("profiles")]
    assert without == OURS
    assert service("traefik")["profiles"] == service("whoami")["profiles"] == ["demo-traefik"]


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
