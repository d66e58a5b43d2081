"""What a change of stacks costs people: what may reach the host it runs on, and data left behind. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from reconciler.core.plan import ABSENT, Change, Drift, Loss, side_hash
from reconciler.core.policy import Policy
from reconciler.komodo import compose, deeds, environment, reach, requests
from reconciler.komodo.dangers import dangers
from reconciler.komodo.deeds import Specs
from reconciler.komodo.stacks import COMPOSE, REQUEST, STACK
from state.model import Address, Snapshot

_ON_THE_HOST: Final = {
    "pre_deploy": "a command runs on the host before each deploy",
    "post_deploy": "a command runs on the host after each deploy",
    "compose_cmd_wrapper": "every compose command is run by another on the host",
    "extra_args": "compose gets further arguments on the host",
    "build_extra_args": "compose gets further arguments on the host when it builds",
    "run_build": "images are built on the host",
    "clone_path": "its repository is put at a place of the host that it chooses",
    "file_paths": "its files are written to, or read from, places that it chooses",
    "files_on_host": "its files are whatever stands on the host; nobody reviews them",
    "run_directory": "compose runs in a directory that it chooses",
    "additional_env_files": "files of the host are read as variables",
    "env_file_path": "its variables are written to a file that it chooses",
    "skip_secret_interp": "secrets of Komodo are no longer filled in",
    "destroy_before_deploy": "all its containers are taken down at every deploy",
}
_FREE: Final = frozenset(
    {
        "server", "after", "links", "project_name", "auto_pull", "poll_for_updates", "auto_update",
        "auto_update_all_services", "git_provider", "git_https", "git_account", "linked_repo", "repo", "branch",
        "commit", "reclone", "webhook_enabled", "webhook_force_deploy", "send_alerts", "registry_provider",
        "registry_account", "ignore_services", "environment",
    }
)  # fmt: skip
"""Fields of a stack that give nothing by themselves; where it runs and what it is filled with is judged below."""
_UNKNOWN: Final = "nobody here knows what this field does"
_STEERS: Final = re.compile(
    r"(?:COMPOSE|BUILDX|BUILDKIT|LD)_\w+|DOCKER_(?:HOST|CONTEXT|CONFIG|CERT_PATH|AUTH_CONFIG|CLI_\w+)|PATH"
)
"""Variables that compose itself listens to, and not only what it starts."""
_ORIGIN: Final = ("git_provider", "git_https", "git_account", "repo", "commit", "file_paths")


def losses(instance: str, before: Snapshot, after: Snapshot, changes: Iterable[Change], policy: Policy) -> list[Loss]:
    """What a person must agree to in these changes, and what a reviewer must have seen, each once."""
    changes, found = list(changes), list[Loss]()
    wanted = {**after, **{one.address: None if one.want is ABSENT else one.want for one in changes}}
    was = deeds.by_stack(before)
    will_be = deeds.by_stack({one: spec for one, spec in wanted.items() if spec is not None})
    for stack in sorted({one.address.name for one in changes if one.address.kind in (STACK, COMPOSE)}):
        found += _of_the_host(instance, stack, was.get(stack, {}), will_be)
    for change in changes:
        address = change.address
        old, new = before.get(address), (None if change.want is ABSENT else change.want)
        if address.kind == STACK:
            found += _of_stack(address, old, new)
        elif address.kind == COMPOSE:
            found += _of_compose(address, old, new)
        elif address.kind == REQUEST and isinstance(new, Mapping):
            lost = f"its services would be interrupted: {new['do']}"
            found.append(Loss(guard="services", address=str(address), lost=lost, level="allowed", stake=side_hash(new)))
    return found


def deployed_along(drift: Iterable[Drift], changes: Iterable[Change]) -> list[Loss]:
    """What somebody changed by hand, and a deploy of the same stack would bring up though nobody approved it."""
    deployed = {(one.address.instance, one.address.name) for one in changes if _deploys(one)}
    lost = "somebody changed it by hand, and it would be deployed like that; waypost drift shows it, and the answers"
    return [
        Loss(guard="drift", address=str(one.address), lost=lost, level="consent", stake=side_hash(one.live))
        for one in drift
        if (one.address.instance, one.address.name) in deployed
        and one.address.kind in (STACK, COMPOSE)
        and one.live is not ABSENT
        and not one.accepted
    ]


def _deploys(change: Change) -> bool:
    if change.address.kind != REQUEST:
        return change.want is not ABSENT
    return isinstance(change.want, Mapping) and change.want.get("do") == requests.DEPLOY


def _of_the_host(instance: str, stack: str, was: Specs, will_be: Mapping[str, Specs]) -> Iterator[Loss]:
    """What its services get of the host, and of others' on it, that they had not.

    What was there before is judged beside the same neighbours: one that is new changes nothing of this stack.
    """
    others = reach.neighbours(stack, will_be)
    known = {*dangers(stack, was, others)} if was else set()
    for who, told, stake in dangers(stack, will_be.get(stack, {}), others):
        if (who, told, stake) not in known:
            yield _consent(Address(instance, COMPOSE, stack), "host", f"{who} gets {told}", stake)


def _of_stack(address: Address, old: Any, new: Any) -> Iterator[Loss]:
    if new is None:
        yield _consent(address, "stack", "it would be taken down; its volumes stay, and nothing uses them", old)
        return
    was = old if isinstance(old, Mapping) else {}
    for name in sorted(new.keys() - _FREE):
        if new[name] != was.get(name):
            yield _consent(address, "host", f"{_ON_THE_HOST.get(name, _UNKNOWN)} ({name})", new[name])
    if was and new.get("server") != was.get("server"):
        told = (
            f"it would move from server '{was.get('server', '')}' to '{new.get('server', '')}'; its volumes stay behind"
        )
        yield _consent(address, "volumes", told, [was.get("server"), new.get("server")])
    if was and new.get("project_name") != was.get("project_name"):
        told = "its compose project would have another name, and with it other volumes"
        yield _consent(address, "volumes", told, [was.get("project_name"), new.get("project_name")])
    yield from _of_variables(address, str(was.get("environment", "")), str(new.get("environment", "")))
    if new.get("repo"):
        origin = {name: new.get(name) for name in _ORIGIN}
        if origin != {name: was.get(name) for name in origin}:
            told = (
                f"its files come from {new['repo']} at {str(new.get('commit'))[:12]}, and nobody looks into them here"
            )
            yield _consent(address, "unseen", told, origin)


def _of_variables(address: Address, was: str, will_be: str) -> Iterator[Loss]:
    """Variables by which compose itself is told where and how to work."""
    known = {(name, value) for _, name, value in environment.variables(was)}
    for _, name, value in environment.variables(will_be):
        if _STEERS.fullmatch(name) and name != "COMPOSE_PROFILES" and (name, value) not in known:
            yield _consent(address, "host", f"compose itself is told how to work ({name})", [name, value])


def _of_compose(address: Address, old: Any, new: Any) -> Iterator[Loss]:
    yield from _left_behind(address, old, new)
    was, will_be = compose.services(old), compose.services(new)
    for name in sorted(was.keys() - will_be.keys()):
        if new is not None:
            yield _shown(address, f"service '{name}' would be removed", was[name])


def _left_behind(address: Address, old: Any, new: Any) -> Iterator[Loss]:
    """Volumes that hold data now, and that nothing of the stack would use any more, or use as another."""
    was, will_be = _volumes(old), _volumes(new)
    for name in sorted(was):
        if new is not None and name not in will_be:
            yield _consent(
                address, "volumes", f"volume '{name}' would be used no more; what is in it is left behind", was[name]
            )
        elif name in will_be and will_be[name] != was[name]:
            yield _consent(
                address, "volumes", f"volume '{name}' would be another one; what is in it is left behind", will_be[name]
            )
    lost = _mounted(old) - _mounted(new) if new is not None else set()
    for service, source, target in sorted(lost):
        if source in was and source in will_be and service in compose.services(new):
            told = f"service '{service}' would no longer find volume '{source}' at {target}"
            yield _consent(address, "volumes", told, [service, source, target])


def _volumes(document: Any) -> dict[str, Any]:
    return dict(compose.listed(document, "volumes")) if isinstance(document, Mapping) else {}


def _mounted(document: Any) -> set[tuple[str, str, str]]:
    return {
        (name, one.source, one.target)
        for name, service in compose.services(document).items()
        for one in compose.mounts(service)
        if one.kind == "volume" and one.source
    }


def _consent(address: Address, guard: str, lost: str, stake: Any) -> Loss:
    return Loss(guard=guard, address=str(address), lost=lost, level="consent", stake=side_hash(stake))


def _shown(address: Address, lost: str, stake: Any) -> Loss:
    return Loss(guard="services", address=str(address), lost=lost, level="shown", stake=side_hash(stake))
