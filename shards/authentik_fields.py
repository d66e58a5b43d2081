"""The arguments of the authentik shard's tools: each explained once, in words that a model reads."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reconciler.authentik import models

_SLUG = r"^[a-z0-9][a-z0-9-]{0,49}$"
_StageKind = Literal[
    "authenticator_static", "authenticator_totp", "authenticator_validate", "authenticator_webauthn", "consent",
    "deny", "identification", "password", "redirect", "user_login", "user_logout",
]  # fmt: skip

STAGE_MODELS = {one.partition("_stages_")[2].partition(".")[0]: one for one in models.STAGES}
"""How a stage is called in a tool -> its model."""

InstanceName = Annotated[str, Field(description="Which authentik, where the desired repo declares several.")]
TraefikName = Annotated[str, Field(description="Which Traefik gets the route, where there are several.")]
Slug = Annotated[str, Field(pattern=_SLUG, description="Short name in addresses, also of its file: a-z, 0-9, '-'.")]
Title = Annotated[str, Field(min_length=1, max_length=100, description="What people read.")]
ProviderKind = Annotated[
    Literal["forward_auth", "oauth2"],
    Field(description="forward_auth: the proxy asks authentik about every request; oauth2: the application itself "
    "signs people in with OpenID Connect."),
]  # fmt: skip
ExternalHost = Annotated[
    str, Field(max_length=500, description="The address that people open: https://grafana.example.org.")
]
RedirectUris = Annotated[
    tuple[str, ...],
    Field(max_length=20, description="oauth2: where a sign-in may end, exactly as the application asks for it."),
]
ClientType = Annotated[
    Literal["confidential", "public"],
    Field(description="oauth2: public only for applications that cannot keep a secret (browser, phone)."),
]
Groups = Annotated[
    tuple[str, ...],
    Field(max_length=20, description="Names of groups of authentik whose members may use it. Empty: everybody."),
]
FlowSlug = Annotated[str, Field(pattern=_SLUG, description="Slug of a flow that is there.")]
Outpost = Annotated[
    str, Field(max_length=100, description="forward_auth: the outpost that answers. Empty: attach to none.")
]
Reason = Annotated[
    str, Field(min_length=3, max_length=2000, description="Why, for the person who reviews: goes into the commit.")
]
BlueprintName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name of a blueprint: its file, without .yaml."),
]
Content = Annotated[str, Field(max_length=200_000, description="A native blueprint, as YAML.")]
Designation = Annotated[
    Literal["authentication", "authorization", "invalidation", "enrollment", "unenrollment", "recovery",
            "stage_configuration"],
    Field(description="What the flow is for."),
]  # fmt: skip
FlowAsks = Annotated[
    Literal["none", "require_authenticated", "require_unauthenticated", "require_superuser", "require_redirect",
            "require_outpost"],
    Field(description="Who may enter the flow at all."),
]  # fmt: skip
Domain = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,199}$",
        description="The brand's domain; authentik-default is its first one.",
    ),
]
Branding = Annotated[str | None, Field(max_length=500, description="None: as it is.")]
BrandFlows = Annotated[
    dict[Literal["authentication", "invalidation", "recovery", "unenrollment", "user_settings", "device_code"], str]
    | None,
    Field(max_length=6, description="Which flow (by slug) this brand uses for what. None: as it is."),
]


class Step(BaseModel):
    """One step of a flow: a stage, and when it comes."""

    model_config = ConfigDict(extra="forbid")

    kind: _StageKind
    name: str = Field(min_length=1, max_length=100, description="Name of the stage; others may use it too.")
    order: int = Field(ge=0, le=10_000)
    settings: dict[str, Any] = Field(
        default_factory=dict,
        max_length=100,
        description="Fields of the stage as authentik names them; a reference is written "
        "{'!Find': ['authentik_flows.flow', ['slug', 'x']]}.",
    )


Steps = Annotated[list[Step], Field(min_length=1, max_length=30, description="The stages of the flow.")]


class Route(BaseModel):
    """The route to the application, in the same proposal."""

    model_config = ConfigDict(extra="forbid")

    service_url: str | Annotated[list[str], Field(max_length=100)] = Field(
        description="Where the application runs: http://127.0.0.1:3000."
    )
    entry_points: list[str] = Field(default_factory=list, max_length=20, description="Empty: Traefik's default ones.")
    tls: bool = False
    cert_resolver: str = Field(default="", max_length=100)
    middleware: str = Field(
        default="authentik",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="forward_auth: the middleware that asks authentik; it is made where it is not there yet.",
    )
    outpost_url: str = Field(
        default="",
        max_length=500,
        description="forward_auth, where the middleware is new: how Traefik reaches the outpost, "
        "e.g. http://authentik-server:9000.",
    )


WantedRoute = Annotated[
    Route | None, Field(description="Also propose the Traefik route (and what asks authentik), with one plan for both.")
]
