"""Stepping out: native files are given back and proven beside ours, then ours goes, and nothing changes on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reconciler import commits, desired
from reconciler.core.target import Attempt, Observation, TargetError
from reconciler.handover import giving_back, ground
from reconciler.handover.giving_back import Given, Kept
from reconciler.handover.ground import Ground
from reconciler.session import CommandError, Session
from reconciler.targets.owned import FOLDER, NAME, OwnedFile
from reconciler.traefik import language, wire
from reconciler.traefik.kinds import Named
from reconciler.traefik.render import MARKER_KIND, MARKER_PREFIX
from state import events, views
from state.model import Address, Spec, canonical, digest_bytes

Say = Callable[[str], None]
_PATIENCE: Final = 10.0  # seconds for Traefik to forget a file that was removed
_ASK_AGAIN: Final = 0.1
_OURS: Final = ("waypost.previous", ".waypost.next", ".waypost.lock")


def eject(one: Session, instance: str, say: Say) -> tuple[str, ...]:
    """Give an instance's directory back to its owner; the files that hold its routes now.

    Doing it again after a crash goes on where it stopped. Raises CommandError, with everything as it was, at the
    first difference in what Traefik serves.
    """
    at = ground.of_instance(one, instance)
    ground.require_alone(one)
    if not at.handover.is_ours(at.instance):
        raise CommandError(f"{at.instance} was ejected already: {at.handover.ejected[at.instance]}", exit_code=0)
    if at.instance in one.world.log.view(views.Attempts).open:
        raise CommandError(f"a write to {at.instance} is not concluded yet: waypost reconcile, then try again")
    before = at.settled()
    _refuse_rivals(at, before)
    _record_returned(at)
    given = _give_back(at, before, say)
    _clear(at, before, say)
    files = tuple(sorted({*given, *_holders(at, before)}))
    reason = "native files hold all that ours held, and Traefik serves nothing otherwise"
    at.record(events.TargetEjected(instance=at.instance, files=files, reason=reason))
    return files


def tell(files: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What was done, for machines and for people."""
    lines = [
        f"Waypost stepped out: {len(files)} native files hold all that it served, and nothing changed on the wire.",
        "Passes leave this target alone from now on. To come back: waypost adopt-traefik DIR",
    ]
    return {"files": list(files)}, lines


# ── giving back ──────────────────────────────────────────────────────────────────────────────────


def _refuse_rivals(at: Ground, before: Observation) -> None:
    """A neighbour that says something else of our name: without ours, people would get that."""
    live, found = _by_name(before), at.neighbours()
    for file, resources in found.files.items():
        for named, spec in resources.items():
            if named in live and canonical(live[named]) != canonical(spec):
                raise CommandError(
                    f"{file} says something else of {named[0]} '{named[1]}' than what is applied: make them equal first"
                )


def _record_returned(at: Ground) -> None:
    """Originals that went back before a crash, and nobody wrote it down."""
    for to, file in dict(at.handover.aside.get(at.instance, {})).items():
        if not at.aside(to).exists() and (at.directory / file).exists():
            reason = "it is back in its place; its way there was cut short before it was recorded"
            at.record(events.OriginalPutBack(instance=at.instance, file=file, reason=reason))


def _give_back(at: Ground, before: Observation, say: Say) -> list[str]:
    held = {named for named, files in at.neighbours().specs.items() if files}
    missing = {named: spec for named, spec in _by_name(before).items() if named not in held}
    given = giving_back.choose(missing, _originals(at), _wanted(at), _occupied(at))
    for one in given:
        _place(at, one)
        say(f"  given back: {one.file}" + (" (the original)" if one.to else ""))
    if given and (unlike := at.unlike(before)):
        _take_again(at, given)
        raise CommandError("nothing was given back, because with native files in place: " + "\n".join(unlike), 3)
    return [one.file for one in given]


def _place(at: Ground, one: Given) -> None:
    if not one.to:
        at.write(at.directory / one.file, one.content)
        return
    at.move(at.aside(one.to), at.directory / one.file)
    reason = "ejecting: it still says what is applied, so it takes its place again"
    at.record(events.OriginalPutBack(instance=at.instance, file=one.file, reason=reason))


def _take_again(at: Ground, given: Sequence[Given]) -> None:
    for one in given:
        if one.to:
            at.move(at.directory / one.file, at.aside(one.to))
            reason = "ejecting was stopped: with it in place Traefik served something otherwise"
            at.record(events.OriginalMovedAside(instance=at.instance, file=one.file, to=one.to, reason=reason))
        else:
            at.files.remove(at.directory / one.file)
    at.target.probe(at.one.world.chance(8).hex())


def _originals(at: Ground) -> list[Kept]:
    found = []
    for to, file in at.handover.aside.get(at.instance, {}).items():
        content = at.files.read(at.aside(to))
        resources, problems = language.read_file(file, content or b"")
        if content is not None and not problems:
            found.append(Kept(file=file, content=content, resources=resources, to=to))
    return found


