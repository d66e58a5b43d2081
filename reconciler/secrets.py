"""Find secrets in a file before it reaches Git. What is found is never repeated, only where it stands."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from reconciler import document
from reconciler.core.redact import COVERED, redact
from state.model import Problem

if TYPE_CHECKING:
    from detect_secrets.core.plugins import initialize
    from detect_secrets.filters import heuristic
else:
    from state import lazily

    initialize = lazily.module("detect_secrets.core.plugins.initialize")
    heuristic = lazily.module("detect_secrets.filters.heuristic")

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
        r"\b(?i:bearer|basic|token|digest|negotiate)\s+(?=[\w.~+/-]*(?:[0-9=_]|[a-z][A-Z]))[\w.~+/-]{8,}={0,2}"
    ),
    "an access token": re.compile(
        r"\b(?:gh[pousr]_\w{30,}|github_pat_\w{20,}|glpat-[\w-]{18,}|gitea_[0-9a-f]{30,}|xox[abeoprs]-[\w-]{10,}"
        r"|sk-(?:ant-|proj-)?[\w-]{20,}|hvs\.[\w-]{20,}|AKIA[0-9A-Z]{16}"
        r"|dop_v1_[0-9a-f]{40,}|tskey-[a-z]+-[\w-]{10,}|AIza[\w-]{30,}|npm_\w{30,}|pypi-[\w-]{30,}"
        r"|ptr_[\w+/=-]{30,}|tk_[a-z0-9]{29}\b|[KS]-[A-Za-z0-9]{40}\b)"
        r"|(?<![\w-])(?>[\w-]*?\beyJ)[\w-]{8,}\.eyJ[\w-]{8,}\."
    ),
}  # fmt: skip
"""Each takes time that grows with the text, not with its square: whoever may propose may write a line of a megabyte.
So what a token may be long enough for is looked at once in a run of letters (?>…), not from every place in it."""

_TELLING = re.compile(
    r"(?:^|[_\-.\s])(?:password|passwd|passphrase|pass|pwd|secret|token|api[_\-]?key|apikey|access[_\-]?key"
    r"|(?:auth|private|secret|encryption|signing|session|master|license|jwt|hmac)[_\-]?key|client[_\-]?secret"
    r"|credentials?|authorization|cookie[_\-]?secret|webhook[_\-]?url|cf[_\-]?dns[_\-]?api[_\-]?token)(?:$|[_\-.\s])",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"[_\-.\s](?:names?|files?|paths?|dirs?|refs?|references?|ids?|headers?|fields?|flows?|types?|ttl|length|expiry|prefix|hint"
    r"|description|title)\Z",
    re.IGNORECASE,
)
"""Keys that speak of a secret and do not hold it: secretName, passwordFile, tokenHeader."""
_VARIABLE_TELLS = re.compile(
    r"\A(?!.*PUBLIC_?KEY)(?:[A-Z0-9]+_)*(?:[A-Z0-9]*(?:PASSWORD|PASSWD|SECRETS?|TOKENS?|APIKEY)|PASS|PW|KEYS?)"
    r"(?:_(?:BASE64|BASE|HEX|OLD|NEW|[0-9]+))*\Z"
)
"""Environment variables that hold a secret say so with their last word; whatever programs call them."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_REFERENCE = re.compile(
    r"(?:env|file|sops|vault):\S+\Z|\$\{\w+(?::?[-?][^}]*)?\}\Z|\$\w+\Z|\[\[\s*[\w.-]+\s*\]\]\Z"
    r"|ENC\[[\w,:+/= -]+\]\Z|/[\w./-]+\Z|\*{3,}\Z|<[\w -]+>\Z"
)
_BY_TAG = "!Context"
"""How an authentik blueprint names a value that is kept elsewhere; what else stands under a tag is no reference."""
_LONG_WORD = re.compile(r"[\w+/=.$-]{8}|://")
"""Nothing that a sign knows is shorter than this: a quick look before the slow ones."""
_BLOCK, _OVERLAP = 8_000, 2_000  # characters
_VARIABLE = re.compile(r"-{0,2}([\w.-]{2,200}?)=(.*)\Z", re.DOTALL)
_ASSIGNMENT = re.compile(r"""^\s*+(?:-\s++)?["']?([\w.\- ]{2,60})["']?\s*+[:=]\s*+["']?([^"'#\s][^"'#]*)""")
"""Blanks are never given back: of many in a row each might else be taken for the beginning of a name."""


