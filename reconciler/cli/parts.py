"""What commands are made of. Each part is loaded when a command first uses it, so that `--help` waits for none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler import (
        config,
        demo,
        documented,
        drifting,
        explaining,
        foreground,
        founding,
        moving_out,
        rolling_back,
        running,
        telling,
        tokens,
        upgrading,
    )  # fmt: skip
    from reconciler import home as homes
    from reconciler import session as sessions
    from reconciler.audit import checking
    from reconciler.backups import making, manifest, restoring
    from reconciler.core import account, policy
    from reconciler.core import plan as plans
    from reconciler.core import target as targets
    from reconciler.doctor import check_up, examining
    from reconciler.git import errors as git_errors
    from reconciler.handover import ejecting, handing_over
    from state import errors as log_errors
    from state import events, views
    from state import outbox as outboxes
else:
    from state.lazily import module

    config = module("reconciler.config")
    demo = module("reconciler.demo")
    documented = module("reconciler.documented")
    drifting = module("reconciler.drifting")
    explaining = module("reconciler.explaining")
    foreground = module("reconciler.foreground")
    founding = module("reconciler.founding")
    homes = module("reconciler.home")
    moving_out = module("reconciler.moving_out")
    rolling_back = module("reconciler.rolling_back")
    running = module("reconciler.running")
    sessions = module("reconciler.session")
    telling = module("reconciler.telling")
    tokens = module("reconciler.tokens")
    upgrading = module("reconciler.upgrading")
    checking = module("reconciler.audit.checking")
    making = module("reconciler.backups.making")
    manifest = module("reconciler.backups.manifest")
    restoring = module("reconciler.backups.restoring")
    account = module("reconciler.core.account")
    plans = module("reconciler.core.plan")
    policy = module("reconciler.core.policy")
    targets = module("reconciler.core.target")
    check_up = module("reconciler.doctor.check_up")
    examining = module("reconciler.doctor.examining")
    git_errors = module("reconciler.git.errors")
    ejecting = module("reconciler.handover.ejecting")
    handing_over = module("reconciler.handover.handing_over")
    log_errors = module("state.errors")
    events = module("state.events")
    outboxes = module("state.outbox")
    views = module("state.views")

__all__ = [
    "account", "check_up", "checking", "config", "demo", "documented", "drifting", "ejecting", "events", "examining",
    "explaining", "foreground", "founding", "git_errors", "handing_over", "homes", "log_errors", "making", "manifest",
    "moving_out", "outboxes", "plans", "policy", "restoring", "rolling_back", "running", "sessions", "targets",
    "telling", "tokens", "upgrading", "views",
]  # fmt: skip
