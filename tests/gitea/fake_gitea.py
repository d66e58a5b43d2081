"""A Gitea that behaves: pull requests over a real bare repository, merged in any style by real Git.

Every request and every answer is checked against what Gitea publishes of its interface (gitea-1.27.0.json: the
paths and shapes that are used here, cut out of its specification). A fault is kept, and fails the test at its end.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema

SPECIFICATION = json.loads(Path(__file__).with_name("gitea-1.27.0.json").read_text())
US = "waypost-bot"
TOKENS = {"token right": US, "token alices": "alice"}


def _closed(schema: Any) -> Any:
    """A misspelled name is a fault."""
    return {"additionalProperties": False, **schema} if "properties" in schema else schema


def _nullable(schema: Any) -> Any:
    """Gitea's server writes null for what is empty, which Swagger 2 has no word for."""
    if isinstance(schema, list):
        return [_nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: value if key == "enum" else _nullable(value) for key, value in schema.items()}
    if "$ref" in changed:
        return {"anyOf": [changed, {"type": "null"}]}
    if changed.get("type") in ("string", "array", "object") and "properties" not in changed:
        changed["type"] = [changed["type"], "null"]
    return changed


STRICT = {name: _closed(schema) for name, schema in SPECIFICATION["definitions"].items()}
LENIENT = {name: _closed(_nullable(schema)) for name, schema in SPECIFICATION["definitions"].items()}


@dataclass
class Pull:
    number: int
    title: str
    body: str
    base: str
    head: str
    state: str = "open"
    merged_by: str = ""
    merge_commit: str = ""
    fork: bool = False
    comments: list[dict[str, Any]] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)


class HungUp(Exception):
    """The connection breaks before the answer is heard, as it does when the one who asked dies."""


