"""Of what, whom and when: channels by name, instances that may be away, changes, and nobody's outage is another's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler import alerts, underway
from reconciler.alerting import missed
from reconciler.alerting.channels import OverApprise, Undelivered
from reconciler.alerting.receivers import Receivers
from reconciler.core.policy import AlertPolicy, AlertRoute
from reconciler.git.store import Store
from reconciler.setting import ALERT_ADDRESS, Secret
from reconciler.underway import Message
from reconciler.world import World
from state import events, views
from state.log import Entry, EventLog

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Time that a test moves by minutes."""

    minutes: float = 0.0

    def now(self) -> datetime:
        return BEGAN + timedelta(minutes=self.minutes)

    def monotonic(self) -> float:
        return self.minutes * 60

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@dataclass
class Channel:
    """A way out that keeps what it was given; `down` is why it takes nothing."""

    name: str
    down: str = ""
    taken: list[Message] = field(default_factory=list)

    @property
    def mark(self) -> str:
        return self.name

    def send(self, message: Message) -> None:
        if self.down:
            raise Undelivered(self.down)
        self.taken.append(message)

    @property
    def titles(self) -> list[str]:
        return [message.title.removeprefix("Waypost: ") for message in self.taken]


@dataclass
class Forgetful(Channel):
    kept: list[Sequence[Message]] = field(default_factory=list)

    def keep(self, messages: Sequence[Message]) -> None:
        self.kept.append(messages)


@dataclass
class House:
    clock: Clock
    world: World
    policy: AlertPolicy = field(default_factory=AlertPolicy)

    def say(self, *happened: events.Event) -> None:
        self.world.log.append([Entry(stream="test", event=event) for event in happened])

    def tell(self, receivers: Receivers) -> None:
        alerts.decide(self.world, self.policy, receivers.for_channels)
        alerts.deliver(self.world, receivers)

    def lose(self, instance: str = "traefik", reason: str = "away") -> None:
        self.say(events.TargetLost(instance=instance, reason=reason))

    def resolved(self) -> list[events.AlertResolved]:
        happened = (one.event for one in self.world.log.read())
        return [event for event in happened if isinstance(event, events.AlertResolved)]

    def find(self, instance: str = "traefik") -> None:
        self.say(events.TargetFound(instance=instance, reason="back"))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    clock, targets = Clock(), dict[str, Any].fromkeys(("traefik", "laptop"))
    with contextlib.closing(EventLog.open(tmp_path / "log.db", now=clock.now, create=True)) as log:
        store = Store.create(tmp_path / "desired.git")
        yield House(clock, World(log=log, store=store, targets=targets, clock=clock, chance=os.urandom))


# ── routes ───────────────────────────────────────────────────────────────────────────────────────


def test_each_channel_hears_what_is_for_it_and_of_the_end_of_that(house: House) -> None:
    phone, mail = Channel("phone"), Channel("mail")
    both = Receivers([phone, mail])
    wake = AlertRoute(severity=("critical",), to=("phone",))
    house.policy = AlertPolicy(routes={"wake": wake, "rest": AlertRoute(severity=("warning", "info"), to=("mail",))})
    house.lose()
    house.say(events.BackupOverdue(reason="the last good backup: none"))
    house.tell(both)
    assert (phone.titles, mail.titles) == (["traefik does not answer"], ["there is no recent good backup"])
    house.find()
    house.tell(both)
    assert (len(phone.titles), len(mail.titles)) == (2, 1)
    assert phone.taken[1].severity == "critical" and phone.taken[1].raised == 0


def drift_of(address: str) -> events.Event:
    return events.DriftFound(
        address=address, kind="changed", base_hash="a", live_hash="b", fields=("rule",), reason="by hand"
    )


def refusal_of(address: str) -> events.Event:
    why = {"commit": "c" * 40, "attempt": "a1", "reason": "refuted"}
    return events.ResourcesQuarantined(instance=address.partition("/")[0], resources={address: "hash"}, **why)


def disabling_of(address: str) -> events.Event:
    return events.ServingLost(
        instance=address.partition("/")[0], resources={address: "no such service"}, unserved="", reason="disabled"
    )


