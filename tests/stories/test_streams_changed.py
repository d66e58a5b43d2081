"""TCP and UDP routes that a person wrote, on a real Traefik: changed by proposals, and taken away as well."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

from tests.conftest import wait_until
from tests.stories.test_adopted import over_tls, over_udp, saying, streams
from tests.stories.town import Town


@contextlib.contextmanager
def behind_tls(town: Town, host: str, word: bytes) -> Iterator[str]:
    """The address of a server that ends TLS itself, with a certificate of the town's, and says a word."""
    pair = town.authority.issue(host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair["certFile"], pair["keyFile"])
    with saying(word, secured=context) as address:
        yield address


def trusted_over_tls(town: Town, host: str) -> bytes:
    """What somebody hears who trusts the town's authority and nobody else; nothing from anybody else."""
    return over_tls(town, host, trusting=town.authority.file)


def live(town: Town) -> set[str]:
    """Our streams in the file that Traefik reads, and what its API lists of them."""
    written = {name for name in town.reconciler.live("traefik")["ours"] if "/tcp." in name or "/udp." in name}
    served = {
        f"traefik/{kind}/{name.removesuffix('@file')}"
        for kind, section in {
            "tcp.routers": "tcpRouters", "tcp.services": "tcpServices",
            "udp.routers": "udpRouters", "udp.services": "udpServices",
        }.items()
        for name in town.house.traefik.names(section) if name.endswith("@file")
    }  # fmt: skip
    assert served == written
    return written


def test_a_hand_written_tcp_route_moves_and_goes(town: Town) -> None:
    with saying(b"old") as old, saying(b"new") as new, behind_tls(town, "moved.lab", b"own") as own:
        tcp = streams(old, rule="HostSNI(`still.lab`)", entryPoints=["websecure"], tls={})
        town.want({"traefik/db.yaml": {"tcp": tcp}})
        wait_until(lambda: over_tls(town, "still.lab") == b"old", "the route as it was written")
        made = town.ask(
            "traefik_update_route", name="db", protocol="tcp", host="moved.lab", service_url=new, priority=4242,
            reason="another box, another name",
        )  # fmt: skip
        assert (made["plan"]["state"], made["plan"]["conflicts"]) == ("shown", [])
        town.approve(made["proposal"])
        wait_until(lambda: over_tls(town, "moved.lab") == b"new", "the changed route")
        assert over_tls(town, "still.lab") == b""
        shown = town.ask("traefik_get_route", name="db")
        assert (shown["route"]["live"], shown["router"]["priority"], shown["backends"]) == ("as desired", 4242, [new])
        made = town.ask("traefik_update_route", name="db", passthrough=True, service_url=own, reason="it ends TLS now")
        assert trusted_over_tls(town, "moved.lab") == b"", "Traefik's certificate is not the backend's"
        town.approve(made["proposal"])
        wait_until(lambda: trusted_over_tls(town, "moved.lab") == b"own", "TLS ends at the backend")
        assert {"traefik/tcp.routers/db", "traefik/tcp.services/db"} <= live(town)
        town.approve(town.ask("traefik_delete_route", name="db", protocol="tcp", reason="no more")["proposal"])
        assert not {one for one in live(town) if one.endswith("/db")}
        assert over_tls(town, "moved.lab") == b""
        assert town.reconciler.pass_now().state == "nothing"


def udp_route(name: str, address: str) -> dict[str, object]:
    held = streams(address)
    return {
        "routers": {name: {"service": name, "entryPoints": ["names"]}},
        "services": {name: held["services"]["db"]},
    }


def test_a_hand_written_udp_route_moves_and_goes(town: Town) -> None:
    """Another stands behind it: where none does, Traefik goes on with the last one until it is started anew."""
    with (
        saying(b"old", socket.SOCK_DGRAM) as old,
        saying(b"new", socket.SOCK_DGRAM) as new,
        saying(b"next", socket.SOCK_DGRAM) as behind,
    ):
        # Of several at an entry point the last by name serves, and other stories bring some.
        files = {"zone": udp_route("zone", old), "yonder": udp_route("yonder", behind)}
        town.want({f"traefik/{name}.yaml": {"udp": udp} for name, udp in files.items()})
        wait_until(lambda: over_udp(town) == b"old", "the route as it was written")
        made = town.ask("traefik_update_route", name="zone", service_url=new, reason="another box")
        assert made["resources"] == ["traefik/udp.services/zone"]
        town.approve(made["proposal"])
        wait_until(lambda: over_udp(town) == b"new", "the changed route")
        town.approve(town.ask("traefik_delete_route", name="zone", reason="no more")["proposal"])
        wait_until(lambda: over_udp(town) == b"next", "the one behind it")
        assert not {one for one in live(town) if one.endswith("/zone")}
        town.approve(town.ask("traefik_delete_route", name="yonder", reason="no more")["proposal"])
        assert not {one for one in live(town) if one.endswith("/yonder")}


def test_a_foreign_stream_is_explained_and_stays_whatever_is_asked(town: Town) -> None:
    with saying(b"theirs") as theirs:
        tcp = streams(theirs, rule="HostSNI(`theirs.lab`)", entryPoints=["websecure"], tls={})
        http = {
            "routers": {"db": {"rule": "Host(`pages.lab`)", "service": "db"}},
            "services": {"db": {"loadBalancer": {"servers": [{"url": town.application.url}]}}},
        }
        town.neighbour(**http)
        town.told["tcp"] = tcp
        wait_until(lambda: over_tls(town, "theirs.lab") == b"theirs", "the foreign route")
        kinds = {
            said: town.ask("traefik_get_route", name="db@http", protocol=said)["route"]["kind"] for said in ("", "tcp")
        }
        assert kinds == {"": "http.routers", "tcp": "tcp.routers"}
        shown = town.ask("traefik_get_route", name="db@http", protocol="tcp")
        assert (shown["route"]["live"], shown["backends"]) == ("foreign", [theirs])
        for tool in ("traefik_update_route", "traefik_delete_route"):
            refused = town.refusal(tool, name="db@http", protocol="tcp", reason="no more")
            assert refused["code"] == "foreign-route"
        assert over_tls(town, "theirs.lab") == b"theirs"
        town.neighbour()
