"""Which repository of a Gitea an address is of. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit


class Repository(NamedTuple):
    """Whose repository, and which."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


def repository_in(address: str) -> Repository | None:
    """The repository that a clone address (`https://host/owner/name.git`, `git@host:owner/name.git`) leads to.

    None where it names none: right would be https://HOST/OWNER/NAME.git.
    """
    path = urlsplit(address).path if "://" in address else address.rpartition(":")[2]
    parts = [part for part in path.removesuffix("/").removesuffix(".git").split("/") if part]
    return Repository(parts[-2], parts[-1]) if len(parts) > 1 else None
