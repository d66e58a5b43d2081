"""Every field of a compose file and what may stand there, as the specification has it. Pure.

Written from the specification of compose files (compose-spec.io, as of 2026). Where it takes any text, this takes only
what an engine can read: lengths of time, sizes, ports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reconciler.komodo.shapes import (
    Shape,
    anything,
    boolean,
    either,
    exact,
    integer,
    listing,
    mapping,
    matching,
    number,
    one_of,
    optional,
    record,
    scalar,
    switch,
    text,
    whole,
    word,
)

_KEY: Final = r"[a-zA-Z0-9._-]+"
_NAME: Final = r"[a-zA-Z0-9][a-zA-Z0-9._-]*"
_texts: Final = listing(text)
_different: Final = listing(text, unique=True)
_one_or_more: Final = either(text, _different)
_command: Final = optional(either(text, _texts))
_table: Final = either(mapping(scalar), _different)
_options: Final = mapping(word)
"""`KEY: value`, or a list of `KEY=value`."""

_duration: Final = matching(r"(?:[0-9]+(?:\.[0-9]+)?(?:us|ms|s|m|h|d))+|0", "length of time (30s, 1m30s)")
_SIZE: Final = r"(?i)[0-9]+(?:\.[0-9]+)?\s*[kmgt]?i?b?|-1", "size (512m, 2g)"
_size: Final = matching(*_SIZE, numbers=True)
_size_text: Final = matching(*_SIZE)
_count: Final = matching("[0-9]+", "whole number", numbers=True)
_percent: Final = matching("100|[0-9]{1,2}", "number from 0 to 100", numbers=True)
_score: Final = matching("-?(?:1000|[0-9]{1,3})", "number from -1000 to 1000", numbers=True)
_whole_or_text: Final = either(integer, text)
_port_range: Final = r"[0-9]{1,5}(?:-[0-9]{1,5})?"
_port_text: Final = matching(
    rf"(?:(?:\[[0-9a-fA-F:]+\]|[0-9.]+|[0-9a-fA-F:]{{2,}}):)?(?:(?:{_port_range})?:)?{_port_range}(?:/(?:tcp|udp|sctp))?",
    "port (8080:80, 127.0.0.1:8080:80/tcp)",
    numbers=True,
)
_port: Final = either(
    _port_text,
    record(
        {
            "name": text, "mode": one_of("host", "ingress"), "host_ip": text, "target": _whole_or_text,
            "published": _whole_or_text, "protocol": text, "app_protocol": text,
        },
        extensions=True,
    ),
)  # fmt: skip
_volume: Final = either(
    text,
    record(
        {
            "type": one_of("bind", "volume", "tmpfs", "cluster", "npipe", "image"), "source": text, "target": text,
            "read_only": switch, "consistency": text,
            "bind": record(
                {
                    "propagation": text, "create_host_path": switch,
                    "recursive": one_of("enabled", "disabled", "writable", "readonly"), "selinux": one_of("z", "Z"),
                },
                extensions=True,
            ),
            "volume": record({"nocopy": switch, "subpath": text, "labels": _table}, extensions=True),
            "tmpfs": record({"size": _size, "mode": word}, extensions=True),
            "image": record({"subpath": text}, extensions=True),
        },
        required=("type", "target"),
        extensions=True,
    ),
)  # fmt: skip
_granted: Final = listing(
    either(
        text,
        record({"source": text, "target": text, "uid": text, "gid": text, "mode": word}, extensions=True),
    )
)
_hook: Final = record(
    {"command": _command, "user": text, "privileged": switch, "working_dir": text, "environment": _table},
    required=("command",),
    extensions=True,
)
_device_request: Final = {
    "capabilities": _different, "count": either(one_of("all"), whole), "device_ids": _different, "driver": text,
    "options": _table,
}  # fmt: skip
_generic: Final = record(
    {"discrete_resource_spec": record({"kind": text, "value": word}, extensions=True)}, extensions=True
)
_limits: Final = record({"cpus": number, "memory": _size_text, "pids": whole}, extensions=True)
_reservations: Final = record(
    {
        "cpus": number, "memory": _size_text, "generic_resources": listing(_generic),
        "devices": listing(record(_device_request, required=("capabilities",), extensions=True)),
    },
    extensions=True,
)  # fmt: skip
_rollout: Final = record(
    {
        "parallelism": whole, "delay": _duration, "failure_action": text, "monitor": _duration,
        "max_failure_ratio": number, "order": one_of("start-first", "stop-first"),
    },
    extensions=True,
)  # fmt: skip
_placement: Final = record(
    {
        "constraints": _texts, "preferences": listing(record({"spread": text}, extensions=True)),
        "max_replicas_per_node": whole,
    },
    extensions=True,
)  # fmt: skip
_restart_policy: Final = record(
    {"condition": text, "delay": _duration, "max_attempts": whole, "window": _duration}, extensions=True
)
_deploy: Final = record(
    {
        "mode": one_of("global", "replicated", "global-job", "replicated-job"), "endpoint_mode": text,
        "replicas": whole, "labels": _table, "placement": _placement, "restart_policy": _restart_policy,
        "rollback_config": _rollout, "update_config": _rollout,
        "resources": record({"limits": _limits, "reservations": _reservations}, extensions=True),
    },
    extensions=True,
)  # fmt: skip
_healthcheck: Final = record(
    {
        "disable": switch, "test": either(text, _texts), "interval": _duration, "timeout": _duration, "retries": number,
        "start_period": _duration, "start_interval": _duration,
    },
    extensions=True,
)  # fmt: skip
_depends: Final = either(
    _different,
    mapping(
        record(
            {
                "condition": one_of("service_started", "service_healthy", "service_completed_successfully"),
                "restart": switch,
                "required": boolean,
            },
            required=("condition",),
            extensions=True,
        )
    ),
)
_attached: Final = either(
    _different,
    mapping(
        optional(
            record(
                {
                    "aliases": _different, "ipv4_address": text, "ipv6_address": text, "link_local_ips": _different,
                    "mac_address": text, "priority": exact, "gw_priority": exact, "driver_opts": _options,
                    "interface_name": text, "use_service_name_alias": switch,
                },
                extensions=True,
            )
        )
    ),
)  # fmt: skip
_env_file: Final = either(
    text, listing(either(text, record({"path": text, "required": switch, "format": text}, required=("path",))))
)

_RESTARTS: Final = "way to restart (no, always, on-failure, unless-stopped)"

_hosts: Final = either(mapping(either(text, _texts)), _different)
_ulimits: Final = mapping(
    either(
        _whole_or_text,
        record({"hard": _whole_or_text, "soft": _whole_or_text}, required=("soft", "hard"), extensions=True),
    ),
    keys="[a-z]+",
)
_blkio_rates: Final = listing(record({"path": text, "rate": _size}))
_blkio: Final = record(
    {
        "device_read_bps": _blkio_rates, "device_read_iops": _blkio_rates, "device_write_bps": _blkio_rates,
        "device_write_iops": _blkio_rates, "weight": whole,
        "weight_device": listing(record({"path": text, "weight": whole})),
    }
)  # fmt: skip
_build: Final = record(
    {
        "context": text, "dockerfile": text, "dockerfile_inline": text, "entitlements": _texts, "args": _table,
        "ssh": _table, "labels": _table, "cache_from": _texts, "cache_to": _texts, "no_cache": switch,
        "no_cache_filter": _one_or_more, "additional_contexts": _table, "network": text,
        "provenance": either(boolean, text), "sbom": either(boolean, text), "pull": switch, "target": text,
        "shm_size": _size, "extra_hosts": _hosts, "isolation": text, "privileged": switch, "secrets": _granted,
        "tags": _texts, "ulimits": _ulimits, "platforms": _texts,
    },
    extensions=True,
)  # fmt: skip
_watched: Final = record(
    {
        "ignore": _one_or_more, "include": _one_or_more, "path": text, "target": text, "exec": _hook,
        "action": one_of("rebuild", "sync", "restart", "sync+restart", "sync+exec"), "initial_sync": boolean,
    },
    required=("path", "action"),
    extensions=True,
)  # fmt: skip
_option: Final = either(text, exact, boolean)
_provider: Final = record(
    {"type": text, "options": mapping(either(_option, listing(_option)))}, required=("type",), extensions=True
)
_model_use: Final = optional(record({"endpoint_var": text, "model_var": text}, extensions=True))
_pulls: Final = "way to pull (always, never, missing, build, daily, weekly, every_12h)"

_CONTAINER: Final[Mapping[str, Shape]] = {
    "annotations": _table, "blkio_config": _blkio, "cap_add": _different, "cap_drop": _different,
    "cgroup": one_of("host", "private"), "cgroup_parent": text, "command": _command, "configs": _granted,
    "cpu_count": _count,
    "cpu_percent": _percent, "cpu_period": word, "cpu_quota": word, "cpu_rt_period": word,
    "cpu_rt_runtime": word, "cpu_shares": number, "cpus": number, "cpuset": text,
    "credential_spec": record({"config": text, "file": text, "registry": text}, extensions=True),
    "device_cgroup_rules": _different,
    "devices": listing(
        either(
            text, record({"source": text, "target": text, "permissions": text}, required=("source",), extensions=True)
        )
    ),
    "dns": _one_or_more, "dns_opt": _different, "dns_search": _one_or_more, "domainname": text,
    "entrypoint": _command, "env_file": _env_file, "environment": _table, "extra_hosts": _hosts,
    "gpus": either(one_of("all"), listing(record(_device_request, extensions=True))),
    "group_add": listing(word, unique=True), "hostname": text, "image": text, "init": switch, "ipc": text,
    "isolation": text, "label_file": either(text, _texts), "labels": _table,
    "logging": record({"driver": text, "options": mapping(optional(word))}, extensions=True), "mac_address": text,
    "mem_limit": _size, "mem_reservation": _size, "mem_swappiness": whole, "memswap_limit": _size,
    "models": either(_different, mapping(_model_use, keys=_KEY)), "network_mode": text, "networks": _attached,
    "oom_kill_disable": switch, "oom_score_adj": _score, "pid": optional(text), "pids_limit": word, "platform": text,
    "privileged": switch,
    "pull_policy": matching(
        "always|never|build|if_not_present|missing|refresh|daily|weekly|every_(?:[0-9]+[wdhms])+", _pulls
    ),
    "pull_refresh_after": text, "read_only": switch, "runtime": text, "secrets": _granted,
    "security_opt": _different, "shm_size": _size, "stop_grace_period": _duration, "stop_signal": text,
    "storage_opt": mapping(anything), "sysctls": _table, "tmpfs": _one_or_more, "ulimits": _ulimits,
    "umask": optional(_count), "use_api_socket": boolean, "user": text, "userns_mode": text, "uts": text,
    "volumes": listing(_volume, unique=True), "volumes_from": _different, "working_dir": text,
}  # fmt: skip
"""What may be said of any container, of one that runs before a service too."""

SERVICE: Final[Mapping[str, Shape]] = {
    **_CONTAINER, "attach": switch, "build": either(text, _build),
    "container_name": matching(_NAME.removesuffix("*") + "+", "name of a container"), "depends_on": _depends,
    "deploy": optional(_deploy), "develop": optional(record({"watch": listing(_watched)}, extensions=True)),
    "expose": listing(word, unique=True),
    "extends": either(text, record({"service": text, "file": text}, required=("service",))),
    "external_links": _different, "healthcheck": _healthcheck, "links": _different,
    "ports": listing(_port, unique=True),
    "post_start": listing(_hook),
    "pre_start": listing(record({**_CONTAINER, "per_replica": switch}, extensions=True)), "pre_stop": listing(_hook),
    "profiles": _different, "provider": _provider,
    "restart": matching(r"no|always|unless-stopped|on-failure(:[0-9]+)?", _RESTARTS),
    "scale": whole, "stdin_open": switch, "tty": switch,
}  # fmt: skip

_subnet: Final = record(
    {"subnet": text, "ip_range": text, "gateway": text, "aux_addresses": mapping(text)}, extensions=True
)
_ipam: Final = record({"driver": text, "config": listing(_subnet), "options": mapping(text)}, extensions=True)
_model: Final = record(
    {"name": text, "model": text, "context_size": integer, "runtime_flags": _texts},
    required=("model",),
    extensions=True,
)
_network: Final = optional(
    record(
        {
            "name": text, "driver": text, "driver_opts": _options, "ipam": _ipam,
            "external": either(switch, record({"name": text}, extensions=True)), "internal": switch,
            "enable_ipv4": switch, "enable_ipv6": switch, "attachable": switch, "labels": _table,
        },
        extensions=True,
    )
)  # fmt: skip
_kept: Final = optional(
    record(
        {
            "name": text, "driver": text, "driver_opts": _options,
            "external": either(switch, record({"name": text}, extensions=True)), "labels": _table,
        },
        extensions=True,
    )
)  # fmt: skip
_provided: Final = record(
    {
        "name": text, "environment": text, "file": text, "content": text,
        "external": either(switch, record({"name": text})), "labels": _table, "driver": text,
        "driver_opts": _options, "template_driver": text,
    },
    extensions=True,
)  # fmt: skip

FILE: Final = record(
    {
        "version": text,
        "name": matching(r"[a-z0-9][a-z0-9_-]*", "name of a project"),
        "services": mapping(record(SERVICE, extensions=True), keys=_NAME),
        "networks": mapping(_network, keys=_NAME),
        "volumes": mapping(_kept, keys=_NAME),
        "secrets": mapping(_provided, keys=_NAME),
        "configs": mapping(_provided, keys=_NAME),
        "models": mapping(_model, keys=_NAME),
    },
    required=("services",),
    extensions=True,
)
