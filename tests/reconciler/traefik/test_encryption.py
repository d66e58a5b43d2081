"""Where a Traefik speaks TLS: the address at which each entry point is reached, whatever it listens on."""

from __future__ import annotations

import pytest

from reconciler.core.target import Observation
from reconciler.traefik.encryption import encryption, reached


@pytest.mark.parametrize(
    ("listens", "api", "found"),
    [
        ("", "traefik", "traefik"),  # :443 of a container
        ("0.0.0.0", "127.0.0.1", "127.0.0.1"),
        ("[::]", "10.0.0.2", "10.0.0.2"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.2", "10.0.0.2"),  # its loopback is not ours
        ("192.168.1.2", "127.0.0.1", "192.168.1.2"),
        ("[fd00::2]", "traefik", "fd00::2"),
    ],
)
def test_an_entry_point_is_reached_where_the_api_is_unless_it_listens_elsewhere(
    listens: str, api: str, found: str
) -> None:
    assert reached(listens, api) == found


def test_what_a_person_says_of_an_entry_point_wins_and_udp_has_no_tls() -> None:
    doors = (
        {"name": "websecure", "address": ":443", "http": {"tls": {"certResolver": "le"}}},
        {"name": "web", "address": ":80/tcp"},
        {"name": "dns", "address": ":53/udp"},
        {"name": "nonsense", "address": ":" + "9" * 70_000},
    )
    said = {"websecure": ("10.0.0.9", 8443)}
    told = encryption(Observation(live={}, doors=doors), "traefik", elsewhere=said, static=None, certificates=[])
    assert [(one["name"], one["host"], one["port"], one["resolver"]) for one in told["entry_points"]] == [
        ("websecure", "10.0.0.9", 8443, "le"),
        ("web", "traefik", 80, ""),
    ]
    assert told["resolvers"] is None
