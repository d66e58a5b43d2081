"""An authentik that behaves: blueprints that are tried when they are kept, and applied some time after one asks.

Every request and every answer is checked against what authentik publishes of its interface (authentik-2026.11.json:
the paths and shapes that are used here, cut out of its specification by cutting.py). A fault is kept, and fails the
test at its end. Content is read the way authentik reads it: by PyYAML, with its tags.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import yaml

SPECIFICATION = json.loads(Path(__file__).with_name("authentik-2026.11.json").read_text())

LISTED = {
    "/core/applications/": ("Application", ("authentik_core.application",)),
    "/core/brands/": ("Brand", ("authentik_brands.brand",)),
    "/flows/instances/": ("Flow", ("authentik_flows.flow",)),
    "/outposts/instances/": ("Outpost", ("authentik_outposts.outpost",)),
    "/providers/oauth2/": ("OAuth2Provider", ("authentik_providers_oauth2.oauth2provider",)),
    "/providers/proxy/": ("ProxyProvider", ("authentik_providers_proxy.proxyprovider",)),
    "/stages/all/": ("Stage", ("authentik_stages_",)),
}
NEEDED = {
    "authentik_core.application": ("name", "slug"),
    "authentik_providers_proxy.proxyprovider": (
        "name", "authorization_flow", "invalidation_flow", "external_host",
    ),
    "authentik_providers_oauth2.oauth2provider": (
        "name", "authorization_flow", "invalidation_flow", "redirect_uris",
    ),
    "authentik_flows.flow": ("name", "slug", "title", "designation"),
    "authentik_flows.flowstagebinding": ("target", "stage", "order"),
    "authentik_policies.policybinding": ("target", "order"),
    "authentik_brands.brand": ("domain",),
    "authentik_outposts.outpost": ("name", "type", "providers"),
}  # fmt: skip
OAUTH2 = "authentik_providers_oauth2.oauth2provider"
COUNTED = ("authentik_providers_proxy.proxyprovider", OAUTH2)
MADE_SECRET = "mAdE-bY-aUtHeNtIk"
"""How the client secrets begin that it makes itself; its answers show them to whoever may read a provider."""


class Invalid(Exception):
    """What authentik has against a blueprint."""


class HungUp(Exception):
    """The connection breaks before the answer is heard, as it does when the one who asked dies."""


@dataclass(frozen=True)
class Tag:
    name: str
    content: Any


class Loader(yaml.SafeLoader):
    """authentik's own reader, as far as its tags go."""


def _tag(loader: Loader, suffix: str, node: yaml.Node) -> Tag:
    if isinstance(node, yaml.ScalarNode):
        return Tag(suffix, node.value)
    return Tag(suffix, loader.construct_sequence(node, deep=True))


Loader.add_multi_constructor("!", _tag)


@dataclass
class Kept:
    """One blueprint. `due` counts how often it is looked at before the worker has come to it; -1: nothing is due."""

    pk: str
    name: str
    content: str = ""
    path: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    status: str = "unknown"
    last_applied: int = 0
    last_applied_hash: str = ""
    due: int = -1
    said: list[str] = field(default_factory=list)


