"""Signatures of firmware images: downloaded, hashed, signed, and remembered for a while.

Source: southbound.md 3.7 and 6.8.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Final

import httpx

from gw.core.settings import Signatures
from gw.ops import logs
from gw.protocol.restrictions import KeyInfo
from gw.security.signatures import SignatureError, Signer

log = logs.get("signatures")

_MAX_REMEMBERED: Final = 1024
_DOWNLOADS: Final = 2
"""Images downloaded at a time; the others wait."""


class FirmwareSignatures:
    """Signs images by their URL. An image is never kept, and never in memory whole."""

    def __init__(self, signer: Signer, settings: Signatures, client: httpx.AsyncClient) -> None:
        self._signer = signer
        self._settings = settings
        self._client = client
        self._slots = asyncio.Semaphore(_DOWNLOADS)
        # By the whole URL: the same path of another host may be another image.
        self._known: dict[tuple[KeyInfo, str], tuple[str, float]] = {}

    async def sign(self, key: KeyInfo, uri: str) -> str:
        """Return the signature of the image at `uri`, for a device with this `key_info`.

        Raises SignatureError if it cannot be signed, or not be downloaded within
        `signatures.download_seconds` and `signatures.max_image_bytes`.
        """
        if not self._signer.may_sign(key):
            return self._signer.sign_digest(key, b"")  # raises what is wrong, before any download
        known = self._known.get((key, uri))
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        try:
            async with asyncio.timeout(self._settings.download_seconds), self._slots:
                digest = await self._digest(uri)
        except TimeoutError:
            raise SignatureError(
                f"the image was not there within {self._settings.download_seconds:g} s"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SignatureError(
                f"the image could not be downloaded: {type(error).__name__}"
            ) from None
        signature = await asyncio.to_thread(self._signer.sign_digest, key, digest)
        while len(self._known) >= _MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[key, uri] = (signature, time.monotonic() + self._settings.cache_seconds)
        return signature

    async def _digest(self, uri: str) -> bytes:
        digest, size = hashlib.sha256(), 0
        async with self._client.stream("GET", uri, follow_redirects=True) as answer:
            if answer.status_code != httpx.codes.OK:
                raise SignatureError(f"the image's server answers {answer.status_code}")
            async for part in answer.aiter_raw(65_536):
                size += len(part)
                if size > self._settings.max_image_bytes:
                    raise SignatureError(
                        f"the image is above signatures.max_image_bytes "
                        f"({self._settings.max_image_bytes})"
                    )
                digest.update(part)
        log.info("firmware image hashed for a signature", bytes=size)
        return digest.digest()
