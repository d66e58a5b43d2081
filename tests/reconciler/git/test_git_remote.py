"""Other repositories: local ones and real https with the real `git`; what we say when asked who we are."""

from __future__ import annotations

import base64
import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pygit2
import pytest
from pygit2.enums import CredentialType

from reconciler.git import remote as remotes
from reconciler.git.proposals import proposals
from reconciler.git.remote import Callbacks, Remote, locate
from reconciler.git.store import GitError, RefMoved, Store
from tests.conftest import SelfSigned, signed_by_itself
from tests.reconciler.git.persons import Person, damage, desired, files_of, main_of, proposed

TOKEN = "s3cret-t0ken"


@pytest.fixture(params=["path", "file"])
def origin(request: pytest.FixtureRequest, store: Store) -> Remote:
    """The desired repo as another one, named by its path or by a file address."""
    path = str(store.path).rstrip("/")
    return Remote(path if request.param == "path" else f"file://{path}")


# ── fetching ─────────────────────────────────────────────────────────────────────────────────────


def test_main_and_proposals_are_fetched_and_fetched_again(
    origin: Remote, store: Store, mirror: Store, ada: Person
) -> None:
    commit = proposed(store, "a", {"traefik/a.yaml": b"a"})
    assert origin.fetch(mirror) == main_of(store)
    assert proposals(mirror) == {"a": commit}
    ada.write("traefik/b.yaml", b"b")
    head = ada.push()
    assert origin.fetch(mirror) == head == mirror.head()
    assert files_of(mirror, head) == files_of(store, head)


def test_a_forced_push_is_followed_and_noticed_by_ancestry(
    origin: Remote, store: Store, mirror: Store, ada: Person
) -> None:
    ada.write("traefik/b.yaml", b"b")
    ada.push()
    was = origin.fetch(mirror)
    ada.git("reset", "--quiet", "--hard", "HEAD~1")
    ada.write("traefik/c.yaml", b"c")
    ada.push("--force", "origin", "main")
    now = origin.fetch(mirror)
    assert now == main_of(store)
    assert not mirror.is_ancestor(was, now)
    assert mirror.has(was)


def test_a_proposal_that_was_forced_elsewhere_stays_as_it_was_here(
    origin: Remote, store: Store, mirror: Store, ada: Person
) -> None:
    first = proposed(store, "a", {"traefik/a.yaml": b"a"})
    origin.fetch(mirror)
    ada.git("fetch", "--quiet", "origin")
    ada.git("switch", "--quiet", "--detach", "origin/main")
    ada.write("traefik/a.yaml", b"forged")
    ada.push("--force", "origin", "HEAD:proposals/a")
    origin.fetch(mirror)
    assert proposals(mirror) == {"a": first}


def test_a_missing_branch_is_named_with_those_that_are_there(origin: Remote, mirror: Store, ada: Person) -> None:
    ada.push("origin", "main:other")
    with pytest.raises(GitError, match=r"has no branch 'trunk' \(it has: main, other\)") as raised:
        origin.fetch(mirror, "trunk")
    assert raised.value.retry


def test_a_branch_that_vanished_is_an_error_and_what_was_fetched_stays(
    origin: Remote, store: Store, mirror: Store
) -> None:
    head = origin.fetch(mirror)
    store.remove("refs/heads/main")
    with pytest.raises(GitError, match="has no branch 'main'"):
        origin.fetch(mirror)
    assert mirror.head() == head


def test_a_repository_that_is_gone_is_named(tmp_path: Path, mirror: Store) -> None:
    for url in (str(tmp_path / "gone.git"), f"file://{tmp_path}/gone.git"):
        with pytest.raises(GitError, match=r"gone\.git.*(check WAYPOST_DESIRED_REPO|check the path)") as raised:
            Remote(url).fetch(mirror)
        assert raised.value.retry


def test_a_directory_that_is_no_repository_is_named(tmp_path: Path, mirror: Store) -> None:
    with pytest.raises(GitError, match="check the path"):
        Remote(str(tmp_path)).fetch(mirror)


def test_a_damaged_repository_is_an_error_and_the_last_good_state_stays(
    origin: Remote, store: Store, mirror: Store, ada: Person
) -> None:
    head = origin.fetch(mirror)
    ada.write("traefik/b.yaml", b"b" * 100)
    new = ada.push()
    entry = store.entry(new, "traefik/b.yaml")
    assert entry is not None
    damage(store, entry.id, b"")
    with pytest.raises(GitError, match="cannot fetch from"):
        origin.fetch(mirror)
    assert mirror.head() == head


