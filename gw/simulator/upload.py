"""Upload of a file as an access point does it: `curl -F name=<serial> -F data=@file`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from urllib.parse import urlsplit

UPLOAD_SECONDS = 60.0
_ANSWER_BYTES = 65_536


async def upload(uri: str, serial: str, content: bytes, context: ssl.SSLContext | None) -> int:
    """Post a file, and return the HTTP status.

    `context` is for https; None takes any server. Raises OSError, ValueError if the address or the
    answer cannot be understood, and TimeoutError after a minute.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not a web address: {uri[:200]}")
    tls: ssl.SSLContext | None = None
    if parts.scheme == "https":
        tls = context or _unchecked()
    boundary = secrets.token_hex(16)
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\n{serial}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="data"; filename="file"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode() + content + f"\r\n--{boundary}--\r\n".encode()  # fmt: skip
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    head = (
        f"POST {path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: curl\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    async with asyncio.timeout(UPLOAD_SECONDS):
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or (443 if tls else 80), ssl=tls
        )
        try:
            writer.write(head + body)
            await writer.drain()
            answer = await reader.read(_ANSWER_BYTES)
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()
    words = answer.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise ValueError("the server's answer is no HTTP")
    return int(words[1])


def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
