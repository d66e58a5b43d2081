"""What the doctor finds about the gateway's own eyes: blind, turned away, with more rights than to look, or well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import config
from reconciler.doctor import check_up, reading
from tests.authentik.fake_authentik import running
from tests.gitea.fake_gitea import FakeGitea
from tests.gitea.fake_gitea import running as gitea_running
from tests.komodo.fake_komodo import KEY, SECRET
from tests.komodo.fake_komodo import running as komodo_running

NOBODY = "http://127.0.0.1:9"
OURS = {"komodo_key": "K-ours", "komodo_secret": "S-ours", "authentik_token": "ours"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def gitea(tmp_path: Path) -> Iterator[tuple[FakeGitea, str]]:
    with gitea_running(tmp_path / "desired.git") as both:
        yield both


def found(place: Path, held: dict[str, str], **chosen: str) -> tuple[str, str]:
    """The one finding, where these secrets are held, by their settings."""
    for name, secret in held.items():
        (place / name).write_text(secret)
    told = {**{name: f"file:{place / name}" for name in held}, **chosen}
    settings = config.load({f"WAYPOST_{name.upper()}": text for name, text in told.items()}, place)
    [one] = reading.examine(settings)
    return one.level, f"{one.check}: {one.found} → {one.remedy}"


def test_nothing_is_said_where_there_is_nothing_to_read(place: Path) -> None:
    assert list(reading.examine(config.load({}, place))) == []
    assert reading.examine in check_up.SYSTEMS


def test_the_gateways_key_of_a_komodo(place: Path) -> None:
    read = {"komodo_read_key": KEY, "komodo_read_secret": SECRET}
    with komodo_running() as komodo:
        level, said = found(place, OURS, komodo_url=komodo.url)
        assert level == "warn" and "Set WAYPOST_KOMODO_READ_KEY" in said
        assert found(place, OURS | read, komodo_url=komodo.url)[0] == "ok"
        level, said = found(place, OURS | {**read, "komodo_key": KEY}, komodo_url=komodo.url)
        assert level == "warn" and "what the reconciler writes with" in said
        level, said = found(place, OURS | {**read, "komodo_read_key": "K-wrong"}, komodo_url=komodo.url)
        assert level == "fail" and "WAYPOST_KOMODO_READ_KEY" in said and "K-wrong" not in said
    assert found(place, OURS | read, komodo_url=NOBODY)[0] == "fail"


def test_the_gateways_key_of_a_further_komodo(place: Path) -> None:
    held = {"key": "K-ours", "secret": "S-ours", "read_key": KEY, "read_secret": SECRET}
    with komodo_running() as komodo:
        lines = [f'{key} = "file:{place / key}"' for key in held]
        (place / "targets.toml").write_text("\n".join(["[attic]", 'kind = "komodo"', f'url = "{komodo.url}"', *lines]))
        for key, secret in held.items():
            (place / key).write_text(secret)
        assert found(place, {})[0] == "ok"
        (place / "read_key").write_text("wrong")
        level, said = found(place, {})
    assert level == "fail" and said.startswith("attic: reading") and "read_key of [attic] in targets.toml" in said


def test_the_gateways_token_of_an_authentik(place: Path) -> None:
    with running() as authentik:
        for token, level in (("right", "ok"), ("wrong", "fail")):
            held = OURS | {"authentik_read_token": token}
            assert found(place, held, authentik_url=authentik.url)[0] == level
        assert found(place, OURS, authentik_url=authentik.url)[0] == "warn"


def test_the_gateways_token_of_a_gitea(place: Path, gitea: tuple[FakeGitea, str]) -> None:
    fake, url = gitea
    chosen = {"gitea_url": url, "desired_repo": "https://git.lab/house/desired.git"}
    level, said = found(place, {}, **chosen)
    assert level == "warn" and "WAYPOST_GITEA_READ_TOKEN" in said
    level, said = found(place, {"gitea_read_token": "alices"}, **chosen)
    assert level == "fail" and "may push main" in said
    fake.protected = {"waypost"}
    assert found(place, {"gitea_read_token": "alices"}, **chosen)[0] == "ok"
    assert found(place, {"gitea_read_token": "wrong"}, **chosen)[0] == "fail"
