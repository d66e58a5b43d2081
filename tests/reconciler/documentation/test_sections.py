"""Pages as sections: what HTML and Markdown of real site builders come to, and what makes two of them the same."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.documentation import comparing, reading
from reconciler.documentation.comparing import Kept
from reconciler.documentation.page import Page, Part, page
from reconciler.documentation.reading import Unreadable
from tests.reconciler.documentation.recorded import DOCUSAURUS, MARKDOWN, MKDOCS, VITEPRESS


def html(text: str) -> Page:
    return reading.read(text.encode(), "text/html", "https://x/")


def test_a_page_of_mkdocs_is_cut_at_its_headings_with_code_and_tables_as_they_are() -> None:
    first, rule = html(MKDOCS).sections
    assert (first.anchor, first.path, first.text) == ("routers", ("Routers",), "Connecting requests to services.")
    assert first.links == ("../services/",)
    assert (rule.anchor, rule.path) == ("rule", ("Routers", "rule"))
    assert rule.text == "Only this matters:\nhttp:\n  routers: {}\nOption | Default |\npriority | 0 |"


def test_a_page_of_docusaurus_is_its_words_without_crumbs_buttons_and_dates() -> None:
    stacks, deploy = html(DOCUSAURUS).sections
    assert (stacks.anchor, stacks.heading) == ("stacks", "Stacks")
    assert (deploy.anchor, deploy.heading, deploy.text) == ("deploy", "Deploy", '[[stack]]\nname = "a"')


def test_a_page_of_vitepress_is_its_words() -> None:
    [what] = html(VITEPRESS).sections
    assert (what.anchor, what.heading, what.text) == ("what", "What?", "A viewer.\nNote")


def test_markdown_is_cut_at_its_headings_and_not_at_comments_in_code() -> None:
    found = reading.read(MARKDOWN, "text/plain", "https://x/rules.md")
    assert found.title == "Router rules"
    assert [(one.anchor, one.path[-1:]) for one in found.sections] == [
        ("router-rules", ("Router rules",)),
        ("", ("Router rules",)),
        ("the-rule", ("Rule",)),
        ("priority", ("Priority",)),
        ("priority-of-one", ("priority of one",)),
    ]
    assert found.sections[2].links == ("../services.md",)
    assert "# no heading" in found.sections[2].text


SAME = {
    "spaces": ("a  b\n\nc", "a b\nc"),
    "when it was built": ("words\nLast updated on Nov 3, 2026 by Ada", "words\nLast updated on Nov 20, 2026 by Bob"),
    "a build's hash": ("words\nBuild: 3fa9c1e2d4", "words\nBuild: 99a9c1e2d4"),
    "how long ago": ("words\nPage updated 3 days ago", "words\nPage updated 4 months ago"),
    "what nobody sees": ("w\u200bords\u00ad", "words"),
}


@pytest.mark.parametrize("what", SAME)
def test_two_builds_of_the_same_words_have_the_same_hash(what: str) -> None:
    one, other = (page([Part(1, "T", "t", text)]).sections[0].hash for text in SAME[what])
    assert one == other


DIFFERENT = {
    "a word": (Part(1, "T", "t", "on"), Part(1, "T", "t", "off")),
    "a version that was released": (Part(1, "T", "t", "Released in 3.7"), Part(1, "T", "t", "Released in 3.8")),
    "where a link leads": (Part(1, "T", "t", "see", ("/a",)), Part(1, "T", "t", "see", ("/b",))),
    "what its heading says": (Part(1, "T", "t", "x"), Part(1, "U", "t", "x")),
    "capitals, which options have": (Part(1, "T", "t", "insecureskipverify"), Part(1, "T", "t", "insecureSkipVerify")),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_other_words_have_another_hash(what: str) -> None:
    one, other = (page([part]).sections[0].hash for part in DIFFERENT[what])
    assert one != other


def test_links_to_the_same_place_are_the_same_whatever_a_bundler_calls_the_file() -> None:
    one, other = (
        page([Part(1, "T", "t", "x", links)]).sections[0].hash
        for links in (("/assets/a-3fa9c1e2.yml", "/b/?v=1"), ("/b", "/assets/a-77777777.yml"))
    )
    assert one == other


def test_every_anchor_is_there_once() -> None:
    found = page([Part(2, "Options", "", "a"), Part(2, "Options", "", "b"), Part(2, "Options", "options_1", "c")])
    assert [one.anchor for one in found.sections] == ["options", "options_1", "options_1_1"]


HARD = {
    "deep": "<div>" * 100_000,
    "full of attributes": "<a " + " ".join(f"b{number}=1" for number in range(20_000)) + ">",
    "long": "x" * (1 << 20) + "x",
    "empty": "",
    "of a menu alone": "<nav>menu</nav>",
}


@pytest.mark.parametrize("what", HARD)
def test_a_page_that_is_made_to_cost_much_or_that_says_nothing_is_refused(what: str) -> None:
    with pytest.raises(Unreadable):
        html(HARD[what])


COSTLY = {
    "text/html": ("<pre>" + " " * 300_000 + "x</pre>", "<p>x" + " " * 300_000, "<h1>" + "a " * 100_000),
    "text/markdown": (
        "---\ntitle: x" + "\t" * 100_000 + "x\n---\n# a",
        "# " + " " * 100_000 + "{#",
        "# " + "{#a " * 50_000,
        "x](" * 50_000,
        "`" * 200_000,
        "\n" * 50_000,
    ),
}


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in COSTLY.items() for text in texts], ids=lambda one: repr(one[:12])
)
def test_no_page_costs_more_than_its_length(kind: str, text: str) -> None:
    began = time.process_time()
    with contextlib.suppress(Unreadable):
        reading.read(text.encode(), kind, "https://x/")
    assert time.process_time() - began < 5  # squares of these lengths take minutes


def test_what_is_neither_html_nor_markdown_is_refused() -> None:
    with pytest.raises(Unreadable):
        reading.read(b"{}", "application/json", "https://x/a.json")


# ── two versions of a page ───────────────────────────────────────────────────────────────────────

texts = st.text("abc \n", max_size=30)
pages = st.lists(st.tuples(st.sampled_from("stuvw"), texts), max_size=5, unique_by=lambda one: one[0]).map(
    lambda found: comparing.kept(page(Part(2, anchor, anchor, text) for anchor, text in found))
)


@settings(max_examples=30)
@given(pages, pages)
def test_what_changed_leads_from_the_one_to_the_other(before: tuple[Kept, ...], after: tuple[Kept, ...]) -> None:
    changes = comparing.compare(before, after)
    gone = {one.before.anchor for one in changes if one.before}
    result = {one.anchor: one.hash for one in before if one.anchor not in gone}
    result |= {one.after.anchor: one.after.hash for one in changes if one.after}
    assert result == {one.anchor: one.hash for one in after}


@settings(max_examples=20)
@given(pages)
def test_nothing_changed_where_nothing_did_in_whatever_order(sections: tuple[Kept, ...]) -> None:
    assert comparing.compare(sections, tuple(reversed(sections))) == []


def test_a_section_that_moved_and_changed_a_little_is_shown_by_what_changed() -> None:
    words = "\n".join(f"line {number} of it" for number in range(20))
    before = comparing.kept(page([Part(2, "Old name", "old", words)]))
    after = comparing.kept(page([Part(2, "New name", "new", words.replace("line 7", "row 7"))]))
    [change] = comparing.compare(before, after)
    assert (change.kind, change.anchors) == ("changed", {"old", "new"})
    assert comparing.difference(change, 20) == [" line 6 of it", "-line 7 of it", "+row 7 of it", " line 8 of it"]


def test_a_difference_is_no_longer_than_it_may_be() -> None:
    before = comparing.kept(page([Part(2, "A", "a", "\n".join(map(str, range(100))))]))
    after = comparing.kept(page([Part(2, "A", "a", "\n".join(map(str, range(100, 200))))]))
    [change] = comparing.compare(before, after)
    shown = comparing.difference(change, 10)
    assert len(shown) == 11 and shown[-1] == "… and 190 more lines"
