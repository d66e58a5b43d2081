"""How every schedule ends: faults go, a few passes must come to what main says, then people put things right."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Final

from reconciler.loop import Outcome
from state import events, views
from state.log import EventLog
from state.record import Anchor
from state.tables import subjects
from state.view import fold_together
from tests.simulation.audit import resources as resources_in
from tests.simulation.deeds import Stage, standing
from tests.simulation.fate import require
from tests.simulation.people import AUTH, CANARY, document, stack_files, text
from tests.simulation.traefik import OUR_FILE

TICKS: Final = 2
"""The pass after which nothing live changes any more: what a first one had refused is left out by the second; but for
a write that the faults left in doubt: that is settled first, and only then is there a first one. What several
instances refuse is learnt of one after the other, a pass each."""

PASSES: Final = 4
"""The pass, at the latest, to which nothing is news. What is live by the second may end a drift or an alert in the
third; so may a write in doubt be asked about again, where a hand broke our file over it."""

IN_DOUBT: Final = 2
"""So many more where a write was left in doubt: it is asked about in vain first, and once more after ASKED_AGAIN."""

ANSWERS: Final = 6
"""So many times people are asked: what comes of one answer may be the next question."""

ASKED_AGAIN: Final = 300
"""Seconds after which a write in doubt is tried again beside the last good state, where neither was noticed."""

LEFT_ALONE: Final = 3600
"""Seconds after which a receiver that kept refusing is tried again at the latest."""

TAKEN_BACK: Final = 0.2
"""How many of the homes that people put right have their newest commit taken back."""


def end(stage: Stage, *, righted: bool) -> None:
    """Heal, converge, check; let people answer, converge, check again; then audit what is left."""
    heal(stage)
    outcome = converge(stage, "after the faults healed")
    explained(stage, outcome)
    if righted:
        put_right(stage)
        outcome = converge(stage, "after people put things right")
        as_main_says(stage, outcome)
        if stage.home.random.random() < TAKEN_BACK:
            newest_taken_back(stage)
    told(stage, everything=righted)
    kept(stage)


def heal(stage: Stage) -> None:
    home = stage.home
    home.disk.ailment, home.log_ailment, home.git_ailment = "", "", ""
    home.remote_down, home.second_writer, home.refusing = False, False, frozenset()
    for name, traefik in home.traefiks.items():
        traefik.mood = ""
        for path in [path for path in home.disk.below(f"/{name}") if path.rpartition("/")[0] == f"/{name}"]:
            if path.endswith(".yml"):
                stage.people.put_neighbour(path, None)
        if not traefik.watching:
            traefik.restart()  # a watch that died in silence comes back with a restart only
        traefik.losing = 0
    if home.komodo:
        home.komodo.comes_to_rest()
    home.usable()
    home.trace.add("all faults are gone")


def converge(stage: Stage, when: str) -> Outcome:
    """Passes until one finds nothing new: that one records nothing, writes nothing and tells nobody."""
    home, asked_again = stage.home, False
    in_doubt = bool(home.start().log.view(views.Attempts).open)
    for number in range(1, PASSES + IN_DOUBT + 1):
        if number > PASSES and not in_doubt:
            break
        before, deeds, live = home.start().log.head().seq, len(home.trace.lines), _live(stage)
        home.time.pass_by(60)
        outcome = home.run()
        assert outcome is not None
        stage.audit.looked()
        did = [line for line in home.trace.lines[deeds:] if not line.startswith("outcome")]
        doubted = home.start().log.view(views.Attempts).open
        in_doubt = in_doubt or bool(doubted)
        late = number > TICKS + len(home.setting.instances) - 1 and not in_doubt and _live(stage) != live
        require(not late, "I3 live converges within two passes", when, number, did)
        if home.start().log.head().seq == before and (doubted or not did):
            if asked_again or not doubted:
                return outcome
            home.time.pass_by(ASKED_AGAIN)
            asked_again = True
    news = [one.type for one in home.start().log.events[-12:]]
    require(
        False, "passes come to an end", when, f"after all those passes there still was something to do: {news} {did}"
    )
    raise AssertionError


def explained(stage: Stage, outcome: Outcome) -> None:
    """Live is as main says but for what is held, quarantined or edited by hand, and that is written down."""
    head = stage.people.main
    log = stage.home.start().log
    in_doubt = {
        name: one.started.before
        for name, one in log.view(views.Attempts).open.items()
        if stage.audit.good(name, one.started.before)  # else there is no good state to try Traefik with
    }
    require(not in_doubt, "I6 nothing stays in doubt", list(in_doubt), outcome.said[:300])
    require(not log.view(views.Main).source_lost, "I6 main is followed again", standing(stage))
    require(not log.view(views.Health).pass_failed, "I6 passes work again", log.view(views.Health).pass_failed)
    wanted = stage.people.wanted(head) if head else None
    if head is None or wanted is None:
        require(outcome.state == "held", "what cannot be read is held", outcome.state, outcome.said)
        return
    excused = {str(address) for address in log.view(views.Quarantine).held}
    excused |= {str(address) for address in log.view(views.Drift).open}
    differing = _differing(stage, head) - excused
    if log.view(views.Main).held:
        return
    if broken_first := _broken_before_any_proof(stage, log):
        # Nobody knows what such a file held and still serves: a person mends it, and was told to.
        told = {name for name in broken_first if log.view(views.Health).of(name).own_poison}
        require(told == broken_first and outcome.state == "waiting", "a broken file waits for a person", outcome.said)
        return
    require(not differing, "I3 live is as main says", sorted(differing), outcome.state, outcome.said)
    quarantined, drifted = log.view(views.Quarantine).held, log.view(views.Drift).open
    latest = log.view(views.Revisions).latest
    frozen = any(traefik.loads[-1].refused.startswith(OUR_FILE) for traefik in stage.home.traefiks.values())
    broken = {name for name, traefik in stage.home.traefiks.items() if traefik.served.load.broken}
    told = {name for name in broken if log.view(views.Health).of(name).disabled}
    require(told == broken or quarantined or drifted or frozen, "what is not served is told of", broken - told)
    # Or a hand edit, over a write in doubt, left in our file what Traefik refuses.
    if not quarantined and not drifted and not frozen and not broken:
        require(latest and latest.commit == head, "I3 a revision says so", head, outcome.state, outcome.said)


def _broken_before_any_proof(stage: Stage, log: EventLog) -> set[str]:
    """The instances whose own file cannot be read while nothing was ever seen to be noticed there."""
    home = stage.home
    unread = {name for name in home.setting.instances if resources_in(home.disk.content(home.live_file(name))) is None}
    return {name for name in unread if not log.view(views.Health).of(name).probes}


def put_right(stage: Stage) -> None:
    """A good commit about everything, an answer to every difference, and a yes to what that costs."""
    people, home = stage.people, stage.home
    people.push(_all_good(stage), "all good")
    for name in home.setting.instances:
        content = home.disk.content(home.live_file(name))
        if content is not None and (mended := _without_other_hands(content)) != content:
            people.write_live(name, mended)
    for _ in range(ANSWERS):
        home.time.pass_by(60)
        outcome = home.run()
        log = home.start().log
        held, drifted = log.view(views.Main).held, log.view(views.Drift).open
        answered = (drifted or (held and held.plan.conflicts)) and people.answer_drift()
        consented = held and held.plan.refusals and people.consent()
        # What waits for a Komodo that has its turn first is asked about later.
        waits = home.komodo and outcome and outcome.state == "waiting"
        if not answered and not consented and not waits:
            return


def _all_good(stage: Stage) -> dict[str, bytes | None]:
    head = stage.people.main
    edits: dict[str, bytes | None] = dict.fromkeys(stage.people.files(head) if head else ())
    for instance in stage.home.setting.instances:
        edits[f"{instance}/auth.yaml"] = text(AUTH)
        edits[f"{instance}/app0.yaml"] = text(document("app0", 8))
        edits[f"{instance}/gitea.yaml"] = text(document("gitea", 8))
    if stage.home.komodo:
        edits |= stack_files("db", 8) | stack_files("media", 8)
    if len(stage.home.setting.instances) > 1:
        edits["waypost.yaml"] = text({"version": 1, "targets": {"traefik": {}, "edge": {"directory": "edge"}}})
    return edits


def _without_other_hands(content: bytes) -> bytes | None:
    """Our live file without what people put in there and we therefore never touch: a route that needs a service of
    ours keeps that from being removed. What cannot be read is thrown away."""
    if resources_in(content) is None:
        return None
    document = json.loads(content)
    for kind, items in list(document.get("http", {}).items()):
        for name in [name for name in items if "hand-" in name]:
            del items[name]
        if not items:
            del document["http"][kind]
    return text(document) if document != json.loads(content) else content


def as_main_says(stage: Stage, outcome: Outcome) -> None:
    head = stage.people.main
    assert head is not None
    log = stage.home.start().log
    require(
        outcome.state == "nothing",
        "I6 the next good commit always gets through",
        outcome.state,
        outcome.said,
        standing(stage),
    )
    require(not _differing(stage, head), "I3 live is as main says", sorted(_differing(stage, head)))
    latest = log.view(views.Revisions).latest
    require(latest and latest.commit == head, "I3 a revision says so", latest)
    require(not log.view(views.Quarantine).held, "a quarantine ends with its cause", log.view(views.Quarantine).held)
    require(not log.view(views.Drift).open, "drift ends with its cause", log.view(views.Drift).open)
    for name, traefik in stage.home.traefiks.items():
        live = stage.home.disk.content(stage.home.live_file(name))
        require(traefik.running_file == live, "I3 Traefik serves our file", name)
        require(not traefik.served.load.broken, "I3 Traefik serves our routes", traefik.served.load.broken)


def newest_taken_back(stage: Stage) -> None:
    """All is as main says; a commit comes and is live, and after a rollback everything is as it was before it."""
    people, before, was = stage.people, _live(stage), stage.people.main
    assert was is not None
    people.push(_newer(stage), "something newer")
    as_main_says(stage, converge(stage, "after something newer came"))
    require(_live(stage) != before, "what is newer is live")
    commit = people.roll_back(was)
    require(commit and people.land(commit, people.main), "I8 the newest commit can be taken back", commit)
    outcome = converge(stage, "after it was taken back")
    if people.consent():  # of a stack that goes somebody is asked
        outcome = converge(stage, "after that was agreed to")
    as_main_says(stage, outcome)
    require(_live(stage) == before, "I8 what was live before a commit is live after its revert", _live(stage), before)


def _newer(stage: Stage) -> dict[str, bytes | None]:
    """A route that is changed, one that is new, and the same of stacks."""
    edits: dict[str, bytes | None] = {}
    for instance in stage.home.setting.instances:
        edits[f"{instance}/app0.yaml"] = text(document("app0", 9))
        edits[f"{instance}/app3.yaml"] = text(document("app3", 9, guarded=True))
    return edits | (stack_files("media", 9) | stack_files("news", 9) if stage.home.komodo else {})


def _live(stage: Stage) -> dict[str, object]:
    """All that is live, by the bytes of our files and by what Komodo runs."""
    home = stage.home
    live: dict[str, object] = {
        name: resources_in(home.disk.content(home.live_file(name))) for name in home.setting.instances
    }
    return live | ({name: home.komodo.runs(name) for name in ("db", "media", "news")} if home.komodo else {})


def _differing(stage: Stage, commit: str) -> set[str]:
    """The addresses in which our live files and a commit differ, by the bytes of both.

    What stands in our file and was neither wanted nor written by us is somebody's own.
    """
    found: set[str] = set()
    wanted = stage.people.wanted(commit) or {}
    for name in stage.home.setting.instances:
        live = resources_in(stage.home.disk.content(stage.home.live_file(name))) or {}
        mine = {f"{kind}/{it}": spec for (instance, kind, it), spec in wanted.items() if instance == name}
        ours = {f"{a.kind}/{a.name}" for a in stage.home.start().log.view(views.Applied).base(name)} | mine.keys()
        found |= {f"{name}/{key}" for key in ours if live.get(key) != mine.get(key)}
    return found | _stacks_differing(stage, commit)


def _stacks_differing(stage: Stage, commit: str) -> set[str]:
    """The stacks that a commit wants otherwise than they run, and those of ours that it does not want."""
    komodo = stage.home.komodo
    if komodo is None:
        return set()
    wanted = stage.people.wanted_stacks(commit)
    ours = {one.name for one in stage.home.start().log.view(views.Applied).base("komodo")} | wanted.keys()
    return {f"komodo/compose/{name}" for name in ours if komodo.runs(name) != wanted.get(name, "")}


def told(stage: Stage, *, everything: bool) -> None:
    """Everybody heard of every alert and of its end, once; a death may leave in doubt whether somebody did."""
    if _somebody_is_left_alone(stage):
        stage.home.time.pass_by(LEFT_ALONE)
        stage.home.run()
    log = stage.home.start().log
    alerts = log.view(views.Alerts)
    open_ones = [one.title for name, one in alerts.open.items() if not name.startswith("review/")]
    require(not (everything and open_ones), "an alert ends with its cause", open_ones)
    require(not alerts.ended, "everybody hears of the end", alerts.ended)
    require(not alerts.missed, "everybody hears of what came and went while they were away", alerts.missed)
    heard = Counter((name, message.fingerprint, message.raised) for name, message in stage.home.told)
    recorded = [one.event for one in log.events]
    ends = Counter(event.fingerprint for event in recorded if isinstance(event, events.AlertResolved))
    twice = [key for key, count in heard.items() if count > (1 if key[2] else ends[key[1]])]
    require(not twice, "I4 nobody is told twice", twice)
    taken = _of_receivers(event for event in recorded if isinstance(event, events.AlertDelivered))
    doubted = _of_receivers(event for event in recorded if isinstance(event, events.AlertDoubted))
    require(taken <= heard, "who is said to have heard has heard", taken - heard)
    require(heard <= taken + doubted, "what somebody heard is written down, or that it is in doubt", heard - taken)
    stage.home.census["alerts: in doubt after a death"] += doubted.total()
    stage.home.census["alerts: told in a summary"] += sum(key[1].startswith("missed/") for key in taken)
    leaked = [message for _, message in stage.home.told if CANARY in f"{message.title} {message.body}"]
    require(not leaked, "I10 no secret in an alert", leaked)


def _somebody_is_left_alone(stage: Stage) -> bool:
    alerts = stage.home.start().log.view(views.Alerts)
    return bool(alerts.ended or alerts.missed)


def _of_receivers(said: Iterable[events.AlertDelivered | events.AlertDoubted]) -> Counter[tuple[str, str, int]]:
    return Counter((name, event.fingerprint, event.raised) for event in said for name in event.receivers)


def kept(stage: Stage) -> None:
    """The log by itself: whole, anchored, free of secrets, and every view of it the same however it is made."""
    home = stage.home
    log = home.start().log
    anchors = [Anchor(one.seq, one.hash) for one in home.store.anchors()]
    checked = log.verify(anchors)
    require(checked.ok, "I1 the chain holds and the anchors with it", checked.reason)
    written = list(log.read())
    require(written == log.events, "I5 what was recorded is what is read")
    anew = [view.empty() for view in views.ALL]
    fold_together(anew, ((one.event, one) for one in written))
    for folded in anew:
        require(folded == log.view(type(folded)), "I9 a view is the same however it is made", folded.name)
    leaked = [line for line in log.export() if CANARY.encode() in line]
    require(not leaked, "I10 no secret in the log", leaked)
    leaked = [str(id) for id in home.store.repository if CANARY.encode() in home.store.repository.read(id)[1]]
    require(not leaked, "I10 no secret in Git", leaked)
    if home.random.random() < 0.05:
        rebuilt(stage)


def rebuilt(stage: Stage) -> None:
    """The views as the log itself makes and keeps them: taken up from where they were put away, and made anew."""
    kept = stage.home.start().log
    remembered = {view: kept.view(view).encode() for view in views.ALL}
    found = {subject: kept.touching(subject) for one in kept.events[::7] for subject in subjects(one)}
    stage.home.stop()
    for again in (False, True):
        with contextlib.closing(EventLog.open(stage.home.place / "log.db", now=lambda: stage.home.time.wall)) as log:
            if again:
                log.rebuild()
            for view, state in remembered.items():
                require(log.view(view).encode() == state, "I9 a view is the same however it is made", view.name)
            for subject, seqs in found.items():
                require(log.touching(subject) == seqs, "I9 history finds what mentions a subject", subject)
