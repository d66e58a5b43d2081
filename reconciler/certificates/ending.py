"""Which certificates that visitors are shown end soon: asked of the doors themselves, judged by their dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from reconciler.certificates import handshake, leaf
from reconciler.certificates.leaf import Leaf
from state import events
from state.expiring import Ending

SOON: Final = timedelta(days=14)
"""Authorities' certificates are renewed thirty days before their end, or in the last third of a shorter life."""

_SHORT: Final = 6
"""Of a certificate that lives shorter than so many times that, this part of its life."""

_AT_ONCE: Final = 10


class Door(NamedTuple):
    """A host at an entry point that speaks TLS, and where that is reached from here."""

    host: str
    entry_point: str
    address: str
    port: int

    @property
    def asked(self) -> str:
        """What a visitor would ask for; of a wildcard one of the hosts that it stands for."""
        return self.host.replace("*", "waypost", 1)


def doors(told: Mapping[str, Any]) -> list[Door]:
    """Every host that a running Traefik serves over TLS itself, from what `encryption` tells of it. Pure."""
    places = {one["name"]: (one["host"], one["port"]) for one in told["entry_points"]}
    found = {
        Door(host, name, *places[name])
        for router in told["routers"]
        if router["tls"] and not router["passthrough"] and not router["disabled"]
        for host in router["hosts"]
        for name in router["entry_points"]
        if name in places
    }
    return sorted(found)


def shown(wanted: list[Door], authorities: Path | None) -> dict[Door, Leaf | None]:
    """The certificate of each; None where none came. Several at once, each for a few seconds."""
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        answers = workers.map(lambda one: handshake.shown(one.asked, one.address, one.port, authorities), wanted)
        return {door: _read(answer.chain) for door, answer in zip(wanted, answers, strict=True)}


def _read(chain: tuple[bytes, ...]) -> Leaf | None:
    try:
        return leaf.read(chain[0]) if chain else None
    except ValueError:
        return None


def news(
    instance: str, known: Mapping[str, Ending], found: Mapping[Door, Leaf | None], now: datetime
) -> Iterator[events.CertificateEnding | events.CertificateRenewed]:
    """What is not known yet of the certificates of one instance. A door that does not answer takes nothing back. Pure.

    `known` is as in the view `Expiring`.
    """
    here = {f"{instance} {door.entry_point} {door.host}": (door, one) for door, one in found.items()}
    for which, (door, one) in here.items():
        if one and not one.is_default and now >= one.not_after - _ahead(one):
            yield from _ending(instance, door, one, known.get(which), now)
        elif one and which in known:
            yield _renewed(
                instance, door.host, door.entry_point, f"it is served with one until {one.not_after:%Y-%m-%d}"
            )
    for which in known.keys() - here.keys():
        owner, entry_point, host = which.split(" ", 2)
        if owner == instance:
            yield _renewed(instance, host, entry_point, "it is not served over TLS any more")


def _ahead(one: Leaf) -> timedelta:
    return min(SOON, (one.not_after - one.not_before) / _SHORT)


def _ending(
    instance: str, door: Door, one: Leaf, known: Ending | None, now: datetime
) -> Iterator[events.CertificateEnding]:
    ends = one.not_after.isoformat()
    if known is None or known.ends != ends:
        verb = "ended" if one.not_after <= now else "ends"
        reason = f"the certificate ({one.issuer}) {verb} on {one.not_after:%Y-%m-%d %H:%M} UTC"
        yield events.CertificateEnding(
            instance=instance, host=door.host, entry_point=door.entry_point, ends=ends, reason=reason
        )


def _renewed(instance: str, host: str, entry_point: str, reason: str) -> events.CertificateRenewed:
    return events.CertificateRenewed(instance=instance, host=host, entry_point=entry_point, reason=reason)
