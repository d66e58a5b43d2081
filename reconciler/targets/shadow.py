"""A throw-away Traefik on loopback that says what a fresh start would make of a directory.

It reads byte-identical copies, so its decoder's verdict is the real one. Between two examinations it serves
nothing: no health check of a copied service runs on, and it knows no certificate resolver at all.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from reconciler.core.target import TargetError
from reconciler.ports import Clock, Files
from reconciler.traefik.api import ApiError, EntryPoint, Item, Runtime, TraefikApi
from state.model import canonical, digest, digest_bytes

_START: Final = 15.0  # seconds that the binary may take to answer first
_VERDICT: Final = 15.0  # seconds that it may take to load a directory, or to say why not
_POLL: Final = 0.002
_MOST_REMEMBERED: Final = 32
_MOST_LOG: Final = 1024 * 1024
_STARTS: Final = 5

# The shell outlives Traefik and us by an instant only: when our end of the pipe closes, however we died,
# `read` returns and Traefik is killed; when Traefik exits by itself, so does the shell.
_GUARD: Final = """
exec 3<&0
"$@" 3<&- </dev/null >"$OUTPUT" 2>&1 &
child=$!
echo $child
{ read -r _ <&3; kill -9 $child; } >/dev/null 2>&1 &
guard=$!
wait $child
kill -9 $guard
"""


# Without a default certificate Traefik makes an RSA key for every load, ten times the work of all the rest.
# A generation's folder is a number and is read before this file, so a default certificate of its own wins.
_CERTIFICATE: Final = """
{{ $made := genSelfSignedCertWithKey "shadow" nil nil 3650 (genPrivateKey "ecdsa") }}
tls:
  stores:
    default:
      defaultCertificate:
        certFile: {{ $made.Cert | toJson }}
        keyFile: {{ $made.Key | toJson }}
