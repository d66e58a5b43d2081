"""What counts as a difference on the wire."""

import pytest

from reconciler.traefik.api import item
from reconciler.traefik.wire import differences


def served(kind="http.routers", **items):
    named = {
        name.replace("__", "@").replace("_", "-"): item({"status": "enabled", **spec}) for name, spec in items.items()
    }
    return {kind: named}


BEFORE = served(a__file={"rule": "Host(`a`)", "using": ["web", "tls"]})


@pytest.mark.parametrize(
    "after",
    [
        BEFORE,
        served(a__file={"rule": "Host(`a`)", "using": ["tls", "web"]}),
        served(a__file={"rule": "Host(`a`)", "using": ["web", "tls"], "serverStatus": {"http://b": "DOWN"}}),
        served(a__file=dict(BEFORE["http.routers"]["a@file"].spec), new__docker={"rule": "Host(`new`)"}),
        served(a__file=dict(BEFORE["http.routers"]["a@file"].spec), waypost_gen_x__file={}),
    ],
)
def test_order_health_markers_and_other_providers_comings_are_no_difference(after):
    assert differences(BEFORE, after) == []
    assert differences(after, BEFORE) == []


@pytest.mark.parametrize(
    ("after", "word"),
    [
        (served(), "not served any more"),
        (served(a__file={"rule": "Host(`b`)", "using": ["web", "tls"]}), "rule"),
        (served(a__file={"rule": "Host(`a`)", "using": ["web", "tls"], "status": "disabled"}), "status"),
        (served(a__file={"rule": "Host(`a`)", "using": ["web"]}), "using"),
    ],
)
def test_whatever_people_would_notice_is_named(after, word):
    (line,) = differences(BEFORE, after)
    assert "a@file" in line
    assert word in line


def test_another_providers_router_that_breaks_is_named():
    before, after = served(x__docker={}), served(x__docker={"status": "disabled", "error": ["no middleware"]})
    assert differences(before, after) == ["http.routers x@docker: it is disabled now (no middleware)"]


def test_values_that_may_be_secret_are_not_repeated():
    before = served("http.middlewares", m__file={"basicAuth": {"users": ["one"]}})
    after = served("http.middlewares", m__file={"basicAuth": {"users": ["other"]}})
    assert differences(before, after) == ["http.middlewares m@file: basicAuth changed"]
