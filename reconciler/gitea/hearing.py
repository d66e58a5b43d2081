"""Hearing Gitea's webhooks: the secrets at hand when one comes, and what was heard, for whoever looks for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from reconciler.gitea.webhook import Delivery, Heard, Secrets, judged
from reconciler.ports import Clock
from reconciler.setting import Secret, revealed

PATIENCE: Final = 2.0
"""Seconds that a look for the secrets is waited for. Gitea gives up after five, and never tries again."""

_KEPT: Final = 3600.0
"""Seconds that what was found last still counts while a look for it does not end, as with every secret."""

_REMEMBERED: Final = 40
"""Deliveries that are remembered of those that were taken, and as many of all others: a flood hides none of ours."""

_LONGEST: Final = 100
"""Characters of what a stranger may have written into a header."""


class SecretsAtHand:
    """The secrets of the webhooks, without ever keeping Gitea waiting for whoever holds them.

    A sops may take twenty seconds and a Vault five, as long as Gitea waits for a whole answer. So every webhook has
    them looked for anew (a rotated one counts at once), in a thread of its own, and waits for that only so long; then
    what was found last counts. Where nothing was, it is said at once that nobody can tell, and polling goes on.
    """

    def __init__(
        self, secrets: Sequence[Secret], *, patience: float = PATIENCE, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._secrets = secrets
        self._patience = patience
        self._monotonic = monotonic
        self._moved = threading.Condition()
        self._looks = 0  # that have ended
        self._began: float | None = None  # when the look that goes on began
        self._found, self._found_at = Secrets(), 0.0

    def look(self) -> None:
        """Look for them, unless that goes on already. Does not wait."""
        with self._moved:
            if self._secrets and self._began is None:
                self._began = self._monotonic()
                threading.Thread(target=self._look, name="webhook secrets", daemon=True).start()

    def now(self) -> Secrets:
        """The secrets as they are now, or as they were found last where that takes too long."""
        with self._moved:
            self.look()
            before, began = self._looks, self._began or 0.0
            # Counted from the beginning of the look: of many that come meanwhile none waits as long again.
            left = began + self._patience - self._monotonic()
            ended = self._moved.wait_for(lambda: self._looks > before, max(0.0, left))
            return self._found if ended or self._monotonic() - self._found_at < _KEPT else Secrets()

    def _look(self) -> None:
        found = Secrets()
        try:
            values = tuple(revealed(self._secrets))
            found = Secrets(values, complete=len(values) == len(self._secrets))
        finally:  # whatever happened: a look that never ends would be the last
            with self._moved:
                self._found, self._found_at, self._began = found, self._monotonic(), None
                self._looks += 1
                self._moved.notify_all()


class _Remembered(NamedTuple):
    at: datetime
    event: str
    id: str
    heard: Heard
    due: int  # which pass it made due, 0 for none

    def told(self, passes: int) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "delivery": self.id,
            "event": self.event,
            "taken": self.heard is Heard.TAKEN,
            "status": self.heard.status,
            "said": self.heard.said,
            "due": self.due,
            "is_over": 0 < self.due <= passes,
        }


class Hearing:
    """Judges webhooks, and remembers the last ones. In memory only: the log records news, and a nudge is none."""

    def __init__(self, secrets: Sequence[Secret], clock: Clock) -> None:
        self.secrets = SecretsAtHand(secrets)
        self._is_on = bool(secrets)
        self._clock = clock
        self._since = clock.now()
        self._lock = threading.Lock()
        self._counted = dict.fromkeys(Heard, 0)
        self._taken, self._others = deque[_Remembered](maxlen=_REMEMBERED), deque[_Remembered](maxlen=_REMEMBERED)

    def hear(self, delivery: Delivery, make_due: Callable[[], int]) -> Heard:
        """What becomes of it; `make_due` makes a pass due, and says which one."""
        heard = judged(delivery, self.secrets.now()) if self._is_on else Heard.UNEXPECTED
        due = make_due() if heard is Heard.TAKEN else 0
        event, id = delivery.event[:_LONGEST], delivery.id[:_LONGEST]
        remembered = _Remembered(self._clock.now(), event, id, heard, due)
        with self._lock:
            self._counted[heard] += 1
            (self._taken if heard is Heard.TAKEN else self._others).append(remembered)
        return heard

    def told(self, passes: int) -> dict[str, Any]:
        """What was heard since this process began, the newest first; so many passes have ended by now."""
        with self._lock:
            known, counted = [*self._taken, *self._others], dict(self._counted)
        return {
            "since": self._since.isoformat(timespec="seconds"),
            "taken": counted[Heard.TAKEN],
            "not_taken": sum(counted.values()) - counted[Heard.TAKEN],
            "deliveries": [one.told(passes) for one in sorted(known, key=lambda one: one.at, reverse=True)],
        }
