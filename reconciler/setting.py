"""What one setting is: its name, its kind, its words, and how its text becomes a value. Names none itself."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ENVIRON: Mapping[str, str] = os.environ
"""The environment of this process. Nobody else looks there."""


class ConfigError(Exception):
    """Settings that cannot be used. `faults` holds one sentence for each of them, all at once."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, repr=False)
class Secret:
    """Where a secret is, never what it is: `env:NAME` or `file:/path`. Its repr tells nothing."""

    reference: str
    setting: str = ""

    def __repr__(self) -> str:
        return "***"

    @property
    def is_file(self) -> bool:
        """Whether it stands in a file."""
        return self.reference.startswith("file:/")

    def reveal(self, environ: Mapping[str, str] | None = None) -> str:
        """The secret itself, read now, so that a rotated file counts. Raises ConfigError."""
        scheme, _, place = self.reference.partition(":")
        if scheme == "env":
            return self._from_environment(place, ENVIRON if environ is None else environ)
        if scheme == "file":
            return self._from_file(Path(place))
        return self.reference  # an address that a person chose to write in full

    def _from_environment(self, name: str, environ: Mapping[str, str]) -> str:
        if value := environ.get(name, ""):
            return value
        raise ConfigError(
            f"{self.setting} refers to the environment variable {name}, which is not set: set it for this process"
        )

    def _from_file(self, path: Path) -> str:
        try:
            value = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else "it is not UTF-8 text"
            raise ConfigError(
                f"{self.setting} refers to the file {path}, which cannot be read ({reason}): "
                "make it readable for this account"
            ) from fault
        if value:
            return value
        raise ConfigError(f"{self.setting} refers to the file {path}, which is empty: write the secret into it")


@dataclass(frozen=True)
class Listen:
    """Where to listen. Port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


@dataclass(frozen=True)
class Kind:
    """A kind of value. `words` says what would be right; `parse` raises ValueError on anything else.

    `secret`: a wrong value of this kind may be a secret in the wrong place and is never repeated.
    """

    words: str
    parse: Callable[[str], Any]
    secret: bool = False

    def shown(self, text: str) -> str:
        """A wrong value as it may be repeated in a message."""
        return "***" if self.secret else _USERINFO.sub("//***@", text)


_USERINFO = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True)
class Setting:
    """One setting, declared once: parsing, the file that `init` writes and README's table come from it."""

    name: str
    kind: Kind
    default: str  # as a person would write it; "" = nothing is chosen
    explanation: str

    @property
    def field(self) -> str:
        """Its name inside `Settings`."""
        return self.name.removeprefix("WAYPOST_").lower()

    def read(self, text: str, place: str) -> Any:
        """The value of `text`, found at `place` (a file and line, the environment). Raises ConfigError."""
        try:
            value = self.kind.parse(text.strip())
        except ValueError as fault:
            because = f" ({fault})" if str(fault) else ""
            raise ConfigError(
                f"{place}: {self.name} is '{self.kind.shown(text)}'{because}; right would be {self.kind.words}"
            ) from fault
        return _named(value, self.name)


def _named(value: Any, setting: str) -> Any:
    """Tell secrets which setting they belong to, for their messages."""
    if isinstance(value, Secret):
        return Secret(value.reference, setting)
    if isinstance(value, tuple):
        return tuple(_named(item, setting) for item in value)
    return value


def _optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: parse(text) if text else None


def _path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise ValueError("not an absolute path")
    return path


def _boolean(text: str) -> bool:
    words = {
        "true": True,
        "yes": True,
        "on": True,
        "1": True,
        "false": False,
        "no": False,
        "off": False,
        "0": False,
    }
    if text.lower() not in words:
        raise ValueError
    return words[text.lower()]


def _word(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,500}", text):
        raise ValueError
    return text


def _issuer(text: str) -> str:
    _web_address(text)
    address = urlsplit(text)
    if address.scheme != "https" and address.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("https, since whoever can change what it says could sign for anybody")
    return text  # a slash at its end belongs to it


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not int(text):
        raise ValueError
    return int(text)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if not match or not float(match[1]):
        raise ValueError
    return float(match[1]) * _SECONDS[match[2]]


def _listen(text: str) -> Listen:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare and not host.startswith("["):
        raise ValueError("an IPv6 address stands in brackets")
    return Listen(bare, int(port))


