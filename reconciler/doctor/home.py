"""The doctor's look at a home: place, log, desired repo, secrets, ports, and what the gateway's account may do."""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from reconciler import setting
from reconciler.config import ConfigError, Secret, Settings
from reconciler.doctor.finding import Finding, fail, ok, warn
from reconciler.doctor.machine import port
from reconciler.git.store import GitError, Store
from reconciler.home import NETWORK_FILE_SYSTEMS, Held, Home, file_system
from reconciler.ports import Clock
from state.errors import LogError
from state.log import EventLog


def examine(home: Home, clock: Clock, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Everything about the home."""
    yield place(home)
    yield log(home, clock)
    yield desired_repo(home)
    yield from secrets(home.settings, environ)
    yield from trust(home.settings)
    yield gateway_cannot_push(home)
    running = _is_running(home)
    settings = home.settings
    yield port("the gateway", "WAYPOST_LISTEN", settings.listen, running=running)
    yield port("the reconciler", "WAYPOST_RECONCILER_LISTEN", settings.reconciler_listen, running=running)
    if settings.read_only:
        yield warn("kill switch", "WAYPOST_READ_ONLY is on: nothing is proposed, nothing applied", "Take it off")


def _is_running(home: Home) -> bool:
    try:
        held = home.lock_reconciler()
    except OSError:
        return False  # another account's lock: `place` says what this account may do
    if isinstance(held, Held):
        return True
    held.close()
    return False


def place(home: Home) -> Finding:
    """Whether the home is on a disk that keeps its word, and closed to others."""
    kind = file_system(home.path)
    if kind in NETWORK_FILE_SYSTEMS:
        return fail("home", f"{home.path} is on {kind}", "Move the home to a disk of this machine")
    if not os.access(home.path, os.R_OK | os.W_OK | os.X_OK):
        return fail("home", f"this account may not write {home.path}", "Run the reconciler as the home's owner")
    if home.path.stat().st_mode & stat.S_IRWXO:
        return warn("home", f"{home.path} is open to every account of this machine", f"chmod o= {home.path}")
    return ok("home", f"{home.path}{f' on {kind}' if kind else ''}")


def log(home: Home, clock: Clock) -> Finding:
    """Whether the event log opens and agrees with the clock."""
    try:
        with contextlib.closing(EventLog.open(home.log_path, now=clock.now, readonly=True)) as opened:
            head = opened.head()
            last = next(iter(opened.read(head.seq - 1)), None)
    except LogError as fault:
        return fail(
            "event log", str(fault), "`waypost log verify` says where it is damaged, `waypost init` what is lost"
        )
    if last and last.at > clock.now():
        return fail(
            "event log",
            f"its last event is of {last.at:%Y-%m-%d %H:%M:%S} UTC, later than now",
            "Set the clock of this machine",
        )
    return ok("event log", f"{head.seq} events")


def desired_repo(home: Home) -> Finding:
    """Whether the desired repo opens and has the branch."""
    check, branch = "desired repo", home.settings.desired_branch
    try:
        commit = Store.open(home.desired_store_path).head(branch)
    except GitError as fault:
        return fail(check, str(fault), "`waypost init` makes what is missing, or says what is lost")
    if commit:
        return ok(check, f"{home.desired_source}, branch {branch} at {commit[:12]}")
    if home.embedded:
        return fail(check, f"there is no branch {branch}", "Push one, or correct WAYPOST_DESIRED_BRANCH")
    return fail(
        check,
        f"nothing of {branch} has arrived from {home.desired_source} yet",
        "Start the reconciler once (`waypost reconcile --once`): it says why, if it cannot fetch",
    )


def secrets(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether every reference to a secret leads somewhere."""
    for secret in sorted(set(setting.secrets_in(settings)), key=lambda one: (one.setting, one.reference)):
        try:
            secret.reveal(environ)
        except ConfigError as fault:
            yield fail("secrets", str(fault), "Correct the reference, or what it refers to")
        else:
            yield ok("secrets", f"{secret.setting} can be read")


def trust(settings: Settings) -> Iterator[Finding]:
    """Whether the certificates to trust are certificates."""
    if settings.ca_file is None:
        return
    try:
        ssl.create_default_context(cafile=str(settings.ca_file))
    except (OSError, ssl.SSLError) as fault:
        yield fail("certificates", f"{settings.ca_file}: {fault}", "Set WAYPOST_CA_FILE to a file of PEM certificates")
    else:
        yield ok("certificates", f"{settings.ca_file} is trusted")


# ── may the gateway push main? ───────────────────────────────────────────────────────────────────


def gateway_cannot_push(home: Home) -> Finding:
    """Whether the account that owns the gateway's directory is kept from `main`, the log and the secrets."""
    check = "gateway's account"
    try:
        owner = home.gateway_path.stat()
        one_account = home.desired_store_path.stat().st_uid == owner.st_uid
        reached = reachable(home, owner.st_uid, {owner.st_gid})
    except OSError as fault:
        found = f"{fault.filename} cannot be looked at: {fault.strerror}"
        return fail(check, found, "`waypost init` makes what is missing")
    if one_account:
        return warn(
            check,
            "gateway and reconciler are one account, so only the gateway's own code keeps it from main",
            "Give each its own account, as compose.yaml does, where strangers' words reach the model",
        )
    if reached:
        found = f"account {owner.st_uid} can reach {', '.join(map(str, reached[:3]))}"
        return fail(check, found, "Take that away (chmod o-rwx,g-w), and do not run the gateway as root")
    return ok(check, f"account {owner.st_uid} can neither move main nor write the log")


def reachable(home: Home, account: int, groups: set[int]) -> list[Path]:
    """What an account could misuse: parts of the home it may write, secrets it may read."""
    written = [path for path in _kept_from_gateway(home) if may_write(path, account, groups)]
    return written + [path for path in _secret_files(home.settings) if may_read(path, account, groups)]


def _kept_from_gateway(home: Home) -> Iterable[Path]:
    store = home.desired_store_path
    refs = [path for path in (store / "refs").rglob("*") if "proposals" not in path.parts]
    candidates = [home.path, home.log_path, home.people_path, home.settings_path, store, *refs]
    candidates += [store / name for name in ("HEAD", "config", "packed-refs", "objects", "hooks", "refs")]
    return [path for path in candidates if path.exists()]


def _secret_files(settings: Settings) -> Iterable[Path]:
    """Those of the reconciler alone: what the gateway looks with it has to read."""
    own = {*setting.secrets_in(settings)} - {*_shared(settings)}
    paths = [Path(secret.reference.removeprefix("file:")) for secret in own if secret.is_file]
    keys = [settings.git_ssh_key] if settings.git_ssh_key else []
    return [path for path in (*paths, *keys) if path.exists()]


def _shared(settings: Settings) -> Iterator[Secret]:
    """What the gateway is let in with too. None of it can change anything."""
    keys = settings.komodo_read_key, settings.komodo_read_secret
    tokens = settings.authentik_read_token, settings.gitea_read_token, settings.dozzle_auth
    yield from filter(None, (*keys, *tokens))
    for system in settings.systems:
        yield from (secret for name, secret in system.secrets.items() if name.startswith("read_"))


def may_write(path: Path, account: int, groups: set[int]) -> bool:
    """Whether the permissions of `path` let an account write it."""
    return _allowed(path, account, groups, 0o222)


def may_read(path: Path, account: int, groups: set[int]) -> bool:
    """Whether the permissions of `path` let an account read it."""
    return _allowed(path, account, groups, 0o444)


def _allowed(path: Path, account: int, groups: set[int], bits: int) -> bool:
    found = path.stat()
    if account == 0:
        return True
    if found.st_uid == account:
        return bool(found.st_mode & bits & stat.S_IRWXU)
    part = stat.S_IRWXG if found.st_gid in groups else stat.S_IRWXO
    return bool(found.st_mode & bits & part)
