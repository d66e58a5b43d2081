"""What documentation sites answer, what people list to watch, and what is kept of both."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson

from reconciler.documentation import comparing, indexes, ranking, reading, watch_file
from reconciler.documentation.fetching import Fetched, Fetcher, Reach, Validators
from reconciler.documentation.ledger import Ledger, Record, Sighting
from reconciler.documentation.page import MOST_SECTIONS
from reconciler.documentation.ranking import Text
from reconciler.documentation.reading import Unreadable
from reconciler.documentation.shelf import Copy, Shelf
from reconciler.documentation.sources import OFFICIAL, Source
from reconciler.ports import SystemClock
from tests.fuzz.fuzzing import Edge, Take, simply
from tests.fuzz.mutating import Mutator
from tests.fuzz.stub import stub
from tests.reconciler.documentation.recorded import DOCUSAURUS, MARKDOWN, MKDOCS, VITEPRESS

HTML = tuple(page.encode() for page in (MKDOCS, DOCUSAURUS, VITEPRESS))
INDEXES = {
    "search_index.json": orjson.dumps({"docs": [{"location": "a/#b", "title": "B", "text": "<p>words</p>"}]}),
    "llms.txt": b"# Docs\n\n- [Proxy](https://x/proxy.md): Forward auth\n- [Flows](flows.md)\n",
    "sitemap.xml": b"<?xml version='1.0'?><urlset><url><loc>https://x/docs/a</loc></url></urlset>",
}
LIST = (
    b"pages:\n  - url: https://doc.traefik.io/traefik/migrate/v3/\n"
    b"    sections: ['#a', b]\n  - https://komo.do/docs/intro\n"
)
PAGE, AT = "https://komo.do/docs/intro", datetime(2026, 11, 20, tzinfo=UTC)
WIRE = (
    b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: W/"1"\r\nContent-Length: 9\r\n\r\n<p>hi</p>',
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 4_000_000),
    b"HTTP/1.1 301 Moved\r\nLocation: /docs/new/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
)


def _page(content: bytes, kind: str) -> bool:
    """What is read is bounded, can be compared with itself and searched, and is the same when it is read again."""
    found = reading.read(content, kind, "https://x/page")
    assert len(found.sections) <= MOST_SECTIONS
    sections = comparing.kept(found)
    assert len({one.anchor for one in sections}) == len(sections)
    assert comparing.compare(sections, comparing.kept(reading.read(content, kind, "https://x/page"))) == []
    ranking.rank("words of it", [Text(one.heading, one.text) for one in sections])
    orjson.dumps([one.text for one in sections])  # what is kept and told must be JSON
    return True


def _index(given: tuple[str, bytes]) -> bool:
    name, content = given
    return all(len(one.title) <= 1_000 for one in indexes.read(content, f"https://x/search/{name}"))


def _index_input(mutator: Mutator) -> tuple[str, bytes]:
    name = mutator.chance.choice(list(INDEXES))
    return name, mutator.content([INDEXES[name]])


def _list(content: bytes) -> bool:
    """Whatever the list says, only official addresses are watched."""
    found = watch_file.read(content, OFFICIAL)
    assert all(one.source.publishes(one.address) for one in found.pages)
    return bool(found.pages)


@contextlib.contextmanager
def _site(_: Path) -> Iterator[Take]:
    with stub() as site:
        base = f"{site.url}/docs/".replace("127.0.0.1", "docs.lab")
        source = Source(system="lab", bases=(base,), homes=(base,), indexes=(), releases="")
        reach = Reach(
            sources=(source,), resolve=lambda host, port: ["127.0.0.1"], permitted=lambda _: True, largest=1 << 20
        )
        fetcher = Fetcher(reach, SystemClock())

        def take(said: bytes) -> bool:
            site.answers = {"*": said}
            return isinstance(fetcher.fetch(f"{base}page/", Validators('"1"')), Fetched)

        yield take


@contextlib.contextmanager
def _kept(directory: Path) -> Iterator[Take]:
    """A file of the disk that is not what was written there is none."""
    shelf, ledger = Shelf(directory / "copies"), Ledger(directory / "watched")
    places = _filled(shelf, ledger)

    def take(given: tuple[int, bytes]) -> bool:
        which, content = given
        places[which].write_bytes(content)
        found = (shelf if which == 0 else ledger).get(PAGE)
        return found is not None

    yield take


def _filled(shelf: Shelf, ledger: Ledger) -> list[Path]:
    shelf.put(PAGE, Copy(PAGE, "text/html", HTML[0], AT, Validators('"1"', "")))
    sections = comparing.kept(reading.read(HTML[0], "text/html", PAGE))
    ledger.put(Record(PAGE, AT, AT, False, sections, Sighting(AT, 1, {"a": "b"})))
    return [next(one.directory.iterdir()) for one in (shelf, ledger)]


def _kept_input(mutator: Mutator) -> tuple[int, bytes]:
    which = mutator.chance.randrange(2)
    plain = [
        {"asked": PAGE, "address": PAGE, "kind": "text/html", "content": "x", "fetched": AT.isoformat(), "etag": "",
         "last_modified": ""},
        {"page": PAGE, "tried": AT.isoformat(), "read": None, "failed": False, "sections": [
            {"anchor": "a", "heading": "A", "hash": "0", "text": "x"}], "seen": None},
    ][which]  # fmt: skip
    return which, mutator.document([plain], [orjson.dumps(plain)])


EDGES = (
    Edge(
        name="HTML page",
        share=700,
        make=lambda m: m.content(HTML),
        opened=simply(lambda given: _page(given, "text/html")),
        family=(Unreadable,),
    ),
    Edge(
        name="Markdown page",
        share=500,
        make=lambda m: m.content([MARKDOWN]),
        opened=simply(lambda given: _page(given, "text/markdown")),
        family=(Unreadable,),
    ),
    Edge(
        name="index of documentation",
        share=500,
        make=_index_input,
        opened=simply(_index),
        family=(Unreadable,),
    ),
    Edge(name="list of watched pages", share=400, make=lambda m: m.content([LIST]), opened=simply(_list)),
    Edge(name="answer of a documentation site", share=300, make=lambda m: m.content(WIRE), opened=_site),
    Edge(name="kept documentation", share=400, make=_kept_input, opened=_kept),
)
