"""Schedules written by hand, each the shortest way to where one safeguard is all that keeps things right.

Chance comes to such a place once in hundreds of schedules; a safeguard that is gone must be noticed at once. Every play
holds with the product as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from state import events, views
from state.record import Cursor
from tests.komodo.fake_komodo import Fate
from tests.simulation.deeds import Stage, lose_power
from tests.simulation.ending import end, newest_taken_back
from tests.simulation.fate import CHANGE, require
from tests.simulation.home import Setting
from tests.simulation.people import document, stack_files, text
from tests.simulation.schedule import Theatre

OUR_FOLDER = "/traefik/mcp-managed"


@dataclass(frozen=True)
class Play:
    """What happens before the faults are healed; in which sort of home, and whether its first commit is live."""

    act: Callable[[Stage], None]
    setting: Setting = field(default_factory=Setting)
    settled: bool = True

    def perform(self, theatre: Theatre) -> None:
        """Raises Violation where something is not as it must be."""
        with theatre.stage(self.setting, 0, settled=self.settled) as stage:
            self.act(stage)
            end(stage, righted=False)


class Unlucky(Random):
    """Nothing that could be lost is kept."""

    def randint(self, a: int, b: int) -> int:
        return a

    def choice(self, seq: Any) -> Any:
        return seq[0]


def route(stage: Stage, name: str = "app2", **more: Any) -> None:
    stage.people.push({f"traefik/{name}.yaml": text(document(name, 1, **more))})


def dies_before(stage: Stage, change: str) -> None:
    """A pass that ends just before the first change that is called so, if it comes to one."""
    process = stage.home.start()
    stage.home.run({(CHANGE, change): process.fate.die})


def dies_after(stage: Stage, *changes: str) -> None:
    """A pass that ends just after the last of these changes, which come in this order."""
    process = stage.home.start()
    following = {(CHANGE, 1): process.fate.die}
    for change in reversed(changes):
        following = {(CHANGE, change): partial(process.fate.expect, following)}
    outcome = stage.home.run(following)
    require(outcome is None, "a pass comes to these changes", changes)


def recorded(stage: Stage, kind: type[events.Event]) -> list[Any]:
    return [one.event for one in stage.home.usable().log.events if isinstance(one.event, kind)]


def the_power_goes_after_a_proof(stage: Stage) -> None:
    route(stage)
    stage.home.run()
    stage.home.bury()
    lose_power(stage, Unlucky())


def death_before_a_flush_and_then_the_power_goes(stage: Stage) -> None:
    """The next process finds the file in its place, and has it proven."""
    route(stage)
    process = stage.home.start()
    flush = {(CHANGE, f"flush {OUR_FOLDER}"): process.fate.die}
    stage.home.run({(CHANGE, f"rename to {OUR_FOLDER}/waypost.yml"): lambda: process.fate.expect(flush)})
    stage.home.run()
    stage.home.bury()
    lose_power(stage, Unlucky())


def death_within_a_move_of_a_branch(stage: Stage) -> None:
    route(stage)
    dies_before(stage, "lock a reference")


def death_between_a_refusal_and_its_quarantine(stage: Stage) -> None:
    route(stage, flaw="refused")
    dies_before(stage, "append ResourcesQuarantined")


def death_between_the_branch_of_a_revert_and_its_record(stage: Stage) -> None:
    route(stage, flaw="refused")
    dies_before(stage, "append ProposalMade, ProposedRevert")
    stage.home.time.pass_by(60)
    stage.home.run()
    require(recorded(stage, events.ProposedRevert), "a revert is proposed of what was refuted")


class Halfway(Random):
    """Of what could be lost only the last is."""

    def randint(self, a: int, b: int) -> int:
        return max(a, b - 1)


def the_power_goes_between_the_halves_of_a_rename(stage: Stage) -> None:
    """And the next write dies within the file that it stages."""
    live, staged = f"{OUR_FOLDER}/waypost.yml", f"{OUR_FOLDER}/.waypost.next"
    route(stage)
    dies_after(stage, f"rename to {live}")
    stage.home.disk.lose_power(Halfway())
    stands = stage.home.disk.content(live)
    require(stands == stage.home.disk.content(staged), "both names are on the disk")
    route(stage, "app3")
    dies_before(stage, f"fill {staged}")
    require(stage.home.disk.content(live) == stands, "our file is never half")


def only_the_notice_of_a_neighbours_end_is_lost(stage: Stage) -> None:
    traefik = stage.home.traefiks["traefik"]
    stage.people.put_neighbour("/traefik/bad.yml", b"[broken")
    traefik.restart()
    stage.home.run()
    traefik.losing = 1
    stage.people.put_neighbour("/traefik/bad.yml", None)
    stage.home.run()
    stage.home.time.pass_by(1)
    served = traefik.running_file == stage.home.disk.content(f"{OUR_FOLDER}/waypost.yml")
    require(served, "what was proven is served again")


def a_poison_is_written_while_notices_get_lost(stage: Stage) -> None:
    traefik = stage.home.traefiks["traefik"]
    traefik.losing = 99
    route(stage, flaw="poison")
    stage.home.run()
    traefik.losing = 0
    stage.home.run()
    require(not recorded(stage, events.ApplyRefuted), "what was tried a moment ago is not tried again")
    stage.home.time.pass_by(300)
    stage.home.run()
    require(len(recorded(stage, events.ApplyRefuted)) == 1, "nothing stays in doubt")


def a_commit_comes_while_a_write_is_in_doubt(stage: Stage) -> None:
    stage.home.traefiks["traefik"].watching = False
    route(stage)
    stage.home.run()
    route(stage, "app3")
    stage.home.run()


def a_write_is_not_noticed(stage: Stage) -> None:
    stage.home.traefiks["traefik"].watching = False
    route(stage)
    stage.home.run()
    made = recorded(stage, events.RevisionMade)
    require(len(made) == 1, "what nobody proved is no revision", made)


def our_file_is_broken_by_hand_while_a_commit_removes_a_route(stage: Stage) -> None:
    content = stage.home.disk.content(f"{OUR_FOLDER}/waypost.yml")
    assert content is not None
    stage.people.write_live("traefik", content[:-40])
    stage.people.push({"traefik/gitea.yaml": None})
    stage.home.run()
    adopted = recorded(stage, events.ResourcesAdopted)
    require(not adopted, "what cannot be read was removed by nobody", adopted)


def the_newest_commit_is_taken_back(stage: Stage) -> None:
    newest_taken_back(stage)


def one_of_two_refuses_its_part_of_a_commit(stage: Stage) -> None:
    good, bad = document("app2", 1), document("app2", 1, flaw="refused")
    stage.people.push({"edge/app2.yaml": text(good), "traefik/app2.yaml": text(bad)})
    for _ in range(3):
        stage.home.run()
    edge = stage.home.disk.content(stage.home.live_file("edge")) or b""
    require(b"app2" not in edge, "what went with a refused change is taken back elsewhere")


def a_neighbours_poison_comes(stage: Stage) -> None:
    stage.people.put_neighbour("/traefik/zz-poison.yml", b'{"http": {"routerz": {}}}')
    stage.home.run()
    known = stage.home.usable().log.view(views.Health).of("traefik").poison
    require(known.keys() == {"zz-poison.yml"}, "a poison file is told of", known)


def a_neighbours_poison_would_outlive_a_restart(stage: Stage) -> None:
    stage.people.put_neighbour("/traefik/zz-poison.yml", b'{"http": {"routerz": {}}}')
    stage.home.run()
    lost = [one.routes for one in recorded(stage, events.RestartLossFound)]
    require(lost and "app0@file" in lost[-1], "what a restart would lose is told of", lost)


def an_alert_stands_for_days(stage: Stage) -> None:
    stage.home.traefiks["traefik"].mood = "down"
    for hour in range(50):
        stage.home.run()
        raised = len(recorded(stage, events.AlertRaised))
        require(raised == 1 + hour // 24, "one message a cause, and one reminder a day", hour, raised)
        stage.home.time.pass_by(3600)


def traefik_watches_another_folder(stage: Stage) -> None:
    stage.home.traefiks["traefik"].watching = False
    stage.home.run()
    begun = recorded(stage, events.ApplyStarted)
    require(not begun, "nothing is written before Traefik is known to see it", begun)


def a_commit_loosens_the_guards_that_it_would_meet(stage: Stage) -> None:
    loose = {"version": 1, "guards": {"hostnames_removed": {"max": 10, "share": 1.0}}}
    gone = {"traefik/app0.yaml": None, "traefik/app1.yaml": None}
    stage.people.push({"waypost.yaml": text(loose), **gone})
    stage.home.run()


def a_person_agrees_and_then_more_is_lost(stage: Stage) -> None:
    stage.people.push({"traefik/app0.yaml": None, "traefik/app1.yaml": None})
    stage.home.run()
    stage.people.consent()
    stage.people.push({"traefik/gitea.yaml": None})
    stage.home.run()


def an_outbox_is_read_anew(stage: Stage) -> None:
    """As after a restore of the log from before it was read."""
    stage.people.propose({"traefik/app2.yaml": text(document("app2", 1))}, "a proposal")
    stage.home.run()
    stage.home.start().log.append([], cursor=Cursor("person", "", 0, ""))
    stage.home.run()
    made = recorded(stage, events.ProposalMade)
    require(len(made) == 1, "what was said once is recorded once", made)


def death_between_an_alert_and_its_record(stage: Stage) -> None:
    stage.home.traefiks["traefik"].mood = "down"
    dies_before(stage, "append AlertDelivered")
    stage.home.run()


# ── a Komodo beside Traefik ──────────────────────────────────────────────────────────────────────


def new_media(stage: Stage, *, fails: str = "") -> None:
    assert stage.home.komodo is not None
    stage.home.komodo.fates["media"] = [Fate(fails=fails)]
    stage.people.push(stack_files("media", 2))


def death_after_a_deploy_was_asked_for(stage: Stage) -> None:
    new_media(stage)
    dies_after(stage, "komodo DeployStack media")


def death_after_a_deploy_was_put_back(stage: Stage) -> None:
    new_media(stage, fails="no such image")
    dies_after(stage, "komodo DeployStack media", "komodo DeployStack media")


def a_deploy_comes_to_nothing(stage: Stage) -> None:
    new_media(stage, fails="no such image")
    stage.home.run()


def death_after_a_deploy_was_told(stage: Stage) -> None:
    new_media(stage)
    dies_after(stage, "append StackDeployed, StacksSkipped")
