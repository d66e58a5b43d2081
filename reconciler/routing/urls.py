"""A request target as Go reads it: host, path and query, unescaped, escaped and cleaned by its rules.

Text here stands for bytes: every character is one byte (latin-1), as it came over the wire.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

Release = tuple[int, int, int]


class BadTarget(ValueError):
    """A target that Go answers with 400; the message says what is wrong with it."""


class Target(NamedTuple):
    """What a target names. `path` is unescaped; `raw_path` is as sent where escaping `path` would not give it back.

    `rootless`: it is a scheme with something behind it that is neither a host nor a path.
    """

    host: str = ""
    path: str = ""
    raw_path: str = ""
    query: str = ""
    rootless: bool = False


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PLAIN = re.compile(r"(/(?:[A-Za-z0-9\-_.~$&+,:;=@][A-Za-z0-9\-_.~$&+,/:;=@]*)?)(?:\?([^\x00-\x1f\x7f]*))?\Z")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)


def read(target: str, release: Release, *, authority_only: bool = False) -> Target:
    """The parts of a target. `authority_only`: of a CONNECT, `host:port`. Raises BadTarget."""
    if (plain := _PLAIN.match(target)) and not authority_only:
        return Target(path=plain[1], query=plain[2] or "")
    text = f"http://{target}" if authority_only else target
    if _CONTROL.search(text):
        raise BadTarget("a control character in the target")
    if text == "*":
        return Target(path="*")
    if text.startswith(":"):
        raise BadTarget("the target begins with ':'")
    scheme = _SCHEME.match(text)
    rest, _, query = (text[scheme.end() :] if scheme else text).partition("?")
    if not rest.startswith("/"):
        if not scheme:
            raise BadTarget("the target does not begin with '/'")
        return Target(query=query, rootless=bool(rest))
    host = ""
    if scheme and rest.startswith("//"):
        authority, slash, behind = rest[2:].partition("/")
        rest = slash + behind
        host = _authority(authority, scheme[1].lower(), release)
    path, raw_path = set_path(rest)
    return Target(host, path, raw_path, query)


# ── the host of an absolute target ───────────────────────────────────────────────────────────────

_USER = re.compile(r"(?:[A-Za-z0-9._:~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})*\Z", re.ASCII)
_PORT = re.compile(r"(?::[0-9]*)?\Z", re.ASCII)
_NAME = re.compile(r"(?:[A-Za-z0-9_.~!$&'()*+,;=:\[\]<>\"\x80-\xff-]|%[89A-Fa-f][0-9A-Fa-f]|%25)*\Z")
_ZONE = re.compile(r"(?:[A-Za-z0-9_.~!$&'()*+,;=:\[\]<>\"\x80-\xff-]|%[0-9A-Fa-f]{2})*\Z")
STRICT_HOSTS: Release = (3, 6, 0)
"""Since here (or some patches later) the Go that Traefik is built with takes only an address in brackets."""
ONE_COLON: Release = (3, 7, 0)
"""Since here (or some patches later) it takes only one colon in a host."""


def _authority(text: str, scheme: str, release: Release) -> str:
    user, at, host = text.rpartition("@")
    if at and not _USER.match(user):
        raise BadTarget("a user name that is none")
    return _host(host, scheme, release)


def _host(text: str, scheme: str, release: Release) -> str:
    bracket = text.rfind("[")
    strict = release >= STRICT_HOSTS
    if bracket > 0 and strict:
        raise BadTarget("a bracket in the middle of the host")
    if bracket == 0 or (text.startswith("[") and not strict):
        return _bracketed(text, strict=strict)
    first, last = text.find(":"), text.rfind(":")
    at = first if release >= ONE_COLON and scheme in ("http", "https") else last
    if at >= 0 and not _PORT.match(text, at):
        raise BadTarget(f"'{text[at:]}' is no port")
    return _unescaped_name(text, _NAME)


def _bracketed(text: str, *, strict: bool) -> str:
    end = text.rfind("]")
    if end < 0:
        raise BadTarget("a bracket that does not close")
    if not _PORT.match(text, end + 1):
        raise BadTarget(f"'{text[end + 1 :]}' is no port")
    inside = text[1:end]
    zone = inside.find("%25")
    name = _unescaped_name(inside if zone < 0 else inside[:zone], _NAME)
    if zone >= 0:
        name += _unescaped_name(inside[zone:], _ZONE)
    if strict and not _is_address_6(name):
        raise BadTarget(f"'{name}' in brackets is no address")
    return f"[{name}]{text[end + 1 :]}"


def _is_address_6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _unescaped_name(text: str, allowed: re.Pattern[str]) -> str:
    if not allowed.match(text):
        raise BadTarget(f"'{text}' is no host")
    return unescape(text)


# ── the path ─────────────────────────────────────────────────────────────────────────────────────

_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNSAFE = re.compile(r"[^A-Za-z0-9\-_.~$&+,/:;=@]")
_SAFE = re.compile(r"[A-Za-z0-9\-_.~$&+,/:;=@]*\Z")
_AS_SENT = re.compile(r"[A-Za-z0-9\-_.~$&+,/:;=@!'()*\[\]%]*\Z")


def unescape(text: str) -> str:
    """Every %XX as its byte. Raises BadTarget for a '%' that escapes nothing."""
    if "%" not in text:
        return text
    if _BROKEN.search(text):
        raise BadTarget("a '%' without two hexadecimal digits")
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def escape(path: str) -> str:
    """A path with everything escaped that Go would escape of its own accord."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", path)


