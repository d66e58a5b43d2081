"""Secrets in files that SOPS encrypted: its own program decrypts one value, which goes to memory only."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from typing import Final

from reconciler.secret_stores.errors import SecretError
from reconciler.secret_stores.places import Keyed

PATIENCE: Final = 20.0
"""Seconds: a key service somewhere else may have to be asked."""

MOST: Final = 64 * 1024
"""Bytes of one secret."""

_SAYS: Final[Mapping[int, str]] = {
    2: "it cannot be read: see that it is there, for this account",
    51: "it was changed without sops (its MAC does not match): encrypt it again",
    52: "it has no MAC: encrypt it with sops",
    91: "it holds no such key",
    111: "it is encrypted for nobody: encrypt it with sops",
    128: "none of its keys is here: give this process SOPS_AGE_KEY_FILE, or what else it is encrypted for",
}
"""What exit statuses of sops mean. Its own words may quote what it read, so they are not repeated."""


def read(place: Keyed, environ: Mapping[str, str]) -> str:
    """One value of an encrypted file; a key with dots leads into nested maps. Raises SecretError."""
    program = shutil.which("sops", path=environ.get("PATH"))
    if program is None:
        raise SecretError(f"sops:{place}, and there is no program `sops` on PATH: install it (getsops.io)")
    status, output = _run([program, "--decrypt", "--extract", _path_in_tree(place.key), place.path], environ)
    if status:
        why = _SAYS.get(status, f"`sops --decrypt` on it ends with status {status}: run that by hand to see why")
        why = f"`sops --decrypt` on it does not end within {PATIENCE:g} s" if status < 0 else why
        raise SecretError(f"sops:{place}: {why}", retry=status not in _SAYS)
    if len(output) > MOST:
        raise SecretError(f"sops:{place}, which is larger than {MOST >> 10} KiB: that is no secret")
    return _text(output, place)


def _path_in_tree(key: str) -> str:
    return "".join(f"[{part}]" if part.isdecimal() else f'["{part}"]' for part in key.split("."))


def _run(command: list[str], environ: Mapping[str, str]) -> tuple[int, bytes]:
    """How it ended, and what it said, of which no more is read than is allowed."""
    with subprocess.Popen(
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what it started is ended with it
    ) as process:
        late = threading.Timer(PATIENCE, _end, (process,))
        late.start()
        try:
            output = process.stdout.read(MOST + 1) if process.stdout else b""
            if len(output) > MOST:
                _end(process)
                return 0, output
            return process.wait(), output
        finally:
            late.cancel()


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _text(output: bytes, place: Keyed) -> str:
    try:
        value = output.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise SecretError(f"sops:{place}, which is not UTF-8 text") from None
    if not value:
        raise SecretError(f"sops:{place}, which is empty")
    return value
