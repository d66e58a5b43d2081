"""The bounds of a proposal: which paths a tool may write, how much, under what name. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from state.model import PROPOSAL_ID

BRANCHES = "proposals/"
POLICY = "waypost.yaml"
ROOTS = ("traefik", "komodo", "authentik", "docs")
"""The directories of the default instances: where a tool may write. Further instances bring theirs."""

SIZE_LIMIT = 1 << 20
"""Bytes that one file of a proposal may have."""


def id_fault(id: str) -> str | None:
    """Why this cannot be the id of a proposal, in a sentence; None where it can."""
    if PROPOSAL_ID.fullmatch(id):
        return None
    return f"'{shown(id)}' cannot be the id of a proposal: letters, digits, - and _ can, at most 64 of them"


def path_fault(path: str, roots: Sequence[str] = ROOTS) -> str | None:
    """Why a tool may not write this path, in a sentence; None where it may.

    The policy never, nothing outside the roots, nothing hidden: Git's own files, and a forge's workflows,
    which a forge would run as soon as the branch is pushed.
    """
    said, names = shown(path), path.split("/")
    if names[-1].casefold() == POLICY:
        return f"'{said}' is policy: only a person may change it, in a commit of their own"
    if any(not name or name.startswith((".", "-")) or name != name.strip() for name in names):
        return f"'{said}' is not a plain path: no part may be empty or begin with a dot, a dash or a space"
    if "\\" in path or ":" in path or any(unicodedata.category(letter).startswith("C") for letter in path):
        return f"'{said}' holds characters that a path here may not have"
    if len(path.encode()) > 1024 or any(len(name.encode()) > 255 for name in names):
        return f"'{said}' is too long for a path"
    if not any(path.startswith(f"{root.rstrip('/')}/") for root in roots):
        return f"'{said}' is outside the directories that tools may write: {', '.join(sorted(roots))}"
    return None


def size_fault(path: str, size: int) -> str | None:
    """Why a file of that many bytes is too much, in a sentence; None where it is not."""
    if size <= SIZE_LIMIT:
        return None
    return f"'{shown(path)}' would have {size} bytes; at most {SIZE_LIMIT} are allowed"


def shown(text: str) -> str:
    """Safe to print, whatever it holds."""
    return text[:200].encode("unicode_escape").decode()
