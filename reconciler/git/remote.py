"""Another repository, on this machine or far away: what it has, fetching from it, pushing to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pygit2
from pygit2.enums import CredentialType, FetchPrune

from reconciler.git.bounds import BRANCHES
from reconciler.git.errors import GitError, RefMoved, plain_words
from reconciler.git.store import NOTES, REVISIONS, Store

CONNECT_SECONDS = 10
ANSWER_SECONDS = 60
TRANSFER_LIMIT = 1 << 30
"""Bytes that one fetch may receive."""

_SCP_FORM = re.compile(r"(?:(?P<user>[\w.+-]+)@)?(?P<host>[A-Za-z0-9][\w.-]*):(?!//)(?P<path>[^:].*)")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a repository's address that decide how it is reached."""

    scheme: str  # "file", "ssh", "https", "http"
    host: str
    user: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository elsewhere: a path, file://, ssh:// (or user@host:path), https://, http://.

    `token` (or who tells it, whenever it is used) goes with `user` (most forges take any) over https; over ssh a key
    or, without one, the agent proves us. `ca_file` is trusted beside the machine's own authorities. Raises GitError at
    once where the address is none of these forms or carries a password.
    """

    url: str
    token: str | Callable[[], str] = field(default="", repr=False)
    user: str = "waypost"
    ssh_key: Path | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        _refuse_open_token(self.url, locate(self.url), bool(self.token))

    def heads(self, store: Store) -> dict[str, str]:
        """Every reference the other side offers, and what it points to. `store` lends its machinery only."""
        with plain_words(f"cannot reach {self.url}"):
            offered = self._connection(store).list_heads(callbacks=self._callbacks())
            return {head.name: str(head.oid) for head in offered if head.name and not head.name.endswith("^{}")}

    def fetch(
        self, store: Store, branch: str = "main", also: Sequence[str] = (), *, proposals: str | None = "*"
    ) -> str:
        """Bring the branch and the proposals here, and answer the branch's commit; it may have been forced.

        `proposals` is "*" for all, an id for one, None for none; `also` takes further refspecs. A proposal that is
        here already is left as it is, also where somebody went on with its branch. Nothing is transferred where
        nothing moved. A branch that is not there is a GitError.
        """
        heads = self.heads(store)
        tip = heads.get(f"refs/heads/{branch}")
        if tip is None:
            raise GitError(self._without(branch, heads), retry=True)
        here, pattern = store.references("refs/"), f"refs/heads/{BRANCHES}{proposals}"
        wanted = [name for name in heads if proposals and name not in here and fnmatchcase(name, pattern)]
        specs = [f"+refs/heads/{branch}:refs/heads/{branch}", *(f"{name}:{name}" for name in wanted), *also]
        if _news(heads, here, specs):
            with plain_words(f"cannot fetch from {self.url}"):
                self._connection(store).fetch(specs, callbacks=self._callbacks(), prune=FetchPrune.NO_PRUNE)
        return self._arrived(store, branch, tip)

    def push(self, store: Store, branch: str, commit: str = "") -> None:
        """Move a branch over there to where it is here, or to a commit that is here; never by force.

        Raises RefMoved where the branch holds commits that are not here yet.
        """
        self._send(store, [f"{commit or f'refs/heads/{branch}'}:refs/heads/{branch}"])

    def push_own(self, store: Store) -> str:
        """Copy our revisions and the log's anchors over there; "" or the reason why that did not work.

        They are a second copy, so a server that is down or does not take such references stops nothing. Nor does one
        that grew apart from ours (a home from an older backup) keep the others from it.
        """
        try:
            there = self.heads(store)
        except GitError as fault:
            return str(fault)
        ours = store.references(REVISIONS) | store.references(NOTES)
        news = [f"{name}:{name}" for name, commit in ours.items() if there.get(name) != commit]
        reason = self._sent(store, news)
        if reason:
            self._sent(store, [f"{name}:{name}" for name in ours if name not in there])
        return reason

    def _sent(self, store: Store, specs: list[str]) -> str:
        """Why these could not be pushed, "" where they could."""
        try:
            if specs:
                self._send(store, specs)
        except GitError as fault:
            return str(fault)
        return ""

    def fetch_own(self, store: Store, revisions: Mapping[int, str]) -> None:
        """Bring back what `push_own` copied there and is not here: these revisions, by number, and the anchors."""
        heads, here = self.heads(store), store.references("refs/")
        wanted = {f"{REVISIONS}{number}": commit for number, commit in revisions.items()}
        missing = [name for name, commit in wanted.items() if name not in here and heads.get(name) == commit]
        missing += [NOTES] if NOTES in heads and NOTES not in here else []
        if missing:
            with plain_words(f"cannot fetch from {self.url}"):
                specs = [f"{name}:{name}" for name in missing]
                self._connection(store).fetch(specs, callbacks=self._callbacks(), prune=FetchPrune.NO_PRUNE)

    def _send(self, store: Store, specs: list[str]) -> None:
        callbacks = self._callbacks()
        with plain_words(f"cannot push to {self.url}"):
            try:
                self._connection(store).push(specs, callbacks=callbacks)
            except pygit2.GitError as fault:
                if "fastforward" in str(fault) or "present locally" in str(fault):
                    raise RefMoved(f"{self.url} has newer commits; fetch and look again") from fault
                raise
        if callbacks.rejected:
            raise _rejection(self.url, callbacks.rejected)

    def _connection(self, store: Store) -> pygit2.Remote:
        _set_limits()
        if self.ca_file is not None:
            _trust(self.ca_file)
        return store.repository.remotes.create_anonymous(_spoken(self.url))

    def _callbacks(self) -> Callbacks:
        return Callbacks(self)

    def _without(self, branch: str, heads: Mapping[str, str]) -> str:
        present = sorted(name.removeprefix("refs/heads/") for name in heads if name.startswith("refs/heads/"))
        others = [name for name in present if not name.startswith(BRANCHES)][:10]
        return (
            f"{self.url} has no branch '{branch}' (it has: {', '.join(others) or 'none'}); "
            "push it there again, or name another in WAYPOST_DESIRED_BRANCH"
        )

    def _arrived(self, store: Store, branch: str, tip: str) -> str:
        head = store.head(branch)
        if head is None:
            raise GitError(f"{self.url} offered branch '{branch}' at {tip} but did not send it", retry=True)
        store.commit(head)  # a branch that points to anything else than a sound commit is no use
        return head


class Callbacks(pygit2.RemoteCallbacks):
    """Answers the library's questions during one connection: who are we, do we trust them, is it too much."""

    def __init__(self, remote: Remote) -> None:
        super().__init__()
        self._remote = remote
        self._url = remote.url
        self._address = locate(remote.url)
        self._tried: set[CredentialType] = set()
        self.rejected: dict[str, str] = {}

    def credentials(
        self, url: str, username_from_url: str | None, allowed_types: CredentialType
    ) -> pygit2.Username | pygit2.UserPass | pygit2.Keypair:
        """Each kind once: the library asks again and again after a refusal."""
        self._refuse_stranger(url)
        user = username_from_url or self._address.user or "git"
        if self._may_try(CredentialType.USERNAME, allowed_types):
            return pygit2.Username(user)
        if self._may_try(CredentialType.SSH_KEY, allowed_types):
            return self._key(user)
        if self._remote.token and self._may_try(CredentialType.USERPASS_PLAINTEXT, allowed_types):
            token = self._remote.token
            return pygit2.UserPass(self._remote.user, token() if callable(token) else token)
        raise GitError(self._unproven(allowed_types))

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
        if valid:
            return True
        name = host.decode("utf-8", "replace")
        if self._address.scheme == "ssh":
            raise GitError(
                f"the ssh host key of {name} is not known here; compare its fingerprint, then add it with "
                f"`ssh-keyscan {name} >> ~/.ssh/known_hosts` for the account that runs Waypost"
            )
        raise GitError(f"the certificate of {name} is not trusted; name your own CA in WAYPOST_CA_FILE")

    def transfer_progress(self, stats: pygit2.remotes.TransferProgress) -> None:
        if stats.received_bytes > TRANSFER_LIMIT:
            raise GitError(f"{self._url} sends more than {TRANSFER_LIMIT} bytes; is it really the desired repo?")

    def push_update_reference(self, refname: str, message: str | None) -> None:
        if message is not None:
            self.rejected[refname] = message

    def _refuse_stranger(self, url: str) -> None:
        """A redirect may lead anywhere; what proves us goes only where the person pointed us."""
        asking = locate(url)
        ours = self._address
        if (asking.scheme, asking.host, asking.port) != (ours.scheme, ours.host, ours.port):
            raise GitError(
                f"{self._url} leads on to {asking.host}, which asks for credentials; they are not sent there"
            )

    def _may_try(self, kind: CredentialType, allowed: CredentialType) -> bool:
        fresh = bool(allowed & kind) and kind not in self._tried
        if fresh:
            self._tried.add(kind)
        return fresh

    def _key(self, user: str) -> pygit2.Keypair:
        key = self._remote.ssh_key
        if key is None:
            return pygit2.KeypairFromAgent(user)
        if not key.is_file():
            raise GitError(f"there is no ssh key at {key}; WAYPOST_GIT_SSH_KEY names the private key's file")
        return pygit2.Keypair(user, None, str(key), "")

    def _unproven(self, allowed: CredentialType) -> str:
        if self._tried & {CredentialType.USERPASS_PLAINTEXT, CredentialType.SSH_KEY}:
            return f"{self._url} did not accept our credentials; renew WAYPOST_GIT_TOKEN or WAYPOST_GIT_SSH_KEY"
        if allowed & CredentialType.USERPASS_PLAINTEXT:
            return f"{self._url} asks for credentials; set WAYPOST_GIT_TOKEN"
        return f"{self._url} asks for a kind of credentials that Waypost does not have; use a token or an ssh key"


