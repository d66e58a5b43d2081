"""Carry out one step on Komodo: configure, ask, follow the update to its end, read the containers back.

Asked twice is done once: before anything is asked it is written down which update was the newest, so that whoever goes
on after a crash finds the one that was asked for, if it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from reconciler.komodo import contents, services, stacks
from reconciler.komodo.api import KomodoApi
from reconciler.komodo.deeds import Specs, Step
from reconciler.komodo.reading import Stack, Update
from reconciler.komodo.stacks import COMPOSE, STACK
from reconciler.komodo.wire import KomodoError
from reconciler.ports import Clock

_SHORTEST, _LONGEST = 0.05, 2.0
_BETWEEN: Final = 15.0
"""At most so long between two requests: each one that Komodo has no time for is an update in its history."""
_SETTLING: Final = 20.0
"""Seconds that containers may need after a deploy before one that is not up counts as down."""
_STEADY: Final = 3.0
"""Seconds for which they must stay up: what crashes at once comes up first, and Komodo may tell what was before."""
_TRIES: Final = 3
_NO_UPDATE: Final = "Komodo took the request and has no update for it"
_OPERATIONS: Final = {"deploy": "DeployStack", "restart": "RestartStack", "remove": "DestroyStack"}

Keep = Callable[[Step], None]
"""Writes down how far a step is; durable when it returns."""


@dataclass(frozen=True)
class Ground:
    """What a step stands on: Komodo's servers, name -> id, and where in the desired repo it came from, for people."""

    servers: Mapping[str, str]
    source: str = ""

    def id_of(self, name: str) -> str:
        try:
            return self.servers[name]
        except KeyError:
            raise KomodoError(f"Komodo knows no server '{name}' any more", retry=False) from None


