"""Services that must hear of each other's health: Traefik disables the router where there is nothing to hear of."""

from __future__ import annotations

import http.client
import json

from reconciler.routing import reading
from reconciler.traefik import insides

SERVER = {"servers": [{"url": "http://127.0.0.1:1"}]}
CHECK = {"path": "/"}


def weighted(*names, **more):
    return {"weighted": {"services": [{"name": name} for name in names], **more}}


def mirroring(service, **more):
    return {"mirroring": {"service": service, "mirrors": [{"name": "plain", "percent": 10}], **more}}


def failover(service, fallback="plain", **more):
    return {"failover": {"service": service, "fallback": fallback, **more}}


SERVICES = {
    "plain": {"loadBalancer": SERVER},
    "checked": {"loadBalancer": {**SERVER, "healthCheck": CHECK}},
    "passive": {"loadBalancer": {**SERVER, "passiveHealthCheck": {"failureWindow": "3s", "maxFailedAttempts": 2}}},
    "w": weighted("checked"),
    "wh": weighted("checked", healthCheck={}),
    "whp": weighted("plain", "checked", healthCheck={}),
    "hh": {"highestRandomWeight": {"services": [{"name": "plain"}], "healthCheck": {}}},
    "m": mirroring("checked"),
    "mh": mirroring("checked", healthCheck={}),
    "mhp": mirroring("plain", healthCheck={}),
    "f-plain": failover("plain"),
    "f-checked": failover("checked"),
    "f-passive": failover("passive"),
    "f-w": failover("w"),
    "f-wh": failover("wh"),
    "f-m": failover("m"),
    "f-mh": failover("mh"),
    "f-noop": failover("noop@internal"),
    "f-error": failover("plain", errors={"status": ["500-599"]}),
    "fh": failover("checked", healthCheck={}),
    "fhc": failover("checked", "checked", healthCheck={}),
    "ff": failover("fhc"),
    "ff0": failover("f-checked"),
    "wfh": weighted("fhc", "f-checked", healthCheck={}),
}


def test_traefik_disables_the_same_routers(traefik, until):
    routers = {name: {"rule": f"Host(`{name}.lab`)", "service": name} for name in SERVICES}
    traefik.drop("all.yml", json.dumps({"http": {"services": SERVICES, "routers": routers}}))
    until(lambda: {f"{name}@file" for name in routers} <= traefik.names("routers"), "all routers")
    specs = {"http.routers": routers, "http.services": SERVICES}
    read = reading.from_files(specs, faults=insides.disabling)
    ours = {one.name.removesuffix("@file") for one in read if one.disabled or one.unserved}
    assert "f-plain" in ours and "f-checked" not in ours
    until(
        lambda: disabled(traefik) == ours, f"Traefik to disable {sorted(ours)}, it disables {sorted(disabled(traefik))}"
    )


def disabled(traefik):
    connection = http.client.HTTPConnection("127.0.0.1", traefik.ports["traefik"], timeout=5)
    connection.request("GET", "/api/rawdata")
    listed = json.loads(connection.getresponse().read())["routers"]
    connection.close()
    return {name.removesuffix("@file") for name, one in listed.items() if one["status"] == "disabled"} & SERVICES.keys()
