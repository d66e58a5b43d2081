"""Traefik's dynamic configuration as desired state: any YAML or TOML file of the directory, in Traefik's own words."""

from __future__ import annotations

from reconciler import document
from reconciler.language import Content, Language
from reconciler.traefik import kinds
from state.model import Problem, Spec

NOTES = "x-waypost"
"""What a preset says about itself, beside its middlewares."""


def parse(file: str, content: bytes) -> Content:
    """One file by itself, as a commit would hold it. What Traefik would execute as a template is a problem."""
    read = document.read(file, content, templates=False)
    shaped = kinds.examine(read.value)
    resources = tuple(
        (kind, name, spec, read.place(shaped.paths[kind, name])[0]) for (kind, name), spec in shaped.resources.items()
    )
    # What is left of a broken file misses things for one reason only; a second complaint would hide the first.
    faults = () if read.problems else tuple(read.problem(fault.path, _worded(fault)) for fault in shaped.faults)
    notes = read.value.get(NOTES) if isinstance(read.value, dict) else None
    return Content(resources, (*read.problems, *faults), notes if isinstance(notes, dict) else {})


def read_file(file: str, content: bytes) -> tuple[dict[kinds.Named, Spec], tuple[Problem, ...]]:
    """One file by itself: its resources by kind and name, and everything wrong with it."""
    parsed = parse(file, content)
    return {(kind, name): spec for kind, name, spec, _ in parsed.resources}, parsed.problems


def _worded(fault: kinds.Fault) -> str:
    return f"{kinds.dotted(fault.path)}: {fault.message}" if fault.path else fault.message


LANGUAGE = Language(reads=kinds.is_loaded, parse=parse, strict=True)
