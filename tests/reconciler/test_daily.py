"""What comes to its end is told in time: certificates as visitors are shown them, credentials of ours."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconciler import alerts, credentials, daily
from reconciler.certificates import ending
from reconciler.certificates.ending import Door
from reconciler.certificates.leaf import Leaf
from reconciler.config import Settings, System
from reconciler.core.target import TargetError
from reconciler.credentials import Credential
from reconciler.git.store import Store
from reconciler.home import Home
from reconciler.setting import Secret
from reconciler.world import World
from state import events, views
from state.log import Entry, EventLog
from tests.authentik import fake_authentik as authentiks
from tests.authentik.fake_authentik import FakeAuthentik
from tests.komodo import fake_komodo as komodos
from tests.komodo.fake_komodo import FakeKomodo
from tests.reconciler.secret_stores.vault import FakeVault, serving

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DOOR = Door("git.lab", "websecure", "127.0.0.1", 443)


def leaf(left: float, lives: float = 90, subject: str = "git.lab") -> Leaf:
    ends = NOW + timedelta(days=left)
    return Leaf(subject, "R11", ("git.lab",), ends - timedelta(days=lives), ends, False)


@dataclass
class Clock:
    """Time that a test sets."""

    moment: datetime = NOW

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@dataclass
class House:
    """A home whose log is real, and of whose certificates a test says what is shown."""

    world: World
    settings: Settings
    clock: Clock
    shown: dict[Door, Leaf | None] = field(default_factory=dict)

    def judge(self, *, days: float = 0) -> list[events.Event]:
        """What is news of the certificates after so many days."""
        self.clock.moment, before = NOW + timedelta(days=days), self.world.log.head().seq
        known = self.world.log.view(views.Expiring).certificates
        for event in ending.news("traefik", known, self.shown, self.clock.moment):
            self.world.log.append(Entry(stream="daily", event=event))
        return [one.event for one in self.world.log.read(before)]

    def raised(self) -> list[str]:
        before = self.world.log.head().seq
        alerts.decide(self.world)
        heard = (one.event for one in self.world.log.read(before))
        return [f"{one.severity}: {one.title}" for one in heard if isinstance(one, events.AlertRaised)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    clock = Clock()
    with contextlib.closing(EventLog.open(tmp_path / "log.db", now=clock.now, create=True)) as log:
        store = Store.create(tmp_path / "desired.git")
        world = World(log=log, store=store, targets={}, clock=clock, chance=os.urandom)
        yield House(world, Settings(home=tmp_path), clock)


# ── certificates ─────────────────────────────────────────────────────────────────────────────────


def test_one_that_ends_in_two_weeks_is_told_once_and_once_more_when_it_has_ended(house: House) -> None:
    house.shown = {DOOR: leaf(15)}
    assert house.judge() == [] and house.raised() == []
    assert len(house.judge(days=1.1)) == 1
    assert house.raised() == ["warning: the certificate of git.lab (websecure) will end soon"]
    assert house.judge(days=5) == [] and house.raised() == []
    assert house.judge(days=12.5) == []
    assert house.raised() == ["warning: the certificate of git.lab (websecure) will end soon"]
    house.judge(days=15.5)
    assert "critical: the certificate of git.lab (websecure) ended" in house.raised()


def test_one_of_six_days_is_told_of_in_its_last(house: House) -> None:
    house.shown = {DOOR: leaf(5, lives=6)}
    assert house.judge() == []
    assert len(house.judge(days=4.2)) == 1


def test_what_is_renewed_or_not_served_any_more_is_over_and_silence_is_not(house: House) -> None:
    other = Door("wiki.lab", "websecure", "127.0.0.1", 443)
    house.shown = {DOOR: leaf(3), other: leaf(3)}
    house.judge()
    house.shown = {DOOR: None, other: None}
    assert house.judge(days=1) == []
    house.shown = {DOOR: leaf(80)}
    assert {type(one) for one in house.judge(days=1)} == {events.CertificateRenewed}
    assert house.world.log.view(views.Expiring).certificates == {}


def test_many_of_one_traefik_are_one_alert(house: House) -> None:
    house.shown = {Door(f"{n}.lab", "websecure", "127.0.0.1", 443): leaf(3) for n in range(5)}
    house.judge()
    assert house.raised() == ["warning: 5 certificates of traefik will end soon"]


def test_the_stand_in_of_traefik_is_no_certificate_that_ends(house: House) -> None:
    house.shown = {DOOR: leaf(3, subject="TRAEFIK DEFAULT CERT")}
    assert house.judge() == []


def test_only_what_traefik_itself_decrypts_is_asked_for() -> None:
    def router(name: str, **more: Any) -> Mapping[str, Any]:
        shape = {"tls": True, "passthrough": False, "disabled": False, "entry_points": ["websecure"]}
        return {"hosts": [f"{name}.lab"], **shape, **more}

    told = {
        "entry_points": [{"name": "websecure", "host": "10.0.0.2", "port": 443}],
        "routers": [
            router("a"), router("b", tls=False), router("c", passthrough=True), router("d", disabled=True),
            router("e", entry_points=["elsewhere"]), router("*.f"),
        ],
    }  # fmt: skip
    found = ending.doors(told)
    assert [one.host for one in found] == ["*.f.lab", "a.lab"]
    assert [one.asked for one in found] == ["waypost.f.lab", "a.lab"]


# ── credentials ──────────────────────────────────────────────────────────────────────────────────


def judged(house: House, *found: Credential) -> list[str]:
    """What is news of these credentials, in a word each."""
    told = list(credentials.news(house.world.log.view(views.Expiring), found, house.clock.moment))
    for event in told:
        house.world.log.append(Entry(stream="daily", event=event))
    return [type(event).__name__ for event in told]


def test_a_credential_that_ends_soon_is_told_once_until_it_is_another(house: House) -> None:
    soon = Credential("WAYPOST_VAULT_TOKEN", NOW + timedelta(days=6))
    assert judged(house, Credential("WAYPOST_VAULT_TOKEN", NOW + timedelta(days=8))) == []
    assert [judged(house, soon), judged(house, soon)] == [["CredentialFailing"], []]
    assert house.raised() == ["warning: what WAYPOST_VAULT_TOKEN refers to ends soon"]
    assert judged(house, Credential("WAYPOST_VAULT_TOKEN", unsure=True)) == []
    assert judged(house, Credential("WAYPOST_VAULT_TOKEN")) == ["CredentialSound"]


def test_one_that_is_not_accepted_is_worse_than_one_that_ends(house: House) -> None:
    refused = Credential("WAYPOST_GITEA_TOKEN", fault="Gitea refuses it")
    soon = Credential("WAYPOST_GITEA_TOKEN", NOW + timedelta(days=1))
    assert judged(house, soon, refused, Credential("WAYPOST_GITEA_TOKEN")) == ["CredentialFailing"]
    assert house.raised() == ["critical: what WAYPOST_GITEA_TOKEN refers to is not accepted"]
    assert judged(house) == ["CredentialSound"]


def test_a_signed_token_tells_its_own_end(house: House, tmp_path: Path) -> None:
    def token(claims: Any) -> str:
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"eyJhbGciOiJIUzI1NiJ9.{body}.c2ln"

    for claims, ends in (
        ({"exp": 1_800_000_000}, True),
        ([1], False),
        ({"exp": "x"}, False),
        ({"exp": 1e300}, False),
    ):
        (tmp_path / "token").write_text(token(claims))
        settings = Settings(home=tmp_path, git_token=Secret(f"file:{tmp_path}/token", "WAYPOST_GIT_TOKEN"))
        (found,) = credentials.looked_at(settings, None, NOW)
        assert found.name == "WAYPOST_GIT_TOKEN" and bool(found.ends) == ends and not found.fault


def test_a_reference_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, git_token=Secret(f"file:{tmp_path}/gone", "WAYPOST_GIT_TOKEN"))
    (found,) = credentials.looked_at(settings, None, NOW)
    assert "cannot be read" in found.fault


@pytest.mark.parametrize(
    "ttl, status, said", [(3600, 200, "ends"), (0, 200, ""), (0, 403, "refuses"), (0, 503, "unsure")]
)
def test_the_vault_says_how_long_its_token_lasts(tmp_path: Path, ttl: int, status: int, said: str) -> None:
    (tmp_path / "token").write_text("right")
    with serving(FakeVault({}, token="right", ttl=ttl, status=status)) as vault:
        token = Secret(f"file:{tmp_path}/token", "WAYPOST_VAULT_TOKEN")
        found = list(credentials.looked_at(Settings(home=tmp_path, vault_url=vault.url, vault_token=token), None, NOW))
    last = found[-1]
    assert {"ends": last.ends is not None, "": last == Credential(last.name), "unsure": last.unsure}.get(
        said, said in last.fault
    )


def system(kind: str, url: str, directory: Path, **secrets: str) -> System:
    """A system with its credentials, as the settings would have it."""
    for name, text in secrets.items():
        (directory / name).write_text(text)
    held = {name: Secret(f"file:{directory / name}", f"WAYPOST_{kind.upper()}_{name.upper()}") for name in secrets}
    return System(name=kind, kind=kind, url=url, secrets=held, deadline=1.0)


@pytest.fixture
def komodo(tmp_path: Path) -> Iterator[tuple[FakeKomodo, Settings]]:
    serving = komodos.Serving(FakeKomodo())
    secrets = {"key": komodos.KEY, "secret": komodos.SECRET}
    yield serving.komodo, Settings(home=tmp_path, systems=(system("komodo", serving.url, tmp_path, **secrets),))
    serving.close()
    assert serving.komodo.faults == []


def asked(settings: Settings, name: str) -> Credential:
    """What the system itself says, which comes last."""
    return [one for one in credentials.looked_at(settings, None, NOW) if one.name == name][-1]


def test_komodo_says_when_our_key_ends_and_not_when_another_one_does(komodo: tuple[FakeKomodo, Settings]) -> None:
    fake, settings = komodo
    name, soon = "WAYPOST_KOMODO_KEY", NOW + timedelta(days=3)
    assert asked(settings, name) == Credential(name)
    fake.keys[komodos.KEY] = int(soon.timestamp() * 1000)
    assert asked(settings, name) == Credential(name, soon)
    del fake.keys[komodos.KEY]
    assert "does not name it" in asked(settings, name).undated
    fake.down = True
    assert asked(settings, name).unsure


def test_authentik_says_when_the_tokens_of_our_account_end(tmp_path: Path) -> None:
    authentik = FakeAuthentik()
    serving = authentiks.Serving(authentik)
    settings = Settings(home=tmp_path, systems=(system("authentik", serving.url, tmp_path, token=authentik.token),))
    name, soon = "WAYPOST_AUTHENTIK_TOKEN", NOW + timedelta(days=3)

    def token(identifier: str, ends: datetime | None) -> dict[str, Any]:
        return {"identifier": identifier, "expiring": ends is not None, "expires": ends and ends.isoformat()}

    assert asked(settings, name) == Credential(name)
    authentik.tokens = [token("old", NOW - timedelta(days=1)), token("now", soon)]
    assert asked(settings, name) == Credential(name, soon)
    authentik.tokens += [token("other", None), token("third", NOW + timedelta(days=90))]
    found = asked(settings, name)
    assert (found.ends, "one of the 3 tokens" in found.what) == (soon, True)
    authentik.tokens = []
    assert "shows its account no token" in asked(settings, name).undated
    serving.close()
    assert authentik.faults == []


def test_when_nobody_says_when_it_ends_that_is_told_once(house: House) -> None:
    silent = Credential("WAYPOST_KOMODO_KEY", undated="Komodo does not say")
    assert [judged(house, silent), judged(house, silent)] == [["CredentialUndated"], []]
    assert judged(house, Credential("WAYPOST_KOMODO_KEY", unsure=True)) == []
    assert house.raised() == []
    assert judged(house, Credential("WAYPOST_KOMODO_KEY", NOW + timedelta(days=90))) == ["CredentialSound"]
    assert [judged(house, silent), judged(house)] == [["CredentialUndated"], ["CredentialSound"]]


# ── once a day ───────────────────────────────────────────────────────────────────────────────────


def test_it_is_looked_once_a_day_and_an_hour_after_a_traefik_that_was_away(house: House) -> None:
    asked: list[datetime] = []
    away = True

    def encryption(instance: str) -> Mapping[str, Any]:
        asked.append(house.clock.moment)
        if away:
            raise TargetError("connection refused")
        return {"witness": "", "entry_points": [], "routers": []}

    place: Any = SimpleNamespace(name="traefik")
    home = cast(Home, SimpleNamespace(settings=Settings(home=house.settings.home, places=(place,))))
    for hours in (0, 0.5, 1.1, 2, 20, 24, 26, 49):
        house.clock.moment = NOW + timedelta(hours=hours)
        away = hours == 0
        daily.look(home, house.world, encryption)
    assert [round((one - NOW).total_seconds() / 3600, 1) for one in asked] == [0, 1.1, 26]
