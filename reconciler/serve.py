"""The running reconciler: one thread of passes, a schedule and a watch that wake it, and answers about it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from reconciler import alerts, garbage, loop, metrics, reviewing, schedule, telling
from reconciler.alerting.heartbeat import Heartbeat
from reconciler.app import api, sender, watcher
from reconciler.commits import policy_in_force
from reconciler.core import account
from reconciler.core.redact import covered
from reconciler.core.target import Target, TargetError
from reconciler.deployed import deployed
from reconciler.git.left_locked import LeftLocked
from reconciler.git.store import GitError, Store
from reconciler.gitea.hearing import Hearing
from reconciler.gitea.webhook import Delivery, Heard
from reconciler.home import Home
from reconciler.housekeeping import Housekeeper
from reconciler.loop import Outcome
from reconciler.planning import plan_main
from reconciler.recall import Recall
from reconciler.routing.asking import asked
from reconciler.traefik.consequences import explained
from reconciler.traefik.encryption import encryption
from reconciler.traefik.lent import lent
from reconciler.web import Unknown
from reconciler.world import World
from state import events, views
from state.errors import LogError
from state.log import Entry
from state.model import Address

logger = structlog.get_logger("reconciler")

_OURS = frozenset({"people.db", "people.db-wal", "outbox.db", "outbox.db-wal", "packed-refs", "HEAD"})


class Reconciler:
    """Passes one at a time, asked for by anybody; answers about them for everybody."""

    def __init__(self, home: Home, world: World) -> None:
        self._home = home
        self._world = world
        # Passes remember what they saw last, and prove against that; a question in between must not change it.
        targets = {name: target.apart() for name, target in world.targets.items()}
        self._asked = replace(world, targets=targets, recall=Recall())
        self._announcer = alerts.Announcer(world, sender(home), logger.warning)
        self._heartbeat = Heartbeat(home.settings.heartbeat_url, home.settings.ca_file, logger.warning)
        self._housekeeper = Housekeeper(home, world, watcher(home, world), self.encryption, logger.warning)
        self._left_locked = LeftLocked(home.desired_store_path, world.clock)
        self._pass = threading.Lock()
        self._due = threading.Event()
        self._stop = threading.Event()
        self._last = Outcome(state="waiting", said="no pass has run yet")
        self._begun = self._passes = 0
        self._webhooks = Hearing(home.settings.webhook_secrets, world.clock)
        self._schedule = schedule.Schedule(self.wake)

    # ── running ──────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Passes happen, on time and on notice, for as long as this lasts."""
        with garbage.seldom_looked_for(), self._at_work():
            yield

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        worker = threading.Thread(target=self._work, name="passes")
        watching = schedule.watched(self._watched_places(), self._interesting, self.wake)
        worker.start()
        self._webhooks.secrets.look()
        self._announcer.start()
        self._follow_policy()  # passes may fail for long: backups do not wait for the first good one
        self._housekeeper.start()
        self.wake()
        try:
            yield
        finally:
            self._stop.set()
            self._due.set()
            watching.set()
            self._schedule.stop()
            worker.join()
            self._announcer.stop()
            self._heartbeat.stop()
            self._housekeeper.stop()

    def wake(self) -> None:
        """A pass is due; several wishes are one pass."""
        self._due.set()

    def hooked(self, delivery: Delivery) -> Heard:
        """A webhook came: a pass is due if it tells of a push, and is really from Gitea."""
        return self._webhooks.hear(delivery, self._due_next)

    def _due_next(self) -> int:
        self.wake()
        return self._begun + 1  # one that has begun may have looked at main already

    def pass_now(self) -> Outcome:
        """One pass, at once or right after the one that is going on."""
        with self._pass:
            self._begun += 1
            self._webhooks.secrets.look()  # so that they are at hand when the next webhook comes
            for left in self._left_locked.sweep():
                logger.warning("a lock that a killed process left is removed", file=str(left))
            try:
                self._last = self._guarded_pass()
            finally:
                self._passes = self._begun
            return self._last

    def _work(self) -> None:
        while not self._stop.is_set():
            self._due.wait()
            self._due.clear()
            if not self._stop.is_set():
                self._work_once()

    def _work_once(self) -> None:
        try:
            before = self._last
            outcome = self.pass_now()
            # A pass that found what the last one found is a tick, not news.
            if (outcome.state, outcome.said) != (before.state, before.said):
                logger.info("pass", state=outcome.state, said=outcome.said)
        except Exception as error:  # the top of this thread: a fault of ours must not end all passes
            logger.exception("a pass failed in a way nobody foresaw")
            self._last = Outcome(state="lost", said=f"unforeseen {type(error).__name__}: {error}")
            self._record(self._last.said)
            with contextlib.suppress(LogError, OSError):
                self._announcer.announce()

    def _guarded_pass(self) -> Outcome:
        """A pass whose failure is recorded once and does not end the process: the next one tries again."""
        try:
            outcome = loop.run_pass(self._world)
            self._follow_policy()
            self._record("")
        except (GitError, TargetError, LogError, OSError) as error:
            outcome = Outcome(state="lost", said=str(error))
            self._record(f"{type(error).__name__}: {error}")
        with contextlib.suppress(LogError, OSError):
            self._announcer.announce()
        self._heartbeat.after(outcome.state)
        return outcome

    def _record(self, failed: str) -> None:
        """Why a pass failed, or "": that it did not. Either is news only where it was otherwise before."""
        try:
            known = self._world.log.view(views.Health).pass_failed
            if failed and failed != known:
                self._world.log.append(Entry(stream="home", event=events.PassFailed(reason=failed)))
            elif known and not failed:
                recovered = events.PassRecovered(reason="passes work again")
                self._world.log.append(Entry(stream="home", event=recovered))
        except (LogError, OSError) as error:
            logger.error("the log cannot be written", error=str(error))

    def _follow_policy(self) -> None:
        with contextlib.suppress(GitError, LogError):
            if head := self._world.store.head(self._world.branch):
                policy = policy_in_force(self._world, head)
                self._schedule.follow((policy.schedules.reconcile, policy.schedules.drift))
                self._announcer.follow(policy.alerts)
                self._housekeeper.follow(policy)

    def _watched_places(self) -> list[Path]:
        home = self._home
        directories = [place.dynamic_dir for place in home.settings.places]
        return [home.path, *directories]

    def _interesting(self, path: Path) -> bool:
        """People's and the gateway's outboxes, references, and live files; not what passes themselves write."""
        if path.is_relative_to(self._home.path) and not any(
            path.is_relative_to(place.dynamic_dir) for place in self._home.settings.places
        ):
            in_refs = path.is_relative_to(self._home.desired_store_path / "refs" / "heads")
            return path.name in _OURS or (in_refs and path.suffix != ".lock")
        return not path.name.startswith(".waypost") and path.name != "waypost.previous"

    # ── answering ────────────────────────────────────────────────────────────────────────────────

    def plan_of(self, proposal: str) -> dict[str, Any]:
        world = self._own_view()
        reviewing.take_in(world)
        record = world.log.view(views.Proposals).items.get(proposal)
        if record is None:
            raise Unknown(f"there is no proposal '{proposal}'; see waypost proposals")
        if not reviewing.arrived(world, record):
            raise Unknown(f"the commit of proposal '{proposal}' has not arrived here yet")
        return {"proposal": proposal, "plan": account.as_json(reviewing.show(world, record, self._head(world)).plan)}

    def plan_ref(self, ref: str) -> dict[str, Any]:
        world = self._own_view()
        try:
            commit = world.store.resolve(ref) if ref else self._head(world)
        except GitError as error:
            raise Unknown(str(error)) from error
        return {"plan": account.as_json(plan_main(world, commit).plan)}

    def history(self, resource: str, limit: int) -> dict[str, Any]:
        address = Address.parse(resource) if resource else None
        return {"events": telling.history(self._world, address, limit)}

    def why(self, resource: str) -> dict[str, Any]:
        return telling.why(self._world, Address.parse(resource))

    def status(self) -> dict[str, Any]:
        return {"passes": self._passes, **telling.status(self._world, self._last)}

    def webhooks(self) -> dict[str, Any]:
        return self._webhooks.told(self._passes)

    def drift(self) -> dict[str, Any]:
        return telling.drift(self._world)

    def deployed(self, limit: int) -> dict[str, Any]:
        return deployed(self._world, limit)

    def metrics(self) -> bytes:
        return metrics.page(self._own_view())

    def live(self, instance: str) -> dict[str, Any]:
        return telling.live(self._instance(instance).observe())

    def explain(self, instance: str, request: str) -> dict[str, Any]:
        target = self._instance(instance, "traefik")
        observed = target.observe()
        answer = explained(target.instance, observed, asked(request.encode()))
        # Why a router serves nothing is told in Traefik's words, and those may quote the secret of what it uses.
        used = (observed.served.get(kind, {}) for kind in ("http.middlewares", "http.services"))
        return dict(covered(answer, (item.spec for listed in used for item in listed.values())))

    def encryption(self, instance: str) -> dict[str, Any]:
        target = self._instance(instance, "traefik")
        place = next(place for place in self._home.settings.places if place.name == target.instance)
        with contextlib.closing(api(self._home, place)) as traefik:
            static, certificates = traefik.support_dump(), traefik.certificates()
        host = urlsplit(place.api_url).hostname or ""
        elsewhere = {one.name: (one.at.host, one.at.port) for one in place.entry_points}
        return encryption(target.observe(), host, elsewhere=elsewhere, static=static, certificates=certificates)

    def lent(self, instance: str, router: str, protocol: str) -> dict[str, Any]:
        target = self._instance(instance, "traefik")
        observed = target.observe()
        if observed.witness:
            raise TargetError(f"Traefik cannot be asked now: {observed.witness}")
        found = lent(observed, router, protocol)
        if found is None:
            raise Unknown(f"{target.instance} serves no {protocol.upper() or 'such'} router '{router}'")
        return found

    def _instance(self, name: str, kind: str = "") -> Target:
        """One of a kind, or of any. Raises Unknown with those there are."""
        known = {one: target for one, target in self._asked.targets.items() if kind in ("", target.kind)}
        target = known.get(name or "traefik")
        if target is None:
            what = f"{kind} instance" if kind else "instance"
            raise Unknown(f"there is no {what} '{name}'; there are: {', '.join(known) or 'none'}")
        return target

    def proposals(self) -> dict[str, Any]:
        return {"proposals": [telling.proposal(one) for one in self._world.log.view(views.Proposals).items.values()]}

    def proposal(self, id: str) -> dict[str, Any]:
        record = self._world.log.view(views.Proposals).items.get(id)
        if record is None:
            raise Unknown(f"there is no proposal '{id}'; see waypost proposals")
        return telling.proposal(record)

    def revision(self, number: int) -> dict[str, Any]:
        found = self._world.log.view(views.Revisions).by_number.get(number)
        if found is None:
            raise Unknown(f"there is no revision {number}")
        return {"number": number, "commit": found.commit, "tree": found.tree, "at": found.at.isoformat()}

    def _own_view(self) -> World:
        # A repository handle is for one thread; questions are answered by many.
        return replace(self._asked, store=Store.open(self._home.desired_store_path))

    def _head(self, world: World) -> str:
        head = world.store.head(world.branch)
        if head is None:
            raise Unknown(f"{world.source} has no branch '{world.branch}'")
        return head
