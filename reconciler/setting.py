"""What one setting is: its name, its kind, its words, and how its text becomes a value. Names none itself."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from reconciler.schemes import SCHEMES as ALERT_SCHEMES
from reconciler.secret_stores import SCHEMES, SecretError, SecretStore, Vault

ENVIRON: Mapping[str, str] = os.environ
"""The environment of this process. Nobody else looks there."""


class ConfigError(Exception):
    """Settings that cannot be used. `faults` holds one sentence for each of them, all at once."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class SecretAway(ConfigError):
    """A secret whose store does not answer now, and may later."""


@dataclass(frozen=True, repr=False)
class Secret:
    """Where a secret is, never what it is: a reference such as `env:NAME` or `file:/path`. Its repr tells nothing.

    `setting` is where the reference stands, `name` what a person calls this one of several there.
    """

    reference: str
    setting: str = ""
    name: str = ""
    store: SecretStore = field(default_factory=lambda: SecretStore(ENVIRON), compare=False)

    def __repr__(self) -> str:
        return "***"

    @property
    def is_file(self) -> bool:
        """Whether it stands in a file."""
        return self.reference.startswith("file:/")

    def reveal(self, environ: Mapping[str, str] | None = None) -> str:
        """The secret itself, as it is now, so that a rotated one counts. Raises ConfigError."""
        store = self.store if environ is None else self.store.over(environ)
        try:
            return store.get(self.reference)
        except SecretError as fault:
            kind = SecretAway if fault.retry else ConfigError
            raise kind(f"{self.setting} refers to {fault}") from None

    def for_header(self) -> str:
        """The same, as a header can carry it: libraries quote one that they cannot send. Raises ConfigError."""
        value = self.reveal()
        if not value.isascii() or not value.isprintable():
            raise ConfigError(
                f"{self.setting} refers to {self.reference}, which holds more than one line of plain characters"
            )
        return value


Settled = TypeVar("Settled")


def resolving(value: Settled, store: SecretStore) -> Settled:
    """The same settings, in which every secret is looked for in this store."""
    changed: Any = value
    if isinstance(value, Secret):
        changed = replace(value, store=store)
    elif isinstance(value, tuple):
        changed = tuple(resolving(item, store) for item in value)
    elif isinstance(value, dict):
        changed = {key: resolving(item, store) for key, item in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        changed = replace(value, **{one.name: resolving(getattr(value, one.name), store) for one in fields(value)})
    return changed  # type: ignore[no-any-return]


def secrets_in(value: Any) -> Iterator[Secret]:
    """Every secret that settings refer to."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from secrets_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from secrets_in(getattr(value, one.name))


def revealed(secrets: Iterable[Secret]) -> Iterator[str]:
    """What these secrets are now, as far as they can be had here."""
    for secret in secrets:
        with contextlib.suppress(ConfigError):
            yield secret.reveal()


def store_of(settings: Any, environ: Mapping[str, str]) -> SecretStore:
    """Where the references in these settings lead; their own Vault, if they name one. Raises ConfigError."""
    url, token = settings.vault_url, settings.vault_token
    if bool(url) != bool(token):
        raise ConfigError("WAYPOST_VAULT_URL and WAYPOST_VAULT_TOKEN are only of use together: set both, or none")
    if url is None:
        return SecretStore(environ)
    first = SecretStore(environ)
    found = Vault(url, lambda: first.get(token.reference), settings.vault_namespace, settings.ca_file)
    return SecretStore(environ, found)


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
        return replace(value, setting=setting)
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


def _optional_word(text: str) -> str:
    return _word(text) if text else ""


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
    if scheme in SCHEMES and SCHEMES[scheme].fullmatch(place):
        return Secret(text)
    raise ValueError("a secret is never written here itself")


def _here(text: str) -> Secret:
    if text.startswith("vault:"):
        raise ValueError("what opens the Vault cannot be in it")
    return _reference(text)


def _secret_address(text: str) -> Secret:
    return Secret(text) if text.startswith(("http://", "https://")) and _calls(text) else _reference(text)


def _calls(text: str) -> bool:
    address = urlsplit(text)
    return bool(address.hostname) and (address.port is None or address.port > 0)


_CHANNEL = re.compile(r"(?:([a-z][a-z0-9-]{0,30})=)?(\S+)")


def _alert_address(text: str) -> Secret:
    match = _CHANNEL.fullmatch(text)
    name, address = match.groups("") if match else ("", text)
    if name == "alertmanager":
        raise ValueError("that is what WAYPOST_ALERTMANAGER_URL is called; give it another name")
    if address.partition(":")[0] in SCHEMES:
        return replace(_reference(address), name=name)
    scheme, separator, rest = address.partition("://")
    if not separator or not rest:
        raise ValueError
    if scheme.lower() not in ALERT_SCHEMES:
        raise ValueError(f"no message goes by {scheme}://")
    return Secret(address, name=name)


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


def _named_reference(text: str) -> Secret:
    name, _, reference = text.partition("=")
    if not re.fullmatch(r"[A-Za-z_][\w-]*", name):
        raise ValueError
    return replace(_reference(reference), name=name)


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
OPTIONAL_WORD = Kind("a word without blanks, or nothing", _optional_word)
REFERENCE = Kind(
    "a reference such as env:NAME, file:/run/secrets/name, sops:/path#key or vault:mount/path#key, or nothing",
    _optional(_reference),
    secret=True,
)
NAMED_REFERENCE = Kind(
    "a name and a reference such as grafana_secret=file:/run/secrets/grafana", _named_reference, secret=True
)
REFERENCE_HERE = Kind(
    "a reference such as env:NAME, file:/run/secrets/name or sops:/path#key, or nothing", _optional(_here), secret=True
)
SECRET_ADDRESS = Kind(
    "an address such as https://hc.example.org/ping/…, or a reference to one such as file:/run/secrets/heartbeat, or "
    "nothing",
    _optional(_secret_address),
    secret=True,
)
ALERT_ADDRESS = Kind(
    "an Apprise address, or a reference to one such as file:/run/secrets/alerts", _alert_address, secret=True
)
REPOSITORY = Kind(
    "an absolute path, an address such as https://host/owner/repo.git or git@host:owner/repo.git, or nothing",
    _optional(_repository),
)
BRANCH = Kind("a branch name such as main", _branch)
