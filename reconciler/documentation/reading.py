"""Bytes of a known kind to sections. Pure."""

from __future__ import annotations

from reconciler.documentation import markdown, markup
from reconciler.documentation.markup import Unreadable
from reconciler.documentation.page import Page

__all__ = ["Unreadable", "read"]


def read(content: bytes, kind: str, address: str) -> Page:
    """The sections of what was fetched; `kind` is its media type. Raises Unreadable."""
    text = content.decode("utf-8-sig", "replace")
    if kind in ("text/html", "application/xhtml+xml"):
        found = markup.read(text)
    elif kind == "text/markdown" or (kind == "text/plain" and address.endswith((".md", ".mdx"))):
        found = markdown.read(text)
    else:
        raise Unreadable(f"{kind} is no documentation that can be read here")
    if not found.sections:
        raise Unreadable("there is nothing to read on this page")
    return found
