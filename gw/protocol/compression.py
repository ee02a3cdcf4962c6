"""`compress_64`: params as base64 of a zlib stream (southbound.md 1.6, agents.md configure)."""

from __future__ import annotations

import base64
import binascii
import zlib

import msgspec

from gw.protocol.jsonrpc import ProtocolError


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
    try:
        stream = base64.b64decode(form.compress_64, validate=True)
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
        text = f"the expanded params are not UTF-8: {error.reason}"
        raise ProtocolError("bad_compression", text) from error
    return plain


def compress(params: bytes) -> bytes:
    """Return the compressed form of params; `compress_sz` is exactly the plain size."""
    text = base64.b64encode(zlib.compress(params))
    return b'{"compress_64":"%s","compress_sz":%d}' % (text, len(params))
