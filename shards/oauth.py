"""Access tokens of an OpenID Connect issuer, such as authentik: checked here, never issued and never passed on."""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

import httpx2
import orjson

from reconciler import in_time
from reconciler.ports import Clock
from shards import access, untrusted
from shards.access import Caller, TurnedAway
from state.sparing import dataclass

if TYPE_CHECKING:
    import jwt
else:
    from state import lazily

    jwt = lazily.module("jwt")  # it brings all of cryptography, and most houses have no issuer

READ: Final = "waypost:read"
PROPOSE: Final = "waypost:propose"
"""Scopes, and so roles: whoever may propose may read. With `:NAME` behind it a scope gives no more of its role than
that shard, or that tool; what several give adds up. One that took away would be left out by who asks for a token."""

METADATA: Final = "/.well-known/oauth-protected-resource"
"""Where a client finds whom to ask for a token (RFC 9728)."""

_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""All with a public key: a secret that is shared would let every reader of it sign."""

_LEEWAY: Final = 30.0
"""Seconds by which two clocks may differ."""

_FRESH: Final = 3600.0
_STALE: Final = 86_400.0
"""Seconds that keys are believed: until they are asked for again, and at most while nobody can be asked."""

_ASK_AGAIN: Final = 30.0
"""Seconds between two questions to the issuer, however many strange tokens come."""

_LARGEST: Final = 1 << 20
_LONGEST_NAME: Final = 80
_MOST_KEYS: Final = 50

Fetch = Callable[[str], bytes]
"""What stands at an address. Raises IssuerError."""


class IssuerError(Exception):
    """The issuer cannot be asked, or answers what no issuer does."""


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Who is believed: `url` as it stands in its tokens, and what their audience must be to be meant for us."""

    url: str
    audiences: tuple[str, ...]
    resource: str  # our own address, as clients know it

    def metadata(self) -> dict[str, Any]:
        """What a client has to know to get a token for us."""
        return {
            "resource": self.resource,
            "resource_name": "Waypost",
            "authorization_servers": [self.url],
            "scopes_supported": [READ, PROPOSE],
            "bearer_methods_supported": ["header"],
        }

    @property
    def challenge(self) -> str:
        """How a client that was turned away finds that out."""
        parts = urlsplit(self.resource)
        return f'resource_metadata="{parts.scheme}://{parts.netloc}{METADATA}{parts.path}", scope="{READ} {PROPOSE}"'