def locate(url: str) -> Address:
    """How an address is reached. Raises GitError for a form that is not served or that carries a secret."""
    if not url or any(letter.isspace() and letter != " " or not letter.isprintable() for letter in url):
        raise GitError("the address of the desired repo is empty or holds control characters; see WAYPOST_DESIRED_REPO")
    if "://" not in url:
        form = _SCP_FORM.fullmatch(url)
        if form and "/" not in url.partition(":")[0]:
            return Address("ssh", form["host"].lower(), form["user"] or "")
        return Address("file", "", "")
    return _from_parts(url)


def _from_parts(url: str) -> Address:
    try:
        parts = urlsplit(url)
        host, user, port = parts.hostname or "", parts.username or "", parts.port
    except ValueError as fault:
        raise GitError(f"'{_bare(url)}' is no address: {fault}; see WAYPOST_DESIRED_REPO") from fault
    if parts.scheme not in ("file", "ssh", "https", "http"):
        raise GitError(f"'{_bare(url)}' is not served; a path, file://, ssh:// or https:// is")
    if parts.password is not None or (user and parts.scheme != "ssh"):
        raise GitError(f"'{_bare(url)}' carries a secret; leave it out and set WAYPOST_GIT_TOKEN")
    if parts.scheme != "file" and (not host or host.startswith("-")):
        raise GitError(f"'{_bare(url)}' names no host")
    return Address(parts.scheme, host, user, port)


