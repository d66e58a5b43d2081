"""A proposal in the making: files edited in memory on top of main, and everything that speaks against them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import field

from reconciler import languages
from reconciler.desired import Desired, Instance
from reconciler.edit import EditError, remove_resource, set_resource
from reconciler.in_use import pieces
from reconciler.secrets import find_secrets
from reconciler.setting import Secret, revealed
from reconciler.traefik import validate
from reconciler.traefik.references import references
from shards.kit import Refused
from state.model import Address, Problem, Snapshot, Spec
from state.sparing import dataclass


@dataclass(frozen=True, kw_only=True)
class Ground:
    """main as the gateway knows it: what every proposal is built on."""

    commit: str
    desired: Desired
    instances: tuple[Instance, ...]
    secrets: tuple[Secret, ...] = ()  # the gateway's own, which must not stand in any proposal

    def instance(self, name: str, kind: str) -> Instance:
        """A declared instance of a kind. Raises Refused with those there are."""
        known = {one.name: one for one in self.instances if one.kind == kind}
        if name in known:
            return known[name]
        there = ", ".join(known) or "none"
        raise Refused("unknown-instance", f"There is no {kind} instance '{name[:80]}'; there are: {there}.")

    def owner(self, path: str) -> Instance | None:
        """The instance that reads this file, if any does."""
        inside = [one for one in self.instances if path.startswith(f"{one.directory}/")]
        owner = max(inside, key=lambda one: len(one.directory), default=None)
        reads = owner and languages.of(owner.kind).reads(path.removeprefix(f"{owner.directory}/"))
        return owner if reads else None


@dataclass(kw_only=True)
class Draft:
    """Edits in the making: new content by path, None for a file that goes. `read` is the parent's content."""

    ground: Ground
    read: Callable[[str], bytes | None]
    edits: dict[str, bytes | None] = field(default_factory=dict)

    def put(self, path: str, address: Address, spec: Spec) -> None:
        """Write a resource into a file; comments and the order of keys around it stay."""
        self._edit(path, lambda text: set_resource(text, address.kind, address.name, spec, file=path))

    def remove(self, path: str, address: Address) -> None:
        """Take a resource out of a file; a file that holds nothing more goes away."""
        self._edit(path, lambda text: text and remove_resource(text, address.kind, address.name, file=path))

    def write(self, path: str, content: bytes | None) -> None:
        """Put a whole file in place, or take it away."""
        self.edits[path] = content

    def content(self, path: str) -> bytes | None:
        """What a file holds in this draft; None where there is none."""
        return self.edits[path] if path in self.edits else self.read(path)

    def _edit(self, path: str, change: Callable[[bytes | None], bytes | None]) -> None:
        try:
            self.edits[path] = change(self.content(path))
        except EditError as fault:
            raise Refused("invalid", f"{path}: {fault}. Nothing was committed.", problems=fault.problems) from fault

    def resources(self) -> list[Address]:
        """The resources that differ from the parent's, in order."""
        before, after = self.ground.desired.snapshot, self._wanted()
        touched = {address for path, one in self._owned() for address in self._named(path, one)}
        return sorted(address for address in touched if before.get(address) != after.get(address))

    def check(self, intent: str) -> None:
        """Refuse secrets first (`intent` is the message to be), then whatever Traefik would not take.

        Only what this draft brings counts: what was wrong before is somebody else's to mend.
        """
        if secrets := tuple(self._secrets(intent)):
            raise Refused(
                "secret",
                "This would put a secret into Git, so nothing was committed. Use a reference to it instead "
                "(a file that Traefik reads, such as usersFile), or leave it out.",
                problems=secrets,
            )
        if faults := (*self._unreadable(), *self._clashes()) or tuple(self._unserved()):
            raise Refused("invalid", "This is no valid configuration; nothing was committed.", problems=faults)

    def _secrets(self, intent: str) -> Iterator[Problem]:
        in_use = pieces(revealed(self.ground.secrets))
        yield from find_secrets("reason", intent, in_use)
        for path, content in self.edits.items():
            before = set((self.read(path) or b"").splitlines())
            lines = (content or b"").splitlines()
            for problem in find_secrets(path, (content or b"").decode("utf-8", "replace"), in_use):
                if not 0 < problem.line <= len(lines) or lines[problem.line - 1] not in before:
                    yield problem

    def _unreadable(self) -> Iterator[Problem]:
        for path, instance in self._owned():
            if (content := self.edits[path]) is not None:
                yield from languages.of(instance.kind).parse(path, content).problems

    def _clashes(self) -> Iterator[Problem]:
        """Names that also stand in a file that this draft leaves alone."""
        for path, instance in self._owned():
            for address in _resources(path, instance, self.edits[path]):
                standing = self.ground.desired.resources.get(address)
                if standing and standing.file not in self.edits:
                    message = f"also stands in {standing.file}:{standing.line}; change it there"
                    yield Problem(message=message, file=path, address=str(address))

    def _unserved(self) -> Iterator[Problem]:
        """What Traefik would not serve, as far as the desired state alone can tell. The plan asks Traefik too."""
        before, after = self.ground.desired.snapshot, self._wanted()
        served = {one.name for one in self.ground.instances if one.kind == "traefik"}
        touched = frozenset(address for address in self.resources() if address.instance in served)
        judged = touched | _referring(after, touched - after.keys())
        if found := _errors(after, judged):
            known = {str(problem) for problem in _errors(before, judged)}
            yield from (problem for problem in found if str(problem) not in known)

    def _wanted(self) -> Snapshot:
        """The desired state with this draft on top."""
        wanted = {a: one.spec for a, one in self.ground.desired.resources.items() if one.file not in self.edits}
        for path, instance in self._owned():
            wanted |= _resources(path, instance, self.edits[path])
        return wanted

    def _owned(self) -> Iterator[tuple[str, Instance]]:
        for path in self.edits:
            if instance := self.ground.owner(path):
                yield path, instance

    def _named(self, path: str, instance: Instance) -> set[Address]:
        return {*_resources(path, instance, self.read(path)), *_resources(path, instance, self.edits[path])}


