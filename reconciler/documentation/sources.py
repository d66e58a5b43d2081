"""Whose word counts: where each system's own people publish, and nothing else in the world. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

_VERSION = re.compile(r"v?([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:\.[0-9]{1,4})?(?:[-+][A-Za-z0-9.-]{1,30})?")
_STANDS_FOR_VERSION: Final = r"[0-9]{1,4}(?:[.-][0-9]{1,4}){0,2}"
_ODD = re.compile(r"[^A-Za-z0-9:/._~!$&'()*+,;=@-]|//.*//|/\.{1,2}(?:/|$)|@.*@")
"""Percent signs, backslashes, empty or climbing steps: what two readers of one address may understand differently."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The official documentation of one system.

    `bases` are beginnings of addresses that may be fetched, `homes` where documentation starts, that of one version
    before that of the newest; `{version}` stands for 3.7 and `{dashed}` for 3-7. `indexes` are looked for below a
    home, the first that is there is used; one that begins with a slash is the site's, and lists all versions. What is
    at one of the `settled` bases changes whole, or not at all.
    """

    system: str
    bases: tuple[str, ...]
    homes: tuple[str, ...]
    indexes: tuple[str, ...]
    releases: str
    settled: tuple[str, ...] = ()

    def starts(self, version: str) -> list[tuple[str, str]]:
        """Where to look, with what version that is ("" the newest), the best first. `version` may be ""."""
        found = _VERSION.fullmatch(version)
        short = ".".join(part for part in (found.groups() if found else ()) if part)
        filled = {"version": short, "dashed": short.replace(".", "-")}
        return [
            (home.format(**filled), short if "{" in home else "") for home in self.homes if short or "{" not in home
        ]

    def is_of(self, home: str, address: str) -> bool:
        """Whether a page is of what starts at this home: below it, and not of another version that starts there."""
        others = (one for one in self.homes if "{" in one and not _begins(one).match(home))
        return address.startswith(home) and not any(_begins(one).match(address) for one in others)

    def publishes(self, address: str) -> bool:
        """Whether this address is one of theirs."""
        return any(_begins(base).match(address) for base in self.bases)


OFFICIAL: Final = (
    Source(
        system="traefik",
        bases=("https://doc.traefik.io/traefik/", "https://raw.githubusercontent.com/traefik/traefik/"),
        homes=("https://doc.traefik.io/traefik/v{version}/", "https://doc.traefik.io/traefik/"),
        indexes=("search/search_index.json", "sitemap.xml"),
        releases="https://github.com/traefik/traefik/releases",
        settled=("https://raw.githubusercontent.com/",),
    ),
    Source(
        system="authentik",
        bases=(
            "https://docs.goauthentik.io/",
            "https://version-{version}.goauthentik.io/",
            "https://raw.githubusercontent.com/goauthentik/authentik/",
        ),
        homes=("https://version-{dashed}.goauthentik.io/", "https://docs.goauthentik.io/"),
        indexes=("llms.txt", "sitemap.xml"),
        releases="https://docs.goauthentik.io/releases/",
        settled=("https://raw.githubusercontent.com/",),
    ),
    Source(
        system="gitea",
        bases=("https://docs.gitea.com/", "https://raw.githubusercontent.com/go-gitea/"),
        homes=("https://docs.gitea.com/{version}/", "https://docs.gitea.com/"),
        indexes=("/sitemap.xml",),
        releases="https://github.com/go-gitea/gitea/releases",
        settled=("https://raw.githubusercontent.com/",),
    ),
    Source(
        system="komodo",
        bases=("https://komo.do/", "https://raw.githubusercontent.com/moghtech/komodo/"),
        homes=("https://komo.do/",),
        indexes=("sitemap.xml",),
        releases="https://github.com/moghtech/komodo/releases",
        settled=("https://raw.githubusercontent.com/",),
    ),
    Source(
        system="dozzle",
        bases=("https://dozzle.dev/", "https://raw.githubusercontent.com/amir20/dozzle/"),
        homes=("https://dozzle.dev/",),
        indexes=("llms.txt", "sitemap.xml"),
        releases="https://github.com/amir20/dozzle/releases",
        settled=("https://raw.githubusercontent.com/",),
    ),
)
"""Every source there is. To add one is a decision of this program, and of no file and no model."""


def source_of(address: str, sources: Iterable[Source]) -> Source | None:
    """Who publishes at this address: None where it is nobody's whom we believe."""
    if fault(address):
        return None
    return next((one for one in sources if one.publishes(address)), None)


def named(system: str, sources: Sequence[Source]) -> Source | None:
    return next((one for one in sources if one.system == system), None)


def fault(address: str) -> str:
    """Why this is no address that can be fetched as it stands, in words; "" where it is one."""
    if len(address) > 1_000 or _ODD.search(address):
        return "the address holds characters that documentation does not need (%, ?, #, \\, .., or a space)"
    try:
        parts = urlsplit(address)
        given = parts.hostname, parts.port
    except ValueError:
        return "this is no address"
    if parts.scheme not in ("https", "http") or not given[0]:
        return "this is no web address"
    return "the address names an account" if "@" in parts.netloc else ""


def host_and_port(address: str) -> tuple[str, int]:
    """Of an address without `fault`."""
    parts = urlsplit(address)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


@lru_cache(128)
def _begins(base: str) -> re.Pattern[str]:
    return re.compile(re.escape(base).replace(r"\{version\}", _STANDS_FOR_VERSION))