class FakeGitea:
    """`repository` is bare; `down` answers nothing but 503; `after` is called with what was just done."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.pulls: list[Pull] = []
        self.statuses: list[dict[str, str]] = []
        self.repositories: list[dict[str, Any]] = []
        self.hooks: list[dict[str, Any]] = []
        self.issues: dict[int, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.protected: set[str] = set()  # who alone may merge; nobody in it: everybody may
        self.deleted: set[int] = set()
        self.who = US
        self.down = False
        self.broken: set[str] = set()  # addresses (after the repository's own) that are answered with 500
        self.version = "1.27.0"
        self.is_forgejo = False
        self.after: Callable[[str], None] = lambda asked: None
        self._next = 100

    def become_a_forgejo(self) -> None:
        """Answer as a Forgejo does, as its source of 2026 shows: the interface of a Gitea 1.22, and fields of its own.

        What it publishes as `Do` it reads in any case, as every name: it is written in Go.
        """
        self.version, self.is_forgejo = "12.0.4+gitea-1.22.0", True

    # ── people ───────────────────────────────────────────────────────────────────────────────────

    def merge(self, number: int, style: str, by: str) -> str:
        """Merge a pull request as Gitea does, in one of its styles; the commit on the base branch."""
        commit = self.move_branch(number, style, by)
        self.count_as_merged(number, by, commit)
        return commit

    def move_branch(self, number: int, style: str, by: str) -> str:
        """The first half of a merge: the branch is there already, the pull request does not count as merged yet."""
        pull = self.pulls[number - 1]
        tree = self.repository.with_name("merging")
        subprocess.run(["rm", "-rf", str(tree)], check=True)
        self._git("worktree", "prune")
        self._git("worktree", "add", "--quiet", "--detach", str(tree), pull.base)
        in_tree = ["git", "-C", str(tree), "-c", f"user.name={by}", "-c", f"user.email={by}@git.lab"]
        steps = {
            "merge": [["merge", "--quiet", "--no-ff", "-m", f"Merge pull request #{number}", pull.head]],
            "rebase": [["cherry-pick", pull.head]],
            "rebase-merge": [
                ["checkout", "--quiet", "--detach", pull.head],
                ["rebase", "--quiet", pull.base],
                ["branch", "--quiet", "--force", "rebased"],
                ["checkout", "--quiet", "--detach", pull.base],
                ["merge", "--quiet", "--no-ff", "-m", f"Merge pull request #{number}", "rebased"],
                ["branch", "--quiet", "-D", "rebased"],
            ],
            "squash": [
                ["merge", "--quiet", "--squash", pull.head],
                ["commit", "--quiet", "-m", f"{pull.title} (#{number})"],
            ],
            "fast-forward-only": [["merge", "--quiet", "--ff-only", pull.head]],
        }[style]
        for step in steps:
            subprocess.run([*in_tree, *step], check=True, capture_output=True)
        commit = subprocess.run([*in_tree, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        self._git("update-ref", f"refs/heads/{pull.base}", commit.stdout.strip())
        self._git("worktree", "remove", "--force", str(tree))
        return commit.stdout.strip()

    def count_as_merged(self, number: int, by: str, commit: str) -> None:
        """The second half of a merge; a pull request that was closed in between never counts as merged."""
        pull = self.pulls[number - 1]
        if pull.state == "open":
            pull.state, pull.merged_by, pull.merge_commit = "closed", by, commit

    def review(self, number: int, by: str, state: str = "APPROVED", *, official: bool = True) -> None:
        reviews = self.pulls[number - 1].reviews
        reviews.append({"id": len(reviews) + 1, "state": state, "user": _user(by), "official": official})

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.repository), *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    # ── the interface ────────────────────────────────────────────────────────────────────────────

    def answer(self, method: str, path: str, body: bytes, who: str = US) -> tuple[int, Any]:
        self.who = who
        self.asked.append(f"{method} {path}")
        if self.down:
            return 503, {"message": "come back later"}
        if path.partition("?")[0].removeprefix("/api/v1/repos/house/desired") in self.broken:
            return 500, {"message": "out of order"}
        template, values = _template(path.partition("?")[0].removeprefix("/api/v1"))
        operation = SPECIFICATION["paths"].get(template, {}).get(method.lower())
        if operation is None:
            self.faults.append(f"{method} {path} is not in the specification")
            return 404, {"message": "not found"}
        self._check_query(operation, path)
        content = json.loads(body) if body else None
        self._check(_body_schema(operation), content, f"request {method} {path}")
        if self.is_forgejo and content and content.get("state") == "skipped":
            self.faults.append(f"{method} {path}: a Forgejo knows no such state")
        status, said = self._do(method, template, values, content)
        told = operation["responses"].get(str(status))
        if told is None:
            self.faults.append(f"{method} {path} never answers {status}")
        else:
            self._check(_answer_schema(told), said, f"answer of {method} {path}")
            said = _as_forgejo(said) if self.is_forgejo else said
        self.after(f"{method} {template}")
        return status, said

    def _do(self, method: str, template: str, values: dict[str, str], content: Any) -> tuple[int, Any]:
        what = template.removeprefix("/repos/{owner}/{repo}")
        match method, what:
            case "GET", "/user":
                return 200, _user(US)
            case "GET", "/version":
                return 200, {"version": self.version}
            case "GET", "/branches/{branch}":
                may = not self.protected or self.who in self.protected
                return 200, {"name": values["branch"], "user_can_push": may}
            case "GET", "/repos/search":
                return 200, {"ok": True, "data": self.repositories}
            case "GET", "/hooks":
                return (200, self.hooks) if values["repo"] == "desired" else (404, {"message": "not found"})
            case "GET", "/pulls":
                return 200, [self._pull(pull) for pull in reversed(self.pulls)]
            case "GET", "/commits/{ref}/status":
                beside = [one for one in self.statuses if one["commit"] == values["ref"]]
                told = [{"context": one["context"], "status": one["state"], "description": one["description"]}
                        for one in beside]  # fmt: skip
                return 200, {"sha": values["ref"], "statuses": told}
            case "POST", "/pulls":
                return self._open(content)
            case "GET", "/pulls/{base}/{head}":
                kept = [p for p in self.pulls if p.number not in self.deleted]
                found = [p for p in kept if (p.base, p.head) == (values["base"], values["head"]) and not p.fork]
                return (200, self._pull(found[0])) if found else (404, {"message": "no such pull request"})
            case "GET", "/commits/{sha}/pull":
                found = [p for p in self.pulls if values["sha"] in (p.merge_commit, self._sha(p.head))]
                return (200, self._pull(found[0])) if found else (404, {"message": "no such pull request"})
            case "POST", "/statuses/{sha}":
                self.statuses.append({"commit": values["sha"], **content})
                return 201, {"context": content["context"], "status": content["state"]}
            case "PATCH", "/issues/comments/{id}":
                comment = next(c for p in self.pulls for c in p.comments if c["id"] == int(values["id"]))
                comment["body"] = content["body"]
                return 200, comment
            case _, "/issues" | "/issues/{index}":
                return self._issue(method, int(values.get("index", 0)), content)
        pull = self.pulls[int(values["index"]) - 1]
        match method, what:
            case "GET", "/pulls/{index}" if pull.number in self.deleted:
                return 404, {"message": "not found"}
            case "GET", "/pulls/{index}":
                return 200, self._pull(pull)
            case "PATCH", "/pulls/{index}":
                pull.state = content.get("state", pull.state)
                return 201, self._pull(pull)
            case "GET", "/issues/{index}/comments":
                return 200, pull.comments
            case "POST", "/issues/{index}/comments":
                self._next += 1
                pull.comments.append({"id": self._next, "body": content["body"], "user": _user(US)})
                return 201, pull.comments[-1]
            case "POST", "/pulls/{index}/merge":
                return self._merge(pull, content)
        assert (method, what) == ("GET", "/pulls/{index}/reviews")
        return 200, pull.reviews

    def _merge(self, pull: Pull, content: Any) -> tuple[int, Any]:
        if self.protected and self.who not in self.protected:
            return 405, {"message": "User not allowed to merge PR"}
        if content.get("head_commit_id", self._sha(pull.head)) != self._sha(pull.head):
            return 409, {"message": "head out of date"}
        self.merge(pull.number, content["do"], by=self.who)
        return 200, None

    def _issue(self, method: str, number: int, content: Any) -> tuple[int, Any]:
        """Issues, which have numbers far from those of pull requests."""
        if method == "POST":
            number = 1000 + len(self.issues)
            url = f"https://git.lab/house/desired/issues/{number}"
            self.issues[number] = {"number": number, "state": "open", "user": _user(US), "html_url": url, **content}
            return 201, self.issues[number]
        if not number:
            return 200, [issue for issue in self.issues.values() if issue["state"] == "open"]
        if number not in self.issues:
            return 404, {"message": "not found"}
        if method == "PATCH":
            self.issues[number].update(content)
        return 201 if method == "PATCH" else 200, self.issues[number]

    def _open(self, content: Any) -> tuple[int, Any]:
        if any((p.base, p.head, p.state) == (content["base"], content["head"], "open") for p in self.pulls):
            return 409, {"message": "pull request already exists for these targets"}
        if not self._sha(content["head"]):
            return 404, {"message": "the branch does not exist"}
        number = len(self.pulls) + 1
        self.pulls.append(Pull(number, content["title"], content["body"], content["base"], content["head"]))
        return 201, self._pull(self.pulls[-1])

    def _pull(self, pull: Pull) -> dict[str, Any]:
        return {
            "number": pull.number,
            "title": pull.title,
            "body": pull.body,
            "state": pull.state,
            "merged": bool(pull.merged_by),
            "merged_by": _user(pull.merged_by) if pull.merged_by else None,
            "merge_commit_sha": pull.merge_commit or None,
            "html_url": f"https://git.lab/house/desired/pulls/{pull.number}",
            "base": {"label": pull.base, "ref": pull.base, "sha": self._sha(pull.base), "repo_id": 7},
            "head": self._head(pull),
            "user": _user(US),
        }

    def _head(self, pull: Pull) -> dict[str, Any]:
        """The branch; once it is deleted, by what Gitea itself keeps of it."""
        there = self._sha(pull.head)
        ref = pull.head if there else f"refs/pull/{pull.number}/head"
        return {"label": pull.head, "ref": ref, "sha": there, "repo_id": 8 if pull.fork else 7}

    def _sha(self, branch: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.repository), "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout.strip()

    def _check_query(self, operation: Any, path: str) -> None:
        declared = {one["name"]: one for one in operation.get("parameters", []) if one["in"] == "query"}
        for name, value in parse_qsl(path.partition("?")[2], keep_blank_values=True):
            if name not in declared:
                self.faults.append(f"{path}: there is no parameter '{name}'")
            elif not _fits(declared[name], value):
                self.faults.append(f"{path}: '{value}' is no value of '{name}'")

    def _check(self, schema: Any, value: Any, what: str) -> None:
        if schema is None:
            if value is not None and what.startswith("request"):
                self.faults.append(f"{what} has a body where none is taken")
            return
        definitions = STRICT if what.startswith("request") else LENIENT
        for error in jsonschema.Draft4Validator({**schema, "definitions": definitions}).iter_errors(value):
            self.faults.append(f"{what}: {error.json_path}: {error.message}")


def _fits(declared: Any, value: str) -> bool:
    """Whether text is of the kind of value that a parameter of a query takes."""
    kinds = {"integer": r"-?[0-9]+", "boolean": "true|false"}
    of_its_kind = re.fullmatch(kinds.get(declared["type"], r"(?s).*"), value)
    return bool(of_its_kind) and value in declared.get("enum", [value])


def _as_forgejo(said: Any) -> Any:
    """An answer with what Forgejo says of pull requests and Gitea does not."""
    if isinstance(said, list):
        return [_as_forgejo(one) for one in said]
    is_pull = isinstance(said, dict) and "merge_commit_sha" in said
    return {**said, "flow": 0, "project": None, "requested_reviewers": None} if is_pull else said


def _user(login: str) -> dict[str, Any]:
    return {"id": 1 + sum(login.encode()), "login": login}


def _template(path: str) -> tuple[str, dict[str, str]]:
    """The path of the specification that an address is of; literal parts win over named ones."""
    candidates = []
    for template in SPECIFICATION["paths"]:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
        if match := re.fullmatch(pattern, path):
            candidates.append((template.count("{"), template, match.groupdict()))
    if not candidates:
        return path, {}
    _, template, values = min(candidates, key=lambda candidate: candidate[0])
    return template, {name: re.sub("%2F", "/", value, flags=re.I) for name, value in values.items()}


def _body_schema(operation: Any) -> Any:
    return next((one["schema"] for one in operation["parameters"] if one["in"] == "body"), None)


def _answer_schema(told: Any) -> Any:
    if "$ref" in told:
        told = SPECIFICATION["responses"][told["$ref"].rpartition("/")[2]]
    return told.get("schema")


class Serving:
    """The fake behind a port of loopback."""

    def __init__(self, gitea: FakeGitea) -> None:
        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                who = TOKENS.get(str(self.headers.get("Authorization")))
                if who is None:
                    status, said = 401, {"message": "token is required"}
                else:
                    try:
                        status, said = gitea.answer(self.command, self.path, body, who)
                    except HungUp:
                        self.close_connection = True
                        return
                content = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = _any

            def log_message(self, format: str, *arguments: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def running(repository: Path) -> Iterator[tuple[FakeGitea, str]]:
    """One over a new empty repository, and its address. Nothing against the specification may have been asked of it."""
    subprocess.run(["git", "init", "--quiet", "--bare", str(repository)], check=True)
    fake = FakeGitea(repository)
    with contextlib.closing(Serving(fake)) as serving:
        yield fake, serving.url
    assert fake.faults == []
