"""Which channels an alert goes to, by the policy; and that no mistake there silences one."""

from __future__ import annotations

import pytest

from reconciler.alerting.receivers import Receivers
from reconciler.alerting.routing import channels
from reconciler.core import policy
from reconciler.core.policy import AlertPolicy
from reconciler.underway import Message

ROUTES = {
    "routes": {
        "wake": {"severity": ["critical"], "to": ["phone"]},
        "edge": {"instances": ["edge*"], "to": ["mail"]},
        "git": {"resources": ["*/*/*GITEA*"], "to": ["mail", "chat"]},
        "quiet": {"severity": ["info"], "instances": ["lab"], "to": []},
    }
}


def by(document: dict[str, object]) -> AlertPolicy:
    found, problems = policy.parse({"version": 1, "alerts": document})
    assert problems == ()
    return found.alerts


@pytest.mark.parametrize(
    "severity, instance, resources, to",
    [
        ("critical", "traefik", (), ("phone",)),
        ("critical", "edge-1", (), ("mail", "phone")),
        ("warning", "traefik", ("traefik/http.routers/gitea",), ("chat", "mail")),
        ("warning", "traefik", ("traefik/http.routers/wiki",), ("*",)),
        ("info", "lab", (), ()),
        ("info", "", (), ("*",)),
    ],
)
def test_an_alert_goes_to_every_route_that_it_fits_and_else_to_all(
    severity: str, instance: str, resources: tuple[str, ...], to: tuple[str, ...]
) -> None:
    assert channels(by(ROUTES), severity, instance, resources) == to


@pytest.mark.parametrize(
    "wrong", [{"routes": {"a": {}}}, {"routes": {"a": {"severity": ["loud"], "to": []}}}, {"remind_after": "often"}]
)
def test_a_route_that_cannot_be_is_a_problem(wrong: dict[str, object]) -> None:
    _, problems = policy.parse({"version": 1, "alerts": wrong})
    assert problems


class Channel:
    def __init__(self, name: str) -> None:
        self.name = self.mark = name

    def send(self, message: Message) -> None: ...


def test_a_name_that_no_channel_has_reaches_everybody_rather_than_nobody() -> None:
    receivers = Receivers([Channel("phone"), Channel("mail")])
    assert receivers.for_channels(["phone"]) == {"phone"}
    assert receivers.for_channels(["phon"]) == receivers.for_channels(["*"]) == {"phone", "mail"}
    assert receivers.for_channels([]) == frozenset()
    assert receivers.unknown(["phon", "*", "mail"]) == {"phon"}
