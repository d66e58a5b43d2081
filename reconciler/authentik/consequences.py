"""What a change of blueprints costs people: who can no longer sign in, who could without being asked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from reconciler.authentik import models
from reconciler.authentik.blueprint import (
    ABSENT,
    Entry,
    Identity,
    is_shipped,
    known_otherwise,
    leaving,
    meant,
    referred,
)
from reconciler.authentik.shape import tagged
from reconciler.core.plan import Change, Loss
from reconciler.core.policy import Policy
from state.model import Address, Snapshot, Spec, digest

Level = Literal["shown", "consent"]

_ASKS: Final = ("none", "require_unauthenticated", "require_token", "require_outpost", "require_redirect",
                "require_authenticated", "require_superuser")  # fmt: skip
"""What a flow asks of who enters it, from nothing to most."""


@dataclass(frozen=True)
class _Held:
    """One object, and the blueprint that holds it. `fields` tell of a reference which object it means."""

    address: Address
    entry: Entry
    fields: Mapping[str, Any]


def losses(instance: str, before: Snapshot, after: Snapshot, changes: Iterable[Change], policy: Policy) -> list[Loss]:
    """All that people would lose by these changes, each loss once."""
    was, will = _objects(before), _objects(after)
    was = {other: was[one] for one, other in known_otherwise(before, after).items()} | was
    found = [
        *_leaving(before, after),
        *_taken_away(was, will),
        *_changed(was, will),
        *_overruled(was, will),
        *_protected(instance, was, will, policy),
    ]
    return list({loss.key: loss for loss in found}.values())


def _objects(snapshot: Snapshot) -> dict[Identity, _Held]:
    return {
        identity: _Held(address, entry, fields)
        for address in sorted(snapshot)
        for identity, entry, fields in meant(snapshot[address])
    }


def _loss(held: _Held, guard: str, lost: str, level: Level = "shown", stake: Any = None) -> Loss:
    return Loss(guard=guard, address=str(held.address), lost=lost, level=level, stake=digest(stake))


# ── what goes ────────────────────────────────────────────────────────────────────────────────────


def _leaving(before: Snapshot, after: Snapshot) -> Iterator[Loss]:
    """Objects that stand in no blueprint any more."""
    was, left = _objects(before), leaving(before, after)
    for held in was.values():
        if held.entry in left.removed:
            yield _gone(held)
        elif held.entry in left.kept:
            lost = f"the {held.entry} would stay in authentik as it is, and nothing would look after it any more"
            yield _loss(held, "identity", lost)


def _taken_away(was: Mapping[Identity, _Held], will: Mapping[Identity, _Held]) -> Iterator[Loss]:
    """Objects that a blueprint says are to be absent."""
    for identity, held in will.items():
        if held.entry.state != ABSENT:
            continue
        earlier = was.get(identity)
        if earlier is None:
            lost = f"the {held.entry} would be removed, which no blueprint made"
            yield _loss(held, "identity", lost, "consent")
        elif earlier.entry.state != ABSENT:
            yield _gone(held)


def _gone(held: _Held) -> Loss:
    entry = held.entry
    if entry.model == models.APPLICATION:
        return _loss(held, "identity", f"people would no longer find and sign in to the {entry}")
    if entry.model in (models.PROXY, models.OAUTH2):
        return _loss(held, "identity", f"nobody would sign in through the {entry} any more")
    if entry.model == models.POLICY_BINDING:
        return _loss(held, "authentication", f"{_limit(entry)} would no longer say who may use {_target(entry)}")
    if entry.model == models.STAGE_BINDING:
        return _loss(held, "authentication", f"a step of {_target(entry)} would be removed", "consent")
    level: Level = "consent" if entry.model in (models.FLOW, models.BRAND, models.OUTPOST) else "shown"
    return _loss(held, "identity", f"the {entry} would be removed", level)


def _limit(entry: Entry) -> str:
    name = _named(entry.fields.get("group")) or _named(entry.fields.get("policy"))
    return f"'{name}'" if name else "a policy"


def _target(entry: Entry) -> str:
    name = _named(entry.fields.get("target"))
    return f"'{name}'" if name else "its target"


def _named(value: Any) -> str:
    """What a reference refers to, as far as it says so itself."""
    match tagged(value):
        case "!Find", [str(), [str(), str(name)], *_]:
            return name
        case "!KeyOf", str(id):
            return id
    return str(value) if isinstance(value, str | int) else ""


# ── what changes ─────────────────────────────────────────────────────────────────────────────────


def _changed(was: Mapping[Identity, _Held], will: Mapping[Identity, _Held]) -> Iterator[Loss]:
    for identity, held in will.items():
        earlier = was.get(identity)
        if earlier is None or ABSENT in (earlier.entry.state, held.entry.state):
            continue
        for judge in _JUDGES.get(held.entry.model, (_any_step,)):
            yield from judge(held, earlier.fields, held.fields)
        if earlier.entry.spec.get("conditions") != held.entry.spec.get("conditions"):
            yield _loss(held, "identity", f"when the {held.entry} counts would change", stake=held.entry.spec)


_Judge = Callable[[_Held, Spec, Spec], Iterator[Loss]]


def _differs(field: str, guard: str, words: str, level: Level = "shown") -> _Judge:
    """A loss whenever this field changes."""

    def judge(held: _Held, before: Spec, after: Spec) -> Iterator[Loss]:
        if before.get(field) != after.get(field):
            yield _loss(held, guard, words.format(held.entry), level, stake=after.get(field))

    return judge


def _becomes(field: str, value: Any, words: str) -> _Judge:
    """A loss of authentication once this field has that value."""

    def judge(held: _Held, before: Spec, after: Spec) -> Iterator[Loss]:
        if before.get(field) != after.get(field) == value:
            yield _loss(held, "authentication", words.format(held.entry), stake=value)

    return judge


def _open_paths(held: _Held, before: Spec, after: Spec) -> Iterator[Loss]:
    now = after.get("skip_path_regex")
    if now and now != before.get("skip_path_regex"):
        lost = f"paths that match {str(now)[:200]!r} would be answered by the {held.entry} without signing in"
        yield _loss(held, "authentication", lost, stake=now)


def _more_ends(held: _Held, before: Spec, after: Spec) -> Iterator[Loss]:
    """Where a sign-in may end decides who gets its tokens."""
    known = _listed(before.get("redirect_uris"))
    for one in _listed(after.get("redirect_uris")):
        if one not in known:
            url = one.get("url") if isinstance(one, dict) else one
            yield _loss(held, "authentication", f"sign-ins through the {held.entry} could also end at {url}", stake=one)


def _listed(value: Any) -> list[Any]:
    """What stands in authentik may be anything that a person wrote there."""
    return value if isinstance(value, list) else []


def _asks_less(held: _Held, before: Spec, after: Spec) -> Iterator[Loss]:
    was, will = str(before.get("authentication", "none")), str(after.get("authentication", "none"))
    ranks = [_ASKS.index(one) if one in _ASKS else 0 for one in (was, will)]
    if ranks[1] < ranks[0]:
        lost = f"the {held.entry} would ask less of who enters it: {will} after {was}"
        yield _loss(held, "authentication", lost, "consent", stake=will)


def _fewer_served(held: _Held, before: Spec, after: Spec) -> Iterator[Loss]:
    now = _listed(after.get("providers"))
    for one in _listed(before.get("providers")):
        if one not in now:
            lost = f"the {held.entry} would no longer answer for {_named(one) or 'a provider'}: nobody gets in there"
            yield _loss(held, "identity", lost, stake=one)


_FOR_EVERYBODY: Final = ("default", "domain", "default_application", "web_certificate", "client_certificates")


def _everybody(held: _Held, before: Spec, after: Spec) -> Iterator[Loss]:
    """What a brand decides for everybody who signs in."""
    for field in sorted(after.keys() | before.keys()):
        if before.get(field) == after.get(field):
            continue
        if field.startswith("flow_") or field in _FOR_EVERYBODY:
            lost = f"how everybody signs in at the {held.entry} would change: {field}"
            yield _loss(held, "authentication", lost, "consent", stake=after.get(field))
        elif field == "branding_custom_css" and after.get(field):
            lost = f"the {held.entry} would bring a style of its own into every page, sign-in included"
            yield _loss(held, "authentication", lost, "consent", stake=after.get(field))


def _any_step(held: _Held, before: Spec, after: Spec) -> Iterator[Loss]:
    fields = ", ".join(sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key)))
    if fields:
        lost = f"a step of signing in, the {held.entry}, would change: {fields}"
        yield _loss(held, "authentication", lost, stake=dict(after))


def _another_step(held: _Held, before: Spec, after: Spec) -> Iterator[Loss]:
    """Another stage in the place of one is as much as taking that one away."""
    for field in ("stage", "target"):
        if before.get(field) != after.get(field):
            lost = f"a step of {_target(held.entry)} would be replaced: its {field}"
            yield _loss(held, "authentication", lost, "consent", stake=after.get(field))


_JUDGES: Final[Mapping[str, tuple[_Judge, ...]]] = {
    models.APPLICATION: (
        _differs("provider", "identity", "people would sign in to the {} in another way"),
        _becomes("policy_engine_mode", "any", "one policy instead of all would do to use the {}"),
    ),
    models.PROXY: (
        _open_paths,
        _differs("mode", "authentication", "the {} would guard in another mode"),
        _differs("external_host", "identity", "the {} would guard another address"),
        _differs("internal_host", "identity", "whoever signed in through the {} would be sent to another server"),
        _differs("authentication_flow", "authentication", "how people sign in through the {} would change"),
        _differs("authorization_flow", "authentication", "what the {} asks of people would change"),
        _differs("intercept_header_auth", "authentication", "which credentials of a request the {} takes would change"),
    ),
    models.OAUTH2: (
        _more_ends,
        _becomes("client_type", "public", "whoever knows the name of the {} could use it, without its secret"),
        _differs("grant_types", "authentication", "the {} would give tokens in other ways"),
        _differs("authorization_flow", "authentication", "what the {} asks of people would change"),
        _differs("client_id", "identity", "the application behind the {} would have to be told its new name"),
        _differs("authentication_flow", "authentication", "how people sign in through the {} would change"),
        _differs("property_mappings", "authentication", "what the {} tells of people would change"),
    ),
    models.POLICY_BINDING: (
        _becomes("enabled", False, "a {} would no longer be asked"),
        _becomes("failure_result", True, "a {} would let people in when it fails"),
        _differs("negate", "authentication", "a {} would let in those whom it kept out"),
        _differs("group", "authentication", "a {} would let in another group"),
        _differs("policy", "authentication", "a {} would ask another policy"),
    ),
    models.FLOW: (
        _asks_less,
        _differs("designation", "authentication", "the {} would be for something else", "consent"),
        _differs("policy_engine_mode", "authentication", "whom the {} lets in would be decided otherwise"),
        _differs("denied_action", "authentication", "what the {} does with whom it denies would change"),
    ),
    models.STAGE_BINDING: (_another_step, _any_step),
    models.OUTPOST: (_fewer_served, _differs("config", "identity", "how the {} works would change")),
    models.BRAND: (_everybody,),
}  # fmt: skip


# ── what is not ours alone ───────────────────────────────────────────────────────────────────────


def _overruled(was: Mapping[Identity, _Held], will: Mapping[Identity, _Held]) -> Iterator[Loss]:
    """What a blueprint newly says of objects that are there without it: authentik's, everybody's, other people's."""
    for identity, held in will.items():
        entry = held.entry
        if entry.state == ABSENT or _is_kept(was.get(identity), entry.state):
            continue
        if entry.model == models.BRAND:
            yield from _everybody(held, dict(entry.identifiers), entry.fields)
        elif entry.model in (models.STAGE_BINDING, models.POLICY_BINDING):
            yield from _bound(held, was, will)
        elif entry.model == models.OUTPOST and "config" in entry.fields:
            lost = f"how the {entry} works, and where it sends people to sign in, would be said here"
            yield _loss(held, "authentication", lost, "consent", stake=entry.fields["config"])
        elif is_shipped(entry):
            lost = f"the {entry} is one that authentik brings with it, and would be overruled"
            yield _loss(held, "authentication", lost, "consent", stake=entry.spec)
        elif _is_nameless(entry):
            lost = f"which {entry.label} this is only authentik knows, and it may be one that everybody uses"
            yield _loss(held, "authentication", lost, "consent", stake=entry.spec)


