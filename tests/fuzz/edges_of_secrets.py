"""What a Vault says, or whatever else answers at its address; and what a token says of itself."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from reconciler.credentials import _end_in
from reconciler.secret_stores import SecretError, Vault, vault
from reconciler.secret_stores.places import Keyed
from tests.fuzz.edges_of_traefik import WIRE
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.mutating import Mutator, written
from tests.fuzz.stub import answer, stub

USUAL = {"data": {"data": {"token": "abc"}, "metadata": {"version": 3}, "ttl": 3600}}


def _said(mutator: Mutator) -> bytes:
    roll = mutator.chance.random()
    if roll < 0.2:
        return mutator.content([*WIRE, answer(written(USUAL))])
    if roll < 0.7:
        return answer(written(mutator.value(json.loads(written(USUAL)))))
    return answer(mutator.content([written(USUAL)]))


@contextlib.contextmanager
def _vault(_: Path) -> Iterator[Take]:
    with stub() as server:
        place = Vault(server.url, lambda: "hvs.abc")

        def take(said: bytes) -> bool:
            server.answers = {"*": said}
            with contextlib.suppress(SecretError):
                vault.lifetime(place)
            vault.read(Keyed("secret/house", "token"), place)
            return True

        yield take


def _token(mutator: Mutator) -> str:
    claims = written({"exp": mutator.chance.choice([1_900_000_000, 1.9e9, "soon", None, -1, 1e300])})
    token = f"eyJ.{base64.urlsafe_b64encode(claims).decode()}.sig"
    return token if mutator.chance.random() < 0.5 else mutator.text([token, "eyJ.e30.x", "eyJ.." + "e" * 40])


@contextlib.contextmanager
def _ends(_: Path) -> Iterator[Take]:
    yield lambda token: _end_in(token) is not None


EDGES = (
    Edge(name="answer of a Vault", share=60, make=_said, opened=_vault, family=(SecretError,)),
    Edge(name="end of a token", share=20, make=_token, opened=_ends, family=()),
)