def test_hooks_and_commands_over_there_never_run(origin: Remote, store: Store, mirror: Store, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for hook in ("pre-receive", "update", "post-receive", "post-update", "reference-transaction"):
        file = store.path / "hooks" / hook
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\ntouch {trap}\n")
        file.chmod(0o755)
    with (store.path / "config").open("a") as file:
        file.write(f"[uploadpack]\n\tpackObjectsHook = touch {trap};\n[core]\n\tfsmonitor = touch {trap}\n")
    head = origin.fetch(mirror)
    commit = proposed(mirror, "a", {"traefik/a.yaml": b"a"}, parent=head)
    origin.push(mirror, "main", commit)
    assert main_of(store) == commit
    assert not trap.exists()


# ── pushing ──────────────────────────────────────────────────────────────────────────────────────


def test_a_branch_is_pushed_without_moving_it_here_first(origin: Remote, store: Store, mirror: Store) -> None:
    head = origin.fetch(mirror)
    commit = proposed(mirror, "a", {"traefik/a.yaml": b"a"})
    origin.push(mirror, "main", commit)
    assert (store.head(), mirror.head()) == (commit, head)
    origin.push(mirror, "proposals/a")
    assert proposals(store) == {"a": commit}


def test_a_push_never_goes_over_what_somebody_else_pushed(
    origin: Remote, store: Store, mirror: Store, ada: Person
) -> None:
    origin.fetch(mirror)
    commit = proposed(mirror, "a", {"traefik/a.yaml": b"a"})
    ada.write("traefik/b.yaml", b"b")
    head = ada.push()
    with pytest.raises(RefMoved, match="has newer commits") as raised:
        origin.push(mirror, "main", commit)
    assert raised.value.retry
    assert store.head() == head


def test_revisions_and_anchors_are_copied_over(origin: Remote, store: Store, mirror: Store) -> None:
    head = origin.fetch(mirror)
    mirror.keep(1, head)
    mirror.anchor(head, 5, "aa")
    assert origin.push_own(mirror) == ""
    assert (store.revisions(), store.anchors()) == (mirror.revisions(), mirror.anchors())
    assert origin.push_own(mirror) == ""


def test_anchors_that_grew_apart_keep_no_revision_from_being_copied(
    origin: Remote, store: Store, mirror: Store, tmp_path: Path
) -> None:
    head = origin.fetch(mirror)
    older = Store.create(tmp_path / "older.git")  # what a home from an older backup knows
    origin.fetch(older)
    mirror.anchor(head, 5, "aa")
    assert origin.push_own(mirror) == ""
    older.keep(1, head)
    older.anchor(head, 4, "bb")
    assert "newer commits" in origin.push_own(older)
    assert store.revisions() == {1: head}
    assert store.anchors() == mirror.anchors()


def test_copying_to_a_server_that_is_away_is_a_reason_and_no_error(mirror: Store, tmp_path: Path) -> None:
    desired(tmp_path / "other.git")
    assert "gone.git" in Remote(f"file://{tmp_path}/gone.git").push_own(mirror)


def test_a_repository_with_a_work_tree_takes_no_pushes(ada: Person, mirror: Store, store: Store) -> None:
    working = Remote(str(ada.work))
    head = working.fetch(mirror)
    commit = proposed(mirror, "a", {"traefik/a.yaml": b"a"}, parent=head)
    with pytest.raises(GitError, match="git clone --bare"):
        working.push(mirror, "main", commit)


# ── addresses ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "scheme", "host", "user"),
    [
        ("/srv/desired.git", "file", "", ""),
        ("desired.git", "file", "", ""),
        ("./a:b/desired.git", "file", "", ""),
        ("file:///srv/desired.git", "file", "", ""),
        ("git@git.example.org:home/desired.git", "ssh", "git.example.org", "git"),
        ("nas:desired.git", "ssh", "nas", ""),
        ("ssh://me@git.example.org:2222/desired.git", "ssh", "git.example.org", "me"),
        ("https://git.example.org/home/desired.git", "https", "git.example.org", ""),
        ("http://127.0.0.1:3000/home/desired.git", "http", "127.0.0.1", ""),
    ],
)
def test_an_address_tells_how_it_is_reached(url: str, scheme: str, host: str, user: str) -> None:
    found = locate(url)
    assert (found.scheme, found.host, found.user) == (scheme, host, user)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "empty"),
        ("https://x/\n", "control characters"),
        ("git://git.example.org/x", "is not served"),
        ("ftp://git.example.org/x", "is not served"),
        ("https://user:hunter2@git.example.org/x", "carries a secret"),
        ("https://hunter2@git.example.org/x", "carries a secret"),
        ("ssh://user:hunter2@git.example.org/x", "carries a secret"),
        ("https:///x", "names no host"),
        ("ssh://-oProxyCommand=x/y", "names no host"),
        ("https://git.example.org:port/x", "is no address"),
    ],
)
def test_an_address_that_is_not_served_is_refused_without_its_secret(url: str, reason: str) -> None:
    with pytest.raises(GitError, match=reason) as raised:
        Remote(url)
    assert "hunter2" not in str(raised.value)


