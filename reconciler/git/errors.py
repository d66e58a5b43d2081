"""What can go wrong with a repository, in plain words: the one exception family of this package."""

from __future__ import annotations

import pygit2


class GitError(Exception):
    """A repository could not be read or written. The text says what happened, where and what to do.

    `retry` is True where the same call may work later without anybody's help.
    """

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class RefMoved(GitError):
    """Somebody else moved the branch first; look at it again and decide anew."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry=True)


_REMEDIES: tuple[tuple[tuple[str, ...], str, bool], ...] = (
    (
        ("failed to lock", "is locked"),
        "another process is writing there, or a killed one left a lock behind, swept by the reconciler within minutes",
        True,
    ),
    (("no space left", "disk quota"), "free some disk space", True),
    (
        ("permission denied", "operation not permitted", "read-only file system"),
        "give this account access to the repository",
        False,
    ),
    (
        ("status code: 401", "authentication required", "redirects or authentication"),
        "set WAYPOST_GIT_TOKEN, or WAYPOST_GIT_SSH_KEY for an ssh address",
        False,
    ),
    (("status code: 403",), "this account may not do that there; give it the right, or use another token", False),
    (("status code: 404",), "check the address, and whether this account may see that repository", True),
    (("content-type",), "what answers there is no Git server; check the address", True),
    (("certificate", "ssl error"), "check that https:// is right; for a CA of your own set WAYPOST_CA_FILE", False),
    (("non-bare",), "a repository with a work tree takes no pushes; use a bare one (`git clone --bare`)", False),
    (
        ("resolve address", "failed to connect", "timed out", "timeout", "status code: 5", "connection", "early eof"),
        "it is down or out of reach; it is tried again",
        True,
    ),
    (
        ("repository not found", "could not find repository", "no such file"),
        "check the path; `waypost doctor` tests it",
        True,
    ),
    (
        ("unsupported extension", "unsupported repository", "unsupported object format", "unknown object format"),
        "Waypost reads plain SHA-1 repositories; make such a one (`git init --bare --object-format=sha1`)",
        False,
    ),
    (
        ("mismatch", "inflate", "loose object", "loose reference", "object header", "corrupt", "parse", "is missing"),
        "the repository is damaged; run `git fsck` in it and fetch what is missing from another clone or a backup",
        False,
    ),
)
"""What libgit2 says (any of these words), what a person can do about it, whether trying again may help."""

Faults = (pygit2.GitError, KeyError, ValueError, OSError)
"""Everything that pygit2 raises for a repository that is not as it should be."""


class plain_words:
    """Turn whatever pygit2 raises inside into a GitError that begins with what was being done."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: object) -> None:
        if isinstance(fault, Faults):
            raise explained(self._doing, fault) from fault


def explained(doing: str, fault: BaseException) -> GitError:
    """The GitError for a fault of the library: what was being done, what it said, what to do."""
    said = _said(fault)
    for words, remedy, retry in _REMEDIES:
        if any(word in said.lower() for word in words):
            return GitError(f"{doing}: {said}; {remedy}", retry=retry)
    return GitError(f"{doing}: {said}")


def _said(fault: BaseException) -> str:
    in_words = isinstance(fault, OSError) and fault.strerror  # its first argument is a number then
    text = str(in_words or (fault.args[0] if fault.args else fault)).strip()
    if isinstance(fault, KeyError) and not isinstance(fault, pygit2.GitError):
        return f"object {text} is missing"
    return text.rstrip(":. ") or type(fault).__name__
