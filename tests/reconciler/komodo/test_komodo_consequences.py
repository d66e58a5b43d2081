"""What a change of stacks costs people: told once, at the level it deserves, and nothing where nothing is lost."""

import pytest

from reconciler.core.plan import ABSENT, Change
from reconciler.core.policy import Policy
from reconciler.komodo.consequences import losses
from state.model import Address

STACK, COMPOSE = Address("komodo", "stack", "media"), Address("komodo", "compose", "media")


def told(before, after, level="consent"):
    changed = [one for one in {**before, **after} if before.get(one, ABSENT) != after.get(one, ABSENT)]
    changes = [
        Change(address=one, base=None, want=after.get(one, ABSENT), live=before.get(one, ABSENT), action="update")
        for one in changed
    ]
    return [loss.lost for loss in losses("komodo", before, after, changes, Policy()) if loss.level == level]


def compose(**service):
    top = {
        name: service.pop(name)
        for name in ("volumes_at_root", "configs_at_root", "networks_at_root", "secrets_at_root")
        if name in service
    }
    document = {"services": {"web": {"image": "a", **service}}}
    return {COMPOSE: {**document, **{name.removesuffix("_at_root"): value for name, value in top.items()}}}


HARMLESS = compose(
    ports=["80:80"],
    volumes=["data:/data", {"type": "tmpfs", "target": "/tmp"}],
    volumes_at_root={"data": None},
    security_opt=["no-new-privileges:true"],
    cap_drop=["ALL"],
    privileged=False,
    network_mode="bridge",
    configs=[{"source": "c", "target": "/c"}],
    configs_at_root={"c": {"content": "x"}},
)


def test_what_stays_inside_its_containers_costs_nothing():
    assert told({}, HARMLESS) == []
    assert told(HARMLESS, {COMPOSE: {**HARMLESS[COMPOSE], "x-note": 1}}) == []


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"privileged": True}, "all rights on the host"),
        ({"privileged": "${X}"}, "all rights on the host"),
        ({"network_mode": "host"}, "the host's network"),
        ({"network_mode": "container:vpn"}, "another container's network"),
        ({"pid": "host"}, "the host's processes (pid"),
        ({"ipc": "host"}, "the host's memory (ipc: host)"),
        ({"userns_mode": "host"}, "the host's users (userns_mode: host)"),
        ({"volumes": ["/var/run/docker.sock:/var/run/docker.sock:ro"]}, "the docker socket"),
        ({"volumes": ["/var/run:/run"]}, "the docker socket"),
        ({"volumes": ["/{/../var/run/docker.sock:/var/run/docker.sock"]}, "the docker socket"),
        ({"volumes": ["./{/../../../etc:/host"]}, "a path of the host (./{/../../../etc at /host)"),
        ({"volumes": ["/}:/host"]}, "a path of the host (/} at /host)"),
        ({"volumes": ["/$${:/host"]}, "a mount that is known only when it is deployed"),
        ({"volumes": ["/etc:/host:ro"]}, "a path of the host (/etc at /host)"),
        ({"volumes": ["./conf:/conf"]}, "a path of the host (./conf at /conf)"),
        ({"volumes": ["~/x:/x"]}, "a path of the host"),
        ({"volumes": ["${DIR:-/srv}:/srv"]}, "a path of the host"),
        ({"volumes": [{"type": "bind", "source": "/", "target": "/h"}]}, "a path of the host (/ at /h)"),
        ({"devices": ["/dev/dri:/dev/dri"]}, "devices of the host"),
        ({"cap_add": ["SYS_ADMIN"]}, "capabilities of the kernel"),
        ({"security_opt": ["apparmor:unconfined"]}, "another confinement"),
        ({"use_api_socket": True}, "the docker socket"),
        ({"build": "."}, "an image that is built on the host"),
        ({"env_file": ".env"}, "variables from a file of the host"),
        ({"post_start": [{"command": "x", "privileged": True}]}, "a command with rights of its own"),
        ({"pre_start": [{"image": "x", "privileged": True}]}, "another container that runs before it"),
        ({"provider": {"type": "x"}}, "a program of the host"),
        (
            {"volumes": ["v:/v"], "volumes_at_root": {"v": {"driver_opts": {"o": "bind"}}}},
            "whatever it is made of (driver_opts), as volume 'v'",
        ),
        ({"volumes": [{"type": "${T:-bind}", "source": "/", "target": "/h"}]}, "known only when it is deployed"),
        ({"volumes": ["${M:-/:/host}"]}, "known only when it is deployed"),
        ({"volumes": ["da${X:-ta}:/h"]}, "known only when it is deployed"),
        ({"volumes": [{"type": "volume", "source": "d[[X]]", "target": "/h"}]}, "known only when it is deployed"),
        ({"network_mode": "[[MODE]]"}, "the host's network"),
        ({"pid": "${MODE}"}, "the host's processes (pid"),
        ({"networks": ["h"], "networks_at_root": {"h": {"external": True, "name": "host"}}}, "the host's network"),
        ({"networks": ["h"], "networks_at_root": {"h": {"external": {"name": "host"}}}}, "the host's network"),
        ({"networks": {"host": None}, "networks_at_root": {"host": {"external": True}}}, "the host's network"),
        ({"networks_at_root": {"default": {"external": True, "name": "host"}}}, "the host's network"),
        ({"networks": ["h"], "networks_at_root": {"h": {"external": True, "name": "${N}"}}}, "the host's network"),
        ({"networks": ["${N}"], "networks_at_root": {"host": {"external": True}}}, "the host's network"),
        (
            {"configs": ["${C}"], "configs_at_root": {"c": {"file": "/etc/shadow"}}},
            "a file of the host (file: /etc/shadow), as config 'c'",
        ),
        (
            {"configs": ["c"], "configs_at_root": {"c": {"file": "/etc/shadow"}}},
            "a file of the host (file: /etc/shadow), as config 'c'",
        ),
    ],
)
def test_what_reaches_the_host_needs_consent_once(service, words):
    after = compose(**service)
    [lost] = told({}, after)
    assert words in lost
    assert told(after, {COMPOSE: {**after[COMPOSE], "x-note": 1}}) == []


