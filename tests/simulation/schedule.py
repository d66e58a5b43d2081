"""A schedule: a setting and a list of deeds, all drawn from one number; run it, and tell what came of it."""

from __future__ import annotations

import itertools
import os
import pickle
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final

from reconciler.garbage import seldom_looked_for
from tests.simulation.audit import Audit
from tests.simulation.deeds import DEEDS, GIT_DEEDS, Stage, begin
from tests.simulation.ending import end
from tests.simulation.fate import Trace, Violation
from tests.simulation.home import Home, Setting, make_place
from tests.simulation.people import People
from tests.simulation.quick import Remembered, remembering
from tests.simulation.stacks import STACK_DEEDS

IN_MEMORY: Final = Path("/dev/shm")
EVERYTHING: Final = {**DEEDS, **STACK_DEEDS, **GIT_DEEDS}


@dataclass(frozen=True)
class Step:
    """One deed, with a number of its own to draw its choices from: leaving a step out changes no other."""

    name: str
    seed: int


@dataclass(frozen=True)
class Schedule:
    """Everything that a run depends on."""

    seed: int
    setting: Setting
    steps: tuple[Step, ...]
    settled: bool = True  # begins with the first commit live, else with nothing but that commit
    righted: bool = True  # people put things right in the end
    thorough: bool = False  # nothing is taken from what another schedule worked out

    def __str__(self) -> str:
        steps = "\n".join(f"  {number:2} {step.name} ({step.seed})" for number, step in enumerate(self.steps, 1))
        return f"seed {self.seed}, {self.setting}\n{steps}"


@dataclass
class Report:
    """What came of a schedule. `violation` is "" where everything held."""

    schedule: Schedule
    violation: str = ""
    digest: str = ""
    census: Counter[str] = field(default_factory=Counter)
    trace: Trace = field(default_factory=Trace)


def drawn(seed: int) -> Schedule:
    random = Random(f"schedule {seed}")
    setting = Setting(
        instances=("edge", "traefik") if random.random() < 0.25 else ("traefik",),
        throttle=random.choice([0.1, 0.1, 0.1, 2.0]),
        remote=random.random() < 0.25,
    )
    chosen = random.choices(list(DEEDS), [weight for weight, _ in DEEDS.values()], k=random.randint(6, 14))
    steps = tuple(Step(name, random.getrandbits(32)) for name in chosen)
    if setting.instances == ("traefik",) and Random(f"komodo {seed}").random() < KOMODOS:
        setting, steps = replace(setting, komodo=True), with_stacks(steps)
    if (apart := Random(f"git {seed}")).random() < GIT_FAILS:
        place = apart.randrange(len(steps) + 1)
        steps = (*steps[:place], Step(apart.choice(list(GIT_DEEDS)), apart.getrandbits(32)), *steps[place:])
    return Schedule(
        seed, setting, steps, settled=random.random() < 0.85, righted=random.random() < 0.3, thorough=seed % 10 == 0
    )


GIT_FAILS: Final = 0.1
"""In how many schedules the disk of the repository fails."""

KOMODOS: Final = 0.15
"""How many of the homes with one Traefik have a Komodo as well."""


def with_stacks(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same number of steps, of which half are about stacks."""
    random, weights = Random(f"stacks {steps[0].seed}"), [weight for weight, _ in STACK_DEEDS.values()]
    chosen = random.choices(list(STACK_DEEDS), weights, k=len(steps))
    pairs = zip(steps, chosen, strict=True)
    return tuple(replace(step, name=name) if random.random() < 0.5 else step for step, name in pairs)


@dataclass(frozen=True)
class Template:
    """A home that schedules start from: what it is in memory, and its files. Git's objects are shared, not copied."""

    place: Path
    stage: bytes
    files: Mapping[str, bytes]

    def copied(self, place: Path) -> Stage:
        (place / "desired.git" / "refs" / "heads").mkdir(parents=True)
        for name, content in self.files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        stage: Stage = pickle.loads(self.stage)
        stage.home.place = place
        return stage


def made_template(place: Path, setting: Setting, settled: bool) -> Template:
    make_place(place)
    home = Home(place, setting, Random(0))
    people = People(home)
    stage = Stage(home, people, Audit(home, people))
    begin(stage)
    if settled:
        home.run()
        stage.audit.looked()
    home.frozen()
    repository = place / "desired.git"
    kept = [path for path in place.rglob("*") if path.is_file() and not path.is_relative_to(repository / "objects")]
    files = {str(path.relative_to(place)): path.read_bytes() for path in kept}
    files["desired.git/objects/info/alternates"] = f"{repository / 'objects'}\n".encode()
    return Template(place, pickle.dumps(stage), files)


class Theatre:
    """A place in memory where one schedule after the other is run."""

    def __init__(self, place: Path, remembered: Remembered) -> None:
        self._place = place
        self._remembered = remembered
        self._numbers = itertools.count()
        self._templates: dict[tuple[Setting, bool], Template] = {}

    @contextmanager
    def stage(self, setting: Setting, seed: int, *, settled: bool = True) -> Iterator[Stage]:
        """A home whose first commit is on main, and live where it is settled."""
        if (setting, settled) not in self._templates:
            self._templates[setting, settled] = made_template(self._place / str(next(self._numbers)), setting, settled)
        stage = self._templates[setting, settled].copied(self._place / str(next(self._numbers)))
        stage.home.random.seed(f"home {seed}")
        try:
            yield stage
        finally:
            stage.home.bury()
            shutil.rmtree(stage.home.place, ignore_errors=True)

    def run(self, schedule: Schedule) -> Report:
        report = Report(schedule)
        self._remembered.thorough = schedule.thorough
        try:
            self._play(schedule, report)
        except Violation as violation:
            report.violation = str(violation)
        report.digest = report.trace.digest
        return report

    def _play(self, schedule: Schedule, report: Report) -> None:
        with self.stage(schedule.setting, schedule.seed, settled=schedule.settled) as stage:
            report.census, report.trace = stage.home.census, stage.home.trace
            for step in schedule.steps:
                perform(stage, step)
            end(stage, righted=schedule.righted)

    def shrunk(self, report: Report) -> Report:
        """The shortest schedule found that violates the same invariant."""
        invariant = report.violation.partition(":")[0]
        best, place = report, 0
        while place < len(best.schedule.steps):
            fewer = best.schedule.steps[:place] + best.schedule.steps[place + 1 :]
            tried = self.run(replace(best.schedule, steps=fewer))
            if tried.violation.partition(":")[0] == invariant:
                best = tried
            else:
                place += 1
        return best


def perform(stage: Stage, step: Step) -> None:
    stage.home.trace.add("──", step.name)
    EVERYTHING[step.name][1](stage, Random(step.seed))
    stage.audit.looked()


@contextmanager
def theatre() -> Iterator[Theatre]:
    """A theatre in memory where there is one, and nothing left of it afterwards."""
    memory = IN_MEMORY if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(prefix="waypost-simulation-", dir=memory) as place,
        remembering() as remembered,
        seldom_looked_for(),  # as in the running reconciler
    ):
        yield Theatre(Path(place), remembered)


def told(report: Report, lines: int = 60) -> str:
    """A failing schedule for people: what was violated, the steps that lead there, the last that happened."""
    return f"{report.violation}\n{report.schedule}\nand at the end:\n" + "\n".join(report.trace.lines[-lines:])


def failures(reports: Sequence[Report]) -> list[Report]:
    return [report for report in reports if report.violation]
