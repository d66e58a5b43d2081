"""A hand-written Traefik directory becomes ours: its files as a proposal, then each original out of the way.

An original left in place would win over our file in silence. It is moved aside only once ours says the same and is
proven, one at a time, and put back on any difference in what Traefik serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler import commits, desired, making
from reconciler.core.target import Observation
from reconciler.git import proposals
from reconciler.handover import adoption, ground
from reconciler.handover.adoption import Adoption, Staying
from reconciler.handover.ground import Ground
from reconciler.session import CommandError, Session, person
from reconciler.traefik import language
from reconciler.traefik.kinds import Named
from state import events, views
from state.model import Address, Snapshot, Spec
from state.review import ProposalRecord
from state.sparing import dataclass

TOOL = "adopt-traefik"
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """What became of every file, and the proposal that adopts them; None where main says it all already."""

    adoption: Adoption
    record: ProposalRecord | None = None
    ready: tuple[str, ...] = ()  # originals that our file serves by now, so they can be handed over


# ── proposing ────────────────────────────────────────────────────────────────────────────────────


def propose(one: Session, directory: Path) -> Proposed:
    """One proposal with every file of a directory that can be desired as it is. Changes nothing else."""
    at = ground.watched(one, directory)
    if at is None:
        watched = ", ".join(str(place.dynamic_dir) for place in one.home.settings.places) or "none"
        raise CommandError(f"{directory} is no directory that a Traefik of this home watches; watched: {watched}")
    one.require_switched_on("proposed and nothing is moved")
    found = _sorted_out(at)
    record = _proposed(at, found)
    ready = () if record else tuple(file for file, reason in _originals(at) if not reason)
    return Proposed(adoption=found, record=record, ready=ready)


def _sorted_out(at: Ground) -> Adoption:
    """Decide on each file; whatever the target objects to stays out, until it objects to nothing more."""
    seen, neighbours = at.target.observe(), at.neighbours()
    contents = {file: content for file in neighbours.files if (content := _content(at, file)) is not None}
    unfit = {file: f"Traefik refuses it: {reason}" for file, reason in seen.poison.items()}
    unfit |= {file: "it is a link; put the file itself in its place" for file in contents if _is_link(at, file)}
    into = _into(at)
    while True:
        found = adoption.sort_out(contents, neighbours, into, unfit)
        if not (objections := _objections(at, found, seen)):
            return found
        unfit |= objections


def _objections(at: Ground, found: Adoption, seen: Observation) -> dict[str, str]:
    fresh = found.snapshot(at.instance)
    judged = at.target.validate({**seen.live, **fresh}, seen)
    objections: dict[str, str] = {}
    for problem in judged.problems:
        file = found.file_of(Address.parse(problem.address)) if problem.address else ""
        if file and problem.severity == "error":
            objections.setdefault(file, f"{problem.address}: {problem.message}")
    return objections


def _into(at: Ground) -> adoption.Ground:
    """What main says already. After an eject it says nothing that counts: what is there now takes its place."""
    head, directory = at.one.head(), _directory(at)
    if not at.handover.is_ours(at.instance):
        return adoption.Ground(directory=directory)
    main = _main(at)
    return adoption.Ground(
        directory=directory,
        main={(r.address.kind, r.address.name): (r.file, r.spec) for r in main.resources.values() if _of(at, r)},
        paths=frozenset(entry.path for entry in at.one.world.store.entries(head, directory)),
    )


def _proposed(at: Ground, found: Adoption) -> ProposalRecord | None:
    edits: dict[str, bytes | None] = dict(_obsolete(at, found))
    edits.update({one.path: one.content for one in found.adopted})
    edits = {path: content for path, content in edits.items() if _stands(at, path) != content}
    if not edits:
        _take_back_at_once(at)
        return None
    one, id = at.one, making.fresh_id(at.one)
    title = f"Adopt {len(found.adopted)} hand-written files of {at.instance}"
    commit = proposals.propose(
        one.world.store,
        parent=one.head(),
        edits=edits,
        id=id,
        title=title,
        body=_body(found),
        trailers=making.trailers(id, TOOL),
        author=f"{person()} <{person()}@localhost>",
        at=one.world.clock.now(),
        roots=(_directory(at),),
    )
    if not at.handover.is_ours(at.instance):
        _say_adopted(at, "its files are desired state again once this is approved", id)
    return making.record(
        one, id, commit, tool=TOOL, title=title, resources=sorted(map(str, found.snapshot(at.instance)))
    )


def _obsolete(at: Ground, found: Adoption) -> Iterator[tuple[str, None]]:
    """After an eject: desired files that nothing in the directory stands for any more."""
    if not at.handover.is_ours(at.instance):
        kept = {one.path for one in found.adopted}
        yield from ((file, None) for file in sorted(_files(at)) if file not in kept)


def _take_back_at_once(at: Ground) -> None:
    if not at.handover.is_ours(at.instance):
        _say_adopted(at, "main already says what is there", "")
        at.one.run_pass()


def _say_adopted(at: Ground, reason: str, proposal: str) -> None:
    adopted = events.TargetAdopted(instance=at.instance, reason=reason, proposal=proposal)
    at.one.say(adopted, f"target/{at.instance}")


def _body(found: Adoption) -> str:
    return "The same files, byte for byte where they were YAML:\n\n" + "\n".join(adoption.lines(found))


# ── handing over ─────────────────────────────────────────────────────────────────────────────────


def hand_over(one: Session, directory: Path, say: Say) -> tuple[str, ...]:
    """Move every original aside that our file serves, each step proven; the files that were moved.

    Does again what a crash cut short. Raises CommandError, with the file put back, at the first difference.
    """
    at = ground.watched(one, directory)
    if at is None:
        raise CommandError(
            f"{directory} is no directory that a Traefik of this home watches: there is nothing to hand over"
        )
    ground.require_alone(one)
    if not at.handover.is_ours(at.instance):
        raise CommandError(f"{at.instance} was ejected: adopt it again first, without --hand-over")
    at.observed()
    _finish(at, say)
    one.run_pass()
    at.settled()
    moved = [file for file, reason in _originals(at) if not reason]
    for file in moved:
        _move(at, file)
        say(f"  moved aside: {file}")
    return tuple(moved)


def _originals(at: Ground) -> list[tuple[str, str]]:
    """Every file beside ours, with what keeps it from being handed over: "" where nothing does."""
    live = at.target.observe().live
    proven = at.one.world.log.view(views.Applied).base(at.instance)
    return [(file, _obstacle(at, file, held, live, proven)) for file, held in at.neighbours().files.items()]


def _obstacle(at: Ground, file: str, resources: Mapping[Named, Spec], live: Snapshot, proven: Snapshot) -> str:
    if not resources:
        return "it holds nothing that Waypost serves"
    if _is_link(at, file):
        return "it is a link; put the file itself in its place"
    for side, words in ((live, "our file does not say so"), (proven, "that is not proven yet")):
        for named, spec in resources.items():
            if not at.held({named: spec}, side):
                return f"it holds {named[0]} '{named[1]}', and {words}"
    return ""


def _move(at: Ground, file: str) -> None:
    before = at.observed()
    to = at.free_aside(file)
    at.move(at.directory / file, at.aside(to))
    if unlike := at.unlike(before):
        _put_back(at, file, to, "; ".join(unlike[:10]))
        raise CommandError(f"{file} is back in its place, because without it: " + "\n".join(unlike), exit_code=3)
    reason = "our file serves the same, and without this one Traefik serves nothing otherwise"
    at.record(events.OriginalMovedAside(instance=at.instance, file=file, to=to, reason=reason))


def _put_back(at: Ground, file: str, to: str, reason: str) -> None:
    at.move(at.aside(to), at.directory / file)
    at.target.probe(at.one.world.chance(8).hex())
    at.record(events.OriginalPutBack(instance=at.instance, file=file, reason=reason))


def _finish(at: Ground, say: Say) -> None:
    """A step that was cut short is undone, so that it can be done again and proven."""
    for to, file in list(at.unrecorded()):
        kept, place = at.files.read(at.aside(to)), at.directory / file
        if at.files.read(place) == kept:
            at.files.remove(at.aside(to))  # copied to another disk, and not yet removed here
        elif place.exists() or not _still_same(at, to, file):
            reason = "found here after an interruption; what is served has changed since"
            at.record(events.OriginalMovedAside(instance=at.instance, file=file, to=to, reason=reason))
        else:
            say(f"  put back, an earlier step was cut short: {file}")
            _put_back(at, file, to, "the step was cut short before it was proven")


def _still_same(at: Ground, to: str, file: str) -> bool:
    """Putting back what is no longer served would change what people get."""
    resources, problems = language.read_file(file, at.files.read(at.aside(to)) or b"")
    return not problems and at.held(resources, at.target.observe().live)


# ── telling ──────────────────────────────────────────────────────────────────────────────────────


def tell_proposed(done: Proposed, directory: Path) -> tuple[dict[str, Any], list[str]]:
    """What became of every file and what comes next, for machines and for people."""
    found, id = done.adoption, done.record.id if done.record else ""
    data = {
        "proposal": id,
        "adopted": [{"file": one.file, "path": one.path, "converted": one.converted} for one in found.adopted],
        "settled": list(found.settled),
        "staying": [vars(stays) for stays in found.staying],
        "ready": list(done.ready),
    }
    return data, [*adoption.lines(found), *_next(id, done.ready, directory)]


def tell_left(one: Session, directory: Path) -> tuple[dict[str, Any], list[str]]:
    """What is still in the directory beside our file, and why."""
    at = ground.watched(one, directory)
    staying = [Staying(file, reason or "not handed over yet") for file, reason in (_originals(at) if at else [])]
    lines = [f"  . {stays.file} stays where it is: {stays.reason}" for stays in staying]
    return {"staying": [vars(stays) for stays in staying]}, [*lines, "nothing changed on the wire"]


def _next(id: str, ready: Sequence[str], directory: Path) -> Iterator[str]:
    if id:
        yield f"proposal {id}; nothing changes on the wire before or after it is approved"
        yield f"review it with: waypost show {id}; then: waypost approve {id}"
    elif ready:
        yield f"{len(ready)} originals can be moved aside now: waypost adopt-traefik {directory} --hand-over"
    else:
        yield "nothing to adopt: all that can be desired state is"


# ── places ───────────────────────────────────────────────────────────────────────────────────────


def _content(at: Ground, file: str) -> bytes | None:
    try:
        return at.files.read(at.directory / file)
    except OSError:
        return None


def _is_link(at: Ground, file: str) -> bool:
    return (at.directory / file).is_symlink()


def _main(at: Ground) -> desired.Desired:
    return commits.load(at.one.world, at.one.head())


def _of(at: Ground, resource: desired.Resource) -> bool:
    return resource.address.instance == at.instance


def _files(at: Ground) -> set[str]:
    """The desired files of this instance."""
    return {resource.file for resource in _main(at).resources.values() if _of(at, resource)}


def _directory(at: Ground) -> str:
    """The instance's directory in the desired repo."""
    policy, _ = desired.policy(at.one.world.store, at.one.head())
    return policy.targets[at.instance].directory


def _stands(at: Ground, path: str) -> bytes | None:
    entry = at.one.world.store.entry(at.one.head(), path)
    return at.one.world.store.read(entry.id) if entry else None
