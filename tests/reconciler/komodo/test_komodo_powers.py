"""Every field of the compose specification: whether a person is asked before a stack may have it, and what is said.

The fields are those of the published schema. One that it gains makes a test fail here, and asks for consent meanwhile.
"""

import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema

from reconciler.core.plan import Change
from reconciler.core.policy import Policy
from reconciler.komodo import stacks
from reconciler.komodo.consequences import losses
from state.model import Address

DEFINED = get_builtin_schema("vendor.compose-spec")["$defs"]


def properties(*sections):
    return {name for section in sections for name in DEFINED[section].get("properties", {})}


SERVICE = properties("service", "container_spec", "workload_spec")


def at(stack, kind="compose"):
    return Address("komodo", kind, stack)


def asked(after, before=None, variables="", stack="media"):
    """What a person is asked when this one stack changes; `before` and `after` are compose files."""
    was = {at(stack): before} if before else {}
    change = Change(address=at(stack), base=None, want=after, live=None, action="update")
    there = {at(stack, "stack"): {"server": "nas", "environment": variables}}
    return beside({**there, **was}, {**there, at(stack): after}, [change])


def beside(before, after, changes):
    return [one.lost for one in losses("komodo", before, after, changes, Policy()) if one.level == "consent"]


def web(**service):
    return {"services": {"web": {"image": "a", **service}}}


SECTIONS = ("volumes", "networks", "configs", "secrets")
FREE = {
    "attach": False, "blkio_config": {"weight": 10}, "cap_drop": ["ALL"], "command": "sh -c id",
    "configs": ["inner"], "container_name": "web", "cpu_count": 1, "cpu_percent": 10, "cpu_period": 1, "cpu_quota": 1,
    "cpu_shares": 1, "cpus": 1, "cpuset": "0", "depends_on": ["web"], "deploy": {"replicas": 2, "labels": {"a": "b"}},
    "dns": "1.1.1.1", "dns_opt": ["a"], "dns_search": "lab", "domainname": "lab", "entrypoint": ["sh"],
    "environment": {"TZ": None, "A": "${B}"}, "expose": ["80"], "extra_hosts": ["a:10.0.0.1"], "group_add": ["video"],
    "healthcheck": {"test": "true"}, "hostname": "web", "image": "b", "init": True, "labels": {"a": "b"},
    "links": ["web"], "mac_address": "02:00:00:00:00:01", "mem_limit": "1g", "mem_reservation": "1g",
    "mem_swappiness": 1, "memswap_limit": "1g", "networks": {"inner": {"aliases": ["w"]}}, "pids_limit": 10,
    "platform": "linux/amd64", "ports": ["80:80"], "profiles": ["a"], "pull_policy": "always",
    "pull_refresh_after": "1d", "read_only": True, "restart": "always", "scale": 2, "secrets": ["inner"],
    "shm_size": "1g", "stdin_open": True, "stop_grace_period": "1s", "stop_signal": "SIGINT",
    "storage_opt": {"size": "1g"}, "tmpfs": "/tmp", "tty": True, "ulimits": {"nofile": 10}, "umask": "022",
    "user": "root", "volumes": ["inner:/data", {"type": "tmpfs", "target": "/t"}], "working_dir": "/",
}  # fmt: skip
"""What stays inside: fields that may be said without a question, each with something that is said there."""

