"""The desired repo over ssh, from a real OpenSSH server on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygit2
import pytest

from reconciler.git.remote import Remote
from reconciler.git.store import GitError, Store
from tests.ports import free_port
from tests.reconciler.git.persons import Person, main_of


@dataclass(frozen=True)
class Ssh:
    """A server: the address of the desired repo there, a key that it takes, and the file of known hosts."""

    url: str
    key: Path
    known_hosts: Path
    host_line: str

    def introduce(self) -> None:
        self.known_hosts.parent.mkdir(exist_ok=True)
        self.known_hosts.write_text(self.host_line)


def make_key(path: Path) -> Path:
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "256", "-m", "PEM", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def at_home(tmp_path: Path) -> Iterator[Path]:
    """A home directory of the test's own, as Git sees it."""
    home = tmp_path / "somebody"
    home.mkdir()
    before = pygit2.settings.homedir
    pygit2.settings.homedir = str(home)
    yield home
    pygit2.settings.homedir = before


@pytest.fixture
def ssh(tmp_path: Path, store: Store, at_home: Path, until: Callable[..., None]) -> Iterator[Ssh]:
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("needs an OpenSSH server (`sshd`, `ssh-keygen`)")
    port = free_port()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where a server that root starts gives its rights away
    host_key, key = make_key(tmp_path / "host"), make_key(tmp_path / "key")
    settings = {
        "ListenAddress": "127.0.0.1", "Port": port, "HostKey": host_key, "PidFile": "none", "UsePAM": "no",
        "AuthorizedKeysFile": f"{key}.pub", "StrictModes": "no", "PasswordAuthentication": "no",
    }  # fmt: skip
    config = tmp_path / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    server = subprocess.Popen([program, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)

    def listening() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(listening, "the ssh server")
        yield Ssh(
            url=f"ssh://{getpass.getuser()}@127.0.0.1:{port}{store.path}",
            key=key,
            known_hosts=at_home / ".ssh" / "known_hosts",
            host_line=f"[127.0.0.1]:{port} {Path(f'{host_key}.pub').read_text()}",
        )
    finally:
        server.terminate()
        server.wait()


def test_main_is_followed_and_moved_over_ssh_with_a_key(ssh: Ssh, store: Store, mirror: Store, ada: Person) -> None:
    ssh.introduce()
    origin = Remote(ssh.url, ssh_key=ssh.key)
    origin.fetch(mirror, "main")
    assert mirror.head("main") == store.head("main")
    ada.write("traefik/x.yaml", b"x")
    ada.push()
    origin.fetch(mirror, "main")
    assert mirror.head("main") == main_of(store)


def test_a_server_that_nobody_introduced_is_refused_with_what_to_do(ssh: Ssh, mirror: Store) -> None:
    with pytest.raises(GitError, match="ssh-keyscan"):
        Remote(ssh.url, ssh_key=ssh.key).fetch(mirror, "main")


def test_a_key_that_the_server_does_not_take_is_named(ssh: Ssh, mirror: Store, tmp_path: Path) -> None:
    ssh.introduce()
    stranger: Any = make_key(tmp_path / "stranger")
    with pytest.raises(GitError, match="(?i)key|credential|refus"):
        Remote(ssh.url, ssh_key=stranger).fetch(mirror, "main")
