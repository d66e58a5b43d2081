"""The everyday alternative: Ansible templates 1,000 routes, one of them changed, until Traefik serves that one.

Run as a script: `python tests/bench/bench_ansible.py [routes]`. Waypost takes turns with it: the same routes in a
Traefik of its own, from the merge of one that changed until that is proven. Ansible is installed from the package
index into an environment of its own below `.venv/`, once.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler import app
from reconciler.world import World
from tests.bench import bench_serve, stand
from tests.bench.figures import Figure, missing, ratio, told
from tests.bench.stand import Traefik

ROUTES = 1_000
ROUNDS = 5
ANSIBLE = "2.19.14"
"""The last line of ansible-core that runs on Python 3.11."""

_ENVIRONMENT = Path(sys.prefix) / f"ansible-{ANSIBLE}"
_QUIET = 0.3  # seconds: after that a throttle of 100 ms holds nothing back any more

_TEMPLATE = """\
http:
  routers:
{% for route in routes %}
    {{ route.name }}:
      rule: "{{ route.rule }}"
      service: {{ route.name }}
{% endfor %}
  services:
{% for route in routes %}
    {{ route.name }}:
      loadBalancer:
        servers:
          - url: {{ route.url }}
{% endfor %}
"""


class NoAnsible(Exception):
    """Ansible cannot be had here."""


def installed() -> Path:
    """`ansible-playbook`, installed where it is not yet."""
    playbook = _ENVIRONMENT / "bin" / "ansible-playbook"
    if not playbook.exists():
        print(f"  installing ansible-core {ANSIBLE} into {_ENVIRONMENT} …", flush=True)
        venv.create(_ENVIRONMENT, with_pip=True, clear=True)
        command = [_ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "--quiet", f"ansible-core=={ANSIBLE}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise NoAnsible(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip says nothing")
    return playbook


class Playbook:
    """One template task on this machine, no facts gathered, nothing else to do."""

    def __init__(self, program: Path, place: Path, traefik: Traefik) -> None:
        self._program = program
        self._place = place
        (place / "routes.yml.j2").write_text(_TEMPLATE)
        task = {
            "ansible.builtin.template": {
                "src": str(place / "routes.yml.j2"),
                "dest": str(traefik.directory / "routes.yml"),
            }
        }
        play: dict[str, Any] = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
        play["vars_files"] = [str(place / "routes.json")]
        play["vars"] = {"ansible_python_interpreter": str(program.parent / "python")}  # or it goes looking for one
        (place / "playbook.json.yml").write_text(json.dumps([play]))

    def run(self, count: int, number: int) -> None:
        """Template that many routes, of which those up to that number are changed."""
        routes = [_route(each, changed=each <= number) for each in range(count)]
        (self._place / "routes.json").write_text(json.dumps({"routes": routes}))
        home = {
            "HOME": str(self._place),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
        }
        command = [self._program, "-i", "localhost,", self._place / "playbook.json.yml"]
        done = subprocess.run(command, env={**os.environ, **home}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoAnsible(f"the playbook failed: {done.stdout[-400:]} {done.stderr[-400:]}")


def _route(number: int, *, changed: bool) -> dict[str, Any]:
    return {"name": f"app{number}", "url": f"http://127.0.0.1:9/{number}", "rule": _rule(number, changed=changed)}


def _rule(number: int, *, changed: bool) -> str:
    """A changed route answers to a second name: nobody has to agree to the loss of one."""
    return f"Host(`app{number}.example.org`)" + (f" || Host(`new{number}.example.org`)" if changed else "")


def by_ansible(playbook: Playbook, traefik: Traefik, count: int, number: int) -> float:
    """Seconds from the call until the changed route is served."""
    time.sleep(_QUIET)
    started = time.perf_counter()
    playbook.run(count, number)
    traefik.until(f"new{number}.example.org")
    return time.perf_counter() - started


def by_rename(traefik: Traefik, number: int) -> float:
    """The same file with its last route changed, renamed into place."""
    live, staged = traefik.directory / "routes.yml", traefik.directory / "routes.next"
    before, rule, last = live.read_text().rpartition("Host(`")
    staged.write_text(f"{before}Host(`bare{number}.example.org`) || {rule}{last}")
    time.sleep(_QUIET)
    started = time.perf_counter()
    staged.replace(live)
    traefik.until(f"bare{number}.example.org")
    return time.perf_counter() - started


def measure(place: Path, count: int, rounds: int) -> Iterator[Figure]:
    program = installed()
    with ExitStack() as stack:
        theirs, ours = (stack.enter_context(stand.running_traefik(place / name)) for name in ("ansible", "waypost"))
        playbook = Playbook(program, place, theirs)
        by_ansible(playbook, theirs, count, 0)
        waypost = stack.enter_context(serving(place, ours, count))
        taken = [
            (by_ansible(playbook, theirs, count, one), by_rename(theirs, one), waypost(one))
            for one in range(1, rounds + 1)
        ]
    ansible, bare, proven = (1e3 * statistics.median(side) for side in zip(*taken, strict=True))
    yield Figure(
        name=f"Ansible until served over bare rename, {count:,} routes",
        value=ratio([(one, rename) for one, rename, _ in taken]),
        note=f"ansible-core {ANSIBLE}: {ansible:,.0f} over {bare:,.0f} ms; nothing validated, nothing proven",
    )
    yield Figure(
        name=f"Ansible until served over Waypost until proven, {count:,} routes",
        value=ratio([(one, merge) for one, _, merge in taken]),
        note=f"ansible-core {ANSIBLE}: {ansible:,.0f} over {proven:,.0f} ms",
    )


@contextmanager
def serving(place: Path, traefik: Traefik, count: int) -> Iterator[Callable[[int], float]]:
    """A home that serves so many routes; what it gives merges one more, and answers the seconds until it is proven."""
    home, marks = stand.made_home(place / "home", traefik, count), bench_serve.Marks()
    with app.locked(home) as opened:
        assert isinstance(opened, World)
        world = bench_serve.timed(opened, marks)
        bench_serve.merged(home, world, marks, 0)  # the first pass applies it all
        yield lambda number: sum(bench_serve.merged(home, world, marks, number, changed(number)).values())


def changed(number: int) -> dict[str, bytes]:
    """The file of that route, changed."""
    route = stand.route(number)
    route["http"]["routers"][f"app{number}"]["rule"] = _rule(number, changed=True)
    return {stand.route_file(number): json.dumps(route, indent=1).encode()}


def main(count: int, rounds: int) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        with tempfile.TemporaryDirectory(prefix="waypost-bench-") as place:
            return told(measure(Path(place), count, rounds))
    except (stand.NoTraefik, NoAnsible, OSError, subprocess.TimeoutExpired) as why:
        return missing("Ansible, the everyday alternative", why)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUTES, ROUNDS))