ASKED = {
    "annotations": ({"io.katacontainers.config.hypervisor.path": "/bin/sh"}, "words to the program of the host"),
    "build": (".", "an image that is built on the host"),
    "cap_add": (["SYS_ADMIN"], "capabilities of the kernel"),
    "cgroup": ("host", "the host's control groups"),
    "cgroup_parent": ("/", "another place among the host's processes"),
    "cpu_rt_period": (1, "time on the processors before others"),
    "cpu_rt_runtime": (1, "time on the processors before others"),
    "credential_spec": ({"file": "x.json"}, "credentials of the host"),
    "develop": ({"watch": [{"path": "/", "action": "sync", "target": "/h"}]}, "files of the host"),
    "device_cgroup_rules": (["a *:* rwm"], "devices of the host"),
    "devices": (["/dev/sda"], "devices of the host"),
    "env_file": ("/etc/shadow", "variables from a file of the host"),
    "extends": ({"service": "a", "file": "/x.yaml"}, "what stands in another file"),
    "external_links": (["db"], "containers of others"),
    "gpus": ("all", "the GPUs"),
    "ipc": ("container:db", "another container's memory"),
    "isolation": ("process", "another wall between it and the host"),
    "label_file": ("/etc/x", "labels from a file of the host"),
    "logging": ({"driver": "syslog", "options": {"syslog-address": "tcp://evil"}}, "a log that leads elsewhere"),
    "models": (["llm"], "a model that the host itself runs"),
    "network_mode": ("db_default", "another's network"),
    "oom_kill_disable": (True, "memory that nobody takes from it"),
    "oom_score_adj": (-1000, "memory before others"),
    "pid": ("host", "the host's processes"),
    "post_start": ([{"command": "x"}], "a command with rights of its own"),
    "pre_start": ([{"image": "x"}], "another container"),
    "pre_stop": ([{"command": "x"}], "a command with rights of its own"),
    "privileged": (True, "all rights on the host"),
    "provider": ({"type": "x"}, "a program of the host"),
    "runtime": ("kata", "another program of the host that runs it (runtime: kata)"),
    "security_opt": (["apparmor:unconfined"], "another confinement"),
    "sysctls": ({"net.x": 1}, "settings of the kernel"),
    "use_api_socket": (True, "the docker socket"),
    "userns_mode": ("host", "the host's users"),
    "uts": ("host", "the host's name"),
    "volumes_from": (["container:db"], "the volumes of another container"),
}


def whole(name, value):
    inner = {"volumes": {}, "networks": {}, "configs": {"content": "x"}, "secrets": {"environment": "MINE"}}
    return {**web(**{name: value}), **{section: {"inner": said} for section, said in inner.items()}}


def test_every_field_of_a_service_is_decided_on():
    assert (FREE.keys() | ASKED.keys()) ^ SERVICE == set()
    assert FREE.keys() & ASKED.keys() == set()


@pytest.mark.parametrize("name", sorted(FREE))
def test_what_stays_inside_is_not_asked_for(name):
    assert asked(whole(name, FREE[name]), variables="MINE=x") == []


@pytest.mark.parametrize("name", sorted(ASKED))
def test_what_leads_out_is_asked_for_once(name):
    value, words = ASKED[name]
    after = whole(name, value)
    [told] = asked(after)
    assert told.startswith(f"service 'web' gets {words}")
    assert name in told
    assert asked({**after, "x-note": 1}, before=after) == []


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ({"newer": {"a": 1}}, "newer"),
        ({"deploy": {"newer": 1}}, "deploy.newer"),
        ({"deploy": {"resources": {"reservations": {"newer": 1}}}}, "deploy.resources.reservations.newer"),
        ({"logging": {"newer": "x"}}, "logging.newer"),
    ],
)
def test_a_field_that_nobody_here_knows_is_asked_for(service, path):
    [told] = asked(web(**service))
    assert f"gets something of which nobody here knows what it is ({path}" in told


def test_devices_that_are_reserved_are_devices():
    reserved = {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}}
    assert "devices of the host (deploy.resources.reservations.devices)" in asked(web(deploy=reserved))[0]


@pytest.mark.parametrize("field", ["newer", "jobs", "include"])
def test_what_stands_at_the_root_and_is_not_known_is_asked_for(field):
    [told] = asked({**web(), field: ["x"]})
    assert told.startswith("the stack gets ")
    assert field in told


DEFINITIONS = {
    "volume": {"driver": "nfs", "driver_opts": {"o": "bind"}, "external": True, "name": "other"},
    "network": {
        "driver": "macvlan", "driver_opts": {"parent": "eth0"}, "external": True, "name": "db_default",
        "ipam": {"config": [{"subnet": "192.168.1.0/24"}]},
    },
    "config": {"environment": "PATH", "external": True, "file": "/etc/shadow", "template_driver": "x"},
    "secret": {
        "driver": "x", "driver_opts": {"a": "b"}, "environment": "PATH", "external": True, "file": "/etc/shadow",
        "template_driver": "x",
    },
}  # fmt: skip
DEFINED_FREE = {
    "volume": {"labels": {"a": "b"}},
    "network": {"attachable": True, "enable_ipv4": True, "enable_ipv6": True, "internal": True, "labels": {"a": "b"}},
    "config": {"content": "x", "labels": {"a": "b"}, "name": "other"},
    "secret": {"labels": {"a": "b"}, "name": "other"},
}
USED = {"volume": ["one:/one"]}


