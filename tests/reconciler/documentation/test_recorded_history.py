"""A real page over fourteen revisions, as Git recorded them: what authors changed is news, what builds change is none.

The page is this project's own map, since nobody else's words stand in this repository. Each revision is built by a
site builder twice, and every build differs in all that builders change.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from state import events
from tests.reconciler.documentation.test_watching import Home, built
from tests.reconciler.documentation.test_watching import home as a_home_that_watches

home = a_home_that_watches
HISTORY = Path(__file__).with_name("history.patches")
NEWS = (
    ("map", "always", "why"), ("map", "always"), ("map",), ("always",), ("map", "always", "why"), ("why",),
    ("map", "always"), ("map", "always", "add"), ("add",), ("map", "always"), ("map", "always"), ("map",),
    ("map", "always", "add"),
)  # fmt: skip
"""The sections that each revision changed, read off the patches by a person."""

ANCHORS = {"always": "always-true-and-what-enforces-it", "why": "why-it-is-so", "add": "to-add"}


@pytest.fixture(scope="module")
def revisions(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The page as it was, oldest first."""
    place = tmp_path_factory.mktemp("history")
    page = place / "ARCHITECTURE.md"
    found = []
    for patch in re.split(r"^commit .*\n", HISTORY.read_text(), flags=re.MULTILINE)[1:]:
        subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=place, check=True)
        found.append(page.read_text())
    return found


def builds(text: str, number: int) -> Iterator[bytes]:
    """What a site builder makes of it, on two days."""
    words = MarkdownIt().enable("table").render(text)
    anchored = re.sub(r"<h2>([^<]*)</h2>", lambda one: f'<h2 id="{anchor(one[1])}">{one[1]}</h2>', words)
    for day in (1, 2):
        build = f"{number:04x}{day:04x}"
        yield built(anchored, build=build, day=f"Nov {day}, 20{number:02}", menu=f"<a href='/{build}'>{build}</a>")


def anchor(heading: str) -> str:
    return "-".join(re.findall(r"\w+", heading.lower()))


def test_only_what_its_authors_changed_is_news_and_all_of_it(home: Home, revisions: list[str]) -> None:
    published, told = set(), []
    for number, text in enumerate(revisions):
        for page in builds(text, number):
            home.publish(page)
            published.add(page)
            told.append([one for one in home.settle() if isinstance(one, events.DocumentationChanged)])
    first, *news = told[::2]
    assert len(published) == 2 * len(revisions)  # a digest of the whole page would have told of each
    assert not first and not any(told[1::2])
    assert [[one["anchor"] for one in change.changed] for [change] in news] == [
        [ANCHORS.get(name, name) for name in names] for names in NEWS
    ]


def test_the_lines_that_came_stand_in_the_difference(home: Home, revisions: list[str]) -> None:
    home.publish(next(builds(revisions[0], 0)))
    home.settle()
    home.publish(next(builds(revisions[4], 4)))
    [change] = home.settle()
    assert isinstance(change, events.DocumentationChanged)
    assert "reconciler/routing/" in change.difference and change.releases
