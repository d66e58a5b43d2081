"""A foreign route of a real Traefik becomes a file of the desired repo, and nobody who visits it notices."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import wait_until
from tests.stories.town import Town


@contextlib.contextmanager
def saying(
    word: bytes, kind: socket.SocketKind = socket.SOCK_STREAM, secured: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server that says a word to whoever comes, over TLS where it is secured; gives its address."""
    with socket.socket(socket.AF_INET, kind) as listening:
        listening.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            listening.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    if kind == socket.SOCK_STREAM:
                        with (
                            listening.accept()[0] as one,
                            contextlib.suppress(ssl.SSLError),
                            secured.wrap_socket(one, server_side=True) if secured else one as safe,
                        ):
                            safe.sendall(word)
                    else:
                        listening.sendto(word, listening.recvfrom(100)[1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield "{}:{}".format(*listening.getsockname())
        listening.shutdown(socket.SHUT_RDWR) if kind == socket.SOCK_STREAM else None


def over_tls(town: Town, host: str, trusting: Path | None = None) -> bytes:
    """What somebody hears who opens a TLS connection to that name, and believes everybody, or one authority only."""
    context = ssl.create_default_context(cafile=trusting)
    if trusting is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", town.house.traefik.ports["websecure"]), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=host) as safe,
    ):
        return safe.recv(100)
    return b""


def over_udp(town: Town) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        asking.sendto(b"?", ("127.0.0.1", town.house.traefik.ports["names"]))
        with contextlib.suppress(OSError):
            return asking.recv(100)
    return b""


def streams(address: str, **router: Any) -> dict[str, Any]:
    return {
        "routers": {"db": {"service": "db", **router}},
        "services": {"db": {"loadBalancer": {"servers": [{"address": address}]}}},
    }


def marked(name: str) -> dict[str, object]:
    """A middleware that says who served."""
    return {"headers": {"customResponseHeaders": {"X-Robots-Tag": name}}}


def test_an_adopted_route_takes_over_at_once_and_stays_when_the_foreign_one_goes(town: Town) -> None:
    service = {"loadBalancer": {"servers": [{"url": town.application.url}], "passHostHeader": False}}
    town.neighbour(
        routers={
            "shop": {"rule": "Host(`shop.lab`)", "service": "shop", "middlewares": ["all"], "entryPoints": ["web"]}
        },
        services={"shop": service},
        middlewares={"all": {"chain": {"middlewares": ["tag"]}}, "tag": marked("noindex")},
    )
    wait_until(lambda: town.house.status("shop.lab") == 200, "the foreign route")
    made = town.ask("traefik_adopt_route", router="shop@http", reason="labels were the start")
    assert made["remove"] == [
        "http.routers.shop", "http.services.shop", "http.middlewares.all", "http.middlewares.tag",
    ]  # fmt: skip
    assert (made["plan"]["state"], made["plan"]["conflicts"]) == ("shown", [])
    assert {one["severity"] for one in made["plan"]["problems"]} == {"warning"}
    assert "takes requests from `shop@http`" in str(made["plan"]["problems"]), "the hand-over is shown to who reviews"
    town.approve(made["proposal"])
    explained = town.ask("traefik_explain_request", url="http://shop.lab/")
    assert (explained["router"], explained["candidates"], explained["ambiguous"]) == (
        "shop",
        ["shop", "shop@http"],
        False,
    )
    assert town.house.status("shop.lab") == 200
    live = town.ask("traefik_get_route", name="shop")
    assert live["service"] == {"loadBalancer": {"servers": [{"url": town.application.url}], "passHostHeader": False}}
    assert (live["router"]["middlewares"], live["router"]["priority"]) == (["all"], len("Host(`shop.lab`)") + 1)
    town.neighbour()
    assert town.house.status("shop.lab") == 200
    assert town.reconciler.pass_now().state == "nothing"


def test_a_route_at_all_entry_points_is_adopted_with_all_of_them(town: Town) -> None:
    service = {"loadBalancer": {"servers": [{"url": town.application.url}]}}
    town.neighbour(routers={"both": {"rule": "Host(`both.lab`)", "service": "both"}}, services={"both": service})
    shown = town.ask("traefik_get_route", name="both@http")
    assert sorted(shown["router"]["entryPoints"]) == ["web", "websecure"] and shown["route"]["live"] == "foreign"
    assert shown["service"] == service, "without what Traefik fills in by itself"
    town.neighbour()
    assert town.refusal("traefik_get_route", name="both@http")["code"] == "unknown-resource"


def test_a_tcp_route_is_adopted_with_its_middlewares_and_its_tls_options(town: Town) -> None:
    town.want({"traefik/strict.yaml": {"tls": {"options": {"strict": {"minVersion": "VersionTLS12"}}}}})
    with saying(b"theirs") as theirs, saying(b"ours") as ours:
        town.told["tcp"] = {
            **streams(
                theirs, rule="HostSNI(`db.lab`)", entryPoints=["websecure"], middlewares=["lan"],
                tls={"options": "strict@file"},
            ),
            "middlewares": {"lan": {"ipAllowList": {"sourceRange": ["127.0.0.0/8"]}}},
        }  # fmt: skip
        balancer = town.told["tcp"]["services"]["db"]["loadBalancer"]
        balancer["proxyProtocol"] = {"version": 1}
        wait_until(lambda: over_tls(town, "db.lab") == b"theirs", "the foreign route")
        made = town.ask("traefik_adopt_route", router="db@http", reason="labels were the start", service_url=ours)
        assert made["remove"] == ["tcp.routers.db", "tcp.services.db", "tcp.middlewares.lan"]
        assert (made["plan"]["state"], made["plan"]["conflicts"]) == ("shown", [])
        town.approve(made["proposal"])
        wait_until(lambda: over_tls(town, "db.lab") == b"ours", "the adopted route")
        written = town.reconciler.live("traefik")["ours"]
        assert written["traefik/tcp.routers/db"] == {
            "rule": "HostSNI(`db.lab`)", "service": "db", "entryPoints": ["websecure"], "middlewares": ["lan"],
            "tls": {"options": "strict@file"}, "priority": len("HostSNI(`db.lab`)") + 1,
        }  # fmt: skip
        assert written["traefik/tcp.services/db"] == {"loadBalancer": {**balancer, "servers": [{"address": ours}]}}
        assert written["traefik/tcp.middlewares/lan"] == {"ipAllowList": {"sourceRange": ["127.0.0.0/8"]}}
        town.neighbour()
        assert over_tls(town, "db.lab") == b"ours"
        assert town.reconciler.pass_now().state == "nothing"


def test_a_udp_route_is_adopted_and_serves_once_the_foreign_one_is_gone_where_names_say_so(town: Town) -> None:
    with saying(b"theirs", socket.SOCK_DGRAM) as theirs, saying(b"ours", socket.SOCK_DGRAM) as ours:
        town.told["udp"] = streams(theirs, entryPoints=["names"])
        wait_until(lambda: over_udp(town) == b"theirs", "the foreign route")
        later = town.ask("traefik_adopt_route", router="db@http", reason="the start", service_url=ours, name="bind")
        assert "bind does at once" in str(later["hand_over"]) and later["remove"] == [
            "udp.routers.db",
            "udp.services.db",
        ]
        made = town.ask("traefik_adopt_route", router="db@http", reason="the start", service_url=ours, name="resolver")
        assert "resolver serves" in str(made["hand_over"])
        town.approve(made["proposal"])
        wait_until(lambda: over_udp(town) == b"ours", "the adopted route")
        town.neighbour()
        assert over_udp(town) == b"ours"
