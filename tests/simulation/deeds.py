"""Everything that can happen in a schedule: what people do, what breaks, what the reconciler lives through."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, Final

from state import events, views
from tests.simulation.audit import Audit
from tests.simulation.fate import CHANGE, LOOK, Happening, require
from tests.simulation.home import Home
from tests.simulation.people import AUTH, CANARY, UNREADABLE, People, document, stack_files, text
from tests.simulation.traefik import Mood

ROUTES: Final = ("app0", "app1", "app2")
POLICIES: Final = (
    {"version": 1},
    {"version": 1, "targets": {"traefik": {"drift": "heal"}}},
    {"version": 1, "guards": {"hostnames_removed": {"max": 1}}},
)


@dataclass
class Stage:
    """A home with everybody around it, and one choice after the other of what they do."""

    home: Home
    people: People
    audit: Audit

    def instance(self, random: Random) -> str:
        return random.choice(self.home.setting.instances)


Deed = Callable[[Stage, Random], object]
DEEDS: Final[dict[str, tuple[int, Deed]]] = {}
"""Name -> how often it is drawn, and what is done."""


def deed(weight: int) -> Callable[[Deed], Deed]:
    def enter(done: Deed) -> Deed:
        DEEDS[done.__name__.replace("_", " ")] = weight, done
        return done

    return enter


# ── commits ──────────────────────────────────────────────────────────────────────────────────────


def edits_of(stage: Stage, random: Random, flaw: str = "") -> dict[str, bytes | None]:
    """One route, new or changed; with two instances a commit is often about both."""
    name, version = random.choice(ROUTES), random.randint(1, 2)
    content = text(document(name, version, guarded=random.random() < 0.3, flaw=flaw))
    instances = list(stage.home.setting.instances)
    chosen = instances if len(instances) > 1 and random.random() < 0.5 else [random.choice(instances)]
    edits: dict[str, bytes | None] = {f"{instance}/{name}.yaml": content for instance in chosen}
    if flaw and len(chosen) > 1:  # only one of the two dislikes it
        edits[f"{chosen[0]}/{name}.yaml"] = text(document(name, version))
    return edits


@deed(10)
def commit_a_route(stage: Stage, random: Random) -> None:
    stage.people.push(edits_of(stage, random), "a route")


@deed(3)
def commit_what_traefik_refuses(stage: Stage, random: Random) -> None:
    stage.people.push(edits_of(stage, random, "refused"), "a plugin")


@deed(2)
def commit_a_poison(stage: Stage, random: Random) -> None:
    stage.people.push(edits_of(stage, random, "poison"), "a header")


@deed(1)
def commit_what_cannot_be_read(stage: Stage, random: Random) -> None:
    path = f"{stage.instance(random)}/{random.choice(ROUTES)}.yaml"
    stage.people.push({path: UNREADABLE}, "a slip")


@deed(1)
def commit_a_name_twice(stage: Stage, random: Random) -> None:
    instance, name = stage.instance(random), random.choice(ROUTES)
    content = text(document(name, 1))
    stage.people.push({f"{instance}/{name}.yaml": content, f"{instance}/again.yaml": content}, "a copy")


@deed(2)
def commit_a_policy(stage: Stage, random: Random) -> None:
    policy = dict(random.choice(POLICIES))
    if len(stage.home.setting.instances) > 1:
        drift = policy.get("targets", {}).get("traefik", {})  # type: ignore[attr-defined]
        policy["targets"] = {"traefik": drift, "edge": {"directory": "edge"}}
    stage.people.push({"waypost.yaml": text(policy)}, "a policy")


@deed(4)
def commit_removals(stage: Stage, random: Random) -> None:
    """Some routes, the protected one perhaps, or everything."""
    head = stage.people.main
    files = stage.people.files(head) if head else {}
    instance = stage.instance(random)
    routes = sorted(path for path in files if path.startswith(f"{instance}/"))
    if not routes:
        return
    count = random.choice([1, 1, 2, 3, len(routes)])
    gone = random.sample(routes, min(count, len(routes)))
    stage.people.push(dict.fromkeys(gone), "fewer routes")


@deed(2)
def commit_no_more_authentication(stage: Stage, random: Random) -> None:
    head = stage.people.main
    files = stage.people.files(head) if head else {}
    guarded = sorted(path for path, content in files.items() if b'"auth"' in content and "/auth" not in path)
    if guarded:
        path = random.choice(guarded)
        name = path.rpartition("/")[2].removesuffix(".yaml")
        stage.people.push({path: text(document(name, 1))}, "open to all")


@deed(2)
def force_push(stage: Stage, random: Random) -> None:
    """main goes back, or to a history of its own."""
    people = stage.people
    if not people.mains:
        return
    if random.random() < 0.5:
        people.move_main(random.choice(people.mains))
        return
    base = random.choice(people.mains)
    people.counted += 1
    parents = stage.home.store.commit(base).parents
    commit = people.committed(
        edits_of(stage, random), onto=parents[0] if parents else base, title=f"rewritten {people.counted}"
    )
    people.move_main(commit)


@deed(1)
def revert_what_failed(stage: Stage, random: Random) -> None:
    """Approve what Waypost itself proposed."""
    own = [id for id, record in stage.people.records.items() if id.startswith("revert-") and record.status == "open"]
    if own:
        _approve(stage, random, own[-1])


# ── proposals ────────────────────────────────────────────────────────────────────────────────────


@deed(4)
def propose(stage: Stage, random: Random) -> None:
    stage.people.propose(edits_of(stage, random, random.choice(["", "", "", "refused"])), "a proposal")


@deed(1)
def propose_a_rollback(stage: Stage, random: Random) -> None:
    kept = stage.home.store.revisions()
    if kept and stage.people.main:
        stage.people.roll_back(kept[random.choice(sorted(kept))])


@deed(4)
def approve(stage: Stage, random: Random) -> None:
    waiting = [id for id, record in stage.people.records.items() if record.status == "open"]
    if waiting:
        _approve(stage, random, random.choice(waiting))


def _approve(stage: Stage, random: Random, id: str) -> None:
    people = stage.people
    if people.main is None:
        return
    if random.random() < 0.6:
        people.look_at(id)
    head, commit = people.main, people.prepared(people.records[id].commit)
    if commit:
        people.land(commit, head)


@deed(2)
def approve_two_at_once(stage: Stage, random: Random) -> None:
    """Two people prepare their merges of the same main. The second is told that somebody came first, and may retry."""
    people = stage.people
    waiting = [record for record in people.records.values() if record.status == "open"]
    head = people.main
    if len(waiting) < 2 or head is None:
        return
    chosen = random.sample(waiting, 2)
    prepared = [people.prepared(record.commit) for record in chosen]
    landed = [people.land(commit, head) for commit in prepared if commit]
    moved = [commit for commit in prepared if commit and commit != head]
    require(sum(landed) <= 1 or len(moved) < 2, "two approvals at once do not undo each other", chosen)
    if random.random() < 0.7 and (again := people.prepared(chosen[1].commit)):
        people.land(again, people.main)


@deed(1)
def reject(stage: Stage, random: Random) -> None:
    waiting = [id for id, record in stage.people.records.items() if record.status == "open"]
    if waiting:
        id = random.choice(waiting)
        stage.people.say(events.ProposalRejected(proposal=id, reason="no"), f"proposal/{id}")


@deed(3)
def consent(stage: Stage, random: Random) -> None:
    stage.people.consent()


@deed(2)
def heal_drift(stage: Stage, random: Random) -> None:
    stage.people.answer_drift()


@deed(1)
def accept_drift(stage: Stage, random: Random) -> None:
    stage.people.answer_drift(accept=True)


@deed(1)
def adopt_drift(stage: Stage, random: Random) -> None:
    """Propose that what is live be what is desired."""
    planned = stage.people.plan()
    found = [one for one in planned.plan.open_drift if isinstance(one.live, dict)] if planned else []
    head = stage.people.main
    if not found or head is None:
        return
    one = random.choice(found)
    resource = planned.desired.resources.get(one.address) if planned else None
    if resource and CANARY not in json.dumps(one.live):
        content = json.loads(stage.people.files(head).get(resource.file, b"{}"))
        kind = one.address.kind.partition(".")[2]
        if one.address.name in content.get("http", {}).get(kind, {}):
            content["http"][kind][one.address.name] = one.live
            stage.people.propose({resource.file: text(content)}, "adopt")


# ── the live side ────────────────────────────────────────────────────────────────────────────────


@deed(5)
def edit_by_hand(stage: Stage, random: Random) -> None:
    """Our live file: a route changed, added or taken out, a secret put in, or the whole of it broken."""
    instance = stage.instance(random)
    content = stage.home.disk.content(stage.home.live_file(instance))
    how = random.choice(["change", "change", "add", "remove", "secret", "break", "delete"])
    if content is None:
        return
    if how == "delete":
        stage.people.write_live(instance, None)
        return
    if how == "break":
        stage.people.write_live(instance, content[: len(content) // 2])
        return
    stage.people.write_live(instance, _edited(content, how, random))


def _edited(content: bytes, how: str, random: Random) -> bytes:
    try:
        found: Any = json.loads(content)
    except ValueError:
        return content
    http = found.setdefault("http", {})
    services, name = http.setdefault("services", {}), random.choice(ROUTES)
    if how == "change" and services:
        chosen = random.choice(sorted(services))
        services[chosen] = {"loadBalancer": {"servers": [{"url": f"http://10.9.9.{random.randint(1, 2)}:80"}]}}
    elif how == "remove" and http.get("routers"):
        del http["routers"][random.choice(sorted(http["routers"]))]
        if not http["routers"]:
            del http["routers"]
    elif how == "secret":
        http.setdefault("middlewares", {})["hand-secret"] = {"basicAuth": {"users": [CANARY]}}
    else:
        added = document(name, 9)["http"]
        http.setdefault("routers", {})[f"hand-{name}"] = added["routers"][name]
        services.setdefault(name, added["services"][name])
    if not services:
        del http["services"]
    return text(found)


@deed(3)
def a_neighbour_comes(stage: Stage, random: Random) -> None:
    """Somebody else's file beside ours: good, poison, with one of our names, or a dangling link."""
    instance, how = stage.instance(random), random.choice(["good", "good", "poison", "poison", "rival", "link"])
    path = f"/{instance}/{random.choice(['aa', 'zz'])}-{how}.yml"
    if how == "link":
        if stage.home.disk.node(path) is None:
            stage.home.disk.link(path, "/nowhere")
        return
    contents = {
        "good": text(document("theirs", 5)),
        "poison": b'{"http": {"routerz": {}}}',
        "rival": text(document(random.choice(ROUTES), 6)),
    }
    stage.people.put_neighbour(path, contents[how])


