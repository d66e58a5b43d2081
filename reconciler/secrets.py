"""Find secrets in a file before it reaches Git. What is found is never repeated, only where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from detect_secrets.core.scan import scan_line
from detect_secrets.settings import transient_settings

from reconciler import document
from state.model import Problem

_REMEDY = "write a reference instead (env:NAME or file:/path), or a file that the system reads itself (usersFile)"

_PLUGINS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector",
    "IbmCosHmacDetector", "JwtTokenDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector",
    "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector", "SoftlayerDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
"""Those of detect-secrets that know a form. Its guesses by entropy would refuse digests and certificates."""

_FORMS: Mapping[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY"),
    "an age key": re.compile(r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{20,}", re.IGNORECASE),
    "a Discord webhook": re.compile(r"discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/[\w-]{20,}", re.IGNORECASE),
    "a Slack webhook": re.compile(r"hooks\.slack\.com/(?:services|workflows)/[\w/]{20,}", re.IGNORECASE),
    "a password hash": re.compile(
        r"\$(?:2[abxy]?|apr1|argon2(?:id|i|d)|1|5|6|y|7|scrypt|pbkdf2[\w-]*)\$[\w./+=,$-]{16,}"
    ),
    "a user with a password hash": re.compile(
        r"(?<![\w/+])[\w.@-]{1,64}:(?:\{SHA\}[A-Za-z0-9+/]{27}=|[\w .-]+:[0-9a-f]{32}\b)"
    ),
    "credentials in an address": re.compile(
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"]*:[^\s/@'\"{$]{3,}@", re.IGNORECASE
    ),
    "an Authorization header": re.compile(
        r"\b(?:bearer|basic|token|digest|negotiate)\s+(?=[\w.~+/=-]*[0-9A-Z=_])[\w.~+/-]{8,}={0,2}", re.IGNORECASE
    ),
    "an access token": re.compile(
        r"\b(?:gh[pousr]_\w{30,}|github_pat_\w{20,}|glpat-[\w-]{18,}|gitea_[0-9a-f]{30,}|xox[abeoprs]-[\w-]{10,}"
        r"|sk-(?:ant-|proj-)?[\w-]{20,}|hvs\.[\w-]{20,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*|AKIA[0-9A-Z]{16}"
        r"|dop_v1_[0-9a-f]{40,}|tskey-[a-z]+-[\w-]{10,}|AIza[\w-]{30,}|npm_\w{30,}|pypi-[\w-]{30,})"
    ),
}  # fmt: skip

_TELLING = re.compile(
    r"(?:^|[_\-.\s])(?:password|passwd|passphrase|pass|pwd|secret|token|api[_\-]?key|apikey|access[_\-]?key"
    r"|auth[_\-]?key|private[_\-]?key|secret[_\-]?key|encryption[_\-]?key|signing[_\-]?key|client[_\-]?secret"
    r"|credentials?|authorization|cookie[_\-]?secret|webhook[_\-]?url|cf[_\-]?dns[_\-]?api[_\-]?token)(?:$|[_\-.\s])",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"[_\-.\s](?:names?|files?|paths?|dirs?|refs?|references?|ids?|headers?|fields?|types?|ttl|length|expiry|prefix|hint"
    r"|description|title)\Z",
    re.IGNORECASE,
)
"""Keys that speak of a secret and do not hold it: secretName, passwordFile, tokenHeader."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_REFERENCE = re.compile(
    r"(?:env|file|sops|vault):\S+\Z|\$\{\w+(?::?[-?][^}]*)?\}\Z|\$\w+\Z|/[\w./-]+\Z|\*{3,}\Z|<[\w -]+>\Z"
)
_VARIABLE = re.compile(r"(\w{2,60})=(.*)\Z", re.DOTALL)
_ASSIGNMENT = re.compile(r"""^\s*(?:-\s+)?["']?([\w.\- ]{2,60})["']?\s*[:=]\s*["']?([^"'#\s][^"'#]*)""")


def find_secrets(path: str, text: str) -> list[Problem]:
    """Every secret in a file, one problem a line and sort, by line. References are fine: `env:…`, `file:…`, `${…}`.

    The value is never part of a message.
    """
    found: dict[int, str] = {}
    for line, what in (*_by_form(text), *_by_key(path, text), *_by_library(text)):
        found.setdefault(line, what)
    return [
        Problem(message=f"{what} must not go into Git; {_REMEDY}", file=path, line=line)
        for line, what in sorted(found.items())
    ]


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; a very long one in overlapping pieces, so that no pattern can take for ever."""
    for number, line in enumerate(text.split("\n"), 1):
        for start in range(0, max(len(line), 1), 8_000):
            yield number, line[start : start + 10_000]


def _by_form(text: str) -> Iterator[tuple[int, str]]:
    for number, piece in _pieces(text):
        for what, form in _FORMS.items():
            if form.search(piece):
                yield number, what


def _by_library(text: str) -> Iterator[tuple[int, str]]:
    with transient_settings({"plugins_used": [{"name": name} for name in _PLUGINS]}):
        for number, piece in _pieces(text):
            for secret in scan_line(piece):
                if not _harmless(str(secret.secret_value or "")):
                    yield number, f"what looks like a secret ({secret.type})"


def _by_key(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Values whose key says that they are secret: in the parsed file, and line by line where it cannot be parsed."""
    read = document.read(path, text.encode("utf-8", "replace"))
    for where, value in _leaves(read.value, ()):
        key = next((str(part) for part in reversed(where) if isinstance(part, str)), "")
        assigned = _VARIABLE.match(value)
        if assigned:  # the way environments are listed: - NAME=value
            key, value = assigned.groups()
        if _tells(key) and not _harmless(value):
            yield max(read.place(where)[0], 1), f"the value of '{key[:60]}'"
    for number, line in enumerate(text.split("\n") if read.problems else (), 1):
        match = _ASSIGNMENT.match(line[:10_000])
        if match and _tells(match[1]) and not _harmless(match[2].strip()):
            yield number, f"the value of '{match[1].strip()[:60]}'"


def _leaves(value: Any, path: document.Path) -> Iterator[tuple[document.Path, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    elif isinstance(value, str):
        yield path, value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, str(value)


def _tells(key: str) -> bool:
    words = _HUMP.sub("_", key)
    return bool(_TELLING.search(words)) and not _ABOUT.search(words)


def _harmless(value: str) -> bool:
    return len(value) < 4 or bool(_REFERENCE.match(value)) or value.lower() in ("true", "false", "none", "null")
