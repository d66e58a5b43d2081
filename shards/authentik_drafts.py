"""Blueprints and routes as a tool puts them together. Pure: parts in, native configuration out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from reconciler.authentik import models
from shards.authentik_fields import STAGE_MODELS, Step
from shards.kit import Refused
from state.model import Spec

_SCOPES: Final = ("openid", "email", "profile")
_ASK_PATH: Final = "/outpost.goauthentik.io/auth/traefik"
SIGN_IN: Final = "/outpost.goauthentik.io/"
"""Where a browser comes back to after it signed in: every guarded host needs this path."""

_TOLD: Final = (
    "X-authentik-username", "X-authentik-groups", "X-authentik-entitlements", "X-authentik-email",
    "X-authentik-name", "X-authentik-uid",
)  # fmt: skip
"""What an application behind the middleware is told of who signed in."""


def find(model: str, field: str, value: str) -> dict[str, Any]:
    return {"!Find": [model, [field, value]]}


def blueprint(name: str, *entries: Mapping[str, Any]) -> Spec:
    return {"version": 1, "metadata": {"name": name}, "entries": list(entries)}


def entry(model: str, identifiers: Mapping[str, Any], attrs: Mapping[str, Any], id: str = "") -> dict[str, Any]:
    """An entry, without the fields that are not given."""
    given = {key: value for key, value in attrs.items() if value not in (None, "", (), [])}
    return {"model": model, **({"id": id} if id else {}), "identifiers": dict(identifiers), "attrs": given}


# ── applications ─────────────────────────────────────────────────────────────────────────────────


def forward_auth(name: str, external_host: str, authorization: str, invalidation: str) -> dict[str, Any]:
    """A provider that a proxy asks about each request. Raises Refused for what is no address."""
    attrs = {
        "mode": "forward_single",
        "external_host": _address(external_host, "external_host"),
        "authorization_flow": find(models.FLOW, "slug", authorization),
        "invalidation_flow": find(models.FLOW, "slug", invalidation),
    }
    return entry(models.PROXY, {"name": name}, attrs, "provider")


def oauth2(
    name: str, redirect_uris: Sequence[str], client_type: str, authorization: str, invalidation: str
) -> dict[str, Any]:
    """A provider that an application itself speaks OpenID Connect with. authentik makes its name and its secret, which
    a person reads there; neither is in Git. Raises Refused."""
    if not redirect_uris:
        raise Refused("bad-redirect", "Give redirect_uris: where a sign-in may end. Nothing was proposed.")
    scope = "goauthentik.io/providers/oauth2/scope-{}"
    attrs = {
        "client_type": client_type,
        "redirect_uris": [{"matching_mode": "strict", "url": _address(url, "redirect_uris")} for url in redirect_uris],
        "authorization_flow": find(models.FLOW, "slug", authorization),
        "invalidation_flow": find(models.FLOW, "slug", invalidation),
        "property_mappings": [
            find("authentik_providers_oauth2.scopemapping", "managed", scope.format(one)) for one in _SCOPES
        ],
    }
    return entry(models.OAUTH2, {"name": name}, attrs, "provider")


def application(slug: str, title: str, launch_url: str) -> dict[str, Any]:
    attrs = {"name": title, "provider": {"!KeyOf": "provider"}, "meta_launch_url": launch_url}
    return entry(models.APPLICATION, {"slug": slug}, attrs, "application")


def allowed(groups: Sequence[str]) -> list[dict[str, Any]]:
    """Bindings that let in the members of these groups and nobody else."""
    return [
        entry(
            models.POLICY_BINDING,
            {"target": {"!KeyOf": "application"}, "group": find("authentik_core.group", "name", group)},
            {"order": order, "enabled": True},
        )
        for order, group in enumerate(groups)
    ]


def _address(url: str, argument: str) -> str:
    if not _is_address(url):
        raise Refused("bad-address", f"{argument}: right would be an address like https://grafana.example.org/login.")
    return url


def _is_address(url: str) -> bool:
    """Whether a browser could open it, and nobody's password stands in it."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0  # of one that is no port at all it raises
            and not (parts.username or parts.password)
        )
    except ValueError:
        return False


