"""Cut out of what authentik publishes what Waypost needs of it. Run it again for a newer authentik:

    python tests/authentik/cutting.py BLUEPRINTS_SCHEMA_JSON API_SCHEMA_YML

The first file is `blueprints/schema.json` of authentik's repository, the second what a server answers at
`/api/v3/schema/`. What differs afterwards is a review: models that the allow-list names, fields that they have now.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from reconciler.authentik import models
from reconciler.authentik.models import ALLOWED

FILE = Path(models.__file__).with_name("blueprint-schema.json")
API = Path(__file__).with_name("authentik-2026.11.json")

_PATHS = {
    "/admin/version/": ("get",),
    "/managed/blueprints/": ("get", "post"),
    "/managed/blueprints/{instance_uuid}/": ("get", "patch", "delete"),
    "/managed/blueprints/{instance_uuid}/apply/": ("post",),
    "/core/applications/": ("get",),
    "/core/brands/": ("get",),
    "/core/tokens/": ("get",),
    "/core/users/me/": ("get",),
    "/flows/instances/": ("get",),
    "/outposts/instances/": ("get",),
    "/providers/oauth2/": ("get",),
    "/providers/proxy/": ("get",),
    "/stages/all/": ("get",),
    "/tasks/tasks/": ("get",),
}
"""The paths below /api/v3 that the client asks, and how."""

_WORDS = ("title", "description", "$id", "default", "operationId", "tags", "security", "example")


def blueprints(published: Any) -> Any:
    """The definitions of the models that may stand in a blueprint, and whose schema they are."""
    models = {name: _plain(published["$defs"][f"model_{name}"]) for name in sorted(ALLOWED)}
    return {"of": published["title"], "models": models}


def interface(published: Any) -> Any:
    """The paths that are asked, with all that they refer to."""
    asked = {path: {how: _plain(published["paths"][path][how]) for how in hows} for path, hows in _PATHS.items()}
    components: dict[str, dict[str, Any]] = {}
    waiting = _references(asked)
    while waiting:
        section, name = waiting.pop()
        if name not in components.setdefault(section, {}):
            components[section][name] = _plain(published["components"][section][name])
            waiting |= _references(components[section][name])
    return {
        "of": f"authentik {published['info']['version']}",
        "paths": asked,
        "components": {section: dict(sorted(named.items())) for section, named in sorted(components.items())},
    }


def _references(value: Any) -> set[tuple[str, str]]:
    if isinstance(value, dict):
        found = set().union(*(_references(inner) for inner in value.values()))
        if isinstance(value.get("$ref"), str):
            *_, section, name = value["$ref"].split("/")
            found.add((section, name))
        return found
    return set().union(*(_references(inner) for inner in value)) if isinstance(value, list) else set()


def _plain(value: Any, named: bool = False) -> Any:
    """Without what is for people only; `named`: the keys are names of fields and all stay."""
    if isinstance(value, dict):
        return {
            key: _plain(inner, key in ("properties", "schemas"))
            for key, inner in value.items()
            if named or key not in _WORDS
        }
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def main(blueprint_schema: str, api_schema: str) -> None:
    cut = blueprints(json.loads(Path(blueprint_schema).read_text()))
    FILE.write_text(json.dumps(cut, indent=1, sort_keys=True) + "\n")
    asked = interface(yaml.load(Path(api_schema).read_text(), Loader=yaml.CSafeLoader))
    API.write_text(json.dumps(asked, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