@pytest.mark.parametrize(
    ("happened", "heard"),
    [
        (events.TargetLost(instance="laptop", reason="away"), ["phone"]),
        (events.PoisonFound(instance="laptop", file="x.yml", reason="not valid"), ["phone"]),
        (drift_of("laptop/http.routers/wiki"), ["phone"]),
        (refusal_of("laptop/http.routers/wiki"), ["phone"]),
        (disabling_of("laptop/http.routers/wiki"), ["phone"]),
        (drift_of("traefik/http.routers/gitea"), ["mail"]),
        (refusal_of("traefik/http.routers/gitea"), ["mail"]),
        (disabling_of("traefik/http.routers/gitea"), ["mail"]),
        (drift_of("laptop/http.routers/gitea"), ["mail", "phone"]),
        (drift_of("traefik/http.routers/wiki"), ["mail", "other", "phone"]),  # no route fits: nobody is left out
        (events.TargetLost(instance="traefik", reason="away"), ["mail", "other", "phone"]),
    ],
)
def test_an_alert_of_an_instance_or_a_resource_goes_to_whom_that_belongs(
    house: House, happened: events.Event, heard: list[str]
) -> None:
    channels = [Channel("mail"), Channel("other"), Channel("phone")]
    of_laptop, of_gitea = (
        AlertRoute(instances=("laptop",), to=("phone",)),
        AlertRoute(resources=("*/gitea",), to=("mail",)),
    )
    house.policy = AlertPolicy(routes={"laptop": of_laptop, "gitea": of_gitea})
    house.say(happened)
    house.tell(Receivers(channels))
    assert [one.name for one in channels if one.taken] == heard


def test_an_alert_goes_where_it_was_sent_first_whatever_the_policy_says_later(house: House) -> None:
    phone, mail = Channel("phone"), Channel("mail")
    house.lose()
    alerts.decide(house.world, house.policy)
    house.policy = AlertPolicy(routes={"all": AlertRoute(to=("mail",))})
    house.tell(Receivers([phone, mail]))
    assert (len(phone.taken), len(mail.taken)) == (1, 1)


def test_a_channel_that_is_down_keeps_no_other_waiting_and_misses_nothing(house: House) -> None:
    phone, mail = Channel("phone", down="no network"), Channel("mail")
    both = Receivers([phone, mail])
    house.lose()
    house.tell(both)
    house.say(events.PassFailed(reason="disk full"))
    house.tell(both)
    assert sorted(mail.titles) == ["a pass failed", "traefik does not answer"] and phone.taken == []
    assert list(both.complaints()) == ["alert address 1 (phone) takes no messages, and is tried again: no network"]
    phone.down, house.clock.minutes = "", 60
    house.tell(both)
    house.tell(Receivers([phone, mail]))  # and after a restart nobody is told again
    assert sorted(phone.titles) == sorted(mail.titles) == ["a pass failed", "traefik does not answer"]


def test_reminders_come_as_often_as_the_policy_says(house: House) -> None:
    phone = Channel("phone")
    house.policy, receivers = AlertPolicy(remind_after="2h"), Receivers([phone])
    house.lose()
    for house.clock.minutes in range(0, 300, 30):
        house.tell(receivers)
    assert phone.titles == ["traefik does not answer"] * 3


def test_who_forgets_is_told_again_every_minute_of_what_it_took(house: House, until: Callable[..., None]) -> None:
    manager, other = Forgetful("alertmanager"), Channel("other")
    receivers = Receivers([manager, other])
    house.lose()
    house.tell(receivers)
    until(lambda: manager.kept, "the first time")
    house.clock.minutes = 0.5
    house.tell(receivers)
    house.clock.minutes = 1.1
    until(lambda: house.tell(receivers) or len(manager.kept) > 1, "the second time")
    assert [[one.fingerprint for one in kept] for kept in manager.kept] == [["lost/traefik"]] * 2
    assert len(manager.taken) == len(other.taken) == 1


def test_who_forgets_and_was_away_is_told_again_of_what_stands_though_nothing_is_new(
    house: House, until: Callable[..., None]
) -> None:
    manager = Forgetful("alertmanager")
    receivers = Receivers([manager])
    house.lose()
    house.tell(receivers)
    until(lambda: manager.kept, "the first time")
    manager.down, house.clock.minutes = "no network", 2
    house.say(events.PassFailed(reason="disk full"))
    house.tell(receivers)
    house.say(events.PassRecovered(reason="works again"))
    manager.down, house.clock.minutes = "", 10
    before = len(manager.kept)
    until(lambda: house.tell(receivers) or len(manager.kept) > before, "it is told again")
    assert [one.fingerprint for one in manager.kept[-1]] == ["lost/traefik"]


# ── who may be away ──────────────────────────────────────────────────────────────────────────────


def test_who_is_expected_to_be_away_is_told_of_after_the_grace_only(house: House) -> None:
    phone = Channel("phone")
    house.policy, receivers = AlertPolicy(expected_offline={"laptop": "12h", "weather": "1h"}), Receivers([phone])
    house.lose("laptop")
    house.lose("traefik")
    house.say(events.ShardsDeclared(shards=("weather",)), events.ShardLost(shard="weather", reason="asleep"))
    house.tell(receivers)
    assert phone.titles == ["traefik does not answer"]
    house.clock.minutes = 61
    house.tell(receivers)
    assert phone.titles[1:] == ["the shard weather is offline"]
    house.lose("laptop", "another reason")  # does not begin anew
    house.clock.minutes = 12 * 60 + 1
    house.tell(receivers)
    assert phone.titles[2:] == ["laptop does not answer"]
    assert "Since 2026-03-01 12:00 UTC." in phone.taken[-1].body


