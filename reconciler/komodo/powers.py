"""What each field of a compose file gives a container of its host, or of what is not its stack's. Pure.

One table a section, over the whole specification (compose-spec.io, as of 2026). What no table knows, a newer
specification's field for one, is given to nobody unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from reconciler.komodo import environment
from reconciler.komodo.compose import is_open

Gift = tuple[str, Any]
"""What is got, in words, and exactly that, to be told from another of its kind."""

Power = Callable[[Any, str], Iterator[Gift]]
"""Value and path of a field -> all that it gives."""


_MOST_SHOWN: Final = 60


def free(value: Any, path: str) -> Iterator[Gift]:
    """It stays inside the container and its stack."""
    return iter(())


def grants(words: str, *harmless: Any) -> Power:
    """These words for whatever is said there, but for nothing at all and for what is harmless."""

    def power(value: Any, path: str) -> Iterator[Gift]:
        if isinstance(value, list):
            value = [one for one in value if one not in harmless]
        if value and value != "false" and value not in harmless:
            yield f"{words} ({path}{_shown(value)})", value

    return power


def _shown(value: Any) -> str:
    """A single word of it, for people; secrets that stand in it are covered."""
    return f": {environment.covered_words(value[:1_000])[:_MOST_SHOWN]}" if isinstance(value, str) else ""


def within(fields: Mapping[str, Power]) -> Power:
    """What its own fields give."""

    def power(value: Any, path: str) -> Iterator[Gift]:
        if isinstance(value, Mapping):
            yield from given(fields, value, f"{path}.")

    return power


def given(fields: Mapping[str, Power], said: Mapping[str, Any], path: str = "") -> Iterator[Gift]:
    """All that a mapping of fields gives, by the table of its section."""
    for name, value in said.items():
        if not str(name).startswith("x-"):
            yield from fields.get(name, _UNKNOWN)(value, f"{path}{name}")


_UNKNOWN: Final = grants("something of which nobody here knows what it is")


def _shares(what: str, *own: str) -> Power:
    """A room of the kernel's: its own, that of a service beside it, or somebody else's."""

    def power(value: Any, path: str) -> Iterator[Gift]:
        if not value or value in own or (str(value).startswith("service:") and not is_open(value)):
            return
        if value == "host" or is_open(value):
            whose = "the host's"
        else:
            whose = "another container's" if str(value).startswith("container:") else "another's"
        yield f"{whose} {what} ({path}: {value})", value

    return power


def _spared(value: Any, path: str) -> Iterator[Gift]:
    """Below zero others are killed before it when memory runs out."""
    if is_open(value) or str(value).lstrip().startswith("-"):
        yield f"memory before others ({path})", value


def _routed(value: Any, path: str) -> Iterator[Gift]:
    """Addresses of its own choice, which the host then looks for in it and nowhere else."""
    config, driver = (value.get("config"), value.get("driver")) if isinstance(value, Mapping) else (value, None)
    if config or driver not in (None, "", "default"):
        yield f"addresses that the host will look for there ({path})", value


def _tuned(value: Any, path: str) -> Iterator[Gift]:
    options = {name for name in value if name != "com.docker.network.driver.mtu"} if isinstance(value, Mapping) else {0}
    if value and options:
        yield f"a network that is set up in a way of its own ({path})", value


def _all(names: str) -> dict[str, Power]:
    return dict.fromkeys(names.split(), free)


_SCHEDULED: Final = "time on the processors before others"
_COPIED: Final = "what stands in another file or service"
_HARMLESS_CONFINEMENT: Final = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")

_DEPLOY: Final[Mapping[str, Power]] = {
    **_all("mode endpoint_mode replicas labels placement restart_policy rollback_config update_config"),
    "resources": within(
        {
            "limits": free,
            "reservations": within(
                {**_all("cpus memory generic_resources"), "devices": grants("devices of the host")},
            ),
        }
    ),
}

SERVICE: Final[Mapping[str, Power]] = {
    # What runs, and how it is asked whether it is well.
    **_all("image command entrypoint working_dir user group_add umask platform healthcheck init read_only cap_drop"),
    **_all("pull_policy pull_refresh_after stdin_open tty attach"),
    # When it runs, and how many of it.
    **_all("depends_on profiles restart scale stop_grace_period stop_signal"),
    # What it is called, and how it is found. Labels are looked at as the routes that they make.
    **_all("container_name hostname domainname labels dns dns_opt dns_search extra_hosts links expose ports"),
    **_all("mac_address"),
    # How much it may use.
    **_all("blkio_config cpu_count cpu_percent cpu_period cpu_quota cpu_shares cpus cpuset mem_limit mem_reservation"),
    **_all("mem_swappiness memswap_limit pids_limit shm_size storage_opt tmpfs ulimits"),
    # These name what stands elsewhere in the file, or among the variables, and are judged with that.
    **_all("volumes networks configs secrets environment"),
    "deploy": within(_DEPLOY),
    "privileged": grants("all rights on the host"),
    "network_mode": _shares("network", "none", "bridge", "default"),
    "pid": _shares("processes"),
    "ipc": _shares("memory", "none", "private", "shareable"),
    "uts": _shares("name"),
    "userns_mode": _shares("users", "private"),
    "cgroup": _shares("control groups", "private"),
    "cap_add": grants("capabilities of the kernel"),
    "security_opt": grants("another confinement", *_HARMLESS_CONFINEMENT),
    "devices": grants("devices of the host"),
    "device_cgroup_rules": grants("devices of the host"),
    "gpus": grants("the GPUs"),
    "runtime": grants("another program of the host that runs it"),
    "annotations": grants("words to the program of the host that runs it"),
    "isolation": grants("another wall between it and the host", "default"),
    "sysctls": grants("settings of the kernel"),
    "cgroup_parent": grants("another place among the host's processes"),
    "cpu_rt_period": grants(_SCHEDULED),
    "cpu_rt_runtime": grants(_SCHEDULED),
    "oom_kill_disable": grants("memory that nobody takes from it"),
    "oom_score_adj": _spared,
    "use_api_socket": grants("the docker socket"),
    "volumes_from": grants("the volumes of another container"),
    "external_links": grants("containers of others, and their variables"),
    "credential_spec": grants("credentials of the host"),
    "env_file": grants("variables from a file of the host"),
    "label_file": grants("labels from a file of the host"),
    "logging": within(
        {
            "driver": grants("a log that leads elsewhere, by a driver of the host", "json-file", "local", "none"),
            "options": free,
        }
    ),
    "models": grants("a model that the host itself runs"),
    "provider": grants("a program of the host that provides it"),
    "build": grants("an image that is built on the host"),
    "develop": grants("files of the host that are brought into it"),
    "extends": grants(_COPIED),
    "pre_start": grants("another container that runs before it"),
    "post_start": grants("a command with rights of its own after it starts"),
    "pre_stop": grants("a command with rights of its own"),
}  # fmt: skip

_OUTSIDE: Final = "something that is kept elsewhere"

VOLUME: Final[Mapping[str, Power]] = {
    **_all("name external labels"),
    "driver": grants("storage of another kind", "local"),
    "driver_opts": grants("whatever it is made of"),
}
NETWORK: Final[Mapping[str, Power]] = {
    **_all("name external labels internal attachable enable_ipv4 enable_ipv6"),
    "driver": grants("a network of another kind, which may lead out of the host", "bridge"),
    "driver_opts": _tuned,
    "ipam": _routed,
}
CONFIG: Final[Mapping[str, Power]] = {
    **_all("name labels content environment"),
    "file": grants("a file of the host"),
    "external": grants(_OUTSIDE),
    "driver": grants(_OUTSIDE),
    "driver_opts": grants(_OUTSIDE),
    "template_driver": grants(_OUTSIDE),
}
"""A config or a secret. The variable that fills it is judged with those that the stack has."""

ROOT: Final[Mapping[str, Power]] = {
    **_all("version name services volumes networks configs secrets models"),
    "include": grants(_COPIED),
}
