"""Why a request fails: causes in the order of belief, each with its sentence and the next step. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pydantic import BaseModel, Field

from shards.facts import Facts, Wanted
from state.sparing import dataclass

_GATEWAY_ERRORS: Final = frozenset({502, 503, 504})
_OF_MIDDLEWARES: Final = frozenset({301, 302, 303, 307, 308, 401, 403, 413, 429})
_MOST_BESIDES: Final = 3


class Finding(BaseModel):
    """A cause that fits what is known."""

    cause: str = Field(description="a stable word for it")
    said: str
    next: str = Field(description="what to do, by which tool or by whom")


@dataclass(frozen=True)
class Cause:
    """A cause: `holds` gives the sentence where it fits, "" where it does not; `next` may name {route}."""

    code: str
    holds: Callable[[Facts], str]
    next: str


def likely(facts: Facts) -> list[Finding]:
    """Every cause that fits, the most likely first; there is always one, be it that too little is known."""
    found = [(cause, said) for cause in CAUSES if (said := cause.holds(facts))]
    chosen = found[: 1 + _MOST_BESIDES] or [(TOO_LITTLE, _too_little(facts))]
    return [Finding(cause=cause.code, said=said, next=_filled(cause.next, facts)) for cause, said in chosen]


def _filled(text: str, facts: Facts) -> str:
    names = (
        facts.explained.router if facts.explained else "",
        *(one.name for one in facts.wanted),
        facts.subject.route,
    )
    return text.replace("{route}", next(filter(None, names), "the route"))


# ── what everything rests on ─────────────────────────────────────────────────────────────────────


def _target_lost(facts: Facts) -> str:
    return f"Traefik cannot be seen: {facts.instance.lost}" if facts.instance.lost else ""


def _by_tcp(facts: Facts) -> str:
    one = facts.explained
    if one is None or one.taken_by == "http":
        return ""
    if one.taken_by == "tcp":
        return f"a TCP router has the whole connection, so no HTTP router is ever asked: {one.reason}"
    return f"Traefik closes the connection: {one.reason}"


def _tie(facts: Facts) -> str:
    tied = facts.explained.tied if facts.explained else ()
    return f"{' and '.join(tied)} match with the same priority: chance decides at every reload" if tied else ""


# ── a route that should be there and is not ──────────────────────────────────────────────────────


def _stale(facts: Facts) -> bool:
    """Whether what is served may not be what is desired."""
    return bool(facts.unserved) or (facts.nobody_takes_it and bool(facts.wanted))


def _poison(facts: Facts) -> str:
    poison = facts.instance.poison
    if not poison or not (_stale(facts) or facts.nobody_takes_it):
        return ""
    file, why = next(iter(poison.items()))
    return f"Traefik loads nothing from its directory any more because of {file}: {why}"


def _quarantined(facts: Facts) -> str:
    if not facts.quarantined:
        return ""
    names = ", ".join(facts.quarantined)
    return f"{names} was applied, refuted by Traefik and taken back; it stays out until it is changed"


def _disabled(facts: Facts) -> str:
    if facts.explained and facts.explained.disabled:
        return f"a router that should take it is disabled: {facts.explained.disabled[0]}"
    mine = {one.address for one in facts.wanted}
    words = [f"{address}: {why}" for address, why in facts.instance.disabled.items() if address in mine]
    return f"Traefik has disabled {words[0]}" if words else ""


def _not_written(facts: Facts) -> str:
    trouble = facts.instance.write_failed or facts.main.failed
    return f"what is desired could not be applied: {trouble}" if trouble and _stale(facts) else ""


def _held(facts: Facts) -> str:
    stopped = facts.main.state in ("held", "refuted", "lost")
    return f"what is desired is not applied: {facts.main.said}" if stopped and _stale(facts) else ""


def _unseen(facts: Facts) -> str:
    trouble = facts.instance.unserved or facts.instance.failure
    return f"Traefik does not serve what was written for it: {trouble}" if trouble and _stale(facts) else ""


def _by_hand(facts: Facts) -> str:
    return "; ".join(f"{address} was changed by hand: it {what}" for address, what in facts.drifted.items())


def _not_applied(facts: Facts) -> str:
    missing = facts.unserved
    if not missing:
        return ""
    return f"{missing[0].address} is desired and {_how(missing[0])}: {facts.main.said or 'no pass brought it yet'}"


def _how(one: Wanted) -> str:
    return "not live" if one.live == "missing" else "live otherwise"


# ── what stands behind the route ─────────────────────────────────────────────────────────────────


def _gone_behind(facts: Facts) -> bool:
    """Whether what was seen may come of something behind the route that does not run: of labels that went with their
    container as well."""
    status = facts.subject.status
    return status is None or status >= 500 or facts.nobody_takes_it


def _deploy(facts: Facts) -> str:
    return facts.cause("deploys") if _gone_behind(facts) else ""


def _container(facts: Facts) -> str:
    return facts.cause("containers") if _gone_behind(facts) else ""


def _identity(facts: Facts) -> str:
    """Whatever was seen: an outpost that does not know the host answers 404 itself."""
    status = facts.subject.status
    return facts.cause("identity") if status is None or status >= 300 else ""


# ── a request that no route is for ───────────────────────────────────────────────────────────────


def _another_door(facts: Facts) -> str:
    """There is a router for the host, at another entry point or with TLS where the request comes without."""
    one = facts.explained
    if not facts.nobody_takes_it or one is None:
        return ""
    serving = [each for each in facts.claimed if not each.disabled]
    if not serving or any(each.tls == one.tls and one.entry_point in each.entry_points for each in serving):
        return ""
    there = serving[0]
    comes = f"at {one.entry_point} {'with' if one.tls else 'without'} TLS"
    stands = f"at {', '.join(there.entry_points)} {'with' if there.tls else 'without'} TLS"
    return f"the request comes {comes}, and {there.router}, which is for this host, serves {stands}"


def _another_path(facts: Facts) -> str:
    serving = [each.router for each in facts.claimed if not each.disabled]
    if not facts.nobody_takes_it or not serving:
        return ""
    rules = "; ".join(f"{one.name}: {one.rule}" for one in facts.wanted)
    return f"{', '.join(serving)} is for this host, and its rule asks for more than this request has{_in_words(rules)}"


def _in_words(rules: str) -> str:
    return f" ({rules})" if rules else ""


def _waiting(facts: Facts) -> str:
    not_wanted = not facts.wanted and "desired" not in facts.missing
    if not (facts.nobody_takes_it or not_wanted) or not facts.waiting:
        return ""
    one = facts.waiting[0]
    return f"there is no such route yet; proposal {one.id} ({one.title}) waits for a person's approval"


def _no_route(facts: Facts) -> str:
    nowhere = not facts.wanted and not facts.claimed
    if not nowhere or {"desired", "live"} & facts.missing.keys():
        return ""
    if facts.explained is None or facts.nobody_takes_it:
        return (
            f"nobody wants a route for {facts.subject.host or facts.subject.route}: none is desired, and none is live"
        )
    return ""


def _taken(facts: Facts) -> str:
    """Another router than the one that was named."""
    one, route = facts.explained, facts.subject.route.removesuffix("@file")
    if one is None or not one.router or not route:
        return ""
    foreign = not facts.wanted and "@" not in route  # it may have been named without its provider
    if one.router == route or (foreign and one.router.rpartition("@")[0] == route):
        return ""
    return f"{one.router} takes the request instead of {route}: {one.reason}"


# ── a request that is passed on ──────────────────────────────────────────────────────────────────


def _backend_down(facts: Facts) -> str:
    dead = facts.dead
    fits = facts.subject.status is None or facts.subject.status >= 500
    if not dead or not fits:
        return ""
    many = "none of its backends answers" if len(dead) == len(facts.backends) else "one of its backends does not answer"
    return f"{many}: {dead[0].url}, {dead[0].error}"


def _certificate(facts: Facts) -> str:
    found = [each for one in facts.certificates for each in one.trouble if each.code != "expires-soon"]
    fits = facts.subject.https and facts.subject.status is None
    return f"visitors are warned or turned away: {found[0].said}" if found and fits else ""


def _middleware(facts: Facts) -> str:
    one = facts.explained
    if one is None or not one.router or not one.middlewares or facts.subject.status not in _OF_MIDDLEWARES:
        return ""
    return f"{facts.subject.status} is what a middleware of {one.router} answers: {', '.join(one.middlewares)}"


def _unreached(facts: Facts) -> str:
    if facts.subject.status not in _GATEWAY_ERRORS or not facts.backends or facts.dead:
        return ""
    return f"the backends answer from here, and Traefik cannot reach them or waits too long: {facts.backends[0].url}"


def _traefik_itself(facts: Facts) -> str:
    one = facts.explained
    if one is None or one.router or one.status is None or facts.nobody_takes_it:
        return ""
    return f"Traefik itself answers {one.status}: {one.reason}"


def _application(facts: Facts) -> str:
    one = facts.explained
    if one is None or not one.router or facts.subject.status is None or facts.dead:
        return ""
    passed = f"Traefik passes the request on through {one.router}"
    return f"{passed}; {facts.subject.status} comes from what is behind it{_alive(facts)}"


def _alive(facts: Facts) -> str:
    return f", which answers ({facts.backends[0].url})" if facts.backends else ""


def _nobody_can_tell(facts: Facts) -> str:
    one = facts.explained
    return f"nobody can tell who serves the request: {one.unknown}" if one and one.unknown else ""


def _all_is_well(facts: Facts) -> str:
    one = facts.explained
    if one is None or not one.router or facts.unasked:
        return ""
    return f"nothing is wrong as far as can be seen: {one.router} serves it{_alive(facts)}"


CAUSES: Final = (
    Cause("target-lost", _target_lost, "A person sees that Traefik runs and its API answers; see gateway_status."),
    Cause("not-http", _by_tcp, "Change the TCP router, or let the host's HTTP router have TLS; see explain_request."),
    Cause("tie", _tie, "Give one of them a priority with update_route."),
    Cause("poison", _poison, "A person mends or removes that file; then all that waits is loaded at once."),
    Cause("quarantined", _quarantined, "See route_history of {route}, then propose a corrected one (update_route)."),
    Cause("disabled", _disabled, "Mend what Traefik names (update_route, add_dynamic_config), or its owner does."),
    Cause("not-written", _not_written, "A person mends that; the next pass applies it (reload_config asks for one)."),
    Cause("held", _held, "See plan_changes for what holds it; a person agrees to it or corrects main."),
    Cause("not-served", _unseen, "A person sees that Traefik reads the directory; waypost doctor tells more."),
    Cause("hand-edit", _by_hand, "See drift_report; a person heals, adopts or accepts it."),
    Cause("not-applied", _not_applied, "reload_config asks for a pass and tells what it comes to."),
    Cause("deploy-failed", _deploy, "See what the deploy said (its shard); a person corrects the stack or rolls back."),
    Cause("container-down", _container, "tail_logs of the container says why; a person starts it, or its deploy does."),
    Cause("waiting", _waiting, "A person reviews it (proposals_get shows it); nothing else is needed."),
    Cause("another-door", _another_door, "Add the entry point or TLS with update_route {route}, or use the other."),
    Cause("another-path", _another_path, "Change path_prefix or rule (update_route {route}), or ask for another path."),
    Cause("no-route", _no_route, "Propose one with create_route."),
    Cause("taken", _taken, "Give {route} a higher priority (update_route), or the other a narrower rule."),
    Cause("backend-down", _backend_down, "A person starts it, or update_route {route} with the right service_url."),
    Cause("certificate", _certificate, "check_ssl_status tells what to do about it."),
    Cause("identity", _identity, "See the application in its shard; a person corrects who may in, and how."),
    Cause("middleware", _middleware, "See list_middlewares; update_route {route} takes off what should not be there."),
    Cause("unreached", _unreached, "A person sees that Traefik's machine reaches that address (network, firewall)."),
    Cause("traefik-answers", _traefik_itself, "See explain_request for the whole answer."),
    Cause("application", _application, "Look into the application itself: its own log and settings tell why."),
    Cause("nobody-can-tell", _nobody_can_tell, "Mend what is unknown first, then ask again."),
    Cause("all-is-well", _all_is_well, "Ask again with the exact address and the status that was seen."),
)  # fmt: skip
"""The table, in the order of belief: what everything rests on, then whether the route is there, then what is behind."""

TOO_LITTLE: Final = Cause(
    "too-little-known", lambda facts: "", "See what is missing among the evidence, then ask again."
)


def _too_little(facts: Facts) -> str:
    return f"too little is known: {'; '.join(f'{one}: {why}' for one, why in facts.unasked.items()) or 'nothing fits'}"