def find_secrets(path: str, text: str, in_use: Collection[str] = ()) -> list[Problem]:
    """Every secret in a file, one problem a line and sort, by line. References are fine: `env:…`, `[[NAME]]`, `${…}`.

    `in_use` are secrets that are known as such (see `pieces`), whatever they look like. No value is part of a message.
    """
    found: dict[int, str] = {}
    signs = (*_known(text, in_use), *_signed(text, _forms()), *_by_key(path, text), *_signed(text, _library()))
    for line, what in signs:
        found.setdefault(line, what)
    return [
        Problem(message=f"{what} must not go into Git; {_REMEDY}", file=path, line=line)
        for line, what in sorted(found.items())
    ]


def _known(text: str, in_use: Collection[str]) -> Iterator[tuple[int, str]]:
    for one in in_use:
        for form in (one, base64.b64encode(one.encode()).decode().rstrip("=")):
            if (at := text.find(form)) >= 0:
                yield text.count("\n", 0, at) + 1, "a secret that Waypost itself uses"


REDACTED = "[redacted]"


def redacted(data: Any, key: str = "") -> Any:
    """JSON-plain data in which every text that shows a secret, or whose key says it is one, is REDACTED."""
    if isinstance(data, Mapping):
        return {redacted(str(name)): redacted(value, str(name)) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [redacted(value, key) for value in data]
    if isinstance(data, str | int | float) and not isinstance(data, bool):
        return REDACTED if _shows_a_secret(str(data), key) else data
    return data


def _shows_a_secret(text: str, key: str) -> bool:
    assigned = _VARIABLE.match(text)
    name, value = assigned.groups() if assigned else (key, text)
    if _tells(name) and not _harmless(value):
        return True
    return any(True for signs in (_forms(), _library()) for _ in _signed(text, signs))


_NAMED = re.compile(
    r"""(?P<name>(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key
    |credentials?|authorization|session[_-]?id)[\w.-]{0,40}\\{0,3}["']?\s{0,3}(?:=|:(?!//))\s{0,3})
    (?P<value>(?:(?:bearer|basic|digest|token)\s+)?
    (?:\\{1,3}"(?:(?!\\{1,3}").)*(?:\\{1,3}"|\Z)|"(?:[^"\\]|\\.)*(?:"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z)|[^\s"',;&}\]]+))
    |(?P<cookie>cookie\\{0,3}["']?\s{0,3}[:=]).*""",
    re.I | re.X | re.S,
)
"""A value goes to its closing quote, or to the end where there is none; of cookies nobody can tell where they end."""


def without_named(line: str) -> str:
    """The line without what stands behind a name that tells of a secret. Those known by their form may be left."""
    return _NAMED.sub(lambda match: f"{match['name'] or match['cookie']}{COVERED}", str(redact(line)))


def without_secrets(words: str) -> str:
    """Words of people or of other systems, such as a commit's subject, with every secret in them covered."""
    bare = "\n".join(map(without_named, str(redact(words)).split("\n")))  # of a key no line is left
    if redacted(bare) != REDACTED:
        return bare
    return "\n".join(COVERED if redacted(line) == REDACTED else line for line in bare.split("\n"))


_MOST_SAID = 4_000
"""Characters of what somebody says that are looked at: more would not be told on one line."""


def said_shortly(words: str, most: int) -> str:
    """The beginning of the same on one line: what a system answers goes into events and into messages of errors."""
    return without_secrets(" ".join(words[:_MOST_SAID].split()))[:most]


_Sign = tuple[str, Callable[[str], object]]
"""What something is, and whether it stands in a text."""


def _signed(text: str, signs: Sequence[_Sign]) -> Iterator[tuple[int, str]]:
    """Which line shows which sign. Many lines are looked at in one go, one by one only where something is."""
    for first, block in _blocks(_BLANKS.sub(" " * _FEW, text)):
        if not _LONG_WORD.search(block):
            continue
        for what, stands_in in signs:
            if stands_in(block):
                yield from ((first + n, what) for n, line in enumerate(block.split("\n")) if stands_in(line))


_FEW: Final = 40
_BLANKS: Final = re.compile(rf"[^\S\n]{{{_FEW},}}")
"""More blanks between two words say no more, and forms of the library go on from each: seconds for nine thousand."""


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """The text in blocks of whole lines, and the number of the first line of each. A very long line comes by itself,
    in overlapping pieces, so that no pattern can take for ever."""
    start, number = 0, 1
    while start < len(text):
        end = text.rfind("\n", start, start + _BLOCK) if len(text) - start > _BLOCK else len(text)
        if end < 0:
            end = text.find("\n", start + _BLOCK)
            end = len(text) if end < 0 else end
        for at in range(start, max(end, start + 1), _BLOCK):
            yield number, text[at : min(end, at + _BLOCK + _OVERLAP)]
        number += text.count("\n", start, end) + 1
        start = end + 1


@cache
def _forms() -> list[_Sign]:
    return [(what, form.search) for what, form in _FORMS.items()]


@cache
def _library() -> list[_Sign]:
    """What detect-secrets knows, asked directly: its scanner has settings for the whole process, which threads take
    from each other, and passes over every line that says `pragma: allowlist secret`, as a model may well do."""
    known: list[Any] = [initialize.from_plugin_classname(name) for name in _PLUGINS]
    for one in known:
        if quicker := _QUICKER.get(type(one).__name__):
            one.denylist = [quicker]
    return [(f"what looks like a secret ({one.secret_type})", partial(_detected, one)) for one in known]


_QUICKER: Mapping[str, re.Pattern[str]] = {
    "JwtTokenDetector": re.compile(r"(?<![\w=-])(?>[\w=-]*?(?=eyJ))(eyJ[\w=-]+\.[\w=-]+\.?)", re.ASCII),
    "NpmDetector": re.compile(r"^(?>.*?//).+/:_authToken=\s*((npm_.+)|([A-Fa-f0-9-]{36})).*", re.MULTILINE),
    "OpenAIDetector": re.compile(
        r"(?<![\w-])(?>[\w-]*?(?=sk-))(sk-[\w-]*[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})", re.ASCII
    ),
}
"""The same as theirs, looked for once in a line or a run of letters. Theirs look from every place in it to its end:
half a minute for a megabyte of slashes."""


def _detected(detector: Any, text: str) -> bool:
    try:
        return any(not (_harmless(value) or _made_up(value)) for value in detector.analyze_string(text))
    except RecursionError:  # a token whose claims nest deeper than anybody could look
        return True


def _made_up(value: str) -> bool:
    """Nothing but signs, a stretch of the alphabet, a template's hole, a UUID."""
    return (
        heuristic.is_not_alphanumeric_string(value)
        or heuristic.is_sequential_string(value)
        or heuristic.is_templated_secret(value)
        or heuristic.is_prefixed_with_dollar_sign(value)
        or heuristic.is_potential_uuid(value)
    )


def _by_key(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Values whose key says that they are secret: in the parsed file, and line by line where it cannot be parsed."""
    read = document.read(path, text.encode("utf-8", "replace"), tagged=True)
    for where, value in _leaves(read.value, ()):
        if where[-1:] == (_BY_TAG,) or where[-2:] == (_BY_TAG, 0):
            continue
        key = next((part for part in reversed(where) if isinstance(part, str) and not part.startswith("!")), "")
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
    return bool(_TELLING.search(words) or _VARIABLE_TELLS.match(key)) and not _ABOUT.search(words)


def _harmless(value: str) -> bool:
    return len(value) < 4 or bool(_REFERENCE.match(value)) or value.lower() in ("true", "false", "none", "null")
