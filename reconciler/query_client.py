"""Ask the reconciler: plans, history, status. Read-only, bounded, and never surprised that nobody answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx2
import orjson

MOST_BYTES = 8 * 1024 * 1024
"""An answer larger than this is refused unread: a plan of ten thousand routes stays well below it."""

_PASS = 100.0
"""Seconds that a pass may take: it writes, and waits until the target has proven it."""


Cause = Literal["away", "unknown", "senseless", "unreadable"]


@dataclass(frozen=True)
class Away:
    """There is no answer, and why, in words for a person.

    `cause` is "away" (nobody answers, or not in time), "unknown" (the reconciler does not know the thing that
    was asked for), "senseless" (what was asked is no question, and stays none) or "unreadable" (what came back is
    no answer of a reconciler).
    """

    reason: str
    cause: Cause = "away"


Answer = dict[str, Any] | Away
"""A JSON object as the reconciler wrote it, or why there is none."""


class QueryClient:
    """The reconciler's `/query/*`, as data. Safe to use from several threads; no call raises."""

    def __init__(self, base_url: str, *, timeout: float = 5.0) -> None:
        self._base = base_url.rstrip("/")
        # One client for life: making one loads the machine's certificates anew. A proxy from the environment
        # must not stand between two processes of one home.
        encrypted = self._base.startswith("https:")  # else there is nothing to verify, and reading them costs 20 ms
        self._http = httpx2.Client(timeout=timeout, follow_redirects=False, trust_env=False, verify=encrypted)

    def close(self) -> None:
        self._http.close()

    def plan(self, proposal: str) -> Answer:
        """The plan of one proposal against today's main and live state."""
        return self._get(f"/query/plan/{quote(proposal, safe='')}")

    def plan_ref(self, ref: str = "") -> Answer:
        """The plan of any ref of the desired repo; of main where none is named."""
        return self._get("/query/plan", ref=ref)

    def history(self, address: str = "", *, limit: int = 0) -> Answer:
        """What happened, newest last; of one resource where an address is given."""
        return self._get("/query/history", resource=address, limit=str(limit or ""))

    def why(self, address: str) -> Answer:
        """The chain request → commit → approval → plan → apply → live digest of a resource."""
        return self._get("/query/why", resource=address)

    def status(self) -> Answer:
        """How the reconciler and its targets are."""
        return self._get("/query/status")

    def deployed(self, limit: int) -> Answer:
        """The newest revisions, each with the commits that came with it, and who approved them."""
        return self._get("/query/deployed", limit=str(limit))

    def webhooks(self) -> Answer:
        """The last webhooks that the reconciler received, and what became of each."""
        return self._get("/query/webhooks")

    def drift(self) -> Answer:
        """What differs live from what was last applied."""
        return self._get("/query/drift")

    def live(self, instance: str) -> Answer:
        """What a target serves now, ours and foreign."""
        return self._get("/query/live", instance=instance)

    def explain(self, instance: str, request: Mapping[str, Any]) -> Answer:
        """Which router serves a request, written like a line of `waypost explain --requests`."""
        return self._get("/query/explain", instance=instance, request=orjson.dumps(request).decode())

    def encryption(self, instance: str) -> Answer:
        """Where a target speaks TLS, for which hosts, and which certificates it holds."""
        return self._get("/query/encryption", instance=instance)

    def lent(self, instance: str, router: str, protocol: str = "") -> Answer:
        """A foreign router (name@provider) and all that it needs, as its owner wrote it, secrets covered."""
        return self._get("/query/foreign", instance=instance, router=router, protocol=protocol)

    def proposals(self) -> Answer:
        """Every proposal that is known, with its standing."""
        return self._get("/query/proposals")

    def proposal(self, proposal: str) -> Answer:
        """One proposal with its standing and the reasons for it."""
        return self._get(f"/query/proposals/{quote(proposal, safe='')}")

    def revision(self, number: int) -> Answer:
        """The commit of a revision: {number, commit, tree, at}."""
        return self._get(f"/query/revisions/{number}")

    def nudge(self) -> Answer:
        """Ask for a pass and wait for what it came to: {state, said, exit_code, …}."""
        return self._ask("POST", "/nudge", timeout=_PASS)

    def _get(self, path: str, **parameters: str) -> Answer:
        return self._ask("GET", path, {name: value for name, value in parameters.items() if value})

    def _ask(
        self, method: str, path: str, parameters: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> Answer:
        headers = {"Content-Type": "application/json"} if method == "POST" else {}
        patience = self._http.timeout if timeout is None else httpx2.Timeout(timeout)
        url = self._base + path
        try:
            with self._http.stream(method, url, params=parameters, headers=headers, timeout=patience) as response:
                return _read(response)
        except httpx2.TimeoutException:
            return Away(f"the reconciler at {self._base} did not answer in time")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return Away(f"the reconciler at {self._base} cannot be reached ({error})")


def _read(response: httpx2.Response) -> Answer:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            return Away(f"the reconciler's answer is larger than {MOST_BYTES} bytes", "unreadable")
    try:
        value = orjson.loads(body)
    except ValueError:
        return Away(f"{response.url} does not answer like a reconciler (no JSON)", "unreadable")
    if not isinstance(value, dict):
        return Away(f"{response.url} does not answer like a reconciler (no JSON object)", "unreadable")
    if _is_too_deep(value):
        return Away(f"{response.url} does not answer like a reconciler (nested too deep)", "unreadable")
    if response.status_code == 200:
        return value
    reason = str(value.get("error") or f"the reconciler answered {response.status_code}")
    return Away(reason, _CAUSES.get(response.status_code, "away"))


def _is_too_deep(value: Mapping[str, Any]) -> bool:
    """Whether it is nested deeper than it can be written again: all who work with it go down level by level."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return True
    return False


_CAUSES: Final[Mapping[int, Cause]] = {404: "unknown", 400: "senseless"}