def test_who_comes_back_in_time_is_no_word_worth(house: House) -> None:
    phone = Channel("phone")
    house.policy, receivers = AlertPolicy(expected_offline={"laptop": "12h"}), Receivers([phone])
    for house.clock.minutes in (0, 600, 1200, 1800):
        house.lose("laptop")
        house.tell(receivers)
        house.find("laptop")
        house.tell(receivers)
    assert phone.taken == []


def test_what_its_absence_explains_is_not_told_either(house: House) -> None:
    phone = Channel("phone")
    house.policy, receivers = AlertPolicy(expected_offline={"laptop": "12h"}), Receivers([phone])
    started = events.ApplyStarted(
        instance="laptop", attempt="a1", commit="c", digest="d", before="", after="f", changes={}, reason="r"
    )
    house.say(started, events.ApplyUnknown(instance="laptop", attempt="a1", commit="c", reason="away"))
    house.lose("laptop")
    house.tell(receivers)
    assert phone.taken == []


# ── Apprise ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "address", ["syslog://a", "dbus://a", "macosx://a", "windows://a", "rsyslog://a", "deltachat://a"]
)
def test_no_message_goes_by_what_acts_on_a_machine(address: str) -> None:
    with pytest.raises(ValueError, match="no message goes by"):
        ALERT_ADDRESS.parse(address)
    message = Message("f", "a", "b", 1)
    with pytest.raises(Undelivered, match="no message goes by"):
        OverApprise(Secret(address, "WAYPOST_ALERT_URLS")).send(message)


@pytest.mark.parametrize("address", ["https://example.org/anything", "discord://example", "json://:-1/"])
def test_an_address_that_apprise_cannot_read_is_said_without_it(address: str) -> None:
    with pytest.raises(Undelivered, match="cannot read") as fault:
        OverApprise(Secret(address)).send(Message("f", "a", "b", 1))
    assert "example" not in str(fault.value)


def test_every_service_that_is_let_through_is_one_that_apprise_has() -> None:
    import apprise

    from reconciler.schemes import SCHEMES

    known = {scheme for one in apprise.Apprise().details()["schemas"] for scheme in _schemes(one)}
    assert SCHEMES - {"https"} <= known


def _schemes(service: Any) -> list[str]:
    return [*(service["protocols"] or ()), *(service["secure_protocols"] or ())]


def test_a_channel_has_a_name_in_front_of_its_address() -> None:
    parsed = ALERT_ADDRESS.parse("phone=env:NTFY"), ALERT_ADDRESS.parse("json://host/?a=b")
    assert [(one.name, one.reference) for one in parsed] == [("phone", "env:NTFY"), ("", "json://host/?a=b")]
    for wrong in ("alertmanager=json://x", "Phone=json://x", "phone=", "phone=exec:x"):
        with pytest.raises(ValueError):
            ALERT_ADDRESS.parse(wrong)


def test_a_rotated_address_counts_with_the_next_message(tmp_path: Path) -> None:
    kept = tmp_path / "address"
    kept.write_text("syslog://first")
    channel = OverApprise(Secret(f"file:{kept}", "WAYPOST_ALERT_URLS"))
    for written, said in (("dbus://second", "dbus"), ("https://example.org/third", "cannot read")):
        kept.write_text(written)
        with pytest.raises(Undelivered, match=said):
            channel.send(Message("f", "a", "b", 1))
    kept.unlink()
    with pytest.raises(Undelivered, match="cannot be read"):
        channel.send(Message("f", "a", "b", 1))


# ── what needs no end ────────────────────────────────────────────────────────────────────────────


def test_a_report_is_told_once_and_has_no_end(house: House) -> None:
    phone = Channel("phone")
    receivers = Receivers([phone])
    house.say(events.DriftReported(title="drift report: 1 resource has drifted", body="# …", resources=(), reason="r"))
    for house.clock.minutes in range(0, 6 * 1440, 700):
        house.tell(receivers)
    assert phone.titles == ["drift report: 1 resource has drifted"]
    assert house.world.log.view(views.Alerts).open == house.world.log.view(views.Alerts).ended == {}


