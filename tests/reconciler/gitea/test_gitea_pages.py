"""What a model wrote stands in Gitea as text, and as nothing else."""

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconciler.core.plan import Plan
from reconciler.gitea import pages
from state.review import ProposalRecord

ALLOWED = {"inline", "text", "code_inline", "fence", "softbreak", "hardbreak", "strong_open", "strong_close"} | {
    f"{block}_{end}" for block in ("paragraph", "heading") for end in ("open", "close")
}
HOSTILE = "```\n# closes #3 @everyone [click](https://evil.example) ![x](y)\n<img src=x onerror=y>\n````\n~~~"


def record(text):
    return ProposalRecord(
        "p1", "proposals/p1", "c1", "c0", text, text, text, (), text, datetime(2026, 1, 1, tzinfo=UTC)
    )


def tokens(markdown):
    for token in MarkdownIt().parse(markdown):
        yield token
        yield from token.children or ()


@given(st.text(alphabet=st.sampled_from("`~<>[]()!#@*_\\\n\r\t ab&:/-+=|1.\u202e\u2028"), max_size=80))
@example(HOSTILE)
@example("`")
@example("``")
def test_no_text_leaves_the_code_it_stands_in(text):
    plan = Plan(commit="c1", notes=(text,))
    for page in (
        pages.body(record(text), plan, reason=text).text,
        pages.follow_up(record(text), plan, main=text).text,
        pages.settled(record(text)._replace(status="superseded", reason=text)),
    ):
        foreign = [token for token in tokens(page) if token.type not in ALLOWED]
        assert all(token.type == "html_block" and token.content.strip().startswith("<!-- waypost") for token in foreign)


@given(st.text(max_size=300))
@example("fix #1 !2 @bob")
def test_a_title_is_one_line_that_names_nobody(text):
    title = pages.title(record(text))
    assert title and "\n" not in title and len(title) <= 400
    assert not any(f"{mark}{letter}" in title for mark in "#!@" for letter in "ab1")


def test_a_plan_that_is_longer_than_gitea_takes_is_cut_inside_its_code():
    plan = Plan(commit="c1", notes=("x€" * 50_000,))  # of a letter that takes three bytes
    page = pages.body(record("a"), plan, reason="because").text
    assert 60_000 <= len(page.encode()) < 65_535
    assert [token.type for token in MarkdownIt().parse(page)][-1] == "paragraph_close"
    assert "`waypost show` has all of it" in page


@given(st.text(max_size=300))
@example("Größe €" * 60)
def test_what_stands_beside_a_commit_is_one_short_line(text):
    _, said = pages.outcome(Plan(commit="c1"), "waiting", text, 0)
    assert len(said.encode()) <= 140 and len(said.splitlines()) <= 1
