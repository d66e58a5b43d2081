"""A route as a person thinks of it, and as Traefik writes it. Pure: parts in, native configuration out."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from reconciler.routing import rules
from reconciler.traefik.references import references
from shards.kit import Refused
from state.model import Address, Snapshot, Spec

ROUTERS = "http.routers"
SERVICES = "http.services"
MIDDLEWARES = "http.middlewares"

KEEP: Final = None
"""An argument that is not given: the field stays as it is."""


def rule(hosts: Sequence[str], path_prefix: str) -> str:
    """The rule for these hosts and this path. Raises Refused for what is no host name or no path."""
    try:
        return rules.build_route_rule(hosts, path_prefix)
    except ValueError as fault:
        raise Refused("bad-rule", f"{fault}. Nothing was proposed.") from fault


def server_rule(hosts: Sequence[str]) -> str:
    """The rule of a TCP route for these server names. Raises Refused for what is none."""
    try:
        return rules.build_server_rule(hosts)
    except ValueError as fault:
        raise Refused("bad-rule", f"{fault}. Nothing was proposed.") from fault


def chosen_rule(hosts: Sequence[str], path_prefix: str, raw: str, protocol: str = "http") -> str:
    """The rule of a route, from its parts or as somebody wrote it. Raises Refused for both, none, a wrong one."""
    if not raw:
        return rule(hosts, path_prefix)
    if hosts or path_prefix:
        raise Refused("bad-rule", "Give either rule, or host and path_prefix; not both. Nothing was proposed.")
    return checked(raw, protocol)


def checked(raw: str, protocol: str = "http") -> str:
    """A rule as somebody wrote it. Raises Refused where Traefik would not take it, with the place."""
    try:
        rules.parse(raw, protocol)
    except rules.ParseError as fault:
        raise Refused("bad-rule", f"The rule is none that Traefik takes: {fault}. Nothing was proposed.") from fault
    return raw


def parts_of(text: str) -> tuple[tuple[str, ...], str] | None:
    """Hosts and path prefix of a rule that says nothing else; None for every other rule."""
    try:
        node = rules.parse(text)
    except rules.ParseError:
        return None
    match node:
        case rules.And((anywhere, rules.PathPrefix(prefix))):
            hosts = _hosts(anywhere)
            return (hosts, prefix) if hosts else None
    hosts = _hosts(node)
    return (hosts, "") if hosts else None


def _hosts(node: rules.Node, matcher: type[rules.Host | rules.HostSNI] = rules.Host) -> tuple[str, ...]:
    members = node.parts if isinstance(node, rules.Or) else (node,)
    names = tuple(member.value for member in members if isinstance(member, matcher))
    return names if len(names) == len(members) else ()


def changed_rule(
    spec: Spec, hosts: Sequence[str] | None, path_prefix: str | None, raw: str | None, protocol: str
) -> str:
    """The rule of a route with these changes; None keeps a part. Raises Refused."""
    if raw:
        return chosen_rule(hosts or (), path_prefix or "", raw, protocol)
    standing = str(spec.get("rule", ""))
    return new_server_rule(standing, hosts) if protocol == "tcp" else new_rule(standing, hosts, path_prefix)


def new_rule(standing: str, hosts: Sequence[str] | None, path_prefix: str | None) -> str:
    """A standing rule with another host or path. Raises Refused where the rest of it cannot be known."""
    if hosts is KEEP and path_prefix is KEEP:
        return standing
    if hosts is not KEEP and path_prefix is not KEEP:
        return rule(hosts, path_prefix)
    known = parts_of(standing)
    if known is None:
        raise Refused(
            "bad-rule",
            f"The rule of this route is more than hosts and a path prefix ({standing}), so a part of it cannot be "
            "replaced. Give host and path_prefix both, or change it with add_dynamic_config.",
        )
    return rule(known[0] if hosts is KEEP else hosts, known[1] if path_prefix is KEEP else path_prefix)


def new_server_rule(standing: str, hosts: Sequence[str] | None) -> str:
    """A standing TCP rule with other server names. Raises Refused where the rest of it cannot be known."""
    if hosts is KEEP:
        return standing
    if not _names_servers_only(standing):
        raise Refused(
            "bad-rule",
            f"The rule of this route is more than server names ({standing}), so they cannot be replaced alone. Give "
            "rule instead of host.",
        )
    return server_rule(hosts)


def _names_servers_only(text: str) -> bool:
    try:
        return bool(_hosts(rules.parse(text, "tcp"), rules.HostSNI))
    except rules.ParseError:
        return False


def backed(protocol: str, backends: Sequence[str], standing: Spec) -> Spec:
    """A service of a protocol over these backends, else as it stands. Raises Refused."""
    return (balancer if protocol == "http" else streams)(backends, standing)


def balancer(urls: Sequence[str], standing: Spec = KEEP) -> Spec:
    """A service over these backends, everything else of the standing one kept. Raises Refused."""
    faults = [fault for url in urls if (fault := _url_fault(url))]
    if faults or not urls:
        raise Refused("bad-backend", "; ".join(faults) or "A route needs at least one service_url.")
    return _over("url", urls, standing)


def streams(addresses: Sequence[str], standing: Spec = KEEP) -> dict[str, Any]:
    """A TCP or UDP service over these backends (host:port), else as the standing one. Raises Refused."""
    faults = [f"{one[:120]!r} is no host:port like db:5432" for one in addresses if not _is_host_and_port(one)]
    if faults or not addresses:
        raise Refused("bad-backend", "; ".join(faults) or "A route needs at least one backend.")
    return _over("address", addresses, standing)


def _over(field: str, addresses: Sequence[str], standing: Spec) -> dict[str, Any]:
    """A server that stands stays as it is; a new one has what all that stand have in common."""
    kept = standing if _balances(standing) else {"loadBalancer": {}}
    known = {server.get(field): server for server in _servers(kept)}
    said = _said_of_servers(kept)
    common = said[0] if len(said) == 1 else {}
    servers = [known.get(one) or {field: one, **common} for one in addresses]
    return {**kept, "loadBalancer": {**kept["loadBalancer"], "servers": servers}}


def servers_differ(spec: Spec) -> bool:
    """Whether the servers of a service differ in more than their addresses: nobody knows then how a new one is."""
    return len(_said_of_servers(spec)) > 1


def _said_of_servers(spec: Spec) -> list[dict[str, Any]]:
    """What servers say beside their addresses, each once."""
    found: list[dict[str, Any]] = []
    for server in _servers(spec):
        said = {key: value for key, value in server.items() if key not in ("url", "address")}
        if said not in found:
            found.append(said)
    return found


def _is_host_and_port(backend: str) -> bool:
    host, _, port = backend.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        return False
    if not re.fullmatch(r"\[[0-9A-Fa-f:.]+\]|[0-9.]+", host):
        return len(host) <= 253 and _HOST_NAME.fullmatch(host) is not None
    try:
        return ipaddress.ip_address(host.strip("[]")).version == (6 if host.startswith("[") else 4)
    except ValueError:
        return False


_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


def _balances(spec: Spec) -> bool:
    return isinstance(spec, dict) and isinstance(spec.get("loadBalancer"), dict)


def backends(spec: Spec) -> list[str] | None:
    """The backend addresses of a service, HTTP or not; None where it is no plain load balancer."""
    if not _balances(spec):
        return None
    return [str(server.get("url") or server.get("address") or "") for server in _servers(spec)]


def _servers(spec: Spec) -> list[dict[str, Any]]:
    servers = (spec["loadBalancer"].get("servers") if _balances(spec) else None) or []
    return [server for server in servers if isinstance(server, dict)]


def _url_fault(url: str) -> str:
    wanted = "write one like http://127.0.0.1:3000"
    try:
        address = urlsplit(url)
        _ = address.port  # beyond 65535 it raises
    except ValueError:
        return f"a service_url is no address; {wanted}"
    if address.username or address.password:
        return f"a service_url must not hold a user or a password; {wanted}"
    if address.scheme not in ("http", "https", "h2c") or not address.hostname:
        return f"'{url[:120]}' is no backend address; {wanted} (http, https or h2c)"
    if address.query or address.fragment or any(not sign.isprintable() or sign in " `{}\"'" for sign in url):
        return f"'{url[:120]}' holds what no backend address has; {wanted}"
    return ""


def tls(wanted: bool, resolver: str) -> Spec | None:
    """The `tls` field: None for a route without TLS."""
    if resolver:
        return {"certResolver": resolver}
    return {} if wanted else None


def changed_tls(
    standing: Spec | None, wanted: bool | None, resolver: str | None, passthrough: bool | None = None
) -> Spec | None:
    """The `tls` field with these changes; what else it says (domains, options) stays. Raises Refused."""
    if passthrough and wanted is False:
        raise _ends_elsewhere()
    if wanted is False or (standing is None and not (wanted or resolver or passthrough)):
        return None
    kept = dict(standing or {})
    if resolver is not KEEP:
        kept.pop("certResolver", None)
    if passthrough is not KEEP:
        kept.pop("passthrough", None)
    changed = {
        **kept,
        **({"certResolver": resolver} if resolver else {}),
        **({"passthrough": True} if passthrough else {}),
    }
    if (passthrough or resolver) and changed.keys() >= {"certResolver", "passthrough"} and changed["passthrough"]:
        raise _ends_elsewhere()
    return changed


def _ends_elsewhere() -> Refused:
    return Refused(
        "bad-arguments",
        "With passthrough the backend ends TLS and shows its own certificate: it goes neither with tls false nor with "
        "a cert_resolver. An empty cert_resolver takes that away, passthrough false the other. Nothing was proposed.",
    )


def router(
    rule_text: str,
    service: str,
    *,
    middlewares: Sequence[str] = (),
    entry_points: Sequence[str] = (),
    tls_field: Spec | None = None,
    priority: int = 0,
) -> Spec:
    """A router as Traefik writes it, without a field that says nothing."""
    spec: dict[str, Any] = {"rule": rule_text, "service": service}
    if entry_points:
        spec["entryPoints"] = list(entry_points)
    if middlewares:
        spec["middlewares"] = list(middlewares)
    if tls_field is not None:
        spec["tls"] = tls_field
    if priority:
        spec["priority"] = priority
    return spec


def users_of_service(service: Address, snapshot: Snapshot) -> list[Address]:
    """Everything desired that names this service: routers, composed services and error pages alike."""
    return [
        address
        for address, spec in snapshot.items()
        if address.instance == service.instance and _uses(address.kind, spec, service)
    ]


def _uses(kind: str, spec: Spec, service: Address) -> bool:
    return any(
        reference.kind == service.kind and reference.name.removesuffix("@file") == service.name
        for reference in references(kind, spec)
    )
