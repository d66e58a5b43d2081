"""Who says at the gateway that an issuer lets them in, and what that issuer says of its keys."""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shards import gateway
from shards.config import GatewaySettings
from shards.oauth import Issuer
from tests.fuzz import asgi
from tests.fuzz.edges_of_agents import FAULTS, HEADERS
from tests.fuzz.edges_of_traefik import WIRE
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.leaping import Leaping
from tests.fuzz.mutating import Mutator, written
from tests.fuzz.stub import Stub, answer, stub
from tests.shards.serving import NOBODY, DesiredRepo

PLACE = "http://127.0.0.1:99999"
"""Stands for the stub's address while that is not known, and is as long."""

ISSUER = f"{PLACE}/o/waypost/"

LONGEST = 40_000
"""Characters of a header or of claims: a server takes no more of both."""

AUDIENCE = "https://waypost.example.org/mcp"
HEADER = {"alg": "EdDSA", "kid": "one", "typ": "at+jwt"}
CLAIMS = {
    "iss": ISSUER, "aud": [AUDIENCE, "others"], "sub": "ada-7", "preferred_username": "ada", "exp": 4_102_444_800,
    "nbf": 1_700_000_000, "iat": 1_700_000_000.5, "scope": "openid waypost:read waypost:propose:traefik",
    "scp": ["waypost:read:why", "waypost:tool:traefik_new"],
}  # fmt: skip
DISCOVERY = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}jwks", "id_token_signing_alg_values_supported": ["EdDSA"]}
PING = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'

Shown = tuple[bytes, bytes, int]
"""Header and claims of a token, and a seed of how it is changed after it was signed; 0: it is not."""


@cache
def _key() -> Ed25519PrivateKey:
    """The issuer's key: the same for ever, and so are its signatures."""
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def _packed(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@cache
def _keys() -> dict[str, Any]:
    """Keys as issuers publish them; ours, and others, one of them with what nobody should publish."""
    ours = _packed(_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    curve = {"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
    return {
        "keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": ours, "kid": "one", "use": "sig", "alg": "EdDSA"},
            {"kty": "EC", "crv": "P-256", **curve, "kid": "two", "alg": "ES256"},
            {"kty": "RSA", "n": _packed(b"\xc5" + bytes(range(254)) + b"\x01"), "e": "AQAB", "kid": "three"},
            {"kty": "RSA", "n": _packed(b"\xc5" * 64), "e": "AQAB", "d": _packed(b"\x33" * 64), "kid": "four"},
            {"kty": "oct", "k": _packed(b"shared"), "alg": "HS256", "kid": "five"},
        ]
    }


USUAL = {"/o/waypost/.well-known/openid-configuration": DISCOVERY, "/o/waypost/jwks": _keys()}


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────


def _shown(mutator: Mutator) -> Shown:
    """Most of them are signed as they should be: else nobody looks at what is signed."""
    roll = mutator.chance.random()
    header, claims = written(HEADER), written(CLAIMS)
    if roll < 0.2:
        return mutator.document([HEADER], [header])[:LONGEST], claims, 0
    if roll < 0.8:
        return header, mutator.document([CLAIMS], [claims])[:LONGEST], 0
    return header, claims, mutator.chance.getrandbits(32)


@contextlib.contextmanager
def _tokens(place: Path) -> Iterator[Take]:
    """Tokens at the real gateway; their issuer answers well."""
    with _gateway(place) as (application, issuer, _):
        issuer.answers = _answers(issuer.url, "", b"")
        _let_in(application, _token(issuer.url, (written(HEADER), written(CLAIMS), 0)))  # so that its keys are known

        def take(given: Shown) -> bool:
            status = _let_in(application, _token(issuer.url, given))
            assert status in (200, 401, 403), status
            return status == 200

        yield take


def _token(url: str, given: Shown) -> str:
    header, claims, seed = given
    said = f"{_packed(header)}.{_packed(claims.replace(PLACE.encode(), url.encode()))}"
    token = f"Bearer {said}.{_packed(_key().sign(said.encode()))}"
    return Mutator(Random(seed)).text([token, f"Bearer waypost_0123456789ab_{'A' * 43}"]) if seed else token


def _let_in(application: asgi.Application, shown: str) -> int:
    """The status for whoever shows this."""
    plain = "".join(sign for sign in shown if sign.isprintable() and ord(sign) < 256)[:60_000]
    status, said = application.ask("POST", "/mcp", {**HEADERS, "Authorization": plain}, PING)
    assert not any(fault in said for fault in FAULTS), said
    return status


# ── the issuer ───────────────────────────────────────────────────────────────────────────────────


def _said(mutator: Mutator) -> tuple[str, bytes]:
    """At which path the issuer answers what, as it goes over the wire."""
    path = mutator.chance.choice(list(USUAL))
    if mutator.chance.random() < 0.2:
        return path, mutator.content([*WIRE, answer(written(USUAL[path]))])
    return path, answer(mutator.document([USUAL[path]], [written(USUAL[path])]))


@contextlib.contextmanager
def _issuer(place: Path) -> Iterator[Take]:
    """The real gateway, to which a good token comes; what its issuer says is asked for with every input."""
    with _gateway(place) as (application, issuer, clock):
        token = _token(issuer.url, (written(HEADER), written(CLAIMS), 0))

        def take(given: tuple[str, bytes]) -> bool:
            clock.leap()
            issuer.answers = _answers(issuer.url, *given)
            status = _let_in(application, token)
            assert status in (200, 401, 503), status
            return status == 200

        yield take


def _answers(url: str, path: str, odd: bytes) -> dict[str, bytes]:
    """All that the issuer answers: well, save at one path."""
    told = {at: answer(written(usual)) for at, usual in USUAL.items()} | {path: odd}
    return {at: said.replace(PLACE.encode(), url.encode()) for at, said in told.items()}


@contextlib.contextmanager
def _gateway(place: Path) -> Iterator[tuple[asgi.Application, Stub, Leaping]]:
    desired, clock = DesiredRepo(place / "desired.git"), Leaping()
    logging.disable(logging.CRITICAL)
    with stub() as issuer:
        believed = Issuer(url=ISSUER.replace(PLACE, issuer.url), audiences=(AUDIENCE,), resource=AUDIENCE)
        settings = GatewaySettings(
            directory=place / "gateway", source=desired.path, reconciler_url=NOBODY, issuer=believed
        )
        with asgi.running(gateway.build(settings, clock=clock)) as application:
            yield application, issuer, clock
    logging.disable(logging.NOTSET)


EDGES = (
    Edge(name="access token", share=150, make=_shown, opened=_tokens),
    Edge(name="answer of an issuer", share=60, make=_said, opened=_issuer),
)