def test_a_report_that_waited_too_long_is_told_of_when_its_channel_is_back(house: House) -> None:
    phone, mail = Channel("phone", down="no network"), Channel("mail")
    both = Receivers([phone, mail])
    house.say(events.DriftReported(title="drift report: 1 resource has drifted", body="# …", resources=(), reason="r"))
    for house.clock.minutes in range(0, 6 * 1440, 700):
        house.tell(both)
    phone.down, house.clock.minutes = "", 7 * 1440
    house.tell(both)
    assert phone.titles == ["1 message could not be told in time"]
    assert "drift report: 1 resource has drifted" in phone.taken[0].body
    assert mail.titles == ["drift report: 1 resource has drifted"]
    [dropped] = house.resolved()
    assert dropped.missed == ("phone",) and "was not told in time" in dropped.reason


# ── what came and went meanwhile ─────────────────────────────────────────────────────────────────


def test_who_was_away_hears_once_and_in_one_message_what_came_and_went(house: House) -> None:
    phone, mail = Channel("phone", down="no network"), Channel("mail")
    both = Receivers([phone, mail])
    for house.clock.minutes in range(10, 70, 20):
        house.lose()
        house.tell(both)
        house.find()
        house.clock.minutes += 10
        house.tell(both)
    house.lose()
    house.tell(both)
    assert len(mail.taken) == 7
    phone.down, house.clock.minutes = "", 200
    house.tell(both)
    house.tell(both)
    assert phone.titles == ["traefik does not answer", "3 messages could not be told in time"]
    summary = phone.taken[1]
    assert summary.body.count("traefik does not answer") == 3
    assert "2026-03-01 12:10 to 12:20 UTC: traefik does not answer" in summary.body
    assert summary.severity == "critical"
    house.tell(Receivers([phone, mail]))  # and after a restart nobody is told again
    assert (len(phone.taken), len(mail.taken)) == (2, 7)
    house.find()
    house.tell(both)
    assert phone.titles[2:] == ["resolved: traefik does not answer"]
    assert house.world.log.view(views.Alerts).missed == {}


def test_thousands_that_came_and_went_are_one_message_of_bounded_length(house: House) -> None:
    phone = Channel("phone", down="no network")
    receivers = Receivers([phone])
    for number in range(120):
        house.lose(reason=str(number))
        house.tell(receivers)
        house.find()
        house.tell(receivers)
    phone.down, house.clock.minutes = "", 1000
    house.tell(receivers)
    assert phone.titles == ["120 messages could not be told in time"]
    assert len(phone.taken[0].body.splitlines()) <= 42 and "and 80 before these" in phone.taken[0].body


def test_of_what_is_not_for_a_channel_it_misses_nothing(house: House) -> None:
    phone, mail = Channel("phone", down="no network"), Channel("mail")
    both = Receivers([phone, mail])
    house.policy = AlertPolicy(routes={"all": AlertRoute(to=("mail",))})
    house.lose()
    house.tell(both)
    house.find()
    house.tell(both)
    assert [one.missed for one in house.resolved()] == [()]
    phone.down, house.clock.minutes = "", 1000
    house.tell(both)
    assert phone.taken == []


def test_whether_a_summary_arrived_that_was_on_its_way_at_a_death_is_written_down_and_it_is_not_repeated(
    house: House,
) -> None:
    phone = Channel("phone", down="no network")
    house.lose()
    house.tell(Receivers([phone]))
    house.find()
    house.tell(Receivers([phone]))
    summary = missed.message("phone", house.world.log.view(views.Alerts).missed["phone"])
    underway.note(house.world, "phone", summary)  # and here the process dies
    phone.down, house.clock.minutes = "", 1000
    house.tell(Receivers([phone]))
    assert phone.taken == []
    told = [one.event for one in house.world.log.read() if isinstance(one.event, events.AlertDoubted)]
    assert [one.receivers for one in told] == [("phone",)]


def test_a_message_that_arrives_after_the_end_of_its_cause_was_not_missed(house: House) -> None:
    house.lose()
    alerts.decide(house.world)
    [raised] = [one for one in house.world.log.read() if isinstance(one.event, events.AlertRaised)]
    house.find()
    alerts.decide(house.world, audience=Receivers([Channel("phone")]).for_channels)
    assert "phone" in house.world.log.view(views.Alerts).missed
    late = events.AlertDelivered(
        fingerprint="lost/traefik", title="t", receivers=("phone",), raised=raised.seq, recovery=False, reason="r"
    )
    house.say(late)
    alerts_known = house.world.log.view(views.Alerts)
    assert alerts_known.missed == {} and alerts_known.ended["lost/traefik"].owed == {"phone"}


def test_what_somebody_missed_whose_address_is_gone_is_forgotten(house: House) -> None:
    phone = Channel("phone", down="no network")
    receivers = Receivers([phone])
    house.lose()
    house.tell(receivers)
    house.find()
    house.tell(receivers)
    for house.clock.minutes in (10, 2000):
        house.tell(Receivers([Channel("mail")]))
    assert house.world.log.view(views.Alerts).missed == {}
