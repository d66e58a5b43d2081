"""The parts that people, models and vandals play in the tests of Git; people use the real `git`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.git.main import MergeConflict, Merged, rebased
from reconciler.git.proposals import propose
from reconciler.git.starter import plant
from reconciler.git.store import Store

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ADA = "Ada <ada@example.org>"
FILES = {
    "waypost.yaml": b"schema: 1\n",
    "README.md": b"mine\n",
    "traefik/first.yaml": b"one\ntwo\nthree\nfour\nfive\nsix\nseven\n",
}


class Person:
    """Somebody at a keyboard with a clone."""

    def __init__(self, work: Path, name: str) -> None:
        self.work = work
        self.name = name

    def git(self, *arguments: str, check: bool = True) -> str:
        done = run_git(self.work, self.name, *arguments)
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def write(self, path: str, content: bytes, message: str = "edit by hand") -> str:
        file = self.work / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return self.commit(message)

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def push(self, *arguments: str) -> str:
        self.git("push", "--quiet", *(arguments or ("origin", "main")))
        return self.git("rev-parse", "HEAD")

    def update(self) -> None:
        self.git("fetch", "--quiet", "--prune", "origin")
        self.git("reset", "--quiet", "--hard", "origin/main")


def run_git(place: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("git") is None:
        pytest.skip("needs the `git` command, in the part of a person")
    email = f"{name.lower()}@example.org"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_EDITOR": "true",
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": email,
    }
    command = ["git", *arguments]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def clone(store: Store, work: Path, name: str) -> Person:
    work.parent.mkdir(parents=True, exist_ok=True)
    run_git(work.parent, name, "clone", "--quiet", str(store.path), str(work))
    return Person(work, name)


def desired(path: Path, files: Mapping[str, bytes] = FILES) -> Store:
    """A desired repo with one commit."""
    store = Store.create(path)
    plant(store, files, branch="main", subject="first", at=AT)
    return store


def main_of(store: Store) -> str:
    head = store.head()
    assert head is not None
    return head


def proposed(store: Store, id: str, edits: Mapping[str, bytes | None], **more: Any) -> str:
    """A proposal as the gateway makes one, on top of main as it is."""
    wanted: dict[str, Any] = {
        "parent": more.get("parent") or main_of(store),
        "title": f"Propose {id}",
        "body": "because it is wanted",
        "trailers": {"Waypost-Request": f"request-{id}", "Waypost-Tool": "create_route", "Waypost-Client": "test"},
        "author": "model <model@example.org>",
        "at": AT,
    }
    return propose(store, edits=edits, id=id, **(wanted | more))


def content(store: Store, commit: str, path: str) -> bytes | None:
    entry = store.entry(commit, path)
    return None if entry is None else store.read(entry.id)


def files_of(store: Store, commit: str) -> dict[str, bytes]:
    return {entry.path: store.read(entry.id) for entry in store.entries(commit)}


def merge(store: Store, commit: str) -> Merged | MergeConflict:
    """Ada puts a proposal on main, the way the command line does."""
    head = main_of(store)
    outcome = rebased(store, commit, onto=head, person=ADA, at=AT)
    if isinstance(outcome, Merged) and outcome.commit != head:
        store.move("refs/heads/main", outcome.commit, was=head)
    return outcome


def object_file(store: Store, id: str) -> Path:
    return store.path / "objects" / id[:2] / id[2:]


def damage(store: Store, id: str, by: bytes) -> None:
    file = object_file(store, id)
    file.chmod(0o644)
    file.write_bytes(by)
