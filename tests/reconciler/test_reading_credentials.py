"""What the gateway reads with is asked for its end as all else is, where the systems tell; else that is said once."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler import config, credentials
from reconciler.credentials import Credential
from reconciler.gitea.address import repository_in
from reconciler.gitea.api import Gitea
from state import events
from state.expiring import Expiring
from tests.authentik.fake_authentik import running
from tests.dozzle.containers_told import Containers, FakeDozzle
from tests.gitea.fake_gitea import FakeGitea
from tests.gitea.fake_gitea import running as gitea_running
from tests.komodo.fake_komodo import KEY, SECRET
from tests.komodo.fake_komodo import running as komodo_running
from tests.shards.serving import served

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(days=3)
NOBODY = "http://127.0.0.1:9"


def asked(home: Path, name: str, kept: dict[str, str], **chosen: str) -> Credential:
    """What a system says of the credential that this setting refers to; `kept` are the secrets, by setting."""
    for setting, secret in kept.items():
        (home / setting).write_text(secret)
    references = {setting: f"file:{home / setting}" for setting in kept}
    settings = config.load(references | {f"WAYPOST_{key.upper()}": text for key, text in chosen.items()}, home)
    return [one for one in credentials.looked_at(settings, None, NOW) if one.name == name][-1]


def test_the_read_key_of_komodo(tmp_path: Path) -> None:
    ours = {"WAYPOST_KOMODO_KEY": "K-mine", "WAYPOST_KOMODO_SECRET": "S-mine"}
    kept = {**ours, "WAYPOST_KOMODO_READ_KEY": KEY, "WAYPOST_KOMODO_READ_SECRET": SECRET}
    with komodo_running() as komodo:
        assert asked(tmp_path, "WAYPOST_KOMODO_READ_KEY", kept, komodo_url=komodo.url).ends is None
        komodo.komodo.keys[KEY] = int(SOON.timestamp() * 1000)
        assert asked(tmp_path, "WAYPOST_KOMODO_READ_KEY", kept, komodo_url=komodo.url).ends == SOON
    assert asked(tmp_path, "WAYPOST_KOMODO_READ_KEY", kept, komodo_url=NOBODY).unsure


def test_the_read_token_of_authentik(tmp_path: Path) -> None:
    kept = {"WAYPOST_AUTHENTIK_TOKEN": "mine", "WAYPOST_AUTHENTIK_READ_TOKEN": "right"}
    with running() as authentik:
        authentik.tokens = [{"identifier": "look", "expiring": True, "expires": SOON.isoformat()}]
        assert asked(tmp_path, "WAYPOST_AUTHENTIK_READ_TOKEN", kept, authentik_url=authentik.url).ends == SOON
    assert asked(tmp_path, "WAYPOST_AUTHENTIK_READ_TOKEN", kept, authentik_url=NOBODY).unsure


def test_the_read_key_of_a_further_komodo(tmp_path: Path) -> None:
    name = "read_key of [attic] in targets.toml"
    held = {"key": "K-mine", "secret": "S-mine", "read_key": KEY, "read_secret": SECRET}
    with komodo_running() as komodo:
        komodo.komodo.keys[KEY] = int(SOON.timestamp() * 1000)
        lines = [f'{key} = "file:{tmp_path / key}"' for key in held]
        for key, secret in held.items():
            (tmp_path / key).write_text(secret)
        table = ["[attic]", 'kind = "komodo"', f'url = "{komodo.url}"', *lines]
        (tmp_path / "targets.toml").write_text("\n".join(table))
        assert asked(tmp_path, name, {}).ends == SOON


@pytest.fixture
def gitea(tmp_path: Path) -> Iterator[tuple[FakeGitea, str]]:
    with gitea_running(tmp_path / "desired.git") as both:
        yield both


@pytest.mark.parametrize(
    ("token", "desired", "said"),
    [
        ("right", "https://git.lab/house/desired.git", "tells of no token when it ends"),
        ("right", "", "nothing is read there with it"),
    ],
)
def test_of_a_token_of_gitea_it_is_said_that_nobody_tells_its_end(
    tmp_path: Path, gitea: tuple[FakeGitea, str], token: str, desired: str, said: str
) -> None:
    found = asked(
        tmp_path, "WAYPOST_GITEA_READ_TOKEN", {"WAYPOST_GITEA_READ_TOKEN": token}, gitea_url=gitea[1],
        desired_repo=desired,
    )  # fmt: skip
    assert said in found.undated and not found.fault


def test_a_read_token_that_gitea_refuses_is_no_use_and_one_that_is_away_may_be(
    tmp_path: Path, gitea: tuple[FakeGitea, str]
) -> None:
    where = {"gitea_url": gitea[1], "desired_repo": "https://git.lab/house/desired.git"}
    kept = {"WAYPOST_GITEA_READ_TOKEN": "wrong"}
    assert "it needs read:repository" in asked(tmp_path, "WAYPOST_GITEA_READ_TOKEN", kept, **where).fault
    gitea[0].down = True
    kept = {"WAYPOST_GITEA_READ_TOKEN": "right"}
    assert asked(tmp_path, "WAYPOST_GITEA_READ_TOKEN", kept, **where).unsure


def test_of_our_own_token_of_gitea_it_is_said_once(tmp_path: Path, gitea: tuple[FakeGitea, str]) -> None:
    repository, known = repository_in("https://git.lab/house/desired.git"), Expiring()
    assert repository
    with contextlib.closing(Gitea(gitea[1], repository, token=lambda: "right")) as ours:
        found = list(credentials.looked_at(config.load({}, tmp_path), ours, NOW))
    [told] = credentials.news(known, found, NOW)
    assert isinstance(told, events.CredentialUndated) and told.credential == "WAYPOST_GITEA_TOKEN"
    known.undated[told.credential] = told.reason
    assert list(credentials.news(known, found, NOW)) == []


def signed(claims: dict[str, Any]) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{body}.c2ln"


@pytest.mark.parametrize(
    ("auth", "shape"),
    [
        ("waypost:right", ""),
        ("waypost:wrong", "fault"),
        (signed({"exp": int(SOON.timestamp())}), ""),
        (signed({"user": "waypost"}), "undated"),
        ("opaque-token", "undated"),
    ],
)
def test_what_opens_dozzle(tmp_path: Path, auth: str, shape: str) -> None:
    with served(FakeDozzle(Containers()).application()) as url:
        found = asked(tmp_path, "WAYPOST_DOZZLE_AUTH", {"WAYPOST_DOZZLE_AUTH": auth}, dozzle_url=url)
    assert {name for name in ("fault", "undated") if getattr(found, name)} == ({shape} if shape else set())
    assert auth not in str(found)


def test_a_dozzle_that_is_away_is_no_word_on_what_opens_it(tmp_path: Path) -> None:
    kept = {"WAYPOST_DOZZLE_AUTH": "waypost:right"}
    assert asked(tmp_path, "WAYPOST_DOZZLE_AUTH", kept, dozzle_url=NOBODY).unsure
