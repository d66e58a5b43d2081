"""The Traefik shard: read what is desired and what is live, and propose native Traefik configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from reconciler.desired import Resource
from reconciler.query_client import Away
from shards import answers, backends, routes
from shards.answers import Live, MiddlewareList, Preset, PresetList, RouteDetail, RouteList, Verdict
from shards.backends import BackendStatus
from shards.drafting import Draft, Ground
from shards.fields import (
    AnyName,
    Backends,
    EntryPoints,
    Hosts,
    InstanceName,
    Kind,
    Middlewares,
    Name,
    PathPrefix,
    Priority,
    RawRule,
    Reason,
    Resolver,
    Tls,
)
from shards.kit import Call, Refused, Shard, Traits, tool
from shards.own import Told, told
from shards.proposing import Desk, Intent, Plan, Proposed, read_plan
from shards.routes import MIDDLEWARES, ROUTERS, SERVICES
from state.model import Address, Spec

_LONGEST_TITLE: Final = 120


class Traefik(Shard):
    """Tools over every Traefik that the desired repo declares."""

    name = "traefik"
    title = "Traefik"
    prefix = "traefik_"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @tool(Traits(title="List routes"))
    def list_routes(self, call: Call, instance: InstanceName = "traefik") -> RouteList:
        """List every route (router) that the desired repo wants, with file and line, and every foreign one
        that Traefik serves besides. Use it before creating a route, to see what is there."""
        ground = self._desk.ground()
        ground.instance(instance)
        wanted = _of_kind(ground, instance, ROUTERS, "tcp.routers", "udp.routers")
        return answers.route_list(ground.commit, wanted, self._live(instance))

    @tool(Traits(title="Get a route"))
    def get_route(self, call: Call, name: AnyName, instance: InstanceName = "traefik") -> RouteDetail:
        """Show one desired HTTP route: rule, service, backends, middlewares, the file it stands in, and whether
        Traefik serves it."""
        ground = self._desk.ground()
        found = _wanted_route(ground, instance, name)
        service = _service(ground, instance, found.spec)
        return RouteDetail(
            main=ground.commit,
            route=answers.route(found, self._live(instance)),
            router=found.spec,
            service=service.spec if service else None,
            backends=(routes.backends(service.spec) if service else None) or [],
        )

    @tool(Traits(title="Create a route", writes=True))
    def create_route(
        self,
        call: Call,
        name: Name,
        service_url: Backends,
        reason: Reason,
        host: Hosts = "",
        path_prefix: PathPrefix = "",
        rule: RawRule = "",
        middlewares: Middlewares = (),
        entry_points: EntryPoints = (),
        tls: Tls = False,
        cert_resolver: Resolver = "",
        priority: Priority = 0,
        instance: InstanceName = "traefik",
    ) -> Proposed:
        """Propose a new HTTP route: requests for a host (and path) go to a backend, or those that a rule in Traefik's
        own words matches. Writes one native Traefik file with a router and a service of this name. Only proposes:
        nothing is live before a person approves. Answers with the proposal and its plan; show both to the person.
        """
        rule_text = routes.chosen_rule(_several(host), path_prefix, rule)

        def edit(draft: Draft) -> None:
            directory = draft.ground.instance(instance).directory
            _refuse_taken(draft.ground, instance, name)
            spec = routes.router(
                rule_text,
                name,
                middlewares=middlewares,
                entry_points=entry_points,
                tls_field=routes.tls(tls, cert_resolver),
                priority=priority,
            )
            path = f"{directory}/{name}.yaml"
            draft.put(path, Address(instance, ROUTERS, name), spec)
            draft.put(path, Address(instance, SERVICES, name), routes.balancer(_several(service_url)))

        title = f"Create route {name} for {rule or ', '.join(_several(host)) + path_prefix}"[:_LONGEST_TITLE]
        return self._desk.propose(call, Intent(slug=name, title=title, reason=reason), edit)

    @tool(Traits(title="Update a route", writes=True, destructive=True))
    def update_route(
        self,
        call: Call,
        name: AnyName,
        reason: Reason,
        host: Hosts | None = None,
        service_url: Backends | None = None,
        path_prefix: PathPrefix | None = None,
        rule: RawRule | None = None,
        middlewares: Middlewares | None = None,
        entry_points: EntryPoints | None = None,
        tls: Tls | None = None,
        cert_resolver: Resolver | None = None,
        priority: Priority | None = None,
        instance: InstanceName = "traefik",
    ) -> Proposed:
        """Propose a change to a desired HTTP route, also to a hand-written one; comments in its file stay. Give
        only what changes: what is left out stays as it is, an empty list or text takes the field away. Only
        proposes: nothing is live before a person approves."""

        def edit(draft: Draft) -> None:
            found = _wanted_route(draft.ground, instance, name)
            changed = routes.changed_rule(found.spec, None if host is None else _several(host), path_prefix, rule)
            spec = _updated({**found.spec, "rule": changed}, middlewares, entry_points, tls, cert_resolver, priority)
            draft.put(found.file, found.address, spec)
            if service_url is not None:
                service = _own_service(draft.ground, instance, found)
                draft.put(service.file, service.address, routes.balancer(_several(service_url), service.spec))

        return self._desk.propose(call, Intent(slug=name, title=f"Update route {name}", reason=reason), edit)

    @tool(Traits(title="Delete a route", writes=True, destructive=True))
    def delete_route(self, call: Call, name: AnyName, reason: Reason, instance: InstanceName = "traefik") -> Proposed:
        """Propose to take a desired HTTP route away, and its service where nothing else uses that. Only
        proposes: nothing is live before a person approves. A foreign route cannot be deleted here."""

        def edit(draft: Draft) -> None:
            found = _wanted_route(draft.ground, instance, name)
            service = _service(draft.ground, instance, found.spec)
            draft.remove(found.file, found.address)
            if service and routes.users_of_service(service.address, draft.ground.desired.snapshot) == [found.address]:
                draft.remove(service.file, service.address)

        return self._desk.propose(call, Intent(slug=name, title=f"Delete route {name}", reason=reason), edit)

    @tool(Traits(title="Add or replace dynamic configuration", writes=True, destructive=True))
    def add_dynamic_config(
        self,
        call: Call,
        kind: Kind,
        name: AnyName,
        spec: Annotated[dict[str, Any], Field(description="The resource as Traefik's documentation writes it.")],
        reason: Reason,
        instance: InstanceName = "traefik",
    ) -> Proposed:
        """Propose any native Traefik resource: a middleware, a service, a TCP router, TLS options … One that the
        desired repo holds already is replaced where it stands, its comments kept. Prefer create_route and
        update_route for ordinary routes. Secrets and Go templates ({{ }}) are refused. Only proposes: nothing is
        live before a person approves."""

        def edit(draft: Draft) -> None:
            directory = draft.ground.instance(instance).directory
            address = Address(instance, kind, name)
            standing = draft.ground.desired.resources.get(address)
            draft.put(standing.file if standing else f"{directory}/{_file_name(name)}.yaml", address, spec)

        return self._desk.propose(call, Intent(slug=name, title=f"Set {kind} {name}", reason=reason), edit)

    @tool(Traits(title="Are the backends there?", seconds=45.0))
    def get_backend_status(
        self,
        call: Call,
        name: Annotated[str, Field(max_length=200, description="A route or a service. Empty: all of them.")] = "",
        instance: InstanceName = "traefik",
    ) -> BackendStatus:
        """Ask the backends of a route, a service, or of everything whether they answer (HEAD /), all at once. Only
        backends that are desired or that Traefik serves; no other address can be given. Those that do not answer
        come first."""
        ground = self._desk.ground()
        ground.instance(instance)
        live = self._desk.query.live(instance)
        found = backends.known(ground, instance, live, name)
        return backends.asked(found, live.reason if isinstance(live, Away) else "")

    @tool(Traits(title="List middlewares"))
    def list_middlewares(self, call: Call, instance: InstanceName = "traefik") -> MiddlewareList:
        """List the middlewares that a route can name: those of the desired repo, and those that Traefik knows
        from elsewhere (written name@provider). Their settings are not shown, since they may hold secrets."""
        ground = self._desk.ground()
        ground.instance(instance)
        wanted = _of_kind(ground, instance, MIDDLEWARES)
        return answers.middleware_list(wanted, self._live(instance))

    @tool(Traits(title="List middleware presets"))
    def list_middleware_presets(self, call: Call) -> PresetList:
        """List the ready-made middlewares of the desired repo (secure headers, rate limit …), each with what it
        is for. Name one of its middlewares in create_route to use it."""
        presets = self._desk.ground().desired.presets
        return PresetList(
            presets=[
                Preset(
                    name=name,
                    file=preset.file,
                    middlewares=[address.name for address in preset.resources if address.kind == MIDDLEWARES],
                    notes=dict(preset.notes),
                )
                for name, preset in sorted(presets.items())
            ]
        )

    @tool(Traits(title="Plan changes"))
    def plan_changes(
        self,
        call: Call,
        proposal: Annotated[str, Field(description="Id of a proposal. Empty: the plan of main itself.")] = "",
    ) -> Plan:
        """Dry run: what applying a proposal (or main as it is) would change now, what people would lose, what
        conflicts with hand edits, what a guard refuses. Changes nothing."""
        if proposal:
            return self._desk.plan(proposal)
        return read_plan(self._desk.query.plan_ref())

    @tool(Traits(title="Validate configuration"))
    def validate_config(
        self,
        call: Call,
        content: Annotated[str, Field(max_length=200_000, description="A native dynamic file, as YAML or TOML.")],
        file: Annotated[
            str,
            Field(
                pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,180}\.(yaml|yml|toml)$",
                description="Its place below the target's directory; one that is there already is replaced by it.",
            ),
        ] = "candidate.yaml",
        instance: InstanceName = "traefik",
    ) -> Verdict:
        """Check a whole file of native Traefik configuration as if it stood in the desired repo: syntax, fields, rules,
        references, names taken elsewhere, secrets. All faults at once, with their lines. Changes and proposes
        nothing. Whether it conflicts with what is live, only the plan of a proposal can say."""

        def edit(draft: Draft) -> None:
            draft.edits[f"{draft.ground.instance(instance).directory}/{file}"] = content.encode("utf-8", "replace")

        resources, problems = self._desk.judge(edit)
        return Verdict(
            valid=not problems, resources=[str(address) for address in resources], problems=list(map(str, problems))
        )

    @tool(Traits(title="Reload now", idempotent=True, seconds=120.0))
    def reload_config(self, call: Call) -> Told:
        """Ask for a pass now instead of waiting for the next one, and tell what it came to: the reconciler compares
        what a person approved with what is live. Changes nothing by itself, and approves nothing."""
        return told(self._desk.query.nudge())

    @tool(Traits(title="Explain a request"))
    def explain_request(
        self,
        call: Call,
        url: Annotated[
            str, Field(max_length=8000, description="As a client writes it: https://git.example.org/x?y=1.")
        ],
        method: Annotated[str, Field(max_length=40, description="GET, POST, …")] = "GET",
        headers: Annotated[dict[str, str] | None, Field(description="Request headers that a rule may look at.")] = None,
        client_ip: Annotated[str, Field(max_length=64, description="Whom it comes from.")] = "127.0.0.1",
        entrypoint: Annotated[
            str, Field(max_length=200, description="Where it arrives. Empty: by scheme and port.")
        ] = "",
        instance: InstanceName = "traefik",
    ) -> Told:
        """Which router of the live Traefik serves a request, through which middlewares, which others match, and why
        the winner wins; also when chance decides, or nobody can tell. Sends nothing: it is worked out from the rules
        of all providers."""
        request = {"method": method, "url": url, "headers": headers or {}, "client_ip": client_ip}
        if entrypoint:
            request["entrypoint"] = entrypoint
        return told(self._desk.query.explain(instance, request))

    @tool(Traits(title="History of a route"))
    def route_history(self, call: Call, name: AnyName, instance: InstanceName = "traefik") -> Told:
        """What happened to one HTTP route: proposals, approvals, applies, drift, each with its reason."""
        return told(self._desk.query.history(str(Address(instance, ROUTERS, name))))

    @tool(Traits(title="Drift report"))
    def drift_report(self, call: Call) -> Told:
        """What differs live from what was last applied, since when, and what a person can answer (revert, adopt,
        accept until a date)."""
        return told(self._desk.query.drift())

    @tool(Traits(title="Roll back", writes=True, destructive=True))
    def rollback(
        self,
        call: Call,
        revision: Annotated[
            str,
            Field(
                pattern=r"^([0-9]{1,9}|[0-9a-f]{7,40})$",
                description="Number of a revision (see history), or the id of a commit of main.",
            ),
        ],
        reason: Reason,
    ) -> Proposed:
        """Propose to bring the desired state back to what it was at a revision; the policy (waypost.yaml) is
        excepted. Only proposes: nothing is live before a person approves."""
        title = f"Roll back to {'revision ' if len(revision) < 7 else ''}{revision}"
        return self._desk.restore(call, Intent(slug=f"rollback-{revision}", title=title, reason=reason), revision)

    def _live(self, instance: str) -> Live | Away:
        return answers.read_live(self._desk.query.live(instance))


def _of_kind(ground: Ground, instance: str, *kinds: str) -> list[Resource]:
    """Desired resources of these kinds, in the order of their addresses."""
    return [
        resource
        for address, resource in sorted(ground.desired.resources.items())
        if address.instance == instance and address.kind in kinds
    ]


def _wanted_route(ground: Ground, instance: str, name: str) -> Resource:
    ground.instance(instance)
    found = ground.desired.resources.get(Address(instance, ROUTERS, name))
    if found is None:
        raise Refused(
            "unknown-route",
            f"The desired repo holds no HTTP route '{name}'; list_routes shows those it holds. A foreign route "
            "belongs to whoever made it and is not changed from here.",
        )
    return found


def _service(ground: Ground, instance: str, router: Spec) -> Resource | None:
    """The service of a router, where the desired repo holds it."""
    name = str(router.get("service", "")).removesuffix("@file")
    return ground.desired.resources.get(Address(instance, SERVICES, name))


def _own_service(ground: Ground, instance: str, found: Resource) -> Resource:
    """The service whose backends may be changed with this route. Raises Refused where others would feel it."""
    service = _service(ground, instance, found.spec)
    if service is None or routes.backends(service.spec) is None:
        raise Refused(
            "bad-backend",
            f"The service of route {found.address.name} is no plain load balancer of the desired repo; change it "
            "with add_dynamic_config.",
        )
    users = routes.users_of_service(service.address, ground.desired.snapshot)
    others = [str(user) for user in users if user != found.address]
    if others:
        raise Refused(
            "shared-service",
            f"{service.address} also serves {', '.join(others)}. Give this route a service of its own, or change "
            "the service for all of them with add_dynamic_config.",
        )
    return service


def _refuse_taken(ground: Ground, instance: str, name: str) -> None:
    for kind in (ROUTERS, SERVICES):
        if standing := ground.desired.resources.get(Address(instance, kind, name)):
            raise Refused(
                "already-exists",
                f"{standing.address} already stands in {standing.file}:{standing.line}. Use update_route, or "
                "another name.",
            )


def _updated(
    spec: Spec,
    middlewares: Sequence[str] | None,
    entry_points: Sequence[str] | None,
    tls: bool | None,
    cert_resolver: str | None,
    priority: int | None,
) -> dict[str, Any]:
    """A router with the given fields changed; None keeps a field, an empty value takes it away."""
    changed = dict(spec)
    if middlewares is not None:
        changed["middlewares"] = list(middlewares)
    if entry_points is not None:
        changed["entryPoints"] = list(entry_points)
    if tls is not None or cert_resolver is not None:
        changed["tls"] = routes.changed_tls(spec.get("tls"), tls, cert_resolver)
    if priority is not None:
        changed["priority"] = priority or None
    return {key: value for key, value in changed.items() if value not in (None, [])}


def _several(value: str | Sequence[str]) -> list[str]:
    return [value] if value and isinstance(value, str) else list(value)


def _file_name(name: str) -> str:
    """A file for a resource of any name; two names that meet in one file share it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "resource"
