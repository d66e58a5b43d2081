"""The authentik shard: read which applications there are, and propose native blueprints (and the routes to them)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, Field

from reconciler import document
from reconciler.authentik import models
from reconciler.authentik.blueprint import KIND, Entry, entries
from reconciler.authentik.language import LANGUAGE
from reconciler.authentik.page import page
from reconciler.desired import Resource
from shards import authentik_drafts as drafts
from shards import authentik_fields as fields
from shards import routes, wanted
from shards.authentik_live import Live, LiveError, plain_url, what_looks
from shards.covering import MARK, covered
from shards.drafting import Draft, Ground
from shards.kit import Call, Refused, Shard, Traits, tool
from shards.proposing import Desk, Intent, Proposed
from shards.routes import MIDDLEWARES, ROUTERS, SERVICES
from state.model import Address, Spec

_HEADING = "Written by a tool of Waypost."
"""Above every file that is written here; a comment besides it is a person's."""

_MOST_LISTED: Final = 300

_NOBODY: Final[Mapping[str, Live]] = MappingProxyType({})


class ApplicationSeen(BaseModel):
    """One application, as desired and as live."""

    slug: str
    name: str
    provider: str = Field(default="", description="who guards it")
    sort: str = Field(default="", description="what kind of provider that is")
    launch_url: str = ""
    file: str = Field(default="", description="where the desired repo holds it; '' for one that it does not hold")
    live: bool | None = Field(default=None, description="whether authentik has it; null where nobody can say")


class ApplicationList(BaseModel):
    """Every application that the desired repo or authentik holds."""

    main: str = Field(description="the commit of main that was read")
    applications: list[ApplicationSeen]
    left_out: int = Field(default=0, description="how many more there are than are listed")
    unknown: str = Field(default="", description="why authentik itself could not be asked; '' where it was")


class BlueprintText(BaseModel):
    """One blueprint of the desired repo."""

    main: str
    name: str
    file: str
    content: str
    holds: list[str] = Field(description="what it says about, an entry each")


