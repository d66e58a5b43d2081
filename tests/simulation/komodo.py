"""A Komodo that is not there: the one that the stories ask over HTTP, asked at once, in the time of the simulation."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from reconciler.komodo.api import KomodoApi
from reconciler.komodo.reading import Reader
from reconciler.komodo.wire import KomodoError
from tests.komodo.fake_komodo import FakeKomodo
from tests.komodo.fake_komodo import Fate as UpdateFate
from tests.simulation.fate import Fate
from tests.simulation.machine import VirtualTime

THEIRS: Final = '{"services": {"web": {"image": "theirs:1"}}}'
"""A stack that somebody else runs there."""


@dataclass(frozen=True)
class Executed:
    """What Komodo was asked to do, for which attempt, and whether it is surely known to whoever asked."""

    attempt: str
    operation: str
    stack: str
    image: str
    fate: UpdateFate

    @property
    def is_remembered(self) -> bool:
        """Whether Komodo tells of it when it is asked later."""
        return not (self.fate.busy or self.fate.vanishes or self.fate.hangs)


class SimulatedKomodo(FakeKomodo):
    """Stacks outlive every process. That its answers have Komodo's shapes is checked where stories ask for them."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._lock: Any = contextlib.nullcontext()
        self.after = _nobody
        self._time = time
        self.attempt = ""
        self.slow = False
        self.hands = 0  # edits by hand
        self.executed: list[Executed] = []
        self.has("theirs", file_contents=THEIRS)

    def ask(self, path: str, params: Mapping[str, Any]) -> tuple[int, Any]:
        if self.slow:
            self._time.pass_by(1.0)
        return self.answer(path, orjson.dumps(params))

    def well(self) -> None:
        self.down = self.slow = False

    def comes_to_rest(self) -> None:
        """What was begun comes to its end, and nothing more goes wrong."""
        self.well()
        self.fates.clear()
        for update in self.updates:
            if update.goes_on:
                self._conclude(update, update.fate)

    def runs(self, name: str) -> str:
        """The image of what is deployed and up; "" where nothing is. What a failed deploy left alone goes on running,
        whatever Komodo calls the stack since."""
        stack = self.stacks.get(name)
        up = stack is not None and all(state == "running" for state, _ in stack.containers.values())
        return image_in(stack.deployed) if stack and stack.containers and up else ""

    def _execute(self, request: str, params: Any) -> tuple[int, Any]:
        stack = self._find(params["stack"])
        if stack is not None:
            fate = (self.fates.get(stack.name) or [UpdateFate()])[0]
            image = image_in(stack.config.get("file_contents"))
            self.executed.append(Executed(self.attempt, request, stack.name, image, fate))
        return super()._execute(request, params)

    def _check(self, schema: Any, value: Any, what: str) -> None:
        """It takes longer than all else that is simulated."""


def _nobody(asked: str, params: dict[str, Any]) -> None:
    """Nobody is told."""


def image_in(contents: str | None) -> str:
    """Which image a compose file names, read without any code of ours."""
    lines = "\n".join(line for line in (contents or "").splitlines() if not line.startswith("#"))
    try:
        return str(json.loads(lines)["services"]["web"]["image"])
    except (ValueError, KeyError, TypeError):
        return ""


class _Wire:
    """How one process of ours asks it. Each request may be its last deed."""

    url: Final = "http://komodo"

    def __init__(self, komodo: SimulatedKomodo, fate: Fate) -> None:
        self._komodo, self._fate = komodo, fate

    def close(self) -> None:
        """Nothing to close."""

    def version(self) -> str:
        self._fate.look()
        if self._komodo.down:
            raise KomodoError("http://komodo does not answer: connection refused")
        return "2.3.2"

    def call(self, group: str, request: str, params: Mapping[str, Any]) -> Any:
        if group == "read":
            self._fate.look()
        else:
            self._fate.change(f"komodo {request} {params.get('stack', params.get('name', ''))}")
        status, said = self._komodo.ask(f"{group}/{request}", params)
        if status != 200:
            missing = "did not find any Stack" in said["error"] or "no update found" in said["error"]
            message = f"Komodo at http://komodo answers {request} with status {status}: {said['error']}"
            raise KomodoError(message, retry=status == 404 or status >= 429, missing=missing)
        return said


class SimulatedKomodoApi(KomodoApi):
    """The port that the target uses, over a wire that is none."""

    def __init__(self, komodo: SimulatedKomodo, fate: Fate) -> None:
        wire: Any = _Wire(komodo, fate)
        Reader.__init__(self, wire)