def test_a_command_is_no_address(mirror: Store, tmp_path: Path) -> None:
    for url in ("ext::sh -c touch% x", "-u./x", "--upload-pack=x"):
        with pytest.raises(GitError):
            Remote(url).fetch(mirror)


def test_a_token_is_not_sent_in_the_open() -> None:
    with pytest.raises(GitError, match="is not encrypted"):
        Remote("http://git.example.org/x", token=TOKEN)
    Remote("http://localhost:3000/x", token=TOKEN)


def test_a_token_is_never_shown() -> None:
    assert TOKEN not in repr(Remote("https://git.example.org/x", token=TOKEN))


# ── who we are ───────────────────────────────────────────────────────────────────────────────────

HTTPS = "https://git.example.org/home/desired.git"
SSH = "git@git.example.org:home/desired.git"
PASSWORD = CredentialType.USERPASS_PLAINTEXT
KEY = CredentialType.SSH_KEY


def asked(remote: Remote) -> Callbacks:
    return Callbacks(remote)


def test_https_is_answered_with_the_token_once(tmp_path: Path) -> None:
    callbacks = asked(Remote(HTTPS, token=TOKEN, user="ada"))
    answer = callbacks.credentials(HTTPS, None, PASSWORD)
    assert isinstance(answer, pygit2.UserPass)
    assert answer.credential_tuple == ("ada", TOKEN)
    with pytest.raises(GitError, match="did not accept our credentials; renew WAYPOST_GIT_TOKEN"):
        callbacks.credentials(HTTPS, None, PASSWORD)


def test_a_token_that_was_rotated_is_asked_for_when_it_is_used() -> None:
    tokens = iter(("first", "second"))
    remote = Remote(HTTPS, token=lambda: next(tokens), user="ada")
    for token in ("first", "second"):
        answer = asked(remote).credentials(HTTPS, None, PASSWORD)
        assert isinstance(answer, pygit2.UserPass) and answer.credential_tuple == ("ada", token)


def test_https_without_a_token_says_what_to_set() -> None:
    with pytest.raises(GitError, match="set WAYPOST_GIT_TOKEN"):
        asked(Remote(HTTPS)).credentials(HTTPS, None, PASSWORD)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example.org/x",
        "http://git.example.org/x",
        "https://git.example.org:8443/x",
        "ssh://git.example.org/x",
    ],
)
def test_a_redirect_does_not_get_the_token(elsewhere: str) -> None:
    with pytest.raises(GitError, match="they are not sent there"):
        asked(Remote(HTTPS, token=TOKEN)).credentials(elsewhere, None, PASSWORD)


def test_ssh_is_answered_with_the_user_then_the_key(tmp_path: Path) -> None:
    key = tmp_path / "id"
    key.write_text("key")
    callbacks = asked(Remote("git.example.org:x.git", ssh_key=key))
    assert callbacks.credentials("git.example.org:x.git", None, CredentialType.USERNAME).credential_tuple == ("git",)
    answer = callbacks.credentials("git.example.org:x.git", "git", KEY)
    assert isinstance(answer, pygit2.Keypair)
    assert answer.credential_tuple == ("git", None, str(key), "")
    with pytest.raises(GitError, match="renew WAYPOST_GIT_TOKEN or WAYPOST_GIT_SSH_KEY"):
        callbacks.credentials("git.example.org:x.git", "git", KEY)


def test_ssh_without_a_key_asks_the_agent() -> None:
    answer = asked(Remote(SSH)).credentials(SSH, "git", KEY | CredentialType.SSH_MEMORY)
    assert isinstance(answer, pygit2.KeypairFromAgent)


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(GitError, match=r"no ssh key at .*gone"):
        asked(Remote(SSH, ssh_key=tmp_path / "gone")).credentials(SSH, "git", KEY)