@pytest.mark.parametrize("thing", sorted(DEFINITIONS))
def test_every_field_of_what_a_service_uses_is_decided_on(thing):
    assert DEFINITIONS[thing].keys() | DEFINED_FREE[thing].keys() == properties(thing)
    db = {at("db", "stack"): {"server": "nas"}, at("db"): web()}
    for field, value in {**DEFINITIONS[thing], **DEFINED_FREE[thing], "newer": 1}.items():
        after = {**web(**{f"{thing}s": USED.get(thing, ["one"])}), f"{thing}s": {"one": {field: value}}}
        there = {**db, at("media", "stack"): {"server": "nas"}}
        change = Change(address=at("media"), base=None, want=after, live=None, action="create")
        told = beside(there, {**there, at("media"): after}, [change])
        assert len(told) == (field not in DEFINED_FREE[thing]), (thing, field, told)


def test_every_field_of_a_stack_is_decided_on():
    """Those that are free are named; whatever else there is, or will be, is asked for."""
    free = {
        "server", "links", "project_name", "auto_pull", "poll_for_updates", "auto_update", "auto_update_all_services",
        "git_provider", "git_https", "git_account", "linked_repo", "branch", "commit", "reclone", "webhook_enabled",
        "webhook_force_deploy", "send_alerts", "registry_provider", "registry_account", "ignore_services",
        "environment",
    }  # fmt: skip
    for field in (*stacks.FIELDS, "newer"):
        want = {"server": "nas", field: "x"}
        change = Change(address=at("media", "stack"), base=None, want=want, live=None, action="create")
        assert bool(beside({}, {change.address: want}, [change])) == (field not in free), field


# ── what is not the stack's own ──────────────────────────────────────────────────────────────────

DB = {
    at("db", "stack"): {"server": "nas"},
    at("db"): {**web(volumes=["data:/d"]), "volumes": {"data": None, "whole": {"name": "vault"}}},
}


def with_neighbour(after, config=None, neighbour=None, stack="media", before=None):
    """What is asked of a stack that changes beside another one, of which nothing changes."""
    neighbour = DB if neighbour is None else neighbour
    own = {at(stack, "stack"): {"server": "nas", **(config or {})}, at(stack): after}
    was = {at(stack, "stack"): own[at(stack, "stack")], at(stack): before} if before else {}
    changes = [Change(address=one, base=None, want=want, live=None, action="create") for one, want in own.items()]
    return beside({**neighbour, **was}, {**neighbour, **own}, changes)


def mounting(said, name="one"):
    return {**web(volumes=[f"{name}:/x"]), "volumes": {name: said}}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"external": True, "name": "db_data"}, "volume 'db_data' of stack 'db'"),
        ({"external": {"name": "db_data"}}, "volume 'db_data' of stack 'db'"),
        ({"name": "db_data"}, "volume 'db_data' of stack 'db'"),
        ({"name": "db_made-later"}, "volume 'db_made-later' of stack 'db'"),
        ({"name": "vault"}, "volume 'vault' of stack 'db'"),
        ({"external": True}, "volume 'one', which is there already and not this stack's"),
        ({"external": "true", "name": "nobodys"}, "volume 'nobodys', which is there already"),
        ({"name": "nobodys"}, "volume 'nobodys', whoever filled it"),
        ({"name": "${WHICH}"}, "volume '${WHICH}', known only when it is deployed"),
    ],
)
def test_a_volume_that_is_not_the_stacks_own_is_asked_for(said, words):
    [told] = with_neighbour(mounting(said))
    assert told.startswith(f"service 'web' gets {words}")


def test_a_volume_whose_name_happens_to_be_that_of_another_stack_is_asked_for():
    longer = {at("media_b", "stack"): {"server": "nas"}, at("media_b"): mounting(None, "data")}
    [told] = with_neighbour(mounting(None, "b_data"), neighbour=longer)
    assert "volume 'media_b_data' of stack 'media_b'" in told
    assert with_neighbour(mounting(None, "data"), stack="db_b") == []


def beside_media_db(config, compose=None):
    there = {at("media_db", "stack"): {"server": "nas"}, **({at("media_db"): compose} if compose else {})}
    after = {**web(volumes=["db_data:/x"], networks=["db_net"]), **config}
    return with_neighbour(after, neighbour=there)


