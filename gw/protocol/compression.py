"""`compress_64`: params as base64 of a zlib stream (southbound.md 1.6, agents.md configure)."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any, Final

import msgspec

from gw.protocol.jsonrpc import ProtocolError

MAX_ANSWER_BYTES: Final = 4_194_304
"""Largest text that a stream inside of an answer expands to."""


class CompressedParams(msgspec.Struct):
    """The form that replaces params; `compress_sz` is the size of the plain text.

    Quirk: no-compress-sz.
    """

    compress_64: str | msgspec.UnsetType = msgspec.UNSET
    compress_sz: int | msgspec.UnsetType = msgspec.UNSET


_decode = msgspec.json.Decoder(CompressedParams).decode


def expand(params: bytes, limit: int) -> bytes:
    """Return the plain text of `params`: itself if it is not compressed.

    `limit` bounds the plain text, bytes. Raises ProtocolError (`bad_compression`) if the stream
    is damaged, incomplete, followed by other bytes, expands beyond the limit, or is not UTF-8.
    """
    if b'"compress_64"' not in params:
        return params
    try:
        form = _decode(params)
    except msgspec.DecodeError as error:
        raise ProtocolError("bad_compression", f"compressed params: {error}") from error
    if form.compress_64 is msgspec.UNSET:
        return params
    size = form.compress_sz
    if size is not msgspec.UNSET and size > limit:
        raise ProtocolError("bad_compression", f"compress_sz {size} is above {limit} bytes")
    return _inflate(form.compress_64, limit)


def expand_answer(result: dict[str, Any]) -> bool:
    """Put what a `result` or its `status` holds as a stream in plain into it.

    `result_64` is the output of a script, as `result`; `compress_64` the list of packages, as
    `packages`. Returns whether there was one. What cannot be expanded stays as it is.
    Quirk: compressed-answer.
    """
    found = False
    for owner in (result, result.get("status")):
        if not isinstance(owner, dict):
            continue
        for name, size, plain in (
            ("result_64", "result_sz", "result"),
            ("compress_64", "compress_sz", "packages"),
        ):
            try:
                text = _inflate(owner[name], MAX_ANSWER_BYTES).decode()
                value = msgspec.json.decode(text) if plain == "packages" else text
            except (KeyError, TypeError, ProtocolError, msgspec.DecodeError, RecursionError):
                continue
            if isinstance(value, dict):
                value = value.get("packages", value)
            owner.pop(name)
            owner.pop(size, None)
            owner.setdefault(plain, value)
            found = True
    return found


def _inflate(text: str, limit: int) -> bytes:
    try:
        stream = base64.b64decode(text, validate=True)
        machine = zlib.decompressobj()
        plain = machine.decompress(stream, limit + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ProtocolError("bad_compression", f"compress_64: {error}") from error
    if len(plain) > limit:
        raise ProtocolError("bad_compression", f"params expand beyond {limit} bytes")
    if not machine.eof:
        raise ProtocolError("bad_compression", "compress_64: the stream is incomplete")
    if machine.unused_data:
        raise ProtocolError("bad_compression", "compress_64: other bytes follow the stream")
    try:
        if not plain.isascii():
            plain.decode()
    except UnicodeDecodeError as error:
        reason = f"the expanded params are not UTF-8: {error.reason}"
        raise ProtocolError("bad_compression", reason) from error
    return plain


def compress(params: bytes) -> bytes:
    """Return the compressed form of params; `compress_sz` is exactly the plain size."""
    text = base64.b64encode(zlib.compress(params))
    return b'{"compress_64":"%s","compress_sz":%d}' % (text, len(params))