class Authentik(Shard):
    """Tools over every authentik that the desired repo declares. `alive`: those that may be looked at, by instance."""

    name = "authentik"
    title = "authentik"
    prefix = "authentik_"

    def __init__(self, desk: Desk, alive: Mapping[str, Live] = _NOBODY) -> None:
        self._desk = desk
        self._alive = alive

    @tool(Traits(title="List applications"))
    def list_applications(self, call: Call, instance: fields.InstanceName = "authentik") -> ApplicationList:
        """List the applications that people sign in to: those that the desired repo holds, with their file, and those
        that authentik has besides. Use it before creating one, to see what is there."""
        ground = self._ground(instance)
        held = {entry.name: (resource, entry) for resource, entry in _held(ground, instance, models.APPLICATION)}
        found, unknown = self._seen(instance)
        seen = [_desired_application(*one, None if unknown else one[1].name in found) for one in held.values()]
        seen += [one for slug, one in found.items() if slug not in held]
        listed = sorted(seen, key=lambda one: one.slug)[:_MOST_LISTED]
        left_out = len(seen) - len(listed)
        return ApplicationList(main=ground.commit, applications=listed, left_out=left_out, unknown=unknown)

    @tool(Traits(title="Get a blueprint"))
    def get_blueprint(
        self, call: Call, name: fields.BlueprintName, instance: fields.InstanceName = "authentik"
    ) -> BlueprintText:
        """Show one blueprint of the desired repo as it is written, to change it with set_blueprint. Lines that hold a
        secret are covered; a blueprint with such lines is for a person to change."""
        ground = self._ground(instance)
        resource = _standing(ground, instance, name)
        content = (self._desk.content(ground.commit, resource.file) or b"").decode("utf-8", "replace")
        holds = [str(one) for one in entries(resource.spec)]
        return BlueprintText(
            main=ground.commit, name=name, file=resource.file, content=covered(resource.file, content), holds=holds
        )

    @tool(Traits(title="Create an application", writes=True))
    def create_application(
        self,
        call: Call,
        slug: fields.Slug,
        title: fields.Title,
        external_host: fields.ExternalHost,
        reason: fields.Reason,
        kind: fields.ProviderKind = "forward_auth",
        redirect_uris: fields.RedirectUris = (),
        client_type: fields.ClientType = "confidential",
        groups: fields.Groups = (),
        authorization_flow: fields.FlowSlug = "default-provider-authorization-implicit-consent",
        invalidation_flow: fields.FlowSlug = "default-provider-invalidation-flow",
        outpost: fields.Outpost = "authentik Embedded Outpost",
        route: fields.WantedRoute = None,
        instance: fields.InstanceName = "authentik",
        traefik: fields.TraefikName = "traefik",
    ) -> Proposed:
        """Propose an application that people sign in to: provider, application and who may use it as one native
        blueprint; with `route` also the Traefik route and the middleware that asks authentik, all in one proposal with
        one plan. For oauth2 authentik makes client id and secret itself; a person reads them there. Only proposes:
        nothing is live before a person approves."""
        if kind == "forward_auth":
            provider = drafts.forward_auth(slug, external_host, authorization_flow, invalidation_flow)
        else:
            provider = drafts.oauth2(slug, redirect_uris, client_type, authorization_flow, invalidation_flow)
        app = drafts.application(slug, title, external_host)
        spec = drafts.blueprint(title, provider, app, *drafts.allowed(groups))

        def edit(draft: Draft) -> None:
            _refuse_taken(draft.ground, instance, slug)
            self._write(draft, instance, slug, spec)
            if kind == "forward_auth" and outpost:
                self._attach(draft, instance, outpost, slug)
            if route:
                _route(draft, traefik, slug, external_host, route, guarded=kind == "forward_auth")

        return self._propose(call, f"Create application {slug}", slug, reason, edit, instance)

    @tool(Traits(title="Set a flow", writes=True, destructive=True))
    def manage_flows(
        self,
        call: Call,
        slug: fields.Slug,
        title: fields.Title,
        designation: fields.Designation,
        steps: fields.Steps,
        reason: fields.Reason,
        authentication: fields.FlowAsks = "none",
        instance: fields.InstanceName = "authentik",
    ) -> Proposed:
        """Propose a flow with its stages and their order, as one native blueprint (flow-SLUG); one that was written by
        this tool is replaced as a whole, so give all steps. Stages that run code, load scripts or make accounts are
        out of reach. Only proposes: nothing is live before a person approves."""
        spec = drafts.flow(slug, title, designation, authentication, steps)
        return self._propose(
            call,
            f"Set flow {slug}",
            slug,
            reason,
            lambda draft: self._write(draft, instance, f"flow-{slug}", spec),
            instance,
        )

    @tool(Traits(title="Set a brand", writes=True, destructive=True))
    def sync_brand(
        self,
        call: Call,
        reason: fields.Reason,
        domain: fields.Domain = "authentik-default",
        title: fields.Branding = None,
        logo: fields.Branding = None,
        favicon: fields.Branding = None,
        background: fields.Branding = None,
        flows: fields.BrandFlows = None,
        instance: fields.InstanceName = "authentik",
    ) -> Proposed:
        """Propose how sign-in looks for a domain, and which flows it uses, as one native blueprint (brand-DOMAIN). What
        is not given here stays as authentik has it. Own styles are out of reach: they could show people anything. Only
        proposes: nothing is live before a person approves; other flows for everybody need a person's consent."""
        given = {
            "branding_title": title,
            "branding_logo": logo,
            "branding_favicon": favicon,
            "branding_default_flow_background": background,
        }
        if not flows and not any(given.values()):
            raise Refused("bad-arguments", "Say what is to change: a title, a picture, a flow. Nothing was proposed.")
        spec = drafts.brand(domain, given, flows or {})
        name = f"brand-{domain}"
        return self._propose(
            call, f"Set brand {domain}", name, reason, lambda draft: self._write(draft, instance, name, spec), instance
        )

    @tool(Traits(title="Set a native blueprint", writes=True, destructive=True))
    def set_blueprint(
        self,
        call: Call,
        name: fields.BlueprintName,
        content: fields.Content,
        reason: fields.Reason,
        instance: fields.InstanceName = "authentik",
    ) -> Proposed:
        """Propose a whole native blueprint; one of that name is replaced where it stands. Prefer create_application,
        manage_flows and sync_brand. Accounts, groups, tokens, permissions, policies with code, and tags that read
        secrets (!Env, !File) are refused, with the reason. What leaves a blueprint is removed in authentik, and the
        plan says so. Only proposes: nothing is live before a person approves."""

        def edit(draft: Draft) -> None:
            if MARK in content:
                raise Refused("covered", "A line of it was covered by get_blueprint: a person has to change this one.")
            draft.write(_file(draft.ground, instance, name), content.encode("utf-8", "replace"))

        return self._propose(call, f"Set blueprint {name}", name, reason, edit, instance)

    @tool(Traits(title="Remove a blueprint", writes=True, destructive=True))
    def remove_blueprint(
        self, call: Call, name: fields.BlueprintName, reason: fields.Reason, instance: fields.InstanceName = "authentik"
    ) -> Proposed:
        """Propose to take a blueprint away, and with it what it made in authentik; the plan names each object, and what
        would be let go of instead (brands, outposts, what authentik brings with it). Only proposes: nothing goes
        before a person approves."""

        def edit(draft: Draft) -> None:
            resource = _standing(draft.ground, instance, name)
            draft.write(resource.file, None)
            for address, held in draft.ground.desired.resources.items():
                if address.instance == instance and address.name != name:
                    self._detach(draft, held, resource)

        return self._propose(call, f"Remove blueprint {name}", name, reason, edit, instance)

    # ── parts ────────────────────────────────────────────────────────────────────────────────────

    def _ground(self, instance: str) -> Ground:
        ground = self._desk.ground()
        ground.instance(instance, self.name)
        return ground

    def _seen(self, instance: str) -> tuple[dict[str, ApplicationSeen], str]:
        """What authentik has by slug, or why it could not be asked."""
        live = self._alive.get(instance)
        if live is None:
            return {}, f"nobody told the gateway how to look at this authentik ({what_looks(instance)})"
        try:
            return {one.slug: ApplicationSeen(**vars(one), live=True) for one in live.applications()}, ""
        except LiveError as fault:
            return {}, str(fault)

    def _propose(
        self, call: Call, title: str, slug: str, reason: str, edit: Callable[[Draft], None], instance: str
    ) -> Proposed:
        def checked(draft: Draft) -> None:
            draft.ground.instance(instance, self.name)
            edit(draft)

        return self._desk.propose(call, Intent(slug=slug, title=title, reason=reason), checked)

    def _write(self, draft: Draft, instance: str, name: str, spec: Spec) -> None:
        """Write a blueprint. One that a person wrote by hand, with comments, is not written over."""
        path = _file(draft.ground, instance, name)
        standing = draft.content(path)
        if standing and any(one != f"# {_HEADING}" for one in _comments(standing)):
            raise Refused(
                "hand-written",
                f"{path} has comments of a person, which would be lost; read it with get_blueprint and give the whole "
                "of it to set_blueprint. Nothing was proposed.",
            )
        draft.write(path, page(spec, _HEADING))

    def _attach(self, draft: Draft, instance: str, outpost: str, provider: str) -> None:
        """Put a provider on the list of an outpost: in the blueprint that has it, or in one of its own."""
        for address, resource in sorted(draft.ground.desired.resources.items()):
            if address.instance == instance and drafts.holds_outpost(resource.spec, outpost):
                self._write(draft, instance, address.name, drafts.attached(resource.spec, outpost, provider))
                return
        others = self._attached(instance, outpost)
        name = f"outpost-{wanted.file_name(outpost).lower()}"
        self._write(draft, instance, name, drafts.outpost(outpost, [*others, provider]))

    def _attached(self, instance: str, outpost: str) -> list[str]:
        """Whom an outpost answers for already: a list in a blueprint replaces the one that is.

        Where nobody can say, the plan refuses to take somebody off.
        """
        try:
            live = self._alive.get(instance)
            return live.attached(outpost) if live else []
        except LiveError:
            return []

    def _detach(self, draft: Draft, held: Resource, gone: Resource) -> None:
        """Take the providers that go from the lists of outposts in other blueprints."""
        names = [one.name for one in entries(gone.spec) if one.model == models.PROXY]
        if spec := drafts.detached(held.spec, names):
            self._write(draft, held.address.instance, held.address.name, spec)