@dataclass
class Authority:
    """Decides who comes with an access token. Safe from several threads; may ask the issuer for its keys."""

    issuer: Issuer
    fetch: Fetch
    clock: Clock
    _keys: Mapping[str, jwt.PyJWK] = field(default_factory=dict)
    _asked: float | None = None
    _known: float | None = None
    _fault: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def believes(self, raw: str) -> bool:
        """Whether it has the key that a token names: nobody has to be waited for. Quick."""
        fresh_enough = self._age(self.clock.monotonic()) <= _STALE
        return fresh_enough and _key_named(raw) in self._keys

    def judge(self, raw: str) -> Caller | TurnedAway:
        """Who that is. Raises IssuerError where nobody can tell."""
        named = _key_named(raw)
        if named is None:
            return TurnedAway("this is no access token")
        key = self._key(named)
        if key is None:
            return TurnedAway(f"this access token is not signed by {self.issuer.url}")
        try:
            claims = jwt.decode(
                raw,
                key,
                algorithms=[name for name in _ALGORITHMS if name == key.algorithm_name],
                audience=list(self.issuer.audiences),
                issuer=self.issuer.url,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as fault:
            return TurnedAway(_why(fault))
        return _caller(claims)

    def _key(self, id: str) -> jwt.PyJWK | None:
        now = self.clock.monotonic()
        known, age = id in self._keys, self._age(now)
        # An issuer may take long for an answer: whose key is known does not wait for what others ask.
        if (not known or age > _FRESH) and self._lock.acquire(blocking=not known or age > _STALE):
            try:
                self._ask(now)
            finally:
                self._lock.release()
        if self._age(now) > _STALE:
            raise IssuerError(self._fault)
        return self._keys.get(id)

    def _age(self, now: float) -> float:
        """Seconds since the keys were told."""
        return math.inf if self._known is None else now - self._known

    def _ask(self, now: float) -> None:
        """Ask for the keys, if that was not done just now. What cannot be had leaves the known ones standing."""
        if self._asked is not None and now - self._asked < _ASK_AGAIN:
            return
        self._asked = now
        try:
            self._keys = _keys(self.issuer.url, self.fetch)
            self._known, self._fault = now, ""
        except IssuerError as fault:
            self._fault = str(fault)


def _key_named(raw: str) -> str | None:
    """By which key a token says it is signed; None where it is no token."""
    try:
        return str(jwt.get_unverified_header(raw).get("kid", ""))
    except jwt.PyJWTError:
        return None


def _keys(issuer: str, fetch: Fetch) -> dict[str, jwt.PyJWK]:
    discovery = _object(fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
    if discovery.get("issuer") != issuer:
        raise IssuerError(f"{issuer} says of itself that it is another: {str(discovery.get('issuer'))[:200]}")
    listed = _object(fetch(str(discovery.get("jwks_uri", "")))).get("keys")
    found = {}
    for key in (listed if isinstance(listed, list) else [])[:_MOST_KEYS]:
        if not _is_public(key):
            continue
        try:
            made = jwt.PyJWK.from_dict(key)
        except (jwt.PyJWTError, TypeError, AttributeError, ValueError):
            continue  # a kind that this program does not know signs nothing for us
        if made.algorithm_name in _ALGORITHMS and made.key_id:
            found[str(made.key_id)] = made
    if not found:
        raise IssuerError(f"{issuer} has no keys that can be used here")
    return found


def _is_public(key: Any) -> bool:
    """Whether that is the public half of a pair and no more. With the other half anybody could sign who reads it here;
    and what belongs to that half is worked out by trying, for minutes where it fits nothing."""
    return isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and "d" not in key


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(content)
    except ValueError as fault:
        raise IssuerError("the issuer answers what is no JSON") from fault
    if not isinstance(value, dict):
        raise IssuerError("the issuer answers what is no JSON object")
    return value


def _why(fault: jwt.PyJWTError) -> str:
    match fault:
        case jwt.ExpiredSignatureError():
            return "this access token has expired"
        case jwt.InvalidAudienceError():
            return "this access token is meant for somebody else (aud)"
        case jwt.InvalidIssuerError():
            return "this access token is of another issuer"
        case jwt.MissingRequiredClaimError():
            return f"this access token does not say what it must: {fault.claim}"
    return "this access token is not valid"


def _caller(claims: Mapping[str, Any]) -> Caller | TurnedAway:
    scopes = _words(claims.get("scope", claims.get("scp", "")))
    name = untrusted.clean(str(claims.get("preferred_username") or claims["sub"]))[:_LONGEST_NAME]
    reads, proposes = _narrow(scopes, READ), _narrow(scopes, PROPOSE)
    whole = {READ, PROPOSE}.intersection(scopes)
    if not (whole or reads or proposes):
        return TurnedAway(
            f"this access token has neither the scope {READ} nor {PROPOSE}, nor one of them for a part (:NAME)",
            status=403,
        )
    return Caller(
        name=f"{access.OF_ISSUER}{name}",
        role="propose" if PROPOSE in whole or proposes else "read",
        grants=frozenset() if whole else reads | proposes,
        proposes=frozenset() if PROPOSE in whole else proposes,
        knows=1,  # nobody says when these scopes were given, so they are as old as can be
        also=frozenset(one.removeprefix(access.TOOL) for one in scopes if one.startswith(access.TOOL)),
    )


def _narrow(scopes: Sequence[str], role: str) -> frozenset[str]:
    """The shards and tools for which a role is given."""
    return frozenset(one.removeprefix(f"{role}:") for one in scopes if one.startswith(f"{role}:")) - {""}


def _words(scopes: Any) -> Sequence[str]:
    if isinstance(scopes, str):
        return scopes.split()
    return [str(scope) for scope in scopes] if isinstance(scopes, list) else []


def over_tls(ca_file: Path | None, seconds: float = 5.0) -> Fetch:
    """Ask over TLS, or loopback; bounded, without redirects."""

    def fetch(url: str) -> bytes:
        parts = _parts(url)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise IssuerError(
                f"{url[:200]} is no https address: whoever can change what it says could sign for anybody"
            )
        try:
            verify: ssl.SSLContext | bool = _trust(ca_file) if parts.scheme == "https" else False
            with (
                httpx2.Client(
                    transport=in_time.Transport(verify),
                    timeout=seconds,
                    follow_redirects=False,
                    trust_env=False,
                    headers=_UNPACKED,
                ) as client,
                client.stream("GET", url, extensions=in_time.by(time.monotonic() + seconds)) as response,
            ):
                if response.status_code != 200:
                    raise IssuerError(f"{url[:200]} cannot be asked: it answers with status {response.status_code}")
                return _body(response, url[:200])
        except in_time.TooSlow:
            raise IssuerError(f"{url[:200]} answers too slowly") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as fault:
            raise IssuerError(f"{url[:200]} cannot be asked: {_words_of(fault)}") from fault

    return fetch


def _parts(url: str) -> SplitResult:
    """The parts of an address, which an issuer may have said."""
    try:
        parts = urlsplit(url)
        if parts.port == 0:  # of one that is no port at all it raises
            raise ValueError
    except ValueError as fault:
        raise IssuerError(f"{url[:200]!r} is no address that could be asked") from fault
    return parts


_UNPACKED: Final = {"Accept-Encoding": "identity"}
"""A few bytes may unpack to very many."""


def _body(response: httpx2.Response, url: str) -> bytes:
    """What is answered; of what is too much no more is read than shows that."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise IssuerError(f"{url} answers in a packing that was not asked for")
    body = bytearray()
    for piece in response.iter_raw():
        body += piece
        if len(body) > _LARGEST:
            raise IssuerError(f"{url} answers too much")
    return bytes(body)


def _words_of(fault: Exception) -> str:
    """What of a failure is ours to tell: of an answer that cannot be read, libraries quote what it holds."""
    ours = isinstance(fault, httpx2.NetworkError | OSError)
    return (ours and " ".join(str(fault).split())[:200]) or type(fault).__name__


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