class FakeAuthentik:
    """`down` answers nothing but 503; without `worker` nothing is ever applied; `lag` is how slow it is.

    `silent` models are passed over without a word, what `breaks` (a model) fails when it is applied, though it was
    fine when it was tried, what is `clinging` cannot be removed. `after` is called with what was just done.
    """

    def __init__(self) -> None:
        self.blueprints: dict[str, Kept] = {}
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.down = False
        self.worker = True
        self.lag = 2
        self.page_size = 2  # far fewer than are asked for, so that pages are turned
        self.silent: set[str] = set()
        self.breaks: set[str] = set()
        self.clinging: set[str] = set()
        self.tokens: list[dict[str, Any]] = [{"identifier": "waypost", "expiring": False, "expires": None}]
        self.after: Callable[[str], None] = lambda asked: None
        self.token = "right"
        self.url = ""
        self._count = 0
        for slug in ("default-provider-authorization-implicit-consent", "default-provider-invalidation-flow"):
            self.make("authentik_flows.flow", name=slug, slug=slug, title=slug, designation="authorization")
        for scope in ("openid", "email", "profile", "entitlements", "offline_access", "proxy"):
            managed = f"goauthentik.io/providers/oauth2/scope-{scope}"
            if scope == "proxy":
                managed = "goauthentik.io/providers/proxy/scope-proxy"
            self.make("authentik_providers_oauth2.scopemapping", name=scope, scope_name=scope, managed=managed)
        self.make(
            "authentik_outposts.outpost", name="authentik Embedded Outpost", type="proxy", providers=[],
            managed="goauthentik.io/outposts/embedded",
        )  # fmt: skip
        self.make("authentik_brands.brand", domain="authentik-default", default=True, branding_title="authentik")

    # ── people ───────────────────────────────────────────────────────────────────────────────────

    def make(self, model: str, **fields: Any) -> dict[str, Any]:
        """Make an object, as a person would."""
        self._count += 1
        pk = self._count if model in COUNTED else str(uuid.UUID(int=self._count))
        made = {"pk": pk, **fields}
        if model == OAUTH2:  # which brings a name and a secret of its own, as there
            made = {"client_id": f"made-{self._count}", "client_secret": f"{MADE_SECRET}-{self._count}", **made}
        self.objects.setdefault(model, []).append(made)
        return made

    def keep(self, name: str, content: str, **more: Any) -> Kept:
        """Keep a blueprint, as a person would."""
        made = Kept(str(uuid.uuid4()), name, content, **more)
        self.blueprints[made.pk] = made
        return made

    def one(self, model: str, **fields: Any) -> dict[str, Any] | None:
        """The object with these fields, if there is one."""
        return next((o for o in self.objects.get(model, []) if fields.items() <= o.items()), None)

    def ours(self) -> dict[str, Kept]:
        return {kept.name: kept for kept in self.blueprints.values() if kept.name.startswith("Waypost")}

    def hour(self) -> None:
        """authentik applies every enabled blueprint again, once an hour."""
        for kept in self.blueprints.values():
            if kept.enabled:
                self._work(kept)

    # ── blueprints ───────────────────────────────────────────────────────────────────────────────

    def _work(self, kept: Kept) -> None:
        kept.due = -1
        before = copy.deepcopy(self.objects)
        try:
            self._carry_out(kept.content, kept.context, final=True)
        except Invalid as fault:
            self.objects = before
            kept.status, kept.said = "error", [str(fault)]
        else:
            kept.status, kept.said = "successful", []
            kept.last_applied_hash = hashlib.sha512(kept.content.encode()).hexdigest()
        self._saved(kept)

    def _saved(self, kept: Kept) -> None:
        self._count += 1
        kept.last_applied = self._count

    def _tried(self, content: str, context: dict[str, Any]) -> None:
        before = copy.deepcopy(self.objects)
        try:
            self._carry_out(content, context, final=False)
        finally:
            self.objects = before

    def _carry_out(self, content: str, context: dict[str, Any], *, final: bool) -> None:
        read = yaml.load(content, Loader)
        if not isinstance(read, dict) or read.get("version") != 1:
            raise Invalid("Invalid blueprint version")
        listed = read["entries"]
        everything = [e for group in listed.values() for e in group] if isinstance(listed, dict) else listed
        known: dict[str, Any] = {}
        context = {**(read.get("context") or {}), **context}
        for entry in everything:
            self._entry(entry, known, context, final)

    def _entry(self, entry: dict[str, Any], known: dict[str, Any], context: dict[str, Any], final: bool) -> None:
        model, state = entry["model"], entry.get("state", "present")
        resolve = self._resolver(known, context)
        if not all(resolve(entry.get("conditions", []))):
            return
        identifiers, attrs = resolve(entry["identifiers"]), resolve(entry.get("attrs") or {})
        there = self.one(model, **identifiers)
        if state == "absent":
            if there and final and model in self.clinging:
                raise Invalid(f"Cannot delete: {model} is referenced by another")
            if there:
                self._remove(model, there)
            return
        if final and model in self.breaks:
            raise Invalid(f"Entry invalid: {model} broke with {json.dumps(attrs)}")
        if there is None:
            lacking = [name for name in NEEDED.get(model, ("name",)) if {**identifiers, **attrs}.get(name) is None]
            if lacking:
                raise Invalid(f"Entry invalid: Serializer errors {{'{lacking[0]}': ['This field is required.']}}")
            there = self.make(model) if not (final and model in self.silent) else {"pk": 0}
        if None in attrs.values():
            field_name = next(name for name, value in attrs.items() if value is None)
            raise Invalid(f"Entry invalid: Serializer errors {{'{field_name}': ['This field may not be null.']}}")
        if state != "created" or set(there) == {"pk"}:
            there.update(identifiers | attrs)
        if entry.get("id"):
            known[entry["id"]] = there["pk"]

    def _remove(self, model: str, there: dict[str, Any]) -> None:
        self.objects[model].remove(there)
        for bindings in ("authentik_policies.policybinding", "authentik_flows.flowstagebinding"):
            kept = [
                one for one in self.objects.get(bindings, []) if there["pk"] not in (one["target"], one.get("stage"))
            ]
            self.objects[bindings] = kept

    def _resolver(self, known: dict[str, Any], context: dict[str, Any]) -> Callable[[Any], Any]:
        def resolve(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: resolve(inner) for key, inner in value.items()}
            if isinstance(value, list):
                return [resolve(inner) for inner in value]
            match value:
                case Tag("KeyOf", id):
                    if id not in known:
                        raise Invalid(f"KeyOf: failed to find entry with `id` of `{id}` and a model instance")
                    return known[id]
                case Tag("Find", [model, *conditions]):
                    found = self.one(model, **{name: resolve(wanted) for name, wanted in conditions})
                    return found["pk"] if found else None
                case Tag("Context", [name, default]):
                    return context.get(name, default)
                case Tag("Context", name):
                    return context.get(name)
                case Tag("Format", [text, *arguments]):
                    return text % tuple(resolve(arguments))
                case Tag(name, _):
                    raise Invalid(f"no such tag here: {name}")
            return value

        return resolve

    # ── the interface ────────────────────────────────────────────────────────────────────────────

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(path)
        asked = parts.path.removeprefix("/api/v3")
        self.asked.append(f"{method} {asked}")
        if self.down:
            return 503, {"detail": "come back later"}
        template, values = _template(asked)
        operation = SPECIFICATION["paths"].get(template, {}).get(method.lower())
        if operation is None:
            self.faults.append(f"{method} {asked} is not in the specification")
            return 404, {"detail": "not found"}
        query = dict(parse_qsl(parts.query))
        self._check_query(operation, query, f"{method} {asked}")
        content = json.loads(body) if body else None
        self._check(_body_schema(operation), content, f"request {method} {asked}")
        status, said = self._do(method, template, values, query, content)
        told = operation["responses"].get(str(status))
        if told is None and status != 404:  # which no operation lists, and each may answer
            self.faults.append(f"{method} {asked} never answers {status}")
        elif told is not None:
            self._check(_answer_schema(told), said, f"answer of {method} {asked}")
        self.after(f"{method} {template}")
        return status, said

    def _do(
        self, method: str, template: str, values: dict[str, str], query: dict[str, str], content: Any
    ) -> tuple[int, Any]:
        if template in LISTED:
            return 200, self._page(self._objects(template, query), query)
        match method, template:
            case "GET", "/admin/version/":
                return 200, _filled("Version", {"version_current": "2026.8.1"})
            case "GET", "/core/users/me/":
                me = _filled("UserSelf", {"pk": 7, "username": "waypost"})
                return 200, {"user": me, "users": [me]}
            case "GET", "/core/tokens/":
                assert (query["intent"], query["user__username"]) == ("api", "waypost")
                owner = _filled("User", {"pk": 7, "username": "waypost"})
                tokens = [_filled("Token", {"user_obj": owner, "intent": "api", **one}) for one in self.tokens]
                return 200, self._page(tokens, query)
            case "GET", "/tasks/tasks/":
                kept = self.blueprints.get(query.get("rel_obj_id", ""))
                return 200, self._page([_task(kept)] if kept else [], query)
            case "GET", "/managed/blueprints/":
                return 200, self._page([_shown(kept) for kept in self.blueprints.values()], query)
            case "POST", "/managed/blueprints/":
                return self._create(content)
        kept = self.blueprints.get(values["instance_uuid"])
        if kept is None:
            return 404, {"detail": "No BlueprintInstance matches the given query."}
        match method, template:
            case "GET", _:
                if kept.due == 0:
                    self._work(kept)
                kept.due = max(kept.due - 1, -1)
                return 200, _shown(kept)
            case "PATCH", _:
                return self._patch(kept, content)
            case "DELETE", _:
                del self.blueprints[kept.pk]
                return 204, None
        assert (method, template) == ("POST", "/managed/blueprints/{instance_uuid}/apply/")
        shown = _shown(kept)  # the old status: it is only put into a queue
        kept.due = self.lag if self.worker and kept.enabled else -1
        return 200, shown

    def _create(self, content: Any) -> tuple[int, Any]:
        if any(kept.name == content["name"] for kept in self.blueprints.values()):
            return 400, {"name": ["Blueprint Instance with this name already exists."]}
        # As there: new content is tried without the context that comes with it.
        if refused := self._refused(content.get("content", ""), {}):
            return 400, refused
        made = self.keep(**content)
        self._saved(made)
        return 201, _shown(made)

    def _patch(self, kept: Kept, content: Any) -> tuple[int, Any]:
        if refused := "content" in content and self._refused(content["content"], kept.context):
            return 400, refused
        for name, value in content.items():
            setattr(kept, name, value)
        self._saved(kept)
        return 200, _shown(kept)

    def _refused(self, content: str, context: dict[str, Any]) -> Any:
        try:
            self._tried(content, context)
        except Invalid as fault:
            return {"content": ["Failed to validate blueprint", f"- {fault}"]}
        return None

    def _objects(self, template: str, query: dict[str, str]) -> list[Any]:
        shape, models = LISTED[template]
        found = [one for model, ones in self.objects.items() if model.startswith(models) for one in ones]
        for name, wanted in query.items():
            key, _, how = name.partition("__")
            if key not in ("page", "page_size", "superuser_full_list"):
                found = [one for one in found if _fits(one.get(key), wanted, how)]
        return [_filled(shape, self._told(template, one)) for one in found]

    def _told(self, template: str, one: dict[str, Any]) -> dict[str, Any]:
        """An object as its list tells it: with those that it refers to."""
        if template == "/outposts/instances/":
            providers = [p for model in COUNTED for p in self.objects.get(model, []) if p["pk"] in one["providers"]]
            return {
                **one,
                "providers_obj": [_filled("Provider", {"pk": p["pk"], "name": p["name"]}) for p in providers],
            }
        if template == "/core/applications/":
            slug = {"assigned_application_slug": one["slug"], "assigned_application_name": one["name"]}
            found = [p for model in COUNTED for p in self.objects.get(model, []) if p["pk"] == one.get("provider")]
            provider = [_filled("Provider", {"pk": p["pk"], "name": p["name"], **slug}) for p in found]
            return {**one, "pbm_uuid": one["pk"], "provider_obj": provider[0] if provider else None}
        return one

    def _page(self, items: list[Any], query: dict[str, str]) -> Any:
        size, number = min(int(query.get("page_size", "20")), self.page_size), int(query.get("page", "1"))
        last = max(1, -(-len(items) // size))
        pagination = {
            "next": number + 1 if number < last else 0, "previous": number - 1, "count": len(items),
            "current": number, "total_pages": last, "start_index": (number - 1) * size, "end_index": number * size,
        }  # fmt: skip
        return {"pagination": pagination, "results": items[(number - 1) * size :][:size], "autocomplete": {}}

    # ── what is checked ──────────────────────────────────────────────────────────────────────────

    def _check_query(self, operation: Any, query: dict[str, str], what: str) -> None:
        declared = {_looked_up(one)["name"] for one in operation.get("parameters", [])}
        self.faults += [f"{what} has no parameter '{name}'" for name in query.keys() - declared]

    def _check(self, schema: Any, value: Any, what: str) -> None:
        if schema is None:
            if value is not None:
                self.faults.append(f"{what} has a body where none is taken")
            return
        for error in _validator(json.dumps(schema)).iter_errors(value):
            self.faults.append(f"{what}: {error.json_path}: {error.message}")


@cache
def _validator(schema: str) -> jsonschema.Draft7Validator:
    """Made once for each shape: that costs more than the checking."""
    return jsonschema.Draft7Validator({**json.loads(schema), "components": CLOSED})


def _fits(value: Any, wanted: str, how: str) -> bool:
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    return text.casefold() == wanted.casefold() if how == "iexact" else text == wanted


def _shown(kept: Kept) -> dict[str, Any]:
    told = {name: value for name, value in vars(kept).items() if name not in ("due", "said")}
    last = f"2026-11-21T12:00:00.{kept.last_applied:06}Z"
    return {**told, "last_applied": last, "managed_models": [], "metadata": {}}


def _task(kept: Kept) -> Any:
    logs = [
        {
            "timestamp": "2026-11-21T12:00:00Z",
            "log_level": level,
            "logger": "blueprints",
            "event": text,
            "attributes": {},
        }
        for level, text in (("info", "Starting"), *(("warning", said) for said in kept.said))
    ]
    return _filled("Task", {"rel_obj_id": kept.pk, "logs": logs})


def _filled(shape: str, known: dict[str, Any]) -> dict[str, Any]:
    """What an answer of this shape must have, with what is known; the rest is empty."""
    schema = SPECIFICATION["components"]["schemas"][shape]
    empty = {name: _empty(schema["properties"][name]) for name in schema["required"]}
    return {**empty, **{name: value for name, value in known.items() if name in schema["properties"]}}


def _empty(schema: Any) -> Any:
    if schema.get("nullable"):
        return None
    schema = _looked_up(schema.get("allOf", [schema])[0])
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        return {name: _empty(schema["properties"][name]) for name in schema.get("required", [])}
    return {"array": [], "integer": 0, "number": 0, "boolean": False}.get(schema.get("type"), "")


def _looked_up(schema: Any) -> Any:
    if "$ref" not in schema:
        return schema
    _, _, section, name = schema["$ref"].split("/")
    return _looked_up(SPECIFICATION["components"][section][name])


def _json_schema(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: null where it is allowed, and a misspelled name is a fault."""
    if isinstance(schema, list):
        return [_json_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: value if key == "enum" else _json_schema(value) for key, value in schema.items()}
    if isinstance(changed.get("properties"), dict) and "type" in changed:
        changed.setdefault("additionalProperties", False)
    if changed.pop("nullable", None) is True:
        return {"anyOf": [changed, {"type": "null"}]}
    return changed


CLOSED = _json_schema(SPECIFICATION["components"])


def _template(path: str) -> tuple[str, dict[str, str]]:
    """The path of the specification that an address is of; literal parts win over named ones."""
    candidates = []
    for template in SPECIFICATION["paths"]:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
        if match := re.fullmatch(pattern, path):
            candidates.append((template.count("{"), template, match.groupdict()))
    return min(candidates)[1:] if candidates else (path, {})


def _body_schema(operation: Any) -> Any:
    body = operation.get("requestBody")
    return _json_schema(_looked_up(body)["content"]["application/json"]["schema"]) if body else None


def _answer_schema(told: Any) -> Any:
    content = _looked_up(told).get("content")
    return _json_schema(content["application/json"]["schema"]) if content else None


class Serving:
    """The fake behind a port of loopback."""

    def __init__(self, authentik: FakeAuthentik) -> None:
        busy = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = 1 << 16

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Authorization") != f"Bearer {authentik.token}":
                    status, said = 403, {"detail": "Authentication credentials were not provided."}
                else:
                    try:
                        with busy:
                            status, said = authentik.answer(self.command, self.path, body)
                    except HungUp:
                        self.close_connection = True
                        return
                content = b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = _any

            def log_message(self, format: str, *arguments: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def running() -> Iterator[FakeAuthentik]:
    """A fake at its `url`; a fault in what was asked or answered fails the test that used it."""
    authentik = FakeAuthentik()
    serving = Serving(authentik)
    authentik.url = serving.url
    try:
        yield authentik
    finally:
        serving.close()
    assert authentik.faults == []
