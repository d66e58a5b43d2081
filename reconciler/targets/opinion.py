"""A second opinion from the same API: what its lists say, where its one big answer says something bad of us."""

from __future__ import annotations

from typing import Final

from reconciler.traefik.api import KINDS, Json, Runtime, TraefikApi, item

CONTRADICTION: Final = "Traefik's API contradicts itself: /api/rawdata and its single answers and lists do not agree"


def listed(api: TraefikApi) -> Runtime:
    """All that runs, put together from the lists. Several answers, so perhaps of several generations.

    Raises ApiError.
    """
    return Runtime(
        items={kind: {str(one.get("name", "")): item(one) for one in _list(api, kind)} for kind in KINDS.values()}
    )


def _list(api: TraefikApi, kind: str) -> list[Json]:
    protocol, section = kind.split(".")
    ask = {"routers": api.routers, "services": api.services, "middlewares": api.middlewares}[section]
    return ask(protocol)