@deed(3)
def neighbours_go(stage: Stage, random: Random) -> None:
    for path in [
        *stage.people.neighbours,
        *(f"/{name}/{who}-link.yml" for name in stage.home.traefiks for who in ("aa", "zz")),
    ]:
        stage.people.put_neighbour(path, None)


@deed(2)
def traefik_restarts(stage: Stage, random: Random) -> None:
    stage.home.traefiks[stage.instance(random)].restart()


MOODS: Final[tuple[Mood, ...]] = (
    "down", "error", "slow", "garbage", "stale", "halved", "omits", "disables", "lists omit", "denies",
)  # fmt: skip


@deed(4)
def the_api_misbehaves(stage: Stage, random: Random) -> None:
    mood = random.choice(MOODS)
    stage.home.traefiks[stage.instance(random)].mood = mood
    stage.home.census[f"API: {mood}"] += 1


@deed(4)
def the_api_is_well_again(stage: Stage, random: Random) -> None:
    for traefik in stage.home.traefiks.values():
        traefik.mood = ""


@deed(2)
def notices_get_lost(stage: Stage, random: Random) -> None:
    traefik = stage.home.traefiks[stage.instance(random)]
    if random.random() < 0.3:
        traefik.watching = False
        stage.home.census["watch: dead"] += 1
    else:
        traefik.losing = random.randint(1, 2)
        stage.home.census["watch: notices lost"] += 1


