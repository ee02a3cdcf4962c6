"""The OpenAPI 3.1 document, made from the routes' descriptions and their msgspec structs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

import gw
from gw.api.attribute_notes import notes_of
from gw.api.documented import Combined, Description, description_of
from gw.api.envelope import JSON, Failure
from gw.api.query import Query

_REFERENCE: Final = "#/components/schemas/{name}"
_UNDERSCORE: Final = re.compile(r"_(\w)")
_ABOUT: Final = (
    "The REST interface of the gateway, compatible with OpenWiFi's owgw. A token comes from the "
    "security listener (`POST /api/v1/oauth2`). Refused requests answer 400 or 403, never 401, "
    "with a number in `ErrorDescription` (400) or in `ErrorCode` (403)."
)


def handlers_of(app: Litestar) -> Iterable[tuple[str, HTTPRouteHandler]]:
    """Yield path and handler of every HTTP route, once each."""
    seen: set[int] = set()
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            if id(handler) not in seen:
                seen.add(id(handler))
                yield route.path_format, handler


class Other(NamedTuple):
    """The document of another listener of this gateway."""

    title: str
    port: int


def openapi_document(app: Litestar, *, title: str, other: Other | None = None) -> dict[str, Any]:
    """Return the document of the described routes of `app`."""
    described = [
        (path, handler, description)
        for path, handler in handlers_of(app)
        if (description := description_of(handler)) is not None
    ]
    types: list[Any] = [Failure]
    for _, _, description in described:
        for one in (description.answer, description.body):
            types += one.types if isinstance(one, Combined) else [one] if one is not None else []
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    _add_notes(components)
    schema_of = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}

    paths: dict[str, Any] = {}
    for raw_path, handler, description in sorted(described, key=lambda item: item[0]):
        path = _camel(raw_path)
        operations = paths.setdefault(path, {})
        for method in sorted(handler.http_methods):
            if method not in ("OPTIONS", "HEAD"):
                operations[method.lower()] = _operation(
                    f"{handler.handler_name}", path, description, schema_of
                )
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": gw.__version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }
    if other is not None:
        found["x-other-listener"] = {"title": other.title, "port": other.port}
    return found


def _add_notes(components: dict[str, Any]) -> None:
    """Add to the schemas what is written below the members of their structs."""
    for struct in _structs(msgspec.Struct):
        properties = components.get(struct.__name__, {}).get("properties", {})
        if not struct.__module__.startswith("gw.") or set(properties) != set(
            struct.__struct_encode_fields__
        ):
            continue
        for name, note in notes_of(struct).items():
            encoded = struct.__struct_encode_fields__[struct.__struct_fields__.index(name)]
            properties[encoded].setdefault("description", note)


def _structs(base: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for struct in base.__subclasses__():
        yield struct
        yield from _structs(struct)


def _camel(path: str) -> str:
    """Return a path with its parameters spelled as in the rest of the interface."""
    return re.sub(r"\{\w+\}", lambda m: _UNDERSCORE.sub(lambda u: u[1].upper(), m[0]), path)


def _operation(
    name: str, path: str, description: Description, schema_of: dict[int, Any]
) -> dict[str, Any]:
    succeeded: dict[str, Any] = {"description": "Done."}
    if description.answer is not None:
        succeeded["content"] = _json(_schema(description.answer, schema_of))
    elif description.media:
        succeeded["content"] = {description.media: {}}
    refused = _json(schema_of[id(Failure)])
    if description.status >= 400:
        succeeded = {"description": "To whatever is no WebSocket upgrade.", "content": refused}
    operation: dict[str, Any] = {
        "operationId": name,
        "tags": [description.tag],
        "summary": description.summary,
        "parameters": _path_parameters(path) + _query_parameters(description.query),
        "responses": {
            "400": {"description": "Refused: see `ErrorDescription`.", "content": refused},
            "403": {"description": "No valid token, or not allowed.", "content": refused},
            "404": {"description": "It does not exist.", "content": refused},
            "500": {"description": "The gateway failed; its log says why.", "content": refused},
            "503": {
                "description": "Not just now: try again after `Retry-After` seconds.",
                "content": refused,
            },
            str(description.status): succeeded,
        },
    }
    for status, text in description.also:
        operation["responses"][str(status)] = {"description": text}
    if description.details:
        operation["description"] = description.details
    if description.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": _json(schema_of[id(description.body)]),
        }
    if description.public:
        operation["security"] = []
    return operation


def _schema(kind: Any, schema_of: dict[int, Any]) -> dict[str, Any]:
    if isinstance(kind, Combined):
        return {kind.how: [schema_of[id(one)] for one in kind.types]}
    found: dict[str, Any] = schema_of[id(kind)]
    return found


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema}}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in path.split("/")
        if part.startswith("{")
    ]


def _query_parameters(kind: type[Query] | None) -> list[dict[str, Any]]:
    if kind is None:
        return []
    found = []
    notes = notes_of(kind)
    for field in msgspec.structs.fields(kind):
        schema: dict[str, Any] = {"type": "string"}
        if field.type is bool:
            schema = {"type": "boolean"}
        elif field.type is int:
            schema = {"type": "integer", "minimum": 0}
        if field.type in (bool, int, str):
            schema["default"] = field.default
        parameter = {"name": field.encode_name, "in": "query", "schema": schema}
        if field.name in notes:
            parameter["description"] = notes[field.name]
        found.append(parameter)
    return found
