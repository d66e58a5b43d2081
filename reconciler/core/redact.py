"""What may be shown: a spec with the values of its secrets covered. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from state.model import Spec

COVERED = "•••"

_SECRET = re.compile(r"(^|[-_.])(users?|password|passwd|secret|token|authorization|api-?key|credentials?)$", re.I)
_HEADERS: Final = frozenset({"customrequestheaders", "customresponseheaders", "sslproxyheaders"})
"""Maps of header names to values: some of the values are keys to other systems, and no name says which."""

_PUBLIC: Final = frozenset(
    {
        "accept-encoding", "access-control-allow-credentials", "access-control-allow-headers",
        "access-control-allow-methods", "access-control-allow-origin", "access-control-max-age", "cache-control",
        "connection", "content-security-policy", "content-type", "cross-origin-embedder-policy",
        "cross-origin-opener-policy", "cross-origin-resource-policy", "host", "permissions-policy", "referrer-policy",
        "server", "strict-transport-security", "upgrade", "vary", "x-content-type-options",
        "x-download-options", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-proto",
        "x-forwarded-ssl", "x-frame-options", "x-permitted-cross-domain-policies", "x-powered-by", "x-robots-tag",
        "x-scheme", "x-xss-protection",
    }
)  # fmt: skip
"""Headers whose values are known to say nothing that visitors may not know."""

_IN_TEXT: Final = re.compile(
    r"(?P<user>(?<=//)[^/@\s?#]+(?=@))"
    r"|(?P<query>(?<=[?&])(?P<name>[\w.-]{0,64}?(?:token|secret|passw|key|auth)[\w.-]{0,64}=)[^&#\s]+)"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z))",
    re.I | re.S,
)


def redact(spec: Spec, at: tuple[str, ...] = ()) -> Spec:
    """The same shape, with every secret in it covered. `at` is where it stands in its resource."""
    if at and spec and _is_secret(at) and not _only_named(spec):
        return COVERED
    if isinstance(spec, dict):
        return {key: redact(value, (*at, str(key))) for key, value in spec.items()}
    if isinstance(spec, list):
        return [f"{label[0]}={COVERED}" if (label := _telling_label(item, at)) else redact(item, at) for item in spec]
    return _IN_TEXT.sub(_hidden_part, spec) if isinstance(spec, str) else spec


def _telling_label(item: Any, at: tuple[str, ...]) -> tuple[str, str] | None:
    """Name and value of a label that holds a secret, where a container's labels are written as a list."""
    name, equals, value = item.partition("=") if isinstance(item, str) and at[-1:] == ("labels",) else ("", "", "")
    return (name, value) if equals and _is_secret((*at, name)) else None


def _hidden_part(found: re.Match[str]) -> str:
    return f"{found['name'] or ''}{COVERED}"


def _is_secret(at: tuple[str, ...]) -> bool:
    """Whether what stands there is one: under a telling key, a header's value, or the setting of a plugin."""
    *above, key = at
    holder, before = (above[-1].lower() if above else ""), (above[-2].lower() if above[1:] else "")
    if _SECRET.search(key):
        return True
    if before == "plugin":
        return True  # what a plugin takes, only its author knows
    of_header = holder in _HEADERS or (holder == "headers" and before == "healthcheck")
    return of_header and key.lower() not in _PUBLIC


def _only_named(spec: Spec) -> bool:
    """Whether a blueprint of authentik only names a secret there, which is kept elsewhere: `!Context NAME`."""
    return isinstance(spec, dict) and spec.keys() == {"!Context"} and isinstance(spec["!Context"], str)


def secrets(spec: Spec) -> list[str]:
    """Where the secrets of a spec stand, as dotted paths."""
    return sorted({".".join(path) for path, _ in _hidden(spec, ())})


def _hidden(spec: Any, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if at and spec and _is_secret(at):
        if not _only_named(spec):
            yield at, spec
    elif isinstance(spec, dict):
        for key, value in spec.items():
            yield from _hidden(value, (*at, str(key)))
    elif isinstance(spec, list):
        for item in spec:
            if label := _telling_label(item, at):
                yield (*at, label[0]), label[1]
            else:
                yield from _hidden(item, at)
    elif isinstance(spec, str) and _IN_TEXT.search(spec):
        yield at, spec


def cover(text: str, specs: Iterable[Spec]) -> str:
    """`text` without any secret of `specs`: a target may quote what it dislikes."""
    return str(covered(text, specs)) if text else text  # looking through thousands of specs has its price


def covered(value: Any, specs: Iterable[Spec]) -> Any:
    """JSON-plain data without any secret of `specs` in any text of it."""
    found = {
        word
        for spec in specs
        for _, secret in _hidden(spec, ())
        for text in _texts(secret)
        for word in (text, *text.split(":", 1))
        if len(word) > 2
    }
    return _without(value, sorted(found, key=len, reverse=True))


def _without(value: Any, words: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(each, words) for key, each in value.items()}
    if isinstance(value, list):
        return [_without(each, words) for each in value]
    if isinstance(value, str):
        for word in words:
            value = value.replace(word, COVERED)
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def telling(path: str) -> bool:
    """Whether a dotted field path leads to or through a secret."""
    parts = tuple(path.split("."))
    return any(_is_secret(parts[: end + 1]) for end in range(len(parts)))