# ── the machine ──────────────────────────────────────────────────────────────────────────────────


@deed(3)
def the_disk_fails(stage: Stage, random: Random) -> None:
    stage.home.disk.ailment = random.choice(["full", "read-only", "flush fails", "slow", "unreadable"])
    stage.home.census[f"disk: {stage.home.disk.ailment}"] += 1


@deed(3)
def the_disk_is_mended(stage: Stage, random: Random) -> None:
    stage.home.disk.ailment, stage.home.git_ailment = "", ""


@deed(2)
def the_log_fails(stage: Stage, random: Random) -> None:
    stage.home.log_ailment = random.choice(["full", "fault"])
    stage.home.census[f"log: {stage.home.log_ailment}"] += 1


@deed(3)
def the_log_is_mended(stage: Stage, random: Random) -> None:
    stage.home.log_ailment = ""


@deed(2)
def the_remote_goes(stage: Stage, random: Random) -> None:
    if stage.home.setting.remote:
        stage.home.remote_down = True
        stage.home.census["remote: gone"] += 1


@deed(2)
def the_remote_comes_back(stage: Stage, random: Random) -> None:
    stage.home.remote_down = False


@deed(1)
def another_writer_comes_or_goes(stage: Stage, random: Random) -> None:
    stage.home.second_writer = not stage.home.second_writer
    stage.home.census["directory: locked by another"] += stage.home.second_writer