def _wanted(at: Ground) -> list[Kept]:
    """The desired files of the last revision, as files of the directory."""
    world, latest = at.one.world, at.one.world.log.view(views.Revisions).latest
    commit = latest.commit if latest else at.one.head()
    main, policy = commits.load(world, commit), desired.policy(world.store, commit)[0]
    by_file: dict[str, dict[Named, Spec]] = {}
    for address, resource in main.resources.items():
        if address.instance == at.instance:
            by_file.setdefault(resource.file, {})[address.kind, address.name] = resource.spec
    prefix = f"{policy.targets[at.instance].directory}/" if at.instance in policy.targets else ""
    entries = {path: world.store.entry(commit, path) for path in by_file}
    return [
        Kept(file=path.removeprefix(prefix), content=world.store.read(entry.id), resources=by_file[path])
        for path, entry in entries.items()
        if entry
    ]


def _occupied(at: Ground) -> frozenset[str]:
    return frozenset(str(path.relative_to(at.directory)) for path in at.files.walk(at.directory))


def _holders(at: Ground, before: Observation) -> set[str]:
    live = _by_name(before)
    return {file for file, resources in at.neighbours().files.items() if any(named in live for named in resources)}


def _by_name(seen: Observation) -> Mapping[Named, Spec]:
    return {(address.kind, address.name): spec for address, spec in seen.live.items()}


# ── stepping out ─────────────────────────────────────────────────────────────────────────────────


def _clear(at: Ground, before: Observation, say: Say) -> None:
    """Our file loses all it holds, proven; then what is left of it, a mere marker, goes too."""
    seen = at.observed()
    if seen.live or at.one.world.log.view(views.Applied).base(at.instance):
        _empty(at, seen, before)
    if seen.file:
        say(f"  removed: {NAME}")
    _remove(at, before)


def _empty(at: Ground, seen: Observation, before: Observation) -> None:
    attempt = _attempt(at, seen)
    gone: dict[str, Spec] = {str(address): None for address in _known(at, seen)}
    at.record(
        events.ApplyStarted(
            instance=at.instance,
            attempt=attempt.id,
            commit=attempt.commit,
            digest="",
            before=attempt.before,
            after=attempt.after,
            changes=gone,
            reason="ejecting: native files hold all of it",
        )
    )
    _write(at, attempt)
    verdict = at.target.prove(attempt)
    unlike = [verdict.evidence] if verdict.outcome != "proven" else _unlike(at, before)
    if unlike:
        _undo(at, attempt, seen, unlike)
    at.record(
        events.ApplyProven(
            instance=at.instance,
            attempt=attempt.id,
            commit=attempt.commit,
            changes=gone,
            file=verdict.file or attempt.after,
            seconds=round(verdict.seconds, 3),
            evidence=f"{verdict.evidence}; native files serve all that ours served",
        )
    )


def _write(at: Ground, attempt: Attempt) -> None:
    try:
        at.target.write(attempt)
    except TargetError as error:
        at.record(events.ApplyAbandoned(instance=at.instance, attempt=attempt.id, reason=str(error)))
        raise


def _undo(at: Ground, attempt: Attempt, seen: Observation, unlike: list[str]) -> None:
    undone = at.target.undo(attempt, seen.live)
    at.record(
        events.ApplyUndone(
            instance=at.instance,
            attempt=attempt.id,
            proven=undone.outcome == "proven",
            file=undone.file,
            reason=f"without our file: {'; '.join(unlike[:10])}. {undone.evidence}",
        )
    )
    raise CommandError("our file is back, because without it: " + "\n".join(unlike), exit_code=3)


def _attempt(at: Ground, seen: Observation) -> Attempt:
    draft = Attempt(
        id=at.one.world.chance(8).hex(),
        instance=at.instance,
        commit=at.one.head(),
        live={},
        gone=frozenset(seen.live),
        before=seen.file,
    )
    return replace(draft, after=digest_bytes(at.target.render(draft)))


def _known(at: Ground, seen: Observation) -> set[Address]:
    return {*seen.live, *at.one.world.log.view(views.Applied).base(at.instance)}


def _unlike(at: Ground, before: Observation) -> list[str]:
    try:
        return wire.differences(before.served, at.observed().served)
    except CommandError as error:
        return [str(error)]


def _remove(at: Ground, before: Observation) -> None:
    """What is removed here holds nothing that anybody is served."""
    owned = OwnedFile(at.directory, at.files)
    owned.lock()
    try:
        owned.remove()
    finally:
        owned.release()
    if unlike := _forgotten(at, before):
        raise CommandError("our empty file is gone, and yet Traefik now serves otherwise: " + "\n".join(unlike), 3)
    folder = at.directory / FOLDER
    for name in _OURS:
        at.files.remove(folder / name)
    with contextlib.suppress(OSError):  # somebody keeps a file of their own in it
        folder.rmdir()


def _forgotten(at: Ground, before: Observation) -> list[str]:
    """Wait until Traefik lists no marker of ours any more; what it then serves otherwise."""
    clock = at.one.world.clock
    deadline = clock.monotonic() + _PATIENCE
    while True:
        seen = at.observed()
        if not any(name.startswith(MARKER_PREFIX) for name in seen.served.get(MARKER_KIND, {})):
            return wire.differences(before.served, seen.served)
        if clock.monotonic() > deadline:
            return [f"Traefik still lists our marker after {_PATIENCE:g} s"]
        clock.sleep(_ASK_AGAIN)
