"""Gitea's own interface, as far as a review needs it: pull requests, comments, reviews, statuses of commits.

What answers is not trusted: sizes and shapes are checked, redirects refused, and every failure is a GiteaError.
Forgejo speaks the same `/api/v1`; nothing that only newer Giteas have is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from reconciler.asking import AskError, Asking, Question
from reconciler.gitea.address import Repository
from reconciler.secrets import said_shortly

_MOST_PAGES: Final = 40
_PAGE: Final = 50
_NOT_NOW: Final = (429, 502, 503, 504)  # what stands before a Gitea says so where that is away, or asked too much
_PATIENCE, _STEP = 50.0, 10.0  # seconds for a whole answer, and without a byte of it: a merge takes its time

_Answer = TypeVar("_Answer")


class GiteaError(Exception):
    """Gitea did not do what was asked of it; the message says what to do. `retry`: may it work later by itself?

    `is_silent`: nobody is there to answer anything, whatever else is asked.
    """

    def __init__(self, message: str, *, retry: bool = True, is_silent: bool = False) -> None:
        super().__init__(message)
        self.retry = retry
        self.is_silent = is_silent


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class User(_Read):
    login: str


class _Side(_Read):
    """One of the two branches of a pull request. Of one that was deleted only `label` still has the name."""

    label: str = ""
    ref: str = ""
    sha: str = ""
    repo_id: int = 0


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
    base: _Side = _Side()
    head: _Side = _Side()
    user: User | None = None

    def is_of(self, branch: str) -> bool:
        """Whether it is the one of this branch: where a Gitea was put back, a number may be another one's.

        A fork may have a branch of the same name.
        """
        return self.head.repo_id == self.base.repo_id and branch in (self.head.ref, self.head.label)


class Branch(_Read):
    """A branch, and what whoever asks may do to it. An older Gitea does not say: then nobody knows better."""

    name: str
    user_can_push: bool = False


class Comment(_Read):
    id: int
    body: str = ""
    user: User | None = None


class Review(_Read):
    """What one person thinks: `state` is APPROVED, REQUEST_CHANGES, COMMENT, …; it counts while it is not dismissed."""

    id: int
    state: str
    user: User | None = None
    commit_id: str = ""
    dismissed: bool = False
    stale: bool = False  # the branch moved since
    official: bool = True  # of somebody who may decide here; an older Gitea does not say

    @property
    def decides(self) -> bool:
        """Is it a word on the whole, and not one to be asked, or in passing?"""
        return self.state in ("APPROVED", "REQUEST_CHANGES") and not self.dismissed

    @property
    def is_yes(self) -> bool:
        """Is it a yes to what was merged?"""
        return self.state == "APPROVED" and self.official and not self.stale


class Issue(_Read):
    """One issue; `state` is "open" or "closed"."""

    number: int
    state: str
    body: str = ""
    html_url: str = ""


class Status(_Read):
    context: str = ""
    status: str = ""
    description: str = ""


class Merge(NamedTuple):
    """Who merged a pull request, and who else approved it: `gitea:login`; nothing where Gitea does not know.

    Of our own account that is said beside it: whoever is behind that, nobody can tell, so it counts as no person.
    """

    by: str = ""
    reviewers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Call:
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    fine: tuple[int, ...] = (200, 201)


class Gitea:
    """A client for one repository of one Gitea.

    `token` is asked with every call, so that a rotated one counts, and sent to this address only.
    """

    def __init__(
        self,
        url: str,
        repository: Repository,
        *,
        token: Callable[[], str] = lambda: "",
        ca_file: Path | None = None,
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/api/v1")
        self.repository = repository
        self._token = token
        self._at = f"/repos/{quote(repository.owner, safe='')}/{quote(repository.name, safe='')}"
        try:
            self._asking = Asking("Gitea", self.url, ca_file)
        except AskError as error:
            raise GiteaError(str(error), retry=False) from None

    def close(self) -> None:
        self._asking.close()

    def me(self) -> User:
        """Whose token this is."""
        return self._one(_Call(method="GET", path="/user"), User)

    def branch(self, name: str) -> Branch:
        return self._one(_Call(method="GET", path=f"{self._at}/branches/{quote(name, safe='')}"), Branch)

    # ── pull requests ────────────────────────────────────────────────────────────────────────────

    def pull(self, number: int) -> PullRequest | None:
        """One pull request; None where it was deleted."""
        return self._maybe(f"{self._at}/pulls/{number}", PullRequest)

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

    def merge_pull(self, number: int, *, style: str, head: str) -> None:
        """Merge one, if its branch is still at `head`, in the name of whom the token is of.

        `style` is merge, rebase, squash or fast-forward-only. What Gitea forbids is a GiteaError with its words.
        """
        content = {"do": style, "head_commit_id": head}
        self._done(_Call(method="POST", path=f"{self._at}/pulls/{number}/merge", body=content))

    def reviews(self, number: int) -> list[Review]:
        return list(self._pages(f"{self._at}/pulls/{number}/reviews", Review))

    def merge_of(self, commit: str, branch: str) -> Merge:
        """By whom a commit came to this branch. Of each reviewer the last word counts, if it is about that state."""
        pull = self.pull_of(commit)
        if pull is None or not pull.merged or pull.merged_by is None or pull.base.ref != branch:
            return Merge()
        reviews = sorted(self.reviews(pull.number), key=lambda one: one.id)
        last = {one.user.login: one for one in reviews if one.user and one.decides}
        merger, us = pull.merged_by.login, self.me().login  # the one is told already, the other is no person
        yes = sorted(login for login, one in last.items() if one.is_yes and login not in (merger, us))
        by = f"gitea:{merger} <the account of Waypost>" if merger == us else f"gitea:{merger}"
        return Merge(by, tuple(f"gitea:{login}" for login in yes))

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

    # ── issues ───────────────────────────────────────────────────────────────────────────────────

    def issue(self, number: int) -> Issue | None:
        """One issue; None where it was deleted."""
        return self._maybe(f"{self._at}/issues/{number}", Issue)

    def open_issues(self, by: str) -> Iterator[Issue]:
        """The open issues of one user."""
        return self._pages(f"{self._at}/issues", Issue, f"&state=open&type=issues&created_by={quote(by, safe='')}")

    def open_issue(self, *, title: str, body: str) -> Issue:
        return self._one(_Call(method="POST", path=f"{self._at}/issues", body={"title": title, "body": body}), Issue)

    def edit_issue(self, number: int, *, body: str, is_open: bool) -> Issue:
        """Let it say this, and be open or closed."""
        content = {"body": body, "state": "open" if is_open else "closed"}
        return self._one(_Call(method="PATCH", path=f"{self._at}/issues/{number}", body=content), Issue)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    def _one(self, call: _Call, shape: type[_Answer]) -> _Answer:
        return _read(self._asked(call)[1], shape, self.url + call.path)

    def _maybe(self, path: str, shape: type[_Answer]) -> _Answer | None:
        status, body = self._asked(_Call(method="GET", path=path, fine=(200, 404)))
        return None if status == 404 else _read(body, shape, self.url + path)

    def _done(self, call: _Call) -> None:
        self._asked(call)

    def _pages(self, path: str, shape: type[_Answer], only: str = "") -> Iterator[_Answer]:
        for page in range(1, _MOST_PAGES + 1):
            call = _Call(method="GET", path=f"{path}?page={page}&limit={_PAGE}{only}")
            items = self._one(call, list[shape])  # type: ignore[valid-type]
            yield from items
            if len(items) < _PAGE:
                return

    def _asked(self, call: _Call) -> tuple[int, bytes]:
        headers = {"Accept": "application/json"}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if token := self._token():
            headers["Authorization"] = f"token {token}"
        content = None if call.body is None else orjson.dumps(call.body)
        try:
            reply = self._asking.ask(
                Question(
                    method=call.method,
                    path=f"/api/v1{call.path}",
                    headers=headers,
                    content=content,
                    seconds=_PATIENCE,
                    step=_STEP,
                )
            )
        except AskError as error:
            raise GiteaError(f"{error}; see WAYPOST_GITEA_URL", retry=error.retry, is_silent=not error.status) from None
        if reply.status not in call.fine:
            raise _refusal(call, reply.status, reply.body, self.url)
        return reply.status, reply.body


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
            f"Gitea at {url} refuses {asked} (status {status}): the token needs write:repository, write:issue "
            "and read:user, its account the right to push proposals/*; see WAYPOST_GITEA_TOKEN",
            retry=False,
        )
    if status == 404:
        return GiteaError(
            f"Gitea at {url} does not know {call.path}: is that the repository, and may the token see it? "
            "See WAYPOST_GITEA_URL and WAYPOST_DESIRED_REPO",
            retry=False,
        )
    return GiteaError(
        f"Gitea at {url} answers {asked} with status {status}{_said(body)}",
        retry=status >= 429,
        is_silent=status in _NOT_NOW,
    )


def _said(body: bytes) -> str:
    """What Gitea says of it, on one line and short; "" where it says nothing readable."""
    try:
        message = orjson.loads(body).get("message", "")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return f": {said_shortly(str(message), 200)}" if message else ""