@pytest.mark.parametrize("said", [None, {}, {"labels": {"a": "b"}}, {"external": False}])
def test_a_volume_or_network_is_not_said_to_be_of_a_stack_that_declares_none_such(said):
    own = {"volumes": {"db_data": said}, "networks": {"db_net": said}}
    assert beside_media_db(own, mounting(None, "other")) == []
    declared = {**mounting(None, "data"), "networks": {"net": None}}
    assert beside_media_db(own, declared) == [
        "service 'web' gets volume 'media_db_data' of stack 'media_db'",
        "service 'web' gets network 'media_db_net' of stack 'media_db'",
    ]


@pytest.mark.parametrize("unread", [None, {"unreadable": "0" * 64}])
def test_what_a_stack_that_nobody_can_read_may_have_made_is_asked_for(unread):
    assert len(beside_media_db({"volumes": {"db_data": None}, "networks": {"db_net": None}}, unread)) == 2


def test_a_name_that_is_chosen_may_be_of_what_another_stack_made_earlier():
    chosen = {"volumes": {"db_data": {"name": "media_db_data"}}, "networks": {"db_net": {"name": "media_db_net"}}}
    assert len(beside_media_db(chosen, mounting(None, "other"))) == 2


def test_a_volume_of_the_stacks_own_is_not_asked_for():
    assert with_neighbour(mounting({"name": "media_one"})) == []
    assert with_neighbour(mounting({"name": "other_one"}, "one"), {"project_name": "Other"}) == []


def test_volumes_and_networks_of_the_same_name_on_another_server_are_others():
    elsewhere = {**DB, at("db", "stack"): {"server": "pi"}}
    joined = {**web(networks=["n"]), "networks": {"n": {"name": "db_default"}}}
    assert with_neighbour(joined, neighbour=elsewhere) == []
    assert "network 'db_default' of stack 'db'" in with_neighbour(joined)[0]


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ({"n": {"external": True, "name": "db_default"}}, "network 'db_default' of stack 'db'"),
        ({"n": {"external": True}}, "network 'n', which is there already and not this stack's"),
        ({"n": {"name": "[[N]]"}}, "network '[[N]]', known only when it is deployed"),
    ],
)
def test_a_network_that_is_not_the_stacks_own_is_asked_for_with_the_names_taken_there(networks, words):
    before = {**web(networks=["n"]), "networks": networks}
    [told] = with_neighbour(before)
    assert told == f"service 'web' gets {words}"
    assert (
        with_neighbour({**before, **web(networks=["n"], restart="always"), "networks": networks}, before=before) == []
    )
    renamed = {**web(networks={"n": {"aliases": ["vault"]}}), "networks": networks}
    assert with_neighbour(renamed, before=before) == [told]


def test_a_neighbour_that_comes_later_changes_nothing_of_what_was_agreed_to():
    before = mounting({"name": "shared"})
    later = {at("db", "stack"): {"server": "nas"}, at("db"): mounting({"name": "shared"})}
    assert with_neighbour({**before, "x-a": 1}, neighbour=later, before=before) == []


@pytest.mark.parametrize(("stack", "config"), [("DB", {}), ("media", {"project_name": "db"})])
def test_a_stack_that_takes_the_project_of_another_is_asked_for(stack, config):
    told = with_neighbour(web(), config, stack=stack)
    assert "the stack gets all that stack 'db' has: both are one compose project, 'db'" in told


def test_more_of_a_path_than_was_agreed_to_is_asked_for():
    before = web(volumes=["/srv/x:/x:ro"])
    assert "a path of the host (/srv/x at /x)" in asked(web(volumes=["/srv/x:/x"]), before=before)[0]
    assert asked(web(volumes=["/srv/x:/x:ro"], image="b"), before=before) == []


@pytest.mark.parametrize("kind", ["cluster", "newer"])
def test_a_mount_of_a_kind_that_leads_elsewhere_is_asked_for(kind):
    after = {**web(volumes=[{"type": kind, "source": "one", "target": "/x"}]), "volumes": {"one": None}}
    assert f"a mount of a kind that leads elsewhere ({kind} at /x)" in asked(after)[0]


@pytest.mark.parametrize(
    "more",
    [
        {"environment": ["PERIPHERY_PASSKEYS"]},
        {"environment": {"PERIPHERY_PASSKEYS": None}},
        {"command": "echo $PERIPHERY_PASSKEYS"},
        {"environment": {"HARMLESS": "$$${PERIPHERY_PASSKEYS:-x}"}},
    ],
)
def test_a_secret_of_the_host_by_the_name_of_its_variable_is_asked_for(more):
    assert asked(web(**more)) == ["service 'web' gets what the host calls PERIPHERY_PASSKEYS"]
    assert asked(web(command="echo $$PERIPHERY_PASSKEYS $TZ")) == []


