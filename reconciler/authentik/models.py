"""Which models of authentik a blueprint may hold, which fields those have, and which may only be referred to.

The fields come from authentik's own published schema of blueprints, cut down to these models: blueprint-schema.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

APPLICATION: Final = "authentik_core.application"
PROXY: Final = "authentik_providers_proxy.proxyprovider"
OAUTH2: Final = "authentik_providers_oauth2.oauth2provider"
OUTPOST: Final = "authentik_outposts.outpost"
FLOW: Final = "authentik_flows.flow"
STAGE_BINDING: Final = "authentik_flows.flowstagebinding"
POLICY_BINDING: Final = "authentik_policies.policybinding"
BRAND: Final = "authentik_brands.brand"

STAGES: Final = frozenset(
    f"authentik_stages_{name}"
    for name in (
        "authenticator_static.authenticatorstaticstage", "authenticator_totp.authenticatortotpstage",
        "authenticator_validate.authenticatorvalidatestage", "authenticator_webauthn.authenticatorwebauthnstage",
        "consent.consentstage", "deny.denystage", "identification.identificationstage", "password.passwordstage",
        "redirect.redirectstage", "user_login.userloginstage", "user_logout.userlogoutstage",
    )
)  # fmt: skip
"""Stages that only put steps together. Others run code, load scripts, hold keys, or make and delete people."""

ALLOWED: Final = STAGES | {APPLICATION, PROXY, OAUTH2, OUTPOST, FLOW, STAGE_BINDING, POLICY_BINDING, BRAND}

KEPT: Final = frozenset({BRAND, OUTPOST})
"""Models that other things live by: what leaves a file is taken away in authentik, but these are let go of."""

_OTHERS_CODE = "it holds code that authentik runs; a person changes it in authentik"
REFUSED: Final[Mapping[str, str]] = {
    "authentik_core.user": "accounts are people's; a person changes them in authentik",
    "authentik_core.group": "who belongs to a group is people's; a person changes it in authentik",
    "authentik_core.token": "a token opens doors; a person makes it in authentik",
    "authentik_rbac.": "what somebody may do in authentik a person decides there",
    "authentik_policies_expression.": _OTHERS_CODE,
    "authentik_policies": "rules of who may do what a person writes in authentik; a binding may refer to one there",
    "authentik_providers_oauth2.scopemapping": _OTHERS_CODE,
    "authentik_sources_": "where people come from a person decides in authentik",
    "authentik_blueprints.": "blueprints do not call each other here; Waypost applies them in the order they need",
    "authentik_crypto.": "it holds a private key; refer to it with !Find",
    "authentik_stages_prompt.": _OTHERS_CODE,
    "authentik_stages_captcha.": "it loads a script from elsewhere into every login",
}
"""The beginnings of models of which it is known why they stay out of reach; the longest that fits tells."""

FINDABLE: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(STAGES, frozenset({"name"})),
    APPLICATION: frozenset({"slug", "name"}),
    PROXY: frozenset({"name"}),
    OAUTH2: frozenset({"name"}),
    OUTPOST: frozenset({"name", "managed"}),
    FLOW: frozenset({"slug"}),
    BRAND: frozenset({"domain"}),
    "authentik_core.group": frozenset({"name"}),
    "authentik_crypto.certificatekeypair": frozenset({"name", "managed"}),
    "authentik_policies_expression.expressionpolicy": frozenset({"name"}),
    "authentik_providers_oauth2.scopemapping": frozenset({"managed", "name", "scope_name"}),
    "authentik_providers_proxy.proxyscopemapping": frozenset({"managed", "name"}),
}
"""What `!Find` may look for, and by what. Any other question could be put so that the answer betrays a secret."""

SECRET_FIELDS: Final = frozenset({"client_secret"})
"""Fields of these models that hold a secret: only `!Context` may stand there."""

FORBIDDEN_FIELDS: Final[Mapping[tuple[str, str], str]] = {
    (POLICY_BINDING, "user"): "single accounts are out of reach here; bind a group",
    (OUTPOST, "service_connection"): "where containers are run a person decides in authentik",
}


def why_refused(model: str) -> str:
    """Why a model that is not allowed stays out of reach."""
    known = [start for start in REFUSED if model.startswith(start)]
    return REFUSED[max(known, key=len)] if known else "it is none of those that Waypost manages"


@cache
def published() -> Mapping[str, Any]:
    """The schema of each allowed model, by its name."""
    content = resources.files(__package__).joinpath("blueprint-schema.json").read_bytes()
    found: Mapping[str, Any] = orjson.loads(content)["models"]
    return found
