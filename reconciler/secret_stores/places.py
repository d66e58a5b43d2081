"""What a reference to a secret looks like, for each store. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from reconciler.secret_stores.errors import SecretError

ENV: Final = "env"
FILE: Final = "file"
SOPS: Final = "sops"
VAULT: Final = "vault"

SCHEMES: Final = {
    ENV: re.compile(r"[A-Za-z_]\w*"),
    FILE: re.compile(r"/\S*"),
    SOPS: re.compile(r"/[^#\s]+#[\w-]+(\.[\w-]+)*"),
    VAULT: re.compile(r"(?!.*(^|/)\.{1,2}(/|#))[\w-]+(/[\w.@ -]+)+#[\w.@-]+"),
}
"""Scheme -> what follows its colon."""


class Keyed(NamedTuple):
    """A place that holds several secrets, and the key of one."""

    path: str
    key: str

    def __str__(self) -> str:
        return f"{self.path}#{self.key}"


def keyed(scheme: str, place: str) -> Keyed:
    """`path#key` in its parts. Raises SecretError for anything else."""
    if not SCHEMES[scheme].fullmatch(place):
        raise SecretError(f"{scheme}:{place}, which is no reference: right would be {scheme}:PATH#KEY")
    path, _, key = place.rpartition("#")
    return Keyed(path, key)