@deed(2)
def the_clock_jumps(stage: Stage, random: Random) -> None:
    jump = random.choice([-7200, -60, 60, 3600, 90_000, 3 * 86_400])
    stage.home.time.wall += timedelta(seconds=jump)
    stage.home.census["clock: back" if jump < 0 else "clock: ahead"] += 1


@deed(2)
def time_passes(stage: Stage, random: Random) -> None:
    """Longer than a tick. Where main moved since the last pass, nobody told the reconciler: the next one finds it."""
    since = itertools.takewhile(lambda line: not line.startswith("outcome"), reversed(stage.home.trace.lines))
    stage.home.census["nudge: lost"] += any(line.startswith("main is at") for line in since)
    stage.home.time.pass_by(random.choice([1, 60, 3600]))


@deed(2)
def a_receiver_refuses_or_relents(stage: Stage, random: Random) -> None:
    refusing = random.choice([frozenset[str](), frozenset({"ada"}), frozenset({"ada", "bob"})])
    stage.home.refusing = refusing
    stage.home.census["alerts: receiver down"] += bool(refusing)


# ── the reconciler ───────────────────────────────────────────────────────────────────────────────


@deed(30)
def a_pass(stage: Stage, random: Random) -> None:
    stage.home.run()


@deed(14)
def a_pass_that_dies(stage: Stage, random: Random) -> None:
    """At any deed of its, or while it waits."""
    point = (CHANGE, random.randint(1, 70)) if random.random() < 0.8 else (LOOK, random.randint(1, 60))
    power = random.random() < 0.3

    def die() -> None:
        stage.home.census["power cut in a pass" if power else "death in a pass"] += 1
        process = stage.home.process
        assert process is not None
        process.fate.die()

    outcome = stage.home.run({point: die})
    if outcome is None and power:
        lose_power(stage, random)
    if outcome is None and random.random() < 0.7:
        stage.home.start()


MEANWHILE: Final[tuple[Deed, ...]] = (
    commit_a_route, force_push, edit_by_hand, edit_by_hand, a_neighbour_comes, neighbours_go, traefik_restarts,
    the_api_misbehaves, the_disk_fails, the_log_fails, the_clock_jumps, time_passes,
)  # fmt: skip


@deed(8)
def a_pass_with_something_meanwhile(stage: Stage, random: Random) -> None:
    point = (random.choice([CHANGE, LOOK]), random.randint(1, 50))
    stage.home.run({point: meanwhile(stage, random)})


@deed(3)
def an_edit_by_hand_while_a_commit_is_applied(stage: Stage, random: Random) -> None:
    """Between the look that the plan was made from and the write, or soon after."""
    commit_a_route(stage, random)
    stage.home.census["meanwhile"] += 1
    stage.home.run({(CHANGE, random.randint(3, 9)): lambda: edit_by_hand(stage, random)})


