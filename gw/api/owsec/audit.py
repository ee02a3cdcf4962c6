"""GET /audit: who did what by the API. Ours; owsec has nothing like it."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.di import NamedDependency

from gw.api import query
from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.security.roles import Operation


class AuditQuery(query.Query):
    """Which entries."""

    limit: int = 100
    before: int = 0
    """Only entries with a lower id: the id of the last one of the page before."""
    author: str = ""
    target: str = ""
    start_date: int = 0
    end_date: int = 0


class AuditEntry(msgspec.Struct, rename="camel", kw_only=True):
    """One request that changed something, or was to."""

    id: int
    recorded: int
    author: str
    """E-mail of the user, or name of the sister service."""
    role: str
    via: str
    """`token`, `key <name>`, `internal`, or `sign-in`."""
    address: str
    request: str
    operation: str
    target: str
    """What it was done to: values of the path, else a name out of the request."""
    result: int
    """0: done; a numbered error: refused; -1: the gateway ended before there was a result."""
    detail: str


class AuditAnswer(msgspec.Struct):
    """Entries, newest first."""

    entries: list[AuditEntry]


@get(
    "/audit",
    **documented(
        "List who did what",
        tag="System",
        answer=AuditAnswer,
        query=AuditQuery,
        details="Root and admin only.",
    ),
)
async def list_audit(
    request: AnyRequest, context: NamedDependency[Context], caller: NamedDependency[Caller]
) -> Answer:
    """Answer a page of the audit."""
    caller.require(Operation.READ_AUDIT)
    asked = query.read(request.scope, AuditQuery)
    found = await context.reader.audit(
        before=asked.before,
        limit=query.bounded(asked.limit, context.max_page),
        author=asked.author,
        target=asked.target,
        start=asked.start_date,
        end=asked.end_date,
    )
    names = AuditEntry.__struct_fields__
    entries = [{name: getattr(row, name) for name in names} for row in found]
    return document({"entries": entries})
