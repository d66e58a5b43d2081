"""What an edit took out of our file and Traefik has not noticed yet. Pure.

Traefik watches the directory above ours, so such an edit lies there until the next write: then it is the write that
cuts people off.
"""

from __future__ import annotations

from reconciler.core.target import Observation
from state.model import Address, Snapshot


def unnoticed(observed: Observation, base: Snapshot) -> Snapshot:
    """What is still served as it was applied last (`base`), and stands in no file any more."""
    if not observed.restart_losses:
        return {}
    return {address: spec for address, spec in base.items() if _is_left(address, observed)}


def _is_left(address: Address, observed: Observation) -> bool:
    name = f"{address.name}@file"
    is_in_a_file = address in observed.live or address in observed.foreign
    is_lost = not address.kind.endswith(".routers") or name in observed.restart_losses
    return not is_in_a_file and is_lost and name in observed.served.get(address.kind, {})
