"""Which sections are about a topic, which pages an index lists, and which resources a change is about."""

from __future__ import annotations

import orjson
import pytest

from reconciler.documentation import indexes, ranking
from reconciler.documentation.concerning import Wanted, concerns
from reconciler.documentation.indexes import Listed
from reconciler.documentation.ranking import Text
from reconciler.documentation.reading import Unreadable
from reconciler.documentation.sources import OFFICIAL, named
from state.model import Address

TEXTS = [
    Text("Routers", "A router connects requests to services. Priority is by the length of the rule."),
    Text("Routers priority", "To avoid overlap, routers are sorted by their priority; the highest wins."),
    Text("ForwardAuth trustForwardHeader", "Trust all X-Forwarded headers."),
    Text("Services", "A service is where requests go."),
]


@pytest.mark.parametrize(
    ("topic", "best"),
    [
        ("priority of routers", 1),
        ("forward auth", 2),
        ("trust forwarded header", 2),
        ("ForwardAuth", 2),
        ("service", 3),
    ],
)
def test_the_section_that_is_about_the_topic_comes_first(topic: str, best: int) -> None:
    assert ranking.rank(topic, TEXTS)[0].index == best


@pytest.mark.parametrize("topic", ["kubernetes", "the of and", "", "?!"])
def test_what_shares_no_word_with_the_topic_is_not_ranked(topic: str) -> None:
    assert ranking.rank(topic, TEXTS) == []


def test_equals_stay_in_their_order_and_no_text_is_no_answer() -> None:
    assert [one.index for one in ranking.rank("same", [Text("Same", ""), Text("Same", "")])] == [0, 1]
    assert ranking.rank("same", []) == []


# ── indexes ──────────────────────────────────────────────────────────────────────────────────────


def test_the_search_index_of_mkdocs_lists_pages_relative_to_its_home() -> None:
    docs = [{"location": "a/b/#c", "title": "C", "text": "<p>words</p>"}, {"location": 7}, "x", {"title": "no place"}]
    found = indexes.read(orjson.dumps({"docs": docs}), "https://x/v3.7/search/search_index.json")
    assert found == [Listed("https://x/v3.7/a/b/", "C", " words ")]


def test_a_list_for_models_lists_links_with_what_is_said_of_them() -> None:
    text = b"# authentik\n\n## Docs\n- [Proxy provider](https://x/proxy.md): Forward auth\n* [Flows](flows.md)\nprose\n"
    assert indexes.read(text, "https://x/llms.txt") == [
        Listed("https://x/proxy.md", "Proxy provider", "Forward auth"),
        Listed("https://x/flows.md", "Flows", ""),
    ]


def test_a_map_of_a_site_lists_addresses_whose_own_words_are_their_titles() -> None:
    text = b"<?xml version='1.0'?><urlset><url><loc>https://x/docs/stack-deploy</loc></url></urlset>"
    assert indexes.read(text, "https://x/sitemap.xml") == [Listed("https://x/docs/stack-deploy", "docs stack deploy")]


@pytest.mark.parametrize("name", ["search/search_index.json", "llms.txt", "sitemap.xml"])
@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"<html>", b'{"docs": 7}'])
def test_what_lists_nothing_is_no_index(name: str, content: bytes) -> None:
    with pytest.raises(Unreadable):
        indexes.read(content, f"https://x/{name}")


# ── versions ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("system", "version", "first"),
    [
        ("traefik", "3.7.15", ("https://doc.traefik.io/traefik/v3.7/", "3.7")),
        ("traefik", "v3.7.0-rc.1", ("https://doc.traefik.io/traefik/v3.7/", "3.7")),
        ("traefik", "", ("https://doc.traefik.io/traefik/", "")),
        ("traefik", "../../x", ("https://doc.traefik.io/traefik/", "")),
        ("authentik", "2026.8.5", ("https://version-2026-8.goauthentik.io/", "2026.8")),
        ("komodo", "2.3.2", ("https://komo.do/", "")),
    ],
)
def test_the_documentation_of_the_version_that_runs_is_looked_for_first(
    system: str, version: str, first: tuple[str, str]
) -> None:
    source = named(system, OFFICIAL)
    assert source is not None and source.starts(version)[0] == first
    assert all(source.publishes(home) for home, _ in source.starts(version))


# ── what a change is about ───────────────────────────────────────────────────────────────────────

WANTED = [
    Wanted(
        Address("traefik", "http.middlewares", "auth"),
        {"forwardAuth": {"address": "http://a", "trustForwardHeader": True}},
        "traefik/auth.yaml",
        3,
    ),
    Wanted(Address("traefik", "http.routers", "gitea"), {"rule": "Host(`g`)", "tls": {}}, "traefik/gitea.yaml", 4),
    Wanted(
        Address("traefik", "http.middlewares", "headers"),
        {"headers": {"customRequestHeaders": {"trustForwardHeader": "x"}}},
        "traefik/headers.yaml",
        2,
    ),
]


def found(text: str, page: str) -> dict[str, tuple[str, ...]]:
    return {one.address.name: one.keys for one in concerns(text, page, WANTED)}


def test_a_setting_of_several_words_is_found_wherever_it_is_spoken_of() -> None:
    assert found("trustForwardHeader is gone", "Migration") == {"auth": ("forwardAuth.trustForwardHeader",)}


def test_a_setting_of_one_plain_word_counts_only_on_a_page_about_its_sort_of_resource() -> None:
    assert found("the address of it", "Migration") == {}
    assert found("the address of it", "https://x/middlewares/forwardauth/") == {"auth": ("forwardAuth.address",)}
    assert found("tls and rule", "https://x/routers/ Routers") == {"gitea": ("rule", "tls")}


def test_a_name_that_somebody_here_chose_is_no_setting() -> None:
    assert "headers" not in found("trustForwardHeader", "headers")


def test_the_sort_of_a_middleware_itself_is_a_setting() -> None:
    assert found("forwardAuth changed", "Migration") == {"auth": ("forwardAuth",)}
