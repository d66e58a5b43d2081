"""A key of Komodo's is exchanged while everything runs: what is deployed next is deployed with the new one."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from reconciler import app, founding, home, loop
from reconciler.world import World
from tests.komodo.fake_komodo import KEY, SECRET, FakeKomodo, Serving
from tests.stories.conftest import House

STACK = '[[stack]]\nname = "media"\n[stack.config]\nserver = "nas"\n'


def test_the_next_deploy_is_made_with_the_key_that_stands_in_the_file_by_then(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    komodo, held = FakeKomodo(), {"KEY": KEY, "SECRET": SECRET}
    with contextlib.closing(Serving(komodo)) as serving:
        for name, secret in held.items():
            (tmp_path / name).write_text(secret)
        references = {f"WAYPOST_KOMODO_{name}": f"file:{tmp_path / name}" for name in held}
        chosen = {"WAYPOST_KOMODO_URL": serving.url, "WAYPOST_KOMODO_DEADLINE": "10s", **references}
        made = founding.create(tmp_path / "home", chosen=chosen, environ={}, now=lambda: datetime.now(UTC))
        house = House(home.open(made.path, {}), None, tmp_path / "clone", until)
        subprocess.run(["git", "clone", "--quiet", str(made.desired_source), str(house.clone)], check=True)
        house.git("rm", "--quiet", "-r", "traefik")
        with app.locked(house.home) as world:  # one process from beginning to end
            assert isinstance(world, World)
            house.push({"komodo/media/stack.toml": STACK, "komodo/media/compose.yaml": "services: {web: {image: a:1}}"})
            assert loop.run_pass(world).state == "applied"
            komodo.let_in = "K-another", "S-another"
            house.push({"komodo/media/compose.yaml": "services: {web: {image: a:2}}"})
            assert loop.run_pass(world).state == "waiting"
            (tmp_path / "KEY").write_text("K-another")
            (tmp_path / "SECRET").write_text("S-another")
            assert loop.run_pass(world).state == "applied"
    assert komodo.done() == ["DeployStack media"] * 2 and komodo.faults == []
