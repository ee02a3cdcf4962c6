"""Request bodies: JSON objects read into structs, and configurations kept to the letter."""

from __future__ import annotations

import asyncio
import re
from typing import Final, TypeVar

import msgspec
from litestar.exceptions import InternalServerException

from gw.api.envelope import JSON, AnyRequest
from gw.core.errors import ApiError
from gw.security.configuration_secrets import MASK

READ_SECONDS: Final = 30.0
"""How long a client may take to send its body."""

_HIGH: Final = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE: Final = re.compile(
    rb"%b(?!%b)|(?<!\\u[dD][89abAB][0-9a-fA-F][0-9a-fA-F])%b" % (_HIGH, _LOW, _LOW)
)
_MASK: Final = b'"%s"' % MASK.encode()
_NUL: Final = b"\\u0000"

ConfigurationField = msgspec.Raw | msgspec.UnsetType
"""Type of a `configuration` member: kept as the bytes that were sent."""

_B = TypeVar("_B", bound=msgspec.Struct)


async def read(request: AnyRequest, kind: type[_B]) -> _B:
    """Read the body as a JSON object. Raises ApiError 1002 or 1003 if it is not one.

    Members that `kind` does not have are left out, absent ones keep its defaults; a number or a
    flag may be sent as a text (northbound.md 2.3).
    """
    try:
        async with asyncio.timeout(READ_SECONDS):
            data = await request.body()
    except InternalServerException:
        raise ApiError(1003, "the body broke off") from None
    except TimeoutError:
        raise ApiError(1003, f"the body did not come within {READ_SECONDS:g} s") from None
    if not data:
        raise ApiError(1003, "a JSON object is needed")
    if JSON not in request.headers.get("content-type", "").lower():
        raise ApiError(1003, f"the content type must be {JSON}")
    try:
        # The parts that are kept raw are only skipped over, so UTF-8 is checked for all here.
        # Lax, since forms of UIs send numbers and flags as words too: "80", "true".
        found = msgspec.json.decode(data.decode(), type=kind, strict=False)
        if _NUL in data and _has_nul(found):
            # No text of a database may hold it.
            raise ApiError(1003, "\\u0000 in a string")
        return found
    except UnicodeDecodeError as error:
        raise ApiError(1003, f"not UTF-8 at byte {error.start}") from None
    except msgspec.ValidationError as error:
        raise ApiError(1003, str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(error, data, kind) from None


def _has_nul(value: object) -> bool:
    """Tell whether a text of a decoded body holds U+0000; raw parts are not looked into."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, list):
        return any(_has_nul(one) for one in value)
    if isinstance(value, dict):
        return any(_has_nul(one) for pair in value.items() for one in pair)
    if isinstance(value, msgspec.Struct):
        return any(_has_nul(getattr(value, name)) for name in value.__struct_fields__)
    return False


def _malformed(error: Exception, data: bytes, kind: type[msgspec.Struct]) -> ApiError:
    """Name what is wrong; of what only a configuration can have, with the number of its own."""
    concerns = "configuration" in kind.__struct_fields__ and b'"configuration"' in data
    own = 1008 if concerns else 1003
    if isinstance(error, RecursionError):
        return ApiError(own, "nested too deeply")
    if (surrogate := _LONE_SURROGATE.search(data)) is not None:
        # The decoder's own words for it are misleading.
        return ApiError(own, f"lone surrogate at byte {surrogate.start()}")
    return ApiError(1003, str(error))


def configuration_text(field: ConfigurationField) -> bytes | None:
    """Return the text of a `configuration` member: an object, or a string that holds one.

    None if it is absent, null or an empty string. Raises ApiError 1008 for an unusable string.
    """
    if isinstance(field, msgspec.UnsetType):
        return None
    text = bytes(field)
    if text.startswith(b'"'):
        try:
            text = msgspec.json.decode(text, type=str).encode()
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise ApiError(1008, str(error)) from None
    text = text.strip(b" \t\r\n")
    if _MASK in text:
        raise ApiError(1008, f"{MASK} stands where a secret was hidden from the reader")
    return None if text in (b"", b"null") else text
