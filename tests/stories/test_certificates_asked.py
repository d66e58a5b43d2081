"""Whoever must show a certificate today and need not tomorrow is a loss, and a real Traefik shows that it is one."""

import contextlib
import http.client
import json
import socket
import ssl

import pytest

from state import events

SERVED, REFUSED = 418, "no certificate, no connection"


@pytest.fixture
def demanding(self_signed):
    """TLS options that let in nobody without a certificate."""
    return {"clientAuth": {"caFiles": [str(self_signed.certificate)], "clientAuthType": "RequireAndVerifyClientCert"}}


@pytest.fixture
def visit(house, self_signed):
    """What a visitor of a host gets over TLS, with a certificate or without."""

    def visit(host, *, certificate=False):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate:
            context.load_cert_chain(self_signed.certificate, self_signed.key)
        with socket.create_connection(("127.0.0.1", house.traefik.ports["websecure"]), timeout=5) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=host) as secured:
                    return _status(secured, host)
            except (ssl.SSLError, ConnectionError):
                return REFUSED

    return visit


def _status(secured, host):
    asked = http.client.HTTPConnection(host)
    asked.sock = secured
    with contextlib.closing(asked):
        asked.request("GET", "/", headers={"Host": host})
        return asked.getresponse().status


def route(host, tls=None, **more):
    found = {"rule": f"Host(`{host}`)", "service": "noop@internal", "entryPoints": ["websecure"], **more}
    return found if tls is None else {**found, "tls": tls}


def routers(**specs):
    return {"http": {"routers": specs}}


def options(**specs):
    return {"tls": {"options": specs}}


def give(house, files):
    house.push(files)
    assert house.run().state == "applied"


def guarded(house, visit, host):
    """Wait until a host is served to those alone who show a certificate."""
    seen = lambda: (visit(host), visit(host, certificate=True)) == (REFUSED, SERVED)  # noqa: E731
    house.until(seen, f"{host} behind a certificate")


def held_until_agreed(house, visit, host, told):
    """The pass is held for want of a word about authentication; with it comes what the guard foresaw."""
    assert house.run().state == "held"
    refusals = [one for one in house.events(events.PlanHeld)[-1].refusals if one["guard"] == "authentication"]
    assert any(told in one["lost"] for one in refusals)
    assert visit(host) == REFUSED
    with house.session() as person:
        person.consent(person.plan().plan)
    assert house.run().state == "applied"
    house.until(lambda: visit(host) == SERVED, f"{host} without a certificate")


LOOSE = {"clientAuth": {"clientAuthType": "VerifyClientCertIfGiven"}}


def test_tls_options_of_ours_that_demand_no_certificate_any_more(house, visit, demanding):
    give(
        house,
        {"traefik/a.yaml": routers(a=route("a.lab", {"options": "mtls"})), "traefik/o.yaml": options(mtls=demanding)},
    )
    guarded(house, visit, "a.lab")
    house.push(
        {
            "traefik/o.yaml": options(
                mtls={**demanding, "clientAuth": {**demanding["clientAuth"], **LOOSE["clientAuth"]}}
            )
        }
    )
    held_until_agreed(house, visit, "a.lab", "a.lab would answer without authentication")


def test_tls_options_of_ours_that_a_neighbours_route_names(house, visit, demanding):
    give(house, {"traefik/o.yaml": options(mtls=demanding)})
    house.traefik.drop("theirs.yml", json.dumps(routers(theirs=route("t.lab", {"options": "mtls"}))))
    guarded(house, visit, "t.lab")
    house.push({"traefik/o.yaml": options(mtls={"minVersion": "VersionTLS12"})})
    held_until_agreed(house, visit, "t.lab", "t.lab would answer without authentication")


def test_a_route_of_ours_whose_tls_options_differ_from_those_of_a_neighbour_for_one_host(house, visit, demanding):
    theirs = {**routers(theirs=route("t.lab", {"options": "strict"})), **options(strict=demanding)}
    house.traefik.drop("theirs.yml", json.dumps(theirs))
    guarded(house, visit, "t.lab")
    beside = route("t.lab", {}, rule="Host(`t.lab`) && PathPrefix(`/beside`)")
    house.push({"traefik/a.yaml": routers(a=beside)})
    held_until_agreed(house, visit, "t.lab", "t.lab would answer without authentication")


def test_a_route_that_gets_tls_of_its_own_where_the_entry_point_demands_a_certificate(house, visit, demanding):
    house.traefik.stop()
    house.traefik.static["entryPoints"]["websecure"]["http"] = {"tls": {"options": "mtls@file"}}
    house.traefik.start()
    house.until(house.traefik.up, "Traefik with TLS options of its entry point")
    give(house, {"traefik/a.yaml": routers(a=route("a.lab")), "traefik/o.yaml": options(mtls=demanding)})
    guarded(house, visit, "a.lab")
    house.push({"traefik/a.yaml": routers(a=route("a.lab", {}))})
    held_until_agreed(house, visit, "a.lab", "a.lab would answer without authentication")


def test_the_default_tls_options_that_are_taken_out(house, visit, demanding):
    give(house, {"traefik/a.yaml": routers(a=route("a.lab", {})), "traefik/o.yaml": options(default=demanding)})
    guarded(house, visit, "a.lab")
    house.push({"traefik/o.yaml": None})
    held_until_agreed(house, visit, "a.lab", "a.lab would answer without authentication")