@dataclass(frozen=True)
class Reached:
    """Where an entry point of that name is reached from here."""

    name: str
    at: Listen


def _reached(text: str) -> Reached:
    name, equals, address = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
        raise ValueError
    return Reached(name, _listen(address))


def _web_address(text: str) -> str:
    address = urlsplit(text)
    if address.scheme not in ("http", "https") or not address.hostname or address.query or address.fragment:
        raise ValueError
    if address.username is not None:
        raise ValueError("no user or password in an address: a secret is given as a reference")
    address.port  # noqa: B018 - reading it is the check: it raises ValueError beyond 65535
    return text.rstrip("/")


def _origin(text: str) -> str:
    if urlsplit(_web_address(text)).path.strip("/"):
        raise ValueError("no path behind the host")
    return text.rstrip("/")


def _reference(text: str) -> Secret:
    scheme, _, place = text.partition(":")
    if (scheme == "env" and re.fullmatch(r"[A-Za-z_]\w*", place)) or (scheme == "file" and place.startswith("/")):
        return Secret(text)
    raise ValueError("a secret is never written here itself")


def _alert_address(text: str) -> Secret:
    if text.startswith(("env:", "file:/")):
        return _reference(text)
    if not re.match(r"[A-Za-z][\w+.-]*://\S", text):
        raise ValueError
    return Secret(text)


_SCP_LIKE = re.compile(r"[\w.-]+@[\w.-]+:[^/\s]\S*|[\w.-]+@[\w.-]+:/\S+")


def _repository(text: str) -> str:
    if Path(text).is_absolute() or _SCP_LIKE.fullmatch(text):
        return text
    address = urlsplit(text)
    if address.scheme not in ("https", "http", "ssh", "file") or not (address.hostname or address.scheme == "file"):
        raise ValueError
    if address.password is not None:
        raise ValueError("no password in an address: give WAYPOST_GIT_TOKEN a reference")
    return text


_NO_BRANCH = re.compile(r"^[-/.]|[/.]$|\.lock$|\.\.|//|/\.|@\{|[\s~^:?*\[\\\x00-\x1f\x7f]")


def _branch(text: str) -> str:
    if not text or _NO_BRANCH.search(text):
        raise ValueError
    if text.startswith("proposals/"):
        raise ValueError("proposals/ is where proposals live")
    return text


def choice(*allowed: str, later: Mapping[str, str] | None = None) -> Kind:
    """One word out of a few; `later` holds known words that cannot be used yet, and why."""

    def parse(text: str) -> str:
        if text in allowed:
            return text
        raise ValueError((later or {}).get(text, ""))

    return Kind(" or ".join(allowed), parse)


def several(kind: Kind) -> Kind:
    """Any number of such values, spaces between them."""

    def parse(text: str) -> tuple[Any, ...]:
        return tuple(kind.parse(item) for item in text.split())

    return Kind(f"{kind.words}; several with spaces between", parse, kind.secret)


PATH = Kind("an absolute path, or nothing", _optional(_path))
WORD = Kind("a word without blanks", _word)
ISSUER = Kind("an issuer such as https://auth.example.org/application/o/waypost/, or nothing", _optional(_issuer))
COUNT = Kind("a whole number from 1 to 999999", _count)
BOOLEAN = Kind("true or false", _boolean)
DURATION = Kind("a time above zero such as 500ms, 15s or 2m", _duration)
LISTEN = Kind("host:port such as 127.0.0.1:9100 or [::1]:9100", _listen)
REACHED = Kind("entry point=host:port such as websecure=192.168.1.2:443", _reached)
WEB_ADDRESS = Kind("an address such as http://127.0.0.1:8080", _web_address)
OPTIONAL_WEB_ADDRESS = Kind("an address such as http://127.0.0.1:9101, or nothing", _optional(_web_address))
ORIGIN = Kind("an address without a path such as https://waypost.example.org", _origin)
REFERENCE = Kind(
    "a reference such as env:NAME or file:/run/secrets/name, or nothing", _optional(_reference), secret=True
)
ALERT_ADDRESS = Kind(
    "an Apprise address, or a reference to one such as file:/run/secrets/alerts", _alert_address, secret=True
)
REPOSITORY = Kind(
    "an absolute path, an address such as https://host/owner/repo.git or git@host:owner/repo.git, or nothing",
    _optional(_repository),
)
BRANCH = Kind("a branch name such as main", _branch)
