"""Which kinds of targets there are, and how each stands in the desired repo."""

from __future__ import annotations

from functools import cache

from reconciler.language import Language


@cache
def of(kind: str) -> Language:
    """The language of a kind that policy knows. Read when it is needed: most homes have few kinds."""
    if kind == "traefik":
        from reconciler.traefik.language import LANGUAGE as traefik

        return traefik
    if kind == "komodo":
        from reconciler.komodo.language import LANGUAGE as komodo

        return komodo
    if kind == "authentik":
        from reconciler.authentik.language import LANGUAGE as authentik

        return authentik
    raise ValueError(f"nobody here speaks the language of '{kind}'")