def host_of(external_host: str) -> str:
    return urlsplit(_address(external_host, "external_host")).hostname or ""


# ── outposts ─────────────────────────────────────────────────────────────────────────────────────


def attached(spec: Spec, outpost: str, provider: str) -> Spec:
    """The blueprint of an outpost with one more provider on its list."""
    entries = [
        {**one, "attrs": {**one["attrs"], "providers": [*one["attrs"].get("providers", []), _proxy(provider)]}}
        if one.get("model") == models.OUTPOST and one.get("identifiers") == {"name": outpost}
        else one
        for one in spec["entries"]
    ]
    return {**spec, "entries": entries}


def detached(spec: Spec, providers: Sequence[str]) -> Spec | None:
    """The blueprint without these providers on any list of an outpost; None where it names none of them."""
    gone = [_proxy(provider) for provider in providers]
    listed = spec.get("entries") if isinstance(spec, dict) else None
    if not isinstance(listed, list) or not any(_lists(one, gone) for one in listed):
        return None
    entries = [
        {
            **one,
            "attrs": {**one["attrs"], "providers": [each for each in one["attrs"]["providers"] if each not in gone]},
        }
        if _lists(one, gone)
        else one
        for one in listed
    ]
    return {**spec, "entries": entries}


def _lists(one: Mapping[str, Any], gone: Sequence[Any]) -> bool:
    listed = one.get("attrs", {}).get("providers") if one.get("model") == models.OUTPOST else None
    return isinstance(listed, list) and any(each in gone for each in listed)


def outpost(name: str, providers: Sequence[str]) -> Spec:
    listed = {"type": "proxy", "providers": [_proxy(provider) for provider in providers]}
    return blueprint(f"{name}: whom it answers for", entry(models.OUTPOST, {"name": name}, listed))


def holds_outpost(spec: Spec, name: str) -> bool:
    listed = spec.get("entries") if isinstance(spec, dict) else None
    return isinstance(listed, list) and any(
        one.get("model") == models.OUTPOST and one.get("identifiers") == {"name": name} and "attrs" in one
        for one in listed
    )


def _proxy(provider: str) -> dict[str, Any]:
    return find(models.PROXY, "name", provider)


# ── flows and brands ─────────────────────────────────────────────────────────────────────────────


def flow(slug: str, title: str, designation: str, asks: str, steps: Sequence[Step]) -> Spec:
    """A flow with its stages and when each comes."""
    attrs = {"name": title, "title": title, "designation": designation, "authentication": asks}
    stages = {(one.kind, one.name): f"stage-{number}" for number, one in enumerate(steps)}
    made = [
        entry(STAGE_MODELS[kind], {"name": name}, _settings(steps, kind, name), id)
        for (kind, name), id in stages.items()
    ]
    bindings = [
        entry(
            models.STAGE_BINDING,
            {"target": {"!KeyOf": "flow"}, "stage": {"!KeyOf": stages[one.kind, one.name]}, "order": one.order},
            {},
        )
        for one in sorted(steps, key=lambda one: one.order)
    ]
    return blueprint(title, entry(models.FLOW, {"slug": slug}, attrs, "flow"), *made, *bindings)


def _settings(steps: Sequence[Step], kind: str, name: str) -> dict[str, Any]:
    return next(one.settings for one in steps if (one.kind, one.name) == (kind, name))


def brand(domain: str, fields: Mapping[str, Any], flows: Mapping[Any, str]) -> Spec:
    used = {f"flow_{purpose}": find(models.FLOW, "slug", slug) for purpose, slug in sorted(flows.items())}
    return blueprint(f"{domain}: how it looks", entry(models.BRAND, {"domain": domain}, {**fields, **used}))


# ── what asks authentik ──────────────────────────────────────────────────────────────────────────


def middleware(outpost_url: str) -> Spec:
    """The middleware that asks an outpost about each request."""
    base = _address(outpost_url, "outpost_url").rstrip("/")
    told = list(_TOLD)
    return {"forwardAuth": {"address": base + _ASK_PATH, "trustForwardHeader": True, "authResponseHeaders": told}}
