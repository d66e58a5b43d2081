"""Settings: read once, wrong ones named all together, secrets never repeated, one declaration each."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import config
from reconciler.config import ConfigError, Listen
from reconciler.setting import Secret


def faults_of(environ: dict[str, str], home: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        config.load(environ, home)
    return str(raised.value)


def test_an_empty_home_has_every_setting_at_its_default(tmp_path):
    settings = config.load({}, tmp_path)
    for declared in config.SETTINGS:
        assert config.value(settings, declared.name) == declared.kind.parse(declared.default)
    assert settings.listen == Listen("127.0.0.1", 9100)
    assert settings.places == ()


def test_the_file_is_read_and_the_environment_wins(tmp_path):
    (tmp_path / "waypost.env").write_text(
        '# a comment\n\nexport WAYPOST_DESIRED_BRANCH="trunk"\nWAYPOST_LISTEN = 127.0.0.1:1\n'
    )
    settings = config.load({"WAYPOST_LISTEN": "127.0.0.1:2", "PATH": "/bin"}, tmp_path)
    assert (settings.desired_branch, settings.listen.port) == ("trunk", 2)


def test_an_empty_value_in_the_environment_is_no_choice(tmp_path):
    (tmp_path / "waypost.env").write_text("WAYPOST_READ_ONLY=yes\n")
    assert config.load({"WAYPOST_READ_ONLY": ""}, tmp_path).read_only is True


def test_every_wrong_setting_is_named_at_once_with_value_place_and_what_is_right(tmp_path):
    (tmp_path / "waypost.env").write_text("WAYPOST_LISTEN=9100\nnonsense\nWAYPOST_READ_ONLY=perhaps\n")
    said = faults_of({"WAYPOST_TRAEFIK_DEADLINE": "soon", "WAYPOST_CA_FILE": "/no/such.pem"}, tmp_path)
    file = tmp_path / "waypost.env"
    assert f"{file}:1: WAYPOST_LISTEN is '9100'; right would be host:port such as 127.0.0.1:9100" in said
    assert f"{file}:2: this line is not a setting" in said
    assert f"{file}:3: WAYPOST_READ_ONLY is 'perhaps'; right would be true or false" in said
    assert "environment: WAYPOST_TRAEFIK_DEADLINE is 'soon'" in said
    assert "environment: WAYPOST_CA_FILE is '/no/such.pem'; right would be a file that exists" in said


def test_an_unknown_setting_is_answered_with_the_nearest_name(tmp_path):
    assert "WAYPOST_LISTN is not a setting; did you mean WAYPOST_LISTEN?" in faults_of({"WAYPOST_LISTN": "x"}, tmp_path)


def test_a_setting_that_stands_twice_in_the_file_is_refused(tmp_path):
    (tmp_path / "waypost.env").write_text("WAYPOST_READ_ONLY=no\nWAYPOST_READ_ONLY=yes\n")
    assert "waypost.env:2: WAYPOST_READ_ONLY stands there a second time, after" in faults_of({}, tmp_path)


def test_the_file_cannot_say_where_the_home_is(tmp_path):
    (tmp_path / "waypost.env").write_text("WAYPOST_HOME=/elsewhere\n")
    assert "only the environment can set it" in faults_of({}, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAYPOST_DESIRED_REPO", "relative/path"),
        ("WAYPOST_DESIRED_REPO", "https://me:pass@git.example/r.git"),
        ("WAYPOST_DESIRED_BRANCH", "-x"),
        ("WAYPOST_DESIRED_BRANCH", "proposals/x"),
        ("WAYPOST_LISTEN", "::1:9100"),
        ("WAYPOST_LISTEN", "localhost:65536"),
        ("WAYPOST_PUBLIC_URL", "waypost.example.org"),
        ("WAYPOST_PUBLIC_URL", "https://waypost.example.org/path"),
        ("WAYPOST_TRAEFIK_API_URL", "ftp://traefik"),
        ("WAYPOST_TRAEFIK_ENTRY_POINTS", "192.168.1.2:443"),
        ("WAYPOST_TRAEFIK_ENTRY_POINTS", "websecure=192.168.1.2"),
        ("WAYPOST_TRAEFIK_API_URL", "http://user@traefik"),
        ("WAYPOST_TRAEFIK_API_URL", "http://traefik:99999"),
        ("WAYPOST_TRAEFIK_DYNAMIC_DIR", "dynamic"),
        ("WAYPOST_TRAEFIK_DELIVERY", "http"),
        ("WAYPOST_TRAEFIK_DEADLINE", "0s"),
        ("WAYPOST_GIT_TOKEN", "env:"),
        ("WAYPOST_ALERT_URLS", "somewhere"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(name, value, tmp_path):
    assert f"environment: {name} is '" in faults_of({name: value}, tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        "/srv/git/desired.git",
        "file:///srv/git/desired.git",
        "https://git.example/me/r.git",
        "ssh://git@git.example:2222/me/r.git",
        "git@git.example:me/r.git",
    ],
)
def test_a_desired_repo_may_be_a_path_or_any_address_git_knows(value, tmp_path):
    assert config.load({"WAYPOST_DESIRED_REPO": value}, tmp_path).desired_repo == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAYPOST_GIT_TOKEN", "hunter2hunter2"),
        ("WAYPOST_ALERT_URLS", "hunter2hunter2"),
        ("WAYPOST_DESIRED_REPO", "https://me:hunter2hunter2@git.example/r.git"),
        ("WAYPOST_TRAEFIK_API_URL", "http://me:hunter2hunter2@traefik"),
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_and_never_repeated(name, value, tmp_path):
    said = faults_of({name: value}, tmp_path)
    assert name in said
    assert "hunter2" not in said


def test_a_secret_is_a_reference_that_shows_nothing_and_is_read_when_needed(tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    settings = config.load({"WAYPOST_GIT_TOKEN": f"file:{token}"}, tmp_path)
    assert str(token) not in repr(settings)
    assert settings.git_token.reveal() == "first"
    token.write_text("rotated\n")
    assert settings.git_token.reveal() == "rotated"


def test_a_secret_that_is_not_there_names_the_setting_and_the_place(tmp_path):
    settings = config.load({"WAYPOST_GIT_TOKEN": "env:TOKEN"}, tmp_path)
    assert settings.git_token.reveal({"TOKEN": "x"}) == "x"
    with pytest.raises(ConfigError, match="WAYPOST_GIT_TOKEN refers to the environment variable TOKEN"):
        settings.git_token.reveal({})
    with pytest.raises(ConfigError, match="refers to the file .*absent, which cannot be read"):
        Secret(f"file:{tmp_path}/absent", "WAYPOST_GIT_TOKEN").reveal()


def test_a_variable_that_a_secret_refers_to_may_be_called_anything(tmp_path):
    environ = {"WAYPOST_GIT_TOKEN": "env:WAYPOST_MY_TOKEN", "WAYPOST_MY_TOKEN": "x"}
    assert config.load(environ, tmp_path).git_token.reveal(environ) == "x"


def test_alert_addresses_may_be_references_or_written_in_full(tmp_path):
    settings = config.load({"WAYPOST_ALERT_URLS": "json://localhost:1 env:NTFY", "NTFY": "ntfy://x"}, tmp_path)
    assert [url.reveal({"NTFY": "ntfy://x"}) for url in settings.alert_urls] == ["json://localhost:1", "ntfy://x"]
    assert "ntfy" not in repr(settings).lower()


def test_a_dynamic_directory_makes_the_default_instance(tmp_path):
    (place,) = config.load({"WAYPOST_TRAEFIK_DYNAMIC_DIR": "/etc/traefik/dynamic"}, tmp_path).places
    assert (place.name, place.dynamic_dir) == ("traefik", Path("/etc/traefik/dynamic"))
    assert (place.api_url, place.deadline) == ("http://127.0.0.1:8080", 15.0)


def test_further_instances_stand_in_targets_toml(tmp_path):
    (tmp_path / "targets.toml").write_text(
        '[edge]\nkind = "traefik"\napi_url = "http://10.0.0.2:8080"\ndynamic_dir = "/srv/edge"\n'
        'api_auth = "env:WAYPOST_EDGE"\ndeadline = "30s"\n'
    )
    settings = config.load({"WAYPOST_TRAEFIK_DYNAMIC_DIR": "/srv/a", "WAYPOST_EDGE": "u:p"}, tmp_path)
    assert [place.name for place in settings.places] == ["traefik", "edge"]
    assert settings.places[1].deadline == 30.0
    assert settings.places[1].api_auth.reveal({"WAYPOST_EDGE": "u:p"}) == "u:p"


def test_a_wrong_instance_is_named_with_file_table_and_key(tmp_path):
    (tmp_path / "targets.toml").write_text(
        'loose = 1\n[proxy]\nkind = "caddy"\n[traefik]\nkind = "traefik"\n[stacks]\nkind = "komodo"\nurl = "x"\n'
        '[edge]\nkind = "traefik"\napi_url = "nowhere"\nadress = "x"\n'
    )
    said = faults_of({}, tmp_path)
    file = tmp_path / "targets.toml"
    assert f"{file}: [proxy]: kind is 'caddy'; right would be 'traefik' or 'komodo' or 'authentik'" in said
    assert f"{file}: [stacks]: secret is missing; right would be" in said
    assert f"{file}: [stacks] url: WAYPOST_KOMODO_URL is 'x'" in said
    assert f"{file}: [edge]: dynamic_dir is missing" in said
    assert f"{file}: [edge] api_url: WAYPOST_TRAEFIK_API_URL is 'nowhere'" in said
    assert f"{file}: [edge]: 'adress' is not a key" in said
    assert f"{file}: [traefik]: an instance has a name of its own" in said
    assert f"{file}: [loose]: right would be a table" in said


def test_a_system_is_described_by_the_environment_or_by_a_table(tmp_path):
    (tmp_path / "targets.toml").write_text(
        '[lab]\nkind = "authentik"\nurl = "https://id.lab"\ntoken = "env:LAB_TOKEN"\ndeadline = "5s"\n'
        'context = "wiki=env:WIKI"\n'
    )
    chosen = {
        "WAYPOST_KOMODO_URL": "http://komodo:9120",
        "WAYPOST_KOMODO_KEY": "env:A",
        "WAYPOST_KOMODO_SECRET": "env:B",
    }
    komodo, lab = config.load(chosen, tmp_path).systems
    assert (komodo.name, komodo.kind, komodo.secrets["key"].reference, komodo.deadline) == (
        "komodo",
        "komodo",
        "env:A",
        120,
    )
    assert (lab.name, lab.kind, lab.url, lab.deadline) == ("lab", "authentik", "https://id.lab", 5)
    assert [(one.name, one.reference) for one in lab.context] == [("wiki", "env:WIKI")]
    told = r"^token of \[lab\] in targets.toml refers to the environment variable LAB_TOKEN"
    with pytest.raises(ConfigError, match=told):
        lab.secrets["token"].reveal({})


def test_a_system_without_its_credentials_is_told(tmp_path):
    said = faults_of({"WAYPOST_AUTHENTIK_URL": "https://id.lab"}, tmp_path)
    assert "WAYPOST_AUTHENTIK_TOKEN is missing, and WAYPOST_AUTHENTIK_URL is set" in said
    # The gateway never writes there, and has other credentials.
    assert config.load({"WAYPOST_AUTHENTIK_URL": "https://id.lab"}, tmp_path, writes=False).systems == ()


def test_a_targets_file_that_is_no_toml_is_named_with_line(tmp_path):
    (tmp_path / "targets.toml").write_text("[edge\n")
    assert "targets.toml: cannot be read: " in faults_of({}, tmp_path)
    assert "line 1" in faults_of({}, tmp_path)


def test_the_gateway_asks_the_reconciler_where_it_listens_unless_told_otherwise(tmp_path):
    assert config.load({}, tmp_path).query_url == "http://127.0.0.1:9101"
    everywhere = {"WAYPOST_RECONCILER_LISTEN": "[::]:7"}
    assert config.load(everywhere, tmp_path).query_url == "http://[::1]:7"
    told = {**everywhere, "WAYPOST_RECONCILER_URL": "http://reconciler:9101/"}
    assert config.load(told, tmp_path).query_url == "http://reconciler:9101"


def test_the_written_file_explains_every_setting_and_means_the_defaults(tmp_path):
    text = config.explained({})
    (tmp_path / "waypost.env").write_text(text)
    assert config.load({}, tmp_path) == config.load({}, tmp_path / "none").__class__(home=tmp_path)
    for declared in config.SETTINGS:
        assert f"\n#{declared.name}={declared.default}\n" in text
        assert declared.explanation.split()[0] in text


def test_a_commented_line_works_as_soon_as_its_comment_sign_is_removed(tmp_path):
    (tmp_path / "waypost.env").write_text(config.explained({}).replace("\n#WAYPOST", "\nWAYPOST"))
    config.load({}, tmp_path)


def test_a_chosen_setting_is_written_and_read_back(tmp_path):
    (tmp_path / "waypost.env").write_text(config.explained({"WAYPOST_TRAEFIK_DYNAMIC_DIR": "/srv/with space"}))
    assert config.load({}, tmp_path).traefik_dynamic_dir == Path("/srv/with space")


def test_the_table_has_a_row_for_every_setting():
    assert [row.split("`")[1] for row in config.table().splitlines()[2:]] == [one.name for one in config.SETTINGS]


def test_the_home_is_named_or_here_or_in_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert config.locate({"WAYPOST_HOME": "/srv/waypost"}, tmp_path) == Path("/srv/waypost")
    assert config.locate({}, tmp_path) == tmp_path / "user" / "waypost"
    (tmp_path / "waypost.env").touch()
    assert config.locate({}, tmp_path) == tmp_path
    with pytest.raises(ConfigError, match="WAYPOST_HOME is 'here'"):
        config.locate({"WAYPOST_HOME": "here"}, tmp_path)


@given(
    name=st.sampled_from([declared.name for declared in config.SETTINGS]),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
)
def test_any_text_is_a_value_or_a_named_fault_never_a_crash(name, text):
    try:
        config.load({name: text}, Path("/nonexistent"))
    except ConfigError as fault:
        assert name in str(fault)


@given(st.binary(max_size=200))
def test_any_bytes_in_the_file_are_settings_or_named_faults(content):
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "waypost.env").write_bytes(content)
        try:
            config.load({}, Path(directory))
        except ConfigError as fault:
            assert fault.faults