def set_path(text: str) -> tuple[str, str]:
    """(path, raw path) of an escaped path; the raw one is "" where escaping the path gives the text back."""
    if _SAFE.match(text):
        return text, ""
    path = unescape(text)
    return path, "" if escape(path) == text else text


def escaped(path: str, raw_path: str) -> str:
    """A path as it is escaped again: as it was sent where every character may stand so, else all of it afresh."""
    if raw_path and _AS_SENT.match(raw_path) and unescape(raw_path) == path:
        return raw_path
    return "*" if path == "*" else escape(path)


def clean(text: str) -> str:
    """An escaped path without empty and dotted parts; a slash at the end stays."""
    rooted = text.startswith("/")
    parts: list[str] = []
    for part in text.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    cleaned = "/" + "/".join(parts)
    if not rooted:
        cleaned = cleaned[1:]
    ends = text.endswith("/") or not text
    return cleaned + "/" if ends and not cleaned.endswith("/") else cleaned


# ── the path that rules see ──────────────────────────────────────────────────────────────────────

_ORDINARY = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9\-_.~$&+,:;=@]+)*/?\Z")
RESERVED: Final = frozenset(":/?#[]@!$&'()*+,;=%")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
ROUTING_PATHS: Final[Release] = (3, 4, 1)
"""Since here rules see a path whose reserved characters stay escaped."""


def routing_path(target: Target, release: Release, *, sanitize: bool = True) -> str:
    """The path that rules see."""
    if not target.raw_path and target.path and _ORDINARY.match(target.path):
        return target.path
    escaped_path = arriving(target, release, sanitize=sanitize)
    return unescape(escaped_path) if release < ROUTING_PATHS else unescape_unreserved(escaped_path)


def arriving(target: Target, release: Release, *, sanitize: bool = True) -> str:
    """The escaped path that the entry point hands on."""
    path, raw_path = target.path, target.raw_path
    if raw_path and release >= ROUTING_PATHS:
        raw_path = normalized(raw_path)
    if sanitize:
        path, raw_path = set_path(clean(escaped(path, raw_path)))
    return escaped(path, raw_path)


def normalized(raw_path: str) -> str:
    """Escapes in upper case, and none for what needs none."""

    def one(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if character in _UNRESERVED else match[0].upper()

    return _ESCAPED.sub(one, raw_path)


def unescape_unreserved(path: str) -> str:
    """Every escape as its byte, but for those of reserved characters."""

    def one(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return match[0] if match[0].upper() == match[0] and character in RESERVED else character

    return _ESCAPED.sub(one, path) if "%" in path else path


# ── the query ────────────────────────────────────────────────────────────────────────────────────

MOST_PARAMETERS = 10_000


def parameters(query: str) -> list[tuple[str, str]]:
    """Keys and values in order; what cannot be unescaped is left out."""
    found: list[tuple[str, str]] = []
    for part in query.split("&"):
        if part:
            key, _, value = part.partition("=")
            try:
                found.append((_component(key), _component(value)))
            except BadTarget:
                continue
    return found


def _component(text: str) -> str:
    return unescape(text.replace("+", " "))
