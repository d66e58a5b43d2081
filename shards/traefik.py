"""The Traefik shard: read what is desired and what is live, and propose native Traefik configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reconciler.core.redact import redact
from reconciler.query_client import Away
from shards import (
    adopting,
    answers,
    backends,
    certificates,
    diagnosing,
    fields,
    lent,
    reports,
    routes,
    wanted,
)
from shards.adopting import Adopted, Wish
from shards.answers import Live, MiddlewareList, Preset, PresetList, RouteDetail, RouteList, Verdict
from shards.backends import BackendStatus
from shards.certificates import SslStatus
from shards.diagnosing import Diagnosis
from shards.drafting import Draft
from shards.kit import Call, Shard, Traits, tool
from shards.knowing import Knowing
from shards.proposing import Desk, Intent, Plan, Proposed, read_plan
from shards.reports import DriftReport, Explanation, History, Passed, told
from shards.routes import MIDDLEWARES, ROUTERS, SERVICES
from state.model import Address

_LONGEST_TITLE: Final = 120


class Traefik(Shard):
    """Tools over every Traefik that the desired repo declares."""

    name = "traefik"
    title = "Traefik"
    prefix = "traefik_"

    def __init__(self, desk: Desk, others: Sequence[Knowing] = ()) -> None:
        """`others` know what a failing request may have to do with besides Traefik."""
        self._desk = desk
        self._others = others

    @tool(Traits(title="List routes"))
    def list_routes(self, call: Call, instance: fields.InstanceName = "traefik") -> RouteList:
        """List every route (router) that the desired repo wants, with file and line, and every foreign one
        that Traefik serves besides. Use it before creating a route, to see what is there."""
        ground = self._desk.ground()
        ground.instance(instance, "traefik")
        found = wanted.of_kind(ground, instance, ROUTERS, "tcp.routers", "udp.routers")
        return answers.route_list(ground.commit, found, self._live(instance))

    @tool(Traits(title="Get a route"))
    def get_route(
        self,
        call: Call,
        name: fields.AnyName,
        protocol: fields.RouteProtocol = "",
        instance: fields.InstanceName = "traefik",
    ) -> RouteDetail:
        """Show one route, HTTP, TCP or UDP: rule, service, backends, middlewares, the file it stands in, and whether
        Traefik serves it; a foreign one (gitea@docker) as Traefik has it, secrets covered."""
        ground = self._desk.ground()
        if wanted.is_foreign(name):
            ground.instance(instance, "traefik")
            foreign = lent.read(told(self._desk.query.lent(instance, name, protocol)))
            return answers.foreign_route(ground.commit, foreign)
        found = wanted.route(ground, instance, name, protocol)
        service = wanted.service_of(ground, found)
        return RouteDetail(
            main=ground.commit,
            route=answers.route(found, self._live(instance)),
            router=redact(found.spec),
            service=redact(service.spec) if service else None,
            backends=(routes.backends(service.spec) if service else None) or [],
        )

    @tool(Traits(title="Create a route", writes=True))
    def create_route(
        self,
        call: Call,
        name: fields.Name,
        service_url: fields.Backends,
        reason: fields.Reason,
        host: fields.Hosts = "",
        path_prefix: fields.PathPrefix = "",
        rule: fields.RawRule = "",
        middlewares: fields.Middlewares = (),
        entry_points: fields.EntryPoints = (),
        tls: fields.Tls = False,
        cert_resolver: fields.Resolver = "",
        priority: fields.Priority = 0,
        instance: fields.InstanceName = "traefik",
    ) -> Proposed:
        """Propose a new HTTP route: requests for a host (and path) go to a backend, or those that a rule in Traefik's
        own words matches. Writes one native Traefik file with a router and a service of this name. Only proposes:
        nothing is live before a person approves. Answers with the proposal and its plan; show both to the person.
        """
        rule_text = routes.chosen_rule(wanted.several(host), path_prefix, rule)

        def edit(draft: Draft) -> None:
            directory = draft.ground.instance(instance, "traefik").directory
            wanted.refuse_taken(draft.ground, instance, name)
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
            draft.put(path, Address(instance, SERVICES, name), routes.balancer(wanted.several(service_url)))

        title = f"Create route {name} for {rule or ', '.join(wanted.several(host)) + path_prefix}"[:_LONGEST_TITLE]
        return self._desk.propose(call, Intent(slug=name, title=title, reason=reason), edit)

    @tool(Traits(title="Update a route", writes=True, destructive=True))
    def update_route(
        self,
        call: Call,
        name: fields.AnyName,
        reason: fields.Reason,
        host: fields.Hosts | None = None,
        service_url: fields.ChangedBackends | None = None,
        path_prefix: fields.PathPrefix | None = None,
        rule: fields.RawRule | None = None,
        middlewares: fields.Middlewares | None = None,
        entry_points: fields.EntryPoints | None = None,
        tls: fields.Tls | None = None,
        cert_resolver: fields.Resolver | None = None,
        passthrough: fields.Passthrough | None = None,
        priority: fields.Priority | None = None,
        protocol: fields.RouteProtocol = "",
        instance: fields.InstanceName = "traefik",
    ) -> Proposed:
        """Propose a change to a desired route, HTTP, TCP or UDP, also to a hand-written one; comments in its file stay.
        Give only what changes: what is left out stays as it is, an empty list or text takes the field away. Of a TCP
        route host is the server name (HostSNI) and there is no path_prefix; a UDP route has entry_points and
        service_url only. Only proposes: nothing is live before a person approves."""
        change = wanted.Change(
            host=host, path_prefix=path_prefix, rule=rule, middlewares=middlewares, entry_points=entry_points,
            tls=tls, cert_resolver=cert_resolver, passthrough=passthrough, priority=priority,
        )  # fmt: skip

        def edit(draft: Draft) -> None:
            found = wanted.route(draft.ground, instance, name, protocol)
            draft.put(found.file, found.address, wanted.changed(found, change))
            if service_url is not None:
                service = wanted.own_service(draft.ground, found)
                backed = routes.backed(wanted.protocol_of(found), wanted.several(service_url), service.spec)
                draft.put(service.file, service.address, backed)

        return self._desk.propose(call, _intent("Update", protocol, name, reason), edit)

    @tool(Traits(title="Adopt a foreign route", writes=True))
    def adopt_route(
        self,
        call: Call,
        router: fields.ForeignRoute,
        reason: fields.Reason,
        protocol: fields.RouteProtocol = "",
        name: fields.NewName = "",
        service_url: fields.OwnBackends = "",
        instead: fields.Instead = None,
        instance: fields.InstanceName = "traefik",
    ) -> Adopted:
        """Propose to bring a foreign route, HTTP, TCP or UDP (of container labels, a store …), into the desired repo:
        the router, its service and its middlewares as a native file, with a priority above the foreign one, so that the
        file serves as soon as a person approves. Answers with the exact labels to remove from the container
        afterwards; tell them to the person. What holds secrets is refused, with the way out."""
        route = lent.read(told(self._desk.query.lent(self._known(instance), router, protocol)))
        wish = Wish(name=name, backends=wanted.several(service_url), instead=instead or {})
        return adopting.proposed(self._desk, call, instance, route, wish, reason)

    @tool(Traits(title="Delete a route", writes=True, destructive=True))
    def delete_route(
        self,
        call: Call,
        name: fields.AnyName,
        reason: fields.Reason,
        protocol: fields.RouteProtocol = "",
        instance: fields.InstanceName = "traefik",
    ) -> Proposed:
        """Propose to take a desired route away, HTTP, TCP or UDP, and its service where nothing else uses that. Only
        proposes: nothing is live before a person approves. A foreign route cannot be deleted here."""

        def edit(draft: Draft) -> None:
            found = wanted.route(draft.ground, instance, name, protocol)
            service = wanted.service_of(draft.ground, found)
            draft.remove(found.file, found.address)
            if service and routes.users_of_service(service.address, draft.ground.desired.snapshot) == [found.address]:
                draft.remove(service.file, service.address)

        return self._desk.propose(call, _intent("Delete", protocol, name, reason), edit)

    @tool(Traits(title="Add or replace dynamic configuration", writes=True, destructive=True))
    def add_dynamic_config(
        self,
        call: Call,
        kind: fields.Kind,
        name: fields.AnyName,
        spec: fields.Spec,
        reason: fields.Reason,
        instance: fields.InstanceName = "traefik",
    ) -> Proposed:
        """Propose any native Traefik resource: a middleware, a service, a TCP router, TLS options … One that the
        desired repo holds already is replaced where it stands, its comments kept. Prefer create_route and
        update_route for ordinary routes. Secrets and Go templates ({{ }}) are refused. Only proposes: nothing is
        live before a person approves."""

        def edit(draft: Draft) -> None:
            directory = draft.ground.instance(instance, "traefik").directory
            address = Address(instance, kind, name)
            standing = draft.ground.desired.resources.get(address)
            draft.put(standing.file if standing else f"{directory}/{wanted.file_name(name)}.yaml", address, spec)

        return self._desk.propose(call, Intent(slug=name, title=f"Set {kind} {name}", reason=reason), edit)

    @tool(Traits(title="Are the backends there?", seconds=45.0))
    def get_backend_status(
        self,
        call: Call,
        name: fields.RouteOrService = "",
        instance: fields.InstanceName = "traefik",
    ) -> BackendStatus:
        """Ask the backends of a route, a service, or of everything whether they answer (HEAD /), all at once. Only
        backends that are desired or that Traefik serves; no other address can be given. Those that do not answer
        come first."""
        ground = self._desk.ground()
        ground.instance(instance, "traefik")
        with call.waiting("waiting for Traefik and the backends"):
            live = self._desk.query.live(instance)
            found = backends.known(ground, instance, live, name)
            return backends.asked(found, live.reason if isinstance(live, Away) else "")

    @tool(Traits(title="Are the certificates right?", seconds=45.0))
    def check_ssl_status(
        self, call: Call, host: fields.HostOrRoute = "", instance: fields.InstanceName = "traefik"
    ) -> SslStatus:
        """Which certificate a visitor of a host is shown (names, issuer, chain, end, whether it is trusted), and what
        is wrong: Traefik's default certificate, a resolver that does not exist or obtained nothing, names that do not
        fit, an end that is near. By TLS handshakes, all at once; only hosts that are desired or live. Those with
        trouble come first, each with what to do next."""
        ground = self._desk.ground()
        ground.instance(instance, "traefik")
        with call.waiting("waiting for the certificates"):
            setup = certificates.known(ground, instance, told(self._desk.query.encryption(instance)))
            questions = certificates.questions(setup, host)
            return certificates.asked(setup, questions, self._desk.settings.ca_file, self._desk.clock.now())

    @tool(Traits(title="Why does it fail?", seconds=60.0))
    def diagnose(
        self,
        call: Call,
        what: fields.Suspect,
        status: fields.SeenStatus = None,
        method: fields.Method = "GET",
        instance: fields.InstanceName = "traefik",
    ) -> Diagnosis:
        """Why is Gitea a 404? The first thing to call when a route, a host or an address fails. Puts together who
        serves the request and why, what is desired and live, the last changes, drift, backends, certificate, waiting
        proposals, trouble of the target, the containers behind it with their last complaints, the last deploy and who
        is let in, and names the most likely cause with what to do next. Give the status that was seen. What could not
        be asked is told as missing, with the reason. Changes nothing."""
        with call.waiting("waiting for all who may know"):
            return diagnosing.diagnosis(self._desk, instance, what, status, method, self._others)

    @tool(Traits(title="List middlewares"))
    def list_middlewares(self, call: Call, instance: fields.InstanceName = "traefik") -> MiddlewareList:
        """List the middlewares that a route can name: those of the desired repo, and those that Traefik knows
        from elsewhere (written name@provider). Their settings are not shown, since they may hold secrets."""
        ground = self._desk.ground()
        ground.instance(instance, "traefik")
        found = wanted.of_kind(ground, instance, MIDDLEWARES)
        return answers.middleware_list(found, self._live(instance))

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
        proposal: fields.ProposalId = "",
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
        content: fields.Content,
        file: fields.File = "candidate.yaml",
        instance: fields.InstanceName = "traefik",
    ) -> Verdict:
        """Check a whole file of native Traefik configuration as if it stood in the desired repo: syntax, fields, rules,
        references, names taken elsewhere, secrets. All faults at once, with their lines. Changes and proposes
        nothing. Whether it conflicts with what is live, only the plan of a proposal can say."""

        def edit(draft: Draft) -> None:
            draft.edits[f"{draft.ground.instance(instance, 'traefik').directory}/{file}"] = content.encode(
                "utf-8", "replace"
            )

        resources, problems = self._desk.judge(edit)
        return Verdict(
            valid=not problems, resources=[str(address) for address in resources], problems=list(map(str, problems))
        )

    @tool(Traits(title="Reload now", idempotent=True, seconds=120.0))
    def reload_config(self, call: Call) -> Passed:
        """Ask for a pass now instead of waiting for the next one, and tell what it came to: the reconciler compares
        what a person approved with what is live. Changes nothing by itself, and approves nothing."""
        with call.waiting("waiting for the pass"):
            return reports.passed(self._desk.query.nudge())

    @tool(Traits(title="Explain a request"))
    def explain_request(
        self,
        call: Call,
        url: fields.Url,
        method: fields.Method = "GET",
        headers: fields.Headers = None,
        client_ip: fields.ClientIp = "127.0.0.1",
        entrypoint: fields.EntryPoint = "",
        instance: fields.InstanceName = "traefik",
    ) -> Explanation:
        """Which router of the live Traefik serves a request, through which middlewares, which others match, and why
        the winner wins; also when chance decides, or nobody can tell. Sends nothing: it is worked out from the rules
        of all providers."""
        request = {"method": method, "url": url, "headers": headers or {}, "client_ip": client_ip}
        if entrypoint:
            request["entrypoint"] = entrypoint
        return reports.explanation(self._desk.query.explain(self._known(instance), request))

    @tool(Traits(title="History of a route"))
    def route_history(self, call: Call, name: fields.AnyName, instance: fields.InstanceName = "traefik") -> History:
        """What happened to one HTTP route: proposals, approvals, applies, drift, each with its reason."""
        return reports.history(self._desk.query.history(str(Address(self._known(instance), ROUTERS, name))))

    @tool(Traits(title="Drift report"))
    def drift_report(self, call: Call) -> DriftReport:
        """What differs live from what was last applied, since when, by whom where the system tells, and what a person
        can answer (revert, adopt, accept until a date)."""
        return reports.drift(self._desk.query.drift())

    @tool(Traits(title="Roll back", writes=True, destructive=True))
    def rollback(
        self,
        call: Call,
        revision: fields.Revision,
        reason: fields.Reason,
    ) -> Proposed:
        """Propose to bring the desired state back to what it was at a revision; the policy (waypost.yaml) is
        excepted. Only proposes: nothing is live before a person approves."""
        title = f"Roll back to {'revision ' if len(revision) < 7 else ''}{revision}"
        return self._desk.restore(call, Intent(slug=f"rollback-{revision}", title=title, reason=reason), revision)

    def version(self, instance: str) -> str:
        """Which Traefik runs there; "" where nobody can say."""
        live = self._desk.query.live(self._known(instance))
        return "" if isinstance(live, Away) else str(live.get("version", ""))

    def _known(self, instance: str) -> str:
        """An instance that is declared. Of the default one nothing is read: main may be what is broken."""
        return instance if instance == "traefik" else self._desk.ground().instance(instance, "traefik").name

    def _live(self, instance: str) -> Live | Away:
        return answers.read_live(self._desk.query.live(instance))


def _intent(does: str, protocol: str, name: str, reason: str) -> Intent:
    """What a proposal about one route is called; the protocol stands there where it was said."""
    return Intent(slug=name, title=" ".join(filter(None, (does, protocol.upper(), "route", name))), reason=reason)
