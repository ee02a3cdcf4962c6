"""Signatures of firmware images: over a real HTTP server, within their limits, and remembered."""

import asyncio
import hashlib

import httpx
import pytest

from gw.coordinator.firmware_signatures import FirmwareSignatures
from gw.core.settings import Signatures
from gw.protocol.restrictions import KeyInfo
from gw.security.signatures import SignatureError

ACME = KeyInfo("acme", "dgst-sha256")
IMAGE = bytes(range(256)) * 1000


class Signer:
    """Answers with the digest itself; only acme's key is there."""

    def may_sign(self, key):
        return key == ACME

    def sign_digest(self, key, digest):
        if key != ACME:
            raise SignatureError("no key")
        return digest.hex()


class Server:
    """A small HTTP server of images, which counts."""

    def __init__(self):
        self.requests = 0
        self.silent = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error):
        self.silent.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        self.requests += 1
        if path == b"/silent":
            await self.silent.wait()
        status = b"404 Not Found" if path == b"/missing" else b"200 OK"
        writer.write(
            b"HTTP/1.1 %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status, len(IMAGE), IMAGE)
        )
        writer.close()


@pytest.fixture
async def server():
    async with Server() as one:
        yield one


@pytest.fixture
async def client():
    async with httpx.AsyncClient() as one:
        yield one


def signatures(client, **settings):
    return FirmwareSignatures(Signer(), Signatures(**settings), client)


async def test_an_image_is_signed_and_remembered(server, client):
    one = signatures(client)
    expected = hashlib.sha256(IMAGE).hexdigest()
    assert await one.sign(ACME, f"{server.url}/image") == expected
    assert await one.sign(ACME, f"{server.url}/image") == expected
    assert server.requests == 1
    await one.sign(ACME, f"{server.url}/image?another")
    assert server.requests == 2


async def test_a_remembered_signature_ends(server, client):
    one = signatures(client, cache_seconds=1e-9)
    await one.sign(ACME, f"{server.url}/image")
    await one.sign(ACME, f"{server.url}/image")
    assert server.requests == 2


async def test_without_a_key_nothing_is_downloaded(server, client):
    with pytest.raises(SignatureError, match="no key"):
        await signatures(client).sign(KeyInfo("other", "dgst-sha256"), f"{server.url}/image")
    assert server.requests == 0


@pytest.mark.parametrize(
    ("path", "settings", "words"),
    [
        ("/missing", {}, "404"),
        ("/image", {"max_image_bytes": 1000}, "max_image_bytes"),
        ("/silent", {"download_seconds": 0.2}, "0.2 s"),
    ],
)
async def test_what_cannot_be_downloaded(server, client, path, settings, words):
    with pytest.raises(SignatureError, match=words):
        await signatures(client, **settings).sign(ACME, server.url + path)


@pytest.mark.parametrize("uri", ["ftp://127.0.0.1/image", "image", "http://127.0.0.1:1/image", ""])
async def test_what_is_no_address_of_an_image(client, uri):
    with pytest.raises(SignatureError, match="could not be downloaded"):
        await signatures(client).sign(ACME, uri)