@pytest.mark.parametrize(
    "labels",
    [
        {"traefik.http.routers.a.rule": "${RULE}"},
        {"traefik.enable": "${ON:-true}", "traefik.http.routers.a.rule": "Host(`a`)"},
        {"Traefik.HTTP.routers.a.rule": "Host(`[[HOST]]`)"},
        {"[[T]].http.routers.a.rule": "Host(`a`)"},
        ["${T}.http.routers.a.rule=Host(`a`)"],
        ["${T:-traefik.http.routers.a.rule=Host(`a`)}"],
    ],
    ids=str,
)
def test_labels_that_nobody_can_tell_the_route_of_need_consent_again_with_each_thing_they_may_be(labels):
    was, will_be = ({**compose(labels=labels), **with_stack(environment=f"RULE={one}\nT={one}")} for one in "ab")
    [lost] = told({}, was)
    assert "service 'web' gets a route that is known only when it is deployed (label " in lost
    assert told(was, {**was, COMPOSE: {**was[COMPOSE], "x-note": 1}}) == []
    assert told(was, will_be) == ([lost] if "${" in str(labels) and "ON" not in str(labels) else [])


def test_labels_that_say_what_they_say_cost_nothing():
    labels = {"traefik.http.middlewares.a.basicauth.users": "ada:$$apr1$$x$$y", "note": "of ${WHO}"}
    assert told({}, compose(labels=labels)) == []


def test_a_widened_grant_is_another_one():
    before = compose(devices=["/dev/dri"])
    assert len(told(before, compose(devices=["/dev/dri", "/dev/sda"]))) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"image": "evil"}, {"command": "sh"}, {"entrypoint": ["sh"]}, {"healthcheck": {"test": "rm -rf /host"}},
        {"environment": {"RUN": "sh"}}, {"user": "root"}, {"working_dir": "/host"},
        {"configs": [{"source": "c", "target": "/run.sh"}], "configs_at_root": {"c": {"content": "x"}}},
    ],
)  # fmt: skip
def test_something_else_that_runs_with_the_same_rights_is_another_danger(more):
    [lost] = told(compose(privileged=True), compose(**{"privileged": True, **more}))
    assert "all rights on the host" in lost
    assert told(compose(), compose(**more)) == []


def network(**said):
    return {"networks": ["n"], "networks_at_root": {"n": said}}


def volume(**said):
    return {"volumes": ["v:/v"], "volumes_at_root": {"v": said}}


def secret(**said):
    return {"secrets": ["s"], "secrets_at_root": {"s": said}}


NFS = {"type": "nfs", "o": "addr=10.0.0.2,rw", "device": ":/media"}
STATIC = {"config": [{"subnet": "172.30.0.0/24"}]}


