"""Compose files are refused wherever the published schema refuses them: every place of it, filled with every nonsense.

The schema is the specification's own, as check-jsonschema brings it along. The other way round we are stricter: what
names nothing, and text that no engine can read, the schema takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema

from reconciler.komodo.compose import faults

SCHEMA = get_builtin_schema("vendor.compose-spec")
SPECIFICATION = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)

NONSENSE: tuple[Any, ...] = (
    None, True, 7, -1, 1.5, "", "nonsense", [], ["a"], ["a", "a"], [7], [7, 7], [None], [[]], [{}], [{"nonsense": "a"}],
    {}, {"nonsense": "a"}, {"nonsense": 7}, {"nonsense": True}, {"nonsense": None}, {"nonsense": []}, {"nonsense": {}},
    {"nonsense": {"nonsense": 7}}, {"x-a": 7},
)  # fmt: skip

NEEDED = {
    "path": "/p", "action": "sync", "source": "/s", "type": "bind", "target": "/t", "capabilities": ["gpu"],
    "condition": "service_started", "command": "c", "model": "m", "service": "b", "soft": 1, "hard": 1,
}  # fmt: skip
"""What stands beside a place where its neighbours are demanded."""

Step = tuple[Any, dict[str, Any]]
"""The name or number of a place, and what must stand beside it."""


def places(schema: Any, depth: int = 0) -> Iterator[tuple[Step, ...]]:
    """The way to everything that a schema describes, itself first."""
    yield ()
    if depth > 8 or not isinstance(schema, dict):
        return
    for part in (schema.get("$ref"), *schema.get("allOf", ()), *schema.get("oneOf", ())):
        if part is not None:
            yield from list(places(_referred(part), depth))[1:]
    beside = {name: NEEDED[name] for name in schema.get("required", ()) if name in NEEDED}
    named = dict(schema.get("properties", {}))
    for part in (part for form, part in schema.get("patternProperties", {}).items() if not form.startswith("^x-")):
        named["a"] = part
    for name, part in named.items():
        for rest in places(part, depth + 1):
            yield ((name, {key: value for key, value in beside.items() if key != name}), *rest)
    for rest in places(schema["items"], depth + 1) if "items" in schema else ():
        yield ((0, {}), *rest)


def _referred(part: Any) -> Any:
    reference = part if isinstance(part, str) else part.get("$ref", "")
    return SCHEMA["$defs"][reference.rpartition("/")[2]] if reference else part


def filled(way: tuple[Step, ...], value: Any) -> Any:
    for name, beside in reversed(way):
        value = [value] if name == 0 else {**beside, name: value}
    return value


def document(way: tuple[Step, ...], value: Any) -> dict[str, Any]:
    """A good compose file but for what stands at that place."""
    made: dict[str, Any] = filled(way, value)
    if way[0][0] != "services":
        return {**made, "services": {"a": {"image": "i"}}}
    if len(way) > 2:
        made["services"]["a"] = {"image": "i", **made["services"]["a"]}
    return made


def every_document() -> list[tuple[str, dict[str, Any]]]:
    ways = {".".join(str(name) for name, _ in way): way for way in places(SCHEMA) if way}
    assert len(ways) > 900
    return [(f"{at} = {value}", document(way, value)) for at, way in sorted(ways.items()) for value in NONSENSE]


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.soak)])
def test_whatever_the_published_schema_refuses_is_refused(every: int) -> None:
    """All of it takes half a minute, so that the default run takes a part of it."""
    refused = [(said, made) for said, made in every_document()[::every] if not SPECIFICATION.is_valid(made)]
    assert len(refused) > 15_000 // every
    assert [said for said, made in refused if not faults(made)] == []


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"depends_on": {"b": {}}}, "'condition' is missing"),
        ({"depends_on": ["b", "b"]}, "'b' stands here twice"),
        ({"user": 1000}, "'1000' is no text; put it in quotes"),
        ({"gpus": "some"}, "'some' is none of all"),
        ({"models": 7}, "is no "),
        ({"build": {"contxt": "."}}, "unknown field 'contxt'; 'context' is meant?"),
        ({"blkio_config": {"weight": "much"}}, "'much' is no number"),
        ({"deploy": {"placement": {"constraint": []}}}, "'constraints' is meant?"),
        ({"cap_add": ["NET_ADMIN", "NET_ADMIN"]}, "'NET_ADMIN' stands here twice"),
        ({"pre_start": [{"comand": "x"}]}, "'command' is meant?"),
        ({"scale": 1.5}, "'1.5' is no whole number"),
    ],
)
def test_what_is_refused_is_told_in_words_that_help(service: dict[str, Any], words: str) -> None:
    made = {"services": {"a": {"image": "i", **service}, "b": {"image": "i"}}}
    assert any(words in said for _, said in faults(made)), faults(made)


def test_a_file_with_much_of_what_there_is_keeps_to_both() -> None:
    service = {
        "image": "i", "depends_on": {"b": {"condition": "service_healthy", "required": False}}, "user": "1000:1000",
        "gpus": [{"count": 1, "capabilities": ["gpu"]}], "cap_add": ["NET_ADMIN"], "group_add": [44, "video"],
        "build": {"context": ".", "args": {"A": 1}, "no_cache": True, "ulimits": {"nofile": {"soft": 1, "hard": 2}}},
        "blkio_config": {"weight": 300, "device_read_bps": [{"path": "/dev/sda", "rate": "12mb"}]},
        "deploy": {"placement": {"constraints": ["node.role == manager"]}, "resources": {"limits": {"memory": "1g"}}},
        "models": {"llm": {"endpoint_var": "LLM"}}, "command": ["sleep", "10"], "cpus": 0.5, "mem_limit": "${MEMORY}",
        "pre_start": [{"image": "i", "command": ["migrate"], "per_replica": False}], "pull_policy": "every_12h",
        "ports": [8080, {"target": 80, "published": "8000-9000"}], "pid": None, "ulimits": {"core": -1},
    }  # fmt: skip
    models = {"llm": {"model": "ai/x", "context_size": 1024}}
    network = {"ipam": {"config": [{"subnet": "10.0.0.0/24"}]}, "driver_opts": {"mtu": 1400}}
    made = {
        "services": {"a": service, "b": {"image": "i"}}, "models": models, "networks": {"front": network},
    }  # fmt: skip
    assert ([error.message for error in SPECIFICATION.iter_errors(made)], faults(made)) == ([], [])
