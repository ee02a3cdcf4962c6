"""What the api process tells the coordinator without making anybody wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
import uuid
from typing import Any, Final

import msgspec

from gw.api import author
from gw.api.context import Coordinator
from gw.core.errors import ApiError
from gw.store.rows import AuditRow

MOST: Final = 64
"""Notes under way; further ones are dropped."""


class Notes:
    """Tells the coordinator, in the background. One per api process."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._tasks: set[asyncio.Task[None]] = set()

    def key_used(self, id: str, now: int) -> None:
        """Note that an API key was used; a loss is made good by its next use."""
        self._start("api_key.used", {"id": id, "last_use": now})

    def refused(self, error: ApiError) -> None:
        """Note in the audit that the present request was not allowed; reads are not noted."""
        by = author.current()
        if by is None or not by.author or by.request.startswith(("GET ", "HEAD ")):
            return
        row = AuditRow(
            id=0,
            entry=uuid.uuid4().hex,
            recorded=int(time.time()),
            author=by.author,
            role=by.role,
            via=by.via,
            address=by.address,
            request=by.request,
            operation="",
            target=by.target,
            result=error.number,
        )
        self._start("audit.refused", {"row": msgspec.to_builtins(row)})

    def _start(self, operation: str, arguments: dict[str, Any]) -> None:
        if len(self._tasks) >= MOST:
            return
        # It is nobody's doing: a context without the author of the request.
        task = asyncio.get_running_loop().create_task(
            self._tell(operation, arguments), context=contextvars.Context()
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, operation: str, arguments: dict[str, Any]) -> None:
        with contextlib.suppress(ApiError):
            await self._coordinator.request(operation, arguments)
