"""What a Traefik says, or whatever else answers at its address."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from reconciler import explaining, telling
from reconciler.core.target import TargetError
from reconciler.ports import Disk, SystemClock
from reconciler.routing.asking import asked
from reconciler.routing.table import UnknownEntryPoint
from reconciler.targets.owned import FOLDER, NAME
from reconciler.targets.traefik import TraefikTarget
from reconciler.traefik.api import TraefikApi
from reconciler.traefik.consequences import explained
from tests.fuzz import samples
from tests.fuzz.edges_of_files import OURS
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.mutating import Mutator, written
from tests.fuzz.stub import answer, stub

ASKED = asked(written({"url": "http://a.lab/api"}))

CALLS: dict[str, tuple[Callable[[TraefikApi], Any], bytes]] = {
    "/api/version": (TraefikApi.version, written(samples.VERSION)),
    "/api/overview": (TraefikApi.overview, written(samples.OVERVIEW)),
    "/api/entrypoints": (TraefikApi.entry_points, written(samples.ENTRY_POINTS)),
    "/api/rawdata": (TraefikApi.rawdata, written(samples.RAWDATA)),
    "/api/http/routers": (TraefikApi.routers, written([{"name": "a@file", "rule": "Host(`a`)"}])),
    "/api/http/services": (TraefikApi.services, written([{"name": "a@file", "status": "enabled"}])),
    "/api/http/middlewares/m%40file": (lambda api: api.middleware("m@file"), written({"name": "m@file"})),
    "/api/certificates": (TraefikApi.certificates, written(samples.CERTIFICATES)),
    "/api/support-dump": (TraefikApi.support_dump, samples.DUMP),
}
WIRE = (
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 22\r\n\r\n" + gzip.compress(b"{}"),
    b"HTTP/1.0 500 Oops\r\n\r\n<html><title>500</title>",
    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    b"HTTP/1.1 200 OK\r\nX-Next-Page: 2\r\nContent-Length: 4\r\n\r\n[{}]",
)


def _answer(mutator: Mutator) -> tuple[str, bytes]:
    path = mutator.chance.choice(list(CALLS))
    _, usual = CALLS[path]
    roll = mutator.chance.random()
    if roll < 0.25:
        return path, mutator.content([*WIRE, answer(usual)])
    if path == "/api/support-dump":
        return path, answer(_dump(mutator))
    if roll < 0.7:
        return path, answer(written(mutator.value(json.loads(usual))))
    return path, answer(mutator.content([usual]))


def _dump(mutator: Mutator) -> bytes:
    """An archive with a fault: in what is packed, in how it is packed, or one that unpacks to a thousand times more."""
    match mutator.chance.randrange(5):
        case 0:
            return mutator.content([samples.DUMP])
        case 1:
            return samples.support_dump(mutator.content([written(samples.STATIC)]))
        case 2:
            return samples.support_dump(written(mutator.value(samples.STATIC)))
        case 3:
            return _bomb(mutator.chance.choice((1, 40)))
    return _packed(mutator.content([samples.PLAIN_DUMP]))


@cache
def _bomb(megabytes: int) -> bytes:
    return _packed(bytes(megabytes << 20) + samples.PLAIN_DUMP)


def _packed(content: bytes) -> bytes:
    packing = zlib.compressobj(level=1, wbits=31)
    return packing.compress(content) + packing.flush()


@contextlib.contextmanager
def _api(_: Path) -> Iterator[Take]:
    with stub() as traefik:
        api = TraefikApi(traefik.url, timeout=5.0)

        def take(given: tuple[str, bytes]) -> bool:
            path, said = given
            traefik.answers = {"*": said}
            call, _ = CALLS[path]
            call(api)
            return True

        yield take
        api.close()


def _everything(mutator: Mutator) -> dict[str, bytes]:
    """All that is asked for a table of routers, one or two of the answers strange in their values."""
    said: dict[str, Any] = {
        "/api/version": samples.VERSION,
        "/api/entrypoints": samples.ENTRY_POINTS,
        "/api/rawdata": samples.RAWDATA,
        "/api/overview": samples.OVERVIEW,
        "/api/certificates": samples.CERTIFICATES,
    }
    for path in {"/api/rawdata", mutator.chance.choice(list(said))}:
        said[path] = mutator.value(said[path])
    dump = {"/api/support-dump": answer(samples.DUMP), "*": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"}
    return {**{path: answer(written(value)) for path, value in said.items()}, **dump}


@contextlib.contextmanager
def _explained(_: Path) -> Iterator[Take]:
    """A table of whatever it says it runs, and who serves a request there."""
    with stub() as traefik:
        api = TraefikApi(traefik.url, timeout=5.0)

        def take(given: dict[str, bytes]) -> bool:
            traefik.answers = given
            ground = explaining.of_api(api)
            found = ground.answer(ASKED)
            list(explaining.lines(ground, found, ASKED))
            assert written(explaining.as_json(found))
            return True

        yield take
        api.close()


class Hurried(SystemClock):
    """Nobody sleeps: time passes at once."""

    def __init__(self) -> None:
        self._slept = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._slept

    def sleep(self, seconds: float) -> None:
        self._slept += seconds


@contextlib.contextmanager
def _observed(place: Path) -> Iterator[Take]:
    """A whole look at a target: our file, a neighbour's and the API, all as somebody left them."""
    (place / FOLDER).mkdir()
    with stub() as traefik:
        api = TraefikApi(traefik.url, timeout=5.0)

        def take(given: tuple[dict[str, bytes], bytes, tuple[str, bytes]]) -> bool:
            traefik.answers, ours, (name, theirs) = given
            (place / NAME).write_bytes(ours)
            (place / name).write_bytes(theirs)
            target = TraefikTarget(
                "traefik", place, api, files=Disk(), clock=Hurried(), chance=lambda n: b"x" * n, shadow=None
            )
            try:
                seen = target.observe()
                written(telling.live(seen))
                explained("traefik", seen, ASKED)
            finally:
                (place / name).unlink()
            return not seen.poison

        yield take
        api.close()


def _scene(mutator: Mutator) -> tuple[dict[str, bytes], bytes, tuple[str, bytes]]:
    ours = mutator.document(samples.VALUES, (OURS,)) if mutator.chance.random() < 0.5 else OURS
    theirs = mutator.document(samples.VALUES, samples.FILES) if mutator.chance.random() < 0.5 else samples.HAND_WRITTEN
    return _everything(mutator), ours, ("theirs.yml", theirs)


EDGES = (
    Edge(name="answer of Traefik's API", share=600, make=_answer, opened=_api, family=(TargetError,)),
    Edge(
        name="explain by the API",
        share=150,
        make=_everything,
        opened=_explained,
        family=(TargetError, UnknownEntryPoint),
    ),
    Edge(name="look at a target", share=60, make=_scene, opened=_observed, family=(TargetError, UnknownEntryPoint)),
)