def _held(ground: Ground, instance: str, model: str) -> list[tuple[Resource, Entry]]:
    return [
        (resource, entry)
        for address, resource in sorted(ground.desired.resources.items())
        if address.instance == instance and address.kind == KIND
        for entry in entries(resource.spec)
        if entry.model == model and entry.state != "absent"
    ]


def _desired_application(resource: Resource, entry: Entry, live: bool | None) -> ApplicationSeen:
    by_id = {one.id: one for one in entries(resource.spec)}
    provider = entry.attrs.get("provider")
    found = by_id.get(str(provider.get("!KeyOf"))) if isinstance(provider, dict) else None
    launch = entry.attrs.get("meta_launch_url")
    return ApplicationSeen(
        slug=entry.name,
        name=str(entry.attrs.get("name", entry.name)),
        provider=found.name if found else "",
        sort=found.label if found else "",
        launch_url=plain_url(launch) if isinstance(launch, str) else "",
        file=resource.file,
        live=live,
    )


def _standing(ground: Ground, instance: str, name: str) -> Resource:
    found = ground.desired.resources.get(Address(instance, KIND, name))
    if found is None:
        known = ", ".join(a.name for a in sorted(ground.desired.resources) if a.instance == instance) or "none"
        raise Refused("unknown-blueprint", f"The desired repo holds no blueprint '{name}'; there are: {known}.")
    return found


