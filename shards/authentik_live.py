"""What an authentik says of itself, asked with an account that may only look: applications, outposts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reconciler.asking import AskError
from reconciler.setting import ConfigError, Secret
from shards.resting import Resting
from shards.untrusted import short

_MOST_PAGES: Final = 50
_MOST_TEXT: Final = 300  # characters of one field


class LiveError(Exception):
    """authentik could not be asked; the message says why."""


@dataclass(frozen=True, kw_only=True)
class AuthentikAt:
    """Where the authentik of an instance is, and the token that it is looked at with, where there is one."""

    instance: str = "authentik"
    url: str
    token: Secret | None = None


@dataclass(frozen=True)
class LiveApplication:
    """One application as authentik has it. `provider` is "" where nobody signs in to it."""

    slug: str
    name: str
    provider: str
    sort: str
    launch_url: str


class Live:
    """Looks at one authentik. What it answers is data from elsewhere; only named fields of it are taken."""

    def __init__(self, at: AuthentikAt, ca_file: Path | None = None) -> None:
        self._instance = at.instance
        self._token = at.token
        self._asking = Resting("authentik", at.url.rstrip("/").removesuffix("/api/v3"), ca_file)

    def close(self) -> None:
        self._asking.close()

    def version(self) -> str:
        """Which authentik this is; "" where it does not say, or not to this account."""
        try:
            return _text(self._get("/admin/version/", {}), "version_current")
        except LiveError:
            return ""

    def applications(self) -> list[LiveApplication]:
        """Every application, whoever may use it. Raises LiveError."""
        return [_application(one) for one in self._pages("/core/applications/", superuser_full_list="true")]

    def attached(self, outpost: str) -> list[str]:
        """The names of the providers that an outpost answers for, in its order. Raises LiveError."""
        found = self._pages("/outposts/instances/", name__iexact=outpost)
        served = next((one.get("providers_obj") for one in found if one.get("name") == outpost), None)
        listed = served if isinstance(served, list) else []
        return [_text(one, "name") for one in listed if isinstance(one, dict)]

    def _pages(self, path: str, **query: str) -> Iterator[Mapping[str, Any]]:
        number = 1
        for _ in range(_MOST_PAGES):
            answer = self._get(path, {**query, "page": str(number), "page_size": "100"})
            results = answer.get("results")
            yield from (one for one in (results if isinstance(results, list) else ()) if isinstance(one, dict))
            pagination = answer.get("pagination")
            following = pagination.get("next") if isinstance(pagination, dict) else None
            if not isinstance(following, int | float) or not number < following < 1_000_000:
                return
            number = int(following)

    def _get(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            headers = {"Authorization": f"Bearer {self._token.reveal() if self._token else ''}"}
            reply = self._asking.get(f"/api/v3{path}", list(query.items()), headers)
            if reply.status != 200:
                raise LiveError(f"authentik answers with status {reply.status}; see {what_looks(self._instance)}")
            answer = reply.json()
        except (AskError, ConfigError) as fault:
            raise LiveError(str(fault)) from None
        if not isinstance(answer, dict):
            raise LiveError("it does not answer as authentik does")
        return answer


def _application(one: Mapping[str, Any]) -> LiveApplication:
    provider = one.get("provider_obj")
    provider = provider if isinstance(provider, dict) else {}
    return LiveApplication(
        slug=_text(one, "slug"),
        name=_text(one, "name"),
        provider=_text(provider, "name"),
        sort=_text(provider, "verbose_name"),
        launch_url=plain_url(_text(one, "launch_url")),
    )


def _text(one: Mapping[str, Any], key: str) -> str:
    value = one.get(key)
    return " ".join(short(value, _MOST_TEXT).split()) if isinstance(value, str) else ""


def version(alive: Mapping[str, Live], instance: str) -> str:
    """Which authentik an instance is; "" where it does not say, or may not be looked at."""
    return alive[instance].version() if instance in alive else ""


def what_looks(instance: str) -> str:
    """What a person sets so that the gateway may look at an authentik."""
    return "WAYPOST_AUTHENTIK_READ_TOKEN" if instance == "authentik" else f"read_token of [{instance}] in targets.toml"


def plain_url(url: str) -> str:
    """Where an address leads, without what may let somebody in there: an account, a query, a fragment."""
    bare = url.partition("#")[0].partition("?")[0]
    scheme, slashes, rest = bare.partition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}" if slashes else bare