def _is_kept(earlier: _Held | None, state: str) -> bool:
    """Did a blueprint have the say about it before? One that only made sure that it is there had none."""
    return earlier is not None and earlier.entry.state in ("present", state)


def _is_nameless(entry: Entry) -> bool:
    """Is it known by something else than what its model is always known by?"""
    if entry.model == models.FLOW:
        return not isinstance(entry.identifiers.get("slug"), str)
    return entry.model in models.STAGES and not entry.name


def _bound(held: _Held, was: Mapping[Identity, _Held], will: Mapping[Identity, _Held]) -> Iterator[Loss]:
    """A new binding to something that is not made by this very change."""
    entry, target = held.entry, referred(held.fields.get("target"))
    made = will.get(target)
    if made and made.entry.state == "present" and target not in was and not _is_borrowed(made.entry):
        return
    if entry.model == models.STAGE_BINDING:
        lost = f"a step would be added to {_target(entry)}"
        yield _loss(held, "authentication", lost, "consent", stake=held.fields)
    else:
        yield _loss(
            held, "authentication", f"{_limit(entry)} would also say who may use {_target(entry)}", stake=held.fields
        )


def _is_borrowed(entry: Entry) -> bool:
    return is_shipped(entry) or _is_nameless(entry)


def _protected(
    instance: str, was: Mapping[Identity, _Held], will: Mapping[Identity, _Held], policy: Policy
) -> Iterator[Loss]:
    """Protected objects, whatever their blueprint is called."""
    for identity, held in was.items():
        now = will.get(identity)
        if held.entry.state == ABSENT or (now and now.entry.spec == held.entry.spec):
            continue
        place = f"{instance}/{held.entry.label.replace(' ', '-')}/{held.entry.name}"
        if held.entry.name and policy.protects(place):
            what = "changed" if now and now.entry.state != ABSENT else "removed"
            stake = now.entry.spec if now else None
            yield _loss(held, "protected", f"the {held.entry} is protected and would be {what}", "consent", stake)
