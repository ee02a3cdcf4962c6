"""/file/{uuid}: what a device uploaded for a command (northbound.md 4.5)."""

from __future__ import annotations

from litestar import Response, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import query, visibility
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, empty
from gw.core.errors import ApiError
from gw.store.rows import CommandRow

_TAG = "Commands"


class FileQuery(query.Query):
    """Whose file it is; both must match."""

    serial_number: str = ""


async def _command(request: AnyRequest, context: Context, uuid: str) -> CommandRow:
    """Return the command of a file. Raises ApiError 404 if device and UUID do not match."""
    asked = query.read(request.scope, FileQuery)
    row = await context.reader.command(uuid.lower())
    if row is None or row.serial_number != asked.serial_number.lower():
        raise ApiError(404)
    return row


@get(
    "/file/{uuid:str}",
    **documented(
        "Download what a device uploaded",
        tag=_TAG,
        query=FileQuery,
        media="application/octet-stream",
        also=((202, "The device has not sent it yet."),),
    ),
)
async def download(
    request: AnyRequest, context: NamedDependency[Context], uuid: FromPath[str]
) -> Answer | Response[bytes]:
    """Answer the file; 202 while the device has not sent it yet."""
    row = await _command(request, context, uuid)
    if row.waiting_for_file:
        return Response(b"", status_code=202)
    if row.command == "script" and not visibility.free_text_is_seen(row.submitted_by):
        raise ApiError(7, "what a script uploads may hold secrets")
    content = await context.kept_files.read(row.uuid)
    if content is None:
        raise ApiError(404)
    name = f"{row.uuid}.{row.attach_type or 'bin'}"
    return Response(
        content,
        media_type="application/octet-stream",
        headers={
            "Content-Disposition": f"attachment; filename={name}",
            "Access-Control-Expose-Headers": "Content-Disposition",
        },
    )


@delete("/file/{uuid:str}", **documented("Delete an uploaded file", tag=_TAG, query=FileQuery))
async def remove(
    request: AnyRequest, context: NamedDependency[Context], uuid: FromPath[str]
) -> Answer:
    """Forget the file; the command stays. Refused with 1006 if there is none."""
    try:
        row = await _command(request, context, uuid)
    except ApiError:
        raise ApiError(1006) from None
    if not await context.kept_files.delete(row.uuid):
        raise ApiError(1006)
    return empty()
