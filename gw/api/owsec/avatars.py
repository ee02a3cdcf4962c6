"""/avatar/{id}: pictures of users (security.md 5)."""

from __future__ import annotations

import time
from typing import Final

import msgspec
import multipart
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document, empty
from gw.api.owsec.accounts import Accounts
from gw.core.errors import ApiError
from gw.security.roles import Role

_TAG = "Users"
MAX_IMAGE: Final = 2_000_000
_OVERHEAD: Final = 16_384
"""Room for the rest of the form, bytes."""

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


class AvatarAnswer(msgspec.Struct, rename="camel", omit_defaults=True):
    """What became of a picture."""

    avatar_id: str = ""
    error_code: int = msgspec.field(default=-1)
    """0: stored, 13: not."""
    error_text: str = ""


@get(
    "/avatar/{id:str}",
    **documented("Read the picture of a user", tag=_TAG, media="image/*"),
)
async def read_avatar(context: NamedDependency[Context], id: FromPath[str]) -> Answer:
    """Answer the picture."""
    row = await context.reader.avatar(id)
    if row is None:
        raise ApiError(404)
    return Response(row.image, media_type=row.media_type)


@post(
    "/avatar/{id:str}",
    request_max_body_size=MAX_IMAGE + _OVERHEAD,
    **documented(
        "Upload one's own picture",
        tag=_TAG,
        answer=AvatarAnswer,
        details="A form (`multipart/form-data`) with the field `file`: PNG, JPEG, GIF or WebP, "
        "2 MB at most. It is stored for the caller, whatever the id of the path.",
    ),
)
async def replace_avatar(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    accounts: NamedDependency[Accounts],
    id: FromPath[str],
) -> Answer:
    """Store the picture of the caller."""
    if not caller.id:
        raise ApiError(7)
    data = await request.body()
    image = _file_of(request.headers.get("content-type", ""), data)
    kind = _kind_of(image)
    if not kind:
        text = "no field `file` with a PNG, JPEG, GIF or WebP image of 2 MB at most"
        return document(AvatarAnswer(error_code=13, error_text=text))
    now = int(time.time())
    await accounts.put_avatar(caller.id, kind, image, now)
    return document({"avatarId": str(now), "errorCode": 0})


@delete("/avatar/{id:str}", **documented("Remove the picture of a user", tag=_TAG))
async def delete_avatar(
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    accounts: NamedDependency[Accounts],
    id: FromPath[str],
) -> Answer:
    """Remove a picture: one's own, or root anybody's."""
    if caller.role != Role.ROOT and caller.id != id:
        raise ApiError(7)
    if await context.reader.avatar(id) is None:
        raise ApiError(404)
    await accounts.delete_avatar(id)
    return empty()


def _file_of(content_type: str, data: bytes) -> bytes:
    """Return the field `file` of a form; empty if there is none."""
    kind, options = multipart.parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        return b""
    try:
        parser = multipart.PushMultipartParser(options["boundary"], max_segment_count=8)
        found, inside = b"", False
        for part in parser.parse(data):
            if isinstance(part, multipart.MultipartSegment):
                inside = part.name == "file"
            elif part and inside:
                found += bytes(part)
    except (multipart.MultipartError, ValueError):
        return b""
    return found


def _kind_of(image: bytes) -> str:
    """Return the media type by how the data begins. What the client says is not believed.

    An SVG image, which may hold scripts, is none of them.
    """
    if not 0 < len(image) <= MAX_IMAGE:
        return ""
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _SIGNATURES if image.startswith(start)), "")
