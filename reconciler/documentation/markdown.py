"""Markdown to sections. The only module that knows markdown-it-py. Pure."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from reconciler.documentation.markup import Unreadable
from reconciler.documentation.page import Page, Part, page

if TYPE_CHECKING:
    import markdown_it
else:
    from state import lazily

    markdown_it = lazily.module("markdown_it")

LARGEST: Final = 256 * 1024
"""Characters of Markdown that are read."""

_LONGEST_HEADING: Final = 500

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title:(.{1,300})$", re.MULTILINE)
_NAMED = re.compile(r"\{:?\s*#([\w.-]+)[^}]*\}\s*$")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]{1,2000})")
_MARKS = re.compile(r"[`*]|\[([^\]]*)\]\([^)]*\)")


def read(text: str) -> Page:
    """The sections of a Markdown page: its lines as they are, cut at its headings. Raises Unreadable."""
    if len(text) > LARGEST:
        raise Unreadable(f"the page is longer than {LARGEST:,} characters")
    front = _FRONT_MATTER.match(text)
    body = text[front.end() :] if front else text
    title = _TITLE.search(front[1]) if front else None
    parts = _parts(body.replace("\r\n", "\n").replace("\r", "\n"))
    if title and not any(part.level == 1 for part in parts):
        parts.insert(0, Part(1, title[1].strip(" \t\"'"), "", ""))
    return page(parts)


@cache
def _blocks() -> markdown_it.MarkdownIt:
    # Only where sections begin is asked of it: all other rules cost seconds on pages that are made to cost them. Code
    # is known to it, so that a comment in a shell script is no heading.
    made = markdown_it.MarkdownIt("zero").enable(["heading", "lheading", "fence", "code"])
    made.core.ruler.disable(["inline"])
    return made


def _parts(text: str) -> list[Part]:
    lines, tokens = text.split("\n"), _blocks().parse(text)
    cuts = [(0, 0, 0, "")]  # level, first line, line after the heading, what it says
    for token, inline in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open" and token.map and token.level == 0:
            cuts.append((int(token.tag[1:]), token.map[0], token.map[1], inline.content))
    ends = [*(start for _, start, _, _ in cuts[1:]), len(lines)]
    return [_part(cut, lines[cut[2] : end]) for cut, end in zip(cuts, ends, strict=True)]


def _part(cut: tuple[int, int, int, str], lines: list[str]) -> Part:
    level, _, _, written = cut
    heading = written[:_LONGEST_HEADING]
    named, text = _NAMED.search(heading), "\n".join(lines)
    bare = _MARKS.sub(lambda found: found[1] or "", heading[: named.start()] if named else heading)
    return Part(level, bare, named[1] if named else "", text, tuple(_LINK.findall(text)))