class Doer:
    """Does one step after the other. `deadline` is seconds for one step, the pulling of images included."""

    def __init__(self, api: KomodoApi, clock: Clock, deadline: float) -> None:
        self._api, self._clock, self._deadline = api, clock, deadline

    def carry_out(self, step: Step, ground: Ground, keep: Keep) -> Step:
        """The step when it is done, failed, or (still todo or asked) left for the next time, with what to say of it."""
        started = self._clock.monotonic()
        step = self._carried_out(replace(step, tries=0), ground, started + self._deadline, keep)
        return replace(step, seconds=step.seconds + self._clock.monotonic() - started)

    def _carried_out(self, step: Step, ground: Ground, until: float, keep: Keep) -> Step:
        if step.deed == "note":
            return step.now("done", said=step.why)
        pause = _SHORTEST
        while self._clock.monotonic() < until and step.tries < _TRIES:
            if step.state in ("todo", "preparing"):
                step = self._prepared(step, ground, until, keep)
            if step.state == "asking":
                step = self._asked(step, until, keep)
            if step.state == "asked":
                step = self._followed(step, until, keep)
            if step.state in ("done", "failed", "asked"):
                return step
            self._clock.sleep(min(pause, max(until - self._clock.monotonic(), 0)))
            pause = min(pause * 2, _BETWEEN)
        return step

    def put_back(
        self, step: Step, ground: Ground, kept: Mapping[str, Any] | None, keep: Keep, begun: Step | None
    ) -> Step:
        """Undo a step: what was there before is configured and deployed again, a stack that was new is taken away.

        `kept` is the configuration as it was, where this process still has it: what is covered can only be put back
        from there. `begun` is how far somebody came with that who died. Raises KomodoError where that cannot be done
        now.
        """
        if step.deed in ("restart", "note"):
            return step.now("undone", said="there is nothing to put back")
        back = Step(stack=step.stack, deed="deploy", why="back as it was before", wanted=step.previous)
        if STACK not in step.previous:
            back = replace(back, deed="remove", stays=step.stays)
        done = self.carry_out(begun, ground, keep) if begun else self._again(back, ground, kept, keep)
        undone = step.now("undone", update=done.update, seconds=done.seconds)
        if done.state == "failed":
            return replace(undone, said=f"it was put back, and does not come up: {done.said}", fails=True)
        if done.state != "done":
            raise KomodoError(f"stack '{step.stack}' cannot be put back yet: {done.said}")
        return replace(undone, said=f"back as it was before ({done.said})")

    def _again(self, back: Step, ground: Ground, kept: Mapping[str, Any] | None, keep: Keep) -> Step:
        if kept is not None and back.deed == "deploy":
            if stack := self.find(back.stack):
                if going_on := self._free(back.stack, self._clock.monotonic() + self._deadline):
                    return replace(back, said=f"Komodo is busy with it: {going_on}")
                stack = self._api.configure(stack.id.oid, kept)
            else:
                stack = self._api.create(back.stack, kept)
            mark = stacks.mark(self._api.stack(back.stack).config)
            back = replace(back, state="asking", seen=self._newest(stack.id.oid), mark=mark)
            keep(back)
        return self.carry_out(back, ground, keep)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    def _prepared(self, step: Step, ground: Ground, until: float, keep: Keep) -> Step:
        """Nothing else is going on there, and what is to be deployed is what Komodo has in its books."""
        stack = self.find(step.stack)
        if stack is None and step.deed == "remove":
            return step.now("done", said="it was gone already")
        if stack and (going_on := self._free(step.stack, until)):
            return replace(step, said=f"Komodo is busy with it: {going_on}")
        if step.deed == "deploy":
            stack = self._configured(step, stack, ground, keep)
            step = replace(step, mark=stacks.mark(stack.config))
        if stack is None:
            return step.now("failed", said="Komodo knows no such stack")
        step = step.now("asking", seen=self._newest(stack.id.oid))
        keep(step)
        return step

    def _configured(self, step: Step, stack: Stack | None, ground: Ground, keep: Keep) -> Stack:
        if any(stacks.is_covered(spec) for spec in step.wanted.values()):
            return _as_it_is(step, stack)
        keep(step.now("preparing"))  # whoever goes on must not take what is put there now for what was before
        spec, compose = step.wanted[STACK], step.wanted.get(COMPOSE)
        text = "" if compose is None else contents.written(compose, ground.source)
        config = stacks.for_komodo(spec, ground.id_of(spec.get("server", "")), text)
        if stack is None:
            self._api.create(step.stack, config)
        elif not _holds(stack, config):
            self._api.configure(stack.id.oid, config)
        return self._api.stack(step.stack)  # as it is kept, which may be otherwise than it was sent

    def _free(self, stack: str, until: float) -> str:
        """What Komodo is still doing to a stack when the time is over, "" as soon as it does nothing."""
        for _ in self._polling(until):
            if not (going_on := self._api.at_work(stack)):
                return ""
        return going_on

    def _asked(self, step: Step, until: float, keep: Keep) -> Step:
        """The update that was asked for: the one that a crash left behind, or a new one."""
        stack = self.find(step.stack)
        if stack is None and step.deed == "remove":
            return step.now("done", said="it was gone already")
        if stack is None:
            return step.now("failed", said="somebody removed it from Komodo meanwhile")
        found = self._newer(step, stack.id.oid) or self._execute(step).key
        if not found:  # Komodo has not written it down yet; it can only be known by when it came
            for _ in self._polling(min(until, self._clock.monotonic() + _SETTLING)):
                if found := self._newer(step, stack.id.oid):
                    break
        step = step.now("asked", update=found) if found else step.now("asking", tries=step.tries + 1, said=_NO_UPDATE)
        keep(step)
        return step

    def _execute(self, step: Step) -> Update:
        named = list(step.services)
        if step.deed == "deploy":
            return self._api.deploy(step.stack, named)
        return self._api.restart(step.stack, named) if step.deed == "restart" else self._api.destroy(step.stack)

    def _newest(self, stack_id: str) -> str:
        return next((one.id for one in self._api.updates(stack_id)), "")

    def _newer(self, step: Step, stack_id: str) -> str:
        """The update of this operation that came after the one that was the newest; "" where there is none."""
        for one in self._api.updates(stack_id):
            if one.id == step.seen:
                return ""
            if one.operation == _OPERATIONS[step.deed]:
                return one.id
        return ""

    # ── following ────────────────────────────────────────────────────────────────────────────────

    def _followed(self, step: Step, until: float, keep: Keep) -> Step:
        for _ in self._polling(until):
            try:
                update = self._api.update(step.update)
            except KomodoError as error:
                if not error.missing:
                    raise
                # Not to be found among the others, it marks no place there: what was the newest before it still does.
                return self._lost(step, f"Komodo knows nothing of update {step.update} any more", keep)
            if update.over:
                return self._ended(step, update, until, keep)
        if not self._api.at_work(step.stack):
            said = f"update {step.update} does not end, though Komodo does nothing any more"
            return self._lost(replace(step, seen=step.update), said, keep)
        return replace(step, said=f"{_OPERATIONS[step.deed]} is still under way after {self._deadline:g} s")

    def _lost(self, step: Step, said: str, keep: Keep) -> Step:
        """Nobody will ever say how the update went: what there is decides, else it is asked for again."""
        stack = self.find(step.stack)
        if step.deed == "deploy" and stack and self._is_deployed(step, stack):
            standing = self.standing(step.stack, step.wanted)
            if standing.good:
                return step.now("done", said=f"{said}, but what was wanted is deployed: {standing.told}")
        again = step.now("asking", update="", tries=step.tries + 1, said=said)
        keep(again)
        return again

    def _ended(self, step: Step, update: Update, until: float, keep: Keep) -> Step:
        if update.busy:
            again = step.now("preparing", update="", said="Komodo was busy with it")
            keep(again)
            return again
        if not update.success:
            return step.now("failed", said=f"{_OPERATIONS[step.deed]} failed: {update.fault}")
        if step.deed == "remove":
            if not step.stays and (stack := self.find(step.stack)):
                self._api.delete(stack.id.oid)
            return step.now("done", said="taken down; its volumes stay")
        return self._read_back(step, until)

    def _read_back(self, step: Step, until: float) -> Step:
        if step.deed == "deploy" and (fault := self._deployed_otherwise(step)):
            return step.now("failed", said=fault)
        settled = min(until, self._clock.monotonic() + min(_SETTLING, self._deadline / 2))
        steady, up_since = min(_STEADY, self._deadline / 8), float("inf")
        for _ in self._polling(until, steady / 2):
            standing, now = self.standing(step.stack, step.wanted), self._clock.monotonic()
            up_since = min(up_since, now) if standing.good else float("inf")
            if now - up_since >= steady:
                break
            if standing.faults and now >= settled:
                break
        return step.now("done" if standing.good else "failed", said=standing.told)

    def standing(self, stack: str, specs: Specs) -> services.Standing:
        """How the services of a stack are, which is wanted like this."""
        ignored = (specs.get(STACK) or {}).get("ignore_services", ())
        return services.standing(self._api.services(stack), specs.get(COMPOSE), ignored)

    def _deployed_otherwise(self, step: Step) -> str:
        """Why what runs is not what was reviewed; "" where it is, as far as Komodo says."""
        stack, spec = self._api.stack(step.stack), step.wanted[STACK]
        commit, deployed = spec.get("commit", ""), stack.info.deployed_hash or ""
        if stacks.is_pinned(spec) and deployed and not commit.startswith(deployed):
            return f"Komodo deployed commit {deployed}, and not {commit[:12]}"
        kept, compose = stack.info.deployed_contents, step.wanted.get(COMPOSE)
        if compose is None or not kept or contents.is_filled_in(compose):
            return ""
        # What is put back is known with its secrets covered only.
        same = compose in (contents.exactly(kept[0].contents), contents.understood(kept[0].contents))
        return "" if same else "Komodo deployed another compose file than the one that was reviewed"

    def undeployed(self, name: str, specs: Specs) -> str:
        """Why a stack of ours is not what it is configured to be; "" where it is, and for those of others."""
        stack = self.find(name)
        if stack is None or STACK not in specs:
            return ""
        if not (contents.is_ours(str(stack.config.get("file_contents"))) or stacks.is_pinned(specs[STACK])):
            return ""
        if not self._is_deployed(Step(stack=name, deed="deploy", why="", wanted=specs), stack):
            return f"{name}: Komodo does not say that it was deployed as it is configured"
        standing = self.standing(name, specs)
        return "" if standing.good else f"{name}: {standing.told}"

    def _is_deployed(self, step: Step, stack: Stack) -> bool:
        """Whether Komodo itself says that exactly this was deployed."""
        said = stack.info.deployed_hash if stacks.is_pinned(step.wanted[STACK]) else stack.info.deployed_contents
        return bool(said) and not self._deployed_otherwise(step)

    def find(self, name: str) -> Stack | None:
        try:
            return self._api.stack(name)
        except KomodoError as error:
            if error.missing:
                return None
            raise

    def _polling(self, until: float, pause: float = _SHORTEST) -> Iterator[None]:
        """At once, and then again and again, more seldom with time, until it is too late."""
        yield
        while (left := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(pause, left))
            pause = min(pause * 1.6, _LONGEST)
            yield


def _as_it_is(step: Step, stack: Stack | None) -> Stack:
    """What held secrets can only be deployed while it still stands there, secrets and all: a cover is none."""
    if stack is None or stacks.mark(stack.config) != step.mark:
        raise secrets_lost(step.stack)
    return stack


def secrets_lost(stack: str) -> KomodoError:
    """What stood there before cannot be put back from here."""
    told = f"what stood in stack '{stack}' before held secrets that nobody here kept"
    return KomodoError(told, retry=False, remedy="Put it back in Komodo by hand.")


def _holds(stack: Stack, config: Mapping[str, Any]) -> bool:
    """Whether Komodo has this very configuration already."""
    return all(stack.config.get(name) == value for name, value in config.items())
