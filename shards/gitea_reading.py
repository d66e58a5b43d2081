"""Gitea as the gateway sees it: one repository and its neighbours, with an account that may only read.

Forgejo speaks the same. What answers is not trusted: sizes and shapes are checked, and every failure is a Refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from reconciler.asking import AskError, Query
from reconciler.setting import ConfigError, Secret
from shards.kit import Refused
from shards.resting import Resting

PAGE: Final = 50
"""Items of one answer; Gitea gives no more unless it is told to."""

_MOST_PAGES: Final = 6

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class GiteaAt:
    """Where Gitea is, which repository of it is the desired one (`owner/name`), and the reference to a token."""

    url: str = ""
    repository: str = ""
    token: Secret | None = None
    ca_file: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.url)


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Repository(_Read):
    full_name: str = ""
    description: str | None = ""
    html_url: str = ""
    default_branch: str = ""
    private: bool = False
    archived: bool = False
    empty: bool = False
    updated_at: str = ""
    open_pr_counter: int = 0


class Found(_Read):
    data: list[Repository] | None = None


class _Version(_Read):
    version: str = ""


class _User(_Read):
    login: str = ""


class _Side(_Read):
    ref: str = ""
    sha: str = ""


class PullRequest(_Read):
    number: int
    title: str = ""
    state: str = ""
    merged: bool = False
    merged_by: _User | None = None
    merge_commit_sha: str | None = None
    html_url: str = ""
    head: _Side = _Side()
    user: _User | None = None
    updated_at: str | None = ""


class Status(_Read):
    context: str = ""
    status: str = ""
    description: str | None = ""


class Combined(_Read):
    statuses: list[Status] | None = None


class _Called(_Read):
    url: str = ""


class Hook(_Read):
    """A webhook; of `config`, which holds more, only where it calls."""

    id: int
    type: str = ""
    active: bool = False
    events: list[str] | None = None
    branch_filter: str = ""
    config: _Called = _Called()
    updated_at: str = ""


@dataclass
class Reader:
    """Asks Gitea, and changes nothing. Every method raises Refused where Gitea does not answer as it should."""

    at: GiteaAt
    _asking: Resting = field(init=False)

    def __post_init__(self) -> None:
        self._asking = Resting("Gitea", self.at.url.rstrip("/").removesuffix("/api/v1"), self.at.ca_file)

    def close(self) -> None:
        self._asking.close()

    def version(self) -> str:
        """Which Gitea this is, or the one that a Forgejo says it is like; "" where it does not say."""
        try:
            told = self._one("/version", (), _Version).version
        except Refused:
            return ""
        return told.rpartition("gitea-")[2]

    def repositories(self, text: str) -> list[Repository]:
        """The repositories that the account may see, those that changed last first, one answer's worth."""
        query: Query = [("q", text), ("limit", PAGE), ("sort", "updated"), ("order", "desc")]
        return self._one("/repos/search", query, Found).data or []

    def pull_requests(self, state: str) -> list[PullRequest]:
        """The newest pull requests of the desired repo."""
        return self._one(self._path("/pulls"), [("state", state), ("limit", PAGE)], list[PullRequest])

    def statuses(self, commit: str) -> list[Status]:
        """What stands beside a commit."""
        return self._one(self._path(f"/commits/{quote(commit, safe='')}/status"), (), Combined).statuses or []

    def hooks(self, repository: str) -> Iterator[Hook]:
        """The webhooks of a repository (`owner/name`; "" is the desired one). Gitea shows them to its admins only."""
        path = self._path("/hooks", repository)
        for page in range(1, _MOST_PAGES + 1):
            found = self._one(path, [("page", page), ("limit", PAGE)], list[Hook])
            yield from found
            if len(found) < PAGE:
                return

    def _path(self, what: str, repository: str = "") -> str:
        owner, _, name = (repository or self.at.repository).partition("/")
        return f"/repos/{quote(owner, safe='')}/{quote(name, safe='')}{what}"

    def _one(self, path: str, query: Query, shape: type[_Answer]) -> _Answer:
        try:
            reply = self._asking.get(f"/api/v1{path}", query, self._headers())
        except AskError as error:
            raise Refused("gitea-away", f"{error}. Other tools work.", retry=error.retry) from error
        if reply.status in (401, 403):
            raise Refused(
                "gitea-forbidden",
                f"Gitea does not show {path} to this account (status {reply.status}): a person can give the account of "
                "WAYPOST_GITEA_READ_TOKEN the right to read it (webhooks are shown to administrators of a repository).",
            )
        if reply.status == 404:
            raise Refused("not-found", f"Gitea knows no {path}, or does not show it to this account.")
        if reply.status != 200:
            raise Refused("gitea-failed", f"Gitea answers {path} with status {reply.status}.", retry=True)
        try:
            return TypeAdapter(shape).validate_json(reply.body)
        except ValidationError as error:
            raise Refused("unreadable", f"What answers {path} at {self.at.url} is no Gitea.") from error

    def _headers(self) -> dict[str, str]:
        if self.at.token is None:
            return {}
        try:
            return {"Authorization": f"token {self.at.token.for_header()}"}
        except ConfigError as error:
            raise Refused("gitea-forbidden", str(error)) from error


def place_of(address: str) -> str:
    """Where an address leads, without what may be secret in it: with some systems that is all of the path."""
    try:
        place = urlsplit(address)
        port = f":{place.port}" if place.port else ""
    except ValueError:
        return "an address that cannot be read"
    path = place.path if place.path == "/webhooks/gitea" else "/…" if place.path.strip("/") else ""
    return f"{place.scheme}://{place.hostname or ''}{port}{path}"
