"""Put blueprints into authentik, and what takes away what they no longer hold. Every step may be the last one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler import document
from reconciler.authentik import blueprint
from reconciler.authentik.answers import AuthentikError, Instance, Rejection
from reconciler.authentik.api import AuthentikApi
from reconciler.authentik.blueprint import entries
from reconciler.authentik.held import NOTHING, Held, Names, content_of, mark, writer
from reconciler.authentik.tags import asked_for
from reconciler.core.redact import COVERED
from reconciler.setting import ConfigError, Secret
from state.model import Address, Snapshot, Spec


class InDoubt(AuthentikError):
    """authentik stopped answering in the middle of a change, and nobody could say what it did of that."""


class Keeper:
    """The one writer of our blueprints. `context` is what the home tells blueprints beside what they bring."""

    def __init__(self, api: AuthentikApi, names: Names, context: Mapping[str, Secret]) -> None:
        self._api = api
        self._names = names
        self._context = context

    @property
    def told(self) -> frozenset[str]:
        """The names that the home can tell blueprints."""
        return frozenset(self._context)

    def context(self, spec: Spec) -> dict[str, str]:
        """What the home tells this blueprint: only what it asks for. Raises AuthentikError."""
        asked = {one.name for one in asked_for(spec)} & self._context.keys()
        try:
            return {name: self._context[name].reveal() for name in sorted(asked)}
        except ConfigError as error:
            raise AuthentikError(str(error), remedy="Mend the reference, or what it refers to.") from None

    def outdated(self, spec: Spec, kept: Instance) -> list[str]:
        """The names of what the home tells otherwise than the blueprint was told."""
        try:
            told = self.context(spec)
        except AuthentikError:
            return []  # what cannot be read now is told when it is needed
        return [name for name, value in told.items() if kept.context.get(name) != value]

    def masked(self, words: str, context: Mapping[str, Any] | None = None) -> str:
        """What authentik says, without any secret that it was told, or that a blueprint there was told."""
        values = [str(value) for value in (context or {}).values()]
        for secret in self._context.values():
            with contextlib.suppress(ConfigError):
                values.append(secret.reveal())
        for value in sorted(values, key=len, reverse=True):
            words = words.replace(value, COVERED) if len(value) > 3 else words
        return words

    def put(self, held: Held, wanted: Snapshot, marked: str) -> None:
        """Make ours what is wanted: first what is to be taken away is noted, then what is there or changes, then names.

        The note comes first: once the contents no longer tell what left them, nothing else would. It stays disabled
        until `released`: authentik itself would take away at its hour what a refuted attempt wants gone. A death in
        between leaves either what stood before or what is wanted, each blueprint whole; nothing is applied by this.
        What authentik rejects is taken back. Raises AuthentikError; InDoubt where nobody knows how far it came.
        """
        changed = [a for a in blueprint.in_order(wanted) if held.live.get(a) != wanted[a]]
        removals = None
        try:
            removals = self._note_removals(held, wanted, marked)
            for address in changed:
                self._keep(held.blueprints.get(address.name), address, wanted[address], marked)
        except AuthentikError as error:
            if not self._take_back(held, changed) and error.retry:
                raise InDoubt(str(error), remedy=error.remedy) from None
            raise
        try:
            self._finish(held, wanted, removals)
        except AuthentikError as error:
            raise InDoubt(str(error), remedy=error.remedy) if error.retry else error from None

    def _finish(self, held: Held, wanted: Snapshot, removals: Instance | None) -> None:
        """Forget the blueprints that are not wanted, and what was to be taken away where nothing is any more."""
        for name, one in held.blueprints.items():
            if not any(address.name == name for address in wanted):
                self._api.delete(one.pk)
        if removals is None:
            self.settle(held)

    def pending(self, held: Held) -> Spec:
        """What is still to be taken away, without what stands in a blueprint by now; None where nothing is."""
        return blueprint.still_leaving(self._removing(held), None, held.live) if held.removals else None

    def released(self, held: Held) -> Held:
        """The same once what takes away may be applied. A death may have left it too wide."""
        if held.removals is None:
            return held
        spec, standing = self.pending(held), held.removals
        if spec is None:
            self.settle(held)
            return replace(held, removals=None)
        if len(entries(spec)) != len(entries(self._removing(held))):
            content = content_of(spec, mark(writer(standing)))
            changed = self._api.change(standing.pk, content=content, path="", enabled=True)
            return replace(held, removals=self._taken(standing.name, changed))
        if standing.enabled:
            return held
        return replace(held, removals=self._taken(standing.name, self._api.change(standing.pk, enabled=True)))

    def settle(self, held: Held) -> None:
        """What was to be taken away is gone: that blueprint has done its work."""
        if held.removals:
            self._api.delete(held.removals.pk)

    def _removing(self, held: Held) -> Spec:
        """What the blueprint that takes away says."""
        return document.read("", held.removals.content.encode(), tagged=True).value if held.removals else {}

    def _keep(self, standing: Instance | None, address: Address, spec: Spec, marked: str) -> None:
        name, content = self._names.of(address.name), content_of(spec, marked)
        self._store(standing, name, content, self.context(spec), enabled=spec.get("enabled", True))

    def _note_removals(self, held: Held, wanted: Snapshot, marked: str) -> Instance | None:
        """Keep what takes away what leaves, without letting it do so yet; None where nothing leaves."""
        spec = blueprint.leaving(held.live, wanted).spec
        if held.removals:
            spec = blueprint.still_leaving(self._removing(held), spec, wanted)
        if spec is None:
            return None
        asked = {one.name for one in asked_for(spec)}
        kept = {name: value for one in held.blueprints.values() for name, value in one.context.items() if name in asked}
        context = {**kept, **self.context(spec)}
        return self._store(held.removals, self._names.removals, content_of(spec, marked), context, enabled=False)

    def _store(
        self, standing: Instance | None, name: str, content: str, context: Mapping[str, Any], *, enabled: bool
    ) -> Instance:
        """Put content into its blueprint. authentik tries it with the context that is kept already."""
        if standing is None and not context:
            return self._taken(name, self._api.create(name, content, {}, enabled=enabled))
        if standing is None:
            standing = self._taken(name, self._api.create(name, NOTHING, context, enabled=False))
        elif any(standing.context.get(key) != value for key, value in context.items()):
            self._taken(name, self._api.change(standing.pk, context={**standing.context, **context}))
        return self._taken(name, self._api.change(standing.pk, content=content, path="", enabled=enabled))

    def _taken(self, name: str, answer: Instance | Rejection) -> Instance:
        if isinstance(answer, Rejection):
            raise AuthentikError(f"authentik rejects '{name}': {self.masked(str(answer))}", retry=False)
        return answer

    def _take_back(self, held: Held, changed: list[Address]) -> bool:
        """Put back what stood before, as far as authentik answers. Did it, to the end?"""
        try:
            now = {one.name: one for one in self._api.instances()}
            for address in changed:
                kept, before = now.get(self._names.of(address.name)), held.blueprints.get(address.name)
                if kept and before is None:
                    self._api.delete(kept.pk)
                elif kept and before and kept.content != before.content:
                    self._api.change(kept.pk, content=before.content, path=before.path, enabled=before.enabled)
            noted, earlier = now.get(self._names.removals), held.removals
            if noted and earlier is None:
                self._api.delete(noted.pk)
            elif noted and earlier and (noted.content, noted.enabled) != (earlier.content, earlier.enabled):
                self._api.change(noted.pk, content=earlier.content, path=earlier.path, enabled=earlier.enabled)
        except AuthentikError:
            return False
        return True
