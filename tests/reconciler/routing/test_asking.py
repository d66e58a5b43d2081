"""Questions as they are written down: what is read from them, and what is wrong with them in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.routing.asking import BadRequest, asked, entry_points
from reconciler.routing.request import Refused, look
from reconciler.routing.routers import EntryPoint


def read(**fields: Any) -> Any:
    return asked(json.dumps(fields).encode()).request


# ── entry points ─────────────────────────────────────────────────────────────────────────────────


def test_blanks_around_the_parts_of_entry_points_do_not_matter() -> None:
    web, secure = entry_points(" web = :80 , websecure=:443 : tls :default")
    assert (web.name, web.port, secure.name, secure.tls, secure.as_default) == ("web", 80, "websecure", True, True)


def test_ranges_that_are_trusted_may_be_of_ipv6_in_brackets() -> None:
    (door,) = entry_points("web=[::1]:80:trusted=[fd00::/8]:trusted=10.0.0.0/8:trusted=[::1]")
    assert door.door.trusted == ("fd00::/8", "10.0.0.0/8", "::1")


def test_a_redirection_leads_to_another_entry_point() -> None:
    assert entry_points("web=:80:redirect=s,s=:443:tls")[0] == EntryPoint(name="web", port=80, redirects="s")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("web=:80:trusted=nope", "names no address and no range"),
        ("web=:80:trusted=10.0.0.0/33", "names no address and no range"),
        ("web=:80:trusted=fd00::/8", "IPv6 range in brackets"),
        ("web=:80:trusted=[fd00::/8", "is no entry point"),
        ("web=:80:redirect=nope", "redirects to 'nope', which is no other entry point; there is no other"),
        ("web=:80:redirect=web,s=:443", "there are: s"),
        ("web=:80:redirect=dns,dns=:53/udp", "there is no other"),
        ("we b=:80", "is no entry point"),
        ("=:80", "is no entry point"),
        ("web=:70000", "there is no port 70000"),
        ("web=:80:tls=yes", "there are tls, default"),
        ("web=:80,web=:81", "is there twice"),
        (" , ", "there is no entry point"),
    ],
)
def test_what_is_wrong_with_entry_points_is_told(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", "\\(")):
        entry_points(text)


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "http://a:x/", "http://a:70000/", "http://a:80:80/", "http://a b/", "http://%41/", "http://a^b/", "http://a|b/",
        "http://a\\b/", "http://a\u0000/", "http://[::1/", "http://[a]/", "http:///x", "ftp://a/", "a.test",
        f"http://{'ä' * 70}.test/",
    ],
)  # fmt: skip
def test_an_address_that_no_client_asks_for_is_told_as_such(url: str) -> None:
    with pytest.raises(BadRequest):
        read(url=url)


@pytest.mark.parametrize("url", ["http://a{/", "http://a.test/%zz", "http://a.test/%", 'http://a"b/'])
def test_an_address_that_clients_send_and_traefik_refuses_is_answered_with_400(url: str) -> None:
    refused = look(read(url=url))
    assert isinstance(refused, Refused) and refused.status == 400


@pytest.mark.parametrize(
    "url", ["http://a.test", "http://a.test:", "http://[::1]:80/", "http://*.a.test/", "http://a_b/"]
)
def test_an_address_that_clients_send_is_taken(url: str) -> None:
    assert not isinstance(look(read(url=url)), Refused)


def test_what_contradicts_an_address_is_told_and_what_repeats_it_is_not() -> None:
    assert read(url="https://a.test/", tls=True, host="a.test") == read(url="https://a.test/", tls=None, host=None)
    with pytest.raises(BadRequest, match="'tls' contradicts the 'url', which begins with http;"):
        read(url="http://a.test/", tls=True)
    with pytest.raises(BadRequest, match="'host' contradicts the 'url'"):
        read(url="http://a.test/", host="b.test")
    with pytest.raises(BadRequest, match="both 'url' and 'target'"):
        read(url="http://a.test/", target="/")