def _errors(snapshot: Snapshot, judged: Collection[Address]) -> list[Problem]:
    """Errors of these resources alone: the cost follows them, not the whole desired state."""
    found: list[Problem] = []
    for instance in sorted({address.instance for address in judged}):
        mine = {one: snapshot[one] for one in judged if one.instance == instance and one in snapshot}
        named = {name for address, spec in mine.items() for name in _referred(address, spec)}
        others = {address: snapshot[address] for name in named if (address := Address(instance, *name[:2])) in snapshot}
        # `name@file` that we do not hold is in a neighbour's file, and is taken on trust here.
        trusted = {
            name[:2]: "a neighbour's file" for name in named if name[2] and Address(instance, *name[:2]) not in others
        }
        live = validate.LiveNames(foreign_files=trusted)
        problems = validate.check({**others, **mine}, live=live)
        told = {str(address) for address in mine}
        found += [one for one in problems if one.severity == "error" and one.address in told]
    return found


def _referring(snapshot: Snapshot, gone: frozenset[Address]) -> frozenset[Address]:
    """The resources that name one of those that go."""
    if not gone:
        return frozenset()
    return frozenset(
        address
        for address, spec in snapshot.items()
        if any(Address(address.instance, *name[:2]) in gone for name in _referred(address, spec))
    )


def _referred(address: Address, spec: Spec) -> Iterator[tuple[str, str, bool]]:
    """Kind and name of all that a resource refers to, and whether it says that a file holds it."""
    for reference in references(address.kind, spec):
        yield reference.kind, reference.name.removesuffix("@file"), reference.name.endswith("@file")


def _resources(path: str, instance: Instance, content: bytes | None) -> dict[Address, Spec]:
    if content is None:
        return {}
    parsed = languages.of(instance.kind).parse(path, content)
    return {Address(instance.name, kind, name): spec for kind, name, spec, _ in parsed.resources}