def _file(ground: Ground, instance: str, name: str) -> str:
    """Where a blueprint stands, or would."""
    found = ground.desired.resources.get(Address(instance, KIND, name))
    return found.file if found else f"{ground.instance(instance, 'authentik').directory}/{name}.yaml"


def _refuse_taken(ground: Ground, instance: str, slug: str) -> None:
    taken = ground.desired.resources.get(Address(instance, KIND, slug))
    holder = next((one for one, entry in _held(ground, instance, models.APPLICATION) if entry.name == slug), taken)
    if holder:
        raise Refused("already-exists", f"{holder.file} holds {slug} already; change it with set_blueprint.")


def _comments(content: bytes) -> list[str]:
    text = content.decode("utf-8", "replace")
    return document.comments(text) if not LANGUAGE.parse("", content).problems else ["?"]


def _route(draft: Draft, traefik: str, name: str, external_host: str, route: fields.Route, *, guarded: bool) -> None:
    """The route to an application, and what asks authentik before it."""
    directory = draft.ground.instance(traefik, "traefik").directory
    wanted.refuse_taken(draft.ground, traefik, name)
    host, path = drafts.host_of(external_host), f"{directory}/{name}.yaml"
    tls = routes.tls(route.tls, route.cert_resolver)

    def router(rule: str, service: str, middlewares: tuple[str, ...]) -> Spec:
        return routes.router(rule, service, middlewares=middlewares, entry_points=route.entry_points, tls_field=tls)

    guards = (route.middleware,) if guarded else ()
    draft.put(path, Address(traefik, ROUTERS, name), router(routes.rule([host], ""), name, guards))
    draft.put(path, Address(traefik, SERVICES, name), routes.balancer(wanted.several(route.service_url)))
    if guarded:
        outpost = _guard(draft, traefik, directory, route)
        sign_in = router(routes.rule([host], drafts.SIGN_IN), outpost, ())
        draft.put(path, Address(traefik, ROUTERS, f"{name}-sign-in"), sign_in)


def _guard(draft: Draft, traefik: str, directory: str, route: fields.Route) -> str:
    """The middleware that asks authentik, and the service of the outpost behind it; made where they are not there."""
    guard = Address(traefik, MIDDLEWARES, route.middleware)
    service = Address(traefik, SERVICES, f"{route.middleware}-outpost")
    there = draft.ground.desired.resources
    if guard in there and service in there:
        return service.name
    if not route.outpost_url:
        raise Refused(
            "no-outpost",
            f"{traefik} has no middleware {guard.name} with a service {service.name} yet: give outpost_url.",
        )
    path = f"{directory}/{route.middleware}.yaml"
    if guard not in there:
        draft.put(path, guard, drafts.middleware(route.outpost_url))
    draft.put(path, service, routes.balancer([route.outpost_url]))
    return service.name
