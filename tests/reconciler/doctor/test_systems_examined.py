"""What the doctor finds about Komodo, authentik and Gitea: away, closed to us, open past every review, or well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import config
from reconciler.doctor import systems
from tests.authentik.fake_authentik import running
from tests.gitea.fake_gitea import US, FakeGitea
from tests.gitea.fake_gitea import running as gitea_running
from tests.komodo.fake_komodo import KEY, SECRET
from tests.komodo.fake_komodo import running as komodo_running

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name, text in {"key": KEY, "secret": SECRET, "token": "right", "wrong": "wrong"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def found(home: Path, **chosen: str) -> dict[str, tuple[str, str]]:
    settings = config.load({f"WAYPOST_{name.upper()}": text for name, text in chosen.items()}, home)
    return {one.check: (one.level, one.found) for one in systems.examine(settings)}


def komodo_at(url: str, secrets: Path, key: str = "key") -> dict[str, str]:
    return {"komodo_url": url, "komodo_key": f"file:{secrets / key}", "komodo_secret": f"file:{secrets / 'secret'}"}


def gitea_at(url: str, secrets: Path, token: str = "token") -> dict[str, str]:
    return {
        "gitea_url": url,
        "desired_repo": "https://git.lab/house/desired.git",
        "gitea_token": f"file:{secrets / token}",
    }


@pytest.fixture
def gitea(tmp_path: Path) -> Iterator[tuple[FakeGitea, str]]:
    with gitea_running(tmp_path / "desired.git") as both:
        yield both


def test_nothing_is_said_of_what_is_not_configured(tmp_path: Path) -> None:
    assert found(tmp_path) == {}


def test_a_komodo_is_well_away_or_does_not_know_our_key(secrets: Path) -> None:
    with komodo_running() as serving:
        assert found(secrets, **komodo_at(serving.url, secrets))["komodo: answers"][0] == "ok"
        level, said = found(secrets, **komodo_at(serving.url, secrets, "wrong"))["komodo: answers"]
        assert (level, "WAYPOST_KOMODO_KEY" in said) == ("fail", True)
        serving.komodo.servers = {}
        assert found(secrets, **komodo_at(serving.url, secrets))["komodo: servers"][0] == "warn"
    assert found(secrets, **komodo_at(NOBODY, secrets))["komodo: answers"][0] == "fail"


def test_an_authentik_is_well_away_or_does_not_know_our_token(secrets: Path) -> None:
    with running() as authentik:
        for token, expected in (("token", "ok"), ("wrong", "fail")):
            chosen = {"authentik_url": authentik.url, "authentik_token": f"file:{secrets / token}"}
            assert found(secrets, **chosen)["authentik: answers"][0] == expected
    chosen = {"authentik_url": NOBODY, "authentik_token": f"file:{secrets / 'token'}"}
    assert found(secrets, **chosen)["authentik: answers"][0] == "fail"


def test_a_gitea_whose_main_we_could_push_is_told(secrets: Path, gitea: tuple[FakeGitea, str]) -> None:
    fake, url = gitea
    said = found(secrets, **gitea_at(url, secrets))
    assert said["gitea: answers"][0] == "ok" and US in said["gitea: answers"][1]
    assert said["gitea: main"][0] == "warn"
    fake.protected = {"alice"}
    assert found(secrets, **gitea_at(url, secrets))["gitea: main"][0] == "ok"
    assert found(secrets, **gitea_at(url, secrets, "wrong"))["gitea: answers"][0] == "fail"
    fake.down = True
    assert found(secrets, **gitea_at(url, secrets))["gitea: answers"][0] == "fail"
