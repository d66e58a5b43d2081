"""Watched documentation on recorded histories: only other words are news, and each of them is news once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.causes import causes
from reconciler.documentation.fetching import Fetcher
from reconciler.documentation.ledger import Ledger
from reconciler.documentation.library import Library
from reconciler.documentation.shelf import Shelf
from reconciler.documentation.watching import Watcher
from reconciler.world import World
from state import events, views
from state.events import Event
from state.log import Entry, EventLog
from tests.reconciler.documentation.recorded import Clock, Site, recorded
from tests.shards.serving import DesiredRepo

AUTH = b"""\
http:
  middlewares:
    auth:
      forwardAuth:
        address: http://authentik:9000/auth
        trustForwardHeader: true
"""
PAGE = "/traefik/middlewares/forwardauth/"


def built(
    sections: str, *, menu: str = "<a href='/a'>A</a>", build: str = "3fa9c1e2", day: str = "Nov 3, 2026"
) -> bytes:
    """A page as site builders publish one: the words of it, and all that is another with every build."""
    return f"""<!doctype html><html data-build="{build}"><head><link href="/assets/main.{build}.css"></head><body>
<nav class="navbar">{menu}</nav><aside class="theme-doc-sidebar-container">{menu}</aside>
<main><article><div class="theme-doc-markdown"><h1>ForwardAuth</h1><p>Asks a service who is there.</p>
<p><a href="/assets/files/example-{build}.yml?v={build}">an example</a></p>{sections}
</div>
<footer class="theme-doc-footer">Last updated on {day} by bot</footer></article>
<div class="theme-doc-toc-desktop">{menu}</div></main><footer>Build {build}, {day}</footer>
<script src="/assets/app.{build}.js"></script></body></html>""".encode()


TRUST = '<h2 id="trustforwardheader">trustForwardHeader<a class="hash-link" href="#t">#</a></h2><p>Default is {}.</p>'
TLS = '<h2 id="tls">tls</h2><p>How to speak to the service.</p>'
FIRST = built(TRUST.format("false") + TLS)


@dataclass
class Home:
    """A home that watches one page of a recorded site."""

    site: Site
    world: World
    desired: DesiredRepo
    watcher: Watcher
    clock: Clock

    def publish(self, content: bytes | str | None, path: str = PAGE) -> None:
        if content is None:
            self.site.pages.pop(path, None)
        else:
            self.site.pages[path] = content

    def list(self, text: str) -> None:
        self.desired.commit({"docs/watch.yaml": text.encode()})

    def look(self, **later: float) -> list[Event]:
        """Time passes, and what is due is looked at; the events that brings."""
        self.clock.ahead += timedelta(**(later or {"days": 1}))
        before = self.world.log.head().seq
        self.watcher.look(self.desired.store, "1d")
        return [one.event for one in self.world.log.read(before)]

    def settle(self) -> list[Event]:
        """A look the next day, and one after what was seen had time to settle."""
        return [*self.look(), *self.look(minutes=11)]

    @property
    def alerts(self) -> dict[str, str]:
        return {one.title: one.body for one in causes(self.world)}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    clock, desired = Clock(), DesiredRepo(tmp_path / "desired.git")
    log = EventLog.open(tmp_path / "log.db", now=clock.now, create=True)
    world = World(log=log, store=desired.store, targets={}, clock=clock, chance=bytes)
    with recorded({PAGE: FIRST}) as site:
        library = Library(Shelf(tmp_path / "copies"), Fetcher(site.reach, clock), clock)
        watcher = Watcher(world, library, Ledger(tmp_path / "watched"))
        one = Home(site, world, desired, watcher, clock)
        one.desired.commit({"traefik/auth.yaml": AUTH})
        one.list(f"pages:\n  - url: {site.home}middlewares/forwardauth/\n")
        yield one
    log.close()


@pytest.fixture
def watching(home: Home) -> Home:
    """The same, with the page known."""
    assert [type(one) for one in home.look()] == [events.DocumentationListed, events.DocumentationSeen]
    return home


def test_a_first_sight_is_recorded_and_tells_nobody(home: Home) -> None:
    listed, seen = home.look()
    assert isinstance(seen, events.DocumentationSeen) and isinstance(listed, events.DocumentationListed)
    assert (seen.title, list(seen.sections)) == ("ForwardAuth", ["forwardauth", "trustforwardheader", "tls"])
    assert home.alerts == {}


BUILDS = {
    "another build": built(TRUST.format("false") + TLS, build="b81d00aa"),
    "another day": built(TRUST.format("false") + TLS, day="Nov 20, 2026"),
    "a menu that was put in another order": built(
        TRUST.format("false") + TLS, menu="<a href='/new'>New!</a><a href='/a'>A</a>"
    ),
    "sections in another order": built(TLS + TRUST.format("false")),
    "lines broken elsewhere": FIRST.replace(b"Asks a service who", b"Asks a\n   service <em>who</em>"),
    "a heading under another anchor": FIRST.replace(b'id="tls"', b'id="tls-options"'),
    "a heading that was reworded over the same words": FIRST.replace(b">tls<", b">TLS options<"),
}


@pytest.mark.parametrize("what", BUILDS)
def test_what_every_build_changes_is_no_news(what: str, watching: Home) -> None:
    watching.publish(BUILDS[what])
    assert not [one for one in watching.settle() if not isinstance(one, events.DocumentationSeen)]
    assert watching.alerts == {}


def test_other_words_are_one_event_and_one_alert_with_what_changed_and_what_it_concerns(watching: Home) -> None:
    watching.publish(built(TRUST.format("true") + TLS))
    [changed] = watching.settle()
    assert isinstance(changed, events.DocumentationChanged)
    assert [(one["kind"], one["anchor"]) for one in changed.changed] == [("changed", "trustforwardheader")]
    assert "-Default is false." in changed.difference and "+Default is true." in changed.difference
    assert changed.resources == ("traefik/http.middlewares/auth",)
    assert changed.concerns == ("traefik/http.middlewares/auth (traefik/auth.yaml:3): forwardAuth.trustForwardHeader",)
    [(title, body)] = watching.alerts.items()
    assert title == "documentation changed: ForwardAuth"
    for words in ("+Default is true.", "traefik/auth.yaml:3", "https://example.org/releases", "waypost docs --read"):
        assert words in body
    assert watching.settle() == []


def test_a_change_that_a_person_read_is_no_alert_any_more(watching: Home) -> None:
    watching.publish(built(TRUST.format("true") + TLS))
    watching.settle()
    page = watching.site.home + "middlewares/forwardauth/"
    read = events.DocumentationRead(pages=(page,), reason="read by a person")
    watching.world.log.append(Entry(stream="documentation", event=read))
    assert watching.alerts == {}


def test_a_change_that_does_not_stand_for_ten_minutes_is_none(watching: Home) -> None:
    watching.publish(built(TRUST.format("true") + TLS))
    assert watching.look() == []
    assert watching.look(minutes=5) == []
    watching.publish(FIRST)
    assert watching.look(minutes=6) == []
    assert watching.look() == []


def test_a_section_that_is_another_every_time_is_neither_news_nor_looked_at_for_ever(watching: Home) -> None:
    for number in range(20):
        watching.publish(built(TRUST.format("false") + TLS + f'<h2 id="stars">Stars</h2><p>{number} stars</p>'))
        assert watching.look(minutes=11) == [] or number == 0
    assert sum(path == PAGE for path, _ in watching.site.asked) < 10


def test_a_page_whose_place_changes_whole_is_news_at_once(watching: Home) -> None:
    watching.publish(b"# Guide\n\nOne.\n", "/traefik/settled/guide.md")
    watching.list(f"pages:\n  - {watching.site.home}settled/guide.md\n")
    watching.look()
    watching.publish(b"# Guide\n\nTwo.\n", "/traefik/settled/guide.md")
    assert [type(one) for one in watching.look()] == [events.DocumentationChanged]


def test_a_new_section_and_one_that_went_are_told_as_such(watching: Home) -> None:
    watching.publish(built(TRUST.format("false") + '<h2 id="maxbodysize">maxBodySize</h2><p>Bytes of a body.</p>'))
    [changed] = watching.settle()
    assert isinstance(changed, events.DocumentationChanged)
    assert {(one["kind"], one["anchor"]) for one in changed.changed} == {("added", "maxbodysize"), ("removed", "tls")}


def test_only_the_sections_that_are_watched_are_news(watching: Home) -> None:
    page = watching.site.home + "middlewares/forwardauth/"
    watching.list(f"pages:\n  - url: {page}\n    sections: ['#tls']\n")
    watching.publish(built(TRUST.format("true") + TLS))
    assert not [one for one in watching.settle() if isinstance(one, events.DocumentationChanged)]
    watching.publish(built(TRUST.format("true") + TLS.replace("speak", "talk")))
    assert [type(one) for one in watching.settle()] == [events.DocumentationChanged]


@pytest.mark.parametrize("gone", [None, "/traefik/elsewhere/"])
def test_a_page_that_is_gone_or_stands_elsewhere_is_told_once(gone: str | None, watching: Home) -> None:
    watching.publish(gone)
    watching.publish(FIRST, "/traefik/elsewhere/")
    [told] = watching.settle()
    assert isinstance(told, events.DocumentationGone)
    assert told.moved_to == (f"{watching.site.home}elsewhere/" if gone else "")
    assert len(watching.alerts) == 1 and watching.settle() == []
    if not gone:
        watching.publish(FIRST)
        assert [type(one) for one in watching.settle()] == [events.DocumentationSeen]
        assert watching.alerts == {}


def test_offline_is_said_once_and_is_a_message_only_when_it_lasts(watching: Home) -> None:
    watching.site.down = True
    [away] = watching.look()
    assert isinstance(away, events.DocumentationUnreachable) and "network is unreachable" in str(away.pages)
    assert watching.alerts == {}
    assert watching.look(hours=7) == []
    assert list(watching.alerts) == ["watched documentation cannot be read"]
    watching.site.down = False
    assert [type(one) for one in watching.look(hours=2)] == [events.DocumentationReached]
    assert watching.alerts == {}


def test_what_changed_while_offline_is_news_when_it_can_be_read_again(watching: Home) -> None:
    watching.site.down = True
    watching.look()
    watching.publish(built(TRUST.format("true") + TLS))
    watching.site.down = False
    kinds = [type(one) for one in watching.settle()]
    assert kinds == [events.DocumentationReached, events.DocumentationChanged]


def test_a_page_that_did_not_change_is_asked_for_by_its_validator_and_costs_no_body(watching: Home) -> None:
    watching.look()
    asked = [known for path, known in watching.site.asked if path == PAGE]
    assert asked[0] == "" and asked[-1].startswith('"')


def test_with_the_kept_words_lost_a_change_is_still_news(watching: Home, tmp_path: Path) -> None:
    for path in (tmp_path / "watched").iterdir():
        path.write_bytes(b"{")
    watching.publish(built(TRUST.format("true") + TLS))
    [changed] = watching.settle()
    assert isinstance(changed, events.DocumentationChanged)
    assert "what it said before is not kept here" in changed.difference


def test_what_another_reader_recorded_is_recorded_anew_and_is_no_news(
    watching: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.documentation.watching.READER", 2)
    watching.publish(built(TRUST.format("true") + TLS))
    assert [type(one) for one in watching.settle()] == [events.DocumentationSeen]


def test_a_person_who_asks_for_a_look_need_not_wait_for_the_schedule(watching: Home) -> None:
    asked = len(watching.site.asked)
    watching.look(minutes=1)
    assert len(watching.site.asked) == asked
    request = events.DocumentationLookRequested(reason="waypost docs --now")
    watching.clock.ahead += timedelta(minutes=1)
    watching.world.log.append(Entry(stream="documentation", event=request))
    watching.look(minutes=1)
    assert len(watching.site.asked) == asked + 1


WRONG: dict[str, Callable[[str], str]] = {
    "no official source": lambda home: "pages:\n  - url: https://example.com/docs\n",
    "unknown key 'anchor'": lambda home: f"pages:\n  - url: {home}\n    anchor: x\n",
    "a page needs its `url`": lambda home: "pages:\n  - sections: [x]\n",
    "is listed already": lambda home: f"pages:\n  - {home}\n  - {home}\n",
    "the address holds characters": lambda home: f"pages:\n  - {home}%2e%2e/\n",
    "must hold one list": lambda home: "watch: []\n",
    "`sections` must be a list": lambda home: f"pages:\n  - url: {home}\n    sections: rule\n",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_list_with_a_fault_is_told_once_with_its_line(words: str, home: Home) -> None:
    home.list(WRONG[words](home.site.home))
    told = home.look()[0]
    assert isinstance(told, events.DocumentationListed)
    [problem] = told.problems
    assert words in problem and problem.startswith("docs/watch.yaml:")
    assert "docs/watch.yaml has faults" in home.alerts
    assert not [one for one in home.look() if isinstance(one, events.DocumentationListed)]


def test_a_home_that_watches_nothing_records_nothing(home: Home) -> None:
    home.desired.commit({"docs/watch.yaml": None})
    assert home.look() == [] and home.site.asked == []


def test_what_is_watched_no_more_is_forgotten(watching: Home) -> None:
    watching.list("# nothing\n")
    watching.look()
    known = watching.world.log.view(views.Documentation)
    assert (known.pages, known.known) == ((), {})