@pytest.mark.parametrize(
    ("service", "other"),
    [
        (network(ipam=STATIC), network(ipam={"config": [{"subnet": "192.168.1.0/24"}]})),
        (network(driver_opts={"com.docker.network.bridge.name": "br0"}), network(driver_opts={"parent": "eth0"})),
        (network(driver="macvlan"), network(driver="ipvlan")),
        ({"logging": {"driver": "journald"}}, {"logging": {"driver": "syslog"}}),
        (
            {"logging": {"driver": "syslog"}},
            {"logging": {"driver": "syslog", "options": {"syslog-address": "tcp://elsewhere"}}},
        ),
        ({"env_file": ".env"}, {"env_file": "/etc/other"}),
        ({"label_file": "a"}, {"label_file": "b"}),
        (volume(driver_opts=NFS), volume(driver_opts={**NFS, "device": ":/"})),
        (volume(driver_opts={**NFS, "device": "nas:/"}), volume(driver_opts={**NFS, "device": "nas:/all"})),
        (volume(driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=1g"}), volume(driver_opts=NFS)),
        (
            volume(driver_opts={"type": "none", "o": "bind", "device": "/srv/media"}),
            volume(driver_opts={"type": "none", "o": "bind", "device": "/srv/other"}),
        ),
        (volume(driver="rclone"), volume(driver="other")),
        (secret(file="./key"), secret(file="./other")),
        (secret(file="key.txt"), secret(file="other.txt")),
        (secret(file="/srv/key"), secret(file="/etc/shadow")),
    ],
)
def test_what_gives_no_rights_over_the_host_is_asked_for_when_it_changes_and_not_at_each_image(service, other):
    before = compose(**service)
    assert len(told({}, before)) == 1
    assert told(before, compose(**service, image="b", environment={"A": "b"})) == []
    assert [one for one in told(before, compose(**other)) if one.startswith("service 'web' gets ")] != []


@pytest.mark.parametrize(
    "service",
    [
        volume(driver_opts={"type": "none", "o": "bind", "device": "/"}),
        volume(driver_opts={**NFS, "o": "bind", "device": "/etc"}),
        volume(driver_opts={"type": "none", "o": "bind", "device": "${ROOT}"}),
        volume(driver_opts={"type": "none", "o": "bind", "device": "/srv/../etc"}),
        volume(driver_opts={"type": "overlay", "o": "lowerdir=/", "device": "overlay"}),
        volume(driver_opts={"type": "ext4", "device": "/dev/sda1"}),
        volume(driver_opts={"type": "${T}", "device": "/srv/media"}),
        volume(driver="plugin", driver_opts={"mountpoint": "/"}),
        volume(driver_opts="${O}"),
        secret(file="/var/run/docker.sock"),
        secret(file="/"),
        secret(file="../../etc/shadow"),
        secret(newer="x"),
        network(newer="x"),
        {"newer": "x"},
    ],
)
def test_a_definition_that_leads_to_the_host_itself_is_asked_for_with_each_image(service):
    before = compose(**service)
    assert len(told(before, compose(**service, image="b"))) == 1
    assert told(before, compose(**service, ports=["80:80"])) == []


def test_another_script_for_what_has_all_rights_is_another_danger():
    def running(script, **more):
        configs = {"configs": [{"source": "c", "target": "/run.sh"}], "configs_at_root": {"c": {"content": script}}}
        return compose(privileged=True, **configs, **more)

    assert len(told(running("a"), running("b"))) == 1
    assert told(running("a"), running("a", ports=["80:80"])) == []


def test_options_of_a_volume_whose_name_is_filled_in_later_are_told():
    root = {"data": {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}}
    lost = told({}, compose(volumes=["da${X:-ta}:/h"], volumes_at_root=root))
    assert any("as volume 'data'" in one for one in lost)


def test_another_variable_for_what_reaches_the_host_is_another_danger():
    mounted = compose(volumes=["${DATA}:/data"])
    before = {**mounted, **with_stack(environment="DATA=./data")}
    [lost] = told(before, {**mounted, **with_stack(environment="DATA=/")})
    assert "a path of the host (${DATA} at /data)" in lost
    assert told({**HARMLESS, **with_stack()}, {**HARMLESS, **with_stack(environment="TZ=UTC")}) == []


@pytest.mark.parametrize(
    ("was", "will_be", "asked"),
    [
        ("DATA=/srv\nTZ=a", "DATA=/srv\nTZ=b", False),
        ("DATA=/srv\nTZ=a", "TZ=a\n\n# all there is\nDATA=/srv", False),
        ("DATA=/srv", "DATA=/", True),
        ("DATA=/srv", "DATA=/srv\nDATA=/", True),
        ("DATA=/srv", "export DATA=/", True),
        ("DATA=${ROOT}/a\nROOT=/srv", "DATA=${ROOT}/a\nROOT=/", True),
        ("DATA=/[[A]]\nROOT=a", "DATA=/[[A]]\nROOT=b", False),
        ("DATA=$R[[A]]\nROOT=a", "DATA=$R[[A]]\nROOT=b", True),
        ('DATA="/srv\nTZ=a"', 'DATA="/srv\nTZ=/../../etc"', True),
    ],
)
def test_a_folder_whose_name_is_filled_in_is_asked_for_when_its_own_variables_change(was, will_be, asked):
    mounted = compose(volumes=["${DATA}/x:/x"])
    lost = told({**mounted, **with_stack(environment=was)}, {**mounted, **with_stack(environment=will_be)})
    assert lost == (["service 'web' gets a path of the host (${DATA}/x at /x)"] if asked else [])


def with_stack(**config):
    return {STACK: {"server": "nas", **config}}


@pytest.mark.parametrize(
    "config",
    [
        {"pre_deploy": {"path": "", "command": "rm -rf /"}},
        {"post_deploy": {"path": "", "command": "x"}},
        {"compose_cmd_wrapper": "sudo [[COMPOSE]]"},
        {"extra_args": ["--x"]},
        {"build_extra_args": ["--x"]},
        {"run_build": True},
        {"clone_path": "/etc"},
        {"files_on_host": True},
        {"file_paths": ["/etc/cron.d/x"]},
        {"run_directory": "/etc"},
        {"env_file_path": "/etc/cron.d/x"},
        {"additional_env_files": ["/etc/shadow"]},
    ],
    ids=lambda config: next(iter(config)),
)
def test_what_runs_or_writes_on_the_host_needs_consent(config):
    [lost] = told(with_stack(), with_stack(**config))
    assert f"({next(iter(config))})" in lost
    assert told(with_stack(**config), with_stack(**config, links=["x"])) == []
    assert told(with_stack(**config), with_stack()) == []


def test_data_that_would_be_left_behind_needs_consent():
    before = compose(volumes=["data:/data"], volumes_at_root={"data": None})
    assert "volume 'data' would be used no more" in told(before, compose())[0]
    renamed = compose(volumes=["data:/data"], volumes_at_root={"data": {"name": "other"}})
    assert any("volume 'data' would be another one" in one for one in told(before, renamed))
    elsewhere = compose(volumes=["data:/other"], volumes_at_root={"data": None})
    assert "would no longer find volume 'data' at /data" in told(before, elsewhere)[0]
    assert "its volumes stay behind" in told(with_stack(), {STACK: {"server": "pi"}})[0]
    assert "other volumes" in told(with_stack(), with_stack(project_name="x"))[0]
    assert told({**with_stack(), **before}, {}) == ["it would be taken down; its volumes stay, and nothing uses them"]


def test_files_of_another_repository_are_looked_at_by_a_person_at_each_commit():
    one, other = (with_stack(repo="lab/x", commit=sign * 40) for sign in "ab")
    assert "come from lab/x at aaaaaaaaaaaa" in told({}, one)[0]
    assert len(told(one, other)) == 1
    assert told(one, {STACK: {**one[STACK], "links": ["x"]}}) == []
    assert "come from lab/x" in told(one, {STACK: {**one[STACK], "git_https": False}})[0]
    assert "come from lab/x" in told(one, {STACK: {**one[STACK], "git_account": "other"}})[0]


def test_a_service_that_goes_is_shown():
    before = {COMPOSE: {"services": {"web": {"image": "a"}, "db": {"image": "b"}}}}
    assert told(before, compose(), "shown") == ["service 'db' would be removed"]


def test_only_of_a_komodo_something_refused_may_be_left_as_it_is():
    assert Policy.model_validate({"targets": {"komodo": {"refused": "leave"}}}).targets["komodo"].refused == "leave"
    with pytest.raises(ValueError, match="can only be left as it is on a Komodo"):
        Policy.model_validate({"targets": {"traefik": {"refused": "leave"}}})


def test_another_image_with_the_same_folder_for_its_data_costs_nothing():
    def mounted(source, **more):
        return compose(**{"volumes": [f"{source}:/data"], **more})

    assert told(mounted("/srv/media"), mounted("/srv/media", image="b")) == []
    assert told(mounted("/etc"), mounted("/etc", image="b")) != []
