"""/scripts and /script/{id}: scripts that operators keep for devices (northbound.md 4.7, 3.2)."""

from __future__ import annotations

import base64
import time
import uuid
from typing import Annotated, Any, Final

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query
from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document, empty
from gw.core.errors import ApiError
from gw.protocol.commands import ScriptBody
from gw.security.roles import Operation, Role, may, may_run_script
from gw.store.rows import ScriptRow

_TAG = "Scripts"
_TYPES: Final = ("shell", "bundle")

Text = Annotated[str, msgspec.Meta(max_length=4096)]
Content = Annotated[str, msgspec.Meta(max_length=1_000_000)]
Timeout = Annotated[int, msgspec.Meta(ge=0, le=3600)]


class ScriptDocument(msgspec.Struct, rename="camel", kw_only=True):
    """A stored script; `content` is plain text."""

    id: str
    name: str
    description: str
    uri: str
    content: str
    version: str
    type: str
    created: int
    modified: int
    author: str
    restricted: list[str]
    """Roles that may run it; empty: only root."""
    deferred: bool
    timeout: int
    """Seconds."""
    default_upload_uri: str = msgspec.field(name="defaultUploadURI")


class ScriptChange(msgspec.Struct, rename="camel", kw_only=True):
    """What may be set of a script; absent members stay as they are."""

    name: Text | None = None
    description: Text | None = None
    uri: Text | None = None
    content: Content | None = None
    version: Text | None = None
    type: Text | None = None
    author: Text | None = None
    restricted: list[str] | None = None
    deferred: bool | None = None
    timeout: Timeout | None = None
    default_upload_uri: Text | None = msgspec.field(name="defaultUploadURI", default=None)


class ScriptsAnswer(msgspec.Struct):
    """Scripts by name."""

    scripts: list[ScriptDocument]


_CHANGEABLE: Final = tuple(
    name for name in ScriptChange.__struct_fields__ if name not in ("type", "author")
)


@get(
    "/scripts",
    **documented("List the stored scripts", tag=_TAG, answer=ScriptsAnswer, query=query.Page),
)
async def list_scripts(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer a page of scripts."""
    asked = query.read(request.scope, query.Page)
    limit = query.bounded(asked.limit, context.max_page)
    found = await context.reader.scripts(offset=asked.offset, limit=limit) if limit else []
    return document({"scripts": [_document(row) for row in found]})


@get(
    "/script/{script_id:str}",
    **documented("Read a stored script", tag=_TAG, answer=ScriptDocument),
)
async def read_script(context: NamedDependency[Context], script_id: FromPath[str]) -> Answer:
    """Answer one script."""
    return document(_document(await _known(context, script_id)))


@post(
    "/script/{script_id:str}",
    **documented("Store a script", tag=_TAG, answer=ScriptDocument, body=ScriptChange,
                 details="The id of the path is `0`; the gateway gives a new one."),
)  # fmt: skip
async def create_script(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    script_id: FromPath[str],
) -> Answer:
    """Keep a new script."""
    _only_root(caller)
    order = await body.read(request, ScriptChange)
    for name in ("name", "author", "type", "content", "version"):
        if not getattr(order, name):
            raise ApiError(1018, name)
    _check(order)
    now = int(time.time())
    row = ScriptRow(id=str(uuid.uuid4()), name="", type="", content="", created=now, modified=now)
    _apply(row, order, ScriptChange.__struct_fields__)
    await context.coordinator.request("script.put", {"row": msgspec.to_builtins(row)})
    return document(_document(row))


@put(
    "/script/{script_id:str}",
    **documented("Change a stored script", tag=_TAG, answer=ScriptDocument, body=ScriptChange),
)
async def change_script(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    script_id: FromPath[str],
) -> Answer:
    """Change a script; its type and author stay."""
    _only_root(caller)
    row = await _known(context, script_id)
    order = await body.read(request, ScriptChange)
    _check(order)
    _apply(row, order, _CHANGEABLE)
    row.modified = int(time.time())
    await context.coordinator.request("script.put", {"row": msgspec.to_builtins(row)})
    return document(_document(row))


@delete("/script/{script_id:str}", **documented("Delete a stored script", tag=_TAG))
async def delete_script(
    context: NamedDependency[Context], caller: NamedDependency[Caller], script_id: FromPath[str]
) -> Answer:
    """Delete a script."""
    _only_root(caller)
    row = await _known(context, script_id)
    await context.coordinator.request("script.delete", {"id": row.id})
    return empty()


async def fill_in(context: Context, caller: Caller, order: ScriptBody) -> None:
    """Put a stored script into a `script` command, if it names one; check who may run what.

    Raises ApiError 7 and 1153 (northbound.md 3.2).
    """
    if order.scriptId and order.script:
        raise ApiError(1153, http=403)
    if order.type == "diagnostic" and order.scriptId:
        raise ApiError(1153)
    if not order.scriptId:
        if not (caller.internal or may(caller.role, Operation.FREE_SCRIPT)):
            raise ApiError(7)
        return
    row = await context.reader.script(order.scriptId)
    if row is None:
        raise ApiError(404)
    if not may_run_script(caller.role, msgspec.json.decode(row.restricted, type=list[str])):
        raise ApiError(7)
    order.script = base64.b64encode(row.content.encode()).decode()
    order.type = row.type
    if order.deferred is msgspec.UNSET:
        order.deferred = row.deferred
    if order.timeout is msgspec.UNSET:
        order.timeout = row.timeout
    if order.later and not order.uri:
        order.uri = row.default_upload_uri


async def _known(context: Context, script_id: str) -> ScriptRow:
    row = await context.reader.script(script_id)
    if row is None or row.id != script_id:
        raise ApiError(404)
    return row


def _only_root(caller: Caller) -> None:
    if not may(caller.role, Operation.EDIT_SCRIPTS):
        raise ApiError(7, http=400)


def _check(order: ScriptChange) -> None:
    if order.type is not None and order.type not in _TYPES:
        raise ApiError(1018, f"type is one of {', '.join(_TYPES)}")
    for role in order.restricted or ():
        if role not in frozenset(Role):
            raise ApiError(1039, f"restricted: {role[:40]}")
    for name, value in (("uri", order.uri), ("defaultUploadURI", order.default_upload_uri)):
        if value and not value.startswith(("http://", "https://")):
            raise ApiError(1152, name)


def _apply(row: ScriptRow, order: ScriptChange, names: tuple[str, ...]) -> None:
    for name in names:
        value: Any = getattr(order, name)
        if value is None:
            continue
        if name == "restricted":
            value = msgspec.json.encode(value).decode()
        setattr(row, name, value)


def _document(row: ScriptRow) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in row.__struct_fields__}
    found["restricted"] = msgspec.json.decode(row.restricted)
    found["defaultUploadURI"] = found.pop("default_upload_uri")
    return found