"""


class ShadowError(TargetError):
    """The shadow could not be run, or gave no verdict."""


@dataclass(frozen=True, kw_only=True)
class ShadowVerdict:
    """What a fresh Traefik makes of a directory.

    `loaded`: the directory as a whole is accepted. `poison` names each file that prevents it, with the decoder's
    words. `runtime` is what runs, the poison files left out.
    """

    loaded: bool
    poison: Mapping[str, str]
    runtime: Runtime

    def routers(self) -> dict[str, Item]:
        """Every router of the directory by its name in the API."""
        kinds = ("http.routers", "tcp.routers", "udp.routers")
        listed = (pair for kind in kinds for pair in self.runtime.of(kind).items())
        return {name: item for name, item in listed if name.endswith("@file")}


class Shadow:
    """Keeps one Traefik of `binary` in `workdir`, started when first needed and gone with `close` or with us."""

    def __init__(self, binary: Path, *, files: Files, clock: Clock, workdir: Path) -> None:
        self._binary = binary
        self._files = files
        self._clock = clock
        self._workdir = workdir
        self._stage = workdir / "stage"
        self._watched = workdir / "watched"
        self._log = workdir / "shadow.log"
        self._guard = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._api: TraefikApi | None = None
        self._doors: tuple[EntryPoint, ...] = ()
        self._staged: dict[str, str] = {}
        self._number = 0
        self._remembered: OrderedDict[str, ShadowVerdict] = OrderedDict()
        self._version = ""
        self.pid = 0

    def version(self) -> str:
        """The version of the binary, for example "3.7.15"."""
        if not self._version:
            self._version = version_of(self._binary)
        return self._version

    def examine(self, contents: Mapping[str, bytes], entry_points: Sequence[EntryPoint]) -> ShadowVerdict:
        """What a fresh Traefik with these entry points makes of these files (relative path -> bytes).

        The same files and entry points are examined once. Raises ShadowError where no verdict can be had.
        """
        doors = tuple(entry_points)
        key = digest([{name: digest_bytes(one) for name, one in contents.items()}, _door_settings(doors)])
        with self._guard:
            if key not in self._remembered:
                self._remembered[key] = self._examined(contents, doors)
            self._remembered.move_to_end(key)
            while len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
            return self._remembered[key]

    def close(self) -> None:
        """End the process and remove its copies."""
        with self._guard:
            self._stop()
            shutil.rmtree(self._workdir, ignore_errors=True)

    def _examined(self, contents: Mapping[str, bytes], doors: tuple[EntryPoint, ...]) -> ShadowVerdict:
        for last_chance in (False, True):
            try:
                self._running(doors)
                return self._sifted(dict(contents))
            except (OSError, ApiError) as error:
                self._stop()
                if last_chance:
                    raise ShadowError(f"the shadow Traefik cannot be run: {error}") from None
        raise AssertionError("the last chance returns or raises")

    def _sifted(self, contents: dict[str, bytes]) -> ShadowVerdict:
        """Traefik names one poison file at a time: leave it out and try again."""
        poison: dict[str, str] = {}
        while True:
            outcome = self._tried(contents)
            if isinstance(outcome, Runtime):
                return ShadowVerdict(loaded=not poison, poison=poison, runtime=outcome)
            file, reason = outcome
            poison[file] = reason
            if contents.pop(file, None) is None:  # no file of the directory: nothing left to leave out
                return ShadowVerdict(loaded=False, poison=poison, runtime=Runtime(items={}))

    def _tried(self, contents: Mapping[str, bytes]) -> Runtime | tuple[str, str]:
        """Let it load these files: what runs then, or the first poison file and why."""
        self._number += 1
        self._fill(contents)
        if self._log.stat().st_size > _MOST_LOG:
            os.truncate(self._log, 0)
        start, place = self._log.stat().st_size, self._watched / str(self._number)
        self._stage.rename(place)
        try:
            return self._awaited(f"waypost-shadow-{self._number}@file", place, start, contents)
        finally:
            place.rename(self._stage)

    def _awaited(
        self, marker: str, place: Path, start: int, contents: Mapping[str, bytes]
    ) -> Runtime | tuple[str, str]:
        assert self._api is not None
        deadline = self._clock.monotonic() + _VERDICT
        while self._clock.monotonic() < deadline:
            if self._api.middleware(marker) is not None:
                return _without(self._api.rawdata(), marker)
            if (refusal := self._refusal(start, place)) is not None:
                return _named(refusal, place, contents)
            self._clock.sleep(_POLL)
        raise ShadowError(f"the shadow Traefik said nothing about the directory within {_VERDICT:g} s")

    def _refusal(self, start: int, place: Path) -> str | None:
        with self._log.open("rb") as log:
            log.seek(start)
            lines = log.read().splitlines()
        for entry in map(_entry, lines):
            error = str(entry.get("error", ""))
            if entry.get("providerName") == "file" and f"{place}/" in error:
                return error
        return None

    def _fill(self, contents: Mapping[str, bytes]) -> None:
        """Make the stage hold exactly these files and the marker; only what changed is written."""
        name = f"waypost-shadow-{self._number}"
        # Beside the copies, so no file of a neighbour can have this name.
        marker = {"http": {"middlewares": {name: {"compress": {"minResponseBodyBytes": 1024}}}}}
        (self._stage / "marker.yml").write_bytes(canonical(marker))
        for gone in self._staged.keys() - contents.keys():
            (self._stage / "copy" / gone).unlink()
            del self._staged[gone]
        for path, content in contents.items():
            if self._staged.get(path) != (fingerprint := digest_bytes(content)):
                target = self._stage / "copy" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
                self._staged[path] = fingerprint

    def _running(self, doors: tuple[EntryPoint, ...]) -> None:
        alive = self._process is not None and self._process.poll() is None
        if alive and doors == self._doors:
            return
        for _ in range(_STARTS):  # the port we found free may be taken before Traefik binds it
            self._stop()
            self._start(doors)
            if self._answers():
                self._doors = doors
                return
        raise ShadowError(f"{self._binary} does not start: {self._last_words()}", retry=False)

    def _start(self, doors: tuple[EntryPoint, ...]) -> None:
        shutil.rmtree(self._workdir, ignore_errors=True)
        self._workdir.mkdir(parents=True, mode=0o700)
        (self._stage / "copy").mkdir(parents=True)
        self._watched.mkdir()
        (self._watched / "certificate.yml").write_text(_CERTIFICATE)
        self._staged.clear()
        self._log.touch()
        port = _free_port()
        config = self._workdir / "static.yml"
        config.write_bytes(canonical(_static(doors, port, self._watched, self._log)))
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", str(self._binary), f"--configFile={config}"],
            cwd=self._workdir,
            # A template in somebody's file must find no secret of ours here.
            env={"PATH": os.defpath, "OUTPUT": str(self._workdir / "output")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt at the keyboard is for us, not for it
            text=True,
        )
        assert self._process.stdout is not None
        self.pid = int(self._process.stdout.readline())
        self._api = TraefikApi(f"http://127.0.0.1:{port}", clock=self._clock)

    def _answers(self) -> bool:
        assert self._api is not None and self._process is not None
        deadline = self._clock.monotonic() + _START
        while self._clock.monotonic() < deadline and self._process.poll() is None:
            try:
                self._api.version()
            except ApiError:
                self._clock.sleep(_POLL)
            else:
                return self._process.poll() is None
        return False

    def _last_words(self) -> str:
        """What it said before it gave up, for a person to read."""
        for file in (self._workdir / "output", self._log):
            with contextlib.suppress(OSError):
                if lines := file.read_text(errors="replace").split("\n"):
                    return " ".join(lines[-3:]).strip()
        return "it says nothing"

    def _stop(self) -> None:
        if self._api is not None:
            self._api.close()
        if self._process is not None:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.close()  # the guard sees the end of the pipe and kills Traefik
            self._process.wait()
            self._process.stdout.close()
        self._api, self._process, self.pid = None, None, 0


def find_binary(setting: str) -> Path | None:
    """The Traefik to run as a shadow: the one that the setting names, else beside our Python, else on PATH."""
    if setting:
        named = shutil.which(setting)
        return Path(named) if named else None
    beside = shutil.which("traefik", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("traefik")
    return Path(found) if found else None


def version_of(binary: Path) -> str:
    """The version of a traefik program, for example "3.7.15". Raises ShadowError where it cannot be run."""
    try:
        answer = subprocess.run(
            [binary, "version"], env={}, capture_output=True, text=True, timeout=_START, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ShadowError(f"{binary} cannot be run: {error}", retry=False) from None
    found = re.search(r"^Version:\s+v?(\S+)", answer, re.MULTILINE)
    return found[1] if found else "unknown"


def _static(doors: Sequence[EntryPoint], port: int, watched: Path, log: Path) -> dict[str, Any]:
    # Without any entry point Traefik would open one on port 80.
    entry_points = _door_settings(doors) or {"web": {"address": "127.0.0.1:0"}}
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {**entry_points, "traefik": {"address": f"127.0.0.1:{port}"}},
        "api": {"insecure": True, "dashboard": False},
        "providers": {
            "providersThrottleDuration": "0s",
            "file": {"directory": str(watched), "watch": True},
        },
        "log": {"level": "ERROR", "format": "json", "filePath": str(log)},
    }


def _door_settings(doors: Sequence[EntryPoint]) -> dict[str, Any]:
    """The live entry points on ports of nobody's, with the options that rename or copy routers."""
    settings: dict[str, Any] = {}
    for door in doors:
        http: dict[str, Any] = {}  # left out where empty: Traefik refuses an empty section
        if (tls := door.http.get("tls")) is not None:
            http["tls"] = {"options": tls["options"]} if isinstance(tls, dict) and tls.get("options") else {}
        if middlewares := door.http.get("middlewares"):
            http["middlewares"] = middlewares
        settings[door.name] = {
            "address": "127.0.0.1:0/udp" if door.udp else "127.0.0.1:0",
            **({"http": http} if http else {}),
            **({"asDefault": True} if door.as_default else {}),
        }
    return settings


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}  # still being written; it is read again
    return entry if isinstance(entry, dict) else {}


def _named(refusal: str, place: Path, contents: Mapping[str, bytes]) -> tuple[str, str]:
    """The file that an error names, and the words about it: `…: <path>: <words>`."""
    return max(_mentions(refusal, place, contents), key=lambda found: len(found[0]), default=("", refusal))


def _mentions(refusal: str, place: Path, contents: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for name in contents:
        _, found, words = refusal.partition(f"{place}/copy/{name}: ")
        if found:
            yield name, words.replace(f"{place}/copy/", "")


def _without(runtime: Runtime, marker: str) -> Runtime:
    items = {
        kind: {name: item for name, item in section.items() if name != marker}
        for kind, section in runtime.items.items()
    }
    return Runtime(items=items)
