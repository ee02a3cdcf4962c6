"""Who did what: an entry with every request of the API that changes something.

The entry is handed in before the request is carried out, so it is durable no later than what the
request writes; its result is added at the end. Requests without a known author are the gateway's
own (uploads of devices, housekeeping) and are none of the audit's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gw.coordinator.operations import Arguments, Operation
from gw.coordinator.work import Committer
from gw.core.records import Request
from gw.ops import logs
from gw.store.rows import AuditRow
from gw.store.security_ops import InsertAudit, SetAuditResult

log = logs.get("audit")

UNFINISHED: Final = -1
_MAX_TEXT: Final = 200
_READS: Final = frozenset(
    {"device.status", "fleet.statistics", "api_key.used", "audit.refused", "token.removed"}
)
"""Operations that change nothing that an auditor asks about."""


class Audit:
    """Writes the entries."""

    def __init__(self, work: Committer) -> None:
        self._work = work

    def operations(self) -> Mapping[str, Operation]:
        """An area of its own: what the API refused by itself is told afterwards."""
        return {"audit.refused": self._refused}

    async def _refused(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = msgspec.convert(arguments["row"], AuditRow)
        self._work.write(InsertAudit(row), 512)
        log.info("refused", author=row.author, via=row.via, address=row.address,
                 request=row.request, target=row.target, error=row.result)  # fmt: skip
        return {}

    @staticmethod
    def concerns(request: Request) -> bool:
        """Tell whether a request is one of those that are noted."""
        return request.by is not None and request.operation not in _READS

    def begin(self, request: Request) -> None:
        """Note that a request is about to be carried out."""
        by = request.by
        if by is None or not self.concerns(request):
            return
        row = AuditRow(
            id=0,
            entry=by.entry,
            recorded=int(time.time()),
            author=by.author[:_MAX_TEXT],
            role=by.role,
            via=by.via[:_MAX_TEXT],
            address=by.address,
            request=by.request[:_MAX_TEXT],
            operation=request.operation,
            target=(by.target or _target(request))[:_MAX_TEXT],
            result=UNFINISHED,
        )
        self._work.write(InsertAudit(row), 512)

    def end(self, request: Request, error: int, detail: str) -> None:
        """Note how it ended: with a numbered error, or 0."""
        by = request.by
        if by is None or not self.concerns(request):
            return
        self._work.write(SetAuditResult(by.entry, error, detail[:_MAX_TEXT]), 128)
        log.info(
            "done" if not error else "refused",
            author=by.author,
            via=by.via,
            address=by.address,
            request=by.request,
            operation=request.operation,
            target=by.target or _target(request),
            error=error,
        )


def _target(request: Request) -> str:
    """What it was done to, of requests whose path does not say."""
    for name in ("serial", "uuid", "name", "id", "user_id"):
        value = request.arguments.get(name)
        if isinstance(value, str) and value:
            return value
    row = request.arguments.get("row")
    if isinstance(row, dict):
        return str(row.get("email") or row.get("user_id") or row.get("name") or "")
    return ""
