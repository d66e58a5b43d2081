"""Gitea's own interface, as far as a review needs it: pull requests, comments, reviews, statuses of commits.

What answers is not trusted: sizes and shapes are checked, redirects refused, and every failure is a GiteaError.
Forgejo speaks the same `/api/v1`; nothing that only newer Giteas have is used.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

_MOST_BYTES: Final = 8 << 20
_MOST_PAGES: Final = 40
_PAGE: Final = 50
_PATIENCE: Final = 5.0  # a whole answer may take this many times the time-out of one read

_Answer = TypeVar("_Answer")


class GiteaError(Exception):
    """Gitea did not do what was asked of it; the message says what to do. `retry`: may it work later by itself?"""

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class User(_Read):
    login: str


class _Side(_Read):
    ref: str = ""
    sha: str = ""


class PullRequest(_Read):
    """One pull request. `merge_commit_sha` is the commit on the base branch that it became."""

    number: int
    state: str  # "open" or "closed"
    title: str = ""
    body: str = ""
    merged: bool = False
    merged_by: User | None = None
    merge_commit_sha: str | None = None
    html_url: str = ""
    head: _Side = _Side()
    user: User | None = None


class Comment(_Read):
    id: int
    body: str = ""
    user: User | None = None


class Review(_Read):
    """What one person thinks: `state` is APPROVED, REQUEST_CHANGES, COMMENT, …; it counts while it is not dismissed."""

    state: str
    user: User | None = None
    commit_id: str = ""
    dismissed: bool = False
    stale: bool = False  # the branch moved since

    @property
    def counts(self) -> bool:
        """Is it a yes to what was merged?"""
        return self.state == "APPROVED" and not self.dismissed and not self.stale


class Status(_Read):
    context: str = ""
    status: str = ""
    description: str = ""


class Merge(NamedTuple):
    """Who merged a pull request, and who else approved it: `gitea:login`; nothing where Gitea does not know."""

    by: str = ""
    reviewers: tuple[str, ...] = ()


class Repository(NamedTuple):
    """Whose repository, and which."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


def repository_in(address: str) -> Repository:
    """The repository that a clone address (`https://host/owner/name.git`, `git@host:owner/name.git`) leads to."""
    path = urlsplit(address).path if "://" in address else address.rpartition(":")[2]
    parts = [part for part in path.removesuffix("/").removesuffix(".git").split("/") if part]
    if len(parts) < 2:
        raise GiteaError(
            f"'{address}' names no repository of a Gitea: right would be https://HOST/OWNER/NAME.git; "
            "see WAYPOST_DESIRED_REPO",
            retry=False,
        )
    return Repository(parts[-2], parts[-1])


@dataclass(frozen=True, kw_only=True)
class _Call:
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    fine: tuple[int, ...] = (200, 201)


