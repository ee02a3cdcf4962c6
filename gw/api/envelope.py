"""The shapes of every answer: documents, generic success, and the error envelope."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from gw.core.errors import INTERNAL, ApiError
from gw.store.errors import StoreError, unreadable

_log = structlog.get_logger("gw.api")

JSON: Final = "application/json"
_encode = msgspec.json.Encoder().encode
_FORBIDDEN: Final = 403
_UNAVAILABLE: Final = 503
_AGAIN_SECONDS: Final = 5
"""After which a request that cannot be answered just now may be sent again."""

AnyRequest = Request[Any, Any, Any]
Answer = Response[bytes]


class Success(msgspec.Struct):
    """Answer to a change that has nothing else to tell."""

    code: int = msgspec.field(name="Code", default=0)
    operation: str = msgspec.field(name="Operation", default="")
    details: str = msgspec.field(name="Details", default="")


class Failure(msgspec.Struct):
    """Answer to a request that was refused.

    With HTTP status 403 `ErrorCode` is the numbered error, else it is the status and the
    number is the start of `ErrorDescription`.
    """

    error_code: int = msgspec.field(name="ErrorCode")
    error_details: str = msgspec.field(name="ErrorDetails")
    error_description: str = msgspec.field(name="ErrorDescription")


class Count(msgspec.Struct):
    """Number of rows."""

    count: int


def document(value: object, status: int = 200) -> Answer:
    """Answer with a JSON document."""
    return Response(_encode(value), status_code=status, media_type=JSON)


def success(method: str, details: str = "") -> Answer:
    """Answer with the generic success document."""
    return document(Success(operation=method, details=details))


def empty(status: int = 200) -> Answer:
    """Answer without a body."""
    return Response(b"", status_code=status, media_type=JSON)


def failure(error: ApiError, method: str) -> Failure:
    """Return the error envelope of `error`."""
    code = error.number if error.http == _FORBIDDEN else error.http
    return Failure(code, method, error.description)


def refuse(request: AnyRequest, error: ApiError) -> Answer:
    """Answer with the error envelope."""
    answer = document(failure(error, request.method), error.http)
    again = error.retry_after or (_AGAIN_SECONDS if error.http == _UNAVAILABLE else 0)
    if again:
        answer.headers["retry-after"] = str(again)
    return answer


def refuse_http(request: AnyRequest, error: HTTPException) -> Answer:
    """Answer to what the framework refuses: unknown paths and methods, and too large bodies."""
    if error.status_code in (404, 405):
        return refuse(request, ApiError(1004))
    if error.status_code == 413:
        largest = request.route_handler.resolve_request_max_body_size()
        return refuse(request, ApiError(1003, f"a body may have {largest} bytes at most"))
    if error.status_code >= 500:
        return refuse_unexpected(request, error)
    return refuse(request, ApiError(1003, error.detail))


def refuse_store(request: AnyRequest, error: StoreError) -> Answer:
    """Answer when the database cannot be read; what exactly is wrong is for the log."""
    _log.error("the store failed", path=request.scope["path"], error=str(error))
    return refuse(request, ApiError(INTERNAL, unreadable(retriable=error.retriable), http=503))


def refuse_unexpected(request: AnyRequest, error: Exception) -> Answer:
    """Answer to a fault of ours: what went wrong is for the log, not for the caller."""
    _log.error("request failed", method=request.method, path=request.scope["path"], exc_info=error)
    return refuse(request, ApiError(INTERNAL))
