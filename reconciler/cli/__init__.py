"""The command line: parse, call, print. Exit codes: 0 fine, 1 error, 2 changes or drift pending, 3 refused."""

from __future__ import annotations

import gc
import tempfile
import traceback

import click

from reconciler.cli.group import waypost
from reconciler.cli.printing import say

# Each module registers its commands when it is loaded: this order is the order of the help page.
# isort: off
from reconciler.cli import deploying  # noqa: F401
from reconciler.cli import answering  # noqa: F401
from reconciler.cli import looking  # noqa: F401
from reconciler.cli import explaining  # noqa: F401
from reconciler.cli import tokens  # noqa: F401
from reconciler.cli import keeping  # noqa: F401
from reconciler.cli import shards  # noqa: F401
from reconciler.cli import remote  # noqa: F401
# isort: on

__all__ = ["main", "waypost"]


def main(arguments: list[str] | None = None) -> None:
    """The console script."""
    try:
        waypost(args=arguments, prog_name="waypost", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(1) from None
    except (KeyboardInterrupt, click.Abort):
        raise SystemExit(130) from None
    except Exception as error:  # the top of this process: whatever it is, a person reads one line
        say(f"waypost: a fault of ours, please report it: {type(error).__name__}: {error}", err=True)
        say(f"waypost: details are in {_kept(error)}", err=True)
        raise SystemExit(1) from None
    finally:
        gc.freeze()  # or Python looks for garbage among all that it loaded before it ends: a sixth of a short command


def _kept(error: Exception) -> str:
    with tempfile.NamedTemporaryFile("w", prefix="waypost-fault-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    return file.name