class Gitea:
    """A client for one repository of one Gitea.

    `token` is asked with every call, so that a rotated one counts, and sent to this address only; `timeout` is seconds.
    """

    def __init__(
        self,
        url: str,
        repository: Repository,
        *,
        token: Callable[[], str] = lambda: "",
        ca_file: str = "",
        timeout: float = 10.0,
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/api/v1")
        self.repository = repository
        self._timeout = timeout
        self._token = token
        self._at = f"/repos/{quote(repository.owner, safe='')}/{quote(repository.name, safe='')}"
        self._client = httpx2.Client(
            headers={"Accept": "application/json"},
            verify=_trust(self.url, ca_file),
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    def me(self) -> User:
        """Whose token this is."""
        return self._one(_Call(method="GET", path="/user"), User)

    # ── pull requests ────────────────────────────────────────────────────────────────────────────

    def pull(self, number: int) -> PullRequest:
        return self._one(_Call(method="GET", path=f"{self._at}/pulls/{number}"), PullRequest)

    def pull_between(self, base: str, head: str) -> PullRequest | None:
        """The pull request of these two branches, in whatever state; None where there is none."""
        return self._maybe(f"{self._at}/pulls/{quote(base, safe='')}/{quote(head, safe='')}", PullRequest)

    def pull_of(self, commit: str) -> PullRequest | None:
        """The pull request by which a commit came to its branch; None where it came otherwise."""
        return self._maybe(f"{self._at}/commits/{quote(commit, safe='')}/pull", PullRequest)

    def open_pull(self, *, base: str, head: str, title: str, body: str) -> PullRequest:
        """Open one. One that is there already is a conflict, and a GiteaError."""
        content = {"base": base, "head": head, "title": title, "body": body}
        return self._one(_Call(method="POST", path=f"{self._at}/pulls", body=content), PullRequest)

    def close_pull(self, number: int) -> None:
        self._done(_Call(method="PATCH", path=f"{self._at}/pulls/{number}", body={"state": "closed"}))

    def reviews(self, number: int) -> list[Review]:
        return list(self._pages(f"{self._at}/pulls/{number}/reviews", Review))

    def merge_of(self, commit: str) -> Merge:
        """By whom a commit came to its branch. A review that was dismissed, or was of another state, does not count."""
        pull = self.pull_of(commit)
        if pull is None or not pull.merged or pull.merged_by is None:
            return Merge()
        yes = {one.user.login for one in self.reviews(pull.number) if one.user and one.counts}
        return Merge(
            f"gitea:{pull.merged_by.login}",
            tuple(f"gitea:{login}" for login in sorted(yes - {pull.merged_by.login})),
        )

    # ── comments and statuses ────────────────────────────────────────────────────────────────────

    def comments(self, number: int) -> list[Comment]:
        """All comments of a pull request; Gitea gives them in one answer."""
        return self._one(_Call(method="GET", path=f"{self._at}/issues/{number}/comments"), list[Comment])

    def comment(self, number: int, text: str) -> None:
        self._done(_Call(method="POST", path=f"{self._at}/issues/{number}/comments", body={"body": text}))

    def edit_comment(self, id: int, text: str) -> None:
        self._done(_Call(method="PATCH", path=f"{self._at}/issues/comments/{id}", body={"body": text}))

    def set_status(self, commit: str, *, context: str, state: str, description: str) -> None:
        """Mark a commit; `state` is pending, success, error, failure or warning."""
        content = {"context": context, "state": state, "description": description}
        self._done(_Call(method="POST", path=f"{self._at}/statuses/{quote(commit, safe='')}", body=content))

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    def _one(self, call: _Call, shape: type[_Answer]) -> _Answer:
        return _read(self._asked(call)[1], shape, self.url + call.path)

    def _maybe(self, path: str, shape: type[_Answer]) -> _Answer | None:
        status, body = self._asked(_Call(method="GET", path=path, fine=(200, 404)))
        return None if status == 404 else _read(body, shape, self.url + path)

    def _done(self, call: _Call) -> None:
        self._asked(call)

    def _pages(self, path: str, shape: type[_Answer]) -> Iterator[_Answer]:
        for page in range(1, _MOST_PAGES + 1):
            call = _Call(method="GET", path=f"{path}?page={page}&limit={_PAGE}")
            items = self._one(call, list[shape])  # type: ignore[valid-type]
            yield from items
            if len(items) < _PAGE:
                return

    def _asked(self, call: _Call) -> tuple[int, bytes]:
        address = f"{self.url}/api/v1{call.path}"
        content = None if call.body is None else orjson.dumps(call.body)
        headers = {"Content-Type": "application/json"} if content else {}
        if token := self._token():
            headers["Authorization"] = f"token {token}"
        try:
            with self._client.stream(call.method, address, content=content, headers=headers) as response:
                status, body = response.status_code, self._body(response)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise GiteaError(f"Gitea at {self.url} does not answer: {_reason(error)}") from None
        if status not in call.fine:
            raise _refusal(call, status, body, self.url)
        return status, body

    def _body(self, response: httpx2.Response) -> bytes:
        started, body = time.monotonic(), bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise GiteaError(f"Gitea at {self.url} answers with more than {_MOST_BYTES >> 20} MiB")
            if time.monotonic() - started > self._timeout * _PATIENCE:
                raise GiteaError(f"Gitea at {self.url} answers too slowly")
        return bytes(body)


def _read(body: bytes, shape: type[_Answer], address: str) -> _Answer:
    try:
        return TypeAdapter(shape).validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise GiteaError(f"{address} does not answer as Gitea does: {where}: {first['msg']}") from None


def _refusal(call: _Call, status: int, body: bytes, url: str) -> GiteaError:
    asked = f"{call.method} {call.path.partition('?')[0]}"
    if status in (401, 403):
        return GiteaError(
            f"Gitea at {url} refuses {asked} (status {status}): the token needs write:repository and read:user, and "
            "its account the right to push proposals/*; see WAYPOST_GITEA_TOKEN",
            retry=False,
        )
    if 300 <= status < 400:
        return GiteaError(f"Gitea at {url} redirects; name the address itself in WAYPOST_GITEA_URL", retry=False)
    if status == 404:
        return GiteaError(
            f"Gitea at {url} does not know {call.path}: is that the repository, and may the token see it? "
            "See WAYPOST_GITEA_URL and WAYPOST_DESIRED_REPO",
            retry=False,
        )
    return GiteaError(f"Gitea at {url} answers {asked} with status {status}{_said(body)}", retry=status >= 429)


def _said(body: bytes) -> str:
    """What Gitea says of it, on one line and short; "" where it says nothing readable."""
    try:
        message = orjson.loads(body).get("message", "")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return f": {' '.join(str(message).split())[:200]}" if message else ""


def _reason(error: Exception) -> str:
    return "no answer in time" if isinstance(error, httpx2.TimeoutException) else str(error) or type(error).__name__


def _trust(url: str, ca_file: str) -> ssl.SSLContext | bool:
    if not url.startswith("https:"):
        return False
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise GiteaError(
            f"the authorities in {ca_file} cannot be read: {error}; see WAYPOST_CA_FILE", retry=False
        ) from None
