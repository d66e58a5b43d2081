"""compose.yaml keeps to the compose specification, and the two processes to their privileges.

The schema is the specification's own, as check-jsonschema brings it along; no engine is asked.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from reconciler import config
from reconciler.founding import starter_files

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()

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


@pytest.fixture
def faults(tmp_path):
    """What the specification's own schema, and what it says beside it in prose, has against a compose file."""

    def find(compose):
        file = tmp_path / "compose.yaml"
        file.write_text(compose if isinstance(compose, str) else yaml.safe_dump(compose))
        checked = CliRunner().invoke(check_jsonschema, ["--builtin-schema", "vendor.compose-spec", str(file)])
        assert checked.exit_code in (0, 1), checked.output
        return ([checked.output] if checked.exit_code else []) + list(
            beside_the_schema(yaml.safe_load(file.read_text()))
        )

    return find


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


def test_it_keeps_to_the_specification(faults):
    assert faults((ROOT / "compose.yaml").read_text()) == []


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
def test_a_broken_copy_is_refused(faults, spoil):
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
