"""The doctor's look at documentation: whether official sources can be reached, and how the watched pages stand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from reconciler.config import Settings
from reconciler.doctor.finding import Finding, ok, warn
from reconciler.documentation.fetching import Failed, Fetcher, Gone, Refused
from reconciler.documentation.sources import OFFICIAL
from reconciler.home import Home
from reconciler.ports import Clock
from state import views
from state.documentation import Documentation
from state.errors import LogError
from state.log import EventLog

_SOURCES: Final = "documentation: sources"
_ANSWERS: Final = "Questions are answered from copies meanwhile, where there are any; nothing else depends on it"


def examine(home: Home, clock: Clock, fetcher: Fetcher | None) -> Iterator[Finding]:
    """What is wrong with it keeps nobody from working, so it is no failure. Without a fetcher nobody is asked."""
    known = _known(home, clock)
    if known.pages or known.problems:
        yield _watched(known)
    systems = _systems(home.settings)
    if fetcher:
        yield _reached({one.system: one.homes[-1] for one in fetcher.sources if one.system in systems}, fetcher)
    else:
        named = ", ".join(one.system for one in OFFICIAL if one.system in systems)
        yield ok(
            _SOURCES, f"the official pages of {named}; `waypost doctor --docs` tries whether they can be read here"
        )


def _known(home: Home, clock: Clock) -> Documentation:
    """What the log knows of watched pages; nothing where it does not open, of which another check says why."""
    with (
        contextlib.suppress(LogError),
        contextlib.closing(EventLog.open(home.log_path, now=clock.now, readonly=True)) as log,
    ):
        return log.view(views.Documentation)
    return Documentation()


def _watched(known: Documentation) -> Finding:
    check = "documentation: watched"
    if known.problems:
        return warn(check, f"docs/watch.yaml: {known.problems[0]}", "Correct that file in the desired repo")
    if known.unreached:
        page, how = next(iter(known.unreached.items()))
        found = f"{len(known.unreached)} of {len(known.pages)} pages cannot be read, such as {page}: {how.reason}"
        return warn(check, found, "`waypost docs --now` tries again; nobody knows meanwhile whether they changed")
    if known.unread or known.gone:
        news = len(known.unread.keys() | known.gone.keys())
        return ok(check, f"{len(known.pages)} pages, {news} of them with news: `waypost docs`")
    return ok(check, f"{len(known.pages)} pages, nothing unread")


def _reached(starts: Mapping[str, str], fetcher: Fetcher) -> Finding:
    with ThreadPoolExecutor(max_workers=len(starts) or 1) as pool:
        outcomes = dict(zip(starts, pool.map(fetcher.fetch, starts.values()), strict=True))
    away = {name: one.reason for name, one in outcomes.items() if isinstance(one, Failed | Gone | Refused)}
    if away:
        name, reason = next(iter(away.items()))
        found = f"the official pages of {', '.join(away)} cannot be read from here ({name}: {reason})"
        return warn(_SOURCES, found, f"See that this machine reaches them, and WAYPOST_CA_FILE. {_ANSWERS}")
    return ok(_SOURCES, f"the official pages of {', '.join(starts)} can be read from here")


def _systems(settings: Settings) -> set[str]:
    addresses = {
        "komodo": settings.komodo_url, "authentik": settings.authentik_url, "gitea": settings.gitea_url,
        "dozzle": settings.dozzle_url,
    }  # fmt: skip
    written = {one.kind for one in settings.systems}
    return {"traefik", *written, *(name for name, address in addresses.items() if address)}