@pytest.mark.parametrize("more", [{"command": "echo ${PERIPHERY_PASSKEY}"}, {"environment": ["PERIPHERY_PASSKEY"]}])
def test_a_stack_that_sets_a_variable_of_the_agents_is_asked_for_it_all_the_same(more):
    """In compose the variable of the agent wins over that of the stack."""
    told = asked(web(**more), variables="PERIPHERY_PASSKEY = x")
    assert told == ["service 'web' gets what the host calls PERIPHERY_PASSKEY"]


def test_a_secret_of_the_stacks_own_is_not_asked_for():
    assert asked(web(environment=["DB_PASSWORD"]), variables="DB_PASSWORD = [[DB]]") == []


def test_a_secret_made_of_a_variable_of_the_agents_is_asked_for_though_the_stack_sets_one():
    after = {**web(secrets=["s"]), "secrets": {"s": {"environment": "PERIPHERY_PASSKEY"}}}
    [told] = asked(after, variables="PERIPHERY_PASSKEY=x")
    assert "gets what the host calls PERIPHERY_PASSKEY (as secret 's')" in told


AGENTS = "${PERIPHERY_PASSKEY}"


@pytest.mark.parametrize(
    "variables",
    [
        f"Y = {AGENTS}", f'Y = "{AGENTS}"', f"Y: a-$PERIPHERY_PASSKEY-{AGENTS}", f"Y = ${{Z:-1}}\nZ = {AGENTS}",
        f"export Y={AGENTS}", f'- "Y={AGENTS}"', f'Y = "first\nZ = {AGENTS}"', f"Y = $[[N]]\nZ = {AGENTS}",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "more",
    [{"command": "echo ${Y}"}, {"environment": ["Y"]}, {"env_file": ".env"}, {"secrets": ["s"]}, {"configs": ["c"]}],
    ids=str,
)
def test_a_secret_of_the_host_behind_a_variable_of_the_stack_is_asked_for(variables, more):
    after = {**web(**more), "secrets": {"s": {"environment": "Y"}}, "configs": {"c": {"content": "$Y"}}}
    told = asked(after, variables=variables)
    assert "service 'web' gets what the host calls PERIPHERY_PASSKEY" in told


@pytest.mark.parametrize("variables", [f"Z = {AGENTS}\nY = x", f"Y = x\n# {AGENTS}", "Y = $$PERIPHERY_PASSKEY"])
def test_what_stands_in_a_variable_that_a_service_does_not_get_is_not_asked_for(variables):
    assert asked(web(command="echo ${Y}"), variables=variables) == []


@pytest.mark.parametrize(
    ("stack", "more"), [("waypost", {}), ("Waypost", {}), ("media", {"project_name": "waypost"})], ids=str
)
def test_who_comes_by_the_name_of_this_house_needs_a_persons_word_each_time(stack, more):
    def change(document, was=None):
        want = {at(stack, "stack"): {"server": "nas", **more}, at(stack): document}
        before = {**want, at(stack): was} if was else {}
        changed = [Change(address=one, base=None, want=want[one], live=None, action="update") for one in want]
        return [words for words in beside(before, want, changed) if "all that Waypost itself has" in words]

    ours = {"services": {"reconciler": {"image": "mine", "volumes": ["home:/h"]}}, "volumes": {"home": None}}
    [told] = change(ours)
    assert told.startswith("the stack gets all that Waypost itself has")
    assert change(ours, was=ours) == []
    assert change(ours, was={"services": {"web": {"image": "a"}}}) == [told]


@pytest.mark.parametrize("variable", ["COMPOSE_FILE", "DOCKER_HOST", "LD_PRELOAD"])
def test_variables_that_compose_itself_listens_to_are_asked_for(variable):
    def change(text):
        want = {"server": "nas", "environment": text}
        one = Change(address=at("media", "stack"), base=None, want=want, live=None, action="update")
        return beside({one.address: {"server": "nas"}}, {one.address: want}, [one])

    for line in (f"{variable}=x", f"export {variable}=x", f'"{variable}=x"', f"- '{variable}: x'"):
        assert change(line) == [f"compose itself is told how to work ({variable})"]
    assert change("COMPOSE_PROFILES=a\nDOCKER_GID=1\nTZ=UTC") == []