def test_a_server_that_wants_something_else_is_told_apart() -> None:
    with pytest.raises(GitError, match="a kind of credentials that Waypost does not have"):
        asked(Remote(SSH)).credentials(SSH, "git", CredentialType.SSH_INTERACTIVE)


def test_a_host_that_is_not_trusted_is_refused_with_the_remedy() -> None:
    with pytest.raises(GitError, match="ssh-keyscan git.example.org"):
        asked(Remote(SSH)).certificate_check(None, False, b"git.example.org")
    with pytest.raises(GitError, match="WAYPOST_CA_FILE"):
        asked(Remote(HTTPS)).certificate_check(None, False, b"git.example.org")
    assert asked(Remote(HTTPS)).certificate_check(None, True, b"git.example.org")


def test_a_transfer_without_end_is_stopped() -> None:
    stats = SimpleNamespace(received_bytes=remotes.TRANSFER_LIMIT + 1)
    with pytest.raises(GitError, match="is it really the desired repo"):
        asked(Remote(HTTPS)).transfer_progress(stats)  # type: ignore[arg-type]


def test_a_certificate_file_that_is_not_there_is_named(mirror: Store, tmp_path: Path) -> None:
    with pytest.raises(GitError, match=r"no certificate file at .*gone\.pem; see WAYPOST_CA_FILE"):
        Remote("https://localhost:1/x", ca_file=tmp_path / "gone.pem").fetch(mirror)


# ── real https ───────────────────────────────────────────────────────────────────────────────────


class GitServer(BaseHTTPRequestHandler):
    """`git http-backend` behind a password, as a forge has it."""

    root: Path

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def _serve(self, body: bytes) -> None:
        expected = base64.b64encode(f"waypost:{TOKEN}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=git")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        answer = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env=self._environment(path, query, body),
            capture_output=True,
            check=False,
        ).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        fields = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _environment(self, path: str, query: str, body: bytes) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "HOME": str(self.root),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.receivepack",
            "GIT_CONFIG_VALUE_0": "true",
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "waypost",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def git_server(root: Path, certificate: SelfSigned) -> Iterator[str]:
    """The address of the desired repo in this directory behind a real https server."""
    handler = type("Handler", (GitServer,), {"root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}/desired.git"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def https(store: Store, self_signed: SelfSigned) -> Iterator[str]:
    with git_server(store.path.parent, self_signed) as url:
        yield url


def test_a_certificate_of_nobody_we_know_is_not_trusted(store: Store, mirror: Store, tmp_path: Path) -> None:
    # Its own: what one connection of a process was told to trust, each later one trusts.
    server = git_server(store.path.parent, signed_by_itself(tmp_path, "localhost"))
    with server as url, pytest.raises(GitError, match="WAYPOST_CA_FILE"):
        Remote(url, token=TOKEN).fetch(mirror)


def test_the_whole_way_over_https_with_a_token_and_a_ca_of_our_own(
    https: str, store: Store, mirror: Store, ada: Person, self_signed: SelfSigned
) -> None:
    ca_file = self_signed.certificate
    with pytest.raises(GitError, match="set WAYPOST_GIT_TOKEN"):
        Remote(https, ca_file=ca_file).fetch(mirror)
    with pytest.raises(GitError, match="did not accept our credentials"):
        Remote(https, token="wrong", ca_file=ca_file).fetch(mirror)
    origin = Remote(https, token=TOKEN, ca_file=ca_file)
    head = origin.fetch(mirror)
    assert head == main_of(store)
    commit = proposed(mirror, "a", {"traefik/a.yaml": b"a"})
    origin.push(mirror, "main", commit)
    assert main_of(store) == commit
    late = proposed(mirror, "b", {"traefik/b.yaml": b"b"}, parent=head)
    with pytest.raises(RefMoved):
        origin.push(mirror, "main", late)
    with pytest.raises(GitError, match="whether this account may see it|check the address"):
        Remote(https.replace("desired", "gone"), token=TOKEN, ca_file=ca_file).fetch(mirror)


def test_a_push_that_a_forge_declines_is_an_error_with_its_words(
    https: str, store: Store, mirror: Store, self_signed: SelfSigned
) -> None:
    origin = Remote(https, token=TOKEN, ca_file=self_signed.certificate)
    origin.fetch(mirror)
    hook = store.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    commit = proposed(mirror, "a", {"traefik/a.yaml": b"a"})
    with pytest.raises(GitError, match=r"refused the push \(refs/heads/main: .*branch protection"):
        origin.push(mirror, "main", commit)
    mirror.keep(1, commit)
    assert "refused the push" in origin.push_own(mirror)