def _bare(url: str) -> str:
    """The address without what stands before an @: fit for a message."""
    return re.sub(r"//[^/]*@", "//***@", url)[:200]


def _spoken(url: str) -> str:
    """As the library takes it: it knows a path only where that is absolute and there."""
    if "://" in url or locate(url).scheme != "file":
        return url
    path = Path(url).expanduser().absolute()
    if not path.exists():
        raise GitError(f"there is no repository at {path}; check WAYPOST_DESIRED_REPO", retry=True)
    return str(path)


def _refuse_open_token(url: str, address: Address, has_token: bool) -> None:
    if has_token and address.scheme == "http" and address.host not in _LOOPBACK:
        raise GitError(f"{url} is not encrypted, so the token in WAYPOST_GIT_TOKEN is not sent there; use https://")


def _news(there: Mapping[str, str], here: Mapping[str, str], specs: Sequence[str]) -> bool:
    """Would a fetch of these refspecs bring anything?"""
    sources = [spec.lstrip("+").partition(":")[0] for spec in specs]
    asked = {name for name in there for source in sources if fnmatchcase(name, source)}
    return any(here.get(name) != there[name] for name in asked)


def _rejection(url: str, rejected: Mapping[str, str]) -> GitError:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in rejected.items())
    if "non-fast-forward" in reasons or "fetch first" in reasons:
        return RefMoved(f"{url} has newer commits ({reasons}); fetch and look again")
    return GitError(f"{url} refused the push ({reasons}); see its branch protection and the account's rights")


@cache
def _set_limits() -> None:
    pygit2.settings.server_connect_timeout = CONNECT_SECONDS * 1000
    pygit2.settings.server_timeout = ANSWER_SECONDS * 1000


@cache
def _trust(ca_file: Path) -> None:
    """Accept certificates of this CA beside the machine's own; the library has one set for the whole process."""
    if not ca_file.is_file():
        raise GitError(f"there is no certificate file at {ca_file}; see WAYPOST_CA_FILE")
    with plain_words(f"cannot use the certificates in {ca_file} (WAYPOST_CA_FILE)"):
        pygit2.settings.set_ssl_cert_locations(str(ca_file), None)