@deed(2)
def a_lie_while_a_commit_is_applied(stage: Stage, random: Random) -> None:
    """One sort of question is answered wrongly, from the write on."""
    commit_a_route(stage, random)
    mood = random.choice(MOODS[5:])

    def lie() -> None:
        stage.home.census[f"API: {mood}"] += 1
        for traefik in stage.home.traefiks.values():
            traefik.mood = mood

    stage.home.run({(CHANGE, random.randint(5, 20)): lie})


@deed(2)
def death_while_a_commit_is_refused(stage: Stage, random: Random) -> None:
    commit_what_traefik_refuses(stage, random)
    stage.home.census["death in a pass"] += 1

    def die() -> None:
        assert stage.home.process is not None
        stage.home.process.fate.die()

    stage.home.run({(CHANGE, random.randint(16, 36)): die})


def meanwhile(stage: Stage, random: Random) -> Happening:
    chosen = random.choice(MEANWHILE)

    def happen() -> None:
        stage.home.census["meanwhile"] += 1
        stage.home.trace.add("meanwhile:", chosen.__name__)
        chosen(stage, random)

    return happen


@deed(2)
def two_nudges_at_once(stage: Stage, random: Random) -> None:
    stage.home.census["nudge: doubled"] += 1
    stage.home.run()
    stage.home.run()


@deed(3)
def a_restart(stage: Stage, random: Random) -> None:
    stage.home.stop()
    stage.home.start()


@deed(2)
def the_power_goes(stage: Stage, random: Random) -> None:
    stage.home.census["power cut between passes"] += 1
    stage.home.bury()
    lose_power(stage, random)


def lose_power(stage: Stage, random: Random) -> None:
    """The machine restarts, and whatever runs on it."""
    proven = stage.audit.proven()
    stage.home.disk.lose_power(random)
    stage.home.trace.add("the power goes")
    stage.audit.still(proven)
    for traefik in stage.home.traefiks.values():
        traefik.restart()


def begin(stage: Stage) -> None:
    """The first commit: two routes, one of them guarded, and one that is protected."""
    edits: dict[str, bytes | None] = {}
    for instance in stage.home.setting.instances:
        edits[f"{instance}/auth.yaml"] = text(AUTH)
        edits[f"{instance}/app0.yaml"] = text(document("app0", 1))
        edits[f"{instance}/app1.yaml"] = text(document("app1", 1, guarded=True))
        edits[f"{instance}/gitea.yaml"] = text(document("gitea", 1))
    if stage.home.komodo:
        edits |= stack_files("db", 1) | stack_files("media", 1)
    if len(stage.home.setting.instances) > 1:
        targets: dict[str, Any] = {"traefik": {}, "edge": {"directory": "edge"}}
        edits["waypost.yaml"] = text({"version": 1, "targets": targets})
    stage.people.push(edits, "the beginning")


def standing(stage: Stage) -> Any:
    """What the log says now stands in the way, for a message."""
    log = stage.home.start().log
    main, quarantine = log.view(views.Main), log.view(views.Quarantine)
    return main.held, main.refused, main.source_lost, list(quarantine.held), log.view(views.Attempts).open


def a_commit_while_git_cannot_write(stage: Stage, random: Random) -> None:
    """The repository's disk fills, or fails: before a revision is kept, an anchor is written, a revert is proposed."""

    def fail() -> None:
        stage.home.git_ailment = random.choice(["full", "fault"])
        stage.home.census[f"disk of Git: {stage.home.git_ailment}"] += 1

    stage.people.push(edits_of(stage, random, random.choice(["", "refused"])), "into a full disk")
    stage.home.run({(CHANGE, random.randint(1, 30)): fail})
    stage.home.run()
    if random.random() < 0.5:
        stage.home.git_ailment = ""


GIT_DEEDS: Final[dict[str, tuple[int, Deed]]] = {
    "a commit while git cannot write": (1, a_commit_while_git_cannot_write),
}
"""What is added to a few schedules that are drawn without it."""
