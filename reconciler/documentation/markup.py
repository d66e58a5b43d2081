"""HTML to sections. The only module that knows selectolax. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from reconciler.documentation.page import Page, Part, page

LARGEST: Final = 1 << 20
"""Characters of HTML that are read."""

_DEEPEST: Final = 1_000
_BUSIEST_TAG: Final = 600
"""What the parser needs grows with the square of how deep elements nest, and of how many attributes one has."""

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)((?:[^\s\"'>/=]\s*=\s*(?:\"[^\"]*\"|'[^']*')|[^>])*)")
_QUOTED = re.compile(r"=\s*(?:\"[^\"]*\"|'[^']*')")
_NEVER_DEEP = frozenset(
    {
        "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta", "option", "p",
        "param", "path", "source", "tbody", "td", "tfoot", "th", "thead", "track", "tr", "wbr",
    }
)  # fmt: skip
"""Elements that have nothing inside, or that need not be closed."""

_CONTENT = (".theme-doc-markdown", ".md-content__inner", ".vp-doc", "article", "main", "[role=main]", "body")
"""Where the words of a page are, the surest place first: Docusaurus, MkDocs, VitePress, anybody."""

_FRAME = ", ".join(
    (
        "script, style, template, noscript, iframe, svg, form, button, nav, footer, time",
        ".headerlink, .hash-link, .header-anchor, .anchor-link, .md-source-file, .md-feedback, .md-content__button",
        ".theme-doc-footer, .theme-doc-breadcrumbs, .theme-doc-version-badge, .theme-doc-version-banner",
        ".theme-doc-toc-mobile, .theme-last-updated, .theme-edit-this-page, .table-of-contents, .toc",
        ".pagination-nav, .prev-next, .edit-info, .edit-link, .last-updated, .VPDocFooter, .VPDocAside",
    )
)
"""What stands around the words: ways to other pages, tools, and when the page was made."""

_BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "br", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption",
        "figure", "header", "hr", "li", "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "thead", "tr",
        "ul",
    }
)  # fmt: skip
_CELLS = frozenset({"td", "th"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}


class Unreadable(Exception):
    """Bytes that are no page, or a page that would cost too much to read. The message says which."""


def read(text: str) -> Page:
    """The sections of an HTML page. Raises Unreadable."""
    _refuse_costly(text)
    tree = LexborHTMLParser(text)
    root = next((found for one in _CONTENT if (found := tree.css_first(one)) is not None), None)
    if root is None:
        raise Unreadable("the page has no content")
    for frame in root.css(_FRAME):
        if frame.parent is not None:
            frame.decompose()
    reader = _Reader()
    reader.take_all(root)
    return page(reader.parts())


def _refuse_costly(text: str) -> None:
    if len(text) > LARGEST:
        raise Unreadable(f"the page is longer than {LARGEST:,} characters")
    depth = 0
    for tag in _TAG.finditer(text):
        if len(tag[3]) > _BUSIEST_TAG and len(_QUOTED.sub("=", tag[3])) > _BUSIEST_TAG:
            raise Unreadable("an element of the page has too many attributes")
        if tag[2].lower() not in _NEVER_DEEP and not tag[3].endswith("/"):
            depth = max(0, depth - 1) if tag[1] else depth + 1
        if depth > _DEEPEST:
            raise Unreadable("the page nests too deep")


@dataclass
class _Open:
    """A section while it is read."""

    level: int = 0
    heading: str = ""
    anchor: str = ""
    text: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


class _Reader:
    """Walks the content once, and begins a section with every heading."""

    def __init__(self) -> None:
        self._sections = [_Open()]

    def parts(self) -> list[Part]:
        return [Part(one.level, one.heading, one.anchor, _lines(one.text), tuple(one.links)) for one in self._sections]

    def take_all(self, root: LexborNode) -> None:
        # A stack of our own: a page may nest deeper than Python may call.
        waiting: list[LexborNode | str] = [root]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                self._sections[-1].text.append(one)
            else:
                waiting += reversed(self._taken(one))

    def _taken(self, node: LexborNode) -> list[LexborNode | str]:
        """Take up a node; what is left to take: its children, and what its end means."""
        tag = node.tag or ""
        if tag == "-text":
            self._sections[-1].text.append(" ".join(_spaced(node.text_content or "")))
            return []
        if tag in _HEADINGS:
            self._begin(node, _HEADINGS[tag])
            return []
        if tag == "a" and (href := node.attributes.get("href")):
            self._sections[-1].links.append(href)
        if tag == "pre":
            return [f"\n{_code(node)}\n"]
        inside: list[LexborNode | str] = list(node.iter(include_text=True))
        if tag in _BLOCKS:
            return ["\n", *inside, "\n"]
        return [*inside, " | "] if tag in _CELLS else inside

    def _begin(self, node: LexborNode, level: int) -> None:
        named = node.attributes.get("id")
        if not named and (inner := node.css_first("[id], a[name]")) is not None:
            named = inner.attributes.get("id") or inner.attributes.get("name")
        heading = " ".join((node.text(deep=True) or "").split())
        self._sections.append(_Open(level, heading, named or ""))


def _spaced(text: str) -> list[str]:
    """The words of a text node, with empty ones at its ends where space stood there."""
    words = text.split()
    before, after = text[:1].isspace(), text[-1:].isspace()
    return [*([""] if before else []), *words, *([""] if after and words else [])]


def _code(node: LexborNode) -> str:
    """Code as it stands, line by line: some builders break its lines with an element."""
    for one in node.css("br"):
        one.replace_with("\n")
    return (node.text(deep=True) or "").strip("\n")


def _lines(pieces: list[str]) -> str:
    return "\n".join(line for line in "".join(pieces).split("\n") if line.strip())
